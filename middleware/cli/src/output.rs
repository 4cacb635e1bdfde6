//! What is printed: lines for people, or JSON for programs.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

use serde_json::{Map, json};
use sipsimple::notification::{Event, MsrpFileTransferEventKind, Notification, SubscriptionEvent, Value};
use sipsimple::presence::EventBody;

use crate::inspect;

/// Where notifications are printed.
pub(crate) struct Output {
    json: bool,
    out: Mutex<io::Stdout>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, out: Mutex::new(io::stdout()) }
    }

    /// Prints a notification.
    pub(crate) fn notification(&self, notification: &Notification) {
        self.labelled(None, notification);
    }

    /// Prints a notification of one of several agents.
    pub(crate) fn labelled(&self, agent: Option<&str>, notification: &Notification) {
        let time = jiff::Timestamp::try_from(notification.timestamp()).unwrap_or_default();
        let sender = match agent {
            Some(agent) => format!("{agent}/{}", notification.sender()),
            None => notification.sender().to_string(),
        };
        let data = notification.event().data();
        if self.json {
            let mut data: Map<String, serde_json::Value> =
                data.iter().map(|(name, value)| ((*name).to_owned(), to_json(value))).collect();
            if let Some(body) = decoded(notification) {
                data.insert("decoded".to_owned(), inspect::event_summary(body));
            }
            self.line(
                &json!({
                    "serial": notification.serial(),
                    "timestamp": format!("{time:.6}"),
                    "name": notification.name(),
                    "sender": sender,
                    "data": data,
                })
                .to_string(),
            );
        } else {
            let body = decoded(notification);
            // People get what a body says in place of it.
            let told = data
                .iter()
                .filter(|(name, _)| body.is_none() || !matches!(*name, "body" | "headers" | "content_type"));
            let mut data: String = told.map(|(name, value)| format!(" {name}={}", to_text(value))).collect();
            if let Some(body) = body {
                data.extend([" ", &inspect::event_summary(body).to_string()]);
            }
            let clock = time.strftime("%H:%M:%S%.3f");
            if self.bar(notification) {
                return;
            }
            self.line(&format!("{clock} {sender} {}{data}", notification.name()));
        }
    }

    /// Prints a remark for people; programs don't get it on stdout.
    pub(crate) fn remark(&self, text: &str) {
        if self.json {
            eprintln!("{text}");
        } else {
            self.line(text);
        }
    }

    /// Prints what is no notification: an object for programs, or a text for people.
    pub(crate) fn answer(&self, object: &serde_json::Value, text: &str) {
        if self.json { self.line(&object.to_string()) } else { self.line(text) }
    }

    /// The last line.
    pub(crate) fn exit(&self, code: u8) {
        if self.json {
            self.line(&json!({"name": "exit", "code": code}).to_string());
        }
    }

    /// Shows progress as a bar on a terminal; gives back whether it did.
    fn bar(&self, notification: &Notification) -> bool {
        let Some(MsrpFileTransferEventKind::DidMakeProgress { bytes, size }) =
            notification.file_event().map(|event| &event.kind)
        else {
            return false;
        };
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !out.is_terminal() {
            return false;
        }
        let _ = write!(out, "\r{}", bar(*bytes, *size));
        let _ = if bytes >= size { writeln!(out) } else { Ok(()) }.and_then(|()| out.flush());
        true
    }

    fn line(&self, text: &str) {
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A reader that left is no reason to drop a call.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

/// What the body of a NOTIFY says.
fn decoded(notification: &Notification) -> Option<&EventBody> {
    match notification.event() {
        Event::Subscription(SubscriptionEvent::GotNotify { decoded, .. }) => decoded.as_deref(),
        _ => None,
    }
}

/// `[########        ]  50 %  1.0 of 2.0 MB`
fn bar(bytes: u64, size: u64) -> String {
    const WIDTH: u64 = 40;
    let part = |of: u64| (u128::from(bytes) * u128::from(of) / u128::from(size.max(1))) as usize;
    let filled = part(WIDTH);
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    format!(
        "[{}{}] {:>3} %  {:.1} of {:.1} MB",
        "#".repeat(filled),
        " ".repeat((WIDTH as usize).saturating_sub(filled)),
        part(100),
        megabytes(bytes),
        megabytes(size),
    )
}

pub(crate) fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => json!(value),
        Value::Number(value) => json!(value),
        Value::Text(value) => json!(value),
        Value::List(values) => values.iter().map(to_json).collect(),
        Value::Map(values) => serde_json::Value::Object(
            values.iter().map(|(name, value)| (name.clone(), to_json(value))).collect(),
        ),
    }
}

pub(crate) fn to_text(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(value) if value.is_empty() || value.contains([' ', '"']) => format!("{value:?}"),
        Value::Text(value) => value.clone(),
        Value::List(values) => values.iter().map(to_text).collect::<Vec<_>>().join(","),
        Value::Map(values) => {
            let pairs: Vec<_> =
                values.iter().map(|(name, value)| format!("{name}:{}", to_text(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_fills() {
        assert_eq!(bar(0, 0), format!("[{}]   0 %  0.0 of 0.0 MB", " ".repeat(40)));
        assert_eq!(
            bar(1_000_000, 2_000_000),
            format!("[{}{}]  50 %  1.0 of 2.0 MB", "#".repeat(20), " ".repeat(20))
        );
        assert_eq!(bar(u64::MAX, u64::MAX).matches('#').count(), 40);
    }
}
