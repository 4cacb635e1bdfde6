//! The live display of `call` and `listen` on a terminal: how each session fares, and keys.
//!
//! Notifications scroll by above it; a pipe or a file gets those alone, and no keys.

mod panel;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sipsimple::session::MessageOptions;
use sipsimple::{Session, SessionManager, State};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::panel::{Paint, Row};
use crate::leave::Leave;
use crate::output::Output;
use crate::terminal;

/// Time between two looks at the sessions.
const REFRESH: Duration = Duration::from_millis(200);

/// What the key for the end does.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum Quit {
    /// Ends the sessions; the command ends with them.
    HangsUp,
    /// Ends the command.
    Leaves,
}

/// A running display; dropping it takes it away.
pub(crate) struct Live {
    output: Arc<Output>,
    task: JoinHandle<()>,
}

impl Live {
    /// Starts it, if standard output is a terminal.
    pub(crate) fn start(
        manager: &SessionManager,
        output: &Arc<Output>,
        leave: &Leave,
        quit: Quit,
    ) -> Option<Self> {
        if !output.can_draw() {
            return None;
        }
        let keys = terminal::keys();
        let show = Show {
            manager: manager.clone(),
            output: output.clone(),
            leave: leave.clone(),
            quit,
            has_keys: keys.is_some(),
            typed: None,
        };
        Some(Self { output: output.clone(), task: tokio::spawn(show.run(keys)) })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
        self.output.set_panel(Vec::new());
        terminal::restore();
    }
}

struct Show {
    manager: SessionManager,
    output: Arc<Output>,
    leave: Leave,
    quit: Quit,
    has_keys: bool,
    /// A chat message that is being typed.
    typed: Option<String>,
}

impl Show {
    async fn run(mut self, keys: Option<mpsc::UnboundedReceiver<char>>) {
        let mut keys = keys.unwrap_or_else(|| mpsc::unbounded_channel().1);
        loop {
            self.draw();
            tokio::select! {
                key = keys.recv(), if self.has_keys => if let Some(key) = key { self.press(key) },
                () = pause() => {}
            }
        }
    }

    fn draw(&self) {
        let now = SystemTime::from(jiff::Timestamp::now());
        let rows: Vec<Row> = self.manager.sessions().iter().map(|session| Row::of(session, now)).collect();
        let paint = Paint { columns: terminal::columns(), colour: self.output.has_colour() };
        let keys = self.has_keys.then_some(self.quit);
        let mut lines = panel::lines(&rows, keys, &paint);
        if let (Some(typed), Some(last)) = (&self.typed, lines.last_mut()) {
            *last = panel::input(typed, &paint);
        }
        self.output.set_panel(lines);
    }

    /// Keys go to the session that was established last.
    fn press(&mut self, key: char) {
        let running: Vec<Session> = self.manager.sessions();
        let session = running
            .iter()
            .filter(|session| session.state() == State::Established)
            .max_by_key(|s| s.start_time());
        if let Some(typed) = self.typed.take() {
            self.typed = self.type_on(typed, key, session);
            return;
        }
        match (key, session) {
            ('c', Some(session)) if session.has_chat() => self.typed = Some(String::new()),
            ('q', _) if self.quit == Quit::HangsUp && !running.is_empty() => {
                // Replies tell what would be wrong; there is nothing a key could do about it.
                running.iter().for_each(|session| drop(session.terminate()));
            }
            ('q', _) => self.leave.ask(),
            ('h', Some(session)) if session.on_hold_by_local() => drop(session.unhold()),
            ('h', Some(session)) => drop(session.hold()),
            ('m', Some(session)) => drop(session.set_muted(session.audio_muted() == Some(false))),
            ('0'..='9' | '*' | '#', Some(session)) => drop(session.send_dtmf(key)),
            _ => {}
        }
    }
}

impl Show {
    /// A key while a message is typed; what is typed then, or nothing.
    fn type_on(&self, mut typed: String, key: char, session: Option<&Session>) -> Option<String> {
        match key {
            terminal::ENTER => {
                // An empty one is none.
                if let Some(session) = session.filter(|_| !typed.is_empty()) {
                    self.output.remark(&format!("you: {typed}"));
                    drop(session.send_message(typed, MessageOptions::default()));
                }
                return None;
            }
            terminal::BACKSPACE => drop(typed.pop()),
            key => typed.push(key),
        }
        Some(typed)
    }
}

#[expect(clippy::disallowed_methods, reason = "a display lives in real time")]
async fn pause() {
    tokio::time::sleep(REFRESH).await;
}
