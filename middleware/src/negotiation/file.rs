//! The m-line of a file transfer (RFC 5547): offered, answered and read.

use std::time::Duration;

use msrp_cpim::file::{FileDescription, FileIcon, FileRange, FileSelector, FileType, safe_name};
use sdp::attribute::{Direction, Setup};
use sdp::{MediaDescription, MediaKind, Protocol, SessionDescription};

use super::chat::{LocalChat, media_type_matches, remote_path};
use super::{Negotiated, cema};
use crate::configuration::MsrpConfiguration;
use crate::session::{FileDirection, FileInfo, FileParameters, ProposedFile, StreamId};

/// A file transfer's local side.
#[derive(Clone, Debug)]
pub(crate) struct LocalFile {
    pub(crate) stream: StreamId,
    /// The peer's m-line that it is for; `None` where the offer is ours.
    pub(crate) line: Option<usize>,
    pub(crate) transfer_id: String,
    pub(crate) direction: FileDirection,
    pub(crate) info: FileInfo,
    pub(crate) offset: u64,
    /// Whether the receiver should show it at once.
    pub(crate) render: bool,
    /// The `Content-ID` of its icon, where the offer's message has it.
    pub(crate) icon: Option<String>,
    /// Path and fingerprint.
    pub(crate) end: LocalChat,
}

/// Whether an m-line is about a file.
pub(super) fn is_file(media: &MediaDescription) -> bool {
    media.media == MediaKind::Message && media.attributes.contains("file-selector")
}

/// What the peer's offer of an m-line proposes; `None` if it can't be taken.
pub(super) fn proposed(
    index: usize,
    session: &SessionDescription,
    offered: &MediaDescription,
    config: &MsrpConfiguration,
) -> Option<ProposedFile> {
    if offered.is_rejected() || !offered.protocol.is_msrp() || !cema::is_acceptable(session, offered, None) {
        return None;
    }
    remote_path(offered)?;
    let description = description(offered)?;
    let direction = match offered.attributes.find::<Direction>().unwrap_or(Direction::SendRecv) {
        Direction::SendOnly | Direction::SendRecv => FileDirection::Incoming,
        Direction::RecvOnly => FileDirection::Outgoing,
        Direction::Inactive => return None,
    };
    let range = description.range;
    // A part with an end of its own would be another file.
    if range.is_some_and(|range| range.stop().is_some_and(|stop| Some(stop) != description.selector.size)) {
        return None;
    }
    let too_large = description.selector.size.is_some_and(|size| size > config.max_file_size);
    match direction {
        FileDirection::Incoming if too_large => return None,
        FileDirection::Outgoing if config.shared_folder.is_none() || description.selector.is_empty() => {
            return None;
        }
        _ => {}
    }
    let transfer_id = description.transfer_id.as_ref().map(ToString::to_string);
    Some(ProposedFile {
        transfer_id: transfer_id.unwrap_or_else(|| format!("line-{index}")),
        direction,
        info: info(&description.selector),
        offset: range.map_or(0, |range| range.offset()),
        icon: None,
    })
}

/// Which part of the message is the file's icon.
pub(super) fn icon(offered: &MediaDescription) -> Option<String> {
    let icon = description(offered)?.icon?.content_id();
    Some(icon.trim_matches(['<', '>']).to_owned())
}

/// An offer's m-line.
pub(super) fn offer(local: &LocalFile, says_cema: bool, config: &MsrpConfiguration) -> MediaDescription {
    let protocol = if local.end.uses_tls() { Protocol::TcpTlsMsrp } else { Protocol::TcpMsrp };
    let range = (local.offset > 0).then(|| FileRange::rest_after(local.offset));
    let described = FileDescription {
        selector: selector(&local.info),
        transfer_id: local.transfer_id.parse().ok(),
        disposition: match (local.direction, local.render) {
            (FileDirection::Incoming, _) => None,
            (FileDirection::Outgoing, true) => Some("render".to_owned()),
            (FileDirection::Outgoing, false) => Some("attachment".to_owned()),
        },
        range,
        icon: local.icon.as_deref().and_then(|id| FileIcon::new(id).ok()),
        ..FileDescription::default()
    };
    describe(local, protocol, (Setup::ActPass, says_cema), &described, config)
}

/// The answer to an offered m-line, and what it comes to. `None`: it can't be taken.
pub(super) fn answer(
    session: &SessionDescription,
    offered: &MediaDescription,
    local: &LocalFile,
    config: &MsrpConfiguration,
) -> Option<(MediaDescription, Negotiated)> {
    if offered.is_rejected() {
        return None;
    }
    let mut parameters = read(offered, local)?;
    let description = description(offered)?;
    // RFC 5547 §8.1: what was agreed on and names another transfer now is another transfer.
    if description.transfer_id.as_ref().is_some_and(|id| id.as_str() != local.transfer_id) {
        return None;
    }
    let way = cema::answer(session, offered, &local.end);
    let said = (way.setup(), way.said);
    (parameters.active, parameters.remote_place) = (way.active, way.place);
    let mut selector = description.selector;
    if local.direction == FileDirection::Outgoing {
        // RFC 5547 §8.3.2: the sender tells the hash, and what the request left open.
        let known = self::selector(&local.info);
        selector.hashes = known.hashes;
        selector.size = selector.size.or(known.size);
        selector.media_type = selector.media_type.or(known.media_type);
        selector.name = selector.name.or(known.name);
    }
    let described = FileDescription {
        selector,
        transfer_id: description.transfer_id,
        range: description.range,
        ..FileDescription::default()
    };
    let media = describe(local, offered.protocol.clone(), said, &described, config);
    Some((media, negotiated(local.stream, parameters)))
}

/// What the answer to our m-line comes to. `None`: the peer refused it, or wants another part of the
/// file, which would make another file of it (RFC 5547 §8.3.1).
pub(super) fn answered(
    offered: &MediaDescription,
    session: &SessionDescription,
    answered: &MediaDescription,
    local: &LocalFile,
) -> Option<Negotiated> {
    if answered.is_rejected() {
        return None;
    }
    let mut parameters = read(answered, local)?;
    let range = description(answered).and_then(|description| description.range);
    if local.offset != range.map_or(local.offset, |range| range.offset()) {
        return None;
    }
    let way = cema::answered(offered, session, answered, &local.end);
    (parameters.active, parameters.remote_place) = (way.active, way.place);
    Some(Negotiated { without_cema: way.again, ..negotiated(local.stream, parameters) })
}

fn negotiated(stream: StreamId, parameters: FileParameters) -> Negotiated {
    Negotiated { files: vec![(stream, parameters)], ..Negotiated::default() }
}

/// What the peer's m-line says; the rest of the parameters are the session's to fill in.
fn read(media: &MediaDescription, local: &LocalFile) -> Option<FileParameters> {
    let path = remote_path(media)?;
    let takes = |kind: &str| {
        let types = media.attributes.value("accept-types").unwrap_or("*");
        types.split_whitespace().any(|accepted| media_type_matches(accepted, kind))
    };
    let kind = local.info.content_type.as_deref().unwrap_or("application/octet-stream");
    let info = description(media).map(|description| info(&description.selector)).unwrap_or_default();
    Some(FileParameters {
        remote_path: path.to_owned(),
        remote_fingerprint: media.attributes.value("fingerprint").map(str::to_owned),
        active: false,
        remote_place: None,
        cpim: local.direction == FileDirection::Outgoing && !takes(kind) && takes("message/cpim"),
        local_uri: String::new(),
        remote_uri: String::new(),
        info,
        remote_max_size: media.attributes.value("max-size").and_then(|size| size.parse().ok()),
        start_timeout: Duration::ZERO,
    })
}

fn description(media: &MediaDescription) -> Option<FileDescription> {
    let attributes = media.attributes.iter().map(|attribute| (attribute.name, attribute.value.unwrap_or("")));
    FileDescription::parse(attributes).ok().flatten()
}

/// What a selector says, in our terms. Of a name only what is safe here is kept.
fn info(selector: &FileSelector) -> FileInfo {
    FileInfo {
        name: selector.name.as_deref().map(safe_name),
        size: selector.size,
        content_type: selector.media_type.as_ref().map(|kind| kind.essence.clone()),
        hashes: selector.hashes.iter().map(ToString::to_string).collect(),
    }
}

/// The selector that asks for what is known.
pub(crate) fn selector(info: &FileInfo) -> FileSelector {
    FileSelector {
        name: info.name.clone().filter(|name| !name.is_empty()),
        media_type: info.content_type.as_deref().and_then(|kind| FileType::new(kind).ok()),
        size: info.size,
        hashes: info.hashes.iter().filter_map(|hash| hash.parse().ok()).collect(),
        other: Vec::new(),
    }
}

fn describe(
    local: &LocalFile,
    protocol: Protocol,
    (setup, says_cema): (Setup, bool),
    described: &FileDescription,
    config: &MsrpConfiguration,
) -> MediaDescription {
    let mut media = MediaDescription::new(MediaKind::Message, local.end.port(), protocol);
    media.formats = sdp::Formats::new(["*"]).expect("a star is a format");
    let receives = local.direction == FileDirection::Incoming;
    let lines = [
        ("path", local.end.path.clone()),
        ("accept-types", "*".to_owned()),
        ("max-size", if receives { config.max_file_size.to_string() } else { String::new() }),
        ("fingerprint", local.end.fingerprint.clone().unwrap_or_default()),
    ];
    for (name, value) in
        lines.into_iter().filter(|(_, value)| !value.is_empty()).chain(described.attributes())
    {
        // A selector with a name that does not fit a line is left shorter by its printer.
        let _ = media.attributes.push_text(name, Some(&value));
    }
    media.attributes.push(&Direction::new(!receives, receives)).expect("our own attributes fit their lines");
    media.attributes.push(&setup).expect("our own attributes fit their lines");
    cema::describe(&mut media, &local.end, says_cema);
    media
}
