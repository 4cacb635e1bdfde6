//! Messages that wait: `application/simple-message-summary` (RFC 3842), which is text.

use std::fmt;

use super::error::ParseError;
use super::error::ParseErrorKind::{Missing, Syntax, TooLong, Utf8, Value};

/// Bytes of a summary that is read.
const MAX_SIZE: usize = 64 * 1024;

/// What waits in a mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageSummary {
    /// Whether anything does.
    pub waiting: bool,
    /// Whose mailbox, where that was said.
    pub account: Option<String>,
    /// How many, by class.
    pub counts: Vec<(MessageClass, MessageCounts)>,
    /// Lines that are not known here: name and value.
    pub other: Vec<(String, String)>,
    /// Headers of new messages, a list for each.
    pub messages: Vec<Vec<(String, String)>>,
}

/// The classes of RFC 3458, by which messages are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageClass {
    /// `voice-message`
    Voice,
    /// `fax-message`
    Fax,
    /// `pager-message`
    Pager,
    /// `multimedia-message`
    Multimedia,
    /// `text-message`
    Text,
    /// `none`
    None,
}

/// How many messages of a class there are.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// New ones.
    pub new: u32,
    /// Those that were heard or read.
    pub old: u32,
    /// New and old that are urgent, where that was said.
    pub urgent: Option<(u32, u32)>,
}

impl MessageSummary {
    /// The media type.
    pub const CONTENT_TYPE: &'static str = "application/simple-message-summary";

    /// Reads a summary.
    ///
    /// # Errors
    /// If it does not begin by telling whether messages wait, or a line is none.
    pub fn parse(data: &[u8]) -> Result<Self, ParseError> {
        if data.len() > MAX_SIZE {
            return Err(ParseError::new(MAX_SIZE, TooLong, "a summary of at most 64 KiB"));
        }
        let text = std::str::from_utf8(data)
            .map_err(|error| ParseError::new(error.valid_up_to(), Utf8, "a summary in UTF-8"))?;
        let mut summary = Self::default();
        let mut stated = false;
        let mut messages: Option<Vec<(String, String)>> = None;
        let mut at = 0;
        for raw in text.split_inclusive('\n') {
            let (start, line) = (at, raw.trim_end_matches(['\r', '\n']));
            at += raw.len();
            if line.trim().is_empty() {
                // An empty line ends the summary, and the headers of each message.
                if stated {
                    summary.messages.extend(messages.take().filter(|headers| !headers.is_empty()));
                    messages = Some(Vec::new());
                }
                continue;
            }
            if line.chars().any(|c| c.is_control() && c != '\t') {
                return Err(ParseError::new(start, Syntax, "no control characters"));
            }
            if line.starts_with([' ', '\t'])
                && let Some((_, value)) = messages.as_mut().and_then(|headers| headers.last_mut())
            {
                if !value.is_empty() {
                    value.push(' ');
                }
                value.push_str(line.trim());
                continue;
            }
            let (name, value) = line
                .split_once(':')
                .map(|(name, value)| (name.trim(), value.trim()))
                .filter(|(name, _)| is_token(name))
                .ok_or_else(|| ParseError::new(start, Syntax, "a name, a colon and a value"))?;
            match &mut messages {
                Some(headers) => headers.push((name.to_owned(), value.to_owned())),
                None if !stated => {
                    summary.waiting = waiting(name, value, start)?;
                    stated = true;
                }
                None => summary.line(name, value, start)?,
            }
        }
        summary.messages.extend(messages.filter(|headers| !headers.is_empty()));
        if stated { Ok(summary) } else { Err(ParseError::new(at, Missing, "Messages-Waiting")) }
    }

    fn line(&mut self, name: &str, value: &str, at: usize) -> Result<(), ParseError> {
        if name.eq_ignore_ascii_case("Message-Account") && self.account.is_none() {
            self.account = Some(value.to_owned());
        } else if let Some(class) = MessageClass::from_name(name) {
            let counts = MessageCounts::parse(value)
                .ok_or_else(|| ParseError::new(at, Value, "new/old, and new/old of the urgent ones"))?;
            self.counts.push((class, counts));
        } else {
            self.other.push((name.to_owned(), value.to_owned()));
        }
        Ok(())
    }

    /// How many of a class there are.
    #[must_use]
    pub fn count(&self, class: &MessageClass) -> Option<MessageCounts> {
        self.counts.iter().find(|(other, _)| other == class).map(|(_, counts)| *counts)
    }
}

/// The summary as it is sent. Line ends in what was set become spaces.
impl fmt::Display for MessageSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Messages-Waiting: {}\r\n", if self.waiting { "yes" } else { "no" })?;
        if let Some(account) = &self.account {
            write!(f, "Message-Account: {}\r\n", OneLine(account))?;
        }
        for (class, counts) in &self.counts {
            write!(f, "{class}: {counts}\r\n")?;
        }
        for (name, value) in self.other.iter().filter(|(name, _)| is_token(name)) {
            write!(f, "{name}: {}\r\n", OneLine(value))?;
        }
        for headers in &self.messages {
            f.write_str("\r\n")?;
            for (name, value) in headers.iter().filter(|(name, _)| is_token(name)) {
                write!(f, "{name}: {}\r\n", OneLine(value))?;
            }
        }
        Ok(())
    }
}

impl MessageClass {
    fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Voice, Self::Fax, Self::Pager, Self::Multimedia, Self::Text, Self::None];
        all.into_iter().find(|class| class.as_str().eq_ignore_ascii_case(name))
    }

    /// As the summary has it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Voice => "Voice-Message",
            Self::Fax => "Fax-Message",
            Self::Pager => "Pager-Message",
            Self::Multimedia => "Multimedia-Message",
            Self::Text => "Text-Message",
            Self::None => "None",
        }
    }
}

impl fmt::Display for MessageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl MessageCounts {
    /// `4/8 (1/2)`.
    fn parse(text: &str) -> Option<Self> {
        let (all, urgent) = match text.split_once('(') {
            Some((all, urgent)) => (all, Some(urgent.trim().strip_suffix(')')?)),
            None => (text, None),
        };
        let (new, old) = pair(all)?;
        Some(Self { new, old, urgent: urgent.map(|text| pair(text).ok_or(())).transpose().ok()? })
    }
}

impl fmt::Display for MessageCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.new, self.old)?;
        match self.urgent {
            Some((new, old)) => write!(f, " ({new}/{old})"),
            None => Ok(()),
        }
    }
}

fn waiting(name: &str, value: &str, at: usize) -> Result<bool, ParseError> {
    if !name.eq_ignore_ascii_case("Messages-Waiting") {
        return Err(ParseError::new(at, Missing, "Messages-Waiting"));
    }
    match value {
        _ if value.eq_ignore_ascii_case("yes") => Ok(true),
        _ if value.eq_ignore_ascii_case("no") => Ok(false),
        _ => Err(ParseError::new(at, Value, "yes or no")),
    }
}

fn pair(text: &str) -> Option<(u32, u32)> {
    let (new, old) = text.split_once('/')?;
    Some((number(new.trim())?, number(old.trim())?))
}

/// RFC 3842 §3.5: a larger number counts as 2^32-1.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

fn is_token(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0
            .trim()
            .chars()
            .try_for_each(|c| f.write_char(if c.is_control() && c != '\t' { ' ' } else { c }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let text = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\n\
            Voice-Message: 4/8 (1/2)\r\n\r\nTo: <alice@atlanta.example.com>\r\n\
            Subject: carpool\r\n tomorrow?\r\n\r\nTo: <alice@example.com>\r\nPriority: urgent\r\n";
        let summary = MessageSummary::parse(text.as_bytes()).expect("reads");
        let counts = MessageCounts { new: 4, old: 8, urgent: Some((1, 2)) };
        assert_eq!((summary.waiting, summary.count(&MessageClass::Voice)), (true, Some(counts)));
        assert_eq!(summary.account.as_deref(), Some("sip:alice@vmail.example.com"));
        assert_eq!(summary.messages.len(), 2);
        assert_eq!(summary.messages[0][1].1, "carpool tomorrow?");
        assert_eq!(MessageSummary::parse(summary.to_string().as_bytes()).expect("reads"), summary);
    }

    #[test]
    fn numbers_too_large_count_as_the_largest() {
        let summary =
            MessageSummary::parse(b"messages-waiting: NO\nfax-message: 4294967296/0").expect("reads");
        assert_eq!(summary.count(&MessageClass::Fax).map(|counts| counts.new), Some(u32::MAX));
    }

    #[test]
    fn errors_say_where() {
        for (text, at) in [
            ("", 0),
            ("Voice-Message: 1/0", 0),
            ("Messages-Waiting: maybe", 0),
            ("Messages-Waiting: yes\r\nVoice-Message: many", 23),
            ("Messages-Waiting: yes\r\nVoice-Message: 1/2 (1/2", 23),
            ("Messages-Waiting: yes\r\nnonsense", 23),
        ] {
            assert_eq!(MessageSummary::parse(text.as_bytes()).expect_err(text).at, at, "{text}");
        }
    }

    #[test]
    fn nothing_that_is_set_becomes_another_line() {
        let evil = "x\r\nVoice-Message: 1/0\r\n\r\nTo: y";
        let summary = MessageSummary {
            account: Some(evil.to_owned()),
            other: vec![(evil.to_owned(), evil.to_owned()), ("X".to_owned(), evil.to_owned())],
            ..MessageSummary::default()
        };
        assert_eq!(summary.to_string().lines().count(), 3, "{summary}");
    }
}
