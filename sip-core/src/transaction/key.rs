//! What server transactions are found by (RFC 3261 §17.2.3, §8.2.2.2).

use crate::{Method, Request, endpoint::Envelope};
use std::fmt::Write;

/// Two requests with one key belong to one server transaction (RFC 3261 §17.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ServerKey(Box<str>);

impl ServerKey {
    /// The key of the transaction that `request` belongs to; that of the INVITE for its ACK.
    pub(crate) fn of(request: &Request, envelope: &Envelope) -> Self {
        let method =
            if envelope.cseq.method == Method::Ack { &Method::Invite } else { &envelope.cseq.method };
        Self::with_method(request, envelope, method)
    }

    /// The key of the INVITE that a CANCEL is about (RFC 3261 §9.2).
    pub(crate) fn cancelled(request: &Request, envelope: &Envelope) -> Self {
        Self::with_method(request, envelope, &Method::Invite)
    }

    fn with_method(request: &Request, envelope: &Envelope, method: &Method) -> Self {
        let via = &envelope.via;
        let mut key = String::with_capacity(64);
        // Writing to memory does not fail.
        let _ = match via.branch() {
            Some(branch) if via.has_rfc3261_branch() => {
                write!(key, "{branch}\n{}:{}\n{method}", via.host, via.port.unwrap_or(0))
            }
            // A peer of RFC 2543: everything that a retransmission repeats. The To tag of an ACK
            // is that of our response, so it is no part of the key of an INVITE.
            _ => write!(
                key,
                "\n{}\n{}\n{}\n{}\n{}\n{}\n{method}",
                request.uri_text(),
                if *method == Method::Invite { "" } else { envelope.to_tag.as_deref().unwrap_or("") },
                envelope.from_tag.as_deref().unwrap_or(""),
                envelope.call_id,
                envelope.cseq.number,
                via,
            ),
        };
        Self(key.into_boxed_str())
    }
}

/// Two requests out of a dialog with one of these but different [`ServerKey`]s are one request
/// that took two paths (RFC 3261 §8.2.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct MergeKey(Box<str>);

impl MergeKey {
    /// The key of a request out of a dialog; `None` within one.
    pub(crate) fn of(envelope: &Envelope) -> Option<Self> {
        if envelope.to_tag.is_some() {
            return None;
        }
        let tag = envelope.from_tag.as_deref()?;
        Some(Self(format!("{}\n{tag}\n{}", envelope.call_id, envelope.cseq).into_boxed_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Message};

    fn key(text: &str) -> (ServerKey, ServerKey, Option<MergeKey>) {
        let text = text.replace('\n', "\r\n") + "\r\n\r\n";
        let message = Message::parse(text.into_bytes().into(), &Limits::default()).unwrap();
        let Message::Request(request) = message else { panic!("a request") };
        let envelope = Envelope::read(&request).unwrap();
        let merge = MergeKey::of(&envelope);
        (ServerKey::of(&request, &envelope), ServerKey::cancelled(&request, &envelope), merge)
    }

    #[test]
    fn by_branch() {
        let message = |method: &str, branch: &str| {
            format!(
                "{method} sip:b@c SIP/2.0\nVia: SIP/2.0/UDP a:5{branch}\nFrom: <sip:a@b>;tag=1\nTo: <sip:b@c>\n\
                 Call-ID: x\nCSeq: 1 {method}"
            )
        };
        let invite = key(&message("INVITE", ";branch=z9hG4bK1"));
        assert_eq!(invite.0, key(&message("ACK", ";branch=z9hG4bK1")).0);
        assert_eq!(invite.0, key(&message("CANCEL", ";branch=z9hG4bK1")).1);
        assert_ne!(invite.0, key(&message("CANCEL", ";branch=z9hG4bK1")).0);
        let merged = key(&message("INVITE", ";branch=z9hG4bK2"));
        assert_ne!(invite.0, merged.0);
        assert_eq!(invite.2, merged.2);
    }

    #[test]
    fn without_a_branch() {
        let message = |method: &str, to: &str, cseq: u32| {
            format!(
                "{method} sip:b@c SIP/2.0\nVia: SIP/2.0/UDP a:5\nFrom: <sip:a@b>;tag=1\nTo: <sip:b@c>{to}\n\
                 Call-ID: x\nCSeq: {cseq} {method}"
            )
        };
        let invite = key(&message("INVITE", "", 1));
        assert_eq!(invite.0, key(&message("ACK", ";tag=ours", 1)).0);
        assert_eq!(invite.0, key(&message("CANCEL", "", 1)).1);
        assert_ne!(invite.0, key(&message("INVITE", "", 2)).0);
        assert_ne!(key(&message("BYE", ";tag=a", 2)).0, key(&message("BYE", ";tag=b", 2)).0);
    }
}
