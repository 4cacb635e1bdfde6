//! What sessions are set up with: ringtones, RTP and MSRP; and what SIP itself is: TLS.
//!
//! The manager holds one of each. A session copies the RTP and MSRP ones when it is created;
//! the ringtones are read live.

mod audio;
mod ice;
mod msrp;
mod ringtone;
mod rtp;
mod tls;

pub use audio::{AudioConfiguration, AudioInput, AudioOutput, VoiceProcessing};
pub use ice::{IceConfiguration, IceTrickle, TurnServer, TurnTransport};
pub use msrp::MsrpConfiguration;
pub use ringtone::RingtoneConfiguration;
pub use rtp::{RtpConfiguration, SrtpKeying, SrtpPolicy};
pub use sip_core::endpoint::{RefreshBy, SessionTimers as SessionRefresh, TimerMode};
pub use tls::TlsConfiguration;

use std::time::Duration;

/// How long a session waits for what; all can be set.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SessionTimers {
    /// An INVITE or a proposal of ours without a final response. Default 90 s.
    pub no_answer: Duration,
    /// A call that is neither accepted nor rejected here; then it is answered 480. Whoever made it may be gone, and its
    /// CANCEL lost. Default 180 s, which is how long proxies wait (RFC 3261 §16.6, timer C).
    pub ringing: Duration,
    /// After the start of audio, without a packet from the peer: `SCSessionGotNoAudio`. Default 5 s.
    pub no_audio: Duration,
    /// For the local media to be ready, and for a connection to come about. Default 15 s.
    pub stream_start: Duration,
    /// Without a packet where there were some: the stream is reported lost. Default 30 s.
    pub rtp_silence: Duration,
    /// For a peer that hangs up to say so, once its chat's connection is gone, before another one is asked for by who
    /// made the call; eight times that by who was called. Default 500 ms.
    pub chat_reconnect: Duration,
    /// For the end of a session's streams, before `SCSessionDidEnd` is posted all the same.
    /// Default 2 s.
    pub wind_down: Duration,
    /// For the application to decide on a transfer that the peer asks for; then it is declined.
    /// Default 60 s.
    pub transfer_answer: Duration,
}

impl Default for SessionTimers {
    fn default() -> Self {
        Self {
            no_answer: Duration::from_secs(90),
            ringing: Duration::from_secs(180),
            no_audio: Duration::from_secs(5),
            stream_start: Duration::from_secs(15),
            rtp_silence: Duration::from_secs(30),
            chat_reconnect: Duration::from_millis(500),
            wind_down: Duration::from_secs(2),
            transfer_answer: Duration::from_secs(60),
        }
    }
}
