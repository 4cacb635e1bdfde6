//! Client transactions and who they are for (RFC 3261 §17.1).

use super::{
    Cause, Endpoint, Event, FlowId, Notifier, Output, Owner, RequestId, Subscription, event::Call,
    send::Template,
};
use crate::{
    Method, Request, Response, StatusCode, Uri,
    header::{CSeq, HeaderName, MaxForwards, Via},
    resolve::Hop,
    transaction::{ClientAction, InviteClient, NonInviteClient},
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::{collections::VecDeque, net::SocketAddr, time::Instant};

/// The branch of a client transaction; the CANCEL of an INVITE shares its branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClientKey {
    pub(crate) branch: u64,
    pub(crate) cancel: bool,
}

impl ClientKey {
    pub(crate) fn branch_text(self) -> String {
        format!("{}{:016x}", Via::MAGIC_COOKIE, self.branch)
    }

    /// The transaction that a response names (RFC 3261 §17.1.3).
    fn of(via: &Via, cseq: &CSeq) -> Option<Self> {
        let hex = via.branch()?.strip_prefix(Via::MAGIC_COOKIE)?;
        Some(Self { branch: super::number16(hex)?, cancel: cseq.method == Method::Cancel })
    }
}

/// Who wants to know what becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// The INVITE that makes a call.
    Invite(Call),
    /// An INVITE within it.
    Reinvite(Call),
    /// What the user of the endpoint ended it with.
    Bye(Call),
    /// Another request within it.
    InCall(Call, RequestId),
    /// The acknowledgement of a reliable provisional response.
    Prack(Call),
    /// An UPDATE that only refreshes the session.
    Refresh(Call),
    /// A SUBSCRIBE, or the REFER that makes a subscription, in the dialog with this tag of ours.
    Subscribe(Subscription, u64),
    /// A NOTIFY.
    Notify(Notifier),
    /// A request out of any call.
    Request(RequestId),
    /// Nobody: ACK, CANCEL, and BYEs of the endpoint itself.
    Nobody,
}

/// A client transaction, from when its way is looked for.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) user: User,
    pub(crate) method: Method,
    pub(crate) machine: ClientMachine,
    /// What it was made from, as long as it may have to be sent again another way.
    pub(crate) template: Option<Box<Template>>,
    pub(crate) path: Option<Path>,
    /// As it was sent.
    pub(crate) bytes: Bytes,
    pub(crate) targets: VecDeque<Hop>,
    /// When the next of them is tried if this one says nothing.
    pub(crate) give_up: Option<Instant>,
    /// UDP, if the TCP that the size asks for is not there.
    pub(crate) fallback: Option<Hop>,
    pub(crate) fell_back: bool,
    pub(crate) last_error: Option<String>,
    /// What a CANCEL of it says (RFC 3326).
    pub(crate) cancel_reason: Option<Box<str>>,
    /// The ACK of a refusal, for retransmitted ones (RFC 3261 §17.1.1.3).
    ack: Option<Bytes>,
    /// The ACKs of 2xx by the tag in To, for retransmitted ones (RFC 3261 §13.2.2.4).
    pub(crate) acks: Vec<(Box<str>, Option<ClientKey>)>,
}

#[derive(Debug)]
pub(crate) enum ClientMachine {
    Waiting(Waiting),
    Invite(InviteClient),
    Other(NonInviteClient),
    /// An ACK is sent, and sent again when its INVITE's 2xx comes again.
    Ack {
        until: Instant,
    },
}

/// What a request waits for before it can be sent.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// It is not known yet where to.
    pub(crate) locating: bool,
    /// Connections of which the first that is there will do.
    pub(crate) flows: SmallVec<[FlowId; 2]>,
    /// When another connection is tried beside them.
    pub(crate) race: Option<Instant>,
    pub(crate) until: Instant,
}

impl Waiting {
    pub(crate) fn new(until: Instant) -> Self {
        Self { locating: false, flows: SmallVec::new(), race: None, until }
    }
}

/// How a request left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    Udp { local: SocketAddr, remote: SocketAddr },
    Stream(FlowId),
}

impl Client {
    /// A client that is about to be located.
    pub(crate) fn new(now: Instant, template: Template, user: User) -> Self {
        Self {
            user,
            method: template.request.method().clone(),
            machine: ClientMachine::Waiting(Waiting::new(now)),
            template: Some(Box::new(template)),
            path: None,
            bytes: Bytes::new(),
            targets: VecDeque::new(),
            give_up: None,
            fallback: None,
            fell_back: false,
            last_error: None,
            cancel_reason: None,
            ack: None,
            acks: Vec::new(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let machine = match &self.machine {
            ClientMachine::Waiting(waiting) => Some(waiting.until).into_iter().chain(waiting.race).min(),
            ClientMachine::Invite(machine) => machine.deadline(),
            ClientMachine::Other(machine) => machine.deadline(),
            ClientMachine::Ack { until } => Some(*until),
        };
        machine.into_iter().chain(self.give_up).min()
    }

    fn is_terminated(&self) -> bool {
        match &self.machine {
            ClientMachine::Waiting(_) | ClientMachine::Ack { .. } => false,
            ClientMachine::Invite(machine) => machine.is_terminated(),
            ClientMachine::Other(machine) => machine.is_terminated(),
        }
    }

    /// Whether it is an INVITE that has a provisional and no final response.
    pub(crate) fn is_proceeding(&self) -> bool {
        matches!(&self.machine, ClientMachine::Invite(machine) if machine.is_proceeding())
    }

    fn is_cancelled(&self) -> bool {
        matches!(&self.machine, ClientMachine::Invite(machine) if machine.is_cancelled())
    }

    pub(crate) fn is_pending(&self) -> bool {
        match &self.machine {
            ClientMachine::Waiting(_) => true,
            ClientMachine::Invite(machine) => machine.is_pending(),
            ClientMachine::Other(machine) => machine.is_pending(),
            ClientMachine::Ack { .. } => false,
        }
    }
}

impl Endpoint {
    pub(crate) fn is_client_pending(&self, key: ClientKey) -> bool {
        self.clients.get(&key).is_some_and(Client::is_pending)
    }

    /// Sends bytes the way that an earlier message went.
    fn send_path(&mut self, now: Instant, path: Path, data: Bytes) {
        match path {
            Path::Udp { local, remote } => self.outputs.push_back(Output::Transmit { local, remote, data }),
            // If the connection is gone, its users have been told.
            Path::Stream(flow) => {
                self.write(now, flow, data);
            }
        }
    }

    /// A response came (RFC 3261 §17.1.3, §18.1.2).
    pub(crate) fn response(&mut self, now: Instant, response: Response) {
        let mut vias = response.headers().all::<Via>();
        let (Some(Ok(via)), Ok(cseq)) = (vias.next(), response.cseq()) else { return };
        // RFC 3261 §8.1.3.3: a response with more than our Via is not for us.
        let found = ClientKey::of(&via, &cseq).filter(|_| vias.next().is_none());
        drop(vias);
        let timers = self.config.timers;
        let client = found.and_then(|key| Some((key, self.clients.get_mut(&key)?)));
        let Some((key, client)) = client.filter(|(_, c)| c.method == cseq.method) else {
            self.stats.strays += 1;
            return;
        };
        let action = match &mut client.machine {
            ClientMachine::Invite(machine) => machine.handle_response(now, response.status(), &timers),
            ClientMachine::Other(machine) => machine.handle_response(now, response.status(), &timers),
            ClientMachine::Waiting(_) | ClientMachine::Ack { .. } => ClientAction::None,
        };
        match action {
            ClientAction::None | ClientAction::Retransmit | ClientAction::TimedOut => {
                self.stats.retransmissions += 1;
            }
            ClientAction::Ack => {
                self.stats.retransmissions += 1;
                if let (Some(path), Some(ack)) = (client.path, client.ack.clone()) {
                    self.send_path(now, path, ack);
                }
            }
            ClientAction::PassUp => self.deliver(now, key, response),
            ClientAction::PassUpAndAck => {
                if let (Some(path), Some(ack)) = (client.path, refusal_ack(client, &response)) {
                    client.ack = Some(ack.clone());
                    self.send_path(now, path, ack);
                }
                self.deliver(now, key, response);
            }
        }
        self.settle_client(key);
    }

    /// Gives a response to its user.
    fn deliver(&mut self, now: Instant, key: ClientKey, response: Response) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let (user, status) = (client.user, response.status());
        client.give_up = None;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            self.avoid_target(now, key, Some(&response));
            if self.retry_elsewhere(now, key) {
                return;
            }
        } else {
            self.target_lives(key);
        }
        let Some(client) = self.clients.get_mut(&key) else { return };
        if !status.is_final() {
            match user {
                User::Invite(call) | User::Reinvite(call) if !self.calls.contains_key(&call) => {
                    self.cancel_orphan(now, key);
                }
                User::Invite(call) => self.invite_provisional(now, call, key, response),
                User::Reinvite(call) => self.reinvite_provisional(now, call, key, response),
                User::InCall(_, id) | User::Request(id) if status != StatusCode::TRYING => {
                    self.outputs.push_back(Output::Event(Event::Response { id, response }));
                }
                _ => {}
            }
            return;
        }
        let template = client.template.take();
        match user {
            User::Invite(call) if status.is_success() => self.invite_answered(now, call, key, response),
            User::Invite(call) => self.invite_refused(now, call, template, response),
            User::Reinvite(call) if status.is_success() => self.reinvite_answered(now, call, key, response),
            User::Reinvite(call) => self.reinvite_refused(now, call, template, response),
            User::Bye(call) => self.bye_answered(now, call, template, response),
            User::InCall(call, id) => self.in_call_answered(now, call, id, template, response),
            User::Prack(call) => self.prack_answered(now, call, template, response),
            User::Subscribe(id, tag) => self.subscribe_answered(now, id, tag, template, response),
            User::Notify(id) => self.notify_answered(now, id, template, response),
            User::Refresh(call) => self.refresh_answered(now, call, template, response),
            User::Request(id) => self.request_answered(now, id, template, response),
            User::Nobody => {}
        }
    }

    /// What follows from the state of a client after an event.
    fn settle_client(&mut self, key: ClientKey) {
        match self.clients.get(&key) {
            Some(client) if client.is_terminated() => drop(self.remove_client(key)),
            Some(_) => self.arm_client(key),
            None => {}
        }
    }

    pub(crate) fn remove_client(&mut self, key: ClientKey) -> Option<Client> {
        let client = self.clients.remove(&key)?;
        self.timers.set(Owner::Client(key), None);
        if let ClientMachine::Waiting(waiting) = &client.machine {
            for id in &waiting.flows {
                self.leave_flow(key, *id);
            }
            self.locator.forget(key);
        }
        if let Some(Path::Stream(id)) = client.path
            && let Some(flow) = self.flows.get_mut(id)
        {
            flow.clients.remove(&key);
        }
        super::shrink(&mut self.clients);
        Some(client)
    }

    pub(crate) fn client_timeout(&mut self, now: Instant, key: ClientKey) {
        let timers = self.config.timers;
        let Some(client) = self.clients.get_mut(&key) else { return };
        if client.give_up.is_some_and(|at| at <= now) {
            client.give_up = None;
            self.avoid_target(now, key, None);
            if self.retry_elsewhere(now, key) {
                return;
            }
        }
        let Some(client) = self.clients.get_mut(&key) else { return };
        let action = match &mut client.machine {
            ClientMachine::Waiting(waiting) => {
                if waiting.until <= now {
                    let cause = if waiting.locating { Cause::Resolution } else { Cause::Transport };
                    self.client_failed(now, key, cause, "it took too long to find a way");
                    return;
                }
                if waiting.race.is_some_and(|at| at <= now) {
                    self.race(now, key);
                    return;
                }
                ClientAction::None
            }
            ClientMachine::Ack { until } => {
                if *until <= now {
                    self.remove_client(key);
                }
                return;
            }
            ClientMachine::Invite(machine) => machine.handle_timeout(now),
            ClientMachine::Other(machine) => machine.handle_timeout(now, &timers),
        };
        match action {
            ClientAction::Retransmit => {
                if let Some(path) = client.path {
                    let data = client.bytes.clone();
                    self.send_path(now, path, data);
                }
                self.arm_client(key);
            }
            // RFC 3263 §4.3: silence is a reason to try the next address.
            ClientAction::TimedOut => {
                self.avoid_target(now, key, None);
                if !self.retry_elsewhere(now, key) {
                    self.client_failed(now, key, Cause::Timeout, "nobody answered");
                }
            }
            _ => self.settle_client(key),
        }
    }

    /// Sends a request that has been sent already to its next target, in a new transaction.
    fn retry_elsewhere(&mut self, now: Instant, key: ClientKey) -> bool {
        let more = |c: &Client| c.template.is_some() && !c.targets.is_empty();
        if !self.clients.get(&key).is_some_and(more) {
            return false;
        }
        let Some(old) = self.remove_client(key) else { return false };
        let Some(template) = old.template else { return false };
        let new = ClientKey { branch: self.random_u64(), cancel: false };
        let mut client = Client::new(now, *template, old.user);
        client.targets = old.targets;
        self.clients.insert(new, client);
        self.rebind(old.user, new);
        self.dispatch(now, new);
        true
    }

    /// The connection that a request used or waited for is gone.
    pub(crate) fn client_lost_path(
        &mut self,
        now: Instant,
        key: ClientKey,
        id: Option<FlowId>,
        reason: &str,
    ) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        match &mut client.machine {
            ClientMachine::Waiting(waiting) => {
                client.last_error = Some(reason.to_owned());
                waiting.flows.retain(|flow| Some(*flow) != id);
                if !waiting.flows.is_empty() {
                    self.race(now, key);
                    return;
                }
                if let Some(target) = client.fallback.take() {
                    client.fell_back = true;
                    client.targets.push_front(target);
                }
                self.dispatch(now, key);
            }
            // Once the server is at work, it may open a connection of its own (RFC 3261 §18.2.2).
            ClientMachine::Invite(machine) if machine.is_proceeding() => {}
            ClientMachine::Invite(machine) if machine.is_pending() => self.client_unsent(now, key, reason),
            ClientMachine::Other(machine) if machine.is_pending() => self.client_unsent(now, key, reason),
            _ => {}
        }
    }

    fn client_unsent(&mut self, now: Instant, key: ClientKey, reason: &str) {
        if !self.retry_elsewhere(now, key) {
            self.client_failed(now, key, Cause::Transport, reason);
        }
    }

    /// Tells the user that its request will not be answered.
    pub(crate) fn client_failed(&mut self, now: Instant, key: ClientKey, cause: Cause, reason: &str) {
        let Some(client) = self.remove_client(key) else { return };
        let reason = reason.to_owned();
        match client.user {
            User::Invite(call) => self.invite_failed(now, call, cause, reason),
            User::Reinvite(call) => self.reinvite_failed(now, call, cause, reason),
            User::Bye(call) => self.end_call(now, call, false, None, format!("BYE: {reason}")),
            User::InCall(call, id) => {
                self.update_over(call, id);
                self.outputs.push_back(Output::Event(Event::RequestFailed { id, cause, reason }));
                if cause == Cause::Timeout {
                    self.dialog_lost(now, call, false, "nobody answers");
                }
            }
            User::Request(id) => {
                self.requests.remove(&id);
                self.outputs.push_back(Output::Event(Event::RequestFailed { id, cause, reason }));
            }
            // The one who waits for it gives up by itself.
            User::Prack(_) | User::Nobody => {}
            User::Refresh(call) => self.refresh_failed(now, call, cause),
            User::Subscribe(id, tag) => self.subscribe_failed(now, id, tag, reason),
            User::Notify(id) => self.notifier_over(now, id, format!("NOTIFY: {reason}")),
        }
    }

    /// The request as it left.
    pub(crate) fn sent_request(&self, key: ClientKey) -> Option<Request> {
        let bytes = self.clients.get(&key)?.bytes.clone();
        match crate::Message::parse(bytes, &self.config.limits).ok()? {
            crate::Message::Request(request) => Some(request),
            crate::Message::Response(_) => None,
        }
    }

    /// The call ended before its INVITE was heard of, which nobody waits for now: a peer that rings and says no
    /// more would keep it for ever.
    fn cancel_orphan(&mut self, now: Instant, key: ClientKey) {
        if self.clients.get(&key).is_some_and(|client| client.is_proceeding() && !client.is_cancelled()) {
            self.send_cancel(now, key);
        }
    }

    /// Sends a CANCEL the way its INVITE went (RFC 3261 §9.1).
    pub(crate) fn send_cancel(&mut self, now: Instant, key: ClientKey) {
        let timers = self.config.timers;
        let Some(invite) = self.sent_request(key) else { return };
        let Some(client) = self.clients.get_mut(&key) else { return };
        let (Some(path), ClientMachine::Invite(machine)) = (client.path, &mut client.machine) else { return };
        machine.cancelled(now, &timers);
        let cancel_key = ClientKey { cancel: true, ..key };
        let reason = client.cancel_reason.take();
        let to = invite.headers().text(HeaderName::TO);
        let Some(mut request) = hop_by_hop(&invite, Method::Cancel, to) else { return };
        if let Some(reason) = reason {
            // It was printed by a header.
            let _ = request.headers_mut().push_raw(HeaderName::REASON.as_str(), &reason);
        }
        let template = Template::bare(request.clone(), invite.uri());
        let Some(template) = template else { return };
        let mut cancel = Client::new(now, template, User::Nobody);
        cancel.template = None;
        cancel.bytes = request.to_bytes();
        cancel.path = Some(path);
        cancel.machine =
            ClientMachine::Other(NonInviteClient::new(now, matches!(path, Path::Stream(_)), &timers));
        let data = cancel.bytes.clone();
        self.clients.insert(cancel_key, cancel);
        self.send_path(now, path, data);
        self.arm_client(cancel_key);
        self.arm_client(key);
    }

    /// Sends the ACK of a 2xx again, if the user gave it already.
    pub(crate) fn repeat_ack(&mut self, now: Instant, ack: ClientKey) {
        let Some(client) = self.clients.get(&ack) else { return };
        if let Some(path) = client.path {
            let data = client.bytes.clone();
            self.send_path(now, path, data);
        }
    }
}

/// The ACK of a refusal (RFC 3261 §17.1.1.3).
fn refusal_ack(client: &Client, response: &Response) -> Option<Bytes> {
    let message = crate::Message::parse(client.bytes.clone(), &crate::Limits::default()).ok()?;
    let invite = message.as_request()?;
    let ack = hop_by_hop(invite, Method::Ack, response.headers().text(HeaderName::TO))?;
    Some(ack.to_bytes())
}

/// An ACK or CANCEL that goes hop by hop: with the Via, From, Call-ID, Route and number of its
/// INVITE.
fn hop_by_hop(invite: &Request, method: Method, to: Option<&str>) -> Option<Request> {
    let uri: Uri = invite.uri().ok()?;
    let number = invite.cseq().ok()?.number;
    let mut builder = Request::builder(method.clone(), &uri);
    let copied = [HeaderName::VIA, HeaderName::ROUTE, HeaderName::FROM, HeaderName::CALL_ID];
    builder.headers_mut().copy_from(invite.headers(), &copied);
    builder.headers_mut().push_raw(HeaderName::TO.as_str(), &crate::unfold(to?)).ok()?;
    Some(builder.header(CSeq::new(number, method)).header(MaxForwards(70)).build())
}
