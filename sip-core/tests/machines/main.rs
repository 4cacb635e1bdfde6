//! The machines in virtual time: transactions, dialogs, calls, connections and digest, seen from
//! outside through the endpoint.

mod answers;
mod auth;
mod calls;
mod conformance;
mod extensions;
mod faults;
mod flows;
mod messages;
mod pair;
mod proxy;
mod reliable;
mod replaces;
mod scenarios;
mod scene;
mod server;
mod services;
mod session_timers;
mod solo;
mod subscriptions;
mod transport;
