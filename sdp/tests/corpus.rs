//! Descriptions that others wrote.

use std::path::{Path, PathBuf};

use sdp::attribute::{IceUfrag, Mid, Ptime, Rtcp, RtcpMux, RtpMap, Setup};
use sdp::{
    Attribute, Codec, Direction, MediaDescription, Negotiator, Origin, Protocol, SessionDescription,
    effective_direction, negotiate_codecs,
};

fn own(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder)
}

/// Material that may not be copied here stands beside the checkout, if it is there.
fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/sdp").join(folder);
    if !path.exists() {
        eprintln!("LEFT OUT: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "sdp") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{}", folder.display());
    found
}

fn read(path: &Path) -> SessionDescription {
    let bytes = std::fs::read(path).expect("a file");
    SessionDescription::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each parses, prints back as it came, and also prints to the same after a change.
fn survive(folder: &Path) {
    for path in files(folder) {
        let bytes = std::fs::read(&path).expect("a file");
        let description = read(&path);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            assert_eq!(description.to_string(), text, "{}", path.display());
        }
        sdp::fuzzing::description(&bytes);
    }
}

#[test]
fn descriptions_of_rfcs() {
    survive(&own("rfc"));
    survive(&own("rfc4317"));
}

#[test]
fn descriptions_of_peers() {
    for folder in ["sdp-transform", "webrtc-sdp", "sofia-sip"] {
        if let Some(folder) = shared(folder) {
            survive(&folder);
        }
    }
}

#[test]
fn fuzz_seeds_of_peers() {
    for folder in ["janus-fuzz", "pjproject-fuzz"] {
        let Some(folder) = shared(folder) else { continue };
        for path in files(&folder) {
            sdp::fuzzing::description(&std::fs::read(&path).expect("a file"));
        }
    }
}

#[test]
fn every_prefix_is_judged_without_harm() {
    for path in files(&own("rfc")).iter().step_by(10) {
        let bytes = std::fs::read(path).expect("a file");
        for length in 0..bytes.len() {
            sdp::fuzzing::description(&bytes[..length]);
        }
    }
}

/// Strict reading finds nothing wrong in what RFC 4317 and RFC 8866-era documents print in full.
#[test]
fn rfc_4317_is_strictly_right() {
    for path in files(&own("rfc4317")) {
        let bytes = std::fs::read(&path).expect("a file");
        if let Err(error) = SessionDescription::parse_strict(&bytes) {
            panic!("{}: {error}", path.display());
        }
    }
}

/// Where it is the other that is wrong, or the file.
const NOT_COMPARED: [(&str, &str); 16] = [
    ("rfc/rfc4568_01.sdp", "the line break of the print ate a space in a=crypto"),
    ("rfc/rfc4568_02.sdp", "the line break of the print ate a space in a=crypto"),
    ("rfc/rfc4568_03.sdp", "the line break of the print ate a space in a=crypto"),
    ("rfc/rfc5124_01.sdp", "the a=crypto printed there has no tag"),
    ("rfc/rfc8839_03.sdp", "the line break of the print ate a space in a=candidate"),
    ("rfc/rfc6284_01.sdp", "the notes of the print stand in the lines"),
    ("rfc/rfc6787_10.sdp", "two spaces in m=, which it counts as an empty word"),
    ("rfc/rfc6787_11.sdp", "two spaces in m=, which it counts as an empty word"),
    ("rfc/rfc6787_12.sdp", "two spaces in m=, which it counts as an empty word"),
    ("rfc/rfc6787_13.sdp", "two spaces in m=, which it counts as an empty word"),
    ("rfc/rfc7195_01.sdp", "it knows no c=PSTN"),
    ("rfc/rfc7195_02.sdp", "it knows no c=PSTN"),
    ("rfc/rfc7195_03.sdp", "it knows no c=PSTN"),
    ("sofia-sip/message-9.sdp", "it knows no number of ports in m="),
    ("sofia-sip/message-10.sdp", "it knows no number of ports in m="),
    ("webrtc-sdp/06.sdp", "it knows no number of ports in m="),
];

/// What sdp-transform makes of the same files.
#[test]
fn agrees_with_sdp_transform() {
    let Some(oracle) = shared("sdp-transform_oracle.json") else { return };
    let folder = oracle.parent().expect("a folder").to_owned();
    let oracle: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&oracle).expect("a file")).expect("the oracle is JSON");
    let (mut compared, mut wrong) = (0, Vec::new());
    for (name, want) in oracle.as_object().expect("one object") {
        if NOT_COMPARED.iter().any(|(file, _)| file == name) {
            continue;
        }
        let Ok(bytes) = std::fs::read(folder.join(name)) else { continue };
        // It takes lines apart at LF or CR and skips what is no line; where we refuse, there is no comparison.
        let Ok(description) = SessionDescription::parse(&bytes) else { continue };
        let empty = Vec::new();
        let media = want["media"].as_array().unwrap_or(&empty);
        if description.defects().iter().any(|defect| defect.kind != sdp::ErrorKind::Missing) {
            continue;
        }
        compared += 1;
        if media.len() != description.media.len() {
            wrong.push(format!("{name}: {} streams, not {}", description.media.len(), media.len()));
            continue;
        }
        for (index, (ours, want)) in description.media.iter().zip(media).enumerate() {
            let differences = compare(ours, want);
            if !differences.is_empty() {
                wrong.push(format!("{name}, stream {index}: {}", differences.join(", ")));
            }
        }
        if let Some(id) = number(&want["origin"]["sessionId"])
            && description.origin.session_id.as_u64() != Some(id)
        {
            wrong.push(format!("{name}: session id {}", description.origin.session_id));
        }
        if let Some(address) = want["connection"].as_str() {
            // It leaves the TTL with the address.
            let ours = description.connection.as_ref().map(|c| c.to_string());
            if !ours.as_deref().is_some_and(|ours| ours.ends_with(&format!(" {address}"))) {
                wrong.push(format!("{name}: c= {ours:?}, not {address}"));
            }
        }
    }
    assert!(compared > 250, "only {compared} compared");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
}

/// JavaScript keeps large numbers as text.
fn number(value: &serde_json::Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

fn compare(ours: &MediaDescription, want: &serde_json::Value) -> Vec<String> {
    let mut differences = Vec::new();
    let mut check = |what: &str, ours: Option<String>, want: Option<String>| {
        if ours != want {
            differences.push(format!("{what}: {ours:?}, not {want:?}"));
        }
    };
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    check("type", Some(ours.media.to_string()), text(&want["type"]));
    check("port", Some(ours.port.to_string()), text(&want["port"]));
    check("protocol", Some(ours.protocol.to_string()), text(&want["protocol"]));
    check("payloads", Some(ours.formats.to_string()), text(&want["payloads"]));
    // It keeps the last of several; where there are several there is no comparison.
    let count = |name: &str| ours.attributes.values(name).count();
    let directions = ours.attributes.iter().filter(|one| Direction::is_named(one.name)).count();
    if directions <= 1 {
        let direction = ours.attributes.find::<Direction>();
        check("direction", direction.map(|direction| direction.to_string()), text(&want["direction"]));
    }
    if ours.connections.len() <= 1 {
        let connection = ours.connections.first().map(|connection| connection.to_string());
        let connection = connection.and_then(|text| text.rsplit(' ').next().map(str::to_owned));
        check("connection", connection, text(&want["connection"]));
    }
    if count("mid") <= 1 {
        check("mid", ours.attributes.find::<Mid>().map(|mid| mid.0), text(&want["mid"]));
    }
    if count("setup") <= 1 {
        let setup = ours.attributes.find::<Setup>().map(|setup| setup.to_string());
        check("setup", setup, text(&want["setup"]));
    }
    if count("ice-ufrag") <= 1 {
        check("ufrag", ours.attributes.find::<IceUfrag>().map(|ufrag| ufrag.0), text(&want["iceUfrag"]));
    }
    if count("ptime") <= 1 && want["ptime"].as_f64() != Some(0.0) {
        let ptime = ours.attributes.find::<Ptime>().map(|ptime| ptime.to_string_plain());
        check("ptime", ptime, want["ptime"].as_f64().map(|ptime| ptime.to_string()));
    }
    if count("rtcp") <= 1 {
        check("rtcp", ours.attributes.find::<Rtcp>().map(|rtcp| rtcp.port.to_string()), text(&want["rtcp"]));
    }
    let mux = ours.attributes.find::<RtcpMux>().is_some();
    check("rtcp-mux", Some(mux.to_string()), text(&want["rtcpMux"]));
    check("crypto", Some(count("crypto").to_string()), text(&want["crypto"]));
    check("candidates", Some(count("candidate").to_string()), text(&want["candidates"]));
    if ours.protocol.is_rtp() {
        let maps: Vec<_> = ours.attributes.all::<RtpMap>().collect();
        let empty = Vec::new();
        let want = want["rtp"].as_array().unwrap_or(&empty);
        check("rtpmaps", Some(maps.len().to_string()), Some(want.len().to_string()));
        for (map, want) in maps.into_iter().zip(want) {
            let Ok(map) = map else { continue };
            check("payload type", Some(map.payload_type.to_string()), text(&want[0]));
            check("encoding", Some(map.name), text(&want[1]));
            check("clock rate", Some(map.clock_rate.to_string()), text(&want[2]));
            check("channels", map.channels.map(|channels| channels.to_string()), text(&want[3]));
        }
    }
    differences
}

trait Plain {
    fn to_string_plain(&self) -> String;
}

impl Plain for Ptime {
    fn to_string_plain(&self) -> String {
        self.0.to_string()
    }
}

fn exchange(section: &str, file: &str) -> SessionDescription {
    read(&own("rfc4317").join(section).join(file))
}

const EXCHANGES: [(&str, &str, &str); 14] = [
    ("2.1", "01_offer.sdp", "02_answer.sdp"),
    ("2.2", "01_offer.sdp", "02_answer.sdp"),
    ("2.2", "03_second-offer.sdp", "04_second-answer.sdp"),
    ("2.4", "01_offer.sdp", "02_answer.sdp"),
    ("2.6", "01_offer.sdp", "02_answer.sdp"),
    ("2.8", "01_offer.sdp", "02_answer.sdp"),
    ("3.1", "01_offer.sdp", "02_answer.sdp"),
    ("3.1", "03_second-offer.sdp", "04_second-answer.sdp"),
    ("4.1", "01_offer.sdp", "02_answer.sdp"),
    ("4.1", "03_second-offer.sdp", "04_second-answer.sdp"),
    ("4.2", "01_offer.sdp", "02_answer.sdp"),
    ("4.2", "03_second-offer.sdp", "04_second-answer.sdp"),
    ("5.1", "01_offer.sdp", "02_answer.sdp"),
    ("5.1", "03_second-offer.sdp", "04_second-answer.sdp"),
];

/// RFC 4317: with Bob's codecs as what we support, our answer has the formats, the refusals and the directions
/// of his.
#[test]
fn rfc_4317_our_answers_are_bobs() {
    for (section, offer, answer) in EXCHANGES {
        let (offer, bob) = (exchange(section, offer), exchange(section, answer));
        let mut ours = SessionDescription::answer_to(&offer, bob.origin.clone());
        for ((media, offered), bobs) in ours.media.iter_mut().zip(&offer.media).zip(&bob.media) {
            if bobs.is_rejected() || offered.is_rejected() {
                continue;
            }
            let supported: Vec<Codec> = bobs.rtp_codecs();
            let codecs: Vec<_> = negotiate_codecs(&offered.rtp_codecs(), &supported)
                .into_iter()
                .map(|one| one.answer)
                .collect();
            media.port = bobs.port;
            media.set_rtp_codecs(&codecs).expect("codecs that were read");
            let direction = offered.direction(&offer).answer(bobs.direction(&bob));
            media.attributes.set(&direction).expect("a flag");
        }
        assert_eq!(ours.media.len(), bob.media.len(), "{section}");
        for (index, (ours_media, bobs)) in ours.media.iter().zip(&bob.media).enumerate() {
            assert_eq!(ours_media.port, bobs.port, "{section}, stream {index}");
            assert_eq!(ours_media.media, bobs.media, "{section}, stream {index}");
            assert_eq!(ours_media.protocol, bobs.protocol, "{section}, stream {index}");
            if bobs.port != 0 {
                assert_eq!(ours_media.formats, bobs.formats, "{section}, stream {index}");
                assert_eq!(ours_media.rtp_codecs(), bobs.rtp_codecs(), "{section}, stream {index}");
                assert_eq!(ours_media.direction(&ours), bobs.direction(&bob), "{section}, stream {index}");
            }
        }
        let mut negotiator = Negotiator::new();
        negotiator.remote_offer(offer).expect("an offer of RFC 4317");
        negotiator.local_answer(ours).expect("our answer");
    }
}

/// RFC 4317: both ends take the exchanges as printed, one after the other, and Alice's versions go up as
/// printed.
#[test]
fn rfc_4317_exchanges_are_taken() {
    for section in ["2.1", "2.2", "2.4", "2.6", "2.8", "3.1", "4.1", "4.2", "5.1"] {
        let (mut alice, mut bob) = (Negotiator::new(), Negotiator::new());
        let (mut alice_made, mut bob_made) = (None::<Origin>, None::<Origin>);
        for (_, offer, answer) in EXCHANGES.iter().filter(|(of, ..)| *of == section) {
            // RFC 4317 §3.1: Bob sends the second offer there; who made it tells.
            let (offer, answer) = (exchange(section, offer), exchange(section, answer));
            let by_alice = alice_made.as_ref().is_none_or(|made| made.username == offer.origin.username);
            let (one, other) = if by_alice { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
            let made =
                if by_alice { (&mut alice_made, &mut bob_made) } else { (&mut bob_made, &mut alice_made) };
            let sent =
                one.local_offer(offer.clone()).unwrap_or_else(|error| panic!("{section}: {error}")).clone();
            assert_eq!(sent.origin.session_version, offer.origin.session_version, "{section}");
            other.remote_offer(offer.clone()).unwrap_or_else(|error| panic!("{section}: {error}"));
            let sent =
                other.local_answer(answer.clone()).unwrap_or_else(|error| panic!("{section}: {error}"));
            assert_eq!(sent.origin.session_version, answer.origin.session_version, "{section}");
            one.remote_answer(answer.clone()).unwrap_or_else(|error| panic!("{section}: {error}"));
            *made.0 = Some(offer.origin.clone());
            *made.1 = Some(answer.origin.clone());
            for index in 0..offer.media.len() {
                let here = effective_direction(&offer, &answer, index);
                let there = effective_direction(&answer, &offer, index);
                assert_eq!(here.map(Direction::reversed), there, "{section}, stream {index}");
            }
        }
    }
}

/// RFC 4975 §4.1 and RFC 5547: streams that are not RTP.
#[test]
fn msrp_descriptions() {
    for path in files(&own("rfc")) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.starts_with("rfc4975") && !name.starts_with("rfc5547") {
            continue;
        }
        for media in &read(&path).media {
            assert_eq!(media.protocol, Protocol::TcpMsrp, "{name}");
            assert_eq!(media.formats.as_str(), "*", "{name}");
            assert!(media.rtp_codecs().is_empty(), "{name}");
            if media.port != 0 {
                assert!(media.attributes.contains("path"), "{name}");
            }
        }
    }
}
