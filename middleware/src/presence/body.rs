//! The body of a notification, whatever package it is of.

use bytes::Bytes;
use sip_core::header::MediaType;

use super::error::{ParseError, ParseErrorKind};
use super::multipart::{self, Part};
use super::{
    ConferenceInfo, DialogInfo, MessageSummary, Presence, RegInfo, ResourceList, ResourceLists, WatcherInfo,
    namespace, xml,
};

/// What a NOTIFY or PUBLISH carries, by its content type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventBody {
    /// Nothing.
    Empty,
    /// Presence: `application/pidf+xml`.
    Presence(Presence),
    /// Who watches: `application/watcherinfo+xml`.
    WatcherInfo(WatcherInfo),
    /// The states of the resources of a list: `multipart/related` with `application/rlmi+xml`.
    List {
        /// Which part is whose; see [`ResourceList::assemble`].
        list: ResourceList,
        /// The parts, that of the list itself among them.
        parts: Vec<Part>,
    },
    /// Lists of people: `application/resource-lists+xml`.
    ResourceLists(ResourceLists),
    /// What waits in a mailbox: `application/simple-message-summary`.
    MessageSummary(MessageSummary),
    /// Somebody's calls: `application/dialog-info+xml`.
    DialogInfo(DialogInfo),
    /// A conference: `application/conference-info+xml`.
    ConferenceInfo(ConferenceInfo),
    /// Registrations: `application/reginfo+xml`.
    RegInfo(RegInfo),
    /// Something else, as it is.
    Other {
        /// Its media type.
        content_type: String,
        /// It.
        body: Bytes,
    },
}

impl EventBody {
    /// Reads a body.
    ///
    /// # Errors
    /// If it is not what its content type says.
    pub fn parse(content_type: &str, body: &Bytes) -> Result<Self, ParseError> {
        let plain = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Ok(match plain.as_str() {
            "" if body.is_empty() => Self::Empty,
            Presence::CONTENT_TYPE => Self::Presence(Presence::parse(body)?),
            WatcherInfo::CONTENT_TYPE => Self::WatcherInfo(WatcherInfo::parse(body)?),
            ResourceLists::CONTENT_TYPE => Self::ResourceLists(ResourceLists::parse(body)?),
            MessageSummary::CONTENT_TYPE => Self::MessageSummary(MessageSummary::parse(body)?),
            DialogInfo::CONTENT_TYPE => Self::DialogInfo(DialogInfo::parse(body)?),
            ConferenceInfo::CONTENT_TYPE => Self::ConferenceInfo(ConferenceInfo::parse(body)?),
            RegInfo::CONTENT_TYPE => Self::RegInfo(RegInfo::parse(body)?),
            ResourceList::CONTENT_TYPE => Self::List { list: ResourceList::parse(body)?, parts: Vec::new() },
            "multipart/related" => related(content_type, body)?,
            _ => Self::Other { content_type: content_type.to_owned(), body: body.clone() },
        })
    }

    /// Reads a body of which the content type is not known: an XML document by its root element, a
    /// message summary by its first line.
    ///
    /// # Errors
    /// If it is none that is known here, or not what its root element says.
    pub fn detect(body: &Bytes) -> Result<Self, ParseError> {
        if !body.trim_ascii_start().starts_with(b"<") && !body.starts_with(b"\xEF\xBB\xBF") {
            return Ok(Self::MessageSummary(MessageSummary::parse(body)?));
        }
        let (root, _) = xml::read(body)?;
        let content_type = match (root.namespace(), root.name()) {
            (namespace::PIDF, "presence") => Presence::CONTENT_TYPE,
            (namespace::WATCHERINFO, "watcherinfo") => WatcherInfo::CONTENT_TYPE,
            (namespace::RLMI, "list") => ResourceList::CONTENT_TYPE,
            (namespace::RESOURCE_LISTS, "resource-lists") => ResourceLists::CONTENT_TYPE,
            (namespace::DIALOG_INFO, "dialog-info") => DialogInfo::CONTENT_TYPE,
            (namespace::CONFERENCE_INFO, "conference-info") => ConferenceInfo::CONTENT_TYPE,
            (namespace::REGINFO, "reginfo") => RegInfo::CONTENT_TYPE,
            _ => {
                let what = "the root element of an event body";
                return Err(ParseError::new(root.at(), ParseErrorKind::Root, what));
            }
        };
        Self::parse(content_type, body)
    }

    /// Its content type and bytes. `seed` makes the boundary between parts.
    #[must_use]
    pub fn to_bytes(&self, seed: u64) -> (String, Bytes) {
        let (content_type, text) = match self {
            Self::Empty => return (String::new(), Bytes::new()),
            Self::Other { content_type, body } => return (content_type.clone(), body.clone()),
            Self::List { list, parts } if parts.is_empty() => (ResourceList::CONTENT_TYPE, list.to_xml()),
            Self::List { parts, .. } => {
                let (body, boundary) = multipart::join(parts, seed);
                let content_type = format!(
                    "multipart/related;type=\"{}\";boundary=\"{boundary}\"",
                    ResourceList::CONTENT_TYPE
                );
                return (content_type, body);
            }
            Self::Presence(presence) => (Presence::CONTENT_TYPE, presence.to_xml()),
            Self::WatcherInfo(watchers) => (WatcherInfo::CONTENT_TYPE, watchers.to_xml()),
            Self::ResourceLists(lists) => (ResourceLists::CONTENT_TYPE, lists.to_xml()),
            Self::MessageSummary(summary) => (MessageSummary::CONTENT_TYPE, summary.to_string()),
            Self::DialogInfo(dialogs) => (DialogInfo::CONTENT_TYPE, dialogs.to_xml()),
            Self::ConferenceInfo(conference) => (ConferenceInfo::CONTENT_TYPE, conference.to_xml()),
            Self::RegInfo(registrations) => (RegInfo::CONTENT_TYPE, registrations.to_xml()),
        };
        (content_type.to_owned(), Bytes::from(text))
    }

    /// The kind, in a word: `presence`, `dialog-info`, …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Presence(_) => "presence",
            Self::WatcherInfo(_) => "watcherinfo",
            Self::List { .. } => "list",
            Self::ResourceLists(_) => "resource-lists",
            Self::MessageSummary(_) => "message-summary",
            Self::DialogInfo(_) => "dialog-info",
            Self::ConferenceInfo(_) => "conference-info",
            Self::RegInfo(_) => "reginfo",
            Self::Other { .. } => "other",
        }
    }
}

macro_rules! bodies {
    ($($name:ident),+) => {$(
        impl From<$name> for EventBody {
            fn from(body: $name) -> Self {
                Self::$name(body)
            }
        }
    )+};
}

bodies!(Presence, WatcherInfo, ResourceLists, MessageSummary, DialogInfo, ConferenceInfo, RegInfo);

/// RFC 4662 §5.3: the root is the part that `start` names, else the first.
fn related(content_type: &str, body: &Bytes) -> Result<EventBody, ParseError> {
    let bad = |what: &'static str| ParseError::new(0, ParseErrorKind::Value, what);
    let media_type = MediaType::new(content_type).map_err(|_| bad("a media type"))?;
    let boundary = media_type.boundary().ok_or_else(|| bad("a boundary in the content type"))?;
    let parts = multipart::split(body, &boundary)?;
    let start = media_type.params.find("start").and_then(|start| start.unquoted());
    let named = start.as_deref().map(|id| id.trim_start_matches('<').trim_end_matches('>'));
    let root = match named {
        Some(id) => parts.iter().find(|part| part.content_id.as_deref() == Some(id)),
        None => parts.first(),
    };
    let root = root.ok_or_else(|| ParseError::new(0, ParseErrorKind::Missing, "the root of the parts"))?;
    let kind = root.content_type.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(ResourceList::CONTENT_TYPE) {
        return Ok(EventBody::Other { content_type: content_type.to_owned(), body: body.clone() });
    }
    let list = ResourceList::parse(&root.body)?;
    Ok(EventBody::List { list, parts })
}
