//! The writer.

use std::fmt::Write as _;

use super::XML;
use super::element::{Content, Element, Namespaces};
use super::name::is_char;
use crate::presence::namespace;

/// The document: the namespace of the root as the default, all others by prefixes of the root.
pub(in super::super) fn write(root: &Element, hints: &Namespaces) -> String {
    let mut namespaces = hints.clone();
    bind_known(root, &mut namespaces);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut steps = vec![Step::Open(root, None)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Open(element, default) => open(element, default, &namespaces, &mut out, &mut steps),
            Step::Text(text) => escape(text, false, &mut out),
            Step::Close(name) => {
                out.push_str("</");
                out.push_str(&name);
                out.push('>');
            }
        }
    }
    out.push('\n');
    out
}

enum Step<'a> {
    /// An element, and what the default namespace is around it; `None` for the root.
    Open(&'a Element, Option<&'a str>),
    Text(&'a str),
    Close(String),
}

/// Gives a usual prefix to each namespace of ours that is used.
fn bind_known(root: &Element, namespaces: &mut Namespaces) {
    let mut open = vec![root];
    while let Some(element) = open.pop() {
        let own = (element.namespace() != root.namespace()).then_some(element.namespace());
        for used in own.into_iter().chain(element.attributes().iter().map(|attribute| attribute.namespace()))
        {
            if let Some(prefix) = namespace::usual_prefix(used)
                && namespaces.prefix_of(used).is_none()
            {
                namespaces.add(prefix, used);
            }
        }
        open.extend(element.children());
    }
}

fn open<'a>(
    element: &'a Element,
    around: Option<&'a str>,
    namespaces: &Namespaces,
    out: &mut String,
    steps: &mut Vec<Step<'a>>,
) {
    let own = element.namespace();
    let default = around.unwrap_or_default();
    let prefix = match own {
        XML => Some("xml"),
        _ if around.is_none() || own == default => None,
        _ => namespaces.prefix_of(own),
    };
    let name = match prefix {
        Some(prefix) => format!("{prefix}:{}", element.name()),
        None => element.name().to_owned(),
    };
    out.push('<');
    out.push_str(&name);
    let mut inner = default;
    if prefix.is_none() && own != default {
        declare("xmlns", own, out);
        inner = own;
    }
    if around.is_none() {
        for (prefix, namespace) in namespaces.iter() {
            declare(&format!("xmlns:{prefix}"), namespace, out);
        }
    }
    for (number, attribute) in element.attributes().iter().enumerate() {
        let prefix = match attribute.namespace() {
            "" => None,
            XML => Some("xml".to_owned()),
            namespace => Some(match namespaces.prefix_of(namespace) {
                Some(prefix) => prefix.to_owned(),
                None => {
                    let prefix = unused(number, namespaces);
                    declare(&format!("xmlns:{prefix}"), namespace, out);
                    prefix
                }
            }),
        };
        let prefix = prefix.map(|prefix| prefix + ":").unwrap_or_default();
        declare(&format!("{prefix}{}", attribute.name()), attribute.value(), out);
    }
    if element.content().is_empty() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    steps.push(Step::Close(name));
    for content in element.content().iter().rev() {
        steps.push(match content {
            Content::Element(child) => Step::Open(child, Some(inner)),
            Content::Text(text) => Step::Text(text),
        });
    }
}

/// A prefix that the document does not have, another for each attribute of an element.
fn unused(number: usize, namespaces: &Namespaces) -> String {
    let mut prefix = format!("ns{number}");
    while namespaces.iter().any(|(bound, _)| bound == prefix) {
        prefix.push('_');
    }
    prefix
}

fn declare(name: &str, value: &str, out: &mut String) {
    let _ = write!(out, " {name}=\"");
    escape(value, true, out);
    out.push('"');
}

fn escape(text: &str, attribute: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' if attribute => out.push_str("&quot;"),
            // A line end of its own would be read as a line feed, and white space in an
            // attribute as a space.
            '\r' => out.push_str("&#13;"),
            '\t' if attribute => out.push_str("&#9;"),
            '\n' if attribute => out.push_str("&#10;"),
            c if is_char(c) => out.push(c),
            // XML 1.0 has no way to write the others.
            _ => out.push('\u{FFFD}'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::presence::xml::Attribute;

    #[track_caller]
    fn survives(text: &str) -> String {
        let (root, namespaces) = read(text.as_bytes()).expect(text);
        let written = write(&root, &namespaces);
        let (again, _) = read(written.as_bytes()).expect(&written);
        assert_eq!(again, root, "{written}");
        written
    }

    #[test]
    fn what_was_read_is_written_and_reads_the_same() {
        survives("<a/>");
        survives("<a xmlns='urn:x'><b xmlns=''><c xmlns='urn:x'/></b></a>");
        survives("<a><b xmlns='urn:y'><c xmlns=''/></b></a>");
        survives("<a xmlns='urn:x' xmlns:p='urn:x' p:q='1' q='2' xml:lang='de'/>");
        survives("<p:a xmlns:p='urn:1'><p:b xmlns:p='urn:2' p:c='1'><p:d/></p:b></p:a>");
        survives("<a xmlns:ns0='urn:1'><p:b xmlns:p='urn:2' xmlns:q='urn:3' p:c='1' q:c='1'/></a>");
        survives("<a>x<b>&lt;&amp;&#13; ]]&gt;</b>\ty</a>");
        survives("<a b='&quot;&apos;&#9;&#10;&#13; ü'/>");
    }

    #[test]
    fn prefixes_stay_for_names_in_text() {
        let written = survives("<a xmlns='urn:x'><b xmlns:t='urn:t'>t:name</b></a>");
        assert!(written.contains("xmlns:t=\"urn:t\""), "{written}");
    }

    #[test]
    fn nothing_that_is_set_becomes_another_element() {
        let evil = "\"/><evil xmlns='\r\n\0&<!--";
        let root = Element::new(evil, "a").expect("a name").with_text(evil);
        let root = root.with_attribute(Attribute::in_namespace(evil, "b", evil).expect("a name"));
        let written = write(&root, &Namespaces::default());
        let (again, _) = read(written.as_bytes()).expect(&written);
        assert_eq!((again.children().count(), again.attributes().len()), (0, 1), "{written}");
        assert!(Element::new("", "a b").is_err() && Element::new("", "p:a").is_err());
        assert!(Attribute::new("xmlns", "urn:x").is_err() && Attribute::new("a=''", "").is_err());
        assert!(Namespaces::default().bind("xmlns", "urn:x").is_err());
    }
}
