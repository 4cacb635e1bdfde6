//! Judges bytes and sums them up, for the `inspect` command.

use bytes::Bytes;

use crate::cpim;
use crate::error::ParseError;
use crate::wire::{Message, Start};

/// Names and values that sum a message up.
pub type Summary = Vec<(String, String)>;

/// Reads all MSRP requests and responses in `data`, of which there must be one at least.
///
/// # Errors
/// If one of them is malformed.
pub fn msrp(data: &Bytes) -> Result<Vec<Summary>, ParseError> {
    let mut rest = data.clone();
    let mut all = Vec::new();
    loop {
        let at = u64::try_from(data.len() - rest.len()).unwrap_or(u64::MAX);
        let (message, len) = Message::parse_first(&rest).map_err(|e| e.moved(at))?;
        all.push(sum_up(&message)?);
        rest = rest.slice(len..);
        if rest.is_empty() {
            return Ok(all);
        }
    }
}

/// Reads a message/cpim.
///
/// # Errors
/// If it is malformed.
pub fn cpim(data: &Bytes) -> Result<Summary, ParseError> {
    let message = cpim::Message::parse(data)?;
    let mut summary: Summary =
        message.headers().map(|h| (h.name.to_owned(), h.text().into_owned())).collect();
    summary.extend(message.mime_headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
    summary.push(("body".into(), message.body().len().to_string()));
    Ok(summary)
}

fn sum_up(message: &Message) -> Result<Summary, ParseError> {
    let head = &message.head;
    let mut summary = vec![("transaction".into(), head.transaction_id().to_owned())];
    match head.start() {
        Start::Request(_, name) => summary.push(("method".into(), name.to_owned())),
        Start::Response(code, comment) => {
            summary.push(("code".into(), code.to_string()));
            summary.push(("comment".into(), comment.to_owned()));
        }
    }
    // The header fields that have a grammar of their own must follow it.
    for name in [crate::wire::HeaderName::ToPath, crate::wire::HeaderName::FromPath] {
        if head.get(name).is_some() {
            head.path(name)?;
        }
    }
    head.byte_range()?;
    if head.get(crate::wire::HeaderName::Status).is_some() {
        head.status()?;
    }
    summary.extend(head.headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
    if let Some(body) = &message.body {
        summary.push(("body".into(), body.len().to_string()));
    }
    summary.push(("flag".into(), char::from(message.flag.byte()).to_string()));
    Ok(summary)
}
