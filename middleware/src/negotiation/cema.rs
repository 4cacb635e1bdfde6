//! Where MSRP connects to: the path, or the c= and m= lines (RFC 6714).
//!
//! A middlebox that carries media rewrites the c= and m= lines and leaves the path alone, for the path stands in every
//! message. Both sides that know `a=msrp-cema` connect to where the lines lead; what is said over the connection
//! names the path as ever.
//!
//! Names are not resolved here: one that stands beside an address is taken for it if the ports are the same.

use std::net::IpAddr;

use msrp_cpim::MsrpUri;
use sdp::attribute::{MsrpCema, Setup};
use sdp::{Address, Connection, MediaDescription, SessionDescription};

use super::chat::LocalChat;
use crate::session::MsrpPlace;

/// RFC 4145 §4.1: the port of who can't be connected to.
const DISCARD: u16 = 9;

/// What an exchange comes to for a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// Whether we connect (else we wait for the connection).
    pub(super) active: bool,
    /// Where to, if not to the peer's path.
    pub(super) place: Option<MsrpPlace>,
    /// Whether the answer says that we know of this.
    pub(super) said: bool,
    /// Whether nothing comes of it but by another offer, without the attribute.
    pub(super) again: bool,
}

impl Way {
    /// As `a=setup` has it in an answer.
    pub(super) fn setup(&self) -> Setup {
        if self.active { Setup::Active } else { Setup::Passive }
    }
}

/// Whether an offer's lines may lead elsewhere than its path. RFC 6714 §4.3: not without the attribute, for then
/// something on the way has changed them that can't carry MSRP. A path over relays is connected to by its URIs,
/// whatever the lines say: clients of relays that know nothing of this write their own address there. A path that was
/// agreed on `before` stands, wherever its owner has moved meanwhile.
pub(super) fn is_acceptable(
    session: &SessionDescription,
    offered: &MediaDescription,
    before: Option<&MediaDescription>,
) -> bool {
    let path = path(offered);
    let stands = || before.is_some_and(|b| b.attributes.value("path") == offered.attributes.value("path"));
    is_said(offered) || path.len() > 1 || differing(session, offered, &path).is_none() || stands()
}

/// Answers an offer: RFC 6135 §4.2.2 and RFC 6714 §4.3.
pub(super) fn answer(session: &SessionDescription, offered: &MediaDescription, local: &LocalChat) -> Way {
    let (path, setup) = (path(offered), offered.attributes.find::<Setup>());
    let elsewhere = differing(session, offered, &path);
    let offerer_has_relay = path.len() > 1;
    let offerer_connects = !matches!(setup, Some(Setup::ActPass | Setup::Passive));
    let said = match (offerer_has_relay, local.has_relay()) {
        (true, true) => false,
        (true, false) => !offerer_connects,
        (false, true) => setup != Some(Setup::Passive),
        (false, false) => true,
    };
    let known = said && is_said(offered) && !local.has_relay();
    // Without a reason to connect ourselves the answerer waits; by RFC 4975 §5.4 the offerer connects anyway.
    // RFC 6714 §4.1: a relay of the offerer would not pass through what stands between us.
    let relay_is_behind = known && offerer_has_relay && setup == Some(Setup::ActPass) && elsewhere.is_some();
    let active = setup == Some(Setup::Passive) || relay_is_behind;
    Way { active, place: elsewhere.filter(|_| active && known), said, again: false }
}

/// What an answer to our offer comes to: RFC 6135 §4.2.2 and RFC 6714 §4.2.
pub(super) fn answered(
    offered: &MediaDescription,
    session: &SessionDescription,
    answered: &MediaDescription,
    local: &LocalChat,
) -> Way {
    let path = path(answered);
    let active = answered.attributes.find::<Setup>() != Some(Setup::Active);
    if !is_said(offered) {
        return Way { active, ..Way::default() };
    }
    let elsewhere = differing(session, answered, &path);
    let said = is_said(answered);
    let relay = local.has_relay();
    let unsure = !active || relay || path.len() > 1;
    let again = !said && unsure && elsewhere.is_some();
    Way { active, place: elsewhere.filter(|_| active && !relay && !again), said, again }
}

/// Writes what an m-line of ours has to say: the attribute, and the c= line where the path leads (RFC 4975 §8.1;
/// with a relay, to the relay: RFC 6714 §4.2).
pub(super) fn describe(media: &mut MediaDescription, local: &LocalChat, said: bool) {
    if let Some(address) = local.host().and_then(|host| Address::new(host).ok()) {
        media.connections = vec![Connection::from(address)];
    }
    if said {
        media.attributes.push(&MsrpCema).expect("a flag fits its line");
    }
}

fn is_said(media: &MediaDescription) -> bool {
    media.attributes.contains("msrp-cema")
}

fn path(media: &MediaDescription) -> Vec<MsrpUri> {
    media.attributes.value("path").and_then(|path| MsrpUri::parse_path(path).ok()).unwrap_or_default()
}

/// Where the lines lead, if that is not where a URI of the path leads (RFC 6714 §4.4).
fn differing(session: &SessionDescription, media: &MediaDescription, path: &[MsrpUri]) -> Option<MsrpPlace> {
    let address = media.address(session)?;
    let place = MsrpPlace { host: address.host.to_string(), port: media.port };
    // Lines that lead nowhere say nothing: who is on hold by RFC 2543, or only connects itself (RFC 6135 §4.2.2).
    if address.is_unspecified() || matches!(place.port, 0 | DISCARD) {
        return None;
    }
    (!path.iter().any(|uri| leads_to(uri, &place))).then_some(place)
}

fn leads_to(uri: &MsrpUri, place: &MsrpPlace) -> bool {
    if uri.port.unwrap_or(super::chat::DEFAULT_PORT) != place.port {
        return false;
    }
    match (uri.host.parse::<IpAddr>(), place.host.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), Err(_)) => uri.host.eq_ignore_ascii_case(&place.host),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECT: &str = "msrp://192.0.2.1:7777/iau39;tcp";
    const RELAYED: &str = "msrp://192.0.2.9:2855/r8x;tcp msrp://192.0.2.1:7777/iau39;tcp";

    fn read(host: &str, port: u16, path: &str, attributes: &str) -> SessionDescription {
        let more: String = attributes.split_whitespace().map(|text| format!("a={text}\r\n")).collect();
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n\
             m=message {port} TCP/MSRP *\r\na=accept-types:*\r\na=path:{path}\r\n{more}"
        );
        SessionDescription::parse(text.as_bytes()).expect("a description")
    }

    fn local(path: &str) -> LocalChat {
        LocalChat { path: path.to_owned(), fingerprint: None }
    }

    fn to(host: &str, port: u16) -> Option<MsrpPlace> {
        Some(MsrpPlace { host: host.to_owned(), port })
    }

    /// RFC 6714 §4.3: (c=, port, path, attributes, our path) and what it comes to: (active, place, said).
    #[test]
    fn offers_are_answered_by_the_rules() {
        type Case<'c> = (&'c str, u16, &'c str, &'c str, &'c str, (bool, Option<MsrpPlace>, bool));
        let cases: [Case<'_>; 11] = [
            ("192.0.2.1", 7777, DIRECT, "setup:actpass msrp-cema", DIRECT, (false, None, true)),
            ("198.51.100.7", 9000, DIRECT, "setup:actpass msrp-cema", DIRECT, (false, None, true)),
            (
                "198.51.100.7",
                9000,
                DIRECT,
                "setup:passive msrp-cema",
                DIRECT,
                (true, to("198.51.100.7", 9000), true),
            ),
            ("192.0.2.1", 7777, DIRECT, "setup:passive msrp-cema", DIRECT, (true, None, true)),
            // Behind a middlebox there is a relay of the offerer: it is better that we connect.
            (
                "198.51.100.7",
                9000,
                RELAYED,
                "setup:actpass msrp-cema",
                DIRECT,
                (true, to("198.51.100.7", 9000), true),
            ),
            ("192.0.2.9", 2855, RELAYED, "setup:actpass msrp-cema", DIRECT, (false, None, true)),
            // Both have relays; the offerer has one and connects; we have one and can't wait.
            ("192.0.2.9", 2855, RELAYED, "setup:actpass msrp-cema", RELAYED, (false, None, false)),
            ("192.0.2.9", 2855, RELAYED, "msrp-cema", DIRECT, (false, None, false)),
            ("198.51.100.7", 9000, DIRECT, "setup:passive msrp-cema", RELAYED, (true, None, false)),
            ("198.51.100.7", 9000, DIRECT, "setup:actpass msrp-cema", RELAYED, (false, None, true)),
            // RFC 6135 §4.2.1: holdconn is as nothing.
            ("192.0.2.1", 7777, DIRECT, "setup:holdconn", DIRECT, (false, None, true)),
        ];
        for (host, port, path, attributes, ours, expected) in cases {
            let offer = read(host, port, path, attributes);
            assert!(is_acceptable(&offer, &offer.media[0], None), "{host} {attributes}");
            let Way { active, place, said, again } = answer(&offer, &offer.media[0], &local(ours));
            assert_eq!((active, place, said), expected, "{host} {path} {attributes} for {ours}");
            assert!(!again);
        }
    }

    #[test]
    fn lines_that_something_changed_are_refused_without_the_attribute() {
        for (host, port, path, attributes, acceptable) in [
            ("198.51.100.7", 7777, DIRECT, "setup:actpass", false),
            ("192.0.2.1", 9000, DIRECT, "", false),
            ("198.51.100.7", 9000, DIRECT, "msrp-cema", true),
            ("192.0.2.1", 7777, DIRECT, "", true),
            // On hold by RFC 2543; the port of who only connects itself; a relay's client.
            ("0.0.0.0", 7777, DIRECT, "", true),
            ("198.51.100.7", 9, DIRECT, "setup:active", true),
            ("192.0.2.1", 2855, RELAYED, "", true),
            // Names are not resolved here.
            ("alice.example.com", 7777, DIRECT, "", true),
            ("alice.example.com", 7777, "msrp://Alice.example.com:7777/iau39;tcp", "", true),
            ("alice.example.com", 7777, "msrp://bob.example.com:7777/iau39;tcp", "", false),
            ("alice.example.com", 7778, DIRECT, "", false),
        ] {
            let offer = read(host, port, path, attributes);
            let judged = |before| is_acceptable(&offer, &offer.media[0], before);
            assert_eq!(judged(None), acceptable, "{host}:{port} {path} {attributes}");
            assert!(judged(Some(&offer.media[0])), "it was agreed on before");
        }
    }

    /// RFC 6714 §4.2: (c=, port, path, attributes, our path) and what it comes to: (active, place, again).
    #[test]
    fn answers_are_read_by_the_rules() {
        type Case<'c> = (&'c str, u16, &'c str, &'c str, &'c str, (bool, Option<MsrpPlace>, bool));
        let elsewhere = || to("198.51.100.7", 9000);
        let cases: [Case<'_>; 12] = [
            ("192.0.2.1", 7777, DIRECT, "setup:passive msrp-cema", DIRECT, (true, None, false)),
            ("198.51.100.7", 9000, DIRECT, "setup:passive msrp-cema", DIRECT, (true, elsewhere(), false)),
            ("198.51.100.7", 9000, DIRECT, "setup:active msrp-cema", DIRECT, (false, None, false)),
            ("198.51.100.7", 9000, RELAYED, "setup:passive msrp-cema", DIRECT, (true, elsewhere(), false)),
            ("192.0.2.9", 2855, RELAYED, "setup:passive msrp-cema", DIRECT, (true, None, false)),
            ("198.51.100.7", 9000, DIRECT, "setup:passive msrp-cema", RELAYED, (true, None, false)),
            // None of the criteria is met: a peer that waits need not know of this.
            ("198.51.100.7", 9000, DIRECT, "setup:passive", DIRECT, (true, elsewhere(), false)),
            ("198.51.100.7", 9000, DIRECT, "", DIRECT, (true, elsewhere(), false)),
            // The criteria 1, 2 and 3.
            ("198.51.100.7", 9000, DIRECT, "setup:active", DIRECT, (false, None, true)),
            ("198.51.100.7", 9000, DIRECT, "setup:passive", RELAYED, (true, None, true)),
            ("198.51.100.7", 9000, RELAYED, "setup:passive", DIRECT, (true, None, true)),
            ("192.0.2.1", 7777, DIRECT, "setup:active", RELAYED, (false, None, false)),
        ];
        for (host, port, path, attributes, ours, expected) in cases {
            let answer = read(host, port, path, attributes);
            let offer = |attributes| read("192.0.2.2", 8888, ours, attributes).media.remove(0);
            let judge = |offered| answered(&offered, &answer, &answer.media[0], &local(ours));
            let Way { active, place, again, .. } = judge(offer("msrp-cema"));
            assert_eq!((active, place, again), expected, "{host} {path} {attributes} for {ours}");
            // Without our word it is as RFC 4975 has it.
            assert_eq!(judge(offer("")), Way { active, ..Way::default() });
        }
    }
}
