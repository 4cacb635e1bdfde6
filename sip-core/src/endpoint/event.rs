//! What an endpoint tells its user.

use super::FlowPath;
use crate::{Request, Response, StatusCode, Uri};
use std::time::Duration;

/// A call: an INVITE and what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call(pub(crate) u64);

/// A request of ours, inside a call or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

/// A request of a peer that waits for [`Endpoint::respond`](super::Endpoint::respond).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerRequest(pub(crate) u64);

/// A reliable provisional response that waits for [`Endpoint::prack`](super::Endpoint::prack).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrackId(pub(crate) u64);

/// A subscription of ours, by SUBSCRIBE or REFER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subscription(pub(crate) u64);

/// A subscription of a peer's to something of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Notifier(pub(crate) u64);

/// Why something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The peer refused it: there is a response.
    Refused,
    /// Nobody answered.
    Timeout,
    /// It could not be sent.
    Transport,
    /// The name of the next hop leads nowhere.
    Resolution,
    /// Our 2xx, or a reliable provisional response, was never acknowledged.
    NoAck,
    /// It was cancelled before it left, or the peer does not answer after a CANCEL.
    Cancelled,
}

/// What happened to a call or a request.
///
/// Every call ends with exactly one of `Cancelled`, `Failed` and `Ended`; every request with one
/// final `Response` or `RequestFailed`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A peer calls. It has been checked; 100 is sent if nothing else is within 200 ms.
    Incoming {
        /// The new call.
        call: Call,
        /// The INVITE.
        request: Request,
    },
    /// The caller gave up; 487 has been sent. Final.
    Cancelled {
        /// Which call.
        call: Call,
        /// The CANCEL: its Reason header (RFC 3326) may tell more.
        request: Request,
    },
    /// Our 2xx to an INVITE or a re-INVITE was acknowledged.
    Confirmed {
        /// Which call.
        call: Call,
        /// The ACK, which carries the answer if the 2xx carried the offer.
        ack: Request,
    },
    /// A provisional response but 100.
    Provisional {
        /// Which call.
        call: Call,
        /// The response.
        response: Response,
    },
    /// The response of the last [`Event::Provisional`] or [`Event::ReinviteProvisional`] is
    /// reliable and carries the peer's offer: [`Endpoint::prack`](super::Endpoint::prack) is due,
    /// with the answer. All others are acknowledged without asking (RFC 3262 §4, §5).
    PrackDue {
        /// Which call.
        call: Call,
        /// What to acknowledge.
        id: PrackId,
    },
    /// A PRACK of ours was answered, and one of both had a body: an answer or an offer of it.
    PrackAnswered {
        /// Which call.
        call: Call,
        /// The final response to PRACK.
        response: Response,
    },
    /// The peer acknowledged a reliable provisional response of ours; a body is the answer to the
    /// offer in that. A PRACK that makes an offer itself comes as [`Event::Reinvite`].
    Pracked {
        /// Which call.
        call: Call,
        /// The PRACK; it has been answered.
        request: Request,
    },
    /// The session was refreshed without being changed (RFC 4028): UPDATE without a body.
    Refreshed {
        /// Which call.
        call: Call,
        /// Whether the peer did it; its UPDATE has been answered.
        by_remote: bool,
    },
    /// The session is to be refreshed and the peer takes no UPDATE:
    /// [`Endpoint::reinvite`](super::Endpoint::reinvite) is due, with the description as it is.
    /// If nothing comes, the call ends when its session expires (RFC 4028 §10).
    RefreshDue {
        /// Which call.
        call: Call,
    },
    /// The peer accepted our INVITE: [`Endpoint::ack`](super::Endpoint::ack) is due.
    Answered {
        /// Which call.
        call: Call,
        /// The 2xx. If the answer came before, in a reliable response, and is not repeated in it, it
        /// has that for its body.
        response: Response,
    },
    /// The call did not come about. Final.
    Failed {
        /// Which call.
        call: Call,
        /// Why.
        cause: Cause,
        /// The status of the response; `None` for a local failure.
        status: Option<StatusCode>,
        /// The reason phrase, or the local reason.
        reason: String,
        /// The response, if there was one.
        response: Option<Response>,
    },
    /// The peer wants to change the session, by a re-INVITE, an UPDATE or a PRACK with an offer:
    /// [`Endpoint::respond`](super::Endpoint::respond) is due.
    Reinvite {
        /// Which call.
        call: Call,
        /// What to respond to.
        id: ServerRequest,
        /// The request.
        request: Request,
    },
    /// The peer took its re-INVITE back; 487 has been sent.
    ReinviteCancelled {
        /// Which call.
        call: Call,
        /// What need not be responded to any more.
        id: ServerRequest,
    },
    /// A provisional response but 100 to our re-INVITE.
    ReinviteProvisional {
        /// Which call.
        call: Call,
        /// The response.
        response: Response,
    },
    /// The peer accepted our re-INVITE: [`Endpoint::ack`](super::Endpoint::ack) is due.
    ReinviteAnswered {
        /// Which call.
        call: Call,
        /// The 2xx.
        response: Response,
    },
    /// Our re-INVITE failed; the session is as it was before. After 481 and 408, and if nobody
    /// answered, the end of the call follows.
    ReinviteFailed {
        /// Which call.
        call: Call,
        /// Why.
        cause: Cause,
        /// The status of the response; `None` for a local failure.
        status: Option<StatusCode>,
        /// The reason phrase, or the local reason.
        reason: String,
        /// The response, if there was one.
        response: Option<Response>,
        /// After 491: when to try again (RFC 3261 §14.1).
        retry_after: Option<Duration>,
    },
    /// Another branch of a forked INVITE answered too; it has been acknowledged and ended
    /// (RFC 3261 §13.2.2.4).
    ForkEnded {
        /// Which call.
        call: Call,
        /// The 2xx of that branch.
        response: Response,
    },
    /// A peer's request that the endpoint does not answer itself:
    /// [`Endpoint::respond`](super::Endpoint::respond) is due.
    Request {
        /// The call it belongs to, if to any.
        call: Option<Call>,
        /// What to respond to.
        id: ServerRequest,
        /// The request.
        request: Request,
    },
    /// A response to a request of ours; a final one is the last.
    Response {
        /// Which request.
        id: RequestId,
        /// The response.
        response: Response,
    },
    /// A request of ours got no response. Final.
    RequestFailed {
        /// Which request.
        id: RequestId,
        /// Why.
        cause: Cause,
        /// The local reason.
        reason: String,
    },
    /// A REGISTER or a PUBLISH of ours left. It may leave again another way, and be answered only then.
    RegisterSent {
        /// Which request.
        id: RequestId,
        /// The way it took.
        path: FlowPath,
        /// Its Contact.
        contact: Option<Uri>,
    },
    /// A flow that was to be kept alive is dead.
    FlowFailed {
        /// Which.
        path: FlowPath,
        /// Why.
        reason: String,
    },
    /// A SUBSCRIBE or REFER of ours was accepted, for the first time or again.
    Subscribed {
        /// Which subscription.
        subscription: Subscription,
        /// The 2xx.
        response: Response,
    },
    /// A subscription of ours brought something; the NOTIFY has been answered.
    Notified {
        /// Which subscription.
        subscription: Subscription,
        /// The NOTIFY.
        request: Request,
    },
    /// A subscription of ours is lost and begins again by itself.
    SubscriptionLost {
        /// Which subscription.
        subscription: Subscription,
        /// In words.
        reason: String,
        /// When it begins again.
        retry: Duration,
        /// The response that says so, if one did.
        response: Option<Response>,
    },
    /// A subscription of ours is over. Final.
    SubscriptionEnded {
        /// Which subscription.
        subscription: Subscription,
        /// In words.
        reason: String,
        /// The response that ended it, if one did.
        response: Option<Response>,
    },
    /// A peer refreshed its subscription, which has been answered: it is told the state again.
    NotifierRefreshed {
        /// Which subscription.
        notifier: Notifier,
        /// The SUBSCRIBE.
        request: Request,
    },
    /// A subscription of a peer's is over, and the last NOTIFY was answered or got lost. Final.
    NotifierEnded {
        /// Which subscription.
        notifier: Notifier,
        /// In words.
        reason: String,
    },
    /// An established call is over. Final.
    Ended {
        /// Which call.
        call: Call,
        /// Whether the peer ended it.
        by_remote: bool,
        /// The peer's BYE, if there was one.
        request: Option<Request>,
        /// In words.
        reason: String,
    },
}
