//! Calls that take the place of others or join them, and requests that know of one (RFC 3891,
//! RFC 3911, RFC 4538).

use super::{Call, Endpoint};
use crate::{
    Request, StatusCode, Uri,
    header::{HeaderName, Join, Replaces, TargetDialog},
    usage::Phase,
};
use std::time::Instant;

/// What names a dialog, from our side (RFC 3261 §12).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DialogId {
    /// The Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; peers of RFC 2543 may have none.
    pub remote_tag: Option<String>,
    /// Whether no 2xx was sent or received yet.
    pub early: bool,
}

/// Tags of ended calls that are remembered.
const MAX_ENDED: usize = 256;

impl Endpoint {
    /// The dialog of a call: while there are several early ones, the first.
    pub fn dialog_id(&self, call: Call) -> Option<DialogId> {
        let usage = self.calls.get(&call)?;
        let early = match &usage.phase {
            Phase::Calling { early, .. } => early.first().map(|e| &e.dialog),
            _ => None,
        };
        let dialog = usage.dialog.as_ref().or(early)?;
        Some(DialogId {
            call_id: dialog.call_id().to_owned(),
            local_tag: format!("{:016x}", usage.local_tag),
            remote_tag: dialog.remote_tag().map(str::to_owned),
            early: dialog.is_early(),
        })
    }

    /// Where requests of a call go: what the peer's Contact said last.
    pub fn remote_target(&self, call: Call) -> Option<Uri> {
        Some(self.calls.get(&call)?.dialog.as_ref()?.remote_target().clone())
    }

    /// The Replaces value that has the peer of a call put another one in its place: what goes into
    /// the Refer-To of an attended transfer (RFC 3891 §6.1, RFC 5589 §7).
    pub fn replaces_header(&self, call: Call) -> Option<Replaces> {
        let id = self.dialog_id(call)?;
        Replaces::new(&id.call_id, id.remote_tag.as_deref().unwrap_or("0"), &id.local_tag).ok()
    }

    /// The Join value that has the peer of a call add another one to it (RFC 3911 §7.1).
    pub fn join_header(&self, call: Call) -> Option<Join> {
        let id = self.dialog_id(call)?;
        Join::new(&id.call_id, id.remote_tag.as_deref().unwrap_or("0"), &id.local_tag).ok()
    }

    /// The Target-Dialog value that shows the peer of a call that we know of it (RFC 4538 §7).
    pub fn target_dialog_header(&self, call: Call) -> Option<TargetDialog> {
        let id = self.dialog_id(call)?;
        TargetDialog::new(&id.call_id, id.remote_tag.as_deref()?, &id.local_tag).ok()
    }

    /// The call that an incoming one wants to take the place of: once
    /// [`Endpoint::accept`] answers it, that one is ended (RFC 3891 §3). Whether the caller may do so
    /// is the user's to decide.
    pub fn replaces(&self, call: Call) -> Option<Call> {
        self.calls.get(&call)?.replaces.filter(|other| self.calls.contains_key(other))
    }

    /// The call that an incoming one wants to join (RFC 3911 §4); only if `join` is in
    /// [`Config::supported`](super::Config::supported).
    pub fn joins(&self, call: Call) -> Option<Call> {
        self.calls.get(&call)?.joins.filter(|other| self.calls.contains_key(other))
    }

    /// The call that a request out of it shows knowledge of, by Target-Dialog (RFC 4538 §6).
    pub fn target_dialog(&self, request: &Request) -> Option<Call> {
        let target = request.header::<TargetDialog>()?;
        self.named(&target.call_id, target.local_tag(), target.remote_tag())
    }

    /// The calls that an INVITE replaces and joins, or how it is refused.
    pub(crate) fn linked(&self, request: &Request) -> Result<(Option<Call>, Option<Call>), StatusCode> {
        let count = |name: HeaderName<'static>| request.headers().count(name);
        let able = self.supported.iter().any(|s| s.eq_ignore_ascii_case("join"));
        let (replaces, joins) = (count(HeaderName::REPLACES), if able { count(HeaderName::JOIN) } else { 0 });
        if replaces + joins > 1 {
            return Err(StatusCode::BAD_REQUEST);
        }
        if replaces == 1 {
            let header: Replaces = request.header().ok_or(StatusCode::BAD_REQUEST)?;
            let found = self.linkable(&header.call_id, header.to_tag(), header.from_tag())?;
            let confirmed =
                |call| !matches!(self.calls.get(&call).map(|u| &u.phase), Some(Phase::Calling { .. }));
            return match header.early_only() && confirmed(found) {
                true => Err(StatusCode::BUSY_HERE),
                false => Ok((Some(found), None)),
            };
        }
        if joins == 1 {
            let header: Join = request.header().ok_or(StatusCode::BAD_REQUEST)?;
            return Ok((None, Some(self.linkable(&header.call_id, header.to_tag(), header.from_tag())?)));
        }
        Ok((None, None))
    }

    /// RFC 3891 §3, RFC 3911 §4: which dialogs may be named.
    fn linkable(&self, call_id: &str, ours: Option<&str>, theirs: Option<&str>) -> Result<Call, StatusCode> {
        let Some(call) = self.named(call_id, ours, theirs) else {
            let over = ours.and_then(super::number16).is_some_and(|tag| self.ended.contains(&tag));
            return Err(if over { StatusCode::DECLINE } else { StatusCode::CALL_DOES_NOT_EXIST });
        };
        match self.calls.get(&call).map(|u| &u.phase) {
            // An early dialog that the peer began.
            Some(Phase::Ringing) | None => Err(StatusCode::CALL_DOES_NOT_EXIST),
            Some(Phase::Ending) => Err(StatusCode::DECLINE),
            Some(Phase::Calling { .. } | Phase::Accepted | Phase::Confirmed) => Ok(call),
        }
    }

    fn named(&self, call_id: &str, ours: Option<&str>, theirs: Option<&str>) -> Option<Call> {
        let call = *self.tags.get(&super::number16(ours?)?)?;
        let usage = self.calls.get(&call)?;
        // RFC 3891 §6.1: a tag of zero also means none.
        let none = theirs == Some("0") && usage.owns(call_id, None);
        (none || usage.owns(call_id, theirs)).then_some(call)
    }

    /// An incoming call was answered: the one that it replaces ends (RFC 3891 §3).
    pub(crate) fn end_replaced(&mut self, now: Instant, call: Call) {
        let Some(old) = self.replaces(call) else { return };
        let reason = "SIP;cause=200;text=\"Replaced\"".to_owned();
        // Whatever it was doing, it may have ended by itself.
        let _ = self.bye(now, old, vec![("Reason".to_owned(), reason)]);
    }

    pub(crate) fn remember_ended(&mut self, tag: u64) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(tag);
    }
}
