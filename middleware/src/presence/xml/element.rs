//! An element and what is in it.

use std::borrow::Cow;

use super::XML;
use super::name::is_ncname;
use crate::error::Error;

/// An element: its expanded name, its attributes and its content.
///
/// Two are equal if they mean the same: prefixes are no part of it.
#[derive(Clone, Debug)]
pub struct Element {
    pub(super) namespace: Cow<'static, str>,
    pub(super) name: Cow<'static, str>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) content: Vec<Content>,
    pub(super) at: usize,
}

/// An attribute with its expanded name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub(super) namespace: Cow<'static, str>,
    pub(super) name: Cow<'static, str>,
    pub(super) value: String,
}

/// What an element holds, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Another element.
    Element(Element),
    /// Text.
    Text(String),
}

/// The prefixes of a document, so that it is written with those that it was read with.
///
/// They are spelling, not meaning: any two are equal.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    pub(super) bound: Vec<(String, String)>,
}

impl Element {
    /// An element of this namespace (empty: none) and name, with nothing in it.
    ///
    /// # Errors
    /// If the name is none, or has a prefix.
    pub fn new(namespace: &str, name: &str) -> Result<Self, Error> {
        check(name)?;
        Ok(Self::known(Cow::Owned(namespace.to_owned()), Cow::Owned(name.to_owned())))
    }

    /// With this text at its end.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Self {
        self.push_text(text);
        self
    }

    /// With this element at its end.
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Self {
        self.content.push(Content::Element(child));
        self
    }

    /// With this attribute, in place of an earlier one of the name.
    #[must_use]
    pub fn with_attribute(mut self, attribute: Attribute) -> Self {
        self.attributes.retain(|other| !other.is(&attribute.namespace, &attribute.name));
        self.attributes.push(attribute);
        self
    }

    /// The namespace; empty: none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name, without a prefix.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has this name.
    #[must_use]
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The attributes.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The value of an attribute (most have no namespace).
    #[must_use]
    pub fn attribute(&self, namespace: &str, name: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.is(namespace, name)).map(Attribute::value)
    }

    /// Elements and text, in their order.
    #[must_use]
    pub fn content(&self) -> &[Content] {
        &self.content
    }

    /// The elements directly in it.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.content.iter().filter_map(|content| match content {
            Content::Element(element) => Some(element),
            Content::Text(_) => None,
        })
    }

    /// The text directly in it.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|content| match content {
            Content::Text(text) => Some(text.as_str()),
            Content::Element(_) => None,
        });
        texts.collect()
    }

    /// Where it began in what was read.
    pub(in super::super) fn at(&self) -> usize {
        self.at
    }

    /// An element whose name is known to be one.
    pub(in super::super) fn known(namespace: Cow<'static, str>, name: impl Into<Cow<'static, str>>) -> Self {
        Self { namespace, name: name.into(), attributes: Vec::new(), content: Vec::new(), at: 0 }
    }

    pub(in super::super) fn own_namespace(&self) -> Cow<'static, str> {
        self.namespace.clone()
    }

    pub(in super::super) fn push(&mut self, child: Element) {
        self.content.push(Content::Element(child));
    }

    /// Appends text; two texts in a row are one.
    pub(in super::super) fn push_text(&mut self, text: &str) {
        match self.content.last_mut() {
            _ if text.is_empty() => {}
            Some(Content::Text(last)) => last.push_str(text),
            _ => self.content.push(Content::Text(text.to_owned())),
        }
    }

    /// Sets an attribute that is not there yet.
    pub(in super::super) fn add_attribute(&mut self, attribute: Attribute) {
        if !self.attributes.iter().any(|other| other.is(&attribute.namespace, &attribute.name)) {
            self.attributes.push(attribute);
        }
    }

    /// Forgets white space between elements, here and below; text beside elements stays.
    pub(super) fn without_white_space(&mut self) {
        let mixed = self.content.iter().any(|content| matches!(content, Content::Element(_)));
        if mixed {
            self.content.retain(|content| !matches!(content, Content::Text(text) if text.trim().is_empty()));
        }
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        // As XML has it, attributes have no order; ours keep theirs, so that comparing is simple.
        self.namespace == other.namespace
            && self.name == other.name
            && self.attributes == other.attributes
            && self.content == other.content
    }
}

impl Eq for Element {}

impl Attribute {
    /// An attribute of no namespace.
    ///
    /// # Errors
    /// If the name is none, or has a prefix.
    pub fn new(name: &str, value: &str) -> Result<Self, Error> {
        Self::in_namespace("", name, value)
    }

    /// An attribute of a namespace.
    ///
    /// # Errors
    /// If the name is none, or has a prefix.
    pub fn in_namespace(namespace: &str, name: &str, value: &str) -> Result<Self, Error> {
        check(name)?;
        if name == "xmlns" {
            return Err(bad_name(name));
        }
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Ok(Self { namespace: namespace.into(), name: name.into(), value: value.to_owned() })
    }

    /// The namespace; empty: none, as most have it.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name, without a prefix.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    pub(in super::super) fn known(namespace: &'static str, name: &'static str, value: String) -> Self {
        Self { namespace: Cow::Borrowed(namespace), name: Cow::Borrowed(name), value }
    }

    pub(in super::super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }
}

impl Namespaces {
    /// Has documents written with this prefix for a namespace; the first of two for a prefix
    /// stays.
    ///
    /// # Errors
    /// If the prefix is no name, or one that XML keeps for itself.
    pub fn bind(&mut self, prefix: &str, namespace: &str) -> Result<(), Error> {
        check(prefix)?;
        if prefix.starts_with("xml") || namespace.is_empty() || namespace == XML {
            return Err(bad_name(prefix));
        }
        self.add(prefix, namespace);
        Ok(())
    }

    /// Prefixes and what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bound.iter().map(|(prefix, namespace)| (prefix.as_str(), namespace.as_str()))
    }

    pub(super) fn add(&mut self, prefix: &str, namespace: &str) {
        if !self.bound.iter().any(|(bound, _)| bound == prefix) && self.bound.len() < super::MAX_NAMESPACES {
            self.bound.push((prefix.to_owned(), namespace.to_owned()));
        }
    }

    pub(super) fn prefix_of(&self, namespace: &str) -> Option<&str> {
        self.bound.iter().find(|(_, bound)| bound == namespace).map(|(prefix, _)| prefix.as_str())
    }
}

impl PartialEq for Namespaces {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Namespaces {}

fn check(name: &str) -> Result<(), Error> {
    if is_ncname(name) { Ok(()) } else { Err(bad_name(name)) }
}

fn bad_name(name: &str) -> Error {
    Error::BadValue {
        what: "the name of an element or attribute",
        value: name.to_owned(),
        expected: "an XML name without a prefix",
    }
}
