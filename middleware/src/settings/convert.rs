//! From settings to what the application is built with.

use crate::application::{Application, Builder};
use crate::configuration::{
    AudioConfiguration, AudioInput, AudioOutput, MsrpConfiguration, RingtoneConfiguration, RtpConfiguration,
    SessionTimers, TlsConfiguration, VoiceProcessing,
};
use crate::session::{AutoAnswer, StreamSet};

use super::sections::Settings;
use super::value::{AnswerPolicy, Stream};

#[allow(clippy::needless_update, reason = "what a configuration has beyond its settings stays as it is")]
impl Settings {
    /// An application as these settings have it. What traces it is set by the program, which
    /// opens the file: see [`TraceSettings`](super::TraceSettings).
    #[must_use]
    pub fn builder(&self) -> Builder {
        let mut builder = Application::builder()
            .user_agent(&self.agent.user_agent)
            .accepts(self.accepts())
            .accept_messages(self.agent.accept_messages)
            .transfers(self.agent.transfers)
            .referrals(self.agent.referrals)
            .events(&self.agent.events)
            .auto_answer(self.auto_answer())
            .port(self.sip.port)
            .transports(&self.sip.transports)
            .tls_config(self.tls_config())
            .rtp_config(self.rtp_config())
            .msrp_config(self.msrp_config())
            .audio(self.audio_config())
            .ringtone_config(self.ringtone_config())
            .timers(self.session_timers());
        if let Some(address) = self.sip.bind {
            builder = builder.bind(address);
        }
        if let Some(sessions) = self.agent.max_sessions.and_then(|sessions| usize::try_from(sessions).ok()) {
            builder = builder.max_sessions(sessions);
        }
        builder
    }

    /// The streams that are taken.
    #[must_use]
    pub fn accepts(&self) -> StreamSet {
        let has = |stream| self.agent.accept.contains(&stream);
        StreamSet { audio: has(Stream::Audio), chat: has(Stream::Chat), ..StreamSet::NONE }
    }

    /// Which calls are answered by themselves.
    #[must_use]
    pub fn auto_answer(&self) -> AutoAnswer {
        let agent = &self.agent;
        match agent.auto_answer {
            AnswerPolicy::Never => AutoAnswer::Never,
            AnswerPolicy::Callers => AutoAnswer::AskedBy(agent.auto_answer_callers.clone()),
            AnswerPolicy::Anyone => AutoAnswer::AskedByAnyone,
            AnswerPolicy::All => AutoAnswer::All(agent.auto_answer_after),
        }
    }

    /// What sessions copy for audio.
    #[must_use]
    pub fn rtp_config(&self) -> RtpConfiguration {
        let rtp = &self.rtp;
        RtpConfiguration {
            local_rtp_address: rtp.local_rtp_address,
            use_srtp: rtp.use_srtp,
            srtp_forced: rtp.srtp_forced,
            srtp_keying: rtp.srtp_keying,
            srtp_suites: rtp.srtp_suites.clone(),
            use_ice: rtp.use_ice,
            ice_stun_address: rtp.ice_stun_address.clone(),
            ice_stun_port: rtp.ice_stun_port,
            ice_relay_only: rtp.ice_relay_only,
            ice_lite: rtp.ice_lite,
            ice_tcp: rtp.ice_tcp,
            ice_trickle: rtp.ice_trickle,
            port_range: rtp.port_range.clone(),
            dscp: rtp.dscp.min(63),
            codecs: rtp.codecs.clone(),
            ..RtpConfiguration::default()
        }
    }

    /// What sessions copy for chat.
    #[must_use]
    pub fn msrp_config(&self) -> MsrpConfiguration {
        let msrp = &self.msrp;
        MsrpConfiguration {
            local_ip: msrp.local_ip,
            local_port: msrp.local_port,
            local_use_tls: msrp.local_use_tls,
            accept_types: msrp.accept_types.clone(),
            accept_wrapped_types: msrp.accept_wrapped_types.clone(),
            max_message_size: msrp.max_message_size,
            notify_delivery: msrp.notify_delivery,
            reconnect: msrp.reconnect,
            ..MsrpConfiguration::default()
        }
    }

    /// TLS under SIP.
    #[must_use]
    pub fn tls_config(&self) -> TlsConfiguration {
        let tls = &self.tls;
        TlsConfiguration {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            authorities: tls.authorities.clone(),
            verify: tls.verify,
            wildcards: tls.wildcards,
            verify_clients: tls.verify_clients,
            handshake_timeout: tls.handshake_timeout,
            ..TlsConfiguration::default()
        }
    }

    /// The sound devices.
    #[must_use]
    pub fn audio_config(&self) -> AudioConfiguration {
        let name = |device: &str| (device != "default").then(|| device.to_owned());
        let input = match self.audio.input_device.as_str() {
            "null" => AudioInput::Null,
            device => AudioInput::Device(name(device)),
        };
        let output = match self.audio.output_device.as_str() {
            "null" => AudioOutput::Null,
            device => AudioOutput::Device(name(device)),
        };
        let voice = VoiceProcessing {
            echo_cancellation: self.audio.echo_cancellation,
            noise_suppression: self.audio.noise_suppression,
            gain_control: self.audio.gain_control,
        };
        AudioConfiguration { input, output, echo: self.audio.echo, voice }
    }

    /// The ringtones.
    #[must_use]
    pub fn ringtone_config(&self) -> RingtoneConfiguration {
        let mut config = RingtoneConfiguration::default();
        config.default_inbound_ringtone.clone_from(&self.ringtones.inbound);
        config.outbound_ringtone.clone_from(&self.ringtones.outbound);
        for (uri, path) in &self.ringtones.callers {
            if let Ok(uri) = uri.parse() {
                config.add_ringtone_for_sipuri(&uri, path);
            }
        }
        config
    }

    /// How long sessions wait for what.
    #[must_use]
    pub fn session_timers(&self) -> SessionTimers {
        let timers = &self.timers;
        SessionTimers {
            no_answer: timers.no_answer,
            ringing: timers.ringing,
            no_audio: timers.no_audio,
            stream_start: timers.stream_start,
            rtp_silence: timers.rtp_silence,
            wind_down: timers.wind_down,
            transfer_answer: timers.transfer_answer,
            ..SessionTimers::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_configurations() {
        let settings = Settings::default();
        assert_eq!(settings.rtp_config(), RtpConfiguration::default());
        assert_eq!(settings.msrp_config(), MsrpConfiguration::default());
        assert_eq!(settings.tls_config(), TlsConfiguration::default());
        assert_eq!(settings.session_timers(), SessionTimers::default());
        assert_eq!(settings.ringtone_config(), RingtoneConfiguration::default());
        let (ours, plain) = (settings.builder(), Application::builder());
        assert_eq!(
            (ours.port, &ours.transports, &ours.user_agent),
            (plain.port, &plain.transports, &plain.user_agent)
        );
        assert_eq!(
            (ours.accepts, ours.max_sessions, ours.accept_messages),
            (plain.accepts, plain.max_sessions, plain.accept_messages)
        );
        assert_eq!((ours.transfers, &ours.auto_answer), (plain.transfers, &plain.auto_answer));
        assert_eq!((ours.referrals, &ours.events), (plain.referrals, &plain.events));
        // The one that is not: a program has a sound card, a library need not.
        assert_eq!(settings.audio_config().output, AudioOutput::Device(None));
    }

    #[test]
    fn calls_are_answered_by_themselves_as_the_policy_says() {
        let mut settings = Settings::default();
        let caller: sip_core::Uri = "sip:door@example.com".parse().expect("a URI");
        settings.agent.auto_answer_callers = vec![caller.clone()];
        settings.agent.auto_answer_after = std::time::Duration::from_secs(2);
        for (policy, expected) in [
            (AnswerPolicy::Never, AutoAnswer::Never),
            (AnswerPolicy::Callers, AutoAnswer::AskedBy(vec![caller])),
            (AnswerPolicy::Anyone, AutoAnswer::AskedByAnyone),
            (AnswerPolicy::All, AutoAnswer::All(std::time::Duration::from_secs(2))),
        ] {
            settings.agent.auto_answer = policy;
            assert_eq!(settings.builder().auto_answer, expected);
        }
    }
}
