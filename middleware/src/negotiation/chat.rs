//! The MSRP chat m-line (RFC 4975 §8): offered, answered and read.

use msrp_cpim::iscomposing;
use sdp::attribute::Setup;
use sdp::{MediaDescription, MediaKind, Protocol, SessionDescription};

use super::{Negotiated, NegotiationError, cema};
use crate::configuration::MsrpConfiguration;
use crate::session::{ChatParameters, Chatroom};

/// The port of a URI without one (RFC 4975 §6).
pub(super) const DEFAULT_PORT: u16 = 2855;

/// A chat stream's local side.
#[derive(Clone, Debug)]
pub(crate) struct LocalChat {
    /// As it goes into `a=path`.
    pub(crate) path: String,
    /// As it goes into `a=fingerprint`, with TLS.
    pub(crate) fingerprint: Option<String>,
}

impl LocalChat {
    /// The port of the first URI, which is where it is to be reached: a relay's, or our own.
    pub(super) fn port(&self) -> u16 {
        self.first().and_then(|uri| uri.port).unwrap_or(DEFAULT_PORT)
    }

    /// The host of the first URI.
    pub(super) fn host(&self) -> Option<String> {
        self.first().map(|uri| uri.host)
    }

    pub(super) fn has_relay(&self) -> bool {
        self.path.split_whitespace().nth(1).is_some()
    }

    fn first(&self) -> Option<msrp_cpim::MsrpUri> {
        self.path.split_whitespace().next().and_then(|uri| uri.parse().ok())
    }

    pub(super) fn uses_tls(&self) -> bool {
        self.path.starts_with("msrps:")
    }
}

/// An offer's m-line.
pub(super) fn offer(local: &LocalChat, says_cema: bool, config: &MsrpConfiguration) -> MediaDescription {
    let protocol = if local.uses_tls() { Protocol::TcpTlsMsrp } else { Protocol::TcpMsrp };
    describe(local, protocol, Setup::ActPass, says_cema, config)
}

/// Whether an offered m-line can be taken: MSRP with a path, and something both can say.
pub(super) fn is_acceptable(
    session: &SessionDescription,
    offered: &MediaDescription,
    before: Option<&MediaDescription>,
    config: &MsrpConfiguration,
) -> bool {
    !offered.is_rejected()
        && offered.protocol.is_msrp()
        && cema::is_acceptable(session, offered, before)
        && read(offered, config).is_some()
}

/// Whether an offered m-line is to be answered with TLS.
pub(super) fn uses_tls(offered: &MediaDescription) -> bool {
    offered.protocol == Protocol::TcpTlsMsrp
}

/// The answer to an offered m-line, and what it comes to. `None`: it can't be taken.
pub(super) fn answer(
    session: &SessionDescription,
    offered: &MediaDescription,
    local: &LocalChat,
    config: &MsrpConfiguration,
) -> Option<(MediaDescription, Negotiated)> {
    let mut parameters = read(offered, config)?;
    let way = cema::answer(session, offered, local);
    let media = describe(local, offered.protocol.clone(), way.setup(), way.said, config);
    (parameters.active, parameters.remote_place) = (way.active, way.place);
    parameters.local_path.clone_from(&local.path);
    Some((media, negotiated(parameters, offered)))
}

/// What the answer to our m-line comes to. `Ok(None)`: the peer refused it.
pub(super) fn answered(
    offered: &MediaDescription,
    session: &SessionDescription,
    answered: &MediaDescription,
    local: &LocalChat,
    config: &MsrpConfiguration,
) -> Result<Option<Negotiated>, NegotiationError> {
    if answered.is_rejected() {
        return Ok(None);
    }
    let Some(mut parameters) = read(answered, config) else {
        return Err(NegotiationError::WrongAnswer("its chat has no usable path".to_owned()));
    };
    let way = cema::answered(offered, session, answered, local);
    (parameters.active, parameters.remote_place) = (way.active, way.place);
    parameters.local_path.clone_from(&local.path);
    Ok(Some(Negotiated { without_cema: way.again, ..negotiated(parameters, answered) }))
}

fn negotiated(chat: ChatParameters, media: &MediaDescription) -> Negotiated {
    Negotiated { chat: Some(chat), chat_transport: media.protocol.to_string(), ..Negotiated::default() }
}

/// The peer's `a=path`, if it is one and fits the transport.
pub(super) fn remote_path(media: &MediaDescription) -> Option<&str> {
    let path = media.attributes.value("path")?;
    let uris = msrp_cpim::MsrpUri::parse_path(path).ok()?;
    let first = uris.first()?;
    (first.secure == (media.protocol == Protocol::TcpTlsMsrp)).then_some(path)
}

/// What the peer's m-line says; the rest of the parameters are the session's to fill in.
fn read(media: &MediaDescription, config: &MsrpConfiguration) -> Option<ChatParameters> {
    let remote_path = remote_path(media)?;
    let accept_types = media.attributes.value("accept-types").unwrap_or("*");
    let takes =
        |kind: &str| accept_types.split_whitespace().any(|accepted| media_type_matches(accepted, kind));
    let cpim = takes("message/cpim");
    if !cpim && !takes("text/plain") {
        return None;
    }
    Some(ChatParameters {
        remote_path: remote_path.to_owned(),
        remote_fingerprint: media.attributes.value("fingerprint").map(str::to_owned),
        cpim,
        accept_types: config.accept_types.clone(),
        accept_wrapped_types: config.accept_wrapped_types.clone(),
        max_message_size: config.max_message_size,
        composing: takes_composing(media, cpim),
        chatroom: chatroom(media),
        ..ChatParameters::default()
    })
}

/// Whether the peer takes notices of who is composing, wrapped or plain as it takes messages.
fn takes_composing(media: &MediaDescription, cpim: bool) -> bool {
    let listed = |name| media.attributes.value(name);
    let takes = |types: &str| {
        types.split_whitespace().any(|accepted| media_type_matches(accepted, iscomposing::CONTENT_TYPE))
    };
    let plain = listed("accept-types").is_none_or(takes);
    // RFC 4975 §8.6: what may stand alone may be wrapped as well.
    plain || (cpim && listed("accept-wrapped-types").is_none_or(takes))
}

/// What a conference says that it can do: RFC 7701 §8.
fn chatroom(media: &MediaDescription) -> Option<Chatroom> {
    let tokens = media.attributes.value("chatroom").unwrap_or_default();
    let has = |token: &str| tokens.split_whitespace().any(|one| one.eq_ignore_ascii_case(token));
    media
        .attributes
        .contains("chatroom")
        .then(|| Chatroom { nickname: has("nickname"), private_messages: has("private-messages") })
}

/// `*`, `text/*` and `text/plain` match `text/plain`.
pub(super) fn media_type_matches(accepted: &str, kind: &str) -> bool {
    if accepted == "*" || accepted.eq_ignore_ascii_case(kind) {
        return true;
    }
    let (Some((accepted, "*")), Some((kind, _))) = (accepted.split_once('/'), kind.split_once('/')) else {
        return false;
    };
    accepted.eq_ignore_ascii_case(kind)
}

fn describe(
    local: &LocalChat,
    protocol: Protocol,
    setup: Setup,
    says_cema: bool,
    config: &MsrpConfiguration,
) -> MediaDescription {
    let mut media = MediaDescription::new(MediaKind::Message, local.port(), protocol);
    media.formats = sdp::Formats::new(["*"]).expect("a star is a format");
    let lines = [
        ("path", local.path.clone()),
        ("accept-types", config.accept_types.join(" ")),
        ("accept-wrapped-types", config.accept_wrapped_types.join(" ")),
        ("max-size", config.max_message_size.to_string()),
        ("fingerprint", local.fingerprint.clone().unwrap_or_default()),
    ];
    for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        media.attributes.push_text(name, Some(&value)).expect("our own attributes fit their lines");
    }
    media.attributes.push(&setup).expect("our own attributes fit their lines");
    cema::describe(&mut media, local, says_cema);
    media
}

#[cfg(test)]
mod tests {
    use super::media_type_matches;

    #[test]
    fn media_types_match_with_wildcards() {
        for accepted in ["*", "text/*", "text/plain", "TEXT/Plain"] {
            assert!(media_type_matches(accepted, "text/plain"), "{accepted}");
        }
        for other in ["message/cpim", "text/html", "image/*", "text"] {
            assert!(!media_type_matches(other, "text/plain"), "{other}");
        }
    }
}
