//! Lists of people: `application/resource-lists+xml` (RFC 4826), as bodies of requests too
//! (RFC 5363).

use std::borrow::Cow;

use super::ParseError;
use super::namespace::RESOURCE_LISTS;
use super::schema::{Group, Node, Value};
use super::value::Note;
use super::xml::{Attribute, Element, Namespaces};

elements! {
    /// Lists of resources.
    pub struct ResourceLists {
        /// They.
        many lists: List = "list";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
        /// The prefixes.
        names namespaces: Namespaces;
    }

    /// A list; it may hold others.
    pub struct List {
        /// Tells it from its neighbours.
        may name: String = "name";
        /// For people.
        one display_name: Note = "display-name";
        /// What is in it, in order.
        group items: Item;
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// One resource.
    pub struct Entry {
        /// Its URI.
        must uri: String = "uri";
        /// For people.
        one display_name: Note = "display-name";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here, such as `cp:copyControl` (RFC 5364).
        extra attributes: Attribute;
    }

    /// An entry of another document on the same server.
    pub struct EntryRef {
        /// A relative path to it.
        must reference: String = "ref";
        /// For people.
        one display_name: Note = "display-name";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A list of another document.
    pub struct External {
        /// Where it is.
        may anchor: String = "anchor";
        /// For people.
        one display_name: Note = "display-name";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }
}

document!(ResourceLists, RESOURCE_LISTS, "resource-lists", "application/resource-lists+xml");

/// What a list holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A list.
    List(List),
    /// A resource.
    Entry(Entry),
    /// A resource that stands elsewhere.
    EntryRef(EntryRef),
    /// A list that stands elsewhere.
    External(External),
}

impl Group for Item {
    fn takes(own: &str, element: &Element) -> bool {
        element.namespace() == own && matches!(element.name(), "list" | "entry" | "entry-ref" | "external")
    }

    // Lists are in lists only as deep as the reader lets elements be.
    fn from_element(element: &Element) -> Result<Self, ParseError> {
        Ok(match element.name() {
            "list" => Self::List(Node::from_element(element)?),
            "entry" => Self::Entry(Node::from_element(element)?),
            "entry-ref" => Self::EntryRef(Node::from_element(element)?),
            _ => Self::External(Node::from_element(element)?),
        })
    }

    fn to_element(&self, own: &Cow<'static, str>) -> Element {
        match self {
            Self::List(list) => list.to_element(own.clone(), "list"),
            Self::Entry(entry) => entry.to_element(own.clone(), "entry"),
            Self::EntryRef(entry) => entry.to_element(own.clone(), "entry-ref"),
            Self::External(external) => external.to_element(own.clone(), "external"),
        }
    }
}

impl ResourceLists {
    /// One list of these URIs, as requests carry it.
    pub fn of_uris(uris: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let entry = |uri: String| Item::Entry(Entry { uri, ..Entry::default() });
        let items = uris.into_iter().map(|uri| entry(uri.into())).collect();
        Self { lists: vec![List { items, ..List::default() }], ..Self::default() }
    }

    /// The URIs of all entries, of inner lists too, in the order of the document.
    #[must_use]
    pub fn uris(&self) -> Vec<&str> {
        let mut uris = Vec::new();
        for list in &self.lists {
            let mut open = vec![list.items.iter()];
            while let Some(items) = open.last_mut() {
                match items.next() {
                    Some(Item::Entry(entry)) => uris.push(entry.uri.as_str()),
                    Some(Item::List(inner)) => open.push(inner.items.iter()),
                    Some(_) => {}
                    None => drop(open.pop()),
                }
            }
        }
        uris
    }
}
