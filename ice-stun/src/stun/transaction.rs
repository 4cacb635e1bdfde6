//! One request and its way to a response (RFC 8489 §6.2).
//!
//! ```text
//!   request  0.5 s  request  1 s  request  2 s  ...  7th request   16 × 0.5 s   no response
//!   |--------------|-------------|-------------- ... -|---------------------------|
//! ```

use std::time::{Duration, Instant};

use super::integrity::{Integrity, Key};
use super::message::{Class, Message, Method, TransactionId};

/// How a request is repeated (RFC 8489 §6.2.1, §6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Before the first repetition; doubles with each.
    pub rto: Duration,
    /// Rc: how often the request is sent.
    pub requests: u32,
    /// Rm: times `rto` that are waited after the last one.
    pub last_wait: u32,
    /// Ti: how long a response may take over TCP or TLS, where nothing is repeated.
    pub reliable_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            rto: Duration::from_millis(500),
            requests: 7,
            last_wait: 16,
            reliable_timeout: Duration::from_millis(39_500),
        }
    }
}

/// What is to be done for a [`Transaction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due<'a> {
    /// Nothing before [`Transaction::deadline`].
    Nothing,
    /// Send this, again or for the first time.
    Send(&'a [u8]),
    /// No response came, or none that could be believed.
    TimedOut {
        /// Responses came and all were thrown away: someone meddles (RFC 8489 §9.1.4).
        integrity_violated: bool,
    },
}

/// What a message is to a [`Transaction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not its response.
    Unrelated,
    /// Its response, but not by who has the key; wait on.
    Discarded,
    /// The same over a reliable transport: the transaction is over (RFC 8489 §9.1.4).
    Violated,
    /// Its response.
    Response,
}

/// A request that waits for its response. Whoever holds it compares where responses come from: the
/// rules differ (RFC 8489 §6.3.3 leaves it open, RFC 8445 §7.2.5.2.1 does not).
#[derive(Clone, Debug)]
pub struct Transaction {
    request: Vec<u8>,
    id: TransactionId,
    method: Method,
    key: Option<(Key, Integrity)>,
    reliable: bool,
    /// How often it was sent.
    sent: u32,
    /// Until the next one, before doubling.
    interval: Duration,
    deadline: Instant,
    timing: Timing,
    discarded: u32,
}

impl Transaction {
    /// A request that is due to be sent now. `key` is what signed it: responses must be signed with
    /// the same key and hash.
    ///
    /// # Panics
    /// If `request` is no STUN message.
    pub fn new(
        now: Instant,
        request: Vec<u8>,
        key: Option<(Key, Integrity)>,
        reliable: bool,
        timing: Timing,
    ) -> Self {
        let message = Message::parse(&request).expect("the caller built a request");
        let (id, method) = (message.transaction_id(), message.method());
        Self {
            request,
            id,
            method,
            key,
            reliable,
            sent: 0,
            interval: timing.rto,
            deadline: now,
            timing,
            discarded: 0,
        }
    }

    /// Its id.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// What is asked for.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The request.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// How often it was sent.
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// Responses that were thrown away.
    pub fn discarded(&self) -> u32 {
        self.discarded
    }

    /// When [`Transaction::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is due. A late call sends once, not once for every repetition that was missed.
    pub fn handle_timeout(&mut self, now: Instant) -> Due<'_> {
        if now < self.deadline {
            return Due::Nothing;
        }
        let requests = if self.reliable { 1 } else { self.timing.requests.max(1) };
        if self.sent >= requests {
            return Due::TimedOut { integrity_violated: self.discarded > 0 };
        }
        self.sent += 1;
        let wait = if self.reliable {
            self.timing.reliable_timeout
        } else if self.sent == requests {
            self.timing.rto.saturating_mul(self.timing.last_wait)
        } else {
            let wait = self.interval;
            self.interval = wait.saturating_mul(2);
            wait
        };
        self.deadline = now + wait;
        Due::Send(&self.request)
    }

    /// Nothing is sent any more, but a response is still waited for until `until` (RFC 8445 §7.2.5.3.3,
    /// and cancelled pairs).
    pub fn stop_repeating(&mut self, until: Instant) {
        self.sent = u32::MAX;
        self.deadline = until;
    }

    /// Judges a message: id, method and class, then its integrity, if the request was signed.
    pub fn judge(&mut self, message: &Message<'_>) -> Verdict {
        let verdict = self.relates(message);
        if verdict != Verdict::Response {
            return verdict;
        }
        let Some((key, hash)) = &self.key else { return Verdict::Response };
        // RFC 8489 §9.1.4: the algorithm of the response has to match.
        if message.has_integrity(*hash) && message.verify(key) {
            return Verdict::Response;
        }
        self.discard()
    }

    /// [`Verdict::Response`] or [`Verdict::Unrelated`], integrity apart.
    pub fn relates(&self, message: &Message<'_>) -> Verdict {
        let is = matches!(message.class(), Class::Success | Class::Error)
            && message.transaction_id() == self.id
            && message.method() == self.method
            // RFC 8489 §6.3: a wrong fingerprint is no message of ours.
            && message.fingerprint() != Some(false);
        if is { Verdict::Response } else { Verdict::Unrelated }
    }

    /// Counts a response that cannot be believed.
    pub fn discard(&mut self) -> Verdict {
        self.discarded = self.discarded.saturating_add(1);
        if self.reliable { Verdict::Violated } else { Verdict::Discarded }
    }
}

#[cfg(test)]
mod tests {
    use testkit::Clock;

    use super::*;
    use crate::stun::{Builder, ErrorCode};

    fn request() -> Vec<u8> {
        Builder::new(Class::Request, Method::BINDING, [7; 12]).finish()
    }

    fn response(id: TransactionId, key: Option<&Key>) -> Vec<u8> {
        Builder::new(Class::Success, Method::BINDING, id).finish_with(key, true)
    }

    #[test]
    fn repeats_as_rfc_8489_6_2_1_counts() {
        let mut clock = Clock::new();
        let mut one = Transaction::new(clock.now(), request(), None, false, Timing::default());
        let mut sent = Vec::new();
        loop {
            clock.advance_to(one.deadline());
            match one.handle_timeout(clock.now()) {
                Due::Send(bytes) => {
                    assert_eq!(bytes, request());
                    sent.push(clock.elapsed().as_millis());
                }
                Due::TimedOut { integrity_violated } => {
                    assert!(!integrity_violated);
                    break;
                }
                Due::Nothing => panic!("the deadline is there"),
            }
            assert_eq!(one.handle_timeout(clock.now()), Due::Nothing, "early calls do nothing");
        }
        assert_eq!(sent, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!(clock.elapsed(), Duration::from_millis(39_500));
    }

    #[test]
    fn a_stream_gets_it_once() {
        let mut clock = Clock::new();
        let mut one = Transaction::new(clock.now(), request(), None, true, Timing::default());
        assert!(matches!(one.handle_timeout(clock.now()), Due::Send(_)));
        clock.advance_to(one.deadline());
        assert_eq!(clock.elapsed(), Duration::from_millis(39_500));
        assert!(matches!(one.handle_timeout(clock.now()), Due::TimedOut { .. }));
    }

    #[test]
    fn only_its_own_response_is_one() {
        let clock = Clock::new();
        let mut one = Transaction::new(clock.now(), request(), None, false, Timing::default());
        let mut judge = |bytes: &[u8]| one.judge(&Message::parse(bytes).unwrap());
        assert_eq!(judge(&response([8; 12], None)), Verdict::Unrelated, "a guessed id");
        assert_eq!(judge(&request()), Verdict::Unrelated, "a request");
        let other = Builder::new(Class::Success, Method::ALLOCATE, [7; 12]).finish();
        assert_eq!(judge(&other), Verdict::Unrelated, "another method");
        let mut broken = response([7; 12], None);
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(judge(&broken), Verdict::Unrelated, "a wrong fingerprint");
        assert_eq!(judge(&response([7; 12], None)), Verdict::Response);
    }

    #[test]
    fn what_is_not_signed_with_the_key_is_thrown_away() {
        let mut clock = Clock::new();
        let key = Key::short_term("secret");
        let signed = |hash| Some((key.clone(), hash));
        let mut one =
            Transaction::new(clock.now(), request(), signed(Integrity::Sha1), false, Timing::default());
        let forged = [
            response([7; 12], None),
            response([7; 12], Some(&Key::short_term("guess"))),
            Builder::new(Class::Error, Method::BINDING, [7; 12])
                .attribute(&ErrorCode { code: 400, reason: "" })
                .unwrap()
                .finish(),
        ];
        for bytes in &forged {
            assert_eq!(one.judge(&Message::parse(bytes).unwrap()), Verdict::Discarded);
        }
        // It goes on, and the end says that someone meddles.
        let end = loop {
            clock.advance_to(one.deadline());
            if let Due::TimedOut { integrity_violated } = one.handle_timeout(clock.now()) {
                break integrity_violated;
            }
        };
        assert!(end);
        assert_eq!(clock.elapsed(), Duration::from_millis(39_500));
        // Over TCP it is over at once.
        let mut one =
            Transaction::new(clock.now(), request(), signed(Integrity::Sha1), true, Timing::default());
        assert_eq!(one.judge(&Message::parse(&forged[0]).unwrap()), Verdict::Violated);
        // A weaker hash than ours is no answer to us.
        let mut one =
            Transaction::new(clock.now(), request(), signed(Integrity::Sha256), false, Timing::default());
        assert_eq!(one.judge(&Message::parse(&response([7; 12], Some(&key))).unwrap()), Verdict::Discarded);
        let strong = Builder::new(Class::Success, Method::BINDING, [7; 12])
            .finish_as(Some((&key, Integrity::Sha256)), true);
        assert_eq!(one.judge(&Message::parse(&strong).unwrap()), Verdict::Response);
    }
}
