//! What is printed: lines for people, or JSON for programs.

use std::io::{self, Write};
use std::sync::Mutex;

use serde_json::{Map, json};
use sipsimple::notification::{Notification, Value};

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
            let data: Map<String, serde_json::Value> =
                data.iter().map(|(name, value)| ((*name).to_owned(), to_json(value))).collect();
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
            let data: String =
                data.iter().map(|(name, value)| format!(" {name}={}", to_text(value))).collect();
            let clock = time.strftime("%H:%M:%S%.3f");
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

    fn line(&self, text: &str) {
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A reader that left is no reason to drop a call.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
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
