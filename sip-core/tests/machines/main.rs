//! The machines in virtual time: transactions, dialogs, calls, connections and digest, seen from
//! outside through the endpoint.

mod answers;
mod auth;
mod calls;
mod conformance;
mod faults;
mod pair;
mod server;
mod solo;
mod transport;
