//! Settings: layers, files, errors, and what is told of changes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sipsimple::Account;
use sipsimple::notification::{Event, Filter, NotificationCenter, SettingsEvent, Subscription, Value};
use sipsimple::settings::{AccountSettings, Origin, Secret, SettingsManager};
use tempfile::TempDir;

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let fixture = Self { folder };
        std::fs::write(fixture.path(), text).expect("a file");
        fixture
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("settings.toml")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).expect("the file")
    }

    fn load(&self) -> SettingsManager {
        SettingsManager::load(self.path(), NotificationCenter::new()).expect("the file is right")
    }

    fn error(&self) -> String {
        let error =
            SettingsManager::load(self.path(), NotificationCenter::new()).expect_err("the file is wrong");
        error.to_string().replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn account(id: &str, password: &str) -> Account {
    let settings = AccountSettings { password: Some(Secret::new(password)), ..AccountSettings::default() };
    Account::with_settings(id, settings).expect("an account")
}

type Told = Arc<Mutex<Vec<String>>>;

fn listen(settings: &SettingsManager) -> (Told, Subscription) {
    let told = Told::default();
    let writer = told.clone();
    let subscription = settings.notification_center().observe(Filter::any(), move |notification| {
        let mut line = format!("{} {}", notification.sender(), notification.name());
        if let Event::Settings(SettingsEvent::DidChange { modified }) = notification.event() {
            for change in modified {
                line.push_str(&format!(" {}: {:?} -> {:?}", change.name, change.old, change.new));
            }
        }
        writer.lock().expect("no panic").push(line);
    });
    (told, subscription)
}

#[test]
fn the_layers_prevail_in_their_order() {
    let fixture = Fixture::new("[sip]\nport = 5070\n[rtp]\nuse_srtp = true\n[timers]\nno_answer = 1.5\n");
    let settings = fixture.load();
    assert_eq!(settings.settings().sip.port, 5070);
    // The command line first: it prevails all the same.
    settings.overlay_argument("sip.port", "5090").expect("a port");
    let variables = [
        ("SIPSIMPLE_SIP_PORT", "5080"),
        ("SIPSIMPLE_RTP_USE_SRTP", "no"),
        ("HOME", "/"),
        ("SIPSIMPLE_X", "1"),
    ];
    settings
        .overlay_environment(variables.map(|(name, text)| (name.to_owned(), text.to_owned())))
        .expect("variables");
    let now = settings.settings();
    assert_eq!((now.sip.port, now.rtp.use_srtp, now.timers.no_answer.as_millis()), (5090, false, 1500));
    let origin = |key: &str| settings.get(key).expect(key).origin.to_string();
    assert_eq!(origin("sip.port"), "command line");
    assert_eq!(origin("rtp.use_srtp"), "environment");
    assert_eq!(origin("timers.no_answer"), "file");
    assert_eq!(origin("timers.no_audio"), "default");
    assert!(fixture.text().contains("port = 5070"), "what lies over the file does not go into it");
}

#[test]
fn the_environment_sets_the_default_account() {
    let fixture = Fixture::new("[account.\"alice@example.com\"]\n[account.\"bob@example.com\"]\n");
    let settings = fixture.load();
    let password = || [("SIPSIMPLE_ACCOUNT_PASSWORD".to_owned(), "hunter2".to_owned())];
    let error = settings.overlay_environment(password()).expect_err("which account?");
    assert!(error.to_string().starts_with("SIPSIMPLE_ACCOUNT_PASSWORD: "), "{error}");
    settings.set("agent.default_account", "sip:bob@example.com").expect("an account");
    settings.overlay_environment(password()).expect("the default account");
    let credentials = settings.account(None).expect("the default one").credentials();
    assert_eq!(credentials.uri.to_string(), "sip:bob@example.com");
    assert_eq!(credentials.password.as_ref().map(|password| password.as_str()), Some("hunter2"));
    assert!(settings.account(Some("alice@example.com")).expect("alice").credentials().password.is_none());
    let unknown = [("SIPSIMPLE_RTP_USE_SRPT".to_owned(), "yes".to_owned())];
    let error = settings.overlay_environment(unknown).expect_err("a typing error");
    assert!(
        error.to_string().contains("SIPSIMPLE_RTP_USE_SRPT: unknown; expected one of local_rtp_address"),
        "{error}"
    );
}

#[test]
fn errors_name_file_line_key_and_what_was_expected() {
    for (text, expected) in [
        (
            "[rtp]\n\nuse_srtp = \"maybe\"\n",
            "settings.toml:3: rtp.use_srtp: expected true or false, not \"maybe\"",
        ),
        ("[sip]\nport = 70000\n", "settings.toml:2: sip.port: expected a number from 0 to 65535, not 70000"),
        (
            "[sip]\nprot = 5060\n",
            "settings.toml:2: sip.prot: unknown; expected one of bind, port, transports, proxy",
        ),
        ("# words\n[spi]\n", "settings.toml:2: spi: unknown; expected one of agent, sip,"),
        ("sip = 1\n", "settings.toml:1: sip: expected a table, not integer"),
        ("[account.nobody]\n", "settings.toml:1: account.nobody: expected user@domain"),
        ("[account.\"a@b\"]\nexpires = -1\n", "settings.toml:2: account.a@b.expires: expected a number"),
        (
            "[account.\"a@b\"]\n[account.\"sip:a@B\"]\n",
            "settings.toml:2: account.sip:a@B: expected each account once",
        ),
        (
            "[sip]\ntransports = [\"udp\", \"sctp\"]\n",
            "settings.toml:2: sip.transports: expected a list of udp, tcp,",
        ),
        ("[sip]\nport = \n", "settings.toml:2: expected TOML"),
        ("[rtp]\nuse_srtp = true\nuse_srtp = true\n", "settings.toml:3: expected TOML"),
    ] {
        let error = Fixture::new(text).error();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn no_error_shows_a_password() {
    for text in ["[account.\"a@b\"]\npassword = [\"hunter2\"]\n", "[account.\"a@b\"]\npassword = \"hunter2\n"]
    {
        let error = Fixture::new(text).error();
        assert!(error.contains("settings.toml:2") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_file_with_an_error_is_not_overwritten() {
    let fixture = Fixture::new("[sip]\nport = 5070\n");
    let settings = fixture.load();
    let broken = "[sip]\nport = 5070\nsomething = 1\n";
    std::fs::write(fixture.path(), broken).expect("somebody else writes");
    let error = settings.set("sip.port", "5080").expect_err("the file is wrong now");
    assert!(error.to_string().contains(":3: sip.something: unknown"), "{error}");
    assert_eq!((fixture.text().as_str(), settings.settings().sip.port), (broken, 5070));
}

#[test]
fn comments_and_formatting_survive_a_change() {
    let before = "# mine\n[sip]   # here\nport   =  5070 # why\n\n[account.\"sip:alice@example.com\"]\nexpires=60# short\n";
    let fixture = Fixture::new(before);
    let settings = fixture.load();
    settings.set("sip.port", "5080").expect("a port");
    settings.set("account.alice@example.com.expires", "70").expect("a number");
    settings.set("rtp.port_range", "20000-20100").expect("ports");
    let after = before.replace("5070", "5080").replace("=60#", "=70#");
    let text = fixture.text();
    assert!(text.starts_with(&after), "{text}");
    assert!(text.contains("[rtp]\nport_range = \"20000-20100\"\n"), "{text}");
    settings.reset("rtp.port_range").expect("its default");
    assert_eq!(settings.settings().rtp.port_range, None);
    assert!(!fixture.text().contains("port_range"));
}

#[test]
fn a_change_by_somebody_else_is_kept() {
    let fixture = Fixture::new("[sip]\nport = 5070\n");
    let (first, second) = (fixture.load(), fixture.load());
    first.set("sip.port", "5080").expect("a port");
    second.set("rtp.use_srtp", "true").expect("a switch");
    let settings = fixture.load().settings();
    assert_eq!((settings.sip.port, settings.rtp.use_srtp), (5080, true));
}

#[test]
fn the_file_is_ours_alone_and_whole() {
    let fixture = Fixture::new("");
    std::fs::remove_file(fixture.path()).expect("the file");
    let settings = fixture.load();
    settings.add_account(&account("sip:alice@example.com", "hunter2")).expect("an account");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(fixture.path()).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let left = std::fs::read_dir(fixture.folder.path()).expect("the folder").count();
    assert_eq!(left, 1, "no temporary file is left");
    assert_eq!(fixture.load().accounts(), [account("alice@example.com", "hunter2")]);
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let fixture = Fixture::new("");
    let link = fixture.folder.path().join("link.toml");
    std::os::unix::fs::symlink(fixture.path(), &link).expect("a link");
    let settings = SettingsManager::load(&link, NotificationCenter::new()).expect("the file is right");
    settings.set("sip.port", "5080").expect("a port");
    assert!(std::fs::symlink_metadata(&link).expect("the link").is_symlink());
    assert!(fixture.text().contains("5080"));
}

#[test]
fn changes_are_told() {
    let settings = SettingsManager::in_memory(NotificationCenter::new());
    let (told, _subscription) = listen(&settings);
    settings.set("sip.port", "5080").expect("a port");
    settings.set("sip.port", "5080").expect("the same is no change");
    settings.add_account(&account("alice@example.com", "hunter2")).expect("an account");
    settings.set("account.alice@example.com.expires", "60").expect("a number");
    settings.set("account.alice@example.com.password", "hunter3").expect("a password");
    settings.remove_account("sip:alice@example.com").expect("it is there");
    settings.notification_center().flush();
    let expected = [
        "settings CFGSettingsObjectDidChange sip.port: Some(Number(5060)) -> Some(Number(5080))",
        "account alice@example.com CFGSettingsObjectWasCreated",
        "account alice@example.com CFGSettingsObjectDidChange expires: Some(Number(3600)) -> Some(Number(60))",
        "account alice@example.com CFGSettingsObjectDidChange password: Some(Text(\"…\")) -> Some(Text(\"…\"))",
        "account alice@example.com CFGSettingsObjectWasDeleted",
    ];
    assert_eq!(*told.lock().expect("no panic"), expected);
}

#[test]
fn what_is_asked_for_and_is_not_there_is_an_error() {
    let settings = SettingsManager::in_memory(NotificationCenter::new());
    assert!(settings.account(None).is_err());
    assert!(settings.account(Some("alice@example.com")).is_err());
    assert!(settings.remove_account("alice@example.com").is_err());
    assert!(settings.get("account.alice@example.com.expires").is_err());
    assert!(settings.set("account.alice@example.com.expires", "60").is_err());
    assert!(settings.set("nonsense", "1").is_err());
    settings.add_account(&account("alice@example.com", "x")).expect("an account");
    assert!(settings.add_account(&account("sip:alice@EXAMPLE.com", "x")).is_err(), "it is there already");
    assert_eq!(settings.account(None).expect("the only one").id(), "alice@example.com");
}

#[test]
fn a_list_of_settings_shows_no_secret() {
    let settings = SettingsManager::in_memory(NotificationCenter::new());
    settings.add_account(&account("alice@example.com", "hunter2")).expect("an account");
    settings.overlay_argument("account.alice@example.com.turn_password", "hunter3").expect("a password");
    let list = settings.list();
    let entry =
        list.iter().find(|entry| entry.key == "account.alice@example.com.password").expect("the password");
    assert_eq!(entry.value, Some(Value::Text("…".to_owned())));
    assert!(!format!("{list:?} {settings:?} {:?}", settings.settings()).contains("hunter"));
    let port = list.iter().find(|entry| entry.key == "sip.port").expect("the port");
    assert_eq!(
        (&port.value, &port.default, &port.origin),
        (&Some(Value::Number(5060)), &Some(Value::Number(5060)), &Origin::Default)
    );
    assert!(list.iter().all(|entry| !entry.words.trim().is_empty()));
}
