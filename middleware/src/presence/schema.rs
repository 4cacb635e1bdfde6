//! How documents are declared: a struct whose fields say where they stand in an element.
//!
//! | kind | the field | in the element |
//! |---|---|---|
//! | `must` | `T` | an attribute that has to be there |
//! | `lax` | `T` | an attribute; `T::default()` where it is not |
//! | `may` | `Option<T>` | an attribute |
//! | `text` | `T` | the text, trimmed |
//! | `exact` | `String` | the text as it is |
//! | `need` | `T` | a child with fields of its own that has to be there |
//! | `one` | `Option<T>` | such a child |
//! | `many` | `Vec<T>` | such children |
//! | `child` | `Option<T>` | a child that is a value |
//! | `children` | `Vec<T>` | such children |
//! | `group` | `Vec<T>` | children of several names, an enum |
//! | `extra` | `Vec<Attribute>` | all other attributes |
//! | `rest` | `Vec<Element>` | all other children |
//! | `names` | `Namespaces` | the prefixes of the document |
//!
//! What is optional and cannot be read as its type is left among `extra` and `rest`, so that it
//! is not lost. Of the children those of foreign names stand where `rest` is declared, which is
//! where the schemas have them, and what could have been read as a field stands last.

use std::borrow::Cow;

use super::error::{ParseError, ParseErrorKind};
use super::xml::{Attribute, Content, Element};

/// A value in an attribute or in the text of an element.
pub(super) trait Value: Sized {
    /// What it is, for errors.
    const WHAT: &'static str;

    /// Reads it; the text is trimmed.
    fn read(text: &str) -> Option<Self>;

    /// As it is written.
    fn show(&self) -> String;
}

/// An element with fields.
pub(super) trait Node: Sized {
    /// Reads it; its name has been looked at.
    fn from_element(element: &Element) -> Result<Self, ParseError>;

    /// Writes it under this name.
    fn to_element(&self, namespace: Cow<'static, str>, name: &'static str) -> Element;
}

/// One of several elements.
pub(super) trait Group: Sized {
    /// Whether it can be this element, of a parent in `own`.
    fn takes(own: &str, element: &Element) -> bool;

    /// Reads what it takes.
    fn from_element(element: &Element) -> Result<Self, ParseError>;

    /// Writes it into a parent in `own`.
    #[expect(clippy::ptr_arg, reason = "most names are static and need no copy")]
    fn to_element(&self, own: &Cow<'static, str>) -> Element;
}

/// An element of which parts have been taken.
pub(super) struct Parts<'a> {
    element: &'a Element,
    attributes: Vec<Option<&'a Attribute>>,
    children: Vec<Option<&'a Element>>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(element: &'a Element) -> Self {
        let attributes = element.attributes().iter().map(Some).collect();
        Self { element, attributes, children: element.children().map(Some).collect() }
    }

    pub(super) fn own(&self) -> &'a str {
        self.element.namespace()
    }

    pub(super) fn attribute<T: Value>(&mut self, namespace: &str, name: &str) -> Option<T> {
        let mut named = self.attributes.iter_mut();
        let slot = named.find(|slot| slot.is_some_and(|attribute| attribute.is(namespace, name)))?;
        let value = slot.and_then(|attribute| T::read(attribute.value().trim()))?;
        *slot = None;
        Some(value)
    }

    pub(super) fn required<T: Value>(&mut self, name: &'static str) -> Result<T, ParseError> {
        if let Some(value) = self.attribute("", name) {
            return Ok(value);
        }
        let kind = match self.element.attribute("", name) {
            Some(_) => ParseErrorKind::Value,
            None => ParseErrorKind::Missing,
        };
        let what = format!("{} as attribute {name} of {}", T::WHAT, self.element.name());
        Err(ParseError::new(self.element.at(), kind, what))
    }

    pub(super) fn text<T: Value>(&self) -> Result<T, ParseError> {
        T::read(self.element.text().trim()).ok_or_else(|| {
            let what = format!("{} in {}", T::WHAT, self.element.name());
            ParseError::new(self.element.at(), ParseErrorKind::Value, what)
        })
    }

    pub(super) fn exact(&self) -> String {
        self.element.text()
    }

    /// The children that a test is true for, each taken.
    fn take(&mut self, mut test: impl FnMut(&Element) -> bool) -> impl Iterator<Item = &'a Element> {
        self.children.iter_mut().filter_map(move |slot| slot.take_if(|child| test(child)))
    }

    pub(super) fn one<T: Node>(&mut self, namespace: &str, name: &str) -> Result<Option<T>, ParseError> {
        self.take(|child| child.is(namespace, name)).next().map(T::from_element).transpose()
    }

    pub(super) fn needed<T: Node>(&mut self, namespace: &str, name: &str) -> Result<T, ParseError> {
        self.one(namespace, name)?.ok_or_else(|| {
            let what = format!("{name} in {}", self.element.name());
            ParseError::new(self.element.at(), ParseErrorKind::Missing, what)
        })
    }

    pub(super) fn many<T: Node>(&mut self, namespace: &str, name: &str) -> Result<Vec<T>, ParseError> {
        self.take(|child| child.is(namespace, name)).map(T::from_element).collect()
    }

    pub(super) fn group<T: Group>(&mut self) -> Result<Vec<T>, ParseError> {
        let own = self.own();
        self.take(|child| T::takes(own, child)).map(T::from_element).collect()
    }

    pub(super) fn child<T: Value>(&mut self, namespace: &str, name: &str) -> Option<T> {
        let mut value = None;
        let readable =
            |child: &Element| child.is(namespace, name) && simple(child).map(|v| value = Some(v)).is_some();
        self.take(readable).next()?;
        value
    }

    pub(super) fn children<T: Value>(&mut self, namespace: &str, name: &str) -> Vec<T> {
        self.take(|child| child.is(namespace, name) && simple::<T>(child).is_some())
            .filter_map(simple)
            .collect()
    }

    pub(super) fn other_attributes(&self) -> Vec<Attribute> {
        self.attributes.iter().copied().flatten().cloned().collect()
    }

    /// What was not taken, what is `late` last.
    pub(super) fn other_children(&self, late: impl Fn(&str, &Element) -> bool) -> Vec<Element> {
        let own = self.own();
        let (mut last, mut first): (Vec<Element>, Vec<Element>) =
            self.children.iter().copied().flatten().cloned().partition(|child| late(own, child));
        first.append(&mut last);
        first
    }
}

/// The value that an element is, if it is nothing more.
fn simple<T: Value>(element: &Element) -> Option<T> {
    if element.content().iter().any(|content| matches!(content, Content::Element(_))) {
        return None;
    }
    T::read(element.text().trim())
}

/// An element that is a value.
pub(super) fn simple_element<T: Value>(
    namespace: Cow<'static, str>,
    name: impl Into<Cow<'static, str>>,
    value: &T,
) -> Element {
    Element::known(namespace, name).with_text(&value.show())
}

impl Value for String {
    const WHAT: &'static str = "text";

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for bool {
    const WHAT: &'static str = "true or false";

    fn read(text: &str) -> Option<Self> {
        match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Value for $type {
            const WHAT: &'static str = "a number";

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

numbers!(u64, u32, i32);

/// The type of a field by its kind.
macro_rules! field {
    (may $type:ty) => { Option<$type> };
    (one $type:ty) => { Option<$type> };
    (child $type:ty) => { Option<$type> };
    (many $type:ty) => { Vec<$type> };
    (children $type:ty) => { Vec<$type> };
    (group $type:ty) => { Vec<$type> };
    (extra $type:ty) => { Vec<$type> };
    (rest $type:ty) => { Vec<$type> };
    ($kind:ident $type:ty) => { $type };
}

/// Its namespace and name: those of an attribute have none, those of a child the parent's.
macro_rules! place {
    ($default:expr, $name:literal) => {
        ($default, $name)
    };
    ($default:expr, $namespace:ident, $name:literal) => {
        ($crate::presence::schema::known($namespace), $name)
    };
}

macro_rules! read_field {
    (must $parts:ident, $name:literal) => { $parts.required($name)? };
    (lax $parts:ident, $name:literal) => { $parts.attribute("", $name).unwrap_or_default() };
    (may $parts:ident, $($place:tt)+) => {{
        let (namespace, name) = place!("", $($place)+);
        $parts.attribute(namespace, name)
    }};
    (text $parts:ident,) => { $parts.text()? };
    (exact $parts:ident,) => { $parts.exact() };
    (group $parts:ident,) => { $parts.group()? };
    (extra $parts:ident,) => { () };
    (rest $parts:ident,) => { () };
    (names $parts:ident,) => { Default::default() };
    ($kind:ident $parts:ident, $($place:tt)+) => {{
        let (namespace, name) = place!($parts.own(), $($place)+);
        read_child!($kind $parts, namespace, name)
    }};
}

macro_rules! last_field {
    (extra $parts:ident, $field:ident, $late:expr) => {{
        let () = $field;
        $parts.other_attributes()
    }};
    (rest $parts:ident, $field:ident, $late:expr) => {{
        let () = $field;
        $parts.other_children($late)
    }};
    ($kind:ident $parts:ident, $field:ident, $late:expr) => {
        $field
    };
}

macro_rules! read_child {
    (need $parts:ident, $namespace:expr, $name:expr) => {
        $parts.needed($namespace, $name)?
    };
    (one $parts:ident, $namespace:expr, $name:expr) => {
        $parts.one($namespace, $name)?
    };
    (many $parts:ident, $namespace:expr, $name:expr) => {
        $parts.many($namespace, $name)?
    };
    (child $parts:ident, $namespace:expr, $name:expr) => {
        $parts.child($namespace, $name)
    };
    (children $parts:ident, $namespace:expr, $name:expr) => {
        $parts.children($namespace, $name)
    };
}

macro_rules! write_field {
    (must $element:ident, $value:expr, $late:expr, $name:literal) => {
        $element.add_attribute(Attribute::known("", $name, Value::show($value)))
    };
    (lax $element:ident, $value:expr, $late:expr, $name:literal) => {
        $element.add_attribute(Attribute::known("", $name, Value::show($value)))
    };
    (may $element:ident, $value:expr, $late:expr, $($place:tt)+) => {{
        let (namespace, name) = place!("", $($place)+);
        if let Some(value) = $value {
            $element.add_attribute(Attribute::known(namespace, name, Value::show(value)));
        }
    }};
    (text $element:ident, $value:expr, $late:expr,) => { $element.push_text(&Value::show($value)) };
    (exact $element:ident, $value:expr, $late:expr,) => { $element.push_text($value) };
    (group $element:ident, $value:expr, $late:expr,) => {{
        let own = $element.own_namespace();
        for value in $value {
            $element.push(Group::to_element(value, &own));
        }
    }};
    (extra $element:ident, $value:expr, $late:expr,) => {
        for attribute in $value {
            $element.add_attribute(attribute.clone());
        }
    };
    (rest $element:ident, $value:expr, $late:expr,) => {{
        let own = $element.own_namespace();
        for child in $value.iter().filter(|child| !$late(&own, child)) {
            $element.push(child.clone());
        }
    }};
    (names $element:ident, $value:expr, $late:expr,) => { let _ = $value; };
    ($kind:ident $element:ident, $value:expr, $late:expr, $($place:tt)+) => {
        write_child!($kind $element, $value, $($place)+)
    };
}

macro_rules! child_place {
    ($element:ident, $name:literal) => {
        ($element.own_namespace(), $name)
    };
    ($element:ident, $namespace:ident, $name:literal) => {
        (std::borrow::Cow::Borrowed($namespace), $name)
    };
}

macro_rules! write_child {
    (need $element:ident, $value:expr, $($place:tt)+) => {{
        let (namespace, name) = child_place!($element, $($place)+);
        $element.push(Node::to_element($value, namespace, name));
    }};
    (child $element:ident, $value:expr, $($place:tt)+) => {
        if let Some(value) = $value {
            let (namespace, name) = child_place!($element, $($place)+);
            $element.push($crate::presence::schema::simple_element(namespace, name, value));
        }
    };
    (children $element:ident, $value:expr, $($place:tt)+) => {
        for value in $value {
            let (namespace, name) = child_place!($element, $($place)+);
            $element.push($crate::presence::schema::simple_element(namespace, name, value));
        }
    };
    (one $element:ident, $value:expr, $($place:tt)+) => {
        if let Some(value) = $value {
            let (namespace, name) = child_place!($element, $($place)+);
            $element.push(Node::to_element(value, namespace, name));
        }
    };
    // many
    ($kind:ident $element:ident, $value:expr, $($place:tt)+) => {
        for value in $value {
            let (namespace, name) = child_place!($element, $($place)+);
            $element.push(Node::to_element(value, namespace, name));
        }
    };
}

/// Whether an element could have been read as this field.
macro_rules! is_field {
    (must $own:ident, $child:ident, $type:ty, $($place:tt)*) => { false };
    (lax $own:ident, $child:ident, $type:ty, $($place:tt)*) => { false };
    (may $own:ident, $child:ident, $type:ty, $($place:tt)*) => { false };
    (text $own:ident, $child:ident, $type:ty, $($place:tt)*) => { false };
    (exact $own:ident, $child:ident, $type:ty, $($place:tt)*) => { false };
    (extra $own:ident, $child:ident, $type:ty, $($place:tt)*) => { false };
    (rest $own:ident, $child:ident, $type:ty, $($place:tt)*) => { false };
    (names $own:ident, $child:ident, $type:ty, $($place:tt)*) => { false };
    (group $own:ident, $child:ident, $type:ty, ) => { <$type as Group>::takes($own, $child) };
    ($kind:ident $own:ident, $child:ident, $type:ty, $($place:tt)+) => {{
        let (namespace, name) = place!($own, $($place)+);
        $child.is(namespace, name)
    }};
}

/// What of `rest` stands last.
macro_rules! finish_field {
    (rest $element:ident, $value:expr, $late:expr) => {{
        let own = $element.own_namespace();
        for child in $value.iter().filter(|child| $late(&own, child)) {
            $element.push(child.clone());
        }
    }};
    ($kind:ident $element:ident, $value:expr, $late:expr) => {};
}

/// A namespace by its constant.
pub(super) const fn known(namespace: &'static str) -> &'static str {
    namespace
}

/// Structs that are elements.
macro_rules! elements {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[$field_meta:meta])*
                $kind:ident $field:ident: $type:ty $(= $($place:tt),+)?;
            )*
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: field!($kind $type), )*
        }

        impl $crate::presence::schema::Node for $name {
            fn from_element(element: &Element) -> Result<Self, $crate::presence::ParseError> {
                #[allow(unused_mut, reason = "some have nothing to take")]
                let mut parts = $crate::presence::schema::Parts::new(element);
                $( let $field = read_field!($kind parts, $($($place),+)?); )*
                // What nobody has taken is left when all have.
                Ok(Self { $( $field: last_field!($kind parts, $field, Self::is_late), )* })
            }

            fn to_element(&self, namespace: std::borrow::Cow<'static, str>, name: &'static str) -> Element {
                let mut element = Element::known(namespace, name);
                $( write_field!($kind element, &self.$field, Self::is_late, $($($place),+)?); )*
                $( finish_field!($kind element, &self.$field, Self::is_late); )*
                element
            }
        }

        impl $name {
            #[allow(dead_code, unused_variables, reason = "not every struct has each kind")]
            fn is_late(own: &str, child: &Element) -> bool {
                false $( || is_field!($kind own, child, $type, $($($place),+)?) )*
            }
        }
    )+};
}

/// Enums of words; those with `open` keep words that they don't know.
macro_rules! words {
    (closed $(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_meta])* #[doc = concat!("`", $word, "`")] $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As the document has it.
            #[must_use]
            pub fn as_str(&self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::presence::schema::Value for $name {
            const WHAT: &'static str = concat!("one of", $(" ", $word),+);

            fn read(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }

            fn show(&self) -> String {
                self.as_str().to_owned()
            }
        }

        words!(common $name $($variant)+);
    };
    (open $(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* #[doc = concat!("`", $word, "`")] $variant,)+
            /// Another word.
            Other(String),
        }

        impl $name {
            /// All that are known.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant),+];

            /// As the document has it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self { $(Self::$variant => $word,)+ Self::Other(word) => word }
            }
        }

        impl $crate::presence::schema::Value for $name {
            const WHAT: &'static str = concat!("one of", $(" ", $word),+);

            fn read(text: &str) -> Option<Self> {
                Some(match text { $($word => Self::$variant,)+ other => Self::Other(other.to_owned()) })
            }

            fn show(&self) -> String {
                self.as_str().to_owned()
            }
        }

        words!(common $name $($variant)+);
    };
    (common $name:ident $first:ident $($variant:ident)*) => {
        /// The first.
        impl Default for $name {
            fn default() -> Self {
                Self::$first
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// A struct that is a whole document.
macro_rules! document {
    ($name:ident, $namespace:ident, $root:literal, $content_type:literal) => {
        impl $name {
            #[doc = concat!("The media type: `", $content_type, "`.")]
            pub const CONTENT_TYPE: &'static str = $content_type;

            /// Reads a document.
            ///
            /// # Errors
            /// If it is too large, not well formed, another document, or lacks what it must have.
            pub fn parse(data: &[u8]) -> Result<Self, $crate::presence::ParseError> {
                let (root, namespaces) = $crate::presence::xml::read(data)?;
                if !root.is($namespace, $root) {
                    let (kind, what) =
                        ($crate::presence::ParseErrorKind::Root, concat!("the element ", $root));
                    return Err($crate::presence::ParseError::new(root.at(), kind, what));
                }
                let document = <Self as $crate::presence::schema::Node>::from_element(&root)?;
                Ok(Self { namespaces, ..document })
            }

            /// The document as XML.
            #[must_use]
            pub fn to_xml(&self) -> String {
                let namespace = std::borrow::Cow::Borrowed($namespace);
                let root = $crate::presence::schema::Node::to_element(self, namespace, $root);
                $crate::presence::xml::write(&root, &self.namespaces)
            }
        }
    };
}
