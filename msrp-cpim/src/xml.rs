//! A guarded reader of small XML documents, and a writer of them.
//!
//! No DOCTYPE and so no entities but the five of XML; [`MAX_SIZE`] bytes, [`MAX_DEPTH`] levels, [`MAX_ELEMENTS`]
//! elements.

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use crate::error::{ParseError, ParseErrorKind};

/// Bytes of a document that is read.
pub(crate) const MAX_SIZE: usize = 64 * 1024;
/// Levels of elements.
pub(crate) const MAX_DEPTH: usize = 64;
/// Elements.
pub(crate) const MAX_ELEMENTS: usize = 1024;

/// An element with what is in it.
#[derive(Debug, Default)]
pub(crate) struct Element {
    /// The name without its prefix.
    pub(crate) name: String,
    /// Whether it is of the document's own namespace.
    pub(crate) own: bool,
    /// `xml:lang`.
    pub(crate) language: Option<String>,
    /// The text directly in it.
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The first child of this name in the document's namespace.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.own && child.name == name)
    }

    /// The trimmed text of the first child of this name.
    pub(crate) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim()).filter(|text| !text.is_empty())
    }
}

/// Reads a document whose elements are of `namespace`; elements without any count as of it too.
pub(crate) fn read(data: &[u8], namespace: &str, root: &'static str) -> Result<Element, ParseError> {
    if data.len() > MAX_SIZE {
        return Err(ParseError::new(MAX_SIZE, ParseErrorKind::TooLong, "a document of at most 64 KiB"));
    }
    let text = std::str::from_utf8(data)
        .map_err(|e| ParseError::new(e.valid_up_to(), ParseErrorKind::Utf8, "a document in UTF-8"))?;
    let mut tree = Tree::default();
    let mut reader = NsReader::from_str(text.strip_prefix('\u{FEFF}').unwrap_or(text));
    loop {
        let position = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let fault = |kind, what| ParseError::new(position, kind, what);
        let ill_formed = || fault(ParseErrorKind::Syntax, "well-formed XML");
        let (resolved, event) = reader.read_resolved_event().map_err(|_| ill_formed())?;
        let own = match resolved {
            ResolveResult::Bound(Namespace(uri)) => uri == namespace,
            ResolveResult::Unbound => true,
            ResolveResult::Unknown(_) => false,
        };
        let taken = match event {
            Event::Start(start) => tree.open(&start, own),
            Event::Empty(start) => tree.open(&start, own).and_then(|()| tree.close()),
            Event::End(_) => tree.close(),
            Event::Text(text) => tree.text(&text.xml10_content()),
            Event::CData(text) => tree.text(&text.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(c)) => tree.text(c.encode_utf8(&mut [0; 4])),
                Ok(None) => match predefined(&reference.into_inner()) {
                    Some(text) => tree.text(text),
                    None => Err((ParseErrorKind::Forbidden, "no entities of its own")),
                },
                Err(_) => return Err(ill_formed()),
            },
            Event::DocType(_) => Err((ParseErrorKind::Forbidden, "no DOCTYPE")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => Ok(()),
            Event::Eof => break,
        };
        taken.map_err(|(kind, what)| fault(kind, what))?;
    }
    match tree.root {
        Some(element) if tree.open.is_empty() && element.own && element.name == root => Ok(element),
        Some(_) if tree.open.is_empty() => Err(ParseError::new(0, ParseErrorKind::Syntax, root)),
        _ => Err(ParseError::new(text.len(), ParseErrorKind::Truncated, "the end of the document")),
    }
}

#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

type Taken = Result<(), (ParseErrorKind, &'static str)>;

impl Tree {
    fn open(&mut self, start: &BytesStart<'_>, own: bool) -> Taken {
        if self.root.is_some() {
            return Err((ParseErrorKind::Trailing, "one root element"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err((ParseErrorKind::TooLong, "at most 64 levels"));
        }
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err((ParseErrorKind::TooLong, "at most 1024 elements"));
        }
        let mut element =
            Element { name: start.local_name().into_inner().to_owned(), own, ..Element::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| (ParseErrorKind::Syntax, "well-formed attributes"))?;
            if attribute.key.into_inner() == "xml:lang" && is_language(&attribute.value) {
                element.language = Some(attribute.value.to_string());
            }
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) -> Taken {
        let element = self.open.pop().ok_or((ParseErrorKind::Syntax, "a start before an end"))?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Taken {
        // XML 1.0 §2.2: written out again they would be no document any more.
        let is_char =
            |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..) && !matches!(c, '\u{fffe}' | '\u{ffff}');
        if !text.chars().all(is_char) {
            return Err((ParseErrorKind::Syntax, "no control characters"));
        }
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err((ParseErrorKind::Syntax, "text within the root element")),
        }
        Ok(())
    }
}

pub(crate) fn is_language(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn predefined(name: &str) -> Option<&'static str> {
    Some(match name {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "apos" => "'",
        "quot" => "\"",
        _ => return None,
    })
}

/// Begins a document whose root has this namespace.
pub(crate) fn begin(root: &str, namespace: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<{root} xmlns=\"{namespace}\">")
}

/// Appends an element with text; `attributes` as they stand in the tag, with a space before.
pub(crate) fn element(out: &mut String, name: &str, attributes: &str, text: &str) {
    out.push_str(&format!("<{name}{attributes}>"));
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A line end of its own would be read as a line feed.
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' | ' '.. if c != '\u{FFFE}' && c != '\u{FFFF}' => out.push(c),
            // XML 1.0 has no way to write the others.
            _ => out.push('\u{FFFD}'),
        }
    }
    out.push_str(&format!("</{name}>"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> ParseErrorKind {
        read(text.as_bytes(), "urn:x", "a").unwrap_err().kind
    }

    #[test]
    fn reads_what_is_harmless() {
        let text = "\u{FEFF}<?xml version='1.0'?><!-- c --><p:a xmlns:p='urn:x' xmlns:q='urn:y'>\
            <q:b>no</q:b><p:b xml:lang='de'> 1 &lt;&#x41;<![CDATA[<&]]> </p:b><p:c/></p:a>\n";
        let root = read(text.as_bytes(), "urn:x", "a").unwrap();
        assert_eq!(root.child_text("b"), Some("1 <A<&"));
        assert_eq!(root.child("b").unwrap().language.as_deref(), Some("de"));
        assert!(root.child("c").is_some() && root.child_text("c").is_none());
    }

    #[test]
    fn refuses_what_is_not() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        assert_eq!(kind(bomb), ParseErrorKind::Forbidden);
        assert_eq!(kind("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"), ParseErrorKind::Forbidden);
        assert_eq!(kind("<a>&b;</a>"), ParseErrorKind::Forbidden);
        assert_eq!(kind(&format!("<a>{}", "<b>".repeat(MAX_DEPTH))), ParseErrorKind::TooLong);
        assert_eq!(kind(&format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS))), ParseErrorKind::TooLong);
        assert_eq!(kind(&format!("<a>{}</a>", "b".repeat(MAX_SIZE))), ParseErrorKind::TooLong);
        for text in [
            "",
            "<a>",
            "<a><b></a>",
            "x<a/>",
            "<a/><a/>",
            "<a/>x",
            "<b/>",
            "<a x='1' x='1'/>",
            "<a xmlns='urn:y'/>",
            "<a>\u{15}</a>",
            "<a>&#x15;</a>",
        ] {
            assert!(read(text.as_bytes(), "urn:x", "a").is_err(), "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        let value = "a<b>&\"'\r\n\t ü \u{1}";
        let mut out = begin("a", "urn:x");
        element(&mut out, "b", " xml:lang=\"en\"", value);
        out.push_str("</a>");
        let root = read(out.as_bytes(), "urn:x", "a").unwrap();
        assert_eq!(root.child("b").unwrap().text, "a<b>&\"'\r\n\t ü \u{FFFD}");
    }
}
