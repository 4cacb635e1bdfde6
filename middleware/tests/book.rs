//! What the book promises: every name of 2009 in its map, examples that are short.

use std::collections::BTreeSet;
use std::path::Path;

/// The names of the API of 2009 as the map has them.
const SETTINGS: &str = "CFGSettingsObjectDidChange CFGSettingsObjectWasCreated CFGSettingsObjectWasDeleted";
const MANAGER: &str = "SessionManager sessions ringtone_config rtp_config msrp_config";
const CONFIGURATIONS: &str = "RingtoneConfiguration default_inbound_ringtone outbound_ringtone \
    add_ringtone_for_sipuri remove_sipuri get_ringtone_for_sipuri RTPConfiguration local_rtp_address use_srtp \
    srtp_forced use_ice ice_stun_address ice_stun_port MSRPConfiguration local_ip local_port local_use_tls \
    use_relay_incoming use_relay_outgoing relay_host relay_port relay_use_tls";
const STATES: &str = "NULL CALLING INCOMING ACCEPTING ESTABLISHED PROPOSING PROPOSED TERMINATING TERMINATED";
const ATTRIBUTES: &str = "state direction start_time stop_time on_hold_by_local on_hold_by_remote on_hold \
    remote_user_agent local_uri remote_uri caller_uri callee_uri credentials route audio_transport has_audio \
    audio_sample_rate audio_codec audio_srtp_active audio_local_rtp_address audio_local_rtp_port \
    audio_remote_rtp_address_sdp audio_remote_rtp_port_sdp audio_remote_rtp_address_received \
    audio_remote_rtp_port_received audio_was_received audio_recording_file_name chat_transport has_chat";
const METHODS: &str = "new accept reject hold unhold start_recording_audio stop_recording_audio send_dtmf \
    send_message add_audio add_chat remove_audio remove_chat accept_proposal reject_proposal terminate";
const SESSION_EVENTS: &str = "ChangedState NewIncoming NewOutgoing GotRingIndication WillStart DidStart DidFail \
    WillEnd DidEnd GotHoldRequest GotUnholdRequest WillStartRecordingAudio DidStartRecordingAudio \
    WillStopRecordingAudio DidStopRecordingAudio GotNoAudio GotDTMF GotMessage DidDeliverMessage \
    DidNotDeliverMessage GotStreamProposal AcceptedStreamProposal RejectedStreamProposal GotStreamUpdate";
const CHAT: &str = "local_uri remote_uri accept_types accept_wrapped_types cpim_enabled private_messages_allowed \
    is_active is_started local_media initialize start end send_message";
const CHAT_EVENTS: &str = "DidInitialize DidStart WillEnd DidEnd DidFail GotMessage DidDeliverMessage \
    DidNotDeliverMessage";
const FILE_EVENTS: &str = "DidInitialize DidStart WillEnd DidEnd DidFail GotFile DidDeliverFile DidNotDeliverFile \
    DidMakeProgress";
const LASTING_EVENTS: &str = "DidSucceed DidFail WillEnd DidEnd";
const OTHERS: &str = "Session MSRPChat MSRPFileTransfer Registration Subscription Publication \
    SCSubscriptionGotNotify SCMessageDidSucceed SCMessageDidFail SCGotMessage NotificationCenter";

fn names() -> BTreeSet<String> {
    let plain = [SETTINGS, MANAGER, CONFIGURATIONS, STATES, ATTRIBUTES, METHODS, OTHERS];
    let mut names: BTreeSet<String> =
        plain.iter().flat_map(|group| group.split_whitespace()).map(str::to_owned).collect();
    for (prefix, group) in [
        ("SCSession", SESSION_EVENTS),
        ("MSRPChat.", CHAT),
        ("MSRPChat", CHAT_EVENTS),
        ("MSRPFileTransfer", FILE_EVENTS),
        ("SCRegistration", LASTING_EVENTS),
        ("SCSubscription", LASTING_EVENTS),
        ("SCPublication", LASTING_EVENTS),
    ] {
        names.extend(group.split_whitespace().map(|name| format!("{prefix}{name}")));
    }
    names
}

/// That the names on the right are there is checked by rustdoc, which follows each link.
#[test]
fn the_map_has_every_name_of_2009_and_where_it_is_here() {
    let map = std::fs::read_to_string("src/book/from_2009.md").expect("the map");
    let mut mapped = BTreeSet::new();
    for row in map.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [old, new, _] = cells.as_slice() else { panic!("{row:?} is not three cells") };
        // A method's arguments are shown with it.
        let old = old.trim_matches('`').split('(').next().unwrap_or_default();
        assert!(new.contains("](crate::"), "{old} leads nowhere: {row}");
        mapped.insert(old.to_owned());
    }
    let missing: Vec<_> = names().difference(&mapped).cloned().collect();
    assert!(missing.is_empty(), "not in the map: {missing:?}");
    // The table that names the tests has no name that the map lacks.
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_lowercase();
    let known: BTreeSet<String> = mapped.iter().map(|name| last(name)).collect();
    let table = std::fs::read_to_string("API.md").expect("the table");
    let sections = table.split("\n## ").filter(|section| !section.starts_with("Beyond"));
    let rows = sections.flat_map(str::lines).filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split('|').next()?.trim().trim_matches('`').split('(').next());
    let names: Vec<&str> = cells.filter(|name| !name.contains([' ', '-']) && *name != "2009").collect();
    assert!(names.len() > 100, "{} names in API.md", names.len());
    for name in names {
        assert!(known.contains(&last(name)), "{name} is in API.md and not in the map");
    }
}

#[test]
fn names_of_the_bus_are_the_ones_that_the_program_tells() {
    let map = std::fs::read_to_string("src/book/from_2009.md").expect("the map");
    let mut source = String::new();
    for entry in std::fs::read_dir("src/notification").expect("the folder") {
        source.push_str(&std::fs::read_to_string(entry.expect("a file").path()).expect("text"));
    }
    let rows = map.lines().filter(|line| line.starts_with("| `") && line.contains("(crate::notification::"));
    let names = rows.filter(|row| row.contains("Event")).filter_map(|row| row.split('`').nth(1));
    let mut count = 0;
    for name in names {
        count += 1;
        assert!(source.contains(&format!("\"{name}\"")), "{name} is told by nothing");
    }
    assert!(count > 50, "{count} names");
}

#[test]
fn the_program_in_the_readme_is_the_example() {
    let example = std::fs::read_to_string("examples/answer.rs").expect("the example");
    let program = example.split_once("\n\n").expect("a comment, and the program").1;
    assert!(program.lines().count() <= 21, "{} lines", program.lines().count());
    for document in ["../README.md", "src/book/quick_start.md"] {
        let text = std::fs::read_to_string(document).expect("the document");
        assert!(text.contains(program), "{document} has another program");
    }
}

/// The commands in the README are commands that the program takes.
#[test]
fn every_command_in_the_readme_is_one() {
    let readme = std::fs::read_to_string("../README.md").expect("the README");
    let arguments = std::fs::read_to_string("cli/src/arguments.rs").expect("the command line")
        + &std::fs::read_to_string("cli/src/settings.rs").expect("the settings");
    let mut count = 0;
    for after in readme.split("sipsimple ").skip(1) {
        let command: String = after.chars().take_while(char::is_ascii_lowercase).collect();
        let mut letters = command.chars();
        let variant = letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str());
        let Some(variant) = variant.filter(|variant| arguments.contains(&format!("    {variant}("))) else {
            continue;
        };
        let line = after.split(['`', '\n', '#']).next().unwrap_or_default();
        for option in line.split_whitespace().filter_map(|word| word.strip_prefix("--")) {
            let field = option.replace('-', "_");
            assert!(arguments.contains(&format!("{field}:")), "{variant} has no --{option}");
        }
        count += 1;
    }
    assert!(count >= 12, "{count} commands");
}

#[test]
fn examples_are_short_and_say_how_they_are_run() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir("examples").expect("the folder") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        assert!(text.lines().count() < 60, "{name} has {} lines", text.lines().count());
        assert!(text.contains(&format!("cargo run --example {name}")), "{name} does not say how it is run");
        names.push(name);
    }
    let run = std::fs::read_to_string("tests/examples.rs").expect("the test that runs them")
        + &std::fs::read_to_string("tests/interop/presence.rs").expect("the other");
    let guide = std::fs::read_to_string("src/book/quick_start.md").expect("the quick start");
    for name in &names {
        assert!(run.contains(&format!("\"{name}\"")), "{name} is run by no test");
        assert!(guide.contains(&format!("`{name}`")), "{name} is not in the quick start");
    }
    assert!(Path::new("examples/voice_agent.rs").exists() && names.len() >= 7);
}
