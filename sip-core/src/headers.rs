//! The headers of a message, in the order they stand there.

use crate::{
    ErrorKind, ParseError, UsageError, grammar,
    head::Head,
    header::{Form, HeaderName, TypedHeader, UNKNOWN, compact},
    index::{Field, Fields, Span},
};
use bytes::Bytes;
use std::{borrow::Cow, fmt};

/// Header fields in order: slices of the message they were read from, and what was added since.
///
/// Unknown fields, their order and the way they are written survive.
#[derive(Clone, Default)]
pub struct Headers {
    /// The head of the message that was read; empty for a built one.
    head: Head,
    /// Lines we added; fields with `own` point here.
    added: Vec<u8>,
    fields: Fields,
}

/// One field as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderField<'a> {
    /// The name as written, compact perhaps.
    pub name: &'a str,
    /// The value without white space around it; folds are still in it.
    pub value: &'a [u8],
}

impl<'a> HeaderField<'a> {
    /// The value, if it is UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value).ok()
    }

    /// Whether this is the header of that name.
    pub fn is<'n>(&self, name: impl Into<HeaderName<'n>>) -> bool {
        HeaderName::new(self.name) == name.into()
    }
}

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn read(head: Bytes, fields: Fields) -> Self {
        Self { head: Head::new(head), added: Vec::new(), fields }
    }

    /// How many fields there are (a list in one line is one).
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = HeaderField<'_>> {
        self.fields.iter().map(|f| HeaderField {
            name: self
                .text_at(f.own, f.line.start as usize..f.line.start as usize + usize::from(f.name_len))
                .unwrap_or(""),
            value: self.value_of(f),
        })
    }

    /// Whether there is such a header.
    pub fn contains<'n>(&self, name: impl Into<HeaderName<'n>>) -> bool {
        self.find(name.into()).next().is_some()
    }

    /// How many fields of that name there are.
    pub fn count<'n>(&self, name: impl Into<HeaderName<'n>>) -> usize {
        self.find(name.into()).count()
    }

    /// The value of the first header of that name, if it is UTF-8.
    pub fn text<'n>(&self, name: impl Into<HeaderName<'n>>) -> Option<&str> {
        let at = self.position(name.into())?;
        self.utf8(self.fields.get(at)?).ok()
    }

    /// The values of every header of that name that are UTF-8, a text a line.
    pub fn texts<'a>(&'a self, name: impl Into<HeaderName<'a>>) -> impl Iterator<Item = &'a str> {
        self.find(name.into()).filter_map(|f| self.utf8(f).ok())
    }

    /// The first value of a typed header; `None` if it is absent.
    pub fn get<H: TypedHeader>(&self) -> Option<Result<H, ParseError>> {
        let mut fields = self.find(H::NAME);
        let first = fields.next()?;
        Some(match H::FORM {
            Form::Single => self.typed(first, |text| text),
            Form::Values => self.typed(first, |text| grammar::cut(text, grammar::element_end(text)).0),
            Form::Whole => match fields.next() {
                None => self.typed(first, |text| text),
                Some(_) => {
                    let all: Vec<&str> = self.texts(H::NAME).collect();
                    H::parse(&all.join(", "))
                }
            },
        })
    }

    /// Whether every value of a typed header is well formed; how many fields there are.
    pub(crate) fn check<H: TypedHeader>(&self) -> Result<usize, ParseError> {
        let mut count = 0;
        for field in self.find(H::NAME) {
            count += 1;
            let text = self.utf8(field)?;
            for (at, part) in parts::<H>(text) {
                H::check(part).map_err(|e| e.moved(self.base(field) + at))?;
            }
        }
        Ok(count)
    }

    /// Every value of a typed header, over lines and commas. An empty list element is an error.
    pub fn all<'a, H: TypedHeader + 'a>(&'a self) -> impl Iterator<Item = Result<H, ParseError>> + 'a {
        self.find(H::NAME).flat_map(move |field| {
            let (text, error) = match self.utf8(field) {
                Ok(text) => (text, None),
                Err(e) => ("", Some(Err(e))),
            };
            let parts = error.is_none().then(|| parts::<H>(text)).into_iter().flatten();
            error.into_iter().chain(
                parts.map(move |(at, part)| H::parse(part).map_err(|e| e.moved(self.base(field) + at))),
            )
        })
    }

    /// Adds a header at the end.
    pub fn push<H: TypedHeader>(&mut self, header: H) {
        let field = self.add(H::NAME, &header);
        self.fields.push(field);
    }

    /// Adds a header before all others.
    pub fn push_front<H: TypedHeader>(&mut self, header: H) {
        let field = self.add(H::NAME, &header);
        self.fields.insert(0, field);
    }

    /// Adds a header of any name at the end. Refuses what would not stay one line.
    pub fn push_raw(&mut self, name: &str, value: &str) -> Result<(), UsageError> {
        let field = self.add_raw(name, value)?;
        self.fields.push(field);
        Ok(())
    }

    /// Puts a header in the place of the first of its name, and removes the others of it; adds
    /// it at the end if there is none.
    pub fn replace<H: TypedHeader>(&mut self, header: H) {
        let field = self.add(H::NAME, &header);
        self.put(H::NAME, field);
    }

    /// [`Self::replace`] for any name.
    pub fn replace_raw(&mut self, name: &str, value: &str) -> Result<(), UsageError> {
        let field = self.add_raw(name, value)?;
        self.put(HeaderName::new(name), field);
        Ok(())
    }

    /// Puts a header in the place of the first value of a list and leaves the other values: what
    /// a server does with the top Via (RFC 3261 §18.2.1).
    pub fn replace_first<H: TypedHeader>(&mut self, header: H) {
        let Some(at) = self.position(H::NAME) else { return self.push(header) };
        let rest = self.fields.get(at).and_then(|field| {
            let text = self.utf8(field).ok()?;
            let end = if H::FORM == Form::Values { grammar::element_end(text) } else { text.len() };
            Some(grammar::cut(text, end).1.to_owned())
        });
        let field = self.add(H::NAME, &WithRest(&header, rest.as_deref().unwrap_or("")));
        if let Some(place) = self.fields.get_mut(at) {
            *place = field;
        }
    }

    /// Removes the first value of a list, or the header if it has no other.
    pub fn remove_first<H: TypedHeader>(&mut self) {
        let Some(at) = self.position(H::NAME) else { return };
        let rest = self.fields.get(at).and_then(|field| {
            let text = self.utf8(field).ok()?;
            let (_, rest) = grammar::cut(text, grammar::element_end(text));
            Some(rest.strip_prefix(',')?.trim().to_owned())
        });
        match rest.filter(|_| H::FORM == Form::Values) {
            Some(rest) => {
                let field = self.add(H::NAME, &rest);
                if let Some(place) = self.fields.get_mut(at) {
                    *place = field;
                }
            }
            None => {
                self.fields.remove(at);
            }
        }
    }

    /// Removes every header of that name; how many there were.
    pub fn remove<'n>(&mut self, name: impl Into<HeaderName<'n>>) -> usize {
        let name = name.into();
        let before = self.fields.len();
        let mut fields = std::mem::take(&mut self.fields);
        fields.retain(|f| !self.is(f, name));
        self.fields = fields;
        before - self.fields.len()
    }

    /// Adds the fields of `other` that have one of these names, as they are written.
    pub fn copy_from(&mut self, other: &Headers, names: &[HeaderName<'_>]) {
        for field in &other.fields {
            if names.iter().any(|name| other.is(field, *name)) {
                self.copy_field(other, field);
            }
        }
    }

    fn copy_field(&mut self, other: &Headers, field: &Field) {
        self.make_room();
        let start = self.added.len();
        self.added.extend_from_slice(other.line_of(field));
        self.fields.push(Field { own: true, line: Span::new(start, self.added.len()), ..*field });
    }

    /// A message that is built has some hundred bytes of headers: one allocation, not one a header.
    fn make_room(&mut self) {
        if self.added.capacity() == 0 && self.head.as_bytes().is_empty() {
            self.added.reserve(640);
        }
    }

    /// How many bytes the fields are on the wire.
    pub(crate) fn wire_len(&self) -> usize {
        self.fields.iter().map(|f| f.line.range().len()).sum()
    }

    /// Writes the fields; neighbours in one buffer go in one piece.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut fields = self.fields.iter();
        let Some(first) = fields.next() else { return };
        let (mut own, mut run) = (first.own, first.line);
        for field in fields {
            if field.own == own && field.line.start == run.end {
                run.end = field.line.end;
            } else {
                out.extend_from_slice(run.of(self.buffer(own)));
                (own, run) = (field.own, field.line);
            }
        }
        out.extend_from_slice(run.of(self.buffer(own)));
    }

    /// The start of the message these were read from, up to its body.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// The lines that were read, from the first field to the last.
    pub(crate) fn lines(&self) -> &[u8] {
        let mut read = self.fields.iter().filter(|f| !f.own);
        let Some(first) = read.next() else { return &[] };
        let last = read.next_back().unwrap_or(first);
        self.head.as_bytes().get(first.line.start as usize..last.line.end as usize).unwrap_or(&[])
    }

    /// Names that this crate does not know, and where they stand. Those it knows are tokens.
    pub(crate) fn unknown_names(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let unknown = self.fields.iter().filter(|f| f.id == UNKNOWN);
        unknown.map(|f| (self.name_of(f), if f.own { 0 } else { f.line.start as usize }))
    }

    /// Writes the fields with compact names where there are some (RFC 3261 §7.3.3).
    pub(crate) fn write_compact(&self, out: &mut Vec<u8>) {
        for field in &self.fields {
            match compact(field.id) {
                None => out.extend_from_slice(self.line_of(field)),
                Some(name) => {
                    out.extend_from_slice(name.as_bytes());
                    let line = self.line_of(field);
                    out.extend_from_slice(line.get(usize::from(field.name_len)..).unwrap_or_default());
                }
            }
        }
    }

    fn put(&mut self, name: HeaderName<'_>, field: Field) {
        let at = self.position(name);
        self.remove(name);
        match at {
            Some(at) => self.fields.insert(at, field),
            None => self.fields.push(field),
        }
    }

    fn position(&self, name: HeaderName<'_>) -> Option<usize> {
        self.fields.iter().position(|f| self.is(f, name))
    }

    fn find<'a>(&'a self, name: HeaderName<'a>) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |f| self.is(f, name))
    }

    fn is(&self, field: &Field, name: HeaderName<'_>) -> bool {
        field.id == name.id()
            && (field.id != UNKNOWN || self.name_of(field).eq_ignore_ascii_case(name.as_str().as_bytes()))
    }

    fn typed<H: TypedHeader>(&self, field: &Field, part: impl Fn(&str) -> &str) -> Result<H, ParseError> {
        H::parse(part(self.utf8(field)?)).map_err(|e| e.moved(self.base(field)))
    }

    #[inline]
    fn utf8(&self, field: &Field) -> Result<&str, ParseError> {
        if let (false, Head::Text(text)) = (field.own, &self.head)
            && let Some(value) = field.usual_text(text)
        {
            return Ok(value);
        }
        self.odd_utf8(field)
    }

    #[inline(never)]
    fn odd_utf8(&self, field: &Field) -> Result<&str, ParseError> {
        let value = field.value_range(self.buffer(field.own));
        self.text_at(field.own, value)
            .map_err(|e| ParseError::new(self.base(field) + e.valid_up_to(), ErrorKind::Encoding, "UTF-8"))
    }

    /// Where errors in a value are counted from: the message it was read from.
    #[cold]
    fn base(&self, field: &Field) -> usize {
        if field.own { 0 } else { field.value_start(self.head.as_bytes()) }
    }

    fn buffer(&self, own: bool) -> &[u8] {
        if own { &self.added } else { self.head.as_bytes() }
    }

    #[inline]
    fn text_at(&self, own: bool, range: std::ops::Range<usize>) -> Result<&str, std::str::Utf8Error> {
        if own { std::str::from_utf8(self.added.get(range).unwrap_or(&[])) } else { self.head.text(range) }
    }

    fn value_of(&self, field: &Field) -> &[u8] {
        field.value(self.buffer(field.own))
    }

    fn line_of(&self, field: &Field) -> &[u8] {
        field.line.of(self.buffer(field.own))
    }

    fn name_of(&self, field: &Field) -> &[u8] {
        field.name(self.buffer(field.own))
    }

    fn add_raw(&mut self, name: &str, value: &str) -> Result<Field, UsageError> {
        if !grammar::is_token(name) || name.len() > 256 {
            return Err(ParseError::new(0, ErrorKind::Syntax, "a header name").into());
        }
        if value.contains(['\r', '\n', '\0']) {
            return Err(UsageError::LineBreak("a header value"));
        }
        Ok(self.add(HeaderName::new(name), &value))
    }

    /// Writes a line into `added`. CR, LF and NUL become spaces: no value starts another line.
    fn add(&mut self, name: HeaderName<'_>, value: &dyn fmt::Display) -> Field {
        self.make_room();
        let start = self.added.len();
        self.added.extend_from_slice(name.as_str().as_bytes());
        self.added.extend_from_slice(b": ");
        let from = self.added.len();
        // Writing to memory does not fail; a Display that does leaves a shorter value.
        let _ = fmt::Write::write_fmt(&mut Text(&mut self.added), format_args!("{value}"));
        for b in self.added.get_mut(from..).unwrap_or_default() {
            if matches!(b, b'\r' | b'\n' | 0) {
                *b = b' ';
            }
        }
        self.added.extend_from_slice(b"\r\n");
        Field {
            id: name.id(),
            own: true,
            name_len: u16::try_from(name.as_str().len()).unwrap_or(u16::MAX),
            line: Span::new(start, self.added.len()),
        }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|h| (h.name, String::from_utf8_lossy(h.value)))).finish()
    }
}

/// The elements of a value and their offsets; the whole of it where it is no list of elements.
fn parts<H: TypedHeader>(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let from = rest?;
        let at = text.len() - from.len();
        if H::FORM == Form::Values {
            let (element, after) = grammar::cut(from, grammar::element_end(from));
            rest = after.strip_prefix(',');
            Some((at, element))
        } else {
            rest = None;
            Some((at, from))
        }
    })
}

/// A value with the rest of the list it is the first of.
struct WithRest<'a, H>(&'a H, &'a str);

impl<H: fmt::Display> fmt::Display for WithRest<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, self.1)
    }
}

struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The value of a header with its folds made spaces (RFC 3261 §7.3.1).
pub fn unfold(text: &str) -> Cow<'_, str> {
    if !text.contains(['\r', '\n']) {
        return Cow::Borrowed(text);
    }
    let lines =
        text.split(['\r', '\n']).map(|line| line.trim_matches([' ', '\t'])).filter(|line| !line.is_empty());
    Cow::Owned(lines.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Contact, MaxForwards, Route, Subject, Via};

    fn sample() -> Headers {
        let mut h = Headers::new();
        h.push_raw("v", "SIP/2.0/UDP a;branch=1 , SIP/2.0/TCP b;branch=2").unwrap();
        h.push(Via::parse("SIP/2.0/UDP c;branch=3").unwrap());
        h.push_raw("X-Odd", "  as it, is ").unwrap();
        h.push(MaxForwards(70));
        h
    }

    #[test]
    fn lists_over_lines_and_commas() {
        let h = sample();
        let branches: Vec<_> = h.all::<Via>().map(|v| v.unwrap().branch().unwrap().to_owned()).collect();
        assert_eq!(branches, ["1", "2", "3"]);
        assert_eq!(h.get::<Via>().unwrap().unwrap().branch(), Some("1"));
        assert_eq!(h.text("x-odd"), Some("as it, is"));
        assert!(h.get::<Contact>().is_none());
        assert_eq!(h.count("Via"), 2);
    }

    #[test]
    fn editing() {
        let mut h = sample();
        h.replace_first(Via::parse("SIP/2.0/UDP a;branch=9").unwrap());
        assert_eq!(h.text("Via"), Some("SIP/2.0/UDP a;branch=9, SIP/2.0/TCP b;branch=2"));
        h.remove_first::<Via>();
        h.remove_first::<Via>();
        assert_eq!(h.text("Via"), Some("SIP/2.0/UDP c;branch=3"));
        h.replace(MaxForwards(69));
        assert_eq!(h.get::<MaxForwards>(), Some(Ok(MaxForwards(69))));
        assert_eq!(h.remove("Via"), 1);
        h.push_front(Route::parse("<sip:p;lr>").unwrap());
        let mut out = Vec::new();
        h.write(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Route: <sip:p;lr>\r\nX-Odd:   as it, is \r\nMax-Forwards: 69\r\n"
        );
    }

    #[test]
    fn nothing_starts_another_line() {
        let mut h = Headers::new();
        assert!(h.push_raw("X", "a\r\nVia: b").is_err());
        assert!(h.push_raw("X: y\r\nZ", "a").is_err());
        assert!(h.push_raw("", "a").is_err());
        h.push(Subject("a\r\nVia: b\0".into()));
        let mut out = Vec::new();
        h.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "Subject: a  Via: b \r\n");
    }

    #[test]
    fn folds_become_spaces() {
        assert_eq!(unfold("newfangled value\r\n continued"), "newfangled value continued");
    }
}
