//! What the tests of this workspace share: time that stands still until told to move, a
//! network in memory, and the rules that every sans-IO machine must keep.
//!
//! - [`Clock`]: virtual time. Tests never sleep; they advance it.
//! - [`Network`]: datagrams and byte streams between socket addresses, with delay, jitter,
//!   loss (single or in bursts), reordering and duplication per path, and NATs of every
//!   kind that RFC 4787 names. Seeded: the same calls give the same deliveries.
//! - [`run`]: moves [`Host`]s and a network through virtual time.
//! - [`conformance!`]: the sans-IO rules of ARCHITECTURE.md as tests of any [`Subject`].
//! - [`sound`]: where one sound is in another.
//! - [`Random`]: small seeded random values for test data.
//! - [`counted`]: what a thread allocates, where [`Counting`] is the allocator.
//!
//! It depends on no other crate of the workspace, so that each of them may use it.
//!
//! ```
//! use std::time::Duration;
//! use testkit::{Clock, Delivery, Link, Network};
//!
//! let mut clock = Clock::new();
//! let mut network = Network::new(7);
//! network.set_default(Link { delay: Duration::from_millis(20), ..Link::default() });
//! let (alice, bob) = ("192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
//!
//! network.send(clock.now(), alice, bob, b"hello");
//! assert!(network.deliver(clock.now()).is_none(), "it is still on its way");
//!
//! clock.advance_to(network.next_at().unwrap());
//! assert_eq!(clock.elapsed(), Duration::from_millis(20));
//! let Some(Delivery::Datagram(got)) = network.deliver(clock.now()) else { panic!() };
//! assert_eq!((got.from, got.to, &got.data[..]), (alice, bob, &b"hello"[..]));
//! ```

mod allocations;
mod clock;
pub mod conformance;
pub mod network;
mod random;
mod simulation;
pub mod sound;

pub use allocations::{Allocations, Counting, counted};
pub use clock::Clock;
pub use conformance::{Step, Subject};
pub use network::{
    Datagram, Delivery, End, Link, Nat, NatId, NatKind, Network, Stats, StreamEvent, StreamId, StreamWhat,
};
pub use random::Random;
pub use simulation::{Host, run};
