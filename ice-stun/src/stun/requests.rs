//! The requests that a client has under way with one server: signing, repeating, answering challenges
//! (RFC 8489 §6, §9, §10).

use std::net::SocketAddr;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::Nonce;
use super::attribute::{AlternateDomain, AlternateServer, ErrorCode, Kind, Software, UnknownAttributes};
use super::authentication::{Authentication, Credentials, NoAnswer};
use super::builder::Builder;
use super::credentials::{NonceFeatures, PasswordAlgorithms};
use super::message::{Class, Message, Method, TransactionId};
use super::transaction::{Due, Timing, Transaction, Verdict};
use crate::error::UsageError;

/// Attributes that must be understood, and are (RFC 8489 §6.3.3).
const KNOWN: &[Kind] = &[
    Kind::MAPPED_ADDRESS,
    Kind::CHANGE_REQUEST,
    // SOURCE-ADDRESS and CHANGED-ADDRESS of RFC 3489, which servers of RFC 5780 still send.
    Kind(0x0004),
    Kind(0x0005),
    Kind::USERNAME,
    Kind::MESSAGE_INTEGRITY,
    Kind::ERROR_CODE,
    Kind::UNKNOWN_ATTRIBUTES,
    Kind::CHANNEL_NUMBER,
    Kind::LIFETIME,
    Kind::XOR_PEER_ADDRESS,
    Kind::DATA,
    Kind::REALM,
    Kind::NONCE,
    Kind::XOR_RELAYED_ADDRESS,
    Kind::REQUESTED_ADDRESS_FAMILY,
    Kind::EVEN_PORT,
    Kind::REQUESTED_TRANSPORT,
    Kind::DONT_FRAGMENT,
    Kind::MESSAGE_INTEGRITY_SHA256,
    Kind::PASSWORD_ALGORITHM,
    Kind::USERHASH,
    Kind::XOR_MAPPED_ADDRESS,
    Kind::RESERVATION_TOKEN,
    Kind::PADDING,
    Kind::RESPONSE_PORT,
    Kind::CONNECTION_ID,
];

/// New nonces that one request is tried with.
const STALE_LIMIT: u8 = 3;

/// Why a request has no good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No response.
    #[error("the server does not answer")]
    TimedOut,
    /// Responses came, but not from who has the password (RFC 8489 §9.1.4).
    #[error("no response had the right integrity")]
    IntegrityViolated,
    /// An error response.
    #[error("refused: {code} {reason}")]
    Refused {
        /// 300 to 699.
        code: u16,
        /// In the server's words.
        reason: String,
    },
    /// Credentials are missing or wrong.
    #[error("the server does not take our credentials")]
    Unauthenticated,
    /// What a nonce promises was taken away, or the server asks for what we do not know (RFC 8489 §9.2.5).
    #[error("the server's password algorithms were changed on the way, or are none of ours")]
    Algorithms,
    /// Another server is to be asked, over a new connection (RFC 8489 §10).
    #[error("redirected to {server}")]
    Redirected {
        /// Which.
        server: SocketAddr,
        /// Whose certificate it shows; the first server's if absent.
        domain: Option<String>,
    },
    /// The server lacks what we asked for (420).
    #[error("the server does not understand {0:?}")]
    UnknownAttributes(Vec<Kind>),
    /// A response that lacks what it must have, or has what we must understand and do not.
    #[error("the response is malformed: {0}")]
    Malformed(&'static str),
    /// What we would have to send cannot be written.
    #[error("the request cannot be written: {0}")]
    Unwritable(UsageError),
    /// The connection to the server is gone.
    #[error("the connection is closed")]
    Disconnected,
}

/// Something to ask a server for; asked again with a new nonce it is written again.
pub(crate) trait Ask {
    fn method(&self) -> Method;
    fn write(&self, builder: Builder) -> Result<Builder, UsageError>;
    /// Whether the request is sent as it is, without credentials.
    fn is_anonymous(&self) -> bool {
        false
    }
}

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Outcome<A> {
    /// It is no response to a request of ours.
    Unrelated,
    /// It was one, but the request is still under way.
    Waiting,
    /// The response that was hoped for.
    Success(A),
    /// The end of a request.
    Failed(A, Failure),
}

#[derive(Debug)]
struct Pending<A> {
    ask: A,
    transaction: Transaction,
    signed: bool,
    stale: u8,
}

/// What all requests have in common.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) reliable: bool,
    pub(crate) timing: Timing,
    pub(crate) software: Option<String>,
    pub(crate) fingerprint: bool,
}

#[derive(Debug)]
pub(crate) struct Requests<A> {
    manner: Manner,
    authentication: Authentication,
    pending: Vec<Pending<A>>,
    random: ChaCha20Rng,
    discarded: u64,
}

impl<A: Ask> Requests<A> {
    pub(crate) fn new(manner: Manner, credentials: Credentials, seed: [u8; 32]) -> Self {
        Self {
            manner,
            authentication: Authentication::new(credentials),
            pending: Vec::new(),
            random: ChaCha20Rng::from_seed(seed),
            discarded: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn asks(&self) -> impl Iterator<Item = &A> {
        self.pending.iter().map(|pending| &pending.ask)
    }

    /// Requests to the same server with the same credentials and challenge, over a connection.
    pub(crate) fn for_another_connection<B: Ask>(&self, seed: [u8; 32]) -> Requests<B> {
        Requests {
            manner: Manner { reliable: true, ..self.manner.clone() },
            authentication: self.authentication.clone(),
            pending: Vec::new(),
            random: ChaCha20Rng::from_seed(seed),
            discarded: 0,
        }
    }

    /// Responses that were thrown away, or came for no request of ours.
    pub(crate) fn discarded(&self) -> u64 {
        self.discarded
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Another server: what the old one said is forgotten.
    pub(crate) fn change_server(&mut self) {
        self.authentication.forget();
        self.pending.clear();
    }

    pub(crate) fn random_id(&mut self) -> TransactionId {
        let mut id = [0; 12];
        self.random.fill_bytes(&mut id);
        id
    }

    /// Begins a request; [`Requests::transmit`] sends it. The ask comes back if it cannot be written.
    pub(crate) fn begin(&mut self, now: Instant, ask: A) -> Result<(), (A, Failure)> {
        self.begin_again(now, ask, 0)
    }

    fn begin_again(&mut self, now: Instant, ask: A, stale: u8) -> Result<(), (A, Failure)> {
        let (request, key) = match self.write(&ask) {
            Ok(written) => written,
            Err(error) => return Err((ask, Failure::Unwritable(error))),
        };
        let signed = key.is_some();
        let transaction = Transaction::new(now, request, key, self.manner.reliable, self.manner.timing);
        self.pending.push(Pending { ask, transaction, signed, stale });
        Ok(())
    }

    #[expect(clippy::type_complexity, reason = "a message and what signed it")]
    fn write(&mut self, ask: &A) -> Result<(Vec<u8>, Option<(super::Key, super::Integrity)>), UsageError> {
        let id = self.random_id();
        let mut builder = Builder::new(Class::Request, ask.method(), id);
        if let Some(software) = &self.manner.software {
            builder = builder.attribute(&Software(software))?;
        }
        builder = ask.write(builder)?;
        if ask.is_anonymous() {
            return Ok((builder.finish_with(None, self.manner.fingerprint), None));
        }
        let builder = self.authentication.identify(builder)?;
        let key = self.authentication.key();
        let signed = key.as_ref().map(|(key, hash)| (key, *hash));
        Ok((builder.finish_as(signed, self.manner.fingerprint), key))
    }

    /// Sends what is due; the first request whose time is over comes back. Call until it gives `None`.
    pub(crate) fn transmit(&mut self, now: Instant, mut send: impl FnMut(&[u8])) -> Option<(A, Failure)> {
        for at in 0..self.pending.len() {
            let Some(pending) = self.pending.get_mut(at) else { break };
            match pending.transaction.handle_timeout(now) {
                Due::Nothing => {}
                Due::Send(bytes) => send(bytes),
                Due::TimedOut { integrity_violated } => {
                    let ask = self.pending.remove(at).ask;
                    let why = if integrity_violated { Failure::IntegrityViolated } else { Failure::TimedOut };
                    return Some((ask, why));
                }
            }
        }
        None
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.transaction.deadline()).min()
    }

    /// Judges a message from the server.
    pub(crate) fn handle_response(&mut self, now: Instant, message: &Message<'_>) -> Outcome<A> {
        let found =
            self.pending.iter().position(|pending| pending.transaction.relates(message) == Verdict::Response);
        let Some(at) = found else {
            self.discarded = self.discarded.saturating_add(1);
            return Outcome::Unrelated;
        };
        let error = match (message.class(), message.get::<ErrorCode<'_>>()) {
            (Class::Success, _) => None,
            (_, Some(Ok(error))) => Some(error),
            _ => Some(ErrorCode { code: 500, reason: "an error without a code" }),
        };
        // RFC 8489 §9.2.5: challenges come before integrity; nobody could have signed them.
        if let Some(ErrorCode { code: code @ (401 | 438), .. }) = error {
            return self.handle_challenge(now, at, message, code == 438);
        }
        // RFC 8489 §9.2.5: who took PASSWORD-ALGORITHMS away meddles.
        let stripped = match message.get::<Nonce<'_>>() {
            Some(Ok(Nonce(nonce))) => {
                NonceFeatures::of(nonce).password_algorithms
                    && message.get::<PasswordAlgorithms<'_>>().is_none()
            }
            _ => false,
        };
        let Some(pending) = self.pending.get_mut(at) else { return Outcome::Unrelated };
        let verdict =
            if stripped { pending.transaction.discard() } else { pending.transaction.judge(message) };
        match verdict {
            Verdict::Response => {}
            Verdict::Violated => {
                self.discarded = self.discarded.saturating_add(1);
                return Outcome::Failed(self.pending.remove(at).ask, Failure::IntegrityViolated);
            }
            Verdict::Discarded | Verdict::Unrelated => {
                self.discarded = self.discarded.saturating_add(1);
                return Outcome::Waiting;
            }
        }
        let ask = self.pending.remove(at).ask;
        // RFC 8489 §6.3.3, §6.3.4: a response with what must be understood and is not, is a failure.
        if message.unknown_required(KNOWN).next().is_some() {
            return Outcome::Failed(ask, Failure::Malformed("an unknown attribute that must be understood"));
        }
        match error {
            None => Outcome::Success(ask),
            Some(error) => Outcome::Failed(ask, refusal(&error, message)),
        }
    }

    fn handle_challenge(
        &mut self,
        now: Instant,
        at: usize,
        message: &Message<'_>,
        stale: bool,
    ) -> Outcome<A> {
        let Pending { ask, signed, stale: before, .. } = self.pending.remove(at);
        let stale = stale && signed;
        if before >= STALE_LIMIT {
            return Outcome::Failed(ask, Failure::Unauthenticated);
        }
        match self.authentication.challenged(message, signed, stale) {
            Ok(()) => match self.begin_again(now, ask, before + u8::from(stale)) {
                Ok(()) => Outcome::Waiting,
                Err((ask, failure)) => Outcome::Failed(ask, failure),
            },
            Err(NoAnswer::Rejected) => Outcome::Failed(ask, Failure::Unauthenticated),
            Err(NoAnswer::Malformed) => {
                Outcome::Failed(ask, Failure::Malformed("a challenge without realm or nonce"))
            }
            Err(NoAnswer::Algorithms) => Outcome::Failed(ask, Failure::Algorithms),
        }
    }
}

fn refusal(error: &ErrorCode<'_>, message: &Message<'_>) -> Failure {
    match error.code {
        300 => match message.get::<AlternateServer>() {
            Some(Ok(AlternateServer(server))) => Failure::Redirected {
                server,
                domain: match message.get::<AlternateDomain<'_>>() {
                    Some(Ok(AlternateDomain(domain))) => Some(domain.to_owned()),
                    _ => None,
                },
            },
            _ => Failure::Malformed("300 without ALTERNATE-SERVER"),
        },
        420 => match message.get::<UnknownAttributes>() {
            Some(Ok(UnknownAttributes(mut kinds))) => {
                kinds.truncate(32);
                Failure::UnknownAttributes(kinds)
            }
            _ => Failure::UnknownAttributes(Vec::new()),
        },
        code => Failure::Refused { code, reason: error.reason.to_owned() },
    }
}
