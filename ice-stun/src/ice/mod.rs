//! ICE (RFC 8445): two ends find a path through whatever lies between them.
//!
//! - **Wire**: [`Candidate`] and [`Credentials`] as SDP writes them (RFC 8839), [`PacketKind`] to tell
//!   STUN from media on one socket (RFC 7983).
//! - **Machine**: [`Agent`], full or lite, in both roles, for the one or two components of a stream.
//!   [`gather::Gatherer`] finds our candidates and carries what goes through relays.
//!   A session with several streams holds one agent for each; they share nothing.
//!
//! ```text
//!   local candidates --+                                        +--> Transmit (checks and their answers)
//!   remote ones -------+--> pairs --> checks --> valid pairs ---+--> Event::Selected (send media here)
//!   remote credentials-+              ^  |                      +--> Event::StateChanged
//!                      datagrams -----+  +-- consent ----------------> Event::ConsentLost (stop sending)
//! ```

mod agent;
mod candidate;
mod config;
mod consent;
mod credentials;
mod demux;
#[doc(hidden)]
pub mod fuzzing;
pub mod gather;
mod incoming;
mod nominate;
mod outgoing;
mod pair;

pub use agent::Agent;
pub use candidate::{Address, Candidate, CandidateKind, MAX_LINE, TcpType, Transport};
pub use config::{
    AgentError, Config, Event, Input, LocalCandidate, Output, Path, Policy, Role, SelectedPair, State, Stats,
    Transmit,
};
pub use credentials::{Credentials, IceOptions, RemoteParameters};
pub use demux::PacketKind;
