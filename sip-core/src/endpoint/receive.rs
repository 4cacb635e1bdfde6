//! What comes in: what it is, whose it is, and what a user agent server answers before its user
//! sees it (RFC 3261 §8.2, §9.2, §17.2.3).

use super::{
    Call, Endpoint, Event, FlowId, Output, Transport,
    envelope::Envelope,
    server::{ServerMachine, Way, with_list, with_text},
};
use crate::{
    Dialog, Message, Method, Request, Response, Scheme, StatusCode, Uri,
    header::{ContentDisposition, HeaderName, Require, Supported, Via},
    transaction::{MergeKey, ServerAction, ServerKey},
    usage::{InviteUsage, Reliable, SessionTimer, TimerRefusal},
};
use bytes::Bytes;
use std::{net::SocketAddr, time::Instant};

/// One more header of a refusal.
pub(crate) type Extra = Option<(&'static str, String)>;

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) transport: Transport,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) flow: Option<FlowId>,
    /// How many bytes it had.
    pub(crate) len: usize,
}

impl Endpoint {
    pub(crate) fn datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, data: Bytes) {
        // Keep-alives of NATs are CRLF or zeros.
        if data.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return;
        }
        if super::stun::is_stun(&data) {
            return self.stun_received(now, local, remote, &data);
        }
        let source = Source { transport: Transport::Udp, local, remote, flow: None, len: data.len() };
        match Message::parse(data, &self.config.limits) {
            Ok(message) => self.message(now, message, source),
            Err(_) => self.stats.dropped += 1,
        }
    }

    /// A message was read.
    pub(crate) fn message(&mut self, now: Instant, message: Message, source: Source) {
        self.stats.messages += 1;
        let verdict = message.validate();
        match message {
            Message::Response(response) => match verdict {
                Ok(()) => self.response(now, response),
                Err(_) => self.stats.dropped += 1,
            },
            Message::Request(mut request) => {
                if let Err(refusal) = verdict {
                    request.stamp_via(source.remote);
                    match refusal.status {
                        Some(status) => self.refuse_malformed(now, &request, source, status, refusal.reason),
                        None => self.stats.dropped += 1,
                    }
                    return;
                }
                match Envelope::receive(&mut request, source.remote) {
                    Ok(envelope) => self.request_received(now, request, envelope, source),
                    Err(_) => self.stats.dropped += 1,
                }
            }
        }
    }

    fn request_received(&mut self, now: Instant, request: Request, mut envelope: Envelope, source: Source) {
        let key = ServerKey::of(&request, &envelope);
        let known = self.server_keys.get(&key).copied();
        envelope.key = Some(key);
        match (request.method(), known) {
            (Method::Ack, Some(id)) => {
                let timers = self.config.timers;
                let action = match self.servers.get_mut(&id).map(|s| &mut s.machine) {
                    Some(ServerMachine::Invite(machine)) => machine.handle_ack(now, &timers),
                    _ => ServerAction::None,
                };
                if action == ServerAction::PassUp {
                    self.acknowledged(now, request, &envelope);
                } else {
                    self.settle_server(id);
                }
            }
            (Method::Ack, None) => self.acknowledged(now, request, &envelope),
            (_, Some(id)) => self.retransmitted(now, id),
            (Method::Cancel, None) => self.cancelled(now, request, &envelope, source),
            (_, None) => self.screen(now, request, envelope, source),
        }
    }

    /// A CANCEL (RFC 3261 §9.2): it is answered itself, whatever becomes of what it cancels.
    fn cancelled(&mut self, now: Instant, request: Request, envelope: &Envelope, source: Source) {
        let key = ServerKey::cancelled(&request, envelope);
        let Some(id) = self.server_keys.get(&key).copied() else {
            self.refuse(now, &request, &envelope.via, &source, StatusCode::CALL_DOES_NOT_EXIST, |_, b| b);
            return;
        };
        let tag = self.servers.get(&id).map(|s| s.tag.to_string()).unwrap_or_default();
        // RFC 3261 §9.2: the tag is that of the responses to the INVITE.
        let reply = Response::reply_to(&request, StatusCode::OK).to_tag(&tag).build();
        self.send_back(now, Way::back(&envelope.via, &source), reply.to_bytes());
        let Some(server) = self.servers.get(&id).filter(|s| s.machine.is_pending()) else { return };
        let call = server.call;
        // Nothing was sent for it by its user alone: it cannot be too late.
        let _ = self.respond_in(now, id, StatusCode::REQUEST_TERMINATED, None, &[], None);
        if let Some(call) = call {
            self.invite_cancelled(now, call, id, request);
        }
    }

    /// A request that is new: what RFC 3261 §8.2 checks, in its order.
    fn screen(&mut self, now: Instant, request: Request, envelope: Envelope, source: Source) {
        let method = request.method().clone();
        if !self.config.allow.contains(&method) {
            let status = match method {
                Method::Other(_) => StatusCode::NOT_IMPLEMENTED,
                _ => StatusCode::METHOD_NOT_ALLOWED,
            };
            self.refuse(now, &request, &envelope.via, &source, status, |e, b| e.signed(e.allowed(b)));
            return;
        }
        // RFC 3261 §8.2.2.1. The URI was read when the request was validated.
        let understood = |u: Uri| matches!(u.scheme(), Scheme::Sip | Scheme::Sips | Scheme::Tel);
        if !request.uri().is_ok_and(understood) {
            self.refuse(now, &request, &envelope.via, &source, StatusCode::UNSUPPORTED_URI_SCHEME, |e, b| {
                e.signed(b)
            });
            return;
        }
        // RFC 3261 §8.2.2.2: one request that took two paths.
        if MergeKey::of(&envelope).is_some_and(|merge| self.merged.contains_key(&merge)) {
            self.refuse(now, &request, &envelope.via, &source, StatusCode::LOOP_DETECTED, |e, b| e.signed(b));
            return;
        }
        let unsupported = self.unsupported(&request);
        if !unsupported.is_empty() {
            self.refuse(now, &request, &envelope.via, &source, StatusCode::BAD_EXTENSION, |e, b| {
                e.signed(with_list(b, "Unsupported", unsupported.iter().map(String::as_str)))
            });
            return;
        }
        if !understands_disposition(&request) {
            // RFC 5621 §5: 415, and what would be taken.
            let extra = Some(("Accept", self.texts.accept.clone()));
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            self.refuse_signed(now, &request, &envelope, &source, status, extra);
            return;
        }
        if let Err((status, extra)) = self.check_events(&request, &envelope) {
            self.refuse_signed(now, &request, &envelope, &source, status, extra);
            return;
        }
        if matches!(method, Method::Notify | Method::Subscribe) && self.is_shared(&envelope) {
            self.in_subscription(now, request, envelope, source);
            return;
        }
        if envelope.to_tag.is_some() {
            match self.call_of(&envelope) {
                Some(call) => self.in_call(now, call, request, envelope, source),
                None => {
                    self.refuse(
                        now,
                        &request,
                        &envelope.via,
                        &source,
                        StatusCode::CALL_DOES_NOT_EXIST,
                        |e, b| e.signed(b),
                    );
                }
            }
            return;
        }
        match method {
            Method::Invite => self.incoming(now, request, envelope, source),
            Method::Options => self.options(now, &request, &envelope.via, &source),
            // These belong to a dialog, always.
            Method::Bye | Method::Update | Method::Prack | Method::Info => {
                self.refuse(
                    now,
                    &request,
                    &envelope.via,
                    &source,
                    StatusCode::CALL_DOES_NOT_EXIST,
                    |e, b| e.signed(b),
                );
            }
            _ => {
                let tag = self.stateless_tag(&request).into_boxed_str();
                match self.start_server(now, &request, &envelope, &source, tag, None) {
                    Some(id) => {
                        self.outputs.push_back(Output::Event(Event::Request { call: None, id, request }));
                    }
                    None => self.overloaded(now, &request, &envelope.via, &source),
                }
            }
        }
    }

    /// What we can do (RFC 3261 §11.2).
    pub(crate) fn options(&mut self, now: Instant, request: &Request, via: &Via, source: &Source) {
        self.refuse(now, request, via, source, StatusCode::OK, |e, b| {
            e.signed(with_text(e.capabilities(b), "Accept", &e.texts.accept))
        });
    }

    pub(crate) fn overloaded(&mut self, now: Instant, request: &Request, via: &Via, source: &Source) {
        self.refuse(now, request, via, source, StatusCode::SERVICE_UNAVAILABLE, |_, b| {
            with_text(b, "Retry-After", "10")
        });
    }

    /// Option tags of Require that we do not know (RFC 3261 §8.2.2.3).
    fn unsupported(&self, request: &Request) -> Vec<String> {
        let tags = request.headers().texts(HeaderName::REQUIRE).flat_map(|line| line.split(','));
        tags.map(str::trim)
            .filter(|tag| !tag.is_empty() && !self.supported.iter().any(|s| s.eq_ignore_ascii_case(tag)))
            .take(32)
            .map(str::to_owned)
            .collect()
    }

    /// The call whose dialog a request belongs to (RFC 3261 §12.2.2).
    pub(crate) fn call_of(&self, envelope: &Envelope) -> Option<Call> {
        let tag = super::number16(envelope.to_tag.as_deref()?)?;
        let call = *self.tags.get(&tag)?;
        let usage = self.calls.get(&call)?;
        usage.owns(&envelope.call_id, envelope.from_tag.as_deref()).then_some(call)
    }

    /// Whether a new call has the extensions that we need, and how it is refused if not.
    fn extensions(&self, request: &Request) -> Result<(), (StatusCode, Extra)> {
        let able = |tag| {
            request.header::<Supported>().is_some_and(|s| s.has(tag))
                || request.header::<Require>().is_some_and(|r| r.has(tag))
        };
        let required = |tag: &str| (StatusCode::EXTENSION_REQUIRED, Some(("Require", tag.to_owned())));
        if self.config.reliable == Reliable::Required && !able("100rel") {
            return Err(required("100rel"));
        }
        match SessionTimer::new(self.config.session_timers).check(request) {
            Ok(()) => Ok(()),
            Err(TimerRefusal::Unsupported) => Err(required("timer")),
            Err(TimerRefusal::TooSmall(min)) => {
                Err((StatusCode::SESSION_INTERVAL_TOO_SMALL, Some(("Min-SE", min.to_string()))))
            }
        }
    }

    /// Refuses without a transaction, with one more header.
    pub(crate) fn refuse_signed(
        &mut self,
        now: Instant,
        request: &Request,
        envelope: &Envelope,
        source: &Source,
        status: StatusCode,
        extra: Extra,
    ) {
        self.refuse(now, request, &envelope.via, source, status, |e, b| {
            let b = match &extra {
                Some((name, value)) => with_text(b, name, value),
                None => b,
            };
            e.signed(b)
        });
    }

    /// A peer calls.
    fn incoming(&mut self, now: Instant, request: Request, envelope: Envelope, source: Source) {
        let tag = self.random_u64();
        let tag_text = format!("{tag:016x}");
        if self.calls.len() >= self.config.max_calls {
            self.stats.overloaded += 1;
            self.overloaded(now, &request, &envelope.via, &source);
            return;
        }
        if let Err((status, header)) = self.extensions(&request) {
            self.refuse_signed(now, &request, &envelope, &source, status, header);
            return;
        }
        let (replaces, joins) = match self.linked(&request) {
            Ok(linked) => linked,
            Err(status) => {
                self.refuse_signed(now, &request, &envelope, &source, status, None);
                return;
            }
        };
        let Ok(dialog) = Dialog::server(&request, &tag_text) else {
            let reason = "Bad Record-Route";
            self.refuse_malformed(now, &request, source, StatusCode::BAD_REQUEST, reason);
            return;
        };
        self.next_id += 1;
        let call = Call(self.next_id);
        let started = self.start_server(now, &request, &envelope, &source, tag_text.into(), Some(call));
        let Some(id) = started else {
            self.overloaded(now, &request, &envelope.via, &source);
            return;
        };
        let user = request.uri().ok().and_then(|u| u.user().map(Into::into));
        let timers = self.config.session_timers;
        let mut usage = InviteUsage::incoming(tag, dialog, id, user, source.flow, timers);
        usage.takes_reliable = self.config.reliable != Reliable::Off;
        (usage.replaces, usage.joins) = (replaces, joins);
        self.calls.insert(call, usage);
        self.tags.insert(tag, call);
        self.outputs.push_back(Output::Event(Event::Incoming { call, request }));
    }
}

/// Whether the body is for something that a user agent does, or need not be understood
/// (RFC 3261 §20.11, RFC 5621 §5).
fn understands_disposition(request: &Request) -> bool {
    const KNOWN: [&str; 8] = [
        "session",
        "render",
        "icon",
        "alert",
        "early-session",
        "info-package",
        "recipient-list",
        "by-reference",
    ];
    if request.body().is_empty() {
        return true;
    }
    request.header::<ContentDisposition>().is_none_or(|d| {
        let optional = d.params.get("handling").is_some_and(|h| h.eq_ignore_ascii_case("optional"));
        optional || KNOWN.iter().any(|known| known.eq_ignore_ascii_case(&d.disposition))
    })
}
