//! Resource-Priority and Accept-Resource-Priority (RFC 4412).

use super::{Form, HeaderName, TypedHeader};
use crate::{ErrorKind, ParseError, UsageError, grammar};
use std::fmt;

/// A namespace and a priority in it: `dsn.flash` (RFC 4412 §3.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceValue {
    text: String,
    dot: usize,
}

impl ResourceValue {
    /// The value of that text. Both sides of its one dot are tokens.
    pub fn new(text: &str) -> Result<Self, UsageError> {
        Ok(Self::read(text)?)
    }

    /// The namespace, `dsn` in `dsn.flash`.
    pub fn namespace(&self) -> &str {
        grammar::cut(&self.text, self.dot).0
    }

    /// The priority, `flash` in `dsn.flash`.
    pub fn priority(&self) -> &str {
        grammar::cut(&self.text, self.dot + 1).1
    }

    fn read(text: &str) -> Result<Self, ParseError> {
        let error = |at| ParseError::new(at, ErrorKind::Syntax, "namespace.priority");
        let dot = text.find('.').ok_or(error(0))?;
        let (namespace, priority) = grammar::cut(text, dot);
        let priority = priority.strip_prefix('.').unwrap_or(priority);
        if !grammar::is_token(namespace) || !grammar::is_token(priority) || priority.contains('.') {
            return Err(error(0));
        }
        Ok(Self { text: text.to_owned(), dot })
    }
}

impl fmt::Display for ResourceValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

macro_rules! lists {
    ($($(#[$doc:meta])* $name:ident $header:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
            pub struct $name(pub Vec<ResourceValue>);

            impl TypedHeader for $name {
                const NAME: HeaderName<'static> = HeaderName::$header;
                const FORM: Form = Form::Whole;

                fn parse(text: &str) -> Result<Self, ParseError> {
                    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                    parts.map(ResourceValue::read).collect::<Result<_, _>>().map(Self)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    super::tokens::write_list(f, &self.0, ", ")
                }
            }
        )*
    };
}

lists! {
    /// What precedence the request claims, at most once a namespace (RFC 4412 §3.1).
    ResourcePriority RESOURCE_PRIORITY;
    /// The values that a server knows (RFC 4412 §3.2).
    AcceptResourcePriority ACCEPT_RESOURCE_PRIORITY;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let list = ResourcePriority::parse("wps.3 ,dsn.flash").unwrap();
        assert_eq!(list.to_string(), "wps.3, dsn.flash");
        let last = list.0.last().unwrap();
        assert_eq!((last.namespace(), last.priority()), ("dsn", "flash"));
        assert_eq!(AcceptResourcePriority::parse(""), Ok(AcceptResourcePriority::default()));
        for text in ["dsn", "dsn.", ".flash", "dsn.a.b", "dsn .flash"] {
            assert!(ResourcePriority::parse(text).is_err(), "{text}");
        }
    }
}
