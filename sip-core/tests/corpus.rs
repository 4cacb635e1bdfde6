//! Messages of others: RFC 4475 and RFC 5118 verdicts, every message printed in RFCs, peers' seeds.

use bytes::Bytes;
use sip_core::{
    Frame, Host, Limits, Message, StreamDecoder, StreamItem,
    header::{CSeq, CallId, Contact, From, MaxForwards, To, TypedHeader, Via},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name)
}

/// Material that is not part of the project.
fn peers(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora").join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("LEFT OUT: no {} here, its messages are not tested", path.display());
    None
}

fn files(folder: &Path) -> Vec<(String, Bytes)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.file_name().expect("a file's name").to_string_lossy().into_owned();
                found.push((name, fs::read(&path).expect("a readable file").into()));
            }
        }
    }
    found.sort();
    found
}

/// What a UAS does: `Ok`, the status it answers, or silence.
fn verdict(bytes: &Bytes) -> Result<Message, Option<u16>> {
    let message = Message::parse(bytes.clone(), &Limits::default()).map_err(|_| None)?;
    match message.validate() {
        Ok(()) => Ok(message),
        Err(refusal) => Err(refusal.status.map(|s| s.code())),
    }
}

/// Prints, reads again and compares; with every header typed where it can be.
fn survives(name: &str, message: &Message) {
    let printed = message.to_bytes();
    let again = Message::parse(printed.clone(), &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(again.to_bytes(), printed, "{name}");
    assert!(again.headers().iter().eq(message.headers().iter()), "{name}");
    // Written anew, field for field, instead of from the bytes that were read.
    let mut rebuilt = message.clone();
    let _ = rebuilt.headers_mut();
    assert_eq!(rebuilt.to_bytes(), printed, "{name}");
    same::<Via>(name, message);
    same::<From>(name, message);
    same::<To>(name, message);
    same::<Contact>(name, message);
    same::<CSeq>(name, message);
    same::<CallId>(name, message);
    same::<MaxForwards>(name, message);
}

/// What a typed header prints is read as the same.
fn same<H: TypedHeader + PartialEq + std::fmt::Debug>(name: &str, message: &Message) {
    for header in message.headers().all::<H>().flatten().filter(|h| !format!("{h:?}").contains("\\0")) {
        assert_eq!(H::parse(&header.to_string()).as_ref(), Ok(&header), "{name}");
    }
}

/// RFC 4475: what must be accepted, and what a UAS answers to the others (`None`: nothing).
const TORTURE: &[(&str, Result<(), Option<u16>>)] = &[
    ("badaspec.dat", Err(Some(400))),
    ("badbranch.dat", Ok(())),
    ("baddate.dat", Ok(())),
    ("baddn.dat", Err(Some(400))),
    ("badinv01.dat", Err(Some(400))),
    ("badvers.dat", Err(Some(505))),
    ("bcast.dat", Ok(())),
    ("bext01.dat", Ok(())),
    ("bigcode.dat", Err(None)),
    ("clerr.dat", Err(Some(400))),
    ("cparam01.dat", Ok(())),
    ("cparam02.dat", Ok(())),
    ("dblreq.dat", Ok(())),
    ("esc01.dat", Ok(())),
    ("esc02.dat", Ok(())),
    ("escnull.dat", Ok(())),
    ("escruri.dat", Err(Some(400))),
    ("insuf.dat", Err(Some(400))),
    ("intmeth.dat", Ok(())),
    ("inv2543.dat", Ok(())),
    ("invut.dat", Ok(())),
    ("longreq.dat", Ok(())),
    ("ltgtruri.dat", Err(Some(400))),
    ("lwsdisp.dat", Ok(())),
    ("lwsruri.dat", Err(Some(400))),
    ("lwsstart.dat", Err(Some(400))),
    ("mcl01.dat", Err(Some(400))),
    ("mismatch01.dat", Err(Some(400))),
    ("mismatch02.dat", Err(Some(400))),
    ("mpart01.dat", Ok(())),
    ("multi01.dat", Err(Some(400))),
    ("ncl.dat", Err(Some(400))),
    ("noreason.dat", Ok(())),
    ("novelsc.dat", Ok(())),
    ("quotbal.dat", Err(Some(400))),
    ("regaut01.dat", Ok(())),
    ("regbadct.dat", Err(Some(400))),
    ("regescrt.dat", Ok(())),
    ("scalar02.dat", Err(Some(400))),
    ("scalarlg.dat", Err(None)),
    ("sdp01.dat", Ok(())),
    ("semiuri.dat", Ok(())),
    ("test.dat", Err(None)),
    ("transports.dat", Ok(())),
    ("trws.dat", Err(Some(400))),
    ("unkscm.dat", Ok(())),
    ("unksm2.dat", Ok(())),
    ("unreason.dat", Ok(())),
    ("wsinv.dat", Ok(())),
    ("zeromf.dat", Ok(())),
];

#[test]
fn torture_verdicts() {
    let messages = files(&folder("rfc4475"));
    assert_eq!(messages.len(), TORTURE.len());
    let mut wrong = Vec::new();
    for ((name, bytes), (expected_name, expected)) in messages.iter().zip(TORTURE) {
        assert_eq!(name, expected_name);
        let found = verdict(bytes);
        if let Ok(message) = &found {
            survives(name, message);
        }
        if found.as_ref().map(drop) != expected.as_ref().map(drop) {
            wrong.push(format!("{name}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn torture_details() {
    let read = |name: &str| {
        let bytes = fs::read(folder("rfc4475").join(name)).expect("the corpus");
        verdict(&bytes.into()).unwrap_or_else(|e| panic!("{name}: {e:?}"))
    };
    let wsinv = read("wsinv.dat");
    let branches: Vec<_> =
        wsinv.headers().all::<Via>().map(|v| v.map(|v| v.branch().map(str::to_owned))).collect();
    let expected = ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"].map(|b| Ok(Some(b.to_owned())));
    assert_eq!(branches, expected);
    assert_eq!(wsinv.headers().text("UnknownHeaderWithUnusualValue"), Some(";;,,;;,;"));
    assert_eq!(wsinv.headers().get::<MaxForwards>(), Some(Ok(MaxForwards(68))));
    let intmeth = read("intmeth.dat");
    let request = intmeth.as_request().expect("a request");
    assert_eq!(request.method().as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
    assert_eq!(request.to().expect("To").display_name.as_deref(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));
    assert_eq!(request.uri().expect("a URI").password(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
    let escnull = read("escnull.dat");
    let users: Vec<_> =
        escnull.headers().all::<Contact>().map(|c| c.ok()?.uri()?.user().map(str::to_owned)).collect();
    assert_eq!(users, [Some("%00".to_owned()), Some("%00%00".to_owned())]);
    let longreq = read("longreq.dat");
    assert_eq!(longreq.headers().all::<Via>().filter(Result::is_ok).count(), 34);
    // RFC 4475 §3.1.2.1.15: what follows the message in a datagram is not a second one.
    assert!(read("dblreq.dat").to_bytes().ends_with(b"Content-Length: 0\r\n\r\n"));
    let bad = read("badbranch.dat");
    assert!(!bad.as_request().and_then(|r| r.via().ok()).expect("a Via").has_rfc3261_branch());
}

#[test]
fn ipv6_verdicts() {
    let messages = files(&folder("rfc5118"));
    assert_eq!(messages.len(), 8);
    for (name, bytes) in &messages {
        let found = verdict(bytes);
        if name == "ipv6-bad.dat" {
            assert_eq!(found.map(drop), Err(Some(400)));
            continue;
        }
        let message = found.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        survives(name, &message);
        let Some(request) = message.as_request() else { continue };
        let uri = request.uri().unwrap_or_else(|e| panic!("{name}: {e}"));
        let ip = |text: &str| Host::Ipv6(text.parse().expect("an address"));
        match name.as_str() {
            "port-ambiguous.dat" => assert_eq!((uri.host(), uri.port()), (&ip("2001:db8::10:5070"), None)),
            "port-unambiguous.dat" => assert_eq!((uri.host(), uri.port()), (&ip("2001:db8::10"), Some(5070))),
            "via-received-param-no-delim.dat" => {
                let received = request.via().expect("a Via").received();
                assert_eq!(received, "2001:db8::9:255".parse().ok());
            }
            _ => {}
        }
    }
}

#[test]
fn messages_printed_in_rfcs() {
    let messages = files(&folder("rfc-messages"));
    assert_eq!(messages.len(), 879);
    let mut wrong = Vec::new();
    for (name, bytes) in &messages {
        match Message::parse(bytes.clone(), &Limits::default()) {
            Ok(message) => {
                if let Err(refusal) = message.validate() {
                    wrong.push(format!("{name}: {refusal}"));
                }
                // All of it comes back, but for what stands behind Content-Length.
                let printed = message.to_bytes();
                assert!(bytes.starts_with(&printed) && bytes.len() - printed.len() <= 2, "{name}");
                survives(name, &message);
            }
            Err(e) => wrong.push(format!("{name}: {e}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), messages.len());
}

#[test]
fn frame_and_message_agree() {
    for (name, bytes) in files(&folder("rfc-messages")) {
        let frame = Frame::parse(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let message =
            Message::parse(bytes.clone(), &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let headers = message.headers();
        let via = headers.get::<Via>().expect("a Via").expect("a good one");
        let from = headers.get::<From>().expect("From").expect("a good one");
        let to = headers.get::<To>().expect("To").expect("a good one");
        let cseq = headers.get::<CSeq>().expect("CSeq").expect("a good one");
        assert_eq!(frame.branch, via.branch(), "{name}");
        assert_eq!((frame.from_tag, frame.to_tag), (from.tag(), to.tag()), "{name}");
        assert_eq!(frame.call_id, headers.text("Call-ID"), "{name}");
        assert_eq!(
            (frame.cseq, frame.cseq_method),
            (Some(cseq.number), Some(cseq.method.as_str())),
            "{name}"
        );
        assert_eq!(frame.method, message.as_request().map(|r| r.method().as_str()), "{name}");
    }
}

#[test]
fn peers_seeds() {
    let Some(folder) = peers("sip-seeds") else { return };
    let mut accepted = 0;
    for (name, bytes) in files(&folder) {
        let found = verdict(&bytes);
        assert!(!(name.starts_with("bad_") && found.is_ok()), "{name} must be refused");
        if let Ok(message) = found {
            accepted += 1;
            survives(&name, &message);
        }
        let mut decoder = StreamDecoder::new(Limits::default());
        for chunk in bytes.chunks(7) {
            decoder.feed(chunk);
            while let Some(item) = decoder.next() {
                if let StreamItem::Message(message) = item {
                    let _ = message.validate();
                }
            }
        }
        let _ = Frame::parse(&bytes);
    }
    assert!(accepted > 20, "only {accepted} of the peers' messages are understood");
}
