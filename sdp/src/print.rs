//! Values to text.

use std::fmt::{self, Write};

use crate::description::{MediaDescription, SessionDescription};
use crate::fragment::Fragment;
use crate::text::Text;

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl SessionDescription {
    /// The text in one allocation, if nothing much was added.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(self.layout.length.max(512));
        // A String takes everything.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let eol = if self.layout.lf { "\n" } else { "\r\n" };
        match &self.head.0 {
            Some(raw) if raw.0.session.same_head(self) => {
                write_raw(out, &raw.1, eol, self.media.is_empty())?;
            }
            _ => self.write_head(out, eol)?,
        }
        let mut media = self.media.iter().peekable();
        while let Some(one) = media.next() {
            match &one.raw.0 {
                Some(raw) if raw.0 == *one => write_raw(out, &raw.1, eol, media.peek().is_none())?,
                _ => one.write(out, eol)?,
            }
        }
        Ok(())
    }

    fn write_head(&self, out: &mut dyn Write, eol: &str) -> fmt::Result {
        line(out, "v=", "0", eol)?;
        out.write_str("o=")?;
        out.write_str(&self.origin.username)?;
        out.write_str(" ")?;
        out.write_str(self.origin.session_id.as_str())?;
        out.write_str(" ")?;
        number(out, self.origin.session_version)?;
        out.write_str(" ")?;
        self.origin.address.write(out)?;
        out.write_str(eol)?;
        line(out, "s=", &self.name, eol)?;
        lines(out, "i=", &self.information, eol)?;
        lines(out, "u=", &self.uri, eol)?;
        lines(out, "e=", &self.emails, eol)?;
        lines(out, "p=", &self.phones, eol)?;
        if let Some(connection) = &self.connection {
            connection.write_line(out, eol)?;
        }
        for bandwidth in &self.bandwidth {
            bandwidth.write_line(out, eol)?;
        }
        for timing in &self.times {
            out.write_str("t=")?;
            number(out, timing.start)?;
            out.write_str(" ")?;
            number(out, timing.stop)?;
            out.write_str(eol)?;
            lines(out, "r=", &timing.repeats, eol)?;
        }
        lines(out, "z=", &self.zones, eol)?;
        lines(out, "k=", self.key.iter().map(|key| &key.0), eol)?;
        self.attributes.write(out, eol)?;
        lines(out, "", &self.unknown, eol)
    }
}

/// A fragment, whose m-lines have attributes and nothing else.
pub(crate) fn fragment(fragment: &Fragment, out: &mut dyn Write) -> fmt::Result {
    let eol = "\r\n";
    fragment.attributes.write(out, eol)?;
    fragment.media.iter().try_for_each(|media| {
        media.write_line(out, eol)?;
        media.attributes.write(out, eol)
    })
}

impl MediaDescription {
    fn write(&self, out: &mut dyn Write, eol: &str) -> fmt::Result {
        self.write_line(out, eol)?;
        lines(out, "i=", &self.title, eol)?;
        for connection in &self.connections {
            connection.write_line(out, eol)?;
        }
        for bandwidth in &self.bandwidth {
            bandwidth.write_line(out, eol)?;
        }
        lines(out, "k=", self.key.iter().map(|key| &key.0), eol)?;
        self.attributes.write(out, eol)?;
        lines(out, "", &self.unknown, eol)
    }

    fn write_line(&self, out: &mut dyn Write, eol: &str) -> fmt::Result {
        out.write_str("m=")?;
        out.write_str(self.media.as_str())?;
        out.write_str(" ")?;
        number(out, self.port.into())?;
        if let Some(count) = self.port_count {
            out.write_str("/")?;
            number(out, count.into())?;
        }
        out.write_str(" ")?;
        out.write_str(self.protocol.as_str())?;
        if !self.formats.as_str().is_empty() {
            out.write_str(" ")?;
            out.write_str(self.formats.as_str())?;
        }
        out.write_str(eol)
    }
}

impl crate::Address {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(self.net_type.as_str())?;
        out.write_str(" ")?;
        out.write_str(self.addr_type.as_str())?;
        out.write_str(" ")?;
        out.write_str(&self.host)
    }
}

impl crate::Connection {
    fn write_line(&self, out: &mut dyn Write, eol: &str) -> fmt::Result {
        out.write_str("c=")?;
        self.address.write(out)?;
        for suffix in [self.ttl.map(u64::from), self.count.map(u64::from)].into_iter().flatten() {
            out.write_str("/")?;
            number(out, suffix)?;
        }
        out.write_str(eol)
    }
}

impl crate::Bandwidth {
    fn write_line(&self, out: &mut dyn Write, eol: &str) -> fmt::Result {
        out.write_str("b=")?;
        out.write_str(&self.kind)?;
        out.write_str(":")?;
        number(out, self.value)?;
        out.write_str(eol)
    }
}

/// A part as it was read; a last line without an end gets one if more follows.
fn write_raw(out: &mut dyn Write, raw: &Text, eol: &str, last: bool) -> fmt::Result {
    if last || raw.ends_with('\n') || raw.is_empty() {
        return out.write_str(raw);
    }
    out.write_str(raw.trim_end_matches('\r'))?;
    out.write_str(eol)
}

fn lines<'a>(
    out: &mut dyn Write,
    prefix: &str,
    texts: impl IntoIterator<Item = &'a Text>,
    eol: &str,
) -> fmt::Result {
    texts.into_iter().try_for_each(|text| line(out, prefix, text, eol))
}

fn line(out: &mut dyn Write, prefix: &str, text: &str, eol: &str) -> fmt::Result {
    out.write_str(prefix)?;
    out.write_str(text)?;
    out.write_str(eol)
}

/// Decimal digits without the machinery of `format!`.
fn number(out: &mut dyn Write, mut value: u64) -> fmt::Result {
    let mut digits = [b'0'; 20];
    let mut length = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        length += 1;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    let text = digits.get(digits.len() - length..).unwrap_or_default();
    out.write_str(std::str::from_utf8(text).unwrap_or_default())
}
