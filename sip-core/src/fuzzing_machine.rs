//! The endpoint under fuzzing: the data is a list of operations in virtual time.

use crate::{
    Endpoint, Limits, Message, Method, NameAddr, Request, StatusCode, Uri,
    endpoint::{
        Body, Call, Config, Event, FlowId, Input, Notifier, OutgoingCall, OutgoingRefer, OutgoingRequest,
        OutgoingSubscription, Output, PrackId, ServerRequest, Subscription, Transport,
    },
    usage::NotifierState,
};
use bytes::Bytes;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Datagrams, connections, commands and time in any order: nothing panics, a call ends once, and
/// when all is said nothing is left over.
pub(crate) fn endpoint(data: &[u8]) {
    run(data, World::new(false));
}

/// The same with subscriptions, transfers, reliable responses and session timers.
pub(crate) fn usages(data: &[u8]) {
    run(data, World::new(true));
}

fn run(data: &[u8], mut world: World) {
    let mut rest = Operations(data);
    while let Some(operation) = rest.next() {
        world.perform(operation, &mut rest);
        world.drain();
    }
    world.finish();
}

/// Operations and their arguments; arguments that are missing are zero.
struct Operations<'a>(&'a [u8]);

impl<'a> Operations<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        head
    }
}

struct World {
    endpoint: Endpoint,
    now: Instant,
    deadline: Option<Instant>,
    us: SocketAddr,
    peer: SocketAddr,
    calls: Vec<Call>,
    over: BTreeSet<Call>,
    waiting: Vec<ServerRequest>,
    /// The last request of ours, to be answered.
    asked: Option<Request>,
    /// The last tag of ours that a response carried.
    tag: String,
    connecting: Vec<FlowId>,
    /// Whether the usages beside calls take part.
    rich: bool,
    subscriptions: Vec<Subscription>,
    notifiers: Vec<Notifier>,
    /// What ended of both.
    ended: BTreeSet<(bool, u64)>,
    pracks: Vec<(Call, PrackId)>,
    /// The last RSeq of ours.
    rseq: u32,
}

/// What a message of the peer's may carry beside the usual.
const EXTRAS: [&str; 16] = [
    "",
    "Supported: 100rel, timer",
    "Require: 100rel",
    "Event: presence",
    "Event: presence\r\nSubscription-State: active;expires=60",
    "Event: presence\r\nSubscription-State: terminated;reason=timeout",
    "Event: refer\r\nSubscription-State: active;expires=9",
    "Event: refer\r\nSubscription-State: terminated;reason=noresource",
    "Refer-To: <sip:third@192.0.2.9>",
    "Refer-To: <sip:third@192.0.2.9>\r\nRefer-Sub: false",
    "Supported: timer\r\nSession-Expires: 90;refresher=uac",
    "Require: timer\r\nSession-Expires: 90;refresher=uas",
    "Supported: timer\r\nSession-Expires: 1\r\nMin-SE: 4000000000",
    "Expires: 0\r\nEvent: dialog",
    "Expires: 4294967295\r\nEvent: presence",
    "Retry-After: 9\r\nMin-Expires: 99\r\nMin-SE: 200",
];

const METHODS: [&str; 10] =
    ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "MESSAGE", "PRACK", "invite"];
/// With those of the usages beside calls.
const RICH: [&str; 10] =
    ["INVITE", "ACK", "CANCEL", "BYE", "UPDATE", "NOTIFY", "SUBSCRIBE", "REFER", "PRACK", "NOTIFY"];
const STATUSES: [u16; 12] = [100, 180, 183, 200, 200, 302, 401, 407, 481, 486, 491, 503];
/// With those of the usages beside calls.
const RICH_STATUSES: [u16; 12] = [180, 183, 183, 200, 200, 202, 401, 422, 423, 481, 489, 503];
const FLOW: FlowId = FlowId::accepted(1);

impl World {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other source; its value does not matter"
    )]
    fn new(rich: bool) -> Self {
        let (us, peer) = (SocketAddr::from(([192, 0, 2, 1], 5060)), SocketAddr::from(([192, 0, 2, 2], 5060)));
        let now = Instant::now();
        let mut config = Config { max_calls: 8, max_subscriptions: 8, ..Config::default() };
        if rich {
            config.allow.extend([Method::Message, Method::Subscribe, Method::Refer]);
        }
        let mut endpoint = Endpoint::new(config, [9; 32]);
        for transport in [Transport::Udp, Transport::Tcp] {
            endpoint.handle_input(now, Input::Bound { transport, local: us });
        }
        Self {
            endpoint,
            now,
            deadline: None,
            us,
            peer,
            calls: Vec::new(),
            over: BTreeSet::new(),
            waiting: Vec::new(),
            asked: None,
            tag: String::new(),
            connecting: Vec::new(),
            rich,
            subscriptions: Vec::new(),
            notifiers: Vec::new(),
            ended: BTreeSet::new(),
            pracks: Vec::new(),
            rseq: 0,
        }
    }

    fn perform(&mut self, operation: u8, rest: &mut Operations<'_>) {
        let (local, remote, now) = (self.us, self.peer, self.now);
        match operation % 12 {
            0 => self.pass(Duration::from_millis(u64::from(rest.byte()).pow(2))),
            1 => {
                let len = usize::from(rest.byte());
                let data = Bytes::copy_from_slice(rest.bytes(len));
                self.endpoint.handle_input(now, Input::Datagram { local, remote, data });
            }
            2 | 3 => {
                let text = self.request(rest);
                self.endpoint.handle_input(now, Input::Datagram { local, remote, data: text.into() });
            }
            4 | 5 => {
                if let Some(text) = self.response(rest) {
                    self.endpoint.handle_input(now, Input::Datagram { local, remote, data: text.into() });
                }
            }
            6 => {
                let text = self.request(rest).replace("/UDP", "/TCP");
                self.endpoint.handle_input(now, Input::Received { flow: FLOW, data: text.as_bytes() });
            }
            7 => {
                let transport = Transport::Tcp;
                self.endpoint.handle_input(now, Input::Accepted { flow: FLOW, transport, local, remote });
            }
            8 => self.endpoint.handle_input(now, Input::Closed { flow: FLOW }),
            9 => {
                if let Some(flow) = self.connecting.pop() {
                    self.endpoint.handle_input(
                        now,
                        match rest.byte() % 2 {
                            0 => Input::Connected { flow, local, remote },
                            _ => Input::ConnectFailed { flow, reason: String::new() },
                        },
                    );
                }
            }
            10 if self.rich => self.usage_command(rest.byte(), rest.byte()),
            _ => self.command(rest.byte(), rest.byte()),
        }
    }

    fn request(&self, rest: &mut Operations<'_>) -> String {
        let (method, branch, flags) = (rest.byte(), rest.byte() % 8, rest.byte());
        let methods = if self.rich { RICH } else { METHODS };
        let method = methods.get(usize::from(method) % methods.len()).copied().unwrap_or("INVITE");
        let extra = self.extra(rest);
        let branch = if flags & 1 == 0 { format!(";branch=z9hG4bK{branch}") } else { String::new() };
        let to = if flags & 2 == 0 { String::new() } else { format!(";tag={}", self.tag) };
        let from = if flags & 4 == 0 { ";tag=peer" } else { "" };
        format!(
            "{method} sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:peer@192.0.2.2>{from}\r\nTo: <sip:us@192.0.2.1>{to}\r\nCall-ID: call{}\r\nCSeq: {} {method}\r\n\
             Contact: <sip:peer@192.0.2.2:5060>\r\n{extra}Content-Length: 0\r\n\r\n",
            flags >> 6,
            (flags >> 3) & 7,
        )
    }

    fn response(&self, rest: &mut Operations<'_>) -> Option<String> {
        let request = self.asked.as_ref()?;
        let statuses = if self.rich { RICH_STATUSES } else { STATUSES };
        let status = statuses.get(usize::from(rest.byte()) % statuses.len()).copied().unwrap_or(200);
        let tag = rest.byte() % 3;
        let extra = self.extra(rest);
        let text = |name: &str| request.headers().text(name).unwrap_or_default().to_owned();
        Some(format!(
            "SIP/2.0 {status} x\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=p{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:peer@192.0.2.2:5060>\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"{tag}\"\r\n\
             {extra}Content-Length: 0\r\n\r\n",
            text("Via"),
            text("From"),
            text("To"),
            text("Call-ID"),
            text("CSeq"),
        ))
    }

    /// A further header, with what the last request of ours asks for.
    fn extra(&self, rest: &mut Operations<'_>) -> String {
        if !self.rich {
            return String::new();
        }
        let which = rest.byte();
        let line = EXTRAS.get(usize::from(which) % EXTRAS.len()).copied().unwrap_or("");
        let number = rest.byte() % 4;
        let line = if line.is_empty() { String::new() } else { format!("{line}\r\n") };
        match which >> 6 {
            0 => format!("{line}RSeq: {number}\r\n"),
            1 => format!("{line}RAck: {} 1 INVITE\r\n", self.rseq),
            _ => line,
        }
    }

    /// Commands of the usages beside calls.
    fn usage_command(&mut self, which: u8, whom: u8) {
        let (now, endpoint) = (self.now, &mut self.endpoint);
        let pick = usize::from(whom);
        let call = self.calls.get(pick % self.calls.len().max(1)).copied();
        let body = || Some(Body::new("application/sdp", "x"));
        let (Ok(peer), Ok(us)) = ("sip:peer@192.0.2.2".parse::<Uri>(), "sip:us@192.0.2.1".parse()) else {
            return;
        };
        let us = NameAddr::new(us);
        match which % 12 {
            0 => {
                let keep = whom & 1 == 0;
                let wish = OutgoingSubscription { keep, ..OutgoingSubscription::new(peer, us, "presence") };
                self.subscriptions.extend(endpoint.subscribe(now, wish).ok());
            }
            1 => {
                let refer = OutgoingRefer::new(NameAddr::new(peer));
                self.subscriptions.extend(call.and_then(|call| endpoint.refer(now, call, refer).ok()));
            }
            2 => {
                let base = OutgoingRequest::new(Method::Refer, peer, us.clone());
                let refer = OutgoingRefer::new(us);
                self.subscriptions.extend(endpoint.refer_outside(now, base, refer).ok());
            }
            3 => {
                if let Some(id) = self.subscriptions.get(pick % self.subscriptions.len().max(1)) {
                    drop(endpoint.unsubscribe(now, *id));
                }
            }
            4 | 5 => {
                if let Some(id) = self.waiting.pop() {
                    match endpoint.accept_subscription(now, id, 60, NotifierState::Active, body()) {
                        Ok(notifier) => self.notifiers.push(notifier),
                        Err(_) => match endpoint.accept_refer(now, id, 60) {
                            Ok(notifier) => self.notifiers.extend(notifier),
                            Err(_) => drop(endpoint.respond(now, id, StatusCode::OK, Vec::new(), None)),
                        },
                    }
                }
            }
            6 => {
                if let Some(id) = self.notifiers.get(pick % self.notifiers.len().max(1)) {
                    drop(endpoint.notify(now, *id, NotifierState::Active, body()));
                }
            }
            7 => {
                if let Some(id) = self.notifiers.get(pick % self.notifiers.len().max(1)) {
                    drop(endpoint.end_notifier(now, *id, "noresource", None));
                }
            }
            8 => {
                if let Some(call) = call {
                    drop(endpoint.provisional(now, call, StatusCode::SESSION_PROGRESS, body()));
                }
            }
            9 => {
                if let Some((call, id)) = self.pracks.pop() {
                    drop(endpoint.prack(now, call, id, body()));
                }
            }
            10 => {
                if let Some(call) = call {
                    drop(endpoint.update(now, call, body()));
                }
            }
            _ => {
                if let Some(id) = self.subscriptions.get(pick % self.subscriptions.len().max(1)) {
                    drop(endpoint.resubscribe(now, *id));
                }
            }
        }
    }

    /// Refusals blame us, and are fine.
    fn command(&mut self, which: u8, whom: u8) {
        let (now, endpoint) = (self.now, &mut self.endpoint);
        let call = self.calls.get(usize::from(whom) % self.calls.len().max(1)).copied();
        match (which % 12, call) {
            (0, _) => {
                let (Ok(target), Ok(from)) = ("sip:peer@192.0.2.2".parse(), "sip:us@192.0.2.1".parse())
                else {
                    return;
                };
                let transport = whom.is_multiple_of(3).then_some(Transport::Tcp);
                let credentials = Some(crate::auth::Credentials::new("us", "pw").for_realm("r"));
                let call =
                    OutgoingCall { transport, credentials, ..OutgoingCall::new(target, NameAddr::new(from)) };
                self.calls.extend(endpoint.invite(now, call).ok());
            }
            (1, Some(call)) => drop(endpoint.provisional(now, call, StatusCode::RINGING, None)),
            (2, Some(call)) => drop(endpoint.accept(now, call, Vec::new(), None)),
            (3, Some(call)) => drop(endpoint.reject(now, call, StatusCode::BUSY_HERE, None, Vec::new())),
            (4, Some(call)) => drop(endpoint.cancel(now, call)),
            (5, Some(call)) => drop(endpoint.bye(now, call, Vec::new())),
            (6, Some(call)) => drop(endpoint.reinvite(now, call, None)),
            (7, Some(call)) => drop(endpoint.ack(now, call, None)),
            (8, Some(call)) => drop(endpoint.update(now, call, None)),
            (9 | 10, _) => {
                if let Some(id) = self.waiting.pop() {
                    drop(endpoint.respond(now, id, StatusCode::OK, Vec::new(), None));
                }
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            match self.endpoint.poll_output() {
                Output::Idle(at) => {
                    assert!(
                        matches!(self.endpoint.poll_output(), Output::Idle(again) if again == at),
                        "idle repeats itself"
                    );
                    self.deadline = at;
                    return;
                }
                Output::Event(event) => self.event(event),
                Output::Transmit { data, .. } | Output::Write { data, .. } => self.sent(data),
                Output::Connect { flow, .. } => self.connecting.push(flow),
                Output::Disconnect { .. } | Output::Resolve { .. } => {}
            }
        }
        panic!("draining does not end");
    }

    fn sent(&mut self, data: Bytes) {
        if data.as_ref() == b"\r\n" {
            return;
        }
        match Message::parse(data, &Limits::default()).expect("we send messages") {
            Message::Request(request) => {
                assert_eq!(request.validate(), Ok(()), "we send good requests");
                self.asked = Some(request);
            }
            Message::Response(response) => {
                if let Some(rseq) = response.header::<crate::header::RSeq>() {
                    self.rseq = rseq.0;
                }
                if let Some(tag) = response.to().ok().and_then(|to| to.tag().map(str::to_owned)) {
                    self.tag = tag;
                }
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Incoming { call, .. } => self.calls.push(call),
            Event::Reinvite { id, .. } | Event::Request { id, .. } => self.waiting.push(id),
            Event::Cancelled { call, .. } | Event::Failed { call, .. } | Event::Ended { call, .. } => {
                assert!(self.over.insert(call), "a call ends once");
            }
            Event::PrackDue { call, id } => self.pracks.push((call, id)),
            Event::SubscriptionEnded { subscription, .. } => {
                assert!(self.ended.insert((true, subscription.0)), "a subscription ends once");
            }
            Event::NotifierEnded { notifier, .. } => {
                assert!(self.ended.insert((false, notifier.0)), "a subscription ends once");
            }
            Event::Subscribed { subscription, .. } | Event::Notified { subscription, .. } => {
                assert!(!self.ended.contains(&(true, subscription.0)), "nothing happens after the end");
            }
            Event::Answered { call, .. }
            | Event::Provisional { call, .. }
            | Event::Confirmed { call, .. }
            | Event::ReinviteAnswered { call, .. } => {
                assert!(!self.over.contains(&call), "nothing happens after the end");
            }
            _ => {}
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        for _ in 0..100_000 {
            let Some(at) = self.deadline.filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.drain();
        }
        panic!("time stands still");
    }

    /// Everybody hangs up, and time passes.
    fn finish(&mut self) {
        for _ in 0..2 {
            for call in self.calls.clone() {
                for which in [3, 7, 5, 4] {
                    let whom = self.calls.iter().position(|c| *c == call).unwrap_or(0);
                    self.command(which, u8::try_from(whom).unwrap_or(0));
                }
            }
            for id in self.subscriptions.clone() {
                drop(self.endpoint.unsubscribe(self.now, id));
            }
            for id in self.notifiers.clone() {
                drop(self.endpoint.end_notifier(self.now, id, "noresource", None));
            }
            self.pass(Duration::from_secs(200));
        }
        assert_eq!(self.endpoint.stats().subscriptions, 0, "a subscription is left over");
        assert_eq!(self.ended.len(), self.subscriptions.len() + self.notifiers.len(), "every one ends");
        if self.calls.len() <= usize::from(u8::MAX) {
            let stats = self.endpoint.stats();
            assert_eq!(
                (stats.calls, stats.client_transactions, stats.server_transactions),
                (0, 0, 0),
                "something is left over: {stats:?}"
            );
            assert_eq!(self.over.len(), self.calls.len(), "every call ends");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_operations_leave_nothing_over() {
        let mut longer = Vec::new();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..3_000 {
            let data: Vec<u8> = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[4]
            })
            .take(120)
            .collect();
            endpoint(&data);
            longer.extend(data);
            if longer.len() > 1_000 {
                usages(&std::mem::take(&mut longer));
            }
        }
    }
}
