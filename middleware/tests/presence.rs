//! Event bodies: the documents that RFCs print, and what is built reads the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;
use sipsimple::presence::{
    Activity, Basic, ConferenceInfo, Contact, Dialog, DialogInfo, DialogState, DialogStateName,
    DocumentState, EventBody, Item, Lamp, Mood, Note, Person, Presence, Priority, RegInfo, ResourceList,
    ResourceLists, Rpid, Status, Timestamp, Tuple, WatcherInfo, WatcherStatus, xml::Element,
};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/presence")
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let entries =
        std::fs::read_dir(corpus()).expect("the corpus").map(|entry| entry.expect("an entry").path());
    let documents = entries.filter(|path| path.extension().is_some_and(|extension| extension == "xml"));
    documents
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a document"))
        })
        .collect()
}

fn document(name: &str) -> Vec<u8> {
    std::fs::read(corpus().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The content type of each root element.
fn content_type(text: &str) -> &'static str {
    let roots = [
        ("watcherinfo", WatcherInfo::CONTENT_TYPE),
        ("resource-lists", ResourceLists::CONTENT_TYPE),
        ("dialog-info", DialogInfo::CONTENT_TYPE),
        ("conference-info", ConferenceInfo::CONTENT_TYPE),
        ("reginfo", RegInfo::CONTENT_TYPE),
        ("presence", Presence::CONTENT_TYPE),
    ];
    let start =
        text.split('<').find(|part| part.starts_with(|c: char| c.is_ascii_alphabetic())).expect("a root");
    let name = start.split(|c: char| c.is_whitespace() || c == '>').next().unwrap_or_default();
    let name = name.rsplit(':').next().unwrap_or_default();
    roots.iter().find(|(root, _)| *root == name).unwrap_or_else(|| panic!("{name}")).1
}

/// Fragments that lack what their own RFC asks for: which, and what.
const MALFORMED: [(&str, &str); 3] = [
    ("rfc4235_02.xml", "attribute state of dialog-info"),
    ("rfc4235_03.xml", "state in dialog"),
    ("rfc4235_04.xml", "attribute entity of dialog-info"),
];

#[test]
fn documents_of_rfcs_read_and_survive_a_round_trip() {
    let files = files();
    assert!(files.len() > 50, "{}", files.len());
    let mut wrong = Vec::new();
    for (name, data) in &files {
        let text = String::from_utf8_lossy(data);
        let kind = content_type(&text);
        let body = match EventBody::parse(kind, &Bytes::copy_from_slice(data)) {
            Ok(body) => body,
            Err(error) => {
                let known = MALFORMED.iter().any(|(file, what)| file == name && error.what.contains(what));
                if !known {
                    wrong.push(format!("{name}: {error}"));
                }
                continue;
            }
        };
        let (again, bytes) = body.to_bytes(1);
        assert_eq!(again, kind, "{name}");
        match EventBody::parse(kind, &bytes) {
            Ok(read) if read == body => {}
            Ok(_) => wrong
                .push(format!("{name}: another after a round trip:\n{}", String::from_utf8_lossy(&bytes))),
            Err(error) => wrong.push(format!("{name}: {error}:\n{}", String::from_utf8_lossy(&bytes))),
        }
        // Nothing is lost: every element of the document is in what is written.
        let count = |text: &str| text.matches("</").count() + text.matches("/>").count();
        let written = String::from_utf8_lossy(&bytes).into_owned();
        let (before, after) = (count(&strip_comments(&text)), count(&written));
        if before != after {
            wrong.push(format!("{name}: {before} elements became {after}:\n{written}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn strip_comments(text: &str) -> String {
    let mut out = String::new();
    for (number, part) in text.split("<!--").enumerate() {
        out.push_str(if number == 0 { part } else { part.split_once("-->").map_or("", |(_, rest)| rest) });
    }
    out
}

#[test]
fn pidf_with_extensions() {
    let presence = Presence::parse(&document("rfc3863_04.xml")).expect("reads");
    assert_eq!(presence.entity, "pres:someone@example.com");
    assert_eq!(presence.basic(), Some(Basic::Open));
    let [first, second] = presence.tuples.as_slice() else { panic!("two tuples") };
    let contact = first.contact.as_ref().expect("a contact");
    assert_eq!(contact.priority.map(Priority::thousandths), Some(800));
    assert_eq!(first.notes[1].language.as_deref(), Some("fr"));
    assert_eq!(first.timestamp.as_ref().map(Timestamp::as_str), Some("2001-10-27T16:49:29Z"));
    assert_eq!(first.status.extensions.iter().map(Element::name).collect::<Vec<_>>(), ["im", "location"]);
    assert_eq!(
        second.contact.as_ref().map(|contact| contact.uri.as_str()),
        Some("mailto:someone@example.com")
    );
    assert!(presence.to_xml().contains("xmlns:myex=\"http://id.example.com/presence/\""));
}

#[test]
fn rich_presence_of_person_and_device() {
    let presence = Presence::parse(&document("rfc4479_01.xml")).expect("reads");
    assert_eq!(presence.activities().collect::<Vec<_>>(), [&Activity::OnThePhone]);
    assert_eq!(presence.tuples[0].device_ids, ["mac:8asd7d7d70"]);
    assert_eq!(presence.devices[0].device_id.as_deref(), Some("mac:8asd7d7d70"));
    assert!(
        matches!(presence.devices[0].rpid.as_slice(), [Rpid::UserInput(input)] if input.usage.as_str() == "idle")
    );
}

#[test]
fn what_is_published_reads_as_it_was_meant() {
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let notes = [Note::new("lunch <now>")];
    let activities = [Activity::Meal, Activity::from_name("juggling")];
    let contact = "sip:alice@192.0.2.1";
    let presence = Presence::to_publish("sip:alice@example.com", contact, Basic::Open, notes, activities, at);
    let text = presence.to_xml();
    let read = Presence::parse(text.as_bytes()).expect(&text);
    assert_eq!(read, presence);
    assert_eq!((read.basic(), read.all_notes().count()), (Some(Basic::Open), 1));
    assert_eq!(read.activities().map(Activity::name).collect::<Vec<_>>(), ["meal", "other"]);
    assert_eq!(read.tuples[0].timestamp.as_ref().map(Timestamp::as_str), Some("2001-09-09T01:46:40Z"));
    // RFC 3863 §4.1: tuples, notes, and after them what is of other namespaces.
    assert!(text.find("<tuple") < text.find("<dm:person"), "{text}");
}

#[test]
fn watchers_and_their_states() {
    let info = WatcherInfo::parse(&document("rfc3857_01.xml")).expect("reads");
    let watcher = &info.lists[0].watchers[0];
    assert_eq!((info.state, watcher.status), (DocumentState::Full, WatcherStatus::Pending));
    assert!(!watcher.uri.is_empty() && !watcher.id.is_empty());
}

#[test]
fn a_list_finds_the_state_of_each_resource() {
    let content_type = "multipart/related;type=\"application/rlmi+xml\";\
        start=\"<nXYxAE@pres.vancouver.example.com>\";boundary=\"50UBfW7LSCVLtggUPe5z\"";
    let body = Bytes::from(document("rfc4662_6.multipart"));
    let read = EventBody::parse(content_type, &body).expect("reads");
    let EventBody::List { list, parts } = &read else { panic!("{read:?}") };
    assert_eq!((list.version, list.full_state, list.resources.len()), (1, true, 4));
    let states = list.assemble(parts);
    let basics: Vec<_> = states
        .iter()
        .map(|state| {
            let part = state.part.expect("a part");
            let EventBody::Presence(presence) =
                EventBody::parse(&part.content_type, &part.body).expect("PIDF")
            else {
                panic!("presence")
            };
            (state.resource.uri.as_str(), presence.basic())
        })
        .collect();
    assert_eq!(
        basics,
        [
            ("sip:bob@vancouver.example.com", Some(Basic::Open)),
            ("sip:dave@vancouver.example.com", Some(Basic::Closed))
        ]
    );
    let (content_type, body) = read.to_bytes(7);
    let again = EventBody::parse(&content_type, &body).expect("what was written reads");
    assert_eq!(again, read);
}

#[test]
fn lamps_follow_dialogs() {
    let dialog = |id: &str, value| Dialog {
        id: id.to_owned(),
        state: DialogState { value, ..DialogState::default() },
        ..Dialog::default()
    };
    let mut info = DialogInfo { entity: "sip:alice@example.com".to_owned(), ..DialogInfo::default() };
    assert_eq!(info.lamp(), Lamp::Idle);
    info.dialogs.push(dialog("1", DialogStateName::Terminated));
    assert_eq!(info.lamp(), Lamp::Idle);
    info.dialogs.push(dialog("2", DialogStateName::Early));
    assert_eq!(info.lamp(), Lamp::Ringing);
    info.dialogs.push(dialog("3", DialogStateName::Confirmed));
    assert_eq!(info.lamp(), Lamp::Busy);
    assert_eq!(DialogInfo::parse(info.to_xml().as_bytes()).expect("reads"), info);
}

#[test]
fn what_must_be_there_and_is_not_is_named() {
    let without_id = b"<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@b'>\n<tuple><status/></tuple></presence>";
    let error = Presence::parse(without_id).expect_err("a tuple has an id");
    assert_eq!((error.at, error.to_string().contains("attribute id of tuple")), (65, true), "{error}");
    let version = b"<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='x' state='full'/>";
    let error = WatcherInfo::parse(version).expect_err("a version is a number");
    assert!(error.to_string().contains("a number as attribute version"), "{error}");
    let other = Presence::parse(b"<presence entity=''/>").expect_err("no namespace");
    assert!(other.to_string().contains("the element presence"), "{other}");
}

#[test]
fn what_is_optional_and_unreadable_is_kept() {
    let text = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@b'><tuple id='1'><status>\
        <basic>maybe</basic></status><contact priority='1,0'>sip:a@b</contact><timestamp>today</timestamp>\
        <timestamp>2001-10-27T16:49:29Z</timestamp></tuple></presence>";
    let presence = Presence::parse(text.as_bytes()).expect("reads");
    let tuple = &presence.tuples[0];
    assert_eq!((tuple.status.basic, tuple.status.extensions[0].text().as_str()), (None, "maybe"));
    let contact = tuple.contact.as_ref().expect("a contact");
    assert_eq!((contact.priority, contact.attributes[0].value()), (None, "1,0"));
    assert_eq!((tuple.timestamp.is_some(), tuple.extensions[0].text().as_str()), (true, "today"));
    assert_eq!(Presence::parse(presence.to_xml().as_bytes()).expect("reads"), presence);
}

#[test]
fn lists_in_lists_are_read_to_the_end() {
    let lists = ResourceLists::parse(&document("rfc4825_09.xml")).expect("reads");
    let inner =
        lists.lists.iter().flat_map(|list| &list.items).filter(|item| matches!(item, Item::List(_))).count();
    let all = String::from_utf8(document("rfc4825_09.xml")).expect("text").matches("<entry ").count();
    assert_eq!(lists.uris().len(), all, "{inner}");
    let own = ResourceLists::of_uris(["sip:a@example.com", "sip:b@example.com"]);
    assert_eq!(
        ResourceLists::parse(own.to_xml().as_bytes()).expect("reads").uris(),
        ["sip:a@example.com", "sip:b@example.com"]
    );
}

#[test]
fn long_documents_take_time_in_proportion() {
    let document = |tuples: usize| {
        let mut text = String::from("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:a@b'>");
        for number in 0..tuples {
            text.push_str(&format!(
                "<tuple id='t{number}'><status><basic>open</basic></status><note>x</note></tuple>"
            ));
        }
        text + "</presence>"
    };
    let presence = Presence::parse(document(4_000).as_bytes()).expect("below the cap of elements");
    assert_eq!(presence.tuples.len(), 4_000);
    assert!(Presence::parse(document(5_000).as_bytes()).is_err(), "20,001 elements are too many");
}

// Text that a document can have, without the white space around it that values do not keep.
fn words() -> impl Strategy<Value = String> {
    "[^\\x00-\\x1f\\x7f-\\x9f\\u{fffe}\\u{ffff}]{0,12}".prop_map(|text| text.trim().to_owned())
}

fn note() -> impl Strategy<Value = Note> {
    (proptest::option::of("[a-z]{2}"), "[ -~\\n\\r\\t<>&ü]{0,12}")
        .prop_map(|(language, text)| Note { language, text })
}

fn foreign() -> impl Strategy<Value = Element> {
    ("urn:[a-z]{1,3}", "[a-z]{1,4}", words())
        .prop_map(|(namespace, name, text)| Element::new(&namespace, &name).expect("a name").with_text(&text))
}

fn tuple() -> impl Strategy<Value = Tuple> {
    let basic = proptest::option::of(proptest::sample::select(Basic::ALL));
    let contact = proptest::option::of((words(), proptest::option::of(0_u16..=1000)));
    let timestamp = proptest::option::of(0_u64..4_000_000_000);
    (
        words(),
        basic,
        contact,
        proptest::collection::vec(note(), 0..3),
        timestamp,
        proptest::collection::vec(foreign(), 0..3),
    )
        .prop_map(|(id, basic, contact, notes, timestamp, extensions)| Tuple {
            id,
            status: Status { basic, ..Status::default() },
            contact: contact.map(|(uri, priority)| Contact {
                uri,
                priority: priority.map(Priority::from_thousandths),
                ..Contact::default()
            }),
            notes,
            timestamp: timestamp
                .map(|at| (std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(at)).into()),
            extensions,
            ..Tuple::default()
        })
}

fn person() -> impl Strategy<Value = Person> {
    let rpid = prop_oneof![
        proptest::sample::select(Activity::KNOWN).prop_map(Rpid::from),
        proptest::sample::select(Mood::KNOWN).prop_map(Rpid::from),
        note().prop_map(|note| Rpid::from(Activity::Other(note))),
    ];
    (words(), proptest::collection::vec(rpid, 0..3), proptest::collection::vec(note(), 0..2))
        .prop_map(|(id, rpid, notes)| Person { id, rpid, notes, ..Person::default() })
}

proptest! {
    #[test]
    fn presence_that_is_written_reads_the_same(
        entity in words(),
        tuples in proptest::collection::vec(tuple(), 0..4),
        persons in proptest::collection::vec(person(), 0..2),
        notes in proptest::collection::vec(note(), 0..2),
        extensions in proptest::collection::vec(foreign(), 0..2),
    ) {
        let presence = Presence { entity, tuples, persons, notes, extensions, ..Presence::default() };
        let text = presence.to_xml();
        prop_assert_eq!(Presence::parse(text.as_bytes()).expect(&text), presence, "{}", text);
    }

    #[test]
    fn calls_that_are_written_read_the_same(
        entity in words(),
        version: u32,
        dialogs in proptest::collection::vec((words(), proptest::option::of(words()), 0_u64..1_000_000), 0..4),
        extensions in proptest::collection::vec(foreign(), 0..2),
    ) {
        let dialog = |(id, call_id, duration)| Dialog {
            id,
            call_id,
            duration: Some(duration),
            state: DialogState { code: Some(200), value: DialogStateName::Early, ..DialogState::default() },
            extensions: extensions.clone(),
            ..Dialog::default()
        };
        let dialogs = dialogs.into_iter().map(dialog).collect();
        let info = DialogInfo { entity, version, dialogs, ..DialogInfo::default() };
        let text = info.to_xml();
        prop_assert_eq!(DialogInfo::parse(text.as_bytes()).expect(&text), info, "{}", text);
    }

    #[test]
    fn people_that_are_written_read_the_same(uris in proptest::collection::vec(words(), 0..6)) {
        let lists = ResourceLists::of_uris(uris.clone());
        let text = lists.to_xml();
        let read = ResourceLists::parse(text.as_bytes()).expect(&text);
        prop_assert_eq!(read.uris(), uris);
        prop_assert_eq!(read, lists, "{}", text);
    }

    #[test]
    fn lists_that_are_written_read_the_same(uri in words(), version: u32, full_state: bool, names in proptest::collection::vec(note(), 0..3)) {
        let list = ResourceList { uri, version, full_state, names, ..ResourceList::default() };
        let text = list.to_xml();
        prop_assert_eq!(ResourceList::parse(text.as_bytes()).expect(&text), list, "{}", text);
    }
}
