//! RTP and RTCP (RFC 3550), SRTP and SRTCP (RFC 3711, 6188, 7714), telephone events (RFC 4733) and the
//! demultiplexing of what shares a media port (RFC 7983, 5761). No sockets, no clock, no threads.
//!
//! **Wire**: [`RtpPacket`], [`RtpHeader`], [`extension`], [`rtcp`], [`dtmf::Event`], [`demux`].
//! **Machines**: [`session::RtpReceiver`], [`session::RtpSender`], [`session::RtcpScheduler`],
//! [`srtp::SrtpSender`], [`srtp::SrtpReceiver`], [`dtmf::EventSender`], [`dtmf::EventReceiver`].
//! With the feature `dtls` also `dtls::Association`, which agrees on the keys (RFC 5763, 5764).
//! **Endpoint**: [`session::Session`], one RTP session with one source of our own.
//!
//! The data plane works on the caller's buffers: nothing is allocated per packet.
//!
//! ```
//! use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};
//! use rtp_srtp::{RtpHeader, RtpPacket};
//!
//! let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &[7; 30])?;
//! let (mut sender, mut receiver) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
//!
//! let mut buffer = [0; 1500];
//! let len = RtpHeader::new(0, 1, 160, 0xcafe_babe).write_packet(&[0xff; 160], &mut buffer)?;
//! let len = sender.protect(&mut buffer, len)?;
//! // … across the network …
//! let len = receiver.unprotect(&mut buffer[..len])?;
//! let packet = RtpPacket::parse(&buffer[..len])?;
//! assert_eq!((packet.sequence(), packet.payload().len()), (1, 160));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod demux;
#[cfg(feature = "dtls")]
pub mod dtls;
pub mod dtmf;
mod error;
pub mod extension;
#[doc(hidden)]
pub mod fuzzing;
mod packet;
pub mod rtcp;
pub mod session;
pub mod srtp;
mod wire;

pub use error::{ParseError, ParseErrorKind, WriteError};
pub use packet::{Csrcs, RtpHeader, RtpPacket};
