//! Audio: codecs, jitter buffer, mixing bridge, WAV files and devices.
//!
//! The crate knows no socket, no RTP header and no SIP: encoded frames leave through a
//! [`PacketSink`], received payloads enter through a [`PacketSource`] or a [`PacketFeed`].
//!
//! - wire: [`codec`] (G.711, G.722, Opus RFC 6716 / 7587, L16; RFC 3551 names)
//! - machines: [`jitter`] (adaptive, pure), [`plc`], [`timescale`], [`comfort`] (RFC 3389), [`resample`],
//!   [`tone`], [`dtmf`], [`quality`]
//! - with the feature `voice`: echo cancellation, noise suppression and gain control before a port (`voice`)
//! - endpoint: [`bridge`] (a pure `tick`), its ports ([`stream`], [`wav`], [`pcm`], [`device`]),
//!   and [`engine`], the media threads
//!
//! Two streams wired to each other; one speaks, the other is recorded:
//!
//! ```
//! use media::bridge::{Bridge, BridgeConfig};
//! use media::codec::{self, CodecParams};
//! use media::stream::{StreamConfig, StreamFormat, StreamPort};
//! use media::wav::{Clip, Repeat, WavPlayer};
//! use media::{EncodedFrame, PacketSink, analysis, assets, pcm};
//! use std::sync::mpsc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pcmu = codec::find("PCMU", 8000).ok_or("always there")?;
//! let format = || StreamFormat::symmetric(pcmu, &CodecParams::default(), 0);
//! let (wire, received) = mpsc::channel();
//! let to_wire = move |frame: EncodedFrame<'_>| {
//!     let _ = wire.send((frame.timestamp, frame.payload.to_vec()));
//! };
//! let (speaking, speaker, _) = StreamPort::new(StreamConfig::default(), format()?, Box::new(to_wire));
//! let (hearing, hearer, mut source) =
//!     StreamPort::new(StreamConfig::default(), format()?, Box::new(|_: EncodedFrame<'_>| {}));
//! speaker.set_sending(true);
//! hearer.set_receiving(true);
//!
//! let mut bridge = Bridge::new(BridgeConfig::default());
//! let clip = Clip::from_bytes(assets::ALICE)?;
//! let (player, _) = WavPlayer::new(clip.clone(), Repeat::Once);
//! let (application, _, mut ear) = pcm::pcm_port(16_000, 10_000);
//! let player = bridge.add_port(Box::new(player));
//! let speaking = bridge.add_port(Box::new(speaking));
//! let hearing = bridge.add_port(Box::new(hearing));
//! let application = bridge.add_port(Box::new(application));
//! bridge.connect(player, speaking, 0.0)?;
//! bridge.connect(hearing, application, 0.0)?;
//!
//! # #[allow(clippy::disallowed_methods, reason = "an example starts somewhere")]
//! let start = std::time::Instant::now();
//! for tick in 0..400u64 {
//!     bridge.tick();
//!     for (timestamp, payload) in received.try_iter() {
//!         let now = start + std::time::Duration::from_millis(20 * tick);
//!         source.push(tick, timestamp, 0, &payload, now);
//!     }
//! }
//! let mut heard = vec![0; 8 * 16_000];
//! ear.read(&mut heard);
//! // By the quarter of a second: the delay changes in pauses.
//! let likeness = analysis::likeness(clip.samples(), &heard, 4_000);
//! assert!(likeness > 0.98);
//! # Ok(())
//! # }
//! ```

pub mod analysis;
pub mod assets;
pub mod bridge;
pub mod codec;
pub mod comfort;
pub mod device;
pub mod dtmf;
pub mod engine;
mod error;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod jitter;
pub mod level;
mod packet;
pub mod pcm;
pub mod plc;
pub mod quality;
pub mod resample;
pub mod stream;
pub mod timescale;
pub mod tone;
#[cfg(feature = "voice")]
pub mod voice;
pub mod wav;

pub use bridge::{Bridge, BridgeConfig, Port, PortEvent, PortId, Signal};
pub use engine::{BridgeHandle, EngineConfig, MediaEngine};
pub use error::{CodecError, DeviceError, UsageError, WavError};
pub use packet::{EncodedFrame, MAX_RECEIVED, PacketFeed, PacketSink, PacketSource, ReceivedPacket};
pub use stream::{StreamConfig, StreamFeedback, StreamFormat, StreamHandle, StreamPort, StreamStats};
