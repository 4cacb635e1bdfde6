//! Bodies of the fuzz targets: each panics if what it says does not hold.

use bytes::Bytes;

use crate::presence::{
    ConferenceInfo, DialogInfo, EventBody, MessageSummary, Presence, RegInfo, ResourceList, ResourceLists,
    WatcherInfo, multipart,
};

/// A target: panics if what it says does not hold.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("presence_pidf", pidf),
    ("presence_winfo", winfo),
    ("presence_rlmi", rlmi),
    ("presence_lists", lists),
    ("presence_summary", summary),
    ("presence_dialog", dialog),
    ("presence_conference", conference),
    ("presence_reg", reg),
    ("presence_multipart", parts),
    ("engine", crate::engine::fuzzing::engine),
];

/// What reads is written, and that reads the same.
macro_rules! document {
    ($($(#[$meta:meta])* $name:ident: $type:ty;)+) => {$(
        $(#[$meta])*
        pub fn $name(data: &[u8]) {
            let Ok(document) = <$type>::parse(data) else { return };
            let text = document.to_xml();
            assert_eq!(<$type>::parse(text.as_bytes()).expect("what was written reads"), document, "{text}");
        }
    )+};
}

document! {
    /// Presence.
    pidf: Presence;
    /// Watchers.
    winfo: WatcherInfo;
    /// The resources of a list.
    rlmi: ResourceList;
    /// Lists of people.
    lists: ResourceLists;
    /// Calls.
    dialog: DialogInfo;
    /// A conference.
    conference: ConferenceInfo;
    /// Registrations.
    reg: RegInfo;
}

/// What waits in a mailbox.
pub fn summary(data: &[u8]) {
    let Ok(summary) = MessageSummary::parse(data) else { return };
    let text = summary.to_string();
    assert_eq!(MessageSummary::parse(text.as_bytes()).expect("what was written reads"), summary, "{text}");
}

/// The first line is the content type, the rest a body.
pub fn parts(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (head, body) = data.split_at(at);
    let Ok(content_type) = std::str::from_utf8(head) else { return };
    let body = Bytes::copy_from_slice(body.get(1..).unwrap_or_default());
    let Ok(read) = EventBody::parse(content_type.trim(), &body) else { return };
    if let EventBody::List { list, parts } = &read {
        let _ = list.assemble(parts);
        let (joined, boundary) = multipart::join(parts, 1);
        let again = multipart::split(&joined, &boundary).expect("what was joined splits");
        assert_eq!(again.len(), parts.len());
        assert!(again.iter().zip(parts).all(|(a, b)| a.body == b.body));
    }
}
