//! DTLS-SRTP (RFC 5763, RFC 5764): keys for SRTP by a handshake on the media path.
//!
//! Descriptions carry a [`Fingerprint`] of each side's certificate and who begins; an [`Association`] shakes
//! hands and gives the [`Keys`], or says why there are none. A certificate that the peer's description did not
//! announce ends it: whoever sits between may carry the handshake, and not be a party of it.
//!
//! ```text
//!   a=fingerprint, a=setup ──▶ Association ◀── datagrams that [`crate::demux`] calls DTLS
//!                                   │
//!            Transmit ◀─────────────┼─────────▶ Event::Keys ──▶ SrtpSender, SrtpReceiver
//! ```
//!
//! The handshake itself is the `dimpl` library's: DTLS 1.2 and 1.3. Our certificate is an ECDSA one; a peer that begins
//! may have an RSA one by DTLS 1.2 ([`Role::Passive`]), one that waits may not. Its key exchange takes its
//! randomness from the system, so that it alone of the machines here cannot be played again from a seed.

mod identity;
mod request;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use dimpl::{Dtls, SrtpProfile};
use thiserror::Error;
use zeroize::Zeroizing;

pub use self::identity::{Fingerprint, Hash, Identity, IdentityError, Timing, UnknownHash};
use crate::srtp::{MasterKey, Suite};

/// Room for what the handshake puts out at once: a datagram, or the peer's certificate.
const ROOM: usize = 4_096;
/// Handshakes that are begun anew after nonsense; more of it ends the association.
const MAX_RESTARTS: u32 = 8;

/// Who sends the first message (RFC 5763 §5, RFC 4145 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We do: `a=setup:active`, the DTLS client.
    Active,
    /// The peer does: `a=setup:passive`, the DTLS server.
    Passive,
}

/// What an association has to say, in order.
#[derive(Debug)]
pub enum Output {
    /// Send this to the peer.
    Transmit(Vec<u8>),
    /// Something happened.
    Event(Event),
    /// Nothing more until then, or until the next input.
    Idle(Option<Instant>),
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The peer is who its description said, and these are the keys.
    Keys(Box<Keys>),
    /// There will be no keys; nothing more comes of this association.
    Failed(Failure),
    /// The peer said goodbye; keys that it gave stay good for what is under way.
    Closed,
}

/// The keys of both directions (RFC 5764 §4.2). `Debug` prints no key.
#[derive(Debug)]
pub struct Keys {
    /// What we send with.
    pub sending: MasterKey,
    /// What the peer sends with.
    pub receiving: MasterKey,
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The peer's certificate is not the one that its description announced (RFC 5763 §5).
    #[error("the peer's certificate is not the one that was announced")]
    Fingerprint,
    /// The handshake was good, and agreed on no SRTP (RFC 5764 §4.1.1).
    #[error("the peer does not want DTLS for SRTP")]
    NoProfile,
    /// The peer did not answer, or not to the end.
    #[error("the handshake took too long")]
    Timeout,
    /// Both cannot come together.
    #[error("the handshake failed: {0}")]
    Handshake(String),
}

/// One DTLS association, from its first message on. Its `Debug` prints no key.
pub struct Association {
    identity: Identity,
    role: Role,
    fingerprints: Vec<Fingerprint>,
    dtls: Dtls,
    outputs: VecDeque<Output>,
    deadline: Option<Instant>,
    state: State,
    restarts: u32,
    counters: Counters,
}

/// What became of datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Handed to the handshake.
    pub received: u64,
    /// Left aside: the association is over.
    pub ignored: u64,
    /// Handshakes begun anew.
    pub restarts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody is known yet.
    Handshake,
    /// The certificate was the right one.
    Verified,
    Keyed,
    Over,
}

impl Association {
    /// With who shows a certificate of one of these fingerprints (RFC 8122 §5: of those with a hash that is known
    /// here one has to fit). Without any, nobody is good enough. An active one has its first message to send
    /// at once.
    #[must_use]
    pub fn new(now: Instant, identity: &Identity, role: Role, fingerprints: Vec<Fingerprint>) -> Self {
        let mut association = Self {
            dtls: begin(now, identity, role),
            identity: identity.clone(),
            role,
            fingerprints,
            outputs: VecDeque::new(),
            deadline: None,
            state: State::Handshake,
            restarts: 0,
            counters: Counters::default(),
        };
        association.handle_timeout(now);
        association
    }

    /// A datagram of the peer's.
    pub fn handle_input(&mut self, now: Instant, datagram: &[u8]) {
        if self.state == State::Over {
            self.counters.ignored += 1;
            return;
        }
        self.counters.received += 1;
        self.handle_timeout(now);
        if self.state == State::Over {
            return;
        }
        if let Err(error) = self.dtls.handle_packet(datagram) {
            self.drain();
            self.broke(now, &error);
            return;
        }
        self.drain();
    }

    /// The deadline came, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Over {
            return;
        }
        if let Err(error) = self.dtls.handle_timeout(now) {
            self.drain();
            self.broke(now, &error);
            return;
        }
        self.drain();
    }

    /// What comes next.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Idle(self.deadline))
    }

    /// Says goodbye, where there is somebody to say it to.
    pub fn close(&mut self) {
        // Who never came together parts without a word.
        if self.state == State::Keyed && self.dtls.close().is_ok() {
            self.drain();
        }
        self.over();
    }

    /// Whether keys were given.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.state == State::Keyed
    }

    /// Who began.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What became of datagrams.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes all that the handshake has to say.
    fn drain(&mut self) {
        let mut room = vec![0; ROOM];
        let mut connected = false;
        loop {
            match self.dtls.poll_output(&mut room) {
                dimpl::Output::Packet(datagram) => {
                    let datagram = match self.role {
                        Role::Active => datagram.to_vec(),
                        Role::Passive => request::outgoing(datagram),
                    };
                    if !datagram.is_empty() {
                        self.outputs.push_back(Output::Transmit(datagram));
                    }
                }
                dimpl::Output::BufferTooSmall { needed } => room.resize(needed, 0),
                dimpl::Output::Connected => connected = true,
                dimpl::Output::Timeout(at) => {
                    if connected && self.state != State::Keyed {
                        self.fail(Failure::NoProfile);
                    }
                    self.deadline = (self.state != State::Over).then_some(at);
                    return;
                }
                dimpl::Output::PeerCert(certificate) => {
                    if !self.fingerprints.iter().any(|one| one.fits(certificate)) {
                        self.fail(Failure::Fingerprint);
                    } else if self.state == State::Handshake {
                        self.state = State::Verified;
                    }
                }
                dimpl::Output::KeyingMaterial(material, profile) => {
                    let keys = keys(self.role, &Zeroizing::new(material.to_vec()), profile);
                    match (self.state, keys) {
                        (State::Verified, Some(keys)) => {
                            self.state = State::Keyed;
                            self.outputs.push_back(Output::Event(Event::Keys(Box::new(keys))));
                        }
                        // Keys without a certificate before them are nobody's.
                        (State::Handshake, _) => self.fail(Failure::Fingerprint),
                        (State::Verified, None) => self.fail(Failure::NoProfile),
                        (State::Keyed | State::Over, _) => {}
                    }
                }
                dimpl::Output::CloseNotify if self.state != State::Over => {
                    self.outputs.push_back(Output::Event(Event::Closed));
                    self.over();
                }
                // Data has no business here.
                _ => {}
            }
        }
    }

    /// The handshake's machine is of no use any more.
    fn broke(&mut self, now: Instant, error: &dimpl::Error) {
        match (self.state, error) {
            (State::Over, _) => {}
            // Before an answer of either version it keeps waiting for one.
            (
                State::Handshake,
                dimpl::Error::UnexpectedMessage(
                    dimpl::UnexpectedMessageError::UnrecognizedAutoServerResponse,
                ),
            ) => self.counters.ignored += 1,
            // The keys are there; what comes later on this association changes nothing.
            (State::Keyed, _) => self.over(),
            (_, dimpl::Error::Timeout(_)) => self.fail(Failure::Timeout),
            // It may have been somebody else's nonsense: whoever is meant begins anew (RFC 6347 §4.1.2.7).
            (_, _) if self.restarts < MAX_RESTARTS => {
                self.restarts += 1;
                self.counters.restarts += 1;
                self.state = State::Handshake;
                self.dtls = begin(now, &self.identity, self.role);
                self.handle_timeout(now);
            }
            (_, error) => self.fail(Failure::Handshake(error.to_string())),
        }
    }

    fn fail(&mut self, failure: Failure) {
        if self.state != State::Over {
            self.outputs.push_back(Output::Event(Event::Failed(failure)));
            self.over();
        }
    }

    fn over(&mut self) {
        self.state = State::Over;
        self.deadline = None;
    }
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, state, counters, .. } = self;
        f.debug_struct("Association")
            .field("role", role)
            .field("state", state)
            .field("counters", counters)
            .finish_non_exhaustive()
    }
}

fn begin(now: Instant, identity: &Identity, role: Role) -> Dtls {
    let config = match role {
        Role::Active => &identity.active,
        Role::Passive => &identity.passive,
    };
    let mut dtls = Dtls::new_auto(config.clone(), identity.certificate.clone(), now);
    dtls.set_active(role == Role::Active);
    dtls
}

/// RFC 5764 §4.2: the client's key, the server's key, the client's salt, the server's salt.
fn keys(role: Role, material: &[u8], profile: SrtpProfile) -> Option<Keys> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm128HmacSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        _ => return None,
    };
    let (client_key, rest) = material.split_at_checked(suite.key_len())?;
    let (server_key, rest) = rest.split_at_checked(suite.key_len())?;
    let (client_salt, server_salt) = rest.split_at_checked(suite.salt_len())?;
    let master = |key: &[u8], salt: &[u8]| MasterKey::new(suite, &Zeroizing::new([key, salt].concat())).ok();
    let (client, server) = (master(client_key, client_salt)?, master(server_key, server_salt)?);
    Some(match role {
        Role::Active => Keys { sending: client, receiving: server },
        Role::Passive => Keys { sending: server, receiving: client },
    })
}
