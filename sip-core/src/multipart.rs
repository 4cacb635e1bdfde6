//! Bodies of several parts (RFC 5621, RFC 2046 §5.1).

use crate::{
    ErrorKind, Headers, Limits, ParseError, UsageError,
    header::{ContentDisposition, ContentId, ContentType, HeaderName, MediaType, TypedHeader},
    index::Index,
};
use bytes::Bytes;
use memchr::memmem;

/// A body of several parts: `multipart/mixed`, `/alternative` or `/related`.
///
/// A part that is multipart itself stays as it is until [`Part::multipart`] takes it apart, so that
/// nesting costs only who asks; [`Self::leaves`] does it to a bounded depth.
///
/// ```
/// use sip_core::{Limits, Multipart, Part};
/// let body = Multipart::new("mixed", [
///     Part::new("application/sdp", bytes::Bytes::from_static(b"v=0\r\n"))?,
///     Part::new("text/plain", bytes::Bytes::from_static(b"hello"))?,
/// ]);
/// let (content_type, bytes) = (body.content_type(), body.to_bytes());
/// let read = Multipart::parse(&content_type, &bytes, &Limits::default())?;
/// assert_eq!(read.find("application", "sdp").map(|part| part.body.clone()), Some("v=0\r\n".into()));
/// # Ok::<(), sip_core::UsageError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Multipart {
    /// The subtype: `mixed`, `alternative`, `related`.
    pub subtype: String,
    /// The parts, in order.
    pub parts: Vec<Part>,
}

/// One part of a body.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its headers: Content-Type and its kin.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
}

/// How many multiparts may be inside one another in [`Multipart::leaves`].
const DEEPEST: usize = 8;
/// How many parts a body may have, and [`Multipart::leaves`] find.
const MOST_PARTS: usize = 64;
/// What boundaries of ours start with; a number follows.
const OURS: &str = "sipsimple-part-";

impl Multipart {
    /// A body of ours with these parts.
    pub fn new(subtype: &str, parts: impl IntoIterator<Item = Part>) -> Self {
        Self { subtype: subtype.to_owned(), parts: parts.into_iter().collect() }
    }

    /// Takes a body apart that has this type.
    ///
    /// What stands before the first and behind the last part is passed over (RFC 2046 §5.1.1). A
    /// body without its closing boundary is read as far as it goes, as long as it has a part.
    pub fn parse(kind: &MediaType, body: &Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let error = |at, error, what| ParseError::new(at, error, what);
        if !kind.kind.eq_ignore_ascii_case("multipart") {
            return Err(error(0, ErrorKind::Syntax, "a multipart type"));
        }
        let boundary = kind.boundary().filter(|b| (1..=70).contains(&b.len()));
        let boundary = boundary.ok_or(error(0, ErrorKind::Missing, "a boundary of 1 to 70 characters"))?;
        let delimiter = format!("--{boundary}");
        let mut parts = Vec::new();
        // Where the part that is being read began.
        let mut open = None;
        let mut closed = false;
        for at in memmem::find_iter(body, delimiter.as_bytes()) {
            let Some(line) = delimiter_at(body, at, delimiter.len()) else { continue };
            if let Some(start) = open.take() {
                parts.push(Part::read(body, start, line.start.max(start), limits)?);
            }
            if line.closes {
                closed = true;
                break;
            }
            if parts.len() >= MOST_PARTS {
                return Err(error(at, ErrorKind::TooLarge, "fewer parts"));
            }
            open = Some(line.end);
        }
        if let Some(start) = open
            && !closed
        {
            parts.push(Part::read(body, start, body.len(), limits)?);
        }
        if parts.is_empty() {
            return Err(error(0, ErrorKind::Missing, "a part between boundaries"));
        }
        Ok(Self { subtype: kind.subtype.clone(), parts })
    }

    /// The type with the boundary that [`Self::to_bytes`] writes.
    pub fn content_type(&self) -> MediaType {
        let mut kind = MediaType {
            kind: "multipart".to_owned(),
            subtype: self.subtype.clone(),
            params: crate::Params::new(),
        };
        // A token, and so always taken.
        let _ = kind.params.set("boundary", &self.boundary());
        if self.subtype.eq_ignore_ascii_case("related")
            && let Some(root) = self.parts.first().map(Part::content_type)
        {
            // RFC 2387 §3.1: the type of the root.
            let _ = kind.params.set_quoted("type", &format!("{}/{}", root.kind, root.subtype));
        }
        kind
    }

    /// The body. Its boundary is in none of its parts.
    pub fn to_bytes(&self) -> Bytes {
        let boundary = self.boundary();
        let size: usize = self.parts.iter().map(|p| p.headers.wire_len() + p.body.len() + 48).sum();
        let mut out = Vec::with_capacity(size + 48);
        for part in &self.parts {
            out.extend_from_slice(b"--");
            out.extend_from_slice(boundary.as_bytes());
            out.extend_from_slice(b"\r\n");
            part.headers.write(&mut out);
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&part.body);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"--");
        out.extend_from_slice(boundary.as_bytes());
        out.extend_from_slice(b"--\r\n");
        Bytes::from(out)
    }

    /// The first of the parts, nested ones included, that has this type.
    pub fn find(&self, kind: &str, subtype: &str) -> Option<Part> {
        self.leaves().into_iter().find(|part| part.content_type().is(kind, subtype))
    }

    /// The part with this Content-ID, brackets aside: what a `cid:` URI names (RFC 2392).
    pub fn by_id(&self, id: &str) -> Option<Part> {
        self.leaves().into_iter().find(|part| part.id().is_some_and(|one| one.id() == id))
    }

    /// The parts that are not multipart themselves, in order, out of at most 8 multiparts inside
    /// one another, and at most 64. A nested multipart that cannot be read is a leaf.
    pub fn leaves(&self) -> Vec<Part> {
        let mut found = Vec::new();
        let mut left: Vec<(usize, Part)> = self.parts.iter().rev().map(|part| (1, part.clone())).collect();
        while let Some((depth, part)) = left.pop() {
            if found.len() >= MOST_PARTS {
                break;
            }
            match part.multipart(&Limits::default()) {
                Some(Ok(inner)) if depth < DEEPEST => {
                    left.extend(inner.parts.into_iter().rev().map(|part| (depth + 1, part)));
                }
                _ => found.push(part),
            }
        }
        found
    }

    /// A boundary that no part contains: the lowest number that is in none of them.
    fn boundary(&self) -> String {
        let mut taken = Vec::new();
        for part in &self.parts {
            for at in memmem::find_iter(&part.body, OURS.as_bytes()) {
                // All of ours have nineteen digits, so that none is the beginning of another.
                let digits = part.body.get(at + OURS.len()..).and_then(|rest| rest.get(..19));
                let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
                taken.extend(number);
            }
        }
        taken.sort_unstable();
        let free = taken.iter().fold(0, |free, number| if *number == free { free + 1 } else { free });
        format!("{OURS}{free:019}")
    }
}

impl Part {
    /// A part of ours with this type.
    pub fn new(content_type: &str, body: Bytes) -> Result<Self, UsageError> {
        let mut headers = Headers::new();
        headers.push(ContentType(MediaType::parse(content_type)?));
        Ok(Self { headers, body })
    }

    /// With another header, such as [`ContentDisposition`] or [`ContentId`].
    pub fn with<H: TypedHeader>(mut self, header: H) -> Self {
        self.headers.push(header);
        self
    }

    /// Its type; `text/plain` where none is said (RFC 2046 §5.1).
    pub fn content_type(&self) -> MediaType {
        match self.headers.get::<ContentType>() {
            Some(Ok(kind)) => kind.0,
            _ => MediaType {
                kind: "text".to_owned(),
                subtype: "plain".to_owned(),
                params: crate::Params::new(),
            },
        }
    }

    /// What it is for, if that is said.
    pub fn disposition(&self) -> Option<ContentDisposition> {
        self.headers.get()?.ok()
    }

    /// Whether the request must be refused by who cannot process this part: `handling=required`,
    /// which is also the default (RFC 3261 §20.11, RFC 5621 §3.2).
    pub fn is_required(&self) -> bool {
        self.disposition().is_none_or(|disposition| disposition.is_required())
    }

    /// Its Content-ID, if it has one.
    pub fn id(&self) -> Option<ContentId> {
        self.headers.get()?.ok()
    }

    /// The parts of a part that is multipart; `None` if it is not.
    pub fn multipart(&self, limits: &Limits) -> Option<Result<Multipart, ParseError>> {
        if !self.headers.contains(HeaderName::CONTENT_TYPE) {
            return None;
        }
        let kind = self.content_type();
        kind.kind.eq_ignore_ascii_case("multipart").then(|| Multipart::parse(&kind, &self.body, limits))
    }

    fn read(bytes: &Bytes, start: usize, end: usize, limits: &Limits) -> Result<Self, ParseError> {
        let part = bytes.slice(start..end.max(start));
        let (fields, body_at) = Index::part(&part, limits).map_err(|e| e.moved(start))?;
        Ok(Self { body: part.slice(body_at..), headers: Headers::read(part.slice(..body_at), fields) })
    }
}

/// A line with a delimiter: from the line end before it to behind its own.
struct Delimiter {
    start: usize,
    end: usize,
    closes: bool,
}

/// The delimiter whose dashes are at `at`, if a line starts there and has nothing else in it
/// (RFC 2046 §5.1.1: white space may follow).
fn delimiter_at(body: &[u8], at: usize, len: usize) -> Option<Delimiter> {
    let before = body.get(..at)?;
    let start = match before {
        [] => 0,
        [.., b'\r', b'\n'] => at - 2,
        [.., b'\n'] => at - 1,
        _ => return None,
    };
    let rest = body.get(at + len..)?;
    let closes = rest.starts_with(b"--");
    let after = if closes { rest.get(2..)? } else { rest };
    let line = memchr::memchr(b'\n', after).map_or(after.len(), |lf| lf + 1);
    // A boundary may be the beginning of another: only white space may stand behind it.
    if !after.get(..line)?.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
        return None;
    }
    Some(Delimiter { start, end: body.len() - after.len() + line, closes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, body: &str) -> Result<Multipart, ParseError> {
        let kind = MediaType::parse(kind).unwrap();
        Multipart::parse(&kind, &Bytes::copy_from_slice(body.as_bytes()), &Limits::default())
    }

    fn texts(body: &Multipart) -> Vec<String> {
        body.parts.iter().map(|part| String::from_utf8_lossy(&part.body).into_owned()).collect()
    }

    /// RFC 2046 §5.1.1: preamble, epilogue, parts without headers, padding, line ends.
    #[test]
    fn parts_and_what_is_around_them() {
        let body = "This is the preamble.\r\n--simple boundary\r\n\r\nimplicitly typed\r\n--simple boundary \t\r\n\
                    Content-type: text/plain; charset=us-ascii\r\n\r\nends with a line end\r\n\r\n\
                    --simple boundary--\r\nThis is the epilogue\r\n--simple boundary\r\n\r\nnot a part\r\n";
        let read = read("multipart/mixed; boundary=\"simple boundary\"", body).unwrap();
        assert_eq!(texts(&read), ["implicitly typed", "ends with a line end\r\n"]);
        assert!(read.parts.iter().all(|part| part.content_type().is("text", "plain")));
    }

    #[test]
    fn boundaries_that_begin_others() {
        let body = "--a\r\n\r\n--ab\r\nx --a\r\n--a--b\r\n--a\r\n\r\n\r\n--a--";
        assert_eq!(
            texts(&read("multipart/mixed;boundary=a", body).unwrap()),
            ["--ab\r\nx --a\r\n--a--b", ""]
        );
        let bare = "--a\n\none\n--a\nContent-Type: x/y\n\ntwo";
        assert_eq!(texts(&read("multipart/mixed;boundary=a", bare).unwrap()), ["one", "two"]);
    }

    #[test]
    fn refused() {
        for (kind, body) in [
            ("text/plain;boundary=a", "--a\r\n\r\nx\r\n--a--"),
            ("multipart/mixed", "--a\r\n\r\nx\r\n--a--"),
            ("multipart/mixed;boundary=\"\"", "--\r\n\r\nx\r\n----"),
            ("multipart/mixed;boundary=a", "no part"),
            ("multipart/mixed;boundary=a", "--a--\r\n"),
        ] {
            assert!(read(kind, body).is_err(), "{kind}");
        }
        let many = "--a\r\n\r\n".repeat(100);
        assert_eq!(
            read("multipart/mixed;boundary=a", &many).map(drop).map_err(|e| e.kind),
            Err(ErrorKind::TooLarge)
        );
    }

    /// RFC 5621 §3.1 and §3.2.
    #[test]
    fn nesting_disposition_and_ids() {
        let sdp = || Part::new("application/sdp", Bytes::from_static(b"v=0\r\n")).unwrap();
        let icon = Part::new("image/png", Bytes::from_static(b"\x89PNG"))
            .unwrap()
            .with(ContentDisposition::parse("icon;handling=optional").unwrap())
            .with(ContentId("<icon@alice>".to_owned()));
        let inner = Multipart::new("alternative", [sdp(), Part::new("text/plain", Bytes::new()).unwrap()]);
        let inner = Part::new(&inner.content_type().to_string(), inner.to_bytes()).unwrap();
        let outer = Multipart::new("related", [inner, icon]);
        let kind = outer.content_type();
        assert!(kind.is("multipart", "related"));
        assert_eq!(kind.params.find("type").unwrap().unquoted().as_deref(), Some("multipart/alternative"));
        let read = Multipart::parse(&kind, &outer.to_bytes(), &Limits::default()).unwrap();
        assert_eq!(read.leaves().len(), 3);
        assert_eq!(read.find("application", "sdp").unwrap().body.as_ref(), b"v=0\r\n");
        let icon = read.by_id("icon@alice").unwrap();
        assert!(!icon.is_required() && icon.disposition().unwrap().disposition == "icon");
        assert!(read.find("application", "sdp").unwrap().is_required());
        assert!(read.by_id("bob").is_none());
    }

    #[test]
    fn depth_and_width_are_bounded() {
        let mut body = Part::new("text/plain", Bytes::from_static(b"core")).unwrap();
        for _ in 0..40 {
            let outer = Multipart::new("mixed", [body]);
            body = Part::new(&outer.content_type().to_string(), outer.to_bytes()).unwrap();
        }
        let outer = body.multipart(&Limits::default()).unwrap().unwrap();
        let leaves = outer.leaves();
        assert_eq!(leaves.len(), 1);
        assert_eq!(leaves[0].content_type().kind, "multipart", "what lies deeper stays closed");
    }

    #[test]
    fn a_boundary_is_in_no_part() {
        let evil = "--sipsimple-part-0000000000000000000--\r\n--sipsimple-part-7\r\n";
        let body = Multipart::new("mixed", [Part::new("text/plain", Bytes::from(evil)).unwrap()]);
        let read = Multipart::parse(&body.content_type(), &body.to_bytes(), &Limits::default()).unwrap();
        assert_eq!(texts(&read), [evil]);
        // A nested one of ours counts as well.
        let nested = Part::new(&body.content_type().to_string(), body.to_bytes()).unwrap();
        let outer = Multipart::new("mixed", [nested]);
        assert_ne!(outer.content_type().boundary(), body.content_type().boundary());
        assert_eq!(outer.leaves().len(), 1);
    }
}
