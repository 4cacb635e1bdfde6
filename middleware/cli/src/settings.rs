//! `sipsimple settings`, and what the settings say for the other commands.
//!
//! A setting that has an option is put on the command line, unless the option is there: so that
//! options prevail, and each is judged in one place. What has no option goes into the application's
//! builder.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, CommandFactory, Subcommand};
use serde_json::json;
use sipsimple::Account;
use sipsimple::configuration::SrtpPolicy;
use sipsimple::notification::{NotificationCenter, Value};
use sipsimple::settings::{AccountSettings, Origin, SettingEntry, SettingsError, SettingsManager, example};

use crate::Failure;
use crate::arguments::{Arguments, Common};
use crate::output::{Output, to_json, to_text};

/// The variable that names the file.
const VARIABLE: &str = "SIPSIMPLE_CONFIG";

/// Settings that are options: key and option.
const OPTIONS: [(&str, &str); 12] = [
    ("sip.bind", "bind"),
    ("sip.port", "port"),
    ("sip.transports", "transport"),
    ("tls.certificate", "tls-cert"),
    ("tls.key", "tls-key"),
    ("tls.authorities", "tls-ca"),
    ("tls.verify", "tls-verify"),
    ("rtp.codecs", "codecs"),
    ("msrp.local_use_tls", "msrp-tls"),
    ("audio.output_device", "device"),
    ("agent.accept", "accept"),
    ("agent.max_sessions", "max-calls"),
];

/// Settings of an account that are options.
const ACCOUNT_OPTIONS: [(&str, &str); 3] =
    [("registrar", "registrar"), ("expires", "expires"), ("msrp_relay", "msrp-relay")];

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple settings set rtp.use_srtp true\n  sipsimple settings account add alice@example.com --password-env SIP_PASSWORD\n  sipsimple settings set account.alice@example.com.expires 600\n  sipsimple settings list rtp"
)]
pub(crate) struct SettingsCommand {
    #[command(subcommand)]
    action: Action,
    /// The settings file [default: $SIPSIMPLE_CONFIG, else settings.toml in the user's folder]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All settings, or those whose keys begin so: value, and where it comes from
    List {
        /// The beginning of keys, such as `rtp` or `account.alice@example.com`
        prefix: Option<String>,
    },
    /// One setting
    Get {
        /// Its key, such as `rtp.use_srtp`
        key: String,
    },
    /// Change a setting in the file; passwords come from a variable or a file
    Set {
        /// Its key
        key: String,
        /// Its value; lists with commas; empty: not set
        #[arg(required_unless_present_any = ["from_env", "from_file"])]
        value: Option<String>,
        /// Take the value from this environment variable
        #[arg(long, value_name = "VAR", conflicts_with = "value")]
        from_env: Option<String>,
        /// Take the value from this file
        #[arg(long, value_name = "F", conflicts_with_all = ["value", "from_env"])]
        from_file: Option<PathBuf>,
    },
    /// Forget a setting in the file, so that its default holds
    Reset {
        /// Its key
        key: String,
    },
    /// Accounts
    #[command(subcommand)]
    Account(AccountAction),
    /// Where the file is
    Path,
    /// A file with every key, its words and its default
    Example,
}

#[derive(Debug, Subcommand)]
enum AccountAction {
    /// All accounts
    List,
    /// Add an account
    Add {
        /// Its address: user@domain
        id: String,
        /// Read the password from this environment variable
        #[arg(long, value_name = "VAR")]
        password_env: Option<String>,
        /// Read the password from this file
        #[arg(long, value_name = "F", conflicts_with = "password_env")]
        password_file: Option<PathBuf>,
        /// The name shown beside the address
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
    },
    /// Remove an account
    Remove {
        /// Its address
        id: String,
    },
}

/// `sipsimple settings …`
pub(crate) fn run(command: SettingsCommand, output: &Arc<Output>) -> Result<(), Failure> {
    if let Action::Example = command.action {
        let text = example();
        output.answer(&json!({"name": "example", "text": text}), text.trim_end());
        return Ok(());
    }
    let path = command.config.or_else(named_by_environment).or_else(usual_path).ok_or_else(|| {
        Failure::Usage("there is no folder for settings; say which file: --config FILE".to_owned())
    })?;
    if let Action::Path = command.action {
        output.answer(&json!({"name": "path", "path": path.to_string_lossy()}), &path.to_string_lossy());
        return Ok(());
    }
    let settings = open(&path)?;
    match command.action {
        Action::List { prefix } => {
            let prefix = prefix.unwrap_or_default();
            let within = |key: &str| {
                key.strip_prefix(&prefix).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('.') || prefix.is_empty() || prefix.ends_with('.')
                })
            };
            for entry in settings.list().iter().filter(|entry| within(&entry.key)) {
                show(entry, output);
            }
        }
        Action::Get { key } => show(&settings.get(&key)?, output),
        Action::Set { key, value, from_env, from_file } => {
            let secret = settings.get(&key)?.secret;
            if secret && value.as_deref().is_some_and(|value| !value.is_empty()) {
                let what = format!(
                    "{key}: a password on the command line is seen by others; use --from-env or --from-file"
                );
                return Err(Failure::Usage(what));
            }
            let value = secret_or(value, from_env.as_deref(), from_file.as_deref())?.unwrap_or_default();
            settings.set(&key, &value)?;
            show(&settings.get(&key)?, output);
        }
        Action::Reset { key } => {
            settings.reset(&key)?;
            show(&settings.get(&key)?, output);
        }
        Action::Account(AccountAction::List) => {
            for account in settings.accounts() {
                show_account(&account, output);
            }
        }
        Action::Account(AccountAction::Add { id, password_env, password_file, display_name }) => {
            let password = secret_or(None, password_env.as_deref(), password_file.as_deref())?;
            let fields = AccountSettings {
                password: password.map(sipsimple::settings::Secret::new),
                display_name,
                ..AccountSettings::default()
            };
            let account =
                Account::with_settings(&id, fields).map_err(|error| Failure::Usage(error.to_string()))?;
            settings.add_account(&account)?;
            show_account(&account, output);
        }
        Action::Account(AccountAction::Remove { id }) => settings.remove_account(&id)?,
        Action::Path | Action::Example => {}
    }
    Ok(())
}

/// What the settings file and the environment say; defaults where there is no file.
pub(crate) fn load(common: &Common) -> Result<SettingsManager, SettingsError> {
    load_from(common.config.as_deref())
}

/// The account that the options or the settings name, if any.
pub(crate) fn account(common: &Common) -> Result<Option<Account>, SettingsError> {
    account_of(&load(common)?, common.account.as_deref())
}

/// The command line with what the settings say where it says nothing.
pub(crate) fn command_line(mut arguments: Vec<OsString>) -> Result<Vec<OsString>, SettingsError> {
    let command = Arguments::command();
    // The program's name, and the command; there are no options before it.
    let Some(found) = arguments.get(1).and_then(|name| command.find_subcommand(name)) else {
        return Ok(arguments);
    };
    let has = |option: &str| found.get_arguments().any(|argument| argument.get_long() == Some(option));
    if !has("config") || !has("account") || asks_for_help(&arguments) {
        return Ok(arguments);
    }
    let settings = load_from(option(&arguments, "config").as_deref().map(Path::new))?;
    let named = option(&arguments, "account");
    let account = account_of(&settings, named.as_deref().and_then(OsStr::to_str))?;
    let mut extra: Vec<OsString> = Vec::new();
    for (name, value) in of_settings(&settings, account.as_ref())? {
        // The lifetime of an account's registration is not that of other things.
        let others = name == "expires" && matches!(found.get_name(), "subscribe" | "publish");
        if has(name) && !others && !is_there(&arguments, name) {
            extra.push(match value {
                Some(value) => format!("--{name}={value}").into(),
                None => format!("--{name}").into(),
            });
        }
    }
    arguments.splice(2..2, extra);
    Ok(arguments)
}

/// Options and their values as the settings have them; what nobody set is left to the program.
fn of_settings(
    settings: &SettingsManager,
    account: Option<&Account>,
) -> Result<Vec<(&'static str, Option<String>)>, SettingsError> {
    let mut options = Vec::new();
    let mut add = |key: &str, option: &'static str| -> Result<(), SettingsError> {
        let entry = settings.get(key)?;
        if entry.origin == Origin::Default {
            return Ok(());
        }
        match entry.value {
            Some(Value::List(values)) if option == "transport" => {
                options.extend(values.iter().map(|value| (option, Some(to_text(value)))));
            }
            Some(Value::Bool(value)) => {
                options.push((option, Some(if value { "yes" } else { "no" }.to_owned())))
            }
            Some(Value::List(values)) => {
                let values: Vec<String> = values.iter().map(|value| to_text(value).to_lowercase()).collect();
                options.push((option, Some(values.join(","))));
            }
            Some(Value::Text(text)) => options.push((option, Some(text))),
            Some(value) => options.push((option, Some(to_text(&value)))),
            None => {}
        }
        Ok(())
    };
    for (key, option) in OPTIONS {
        add(key, option)?;
    }
    if let Some(account) = account {
        for (key, option) in ACCOUNT_OPTIONS {
            add(&format!("account.{}.{key}", account.id()), option)?;
        }
    }
    let now = settings.settings();
    let proxy = account.and_then(|account| account.settings().proxy.as_ref()).or(now.sip.proxy.as_ref());
    options.extend(proxy.map(|proxy| ("proxy", Some(proxy.to_string()))));
    options.extend(now.trace.file.as_ref().map(|file| ("trace", Some(file.to_string_lossy().into_owned()))));
    if now.trace.secrets {
        options.push(("trace-secrets", None));
    }
    match now.rtp_config().srtp_policy() {
        SrtpPolicy::Off => {}
        SrtpPolicy::Optional => options.push(("srtp", Some("optional".to_owned()))),
        SrtpPolicy::Mandatory => options.push(("srtp", Some("mandatory".to_owned()))),
    }
    if let Some(account) = account {
        options.push(("from", Some(account.uri().to_string())));
        if account.settings().register {
            options.push(("register", None));
        }
    }
    Ok(options)
}

fn load_from(path: Option<&Path>) -> Result<SettingsManager, SettingsError> {
    let named = path.map(Path::to_owned).or_else(named_by_environment);
    if let Some(path) = named.as_ref().filter(|path| !path.exists()) {
        return Err(SettingsError {
            origin: Origin::File(path.clone()),
            line: None,
            key: String::new(),
            problem: "there is no such file".to_owned(),
        });
    }
    match named.or_else(usual_path) {
        Some(path) => open(&path),
        None => {
            let settings = SettingsManager::in_memory(NotificationCenter::new());
            settings.overlay_environment(variables())?;
            Ok(settings)
        }
    }
}

fn open(path: &Path) -> Result<SettingsManager, SettingsError> {
    let settings = SettingsManager::load(path, NotificationCenter::new())?;
    settings.overlay_environment(variables())?;
    Ok(settings)
}

/// The variables that are text; others are none of ours.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn named_by_environment() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// `~/.config/sipsimple/settings.toml`, or where the system has such files.
fn usual_path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let folder =
        set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config"))).or_else(|| set("APPDATA"))?;
    Some(folder.join("sipsimple/settings.toml"))
}

fn account_of(settings: &SettingsManager, name: Option<&str>) -> Result<Option<Account>, SettingsError> {
    if name.is_none() && settings.settings().agent.default_account.is_none() {
        return Ok(None);
    }
    settings.account(name).map(Some)
}

/// `--name VALUE` or `--name=VALUE`, as far as options go.
fn option(arguments: &[OsString], name: &str) -> Option<OsString> {
    let flag = format!("--{name}");
    let mut rest = options(arguments);
    while let Some(argument) = rest.next() {
        if argument == flag.as_str() {
            return rest.next().cloned();
        }
        if let Some(value) = argument.to_str().and_then(|text| text.strip_prefix(&flag)?.strip_prefix('=')) {
            return Some(value.into());
        }
    }
    None
}

fn is_there(arguments: &[OsString], name: &str) -> bool {
    let flag = format!("--{name}");
    options(arguments).any(|argument| {
        argument
            .to_str()
            .and_then(|text| text.strip_prefix(&flag))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

fn asks_for_help(arguments: &[OsString]) -> bool {
    options(arguments).any(|argument| ["--help", "-h", "--version", "-V"].iter().any(|help| argument == help))
}

fn options(arguments: &[OsString]) -> impl Iterator<Item = &OsString> {
    arguments.iter().take_while(|argument| *argument != "--")
}

fn secret_or(
    value: Option<String>,
    variable: Option<&str>,
    path: Option<&Path>,
) -> Result<Option<String>, Failure> {
    if let Some(variable) = variable {
        let value = std::env::var(variable);
        return value.map(Some).map_err(|_| Failure::Usage(format!("{variable} is not set")));
    }
    if let Some(path) = path {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
        return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Ok(value)
}

fn show(entry: &SettingEntry, output: &Output) {
    let json = |value: &Option<Value>| value.as_ref().map_or(serde_json::Value::Null, to_json);
    let object = json!({
        "name": "setting",
        "key": entry.key,
        "value": json(&entry.value),
        "default": json(&entry.default),
        "origin": entry.origin.to_string(),
        "expected": entry.expected,
        "words": entry.words.trim().lines().map(str::trim).collect::<Vec<_>>().join(" "),
    });
    let value = entry.value.as_ref().map_or_else(|| "(not set)".to_owned(), to_text);
    let origin =
        if entry.origin == Origin::Default { String::new() } else { format!("   # {}", entry.origin) };
    output.answer(&object, &format!("{} = {value}{origin}", entry.key));
}

fn show_account(account: &Account, output: &Output) {
    let settings = account.settings();
    let object = json!({
        "name": "account",
        "id": account.id(),
        "uri": account.uri().to_string(),
        "display_name": settings.display_name,
        "register": settings.register,
        "has_password": settings.password.is_some(),
    });
    output.answer(&object, account.id());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn expanded(text: &str, line: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, text).expect("a file");
        let line = format!("{line} --config {}", path.display());
        let expanded = command_line(arguments(&line)).expect("the settings are right");
        let texts = expanded.into_iter().map(|argument| argument.into_string().expect("text"));
        texts.skip(2).filter(|argument| argument.starts_with("--") && argument != "--config").collect()
    }

    #[test]
    fn settings_become_options_that_options_prevail_over() {
        let text = "[sip]\nport = 5070\ntransports = [\"udp\", \"tls\"]\n[rtp]\nuse_srtp = true\ncodecs = [\"PCMU\"]\n[msrp]\nlocal_use_tls = false\n";
        let expected = [
            "--port=5070",
            "--transport=udp",
            "--transport=tls",
            "--codecs=pcmu",
            "--msrp-tls=no",
            "--srtp=optional",
        ];
        assert_eq!(expanded(text, "sipsimple listen"), expected);
        let kept = expanded(text, "sipsimple listen --port 5080 --srtp=off --transport tcp");
        assert_eq!(kept, ["--codecs=pcmu", "--msrp-tls=no", "--port", "--srtp=off", "--transport"]);
        assert!(expanded(text, "sipsimple inspect file").is_empty(), "only what has the option");
    }

    #[test]
    fn an_account_becomes_from_and_registrar() {
        let text = "[account.\"alice@example.com\"]\nregistrar = \"sip:192.0.2.1\"\nproxy = \"sip:192.0.2.2\"\nregister = true\nexpires = 60\n";
        assert!(expanded(text, "sipsimple listen").is_empty(), "none is named, and none is the default");
        let named = expanded(text, "sipsimple listen --account alice@example.com");
        let expected = [
            "--registrar=sip:192.0.2.1",
            "--expires=60",
            "--proxy=sip:192.0.2.2",
            "--from=sip:alice@example.com",
            "--register",
            "--account",
        ];
        assert_eq!(named, expected);
        let default = format!("[agent]\ndefault_account = \"alice@example.com\"\n{text}");
        assert!(
            expanded(&default, "sipsimple call sip:bob@example.com")
                .contains(&"--from=sip:alice@example.com".to_owned())
        );
    }

    #[test]
    fn what_comes_out_is_a_command_line() {
        use clap::Parser;
        let text = "[agent]\ndefault_account = \"a@b\"\naccept = [\"audio\"]\nmax_sessions = 2\n[sip]\nbind = \"192.0.2.1\"\nport = 0\ntransports = [\"wss\"]\n\
            [tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\nauthorities = \"a.pem\"\nverify = false\n[rtp]\nuse_srtp = true\nsrtp_forced = true\ncodecs = [\"opus\", \"G722\"]\n\
            [msrp]\nlocal_use_tls = false\n[audio]\noutput_device = \"null\"\n[trace]\nfile = \"t.pcap\"\nsecrets = true\n[account.\"a@b\"]\nregister = true\nexpires = 60\nregistrar = \"sip:b\"\n";
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, text).expect("a file");
        for command in ["listen", "call sip:bob@example.com", "message sip:bob@example.com hello", "register"]
        {
            let line = arguments(&format!("sipsimple {command} --config {}", path.display()));
            let expanded = command_line(line).expect("the settings are right");
            Arguments::try_parse_from(&expanded).unwrap_or_else(|error| panic!("{expanded:?}: {error}"));
        }
    }
}
