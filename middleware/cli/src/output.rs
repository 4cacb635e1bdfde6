//! What is printed: lines for people, or JSON for programs.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, json};
use sipsimple::notification::{
    Event, MsrpFileTransferEventKind, Notification, SessionEvent, SubscriptionEvent, Value,
};
use sipsimple::presence::EventBody;

use crate::inspect;
use crate::terminal;

const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// Where notifications are printed.
pub(crate) struct Output {
    json: bool,
    silent: bool,
    screen: Mutex<Screen>,
}

/// Standard output, with a panel at its end where that is a terminal.
struct Screen {
    out: io::Stdout,
    /// The panel's lines as they are on the terminal now.
    panel: Vec<String>,
    colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let colour = !json && terminal::can_draw() && terminal::wants_colour();
        Self {
            json,
            silent: false,
            screen: Mutex::new(Screen { out: io::stdout(), panel: Vec::new(), colour }),
        }
    }

    /// One that prints nothing.
    pub(crate) fn silent() -> Self {
        Self { silent: true, ..Self::new(false) }
    }

    /// Whether a panel can be shown.
    pub(crate) fn can_draw(&self) -> bool {
        !self.json && terminal::can_draw()
    }

    /// Whether it may have colours.
    pub(crate) fn has_colour(&self) -> bool {
        self.screen().colour
    }

    /// Shows these lines below everything, in place of those that were there.
    pub(crate) fn set_panel(&self, panel: Vec<String>) {
        let mut screen = self.screen();
        if screen.panel != panel {
            screen.draw(None, panel);
        }
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
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
            if !self.screen().panel.is_empty() && is_progress(notification) {
                return;
            }
            let name = notification.name();
            if let Some(text) = self.chat(notification) {
                self.line(&text);
            } else if self.has_colour() {
                let colour = if name.contains("Fail") || name.contains("NotDeliver") { RED } else { BOLD };
                self.line(&format!("{DIM}{clock} {sender}{PLAIN} {colour}{name}{PLAIN}{data}"));
            } else {
                self.line(&format!("{clock} {sender} {name}{data}"));
            }
        }
    }

    /// A chat message as people read it, where there is a display.
    fn chat(&self, notification: &Notification) -> Option<String> {
        let SessionEvent::GotMessage { content, content_type, .. } = notification.session_event()? else {
            return None;
        };
        if self.screen().panel.is_empty() || !content_type.starts_with("text/plain") {
            return None;
        }
        let who = notification.session()?.remote_uri().map(|uri| uri.to_string()).unwrap_or_default();
        Some(format!("{}: {}", printable(&who), printable(&String::from_utf8_lossy(content))))
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

    /// Warns: people and programs get it on standard error.
    pub(crate) fn warn(&self, text: &str) {
        let screen = self.screen();
        if screen.panel.is_empty() {
            eprintln!("sipsimple: {text}");
        } else {
            drop(screen);
            self.line(text);
        }
    }

    /// The last line, with the reason where it is no good one.
    pub(crate) fn exit(&self, code: u8, reason: Option<&str>) {
        if self.json {
            let mut object = json!({"name": "exit", "code": code});
            if let Some(reason) = reason {
                object["reason"] = json!(reason);
            }
            self.line(&object.to_string());
        }
    }

    fn line(&self, text: &str) {
        if self.silent {
            return;
        }
        let mut screen = self.screen();
        let panel = screen.panel.clone();
        screen.draw(Some(text), panel);
    }
}

impl Screen {
    /// Prints a line above the panel, and the panel: at once, so that nothing flickers.
    fn draw(&mut self, line: Option<&str>, panel: Vec<String>) {
        let mut text = String::new();
        if !self.panel.is_empty() {
            // To the panel's first line, and everything from there on away.
            text.push_str(&format!("\r\x1b[{}A\x1b[J", self.panel.len()));
        }
        if let Some(line) = line {
            text.extend([line, "\n"]);
        }
        if self.panel.is_empty() != panel.is_empty() {
            // Where there is a panel there is no cursor.
            text.push_str(if panel.is_empty() { "\x1b[?25h" } else { "\x1b[?25l" });
        }
        for line in &panel {
            text.extend([line.as_str(), "\n"]);
        }
        self.panel = panel;
        // A reader that left is no reason to drop a call.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// Whether a panel shows it better.
fn is_progress(notification: &Notification) -> bool {
    matches!(
        notification.file_event().map(|event| &event.kind),
        Some(MsrpFileTransferEventKind::DidMakeProgress { .. })
    )
}

/// What the body of a NOTIFY says.
fn decoded(notification: &Notification) -> Option<&EventBody> {
    match notification.event() {
        Event::Subscription(SubscriptionEvent::GotNotify { decoded, .. }) => decoded.as_deref(),
        _ => None,
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

/// Words of a peer, such that they do nothing to a terminal: control characters are escaped.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

fn is_printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

pub(crate) fn to_text(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(value) if value.is_empty() || value.contains([' ', '"']) || !is_printable(value) => {
            format!("{value:?}")
        }
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
    use super::{Value, printable, to_text};

    #[test]
    fn words_of_a_peer_do_nothing_to_a_terminal() {
        for text in ["\x1b[2J", "\u{9b}2J", "a\rb", "a b\x07"] {
            let shown = to_text(&Value::Text(text.to_owned()));
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert!(!printable(text).chars().any(char::is_control));
        }
        assert_eq!(printable("Grüße"), "Grüße");
    }
}
