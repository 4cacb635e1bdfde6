//! The data of notifications, by name.

use bytes::Bytes;

use super::event::Originator;

/// A datum of a notification, for programs that print or forward it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Words.
    Text(String),
    /// Several.
    List(Vec<Value>),
    /// Several by name, in order.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// A list of words.
    pub(super) fn texts(texts: &[String]) -> Self {
        Value::List(texts.iter().map(|text| Value::from(text.as_str())).collect())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Number(value.into())
    }
}

impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Value::Number(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

impl From<Originator> for Value {
    fn from(value: Originator) -> Self {
        Value::Text(value.to_string())
    }
}

/// What a message is.
pub(super) fn message_data(
    content: &Bytes,
    content_type: &str,
    cpim_headers: &[(String, String)],
    message_id: &str,
) -> Vec<(&'static str, Value)> {
    let headers =
        cpim_headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    vec![
        ("content", String::from_utf8_lossy(content).into_owned().into()),
        ("content_type", content_type.into()),
        ("cpim_headers", Value::Map(headers)),
        ("message_id", message_id.into()),
    ]
}

/// What became of it.
pub(super) fn delivery_data(message_id: &str, code: u16, reason: &str) -> Vec<(&'static str, Value)> {
    vec![("message_id", message_id.into()), ("code", code.into()), ("reason", reason.into())]
}
