//! `API.md` says of each name of the 2009 API what it is called here and which test shows it: nothing is
//! missing, what it names exists, and the traces have in them what they are said to show.

use std::path::Path;
use std::time::Duration;

use sipsimple::configuration::{
    MsrpConfiguration, RingtoneConfiguration, RtpConfiguration, SessionTimers, SrtpPolicy,
};
use sipsimple::notification::{
    ChatFailureContext, Event, MessageEvent, MsrpChatEvent, Originator, PublicationEvent, RegistrationEvent,
    SessionEvent, SubscriptionEvent,
};
use sipsimple::{State, StreamSet};

#[path = "support/source.rs"]
mod source;

use source::{backticked, cells, folder_of, is_row, names_a_test, numbered, read, rust_files};

/// The classes, attributes and methods, as the page of 2009 has them.
const NAMES: &[(&str, &str)] = &[
    (
        "",
        "SessionManager RingtoneConfiguration RtpConfiguration MsrpConfiguration Session MsrpChat \
         MsrpFileTransfer Registration Subscription Publication",
    ),
    ("SessionManager", "sessions ringtone_config rtp_config msrp_config"),
    (
        "RingtoneConfiguration",
        "default_inbound_ringtone outbound_ringtone add_ringtone_for_sipuri remove_sipuri \
         get_ringtone_for_sipuri",
    ),
    ("RtpConfiguration", "local_rtp_address use_srtp srtp_forced use_ice ice_stun_address ice_stun_port"),
    (
        "MsrpConfiguration",
        "local_ip local_port local_use_tls use_relay_incoming use_relay_outgoing relay_host relay_port \
         relay_use_tls",
    ),
    (
        "Session",
        "state direction start_time stop_time on_hold_by_local on_hold_by_remote on_hold remote_user_agent \
         local_uri remote_uri caller_uri callee_uri credentials route audio_transport has_audio \
         audio_sample_rate audio_codec audio_srtp_active audio_local_rtp_address audio_local_rtp_port \
         audio_remote_rtp_address_sdp audio_remote_rtp_port_sdp audio_remote_rtp_address_received \
         audio_remote_rtp_port_received audio_was_received audio_recording_file_name chat_transport has_chat \
         new accept reject hold unhold start_recording_audio stop_recording_audio send_dtmf send_message \
         add_audio add_chat remove_audio remove_chat accept_proposal reject_proposal terminate",
    ),
    (
        "MsrpChat",
        "local_uri remote_uri accept_types accept_wrapped_types cpim_enabled private_messages_allowed \
         is_active is_started local_media initialize start end send_message",
    ),
];

/// The rows of the table of transitions, each way of each.
const TRANSITIONS: &[(&str, &str)] = &[
    ("NULL", "CALLING"),
    ("NULL", "INCOMING"),
    ("CALLING", "ESTABLISHED"),
    ("CALLING", "TERMINATED"),
    ("CALLING", "TERMINATING"),
    ("INCOMING", "ACCEPTING"),
    ("INCOMING", "TERMINATED"),
    ("INCOMING", "TERMINATING"),
    ("ACCEPTING", "ESTABLISHED"),
    ("ACCEPTING", "TERMINATED"),
    ("ACCEPTING", "TERMINATING"),
    ("ESTABLISHED", "PROPOSING"),
    ("ESTABLISHED", "PROPOSED"),
    ("ESTABLISHED", "TERMINATED"),
    ("ESTABLISHED", "TERMINATING"),
    ("PROPOSING", "ESTABLISHED"),
    ("PROPOSING", "TERMINATED"),
    ("PROPOSING", "TERMINATING"),
    ("PROPOSED", "ESTABLISHED"),
    ("PROPOSED", "TERMINATED"),
    ("PROPOSED", "TERMINATING"),
    ("TERMINATING", "TERMINATED"),
];

/// The notifications and their data.
const NOTIFICATIONS: &[(&str, &str)] = &[
    ("CFGSettingsObjectDidChange", "modified"),
    ("CFGSettingsObjectWasCreated", ""),
    ("CFGSettingsObjectWasDeleted", ""),
    ("SCSessionChangedState", "prev_state state"),
    ("SCSessionNewIncoming", "has_audio has_chat"),
    ("SCSessionNewOutgoing", "has_audio has_chat"),
    ("SCSessionGotRingIndication", ""),
    ("SCSessionWillStart", ""),
    ("SCSessionDidStart", ""),
    ("SCSessionDidFail", "originator code reason"),
    ("SCSessionWillEnd", ""),
    ("SCSessionDidEnd", "originator"),
    ("SCSessionGotHoldRequest", "originator"),
    ("SCSessionGotUnholdRequest", "originator"),
    ("SCSessionWillStartRecordingAudio", "file_name"),
    ("SCSessionDidStartRecordingAudio", "file_name"),
    ("SCSessionWillStopRecordingAudio", "file_name"),
    ("SCSessionDidStopRecordingAudio", "file_name"),
    ("SCSessionGotNoAudio", ""),
    ("SCSessionGotDTMF", "digit"),
    ("SCSessionGotMessage", "content content_type cpim_headers message_id"),
    ("SCSessionDidDeliverMessage", "message_id code reason"),
    ("SCSessionDidNotDeliverMessage", "message_id code reason"),
    ("SCSessionGotStreamProposal", "proposer adds_audio adds_chat"),
    ("SCSessionAcceptedStreamProposal", "proposer"),
    ("SCSessionRejectedStreamProposal", "proposer reason"),
    ("SCSessionGotStreamUpdate", "streams"),
    ("MSRPChatDidInitialize", ""),
    ("MSRPChatDidStart", ""),
    ("MSRPChatWillEnd", ""),
    ("MSRPChatDidEnd", ""),
    ("MSRPChatDidFail", "context reason"),
    ("MSRPChatGotMessage", "content content_type cpim_headers message_id"),
    ("MSRPChatDidDeliverMessage", "message_id code reason"),
    ("MSRPChatDidNotDeliverMessage", "message_id code reason"),
    ("MSRPFileTransferDidInitialize", ""),
    ("MSRPFileTransferDidStart", ""),
    ("MSRPFileTransferWillEnd", ""),
    ("MSRPFileTransferDidEnd", ""),
    ("MSRPFileTransferDidFail", ""),
    ("MSRPFileTransferGotFile", ""),
    ("MSRPFileTransferDidDeliverFile", ""),
    ("MSRPFileTransferDidNotDeliverFile", ""),
    ("MSRPFileTransferDidMakeProgress", ""),
    ("SCRegistrationDidSucceed", "code reason contact_uri contact_uri_list expires route"),
    ("SCRegistrationDidFail", "code reason route retry_after"),
    ("SCRegistrationWillEnd", ""),
    ("SCRegistrationDidEnd", "expired"),
    ("SCSubscriptionDidSucceed", "code reason expires route"),
    ("SCSubscriptionDidFail", "code reason route retry_after"),
    ("SCSubscriptionWillEnd", ""),
    ("SCSubscriptionDidEnd", "expired"),
    ("SCSubscriptionGotNotify", "event content_type body headers"),
    ("SCPublicationDidSucceed", "code reason expires route"),
    ("SCPublicationDidFail", "code reason route retry_after"),
    ("SCPublicationWillEnd", ""),
    ("SCPublicationDidEnd", "expired"),
    ("SCMessageDidSucceed", "message_id code reason"),
    ("SCMessageDidFail", "message_id code reason"),
    ("SCGotMessage", "from to content content_type cpim_headers message_id"),
];

/// The orders that the page lists: at whose side of which trace, and what happens there in this order.
const ORDERS: &[(&str, &str, &str, &[&str])] = &[
    (
        "outgoing, answered",
        "outgoing_answered",
        "alice",
        &[
            "! SCSessionChangedState NULL CALLING",
            "! SCSessionNewOutgoing",
            "> INVITE",
            "! SCSessionGotRingIndication",
            "! SCSessionWillStart",
            "> ACK",
            "! SCSessionChangedState CALLING ESTABLISHED",
            "! SCSessionDidStart",
        ],
    ),
    (
        "outgoing, refused",
        "outgoing_refused",
        "alice",
        &["! SCSessionChangedState CALLING TERMINATED", "! SCSessionDidFail", "! SCSessionDidEnd"],
    ),
    (
        "incoming, accepted",
        "call_waiting",
        "alice",
        &[
            "> 180 INVITE",
            "! SCSessionChangedState NULL INCOMING",
            "! SCSessionNewIncoming",
            "! SCSessionChangedState INCOMING ACCEPTING",
            "> 200 INVITE",
            "! SCSessionWillStart",
            "< ACK",
            "! SCSessionChangedState ACCEPTING ESTABLISHED",
            "! SCSessionDidStart",
        ],
    ),
    (
        "our end",
        "outgoing_answered",
        "alice",
        &[
            "! SCSessionChangedState ESTABLISHED TERMINATING",
            "! SCSessionWillEnd",
            "> BYE",
            "! SCSessionChangedState TERMINATING TERMINATED",
            "! SCSessionDidEnd local",
        ],
    ),
    (
        "their end",
        "remote_hang_up",
        "alice",
        &["! SCSessionChangedState ESTABLISHED TERMINATED", "! SCSessionDidEnd remote"],
    ),
    (
        "local proposal",
        "proposals",
        "alice",
        &[
            "! SCSessionChangedState ESTABLISHED PROPOSING",
            "! SCSessionGotStreamProposal local",
            "> INVITE",
            "! SCSessionChangedState PROPOSING ESTABLISHED",
            "! SCSessionAcceptedStreamProposal local",
        ],
    ),
    (
        "remote proposal",
        "proposals",
        "alice",
        &[
            "! SCSessionChangedState ESTABLISHED PROPOSED",
            "! SCSessionGotStreamProposal remote",
            "! SCSessionChangedState PROPOSED ESTABLISHED",
            "! SCSessionRejectedStreamProposal remote",
        ],
    ),
];

struct Row {
    line: usize,
    name: String,
    items: Vec<String>,
    tests: Vec<String>,
}

fn table() -> Vec<Row> {
    let text = read(&folder_of("middleware").join("API.md"));
    let rows = numbered(&text).filter(|(_, line)| is_row(line));
    let rows = rows.filter(|(_, line)| !line.starts_with("| 2009") && !line.starts_with("| ---"));
    rows.map(|(line, row)| {
        let cells = cells(row);
        assert_eq!(cells.len(), 3, "API.md:{line}: three cells");
        let words = |cell: &str| backticked(cell).into_iter().map(str::to_owned).collect();
        Row { line, name: cells[0].to_owned(), items: words(cells[1]), tests: words(cells[2]) }
    })
    .collect()
}

fn trace(name: &str) -> String {
    read(&folder_of("middleware").join("tests").join(name))
}

/// What a row is about: the name without its arguments and data.
fn head(row: &Row) -> &str {
    row.name.split([' ', '(']).next().unwrap_or_default()
}

#[test]
fn no_name_is_missing() {
    let rows = table();
    let has = |name: &str| rows.iter().any(|row| head(row) == name);
    let mut missing = Vec::new();
    for (class, names) in NAMES {
        for name in names.split_whitespace() {
            let name = if class.is_empty() { name.to_owned() } else { format!("{class}.{name}") };
            if !has(&name) {
                missing.push(name);
            }
        }
    }
    missing.extend(State::ALL.iter().map(|state| state.name()).filter(|name| !has(name)).map(str::to_owned));
    missing.extend(NOTIFICATIONS.iter().map(|(name, _)| *name).filter(|name| !has(name)).map(str::to_owned));
    for (from, to) in TRANSITIONS {
        let change = format!("{from} → {to}");
        if !rows.iter().any(|row| row.name.starts_with(&change)) {
            missing.push(change);
        }
    }
    for from in State::ALL {
        for to in State::ALL {
            let listed = TRANSITIONS.contains(&(from.name(), to.name()));
            assert_eq!(from.may_become(to), listed, "{from} to {to}");
        }
    }
    missing.extend(
        ORDERS
            .iter()
            .map(|order| order.0)
            .filter(|name| !rows.iter().any(|row| row.name == *name))
            .map(str::to_owned),
    );
    assert!(missing.is_empty(), "API.md says nothing of {missing:?}");
}

#[test]
fn what_the_table_names_exists() {
    let mut files = Vec::new();
    rust_files(&folder_of("middleware").join("src"), &mut files);
    let sources: Vec<String> = files.iter().map(|file| read(file)).collect();
    let mut wrong = Vec::new();
    for row in table() {
        if row.items.is_empty() || row.tests.is_empty() {
            wrong.push(format!("API.md:{}: {} has an empty cell", row.line, row.name));
        }
        for item in &row.items {
            if !exists(&sources, item) {
                wrong.push(format!("API.md:{}: there is no {item}", row.line));
            }
        }
        for test in &row.tests {
            let there = match test.ends_with(".trace") {
                true => folder_of("middleware").join("tests").join(test).is_file(),
                false => names_a_test("middleware", test),
            };
            if !there {
                wrong.push(format!("API.md:{}: no test {test}", row.line));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the sources have a type, or a type with such a function, field or variant.
fn exists(sources: &[String], item: &str) -> bool {
    let (kind, member) = match item.split_once("::") {
        Some((kind, member)) => (kind, Some(member)),
        None => (item, None),
    };
    let has = |text: &str, before: &[&str], name: &str| {
        before.iter().any(|before| {
            let needle = format!("{before}{name}");
            text.match_indices(&needle).any(|(at, _)| {
                let after = text[at + needle.len()..].chars().next();
                after.is_none_or(|c| !c.is_alphanumeric() && c != '_')
            })
        })
    };
    let defined = sources.iter().any(|text| has(text, &["struct ", "enum ", "trait "], kind));
    let Some(member) = member else { return defined };
    let own = |text: &&String| has(text, &["struct ", "enum ", "impl "], kind);
    let found = sources
        .iter()
        .filter(own)
        .any(|text| has(text, &["fn ", "pub ", "    "], member) || has(text, &["pub(crate) "], member));
    defined && found
}

#[test]
fn traces_have_what_they_are_said_to_show() {
    let mut wrong = Vec::new();
    for row in table() {
        let traces: Vec<String> =
            row.tests.iter().filter(|test| test.ends_with(".trace")).map(|test| trace(test)).collect();
        if traces.is_empty() {
            continue;
        }
        let mut wanted = Vec::new();
        if head(&row).starts_with("SC") || head(&row).starts_with("MSRP") {
            wanted.push(format!("! {}", head(&row)));
        }
        if let Some((change, how)) = row.name.split_once(':')
            && let Some((from, to)) = change.split_once(" → ")
        {
            wanted.push(format!("SCSessionChangedState {from} {to}"));
            let words = how.split(|c: char| !c.is_ascii_alphanumeric());
            wanted.extend(words.filter(|word| is_on_the_wire(word)).map(str::to_owned));
        }
        for wanted in wanted {
            if !traces.iter().any(|text| text.contains(&wanted)) {
                wrong.push(format!("API.md:{}: {} is not in {:?}", row.line, wanted, row.tests));
            }
        }
    }
    for (name, file, agent, order) in ORDERS {
        let text = trace(&format!("traces/{file}.trace"));
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(agent)?.split_once(' '));
        for step in *order {
            if !lines.any(|(_, line)| line.starts_with(step)) {
                wrong.push(format!("{name}: {step} is not in its place in {file}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a word of a transition's row is a method or a status that the trace has to have.
fn is_on_the_wire(word: &str) -> bool {
    let status = word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
    status || ["ACK", "BYE", "CANCEL"].contains(&word)
}

#[test]
fn every_notification_has_its_name_and_data() {
    let text = String::new;
    let originator = Originator::Local;
    let (code, reason, file_name) = (200, text(), text());
    let message = (bytes::Bytes::new(), text(), vec![], text());
    let mut events: Vec<Event> = vec![
        SessionEvent::ChangedState { prev_state: State::Null, state: State::Calling }.into(),
        SessionEvent::NewIncoming { has_audio: true, has_chat: true, has_file: false }.into(),
        SessionEvent::NewOutgoing { has_audio: true, has_chat: true, has_file: false }.into(),
        SessionEvent::GotRingIndication.into(),
        SessionEvent::WillStart.into(),
        SessionEvent::DidStart.into(),
        SessionEvent::DidFail { originator, code, reason: reason.clone() }.into(),
        SessionEvent::WillEnd.into(),
        SessionEvent::DidEnd { originator }.into(),
        SessionEvent::GotHoldRequest { originator }.into(),
        SessionEvent::GotUnholdRequest { originator }.into(),
        SessionEvent::WillStartRecordingAudio { file_name: file_name.clone() }.into(),
        SessionEvent::DidStartRecordingAudio { file_name: file_name.clone() }.into(),
        SessionEvent::WillStopRecordingAudio { file_name: file_name.clone() }.into(),
        SessionEvent::DidStopRecordingAudio { file_name }.into(),
        SessionEvent::GotNoAudio.into(),
        SessionEvent::GotDtmf { digit: '5' }.into(),
        SessionEvent::DidDeliverMessage { message_id: text(), code, reason: text() }.into(),
        SessionEvent::DidNotDeliverMessage { message_id: text(), code, reason: text() }.into(),
        SessionEvent::GotStreamProposal {
            proposer: originator,
            adds_audio: true,
            adds_chat: true,
            adds_file: false,
        }
        .into(),
        SessionEvent::AcceptedStreamProposal { proposer: originator }.into(),
        SessionEvent::RejectedStreamProposal { proposer: originator, reason: text() }.into(),
        SessionEvent::GotStreamUpdate { streams: StreamSet::BOTH }.into(),
        MsrpChatEvent::DidInitialize.into(),
        MsrpChatEvent::DidStart.into(),
        MsrpChatEvent::WillEnd.into(),
        MsrpChatEvent::DidEnd.into(),
        MsrpChatEvent::DidFail { context: ChatFailureContext::Start, reason: text() }.into(),
        MsrpChatEvent::DidDeliverMessage { message_id: text(), code, reason: text() }.into(),
        MsrpChatEvent::DidNotDeliverMessage { message_id: text(), code, reason: text() }.into(),
        RegistrationEvent::DidSucceed {
            code,
            reason: text(),
            contact_uri: text(),
            contact_uri_list: vec![],
            expires: 1,
            route: text(),
        }
        .into(),
        RegistrationEvent::DidFail { code, reason: text(), route: text(), retry_after: Some(1) }.into(),
        RegistrationEvent::WillEnd.into(),
        RegistrationEvent::DidEnd { expired: false }.into(),
        SubscriptionEvent::DidSucceed { code, reason: text(), expires: 1, route: text() }.into(),
        SubscriptionEvent::DidFail { code, reason: text(), route: text(), retry_after: Some(1) }.into(),
        SubscriptionEvent::WillEnd.into(),
        SubscriptionEvent::DidEnd { expired: false }.into(),
        PublicationEvent::DidSucceed { code, reason: text(), expires: 1, route: text() }.into(),
        PublicationEvent::DidFail { code, reason: text(), route: text(), retry_after: Some(1) }.into(),
        PublicationEvent::WillEnd.into(),
        PublicationEvent::DidEnd { expired: false }.into(),
        MessageEvent::DidSucceed { message_id: text(), code, reason: text() }.into(),
        MessageEvent::DidFail { message_id: text(), code, reason: text() }.into(),
    ];
    let (content, content_type, cpim_headers, message_id) = message;
    events.push(
        SessionEvent::GotMessage {
            content: content.clone(),
            content_type: content_type.clone(),
            cpim_headers: cpim_headers.clone(),
            message_id: message_id.clone(),
        }
        .into(),
    );
    events.push(
        MsrpChatEvent::GotMessage {
            content: content.clone(),
            content_type: content_type.clone(),
            cpim_headers: cpim_headers.clone(),
            message_id: message_id.clone(),
        }
        .into(),
    );
    let (from, to) = (text(), text());
    events
        .push(MessageEvent::GotMessage { from, to, content, content_type, cpim_headers, message_id }.into());
    events.push(
        SubscriptionEvent::GotNotify {
            event: text(),
            content_type: text(),
            body: bytes::Bytes::new(),
            headers: vec![],
            decoded: None,
        }
        .into(),
    );
    for event in &events {
        let listed = NOTIFICATIONS.iter().find(|(name, _)| *name == event.name());
        let (_, data) = listed.unwrap_or_else(|| panic!("{} is no name of the API", event.name()));
        let names: Vec<_> = event.data().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, data.split_whitespace().collect::<Vec<_>>(), "{}", event.name());
    }
    // Of settings and files `tests/settings.rs` and the traces tell.
    let built = NOTIFICATIONS.iter().filter(|(name, _)| events.iter().any(|event| event.name() == *name));
    let elsewhere =
        NOTIFICATIONS.iter().filter(|(name, _)| name.starts_with("CFG") || name.starts_with("MSRPFile"));
    assert_eq!(built.count() + elsewhere.count(), NOTIFICATIONS.len());
}

#[test]
fn defaults_are_those_of_the_api() {
    let ringtones = RingtoneConfiguration::default();
    assert_eq!((ringtones.default_inbound_ringtone, ringtones.outbound_ringtone), (None, None));
    let rtp = RtpConfiguration::default();
    assert_eq!((rtp.local_rtp_address, rtp.use_srtp, rtp.srtp_forced), (None, false, false));
    assert_eq!((rtp.use_ice, rtp.ice_stun_address.as_deref(), rtp.ice_stun_port), (false, None, 3478));
    assert_eq!(rtp.srtp_policy(), SrtpPolicy::Off);
    let msrp = MsrpConfiguration::default();
    assert_eq!((msrp.local_ip, msrp.local_port, msrp.local_use_tls), (None, None, true));
    assert_eq!((msrp.use_relay_incoming, msrp.use_relay_outgoing), (true, false));
    assert_eq!((msrp.relay_host, msrp.relay_port, msrp.relay_use_tls), (None, None, None));
    let timers = SessionTimers::default();
    let seconds = Duration::from_secs;
    assert_eq!((timers.no_audio, timers.no_answer), (seconds(5), seconds(90)));
    assert_eq!((timers.stream_start, timers.rtp_silence), (seconds(15), seconds(30)));
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("API.md").is_file());
}
