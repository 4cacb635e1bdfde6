//! The attributes of a session, as the 2009 API has them.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use sip_core::Uri;

use super::{ConferenceId, Direction, RemoteHeaders, Session, State};
use crate::credentials::Credentials;
use crate::driver::AudioStatistics;

/// The attributes of the 2009 API, each read from a [`snapshot`](Session::snapshot).
impl Session {
    /// The state.
    pub fn state(&self) -> State {
        self.snapshot().state
    }

    /// Who called; `None` in NULL.
    pub fn direction(&self) -> Option<Direction> {
        self.snapshot().direction
    }

    /// When it was established.
    pub fn start_time(&self) -> Option<SystemTime> {
        self.snapshot().start_time
    }

    /// When it ended.
    pub fn stop_time(&self) -> Option<SystemTime> {
        self.snapshot().stop_time
    }

    /// Whether we hold the peer.
    pub fn on_hold_by_local(&self) -> bool {
        self.snapshot().on_hold_by_local
    }

    /// Whether the peer holds us.
    pub fn on_hold_by_remote(&self) -> bool {
        self.snapshot().on_hold_by_remote
    }

    /// Whether either side holds the other.
    pub fn on_hold(&self) -> bool {
        self.snapshot().on_hold()
    }

    /// What the peer calls its software.
    pub fn remote_user_agent(&self) -> Option<String> {
        self.snapshot().remote_user_agent.clone()
    }

    /// Our address.
    pub fn local_uri(&self) -> Option<Uri> {
        self.snapshot().local_uri.clone()
    }

    /// The peer's address.
    pub fn remote_uri(&self) -> Option<Uri> {
        self.snapshot().remote_uri.clone()
    }

    /// The address of who called.
    pub fn caller_uri(&self) -> Option<Uri> {
        self.snapshot().caller_uri().cloned()
    }

    /// The address of who was called.
    pub fn callee_uri(&self) -> Option<Uri> {
        self.snapshot().callee_uri().cloned()
    }

    /// As whom we call, while an outgoing session is active. `Debug` prints no password.
    pub fn credentials(&self) -> Option<Credentials> {
        self.snapshot().credentials.as_deref().cloned()
    }

    /// The headers of the peer's INVITE, or of its last response to ours, as they came.
    pub fn remote_headers(&self) -> Option<RemoteHeaders> {
        self.snapshot().remote_headers.clone()
    }

    /// When the caller asks for the call to be answered without anybody's doing, if it asks for that.
    pub fn auto_answer_asked(&self) -> Option<Duration> {
        self.snapshot().auto_answer_asked
    }

    /// The conference that its audio is in.
    pub fn conference(&self) -> Option<ConferenceId> {
        self.snapshot().audio.as_ref().and_then(|audio| audio.conference)
    }

    /// The proxy of an outgoing session while it is active.
    pub fn route(&self) -> Option<Uri> {
        self.snapshot().route.clone()
    }

    /// Whether there is an audio stream.
    pub fn has_audio(&self) -> bool {
        self.snapshot().audio.is_some()
    }

    /// Whether there is a chat stream.
    pub fn has_chat(&self) -> bool {
        self.snapshot().chat.is_some()
    }

    /// The transport of audio as SDP has it.
    pub fn audio_transport(&self) -> Option<String> {
        self.snapshot().audio.as_ref().map(|audio| audio.transport.clone())
    }

    /// The transport of chat as SDP has it.
    pub fn chat_transport(&self) -> Option<String> {
        self.snapshot().chat.as_ref().map(|chat| chat.transport.clone())
    }

    /// Samples a second of the codec.
    pub fn audio_sample_rate(&self) -> Option<u32> {
        self.snapshot().audio.as_ref().and_then(|audio| audio.sample_rate)
    }

    /// The codec by its SDP name.
    pub fn audio_codec(&self) -> Option<String> {
        self.snapshot().audio.as_ref().and_then(|audio| audio.codec.clone())
    }

    /// Whether audio is encrypted.
    pub fn audio_srtp_active(&self) -> Option<bool> {
        self.snapshot().audio.as_ref().map(|audio| audio.srtp_active)
    }

    /// The address at which we receive RTP.
    pub fn audio_local_rtp_address(&self) -> Option<IpAddr> {
        self.snapshot().audio.as_ref().and_then(|audio| audio.local_rtp).map(|local| local.ip())
    }

    /// The port at which we receive RTP.
    pub fn audio_local_rtp_port(&self) -> Option<u16> {
        self.snapshot().audio.as_ref().and_then(|audio| audio.local_rtp).map(|local| local.port())
    }

    /// The address at which the peer says it receives RTP.
    pub fn audio_remote_rtp_address_sdp(&self) -> Option<IpAddr> {
        self.snapshot().audio.as_ref().and_then(|audio| audio.remote_rtp_sdp).map(|(address, _)| address)
    }

    /// The port at which the peer says it receives RTP.
    pub fn audio_remote_rtp_port_sdp(&self) -> Option<u16> {
        self.snapshot().audio.as_ref().and_then(|audio| audio.remote_rtp_sdp).map(|(_, port)| port)
    }

    /// The address from which the peer's packets come.
    pub fn audio_remote_rtp_address_received(&self) -> Option<IpAddr> {
        self.received().map(|from| from.ip())
    }

    /// The port from which the peer's packets come.
    pub fn audio_remote_rtp_port_received(&self) -> Option<u16> {
        self.received().map(|from| from.port())
    }

    /// How the audio stream fares now; `None` where there is none.
    pub fn audio_statistics(&self) -> Option<AudioStatistics> {
        self.commander().board().read(self.id())
    }

    /// Whether anything was received of the peer.
    pub fn audio_was_received(&self) -> bool {
        self.received().is_some()
    }

    /// Whether the peer hears silence of us; see [`set_muted`](Self::set_muted).
    pub fn audio_muted(&self) -> Option<bool> {
        self.snapshot().audio.as_ref().map(|audio| audio.muted)
    }

    /// The file being recorded to, its full path.
    pub fn audio_recording_file_name(&self) -> Option<String> {
        self.snapshot().audio.as_ref().and_then(|audio| audio.recording_file_name.clone())
    }
}
