//! Requests and indications of clients (RFC 8489 §6.3, RFC 8656 §7 to §12, RFC 5780 §6.1).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_core::Rng;

use super::accounts::{Denial, Known};
use super::relay::{Caps, Denied, Relay, Reservation, Socket, SocketState};
use super::{Flow, Output, RelayId, RelayPort, Server};
use crate::error::UsageError;
use crate::stun::{
    AdditionalAddressFamily, AddressErrorCode, Attribute, Builder, ChangeRequest, ChannelData, ChannelNumber,
    Class, Data, ErrorCode, EvenPort, Family, Kind, Lifetime, Message, Method, Nonce, OtherAddress, Realm,
    RequestedAddressFamily, RequestedTransport, ReservationToken, ResponseOrigin, ResponsePort, Software,
    UnknownAttributes, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};

/// How long a reserved port is kept (RFC 8656 §7.2).
const RESERVATION: Duration = Duration::from_secs(30);

/// What this server understands and must (RFC 8489 §6.3.1).
const KNOWN: &[Kind] = &[
    Kind::CHANGE_REQUEST,
    Kind::USERNAME,
    Kind::MESSAGE_INTEGRITY,
    Kind::CHANNEL_NUMBER,
    Kind::LIFETIME,
    Kind::XOR_PEER_ADDRESS,
    Kind::DATA,
    Kind::REALM,
    Kind::NONCE,
    Kind::REQUESTED_ADDRESS_FAMILY,
    Kind::EVEN_PORT,
    Kind::REQUESTED_TRANSPORT,
    Kind::MESSAGE_INTEGRITY_SHA256,
    Kind::PASSWORD_ALGORITHM,
    Kind::USERHASH,
    Kind::RESERVATION_TOKEN,
    Kind::CONNECTION_ID,
    Kind::PADDING,
    Kind::RESPONSE_PORT,
    // A Binding request of ICE is answered too (RFC 8445 §7.1.1).
    Kind::PRIORITY,
    Kind::USE_CANDIDATE,
];

/// Why a request is refused: code and reason.
pub(super) type Refused = (u16, &'static str);

pub(super) const BAD_REQUEST: Refused = (400, "Bad Request");
pub(super) const MISMATCH: Refused = (437, "Allocation Mismatch");
pub(super) const CAPACITY: Refused = (508, "Insufficient Capacity");

impl Server {
    pub(super) fn handle_request(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        let turn = message.method() != Method::BINDING;
        // A Binding request is answered to all; who signs it is answered signed.
        let known = if turn || message.integrity().is_some() {
            match self.accounts.judge(now, &flow, message) {
                Ok(known) => Some(known),
                Err(_) if turn && self.accounts.is_empty() => {
                    self.counters.unauthenticated += 1;
                    return self.refuse(flow, message, None, (403, "Forbidden"));
                }
                Err(denial) => return self.deny(now, flow, message, denial),
            }
        } else {
            None
        };
        let unknown: Vec<Kind> = message.unknown_required(KNOWN).take(32).collect();
        if !unknown.is_empty() {
            let answer = error(message, (420, "Unknown Attribute"))
                .and_then(|builder| builder.attribute(&UnknownAttributes(unknown)));
            return self.finish(flow, answer, known.as_ref());
        }
        match (message.method(), known) {
            (Method::BINDING, known) => self.handle_binding(flow, message, known.as_ref()),
            (Method::ALLOCATE, Some(known)) => self.handle_allocate(now, flow, message, known),
            (Method::CONNECT, Some(known)) => {
                if let Err(refused) = self.handle_connect(now, flow, message, &known) {
                    self.refuse(flow, message, Some(&known), refused);
                }
            }
            (method, Some(known)) => {
                let outcome = match method {
                    Method::REFRESH => self.handle_refresh(now, flow, message, &known),
                    Method::CREATE_PERMISSION => self.handle_permission(now, flow, message, &known),
                    Method::CHANNEL_BIND => self.handle_channel_bind(now, flow, message, &known),
                    Method::CONNECTION_BIND => self.handle_connection_bind(flow, message, &known),
                    _ => Err(BAD_REQUEST),
                };
                match outcome {
                    Ok(answer) => self.finish(flow, answer, Some(&known)),
                    Err(refused) => self.refuse(flow, message, Some(&known), refused),
                }
                self.send_early();
            }
            (_, None) => self.deny(now, flow, message, Denial::Unauthenticated),
        }
    }

    /// RFC 8489 §6.3.2; with CHANGE-REQUEST, RFC 5780 §6.1.
    fn handle_binding(&mut self, mut flow: Flow, message: &Message<'_>, known: Option<&Known>) {
        let mut answer = Builder::answer(message, Class::Success).attribute(&XorMappedAddress(flow.remote));
        if let Some((one, two)) = self.config.behaviour {
            let other = SocketAddr::new(
                if flow.local.ip() == one.ip() { two.ip() } else { one.ip() },
                if flow.local.port() == one.port() { two.port() } else { one.port() },
            );
            if let Some(Ok(change)) = message.get::<ChangeRequest>() {
                if flow.transport.is_reliable() && (change.ip || change.port) {
                    return self.refuse(flow, message, known, BAD_REQUEST);
                }
                if change.ip {
                    flow.local.set_ip(other.ip());
                }
                if change.port {
                    flow.local.set_port(other.port());
                }
            }
            if let Some(Ok(ResponsePort(port))) = message.get::<ResponsePort>() {
                if flow.transport.is_reliable() {
                    return self.refuse(flow, message, known, BAD_REQUEST);
                }
                flow.remote.set_port(port);
            }
            answer = answer
                .and_then(|builder| builder.attribute(&ResponseOrigin(flow.local)))
                .and_then(|builder| builder.attribute(&OtherAddress(other)));
        } else if message.get::<ChangeRequest>().is_some() || message.get::<ResponsePort>().is_some() {
            // RFC 5780 §6.1: who cannot do that does not understand it.
            let kinds = [Kind::CHANGE_REQUEST, Kind::RESPONSE_PORT];
            let sent = kinds.into_iter().filter(|kind| message.attributes().any(|raw| raw.kind == *kind));
            let unknown = UnknownAttributes(sent.collect());
            let answer =
                error(message, (420, "Unknown Attribute")).and_then(|builder| builder.attribute(&unknown));
            return self.finish(flow, answer, known);
        }
        self.finish(flow, answer, known);
    }

    /// RFC 8656 §7.2, in its order.
    fn handle_allocate(&mut self, now: Instant, flow: Flow, message: &Message<'_>, known: Known) {
        if let Some(relay) = self.relays.get(&flow) {
            let again = relay.made_by == message.transaction_id() && relay.owner.user == known.user;
            match (again, relay.is_ready()) {
                // Repeated while its sockets are opened: the answer comes.
                (true, false) => {}
                (true, true) => self.answer_allocation(now, flow),
                (false, _) => self.refuse(flow, message, Some(&known), MISMATCH),
            }
            return;
        }
        if let Err(refused) = self.allocate(now, flow, message, &known) {
            self.refuse(flow, message, Some(&known), refused);
        }
    }

    fn allocate(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        known: &Known,
    ) -> Result<(), Refused> {
        // RFC 6062 §5.1: 6 is TCP, over streams only.
        let tcp = match message.get::<RequestedTransport>() {
            Some(Ok(RequestedTransport(17))) => false,
            Some(Ok(RequestedTransport(6))) if flow.transport.is_reliable() => true,
            Some(Ok(RequestedTransport(6))) => return Err(BAD_REQUEST),
            Some(Ok(_)) => return Err((442, "Unsupported Transport Protocol")),
            _ => return Err(BAD_REQUEST),
        };
        let token = optional::<ReservationToken>(message)?;
        let even = optional::<EvenPort>(message)?;
        let family = optional::<RequestedAddressFamily>(message)?;
        let additional = optional::<AdditionalAddressFamily>(message)?;
        let pair = even == Some(EvenPort(true));
        if tcp && (token.is_some() || even.is_some())
            || token.is_some() && (even.is_some() || family.is_some() || additional.is_some())
            || family.is_some() && additional.is_some()
            || pair && additional.is_some()
            || additional.is_some_and(|additional| additional.0 == Family::Ipv4)
        {
            return Err(BAD_REQUEST);
        }
        let mut families = vec![family.map_or(Family::Ipv4, |family| family.0)];
        families.extend(additional.map(|additional| additional.0));
        let relayed: Vec<Family> =
            families.iter().copied().filter(|family| self.config.families.contains(family)).collect();
        if relayed.is_empty() {
            return Err((440, "Address Family not Supported"));
        }
        let mine = self.relays.values().filter(|relay| relay.owner.user == known.user).count();
        if mine >= self.config.max_allocations_per_user {
            self.counters.capped += 1;
            return Err((486, "Allocation Quota Reached"));
        }
        let reserved = self.reservations.len() >= self.config.max_allocations;
        if self.relays.len() >= self.config.max_allocations || pair && reserved {
            self.counters.capped += 1;
            return Err(CAPACITY);
        }
        let lifetime = self.lifetime(message);
        let mut relay = Relay::new(known.clone(), message.transaction_id(), now, lifetime);
        relay.tcp = tcp;
        relay.missing = families.into_iter().find(|family| !relayed.contains(family));
        if let Some(ReservationToken(token)) = token {
            let at = self.reservations.iter().position(|one| one.token == token && one.expires > now);
            let kept = at.map(|at| self.reservations.remove(at)).ok_or(CAPACITY)?;
            let address = kept.address.ok_or(CAPACITY)?;
            let family = Family::of(&address);
            relay.sockets.push(Socket { id: kept.relay, family, state: SocketState::Open(address) });
            self.sockets.insert(kept.relay, flow);
            self.relays.insert(flow, relay);
            self.answer_allocation(now, flow);
            return Ok(());
        }
        for family in relayed {
            let id = self.next_id();
            let port = match even {
                Some(EvenPort(true)) => {
                    let next = self.next_id();
                    let mut token = [0; 8];
                    self.random.fill_bytes(&mut token);
                    relay.token = Some(token);
                    let expires = now + RESERVATION;
                    self.reservations.push(Reservation { token, relay: next, address: None, expires });
                    RelayPort::EvenAndNext(next)
                }
                Some(EvenPort(false)) => RelayPort::Even,
                None => RelayPort::Any,
            };
            relay.sockets.push(Socket { id, family, state: SocketState::Opening });
            self.sockets.insert(id, flow);
            self.queue.push_back(Output::BindRelay { relay: id, family, port, tcp });
        }
        self.relays.insert(flow, relay);
        Ok(())
    }

    fn caps(&self) -> Caps {
        Caps { permissions: self.config.max_permissions, channels: self.config.max_channels }
    }

    fn next_id(&mut self) -> RelayId {
        self.next += 1;
        RelayId(self.next)
    }

    /// The driver opened a socket, or could not.
    pub(super) fn bound(&mut self, now: Instant, id: RelayId, address: Option<SocketAddr>) {
        if let Some(at) = self.reservations.iter().position(|one| one.relay == id) {
            match (address, self.reservations.get_mut(at)) {
                (Some(_), Some(kept)) => kept.address = address,
                _ => drop(self.reservations.remove(at)),
            }
            return;
        }
        let Some(&flow) = self.sockets.get(&id) else {
            // Its allocation is gone.
            if address.is_some() {
                self.queue.push_back(Output::CloseRelay(id));
            }
            return;
        };
        let Some(relay) = self.relays.get_mut(&flow) else { return };
        for socket in relay.sockets.iter_mut().filter(|socket| socket.id == id) {
            if socket.state == SocketState::Opening {
                socket.state = match address {
                    Some(address) if Family::of(&address) == socket.family => SocketState::Open(address),
                    _ => SocketState::Failed,
                };
            } else {
                return;
            }
        }
        if relay.is_ready() {
            self.answer_allocation(now, flow);
        }
    }

    /// RFC 8656 §7.2, the end.
    fn answer_allocation(&mut self, now: Instant, flow: Flow) {
        let Some(relay) = self.relays.get(&flow) else { return };
        let (owner, id) = (relay.owner.clone(), relay.made_by);
        let first = relay.addresses().next();
        if first.is_none() {
            let answer = Builder::new(Class::Error, Method::ALLOCATE, id)
                .attribute(&ErrorCode { code: CAPACITY.0, reason: CAPACITY.1 });
            self.remove(flow);
            return self.finish(flow, answer, Some(&owner));
        }
        let mut answer = Ok(Builder::new(Class::Success, Method::ALLOCATE, id));
        for address in relay.addresses() {
            answer = answer.and_then(|builder| builder.attribute(&XorRelayedAddress(address)));
        }
        let failed = relay.sockets.iter().find(|socket| socket.state == SocketState::Failed);
        let missing = match (relay.missing, failed) {
            (Some(family), _) => Some((family, (440, "Address Family not Supported"))),
            (None, Some(socket)) => Some((socket.family, CAPACITY)),
            (None, None) => None,
        };
        if let Some((family, (code, reason))) = missing {
            let error = ErrorCode { code, reason };
            answer = answer.and_then(|builder| builder.attribute(&AddressErrorCode { family, error }));
        }
        // A pair whose second port could not be had is no reservation.
        let kept = self.reservations.iter().any(|one| Some(one.token) == relay.token && one.expires > now);
        if let Some(token) = relay.token.filter(|_| kept) {
            answer = answer.and_then(|builder| builder.attribute(&ReservationToken(token)));
        }
        let left = relay.expires().saturating_duration_since(now).as_secs();
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let answer = answer
            .and_then(|builder| builder.attribute(&Lifetime(left)))
            .and_then(|builder| builder.attribute(&XorMappedAddress(flow.remote)));
        self.finish(flow, answer, Some(&owner));
    }

    /// RFC 8656 §7.2: what is asked for, but not less than the default nor more than the maximum.
    fn lifetime(&self, message: &Message<'_>) -> Duration {
        let asked = match message.get::<Lifetime>() {
            Some(Ok(Lifetime(seconds))) => Duration::from_secs(seconds.into()),
            _ => self.config.default_lifetime,
        };
        asked.min(self.config.max_lifetime).max(self.config.default_lifetime)
    }

    /// The allocation of a client, which must be its owner's (441, RFC 8656 §5).
    pub(super) fn owned(&mut self, flow: Flow, known: &Known) -> Result<&mut Relay, Refused> {
        match self.relays.get_mut(&flow) {
            Some(relay) if relay.owner.user != known.user => Err((441, "Wrong Credentials")),
            Some(relay) if relay.is_ready() => Ok(relay),
            _ => Err(MISMATCH),
        }
    }

    /// RFC 8656 §8.2.
    fn handle_refresh(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        known: &Known,
    ) -> Result<Result<Builder, UsageError>, Refused> {
        let ends = message.get::<Lifetime>() == Some(Ok(Lifetime(0)));
        let lifetime = self.lifetime(message);
        let family = optional::<RequestedAddressFamily>(message)?;
        let relay = self.owned(flow, known)?;
        if family.is_some_and(|one| relay.addresses().all(|address| Family::of(&address) != one.0)) {
            return Err((443, "Peer Address Family Mismatch"));
        }
        let seconds = if ends {
            self.client_closed(flow);
            self.remove(flow);
            0
        } else {
            relay.refresh(now, lifetime);
            u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)
        };
        Ok(Builder::answer(message, Class::Success).attribute(&Lifetime(seconds)))
    }

    /// RFC 8656 §10.2: all of them or none.
    fn handle_permission(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        known: &Known,
    ) -> Result<Result<Builder, UsageError>, Refused> {
        let mut peers = Vec::new();
        for raw in message.attributes().filter(|raw| raw.kind == Kind::XOR_PEER_ADDRESS) {
            let XorPeerAddress(peer) = raw.read(message).map_err(|_| BAD_REQUEST)?;
            peers.push(peer.ip());
        }
        if peers.is_empty() {
            return Err(BAD_REQUEST);
        }
        if peers.len() > self.config.max_permissions {
            self.counters.capped += 1;
            return Err(CAPACITY);
        }
        let forbidden = peers.iter().any(|peer| !self.config.peers.allows_ip(*peer));
        let caps = self.caps();
        let relay = self.owned(flow, known)?;
        if peers.iter().any(|peer| !relay.serves(*peer)) {
            return Err((443, "Peer Address Family Mismatch"));
        }
        if forbidden {
            self.counters.forbidden += 1;
            return Err((403, "Forbidden"));
        }
        for peer in peers {
            if relay.permit(now, peer, caps).is_err() {
                self.counters.capped += 1;
                return Err(CAPACITY);
            }
        }
        Ok(Ok(Builder::answer(message, Class::Success)))
    }

    /// RFC 8656 §12.2.
    fn handle_channel_bind(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        known: &Known,
    ) -> Result<Result<Builder, UsageError>, Refused> {
        let (Some(Ok(ChannelNumber(number))), Some(Ok(XorPeerAddress(peer)))) =
            (message.get::<ChannelNumber>(), message.get::<XorPeerAddress>())
        else {
            return Err(BAD_REQUEST);
        };
        if !ChannelData::is_channel(number) {
            return Err(BAD_REQUEST);
        }
        let forbidden = !self.config.peers.allows(peer);
        let caps = self.caps();
        let relay = self.owned(flow, known)?;
        if !relay.serves(peer.ip()) {
            return Err((443, "Peer Address Family Mismatch"));
        }
        if forbidden {
            self.counters.forbidden += 1;
            return Err((403, "Forbidden"));
        }
        match relay.bind(now, number, peer, caps) {
            Ok(()) => Ok(Ok(Builder::answer(message, Class::Success))),
            Err(Denied::Conflict) => Err(BAD_REQUEST),
            Err(Denied::Full) => {
                self.counters.capped += 1;
                Err(CAPACITY)
            }
        }
    }

    /// RFC 8656 §11.2. All other indications are keepalives.
    pub(super) fn handle_indication(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        if message.method() != Method::SEND {
            return;
        }
        // DONT-FRAGMENT is not understood, and so such an indication is thrown away.
        match (message.get::<XorPeerAddress>(), message.get::<Data<'_>>()) {
            (Some(Ok(XorPeerAddress(peer))), Some(Ok(Data(data))))
                if message.unknown_required(KNOWN).next().is_none() =>
            {
                self.relay_to(now, flow, peer, data);
            }
            _ => self.counters.discarded += 1,
        }
    }

    fn deny(&mut self, now: Instant, flow: Flow, message: &Message<'_>, denial: Denial) {
        self.counters.unauthenticated += 1;
        let refused = match denial {
            Denial::Unauthenticated => (401, "Unauthenticated"),
            Denial::Stale => (438, "Stale Nonce"),
            Denial::Malformed => return self.refuse(flow, message, None, BAD_REQUEST),
        };
        let nonce = self.accounts.nonce(now, &flow);
        let mut answer = error(message, refused)
            .and_then(|builder| builder.attribute(&Realm(self.accounts.realm())))
            .and_then(|builder| builder.attribute(&Nonce(&nonce)));
        if let Some(list) = self.accounts.algorithms() {
            answer = answer.and_then(|builder| builder.attribute(&list));
        }
        self.finish(flow, answer, None);
    }

    fn refuse(&mut self, flow: Flow, message: &Message<'_>, known: Option<&Known>, refused: Refused) {
        self.finish(flow, error(message, refused), known);
    }

    /// Signs and sends. Who has no account gets no SOFTWARE: an answer to who knows whom stays short.
    pub(super) fn finish(&mut self, flow: Flow, answer: Result<Builder, UsageError>, known: Option<&Known>) {
        let answer = match (&self.config.software, known) {
            (Some(software), Some(_)) => answer.and_then(|builder| builder.attribute(&Software(software))),
            _ => answer,
        };
        let signed = known.map(|known| (&known.key, known.hash));
        match answer {
            Ok(builder) => {
                let data = builder.finish_as(signed, true);
                self.queue.push_back(Output::Transmit { flow, data });
            }
            // Only our own configuration can be too long.
            Err(_) => self.counters.discarded += 1,
        }
    }
}

fn error(message: &Message<'_>, (code, reason): Refused) -> Result<Builder, UsageError> {
    Builder::answer(message, Class::Error).attribute(&ErrorCode { code, reason })
}

/// An attribute that may be absent, but not malformed.
fn optional<'a, T: Attribute<'a>>(message: &Message<'a>) -> Result<Option<T>, Refused> {
    message.get::<T>().transpose().map_err(|_| BAD_REQUEST)
}
