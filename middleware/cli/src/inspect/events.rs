//! Bodies of notifications.

use bytes::Bytes;
use serde_json::{Value, json};
use sipsimple::presence::{EventBody, ParseError, Presence};

use super::Judgement;
use super::kinds::fault;
use crate::arguments::Kind;

/// Whether it looks like one: XML, or the first line of a message summary.
pub(super) fn guess(data: &[u8]) -> Option<Kind> {
    let text = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data).trim_ascii_start();
    let summary = b"messages-waiting:";
    if text.get(..summary.len()).is_some_and(|start| start.eq_ignore_ascii_case(summary)) {
        return Some(Kind::Event);
    }
    if !text.starts_with(b"<") {
        return None;
    }
    // A syslog priority begins with the same sign; a document, with a name or a declaration.
    text.get(1).filter(|byte| byte.is_ascii_alphabetic() || matches!(**byte, b'?' | b'!' | b'_'))?;
    let body = Bytes::copy_from_slice(data);
    let presence = match EventBody::detect(&body) {
        Ok(body) => matches!(body, EventBody::Presence(_)),
        Err(_) => contains(text, b"urn:ietf:params:xml:ns:pidf") && contains(text, b"presence"),
    };
    Some(if presence { Kind::Pidf } else { Kind::Event })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

pub(super) fn pidf(data: &[u8]) -> Judgement {
    judgement(Presence::parse(data).map(EventBody::Presence))
}

pub(super) fn event(data: &[u8]) -> Judgement {
    judgement(EventBody::detect(&Bytes::copy_from_slice(data)))
}

fn judgement(read: Result<EventBody, ParseError>) -> Judgement {
    match read {
        Ok(body) => (summary(&body), None),
        Err(error) => (Value::Null, fault(error.at, error.kind, error.what)),
    }
}

/// What a body says, in few words.
pub(crate) fn summary(body: &EventBody) -> Value {
    let mut summary = match body {
        EventBody::Presence(presence) => self::presence(presence),
        EventBody::WatcherInfo(info) => json!({
            "version": info.version,
            "state": info.state.as_str(),
            "watchers": info.lists.iter().flat_map(|list| &list.watchers).map(|watcher| json!({
                "uri": watcher.uri, "status": watcher.status.as_str(), "event": watcher.event.as_str(),
            })).collect::<Vec<_>>(),
        }),
        EventBody::List { list, .. } => json!({
            "uri": list.uri,
            "version": list.version,
            "full_state": list.full_state,
            "resources": list.resources.iter().map(|resource| json!({
                "uri": resource.uri,
                "instances": resource.instances.iter().map(|one| one.state.as_str()).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        }),
        EventBody::ResourceLists(lists) => json!({"uris": lists.uris()}),
        EventBody::MessageSummary(summary) => json!({
            "waiting": summary.waiting,
            "account": summary.account,
            "counts": summary.counts.iter().map(|(class, counts)| {
                (class.as_str().to_owned(), json!(counts.to_string()))
            }).collect::<serde_json::Map<_, _>>(),
        }),
        EventBody::DialogInfo(info) => json!({
            "entity": info.entity,
            "version": info.version,
            "state": info.state.as_str(),
            "lamp": format!("{:?}", info.lamp()).to_ascii_lowercase(),
            "dialogs": info.dialogs.iter().map(|dialog| json!({
                "id": dialog.id,
                "state": dialog.state.value.as_str(),
                "direction": dialog.direction.map(|direction| direction.as_str()),
            })).collect::<Vec<_>>(),
        }),
        EventBody::ConferenceInfo(info) => json!({
            "entity": info.entity,
            "users": info.users.iter().flat_map(|users| &users.users).map(|user| json!({
                "uri": user.entity,
                "name": user.display_text,
                "endpoints": user.endpoints.iter()
                    .map(|endpoint| endpoint.status.as_ref().map(|status| status.as_str().to_owned()))
                    .collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        }),
        EventBody::RegInfo(info) => json!({
            "version": info.version,
            "state": info.state.as_str(),
            "registrations": info.registrations.iter().map(|registration| json!({
                "aor": registration.aor,
                "state": registration.state.as_str(),
                "contacts": registration.contacts.iter().map(|contact| contact.uri.as_deref()).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        }),
        EventBody::Other { content_type, body } => json!({"content_type": content_type, "bytes": body.len()}),
        _ => json!({}),
    };
    summary["document"] = json!(body.kind());
    summary
}

fn presence(presence: &Presence) -> Value {
    let tuple = |tuple: &sipsimple::presence::Tuple| {
        json!({
            "id": tuple.id,
            "basic": tuple.status.basic.map(|basic| basic.as_str()),
            "contact": tuple.contact.as_ref().map(|contact| contact.uri.as_str()),
        })
    };
    json!({
        "entity": presence.entity,
        "basic": presence.basic().map(|basic| basic.as_str()),
        "tuples": presence.tuples.iter().map(tuple).collect::<Vec<_>>(),
        "activities": presence.activities().map(|activity| activity.name().to_owned()).collect::<Vec<_>>(),
        "moods": presence.moods().map(|mood| mood.name().to_owned()).collect::<Vec<_>>(),
        "notes": presence.all_notes().map(|note| note.text.as_str()).collect::<Vec<_>>(),
    })
}
