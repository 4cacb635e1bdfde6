//! The terminal: its width, and keys one by one.
//!
//! Keys are had without the line discipline's echo and line editing; signals and the translation
//! of line ends stay as they are, so Ctrl-C is a signal and everything prints as usual.

use std::io::{IsTerminal, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::sync::mpsc;

/// Where the system tells nothing.
const COLUMNS: usize = 80;

/// How the terminal was before we changed it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether a panel can be drawn on standard output.
pub(crate) fn can_draw() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Whether colours are wanted (<https://no-color.org>).
pub(crate) fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of standard output.
pub(crate) fn columns() -> usize {
    let told = tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if told == 0 { COLUMNS } else { told }
}

/// Keys from now on; `None` if standard input is no terminal.
pub(crate) fn keys() -> Option<mpsc::UnboundedReceiver<char>> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let before = tcgetattr(std::io::stdin()).ok()?;
    let mut attributes = before.clone();
    attributes.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO);
    attributes.special_codes[SpecialCodeIndex::VMIN] = 1;
    attributes.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(std::io::stdin(), OptionalActions::Now, &attributes).ok()?;
    lock().get_or_insert(before);
    let (sender, keys) = mpsc::unbounded_channel();
    // Standard input blocks: it has a thread of its own, which ends with the program.
    std::thread::spawn(move || {
        let mut decoder = Decoder::default();
        for byte in std::io::stdin().lock().bytes().map_while(Result::ok) {
            if let Some(key) = decoder.take(byte)
                && sender.send(key).is_err()
            {
                break;
            }
        }
    });
    Some(keys)
}

/// Gives the terminal back as it was, with its cursor.
pub(crate) fn restore() {
    if let Some(before) = lock().take() {
        // A terminal that is gone needs nothing back.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
    if can_draw() {
        let mut out = std::io::stdout();
        let _ = out.write_all(b"\x1b[?25h").and_then(|()| out.flush());
    }
}

fn lock() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What Enter gives.
pub(crate) const ENTER: char = '\n';
/// What the key that takes a letter back gives.
pub(crate) const BACKSPACE: char = '\u{8}';

/// Bytes of a terminal as keys; arrows and the like are none.
#[derive(Default)]
struct Decoder {
    state: Escape,
    /// A character of several bytes, as far as it has come.
    begun: Vec<u8>,
}

#[derive(Copy, Clone, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// ESC came.
    Begun,
    /// ESC [ came: it ends with a letter or `~`.
    Sequence,
    /// ESC O came: one more.
    One,
}

impl Decoder {
    fn take(&mut self, byte: u8) -> Option<char> {
        let (next, key) = match (self.state, byte) {
            (_, 0x1b) => (Escape::Begun, None),
            (Escape::Begun, b'[') => (Escape::Sequence, None),
            (Escape::Begun, b'O') => (Escape::One, None),
            (Escape::Sequence, 0x40..=0x7e) | (Escape::One, _) => (Escape::None, None),
            (Escape::Sequence, _) => (Escape::Sequence, None),
            (Escape::None | Escape::Begun, _) => (Escape::None, self.character(byte)),
        };
        self.state = next;
        key
    }

    fn character(&mut self, byte: u8) -> Option<char> {
        match byte {
            b'\r' | b'\n' => Some(ENTER),
            0x08 | 0x7f => Some(BACKSPACE),
            0x20..=0x7e => Some(char::from(byte)),
            0x80.. => {
                self.begun.push(byte);
                let whole = std::str::from_utf8(&self.begun).map(|text| text.chars().next());
                if whole.is_ok() || self.begun.len() >= 4 {
                    self.begun.clear();
                }
                whole.ok().flatten()
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decoder;

    #[test]
    fn arrows_and_function_keys_are_no_keys() {
        let mut decoder = Decoder::default();
        let typed = b"h\x1b[H1\x1b[1;5A#\x1bOP\x1b[15~\xc3\xbcq\r*\x7f\x03";
        let keys: String = typed.iter().filter_map(|&byte| decoder.take(byte)).collect();
        assert_eq!(keys, "h1#\u{fc}q\n*\u{8}");
    }
}
