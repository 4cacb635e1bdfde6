//! What `call` and `listen` have in common: an application made of the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sip_core::endpoint::Transport;
use sipsimple::configuration::{
    AudioConfiguration, AudioInput, AudioOutput, MsrpConfiguration, RtpConfiguration, TlsConfiguration,
};
use sipsimple::configuration::{SessionRefresh, SrtpKeying, TimerMode, TurnServer, TurnTransport};
use sipsimple::notification::{Filter, NotificationCenter, NotificationStream, SessionEvent, Subscription};
use sipsimple::session::{Conference, MessageOptions};
use sipsimple::trace::Tracer;
use sipsimple::{Application, Builder, Error, Session, StreamSet};

use crate::Failure;
use crate::arguments::Timers;
use crate::arguments::{Common, Keying, Media, Relay, Srtp, TransportArgument, TurnOver, YesNo};
use crate::output::Output;
use crate::settings;

/// Notifications that may wait for a command's own logic.
const WAITING: usize = 65_536;

/// The SIP port where none is named.
pub(crate) const PORT: u16 = 5060;

/// A running application, its notifications printed.
pub(crate) struct Agent {
    pub(crate) application: Application,
    pub(crate) notifications: NotificationStream,
    _printing: Subscription,
}

impl Agent {
    /// Starts it, as the options say.
    pub(crate) async fn start(
        common: &Common,
        media: &Media,
        accepts: StreamSet,
        max_calls: Option<usize>,
        place: Place,
        output: &Arc<Output>,
    ) -> Result<Self, Failure> {
        let settings = settings::load(common)?.settings();
        let account = settings::account(common)?;
        let known = settings.rtp_config();
        let known = account.map_or(known.clone(), |account| account.rtp_config(known));
        let (builder, notifications, printing) = Self::builder(common, output)?;
        let mut builder = builder
            .accepts(accepts)
            .accept_messages(true)
            .transfers(media.transfers || settings.agent.transfers)
            .session_refresh(session_refresh(media))
            .rtp_config(rtp_config(media, known)?)
            .msrp_config(msrp_config(media, settings.msrp_config())?)
            .audio(AudioConfiguration { voice: settings.audio_config().voice, ..audio_config(media)? });
        if let Some(max) = max_calls {
            builder = builder.max_sessions(max);
        }
        let application = match start(&builder, common, place).await {
            Ok(application) => application,
            Err(error) if uses_device(media) && !is_taken(&error) => {
                output.warn(&format!("{error}; going on without a sound device (--device null)"));
                let audio = AudioConfiguration { output: AudioOutput::Null, ..audio_without_device(media) };
                start(&builder.audio(audio), common, place).await?
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { application, notifications, _printing: printing })
    }

    /// Starts one that takes no calls.
    pub(crate) async fn without_media(
        common: &Common,
        accept_messages: bool,
        output: &Arc<Output>,
    ) -> Result<Self, Failure> {
        let (builder, notifications, printing) = Self::builder(common, output)?;
        let builder = builder.accepts(StreamSet::NONE).accept_messages(accept_messages);
        let application = start(&builder, common, Place::Any).await?;
        Ok(Self { application, notifications, _printing: printing })
    }

    /// What all commands have in common.
    fn builder(
        common: &Common,
        output: &Arc<Output>,
    ) -> Result<(Builder, NotificationStream, Subscription), Failure> {
        let center = NotificationCenter::new();
        let printer = output.clone();
        let printing = center.observe(Filter::any(), move |notification| printer.notification(notification));
        let notifications = center.stream(Filter::any(), WAITING);
        let settings = settings::load(common)?.settings();
        let mut builder = settings
            .builder()
            .audio(AudioConfiguration::default())
            // Nobody here decides on them.
            .referrals(false)
            .events(None::<String>)
            .port(common.port.unwrap_or(PORT))
            .tls_config(tls_settings(common)?)
            .dns_servers(&common.dns)
            .notification_center(center);
        if let Some(address) = common.bind {
            builder = builder.bind(address);
        }
        if !common.transport.is_empty() {
            let transport = |transport: &TransportArgument| match transport {
                TransportArgument::Udp => Transport::Udp,
                TransportArgument::Tcp => Transport::Tcp,
                TransportArgument::Tls => Transport::Tls,
                TransportArgument::Ws => Transport::Ws,
                TransportArgument::Wss => Transport::Wss,
            };
            let transports: Vec<_> = common.transport.iter().map(transport).collect();
            builder = builder.transports(&transports);
        }
        if let Some(path) = &common.trace {
            builder = builder.tracer(Arc::new(tracer(path, common.trace_secrets)?));
        }
        Ok((builder, notifications, printing))
    }
}

/// Whether others have to find us.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The port is known to others.
    Known,
    /// Where the usual port is taken any will do.
    Any,
}

async fn start(builder: &Builder, common: &Common, place: Place) -> Result<Application, Error> {
    match builder.clone().start().await {
        Err(error) if is_taken(&error) && common.port.is_none() && place == Place::Any => {
            builder.clone().port(0).start().await
        }
        Err(Error::System { what, reason }) if reason.contains(IN_USE) => {
            let reason = format!("{reason}; another program has it: --port P takes another, 0 any");
            Err(Error::System { what, reason })
        }
        started => started,
    }
}

/// What systems say of a port that somebody has.
const IN_USE: &str = "in use";

fn is_taken(error: &Error) -> bool {
    matches!(error, Error::System { reason, .. } if reason.contains(IN_USE))
}

/// How TLS is to be, as the options and the settings have it.
pub(crate) fn tls_settings(common: &Common) -> Result<TlsConfiguration, Failure> {
    let settings = settings::load(common)?.settings().tls_config();
    Ok(TlsConfiguration {
        certificate: common.tls_cert.clone(),
        key: common.tls_key.clone(),
        authorities: common.tls_ca.clone(),
        verify: common.tls_verify == YesNo::Yes,
        ..settings
    })
}

/// What `--trace` and `--trace-secrets` ask for.
pub(crate) fn tracer(path: &Path, secrets: bool) -> Result<Tracer, Failure> {
    let tracer = if path == Path::new("-") {
        Tracer::to_stderr()
    } else {
        Tracer::to_file(path)
            .map_err(|error| Failure::Failed(format!("--trace {}: {error}", path.display())))?
    };
    Ok(if secrets { tracer.with_secrets() } else { tracer })
}

fn rtp_config(media: &Media, settings: RtpConfiguration) -> Result<RtpConfiguration, Failure> {
    let known = ["opus", "G722", "PCMU", "PCMA"];
    let mut codecs = Vec::new();
    for name in &media.codecs {
        match known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            Some(known) => codecs.push((*known).to_owned()),
            None => {
                let known = known.map(str::to_ascii_lowercase).join(", ");
                return Err(Failure::Usage(format!("--codecs: {name:?} is none of {known}")));
            }
        }
    }
    let stun = media.stun.as_deref().map(|text| host_and_port("--stun", text, 3478)).transpose()?;
    let (stun_host, stun_port) = match stun {
        Some((host, port)) => (Some(host), port),
        None => (settings.ice_stun_address.clone(), settings.ice_stun_port),
    };
    Ok(RtpConfiguration {
        use_ice: media.ice || media.stun.is_some() || media.relay.turn.is_some() || settings.use_ice,
        ice_stun_port: stun_port,
        ice_stun_address: stun_host,
        ice_turn: turn_server(&media.relay)?.or_else(|| settings.ice_turn.clone()),
        ice_relay_only: media.relay_only || settings.ice_relay_only,
        use_srtp: media.srtp != Srtp::Off,
        srtp_forced: media.srtp == Srtp::Mandatory,
        srtp_keying: match media.keying {
            None => settings.srtp_keying,
            Some(Keying::Sdes) => SrtpKeying::Sdes,
            Some(Keying::Dtls) => SrtpKeying::Dtls,
            Some(Keying::Both) => SrtpKeying::Both,
        },
        codecs,
        ..settings
    })
}

fn session_refresh(media: &Media) -> SessionRefresh {
    let mode = match media.session_timers {
        Timers::Off => TimerMode::Off,
        Timers::Optional => TimerMode::Optional,
        Timers::Required => TimerMode::Required,
    };
    let (expires, min_se) = (media.session_expires.max(media.min_se), media.min_se);
    SessionRefresh { mode, expires, min_se, ..SessionRefresh::default() }
}

pub(crate) fn turn_server(relay: &Relay) -> Result<Option<TurnServer>, Failure> {
    let (Some(turn), Some(user), Some(variable)) = (&relay.turn, &relay.turn_user, &relay.turn_password_env)
    else {
        return Ok(None);
    };
    let (port, transport) = match relay.turn_transport {
        TurnOver::Udp => (3478, TurnTransport::Udp),
        TurnOver::Tcp => (3478, TurnTransport::Tcp),
        TurnOver::Tls => (5349, TurnTransport::Tls),
    };
    let (host, port) = host_and_port("--turn", turn, port)?;
    let password = std::env::var(variable)
        .map_err(|_| Failure::Usage(format!("--turn-password-env: {variable} is not set")))?;
    Ok(Some(TurnServer { port, transport, ..TurnServer::new(host, user.clone(), password) }))
}

/// `host`, `host:port`, `[2001:db8::1]:port`.
pub(crate) fn host_and_port(option: &str, text: &str, default: u16) -> Result<(String, u16), Failure> {
    let wrong = || Failure::Usage(format!("{option}: {text:?} is not HOST[:PORT]"));
    let host: sip_core::Host;
    let mut port = default;
    match text.rsplit_once(':') {
        Some((name, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            host = name.parse().map_err(|_| wrong())?;
            port = number.parse().map_err(|_| wrong())?;
        }
        _ => host = text.parse().map_err(|_| wrong())?,
    }
    Ok((host.to_string().trim_matches(['[', ']']).to_owned(), port))
}

fn msrp_config(media: &Media, settings: MsrpConfiguration) -> Result<MsrpConfiguration, Failure> {
    let config = MsrpConfiguration { local_use_tls: media.msrp_tls == YesNo::Yes, ..settings };
    let Some(relay) = &media.msrp_relay else { return Ok(config) };
    // An IPv6 address has its port behind a bracket.
    let (host, port) = match relay.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (relay.as_str(), None),
    };
    let port = port.map(str::parse).transpose();
    let port = port.map_err(|_| Failure::Usage(format!("--msrp-relay: {relay:?} is not HOST[:PORT]")))?;
    Ok(MsrpConfiguration {
        use_relay_incoming: true,
        use_relay_outgoing: true,
        relay_host: Some(host.trim_start_matches('[').trim_end_matches(']').to_owned()),
        relay_port: port,
        relay_use_tls: Some(media.msrp_relay_tls == YesNo::Yes),
        ..config
    })
}

fn uses_device(media: &Media) -> bool {
    media.device != "null"
}

fn audio_config(media: &Media) -> Result<AudioConfiguration, Failure> {
    if let Some(path) = &media.play
        && !path.is_file()
    {
        return Err(Failure::Failed(format!("--play {}: there is no such file", path.display())));
    }
    let device = match media.device.as_str() {
        "default" => None,
        name => Some(name.to_owned()),
    };
    let without = audio_without_device(media);
    if !uses_device(media) {
        return Ok(without);
    }
    let input = match without.input {
        AudioInput::Null => AudioInput::Device(device.clone()),
        file => file,
    };
    Ok(AudioConfiguration { input, output: AudioOutput::Device(device), ..without })
}

fn audio_without_device(media: &Media) -> AudioConfiguration {
    let input = match &media.play {
        Some(path) => AudioInput::File { path: path.clone(), repeat: media.repeat },
        None => AudioInput::Null,
    };
    AudioConfiguration { input, output: AudioOutput::Null, echo: media.echo, ..AudioConfiguration::default() }
}

/// What to do on each notification of a session that `call` and `listen` treat alike.
pub(crate) fn attend(
    session: &Session,
    event: &SessionEvent,
    media: &Media,
    record: Option<(PathBuf, Option<String>)>,
) {
    match event {
        SessionEvent::DidStart => {
            if session.has_chat() {
                say(session, media);
            }
            if let Some((folder, name)) = record
                && session.has_audio()
            {
                drop(session.start_recording_audio(folder, name.as_deref()));
            }
            if let Some(seconds) = media.seconds {
                let session = session.clone();
                later(seconds, move || drop(session.terminate()));
            }
        }
        SessionEvent::TransferNewIncoming { .. } if media.transfers => drop(session.accept_transfer(None)),
        SessionEvent::GotMessage { content, content_type, .. } if media.echo => {
            let options =
                MessageOptions { content_type: Some(content_type.clone()), ..MessageOptions::default() };
            drop(session.send_message(content.clone(), options));
        }
        _ => {}
    }
}

/// Has a session whose audio is there take part in a conference.
pub(crate) fn join(conference: &Conference, session: &Session, event: &SessionEvent) {
    let may_have_come = matches!(event, SessionEvent::DidStart | SessionEvent::GotStreamUpdate { .. });
    if may_have_come && session.has_audio() && session.conference() != Some(conference.id()) {
        drop(conference.add(session));
    }
}

/// Sends what `--chat` says.
pub(crate) fn say(session: &Session, media: &Media) {
    for text in &media.chat {
        drop(session.send_message(text.clone(), MessageOptions::default()));
    }
}

/// Does something after some seconds.
#[expect(clippy::disallowed_methods, reason = "the program's own delays are wall time")]
pub(crate) fn later(seconds: f64, action: impl FnOnce() + Send + 'static) {
    let delay = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        action();
    });
}
