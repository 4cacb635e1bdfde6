//! The guarded reader.

use std::borrow::Cow;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::element::{Attribute, Element, Namespaces};
use super::name::{is_char, is_ncname, reference};
use super::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS, MAX_NAMESPACES, MAX_SIZE, XML};
use crate::presence::error::ParseError;
use crate::presence::error::ParseErrorKind::{self, Forbidden, Syntax, TooLong, Trailing, Truncated, Utf8};
use crate::presence::namespace;

const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// Reads a document: its root and the prefixes it uses.
pub(in super::super) fn read(data: &[u8]) -> Result<(Element, Namespaces), ParseError> {
    if data.len() > MAX_SIZE {
        return Err(ParseError::new(MAX_SIZE, TooLong, "a document of at most 1 MiB"));
    }
    let text = std::str::from_utf8(data)
        .map_err(|error| ParseError::new(error.valid_up_to(), Utf8, "a document in UTF-8"))?;
    let document = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let skipped = text.len() - document.len();
    let mut reader = Reader::from_str(document);
    reader.config_mut().check_comments = true;
    let mut tree = Tree::default();
    loop {
        let at = position(reader.buffer_position(), skipped);
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => {
                let kind = if is_truncated(&error) { Truncated } else { Syntax };
                return Err(ParseError::new(
                    position(reader.error_position(), skipped),
                    kind,
                    "well-formed XML",
                ));
            }
        };
        let taken = match event {
            Event::Start(start) => tree.open(&start, at),
            Event::Empty(start) => tree.open(&start, at).and_then(|()| tree.close()),
            Event::End(_) => tree.close(),
            Event::Text(text) => tree.text(&text.xml10_content(), false),
            Event::CData(text) => tree.text(&text.xml10_content(), true),
            Event::GeneralRef(name) => match reference(&name.into_inner()) {
                Some(c) => tree.text(c.encode_utf8(&mut [0; 4]), true),
                None => Err((Forbidden, "no entities of its own")),
            },
            Event::DocType(_) => Err((Forbidden, "no DOCTYPE")),
            Event::Decl(_) if tree.elements > 0 => Err((Syntax, "the XML declaration at the beginning")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => Ok(()),
            Event::Eof => break,
        };
        taken.map_err(|(kind, what)| ParseError::new(at, kind, what))?;
    }
    match tree.root {
        Some(root) if tree.open.is_empty() => Ok((root, tree.namespaces)),
        _ => Err(ParseError::new(text.len(), Truncated, "the end of the document")),
    }
}

fn position(offset: u64, skipped: usize) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX).saturating_add(skipped)
}

fn is_truncated(error: &quick_xml::Error) -> bool {
    use quick_xml::errors::{Error, IllFormedError};
    matches!(error, Error::Syntax(_) | Error::IllFormed(IllFormedError::MissingEndTag(_)))
}

type Fault = (ParseErrorKind, &'static str);

#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
    /// What holds where we are: prefix (empty: the default), namespace, and the level that said so.
    scope: Vec<(String, Cow<'static, str>, usize)>,
    namespaces: Namespaces,
}

impl Tree {
    fn open(&mut self, start: &BytesStart<'_>, at: usize) -> Result<(), Fault> {
        if self.root.is_some() {
            return Err((Trailing, "one root element"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err((TooLong, "at most 64 levels"));
        }
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err((TooLong, "at most 16384 elements"));
        }
        let mut plain = Vec::new();
        for (number, attribute) in start.attributes().enumerate() {
            if number >= MAX_ATTRIBUTES {
                return Err((TooLong, "at most 64 attributes"));
            }
            let attribute = attribute.map_err(|_| (Syntax, "well-formed attributes"))?;
            let (prefix, name) = split(attribute.key.into_inner())?;
            let value = value(&attribute.value)?;
            match (prefix, name) {
                ("", "xmlns") => self.bind("", value)?,
                ("xmlns", prefix) => self.bind(prefix, value)?,
                _ => plain.push((prefix.to_owned(), name.to_owned(), value)),
            }
        }
        let (prefix, name) = split(start.name().into_inner())?;
        let namespace = self.resolve(prefix)?;
        let mut element = Element::known(namespace, name.to_owned());
        element.at = at;
        for (prefix, name, value) in plain {
            // An attribute without a prefix has no namespace.
            let namespace = if prefix.is_empty() { Cow::Borrowed("") } else { self.resolve(&prefix)? };
            if element.attribute(&namespace, &name).is_some() {
                return Err((Syntax, "each attribute once"));
            }
            element.attributes.push(Attribute { namespace, name: name.into(), value });
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let mut element = self.open.pop().ok_or((Syntax, "a start before an end"))?;
        element.without_white_space();
        let level = self.open.len();
        while self.scope.last().is_some_and(|(_, _, bound_at)| *bound_at >= level) {
            self.scope.pop();
        }
        match self.open.last_mut() {
            Some(parent) => parent.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str, written: bool) -> Result<(), Fault> {
        // XML 1.0 §2.2: written out again they would be no document any more.
        if !text.chars().all(is_char) {
            return Err((Syntax, "no control characters"));
        }
        match self.open.last_mut() {
            Some(element) => element.push_text(text),
            None if text.trim().is_empty() && !written => {}
            None => return Err((Syntax, "text within the root element")),
        }
        Ok(())
    }

    fn bind(&mut self, prefix: &str, namespace: String) -> Result<(), Fault> {
        if self.scope.len() >= MAX_NAMESPACES {
            return Err((TooLong, "at most 64 namespaces"));
        }
        let reserved = prefix == "xmlns" || namespace == XMLNS || (prefix == "xml") != (namespace == XML);
        if reserved || (!prefix.is_empty() && namespace.is_empty()) {
            return Err((Syntax, "a prefix for a namespace"));
        }
        if prefix == "xml" {
            return Ok(());
        }
        if !prefix.is_empty() {
            self.namespaces.add(prefix, &namespace);
        }
        let namespace = namespace::known(&namespace).map_or(Cow::Owned(namespace), Cow::Borrowed);
        self.scope.push((prefix.to_owned(), namespace, self.open.len()));
        Ok(())
    }

    fn resolve(&self, prefix: &str) -> Result<Cow<'static, str>, Fault> {
        if prefix == "xml" {
            return Ok(Cow::Borrowed(XML));
        }
        match self.scope.iter().rev().find(|(bound, _, _)| bound == prefix) {
            Some((_, namespace, _)) => Ok(namespace.clone()),
            None if prefix.is_empty() => Ok(Cow::Borrowed("")),
            None => Err((Syntax, "a prefix that was declared")),
        }
    }
}

/// Prefix and local name.
fn split(name: &str) -> Result<(&str, &str), Fault> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    if (prefix.is_empty() && name.contains(':'))
        || !(prefix.is_empty() || is_ncname(prefix))
        || !is_ncname(local)
    {
        return Err((Syntax, "a name"));
    }
    Ok((prefix, local))
}

/// An attribute's value: references resolved, white space normalised (XML 1.0 §3.3.3).
fn value(raw: &str) -> Result<String, Fault> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '&' => {
                let (name, _) =
                    rest.get(1..).and_then(|r| r.split_once(';')).ok_or((Syntax, "a reference"))?;
                out.push(reference(name).ok_or((Forbidden, "no entities of its own"))?);
                taken = name.len() + 2;
            }
            '<' => return Err((Syntax, "no < in an attribute")),
            '\r' if rest.starts_with("\r\n") => {
                out.push(' ');
                taken = 2;
            }
            '\t' | '\n' | '\r' => out.push(' '),
            c if is_char(c) => out.push(c),
            _ => return Err((Syntax, "no control characters")),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> ParseErrorKind {
        read(text.as_bytes()).expect_err(text).kind
    }

    #[test]
    fn every_form_of_a_prefix_reads_the_same() {
        let forms = [
            "<a xmlns='urn:x'><b c='1'/></a>",
            "<p:a xmlns:p='urn:x'><p:b c='1'/></p:a>",
            "<p:a xmlns:p='urn:x'><q:b xmlns:q='urn:x' c='1'></q:b></p:a>",
            "\u{FEFF}<?xml version='1.0' encoding='UTF-8'?><!-- c -->\r\n<a xmlns='urn:x'>\n <b xmlns='urn:x' c='&#49;'/>\n</a>\n",
            "<p:a xmlns:p='urn:x' xmlns='urn:y'><b xmlns='urn:x' c='1'/></p:a>",
        ];
        let first = read(forms[0].as_bytes()).expect("reads").0;
        for form in forms {
            assert_eq!(read(form.as_bytes()).expect(form).0, first, "{form}");
        }
        assert_eq!(first.children().next().map(Element::namespace), Some("urn:x"));
        let other = read(b"<a xmlns='urn:x'><b xmlns='' c='1'/></a>").expect("reads").0;
        assert_ne!(other, first, "no namespace is another");
    }

    #[test]
    fn text_is_what_it_stands_for() {
        let root = read(b"<a> 1 &lt;&#x41;<![CDATA[<&]]>\r\n</a>").expect("reads").0;
        assert_eq!(root.text(), " 1 <A<&\n");
        let root = read(b"<a b='x\t\r\ny&#10;&quot;'/>").expect("reads").0;
        assert_eq!(root.attribute("", "b"), Some("x  y\n\""));
    }

    #[test]
    fn what_is_dangerous_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        assert_eq!(kind(bomb), Forbidden);
        assert_eq!(kind("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"), Forbidden);
        assert_eq!(kind("<a>&b;</a>"), Forbidden);
        assert_eq!(kind("<a b='&c;'/>"), Forbidden);
        assert_eq!(kind(&"<b>".repeat(MAX_DEPTH + 1)), TooLong);
        assert_eq!(kind(&format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS))), TooLong);
        assert_eq!(kind(&format!("<a>{}</a>", "b".repeat(MAX_SIZE))), TooLong);
        let attributes: String = (0..=MAX_ATTRIBUTES).map(|n| format!(" a{n}='1'")).collect();
        assert_eq!(kind(&format!("<a{attributes}/>")), TooLong);
        let declarations: String = (0..40).map(|n| format!(" xmlns:p{n}='urn:{n}'")).collect();
        assert_eq!(kind(&format!("<a{declarations}><b{declarations}/></a>")), TooLong);
        assert!(read(format!("<a><b{declarations}/><b{declarations}/></a>").as_bytes()).is_ok());
    }

    #[test]
    fn errors_say_where() {
        for (text, at) in [
            ("<a>\n<b></a>", 7),
            ("<a/><b/>", 4),
            ("x<a/>", 0),
            ("<a/>x", 4),
            ("<a x='1' x='1'/>", 0),
            ("<a><p:b/></a>", 3),
            ("<a>\u{15}</a>", 3),
            ("<a>&#x15;</a>", 3),
            ("<a><1/></a>", 3),
            ("<a xmlns:p=''/>", 0),
            ("<a xmlns:xml='urn:x'/>", 0),
            ("<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>", 0),
            ("<a b='<'/>", 0),
            ("<a", 0),
            ("<a>", 3),
            ("", 0),
        ] {
            assert_eq!(read(text.as_bytes()).expect_err(text).at, at, "{text}");
        }
        assert_eq!(kind("<a>"), Truncated);
        assert_eq!(read(b"<a>\xFF</a>").expect_err("not UTF-8").at, 3);
    }
}
