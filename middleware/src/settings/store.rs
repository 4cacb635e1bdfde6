//! The settings of a running program: layers, changes, the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use toml_edit::{DocumentMut, Item, Table, Value};
use zeroize::Zeroizing;

use super::error::{Origin, SettingsError};
use super::layers::{self, ACCOUNTS, Key};
use super::sections::{AccountSettings, Section, Settings};
use crate::account::{Account, normal_id};
use crate::driver;
use crate::notification::{NotificationCenter, Sender, SettingChange, SettingsEvent};

/// Bytes of a file that is read.
const MAX_SIZE: u64 = 1 << 20;

/// The settings of a program, which every part of it reads and writes through.
///
/// Three layers lie over the defaults: the file, the environment and the command line. What is
/// changed is changed in the file, at once and atomically; comments and formatting stay. A file
/// with an error is never overwritten.
///
/// Changes are told by `CFGSettingsObjectDidChange`, `CFGSettingsObjectWasCreated` and
/// `CFGSettingsObjectWasDeleted`. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct SettingsManager {
    shared: Arc<Shared>,
}

/// A setting with what is known of it, for programs that list them.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingEntry {
    /// `rtp.use_srtp`, `account.alice@example.com.expires`.
    pub key: String,
    /// Its value as the API shows it; `None`: not set. Of a secret only whether it is set.
    pub value: Option<crate::notification::Value>,
    /// Its default.
    pub default: Option<crate::notification::Value>,
    /// Where the value comes from.
    pub origin: Origin,
    /// What it is, in words.
    pub words: &'static str,
    /// What its values are.
    pub expected: &'static str,
    /// Whether its value is shown to nobody.
    pub secret: bool,
}

struct Shared {
    path: Option<PathBuf>,
    center: NotificationCenter,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Settings,
    /// What lies over the file: keys with their text, the later ones on top.
    over: Vec<(Key, Zeroizing<String>, Origin)>,
    effective: Arc<Settings>,
}

impl SettingsManager {
    /// Defaults alone, in memory.
    #[must_use]
    pub fn in_memory(center: NotificationCenter) -> Self {
        Self::with_state(None, center, State::default())
    }

    /// Reads a file; one that is not there is empty.
    ///
    /// # Errors
    /// If it cannot be read, is not TOML, has an unknown key or a value that is not of its type.
    pub fn load(path: impl Into<PathBuf>, center: NotificationCenter) -> Result<Self, SettingsError> {
        let path = path.into();
        let file = layers::read(&read_file(&path)?, &path)?;
        warn_of_readers(&path, &file);
        let effective = Arc::new(file.clone());
        Ok(Self::with_state(Some(path), center, State { file, over: Vec::new(), effective }))
    }

    fn with_state(path: Option<PathBuf>, center: NotificationCenter, state: State) -> Self {
        Self { shared: Arc::new(Shared { path, center, state: Mutex::new(state) }) }
    }

    /// Puts variables such as `SIPSIMPLE_RTP_USE_SRTP=true` over the file, as
    /// [`std::env::vars`] gives them. `SIPSIMPLE_ACCOUNT_PASSWORD` and its like are of the default
    /// account. Others are left alone.
    ///
    /// # Errors
    /// If a variable names an unknown key, or its value is not of its type.
    pub fn overlay_environment(
        &self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        // Variables have no order of their own; that of their names is always the same.
        let variables: BTreeMap<String, String> = variables.into_iter().collect();
        for (name, text) in variables {
            let text = Zeroizing::new(text);
            let Some(key) = layers::variable(&self.settings(), &name) else { continue };
            let origin = Origin::Environment(name);
            let key = key.map_err(|problem| SettingsError::new(origin.clone(), "", problem))?;
            self.overlay(key, text, origin)?;
        }
        Ok(())
    }

    /// Puts a value over file and environment, for as long as the program runs.
    ///
    /// # Errors
    /// If the key is unknown or the value not of its type.
    pub fn overlay_argument(&self, key: &str, text: &str) -> Result<(), SettingsError> {
        let key = resolve(key)?;
        self.overlay(key, Zeroizing::new(text.to_owned()), Origin::CommandLine)
    }

    fn overlay(&self, key: Key, text: Zeroizing<String>, origin: Origin) -> Result<(), SettingsError> {
        self.change(|state| {
            state.over.push((key, text, origin));
            let mended = state.merged();
            if mended.is_err() {
                state.over.pop();
            }
            mended
        })
    }

    /// What holds now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.lock().effective.clone()
    }

    /// The file, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.shared.path.as_deref()
    }

    /// The centre that tells of changes.
    #[must_use]
    pub fn notification_center(&self) -> &NotificationCenter {
        &self.shared.center
    }

    /// An application as the settings have it, whose notifications go to the same centre.
    #[must_use]
    pub fn builder(&self) -> crate::application::Builder {
        self.settings().builder().notification_center(self.shared.center.clone())
    }

    /// One setting.
    ///
    /// # Errors
    /// If there is none of this key.
    pub fn get(&self, key: &str) -> Result<SettingEntry, SettingsError> {
        let key = resolve(key)?;
        let state = self.lock();
        if let Key::Account(id, _) = &key
            && !state.effective.accounts.contains_key(id)
        {
            return Err(no_account(id));
        }
        Ok(self.entry(&state, &key))
    }

    /// All settings, those of accounts too.
    #[must_use]
    pub fn list(&self) -> Vec<SettingEntry> {
        let state = self.lock();
        let ids: Vec<&String> = state.effective.accounts.keys().collect();
        keys(&ids).iter().map(|key| self.entry(&state, key)).collect()
    }

    /// Changes a setting in the file. The text is as in the environment: `true`, `90`,
    /// `udp,tls`; empty: not set.
    ///
    /// # Errors
    /// If the key is unknown, the value not of its type, or the file cannot be written or has an
    /// error.
    pub fn set(&self, key: &str, text: &str) -> Result<(), SettingsError> {
        let key = resolve(key)?;
        let mut wanted = self.lock().file.clone();
        layers::set(&mut wanted, &key, text, || Origin::CommandLine)?;
        let value = value_of(&wanted, &key);
        self.edit(|document| put(document, &key, value))
    }

    /// Forgets what the file says of a setting, so that its default holds.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn reset(&self, key: &str) -> Result<(), SettingsError> {
        let key = resolve(key)?;
        self.edit(|document| put(document, &key, None))
    }

    /// The accounts.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        let settings = self.settings();
        settings.accounts.iter().map(|(id, settings)| Account::new(id.clone(), settings.clone())).collect()
    }

    /// The account of this name (`alice@example.com`, with `sip:` or without); without a name the
    /// default one, or the only one.
    ///
    /// # Errors
    /// If there is none.
    pub fn account(&self, id: Option<&str>) -> Result<Account, SettingsError> {
        let settings = self.settings();
        let only = || settings.accounts.keys().next().filter(|_| settings.accounts.len() == 1).cloned();
        let id = match id.or(settings.agent.default_account.as_deref()) {
            Some(id) => normal_id(id).ok_or_else(|| no_account(id))?,
            None => only().ok_or_else(|| {
                SettingsError::new(Origin::CommandLine, "", "no account is named, and none is the default")
            })?,
        };
        let account = settings.accounts.get(&id).ok_or_else(|| no_account(&id))?;
        Ok(Account::new(id, account.clone()))
    }

    /// Adds an account to the file: `CFGSettingsObjectWasCreated`.
    ///
    /// # Errors
    /// If there is one of this name, or the file cannot be written or has an error.
    pub fn add_account(&self, account: &Account) -> Result<(), SettingsError> {
        let id = account.id().to_owned();
        if self.lock().file.accounts.contains_key(&id) {
            return Err(SettingsError::new(
                Origin::CommandLine,
                format!("{ACCOUNTS}.{id}"),
                "is there already",
            ));
        }
        let settings = account.settings();
        self.edit(|document| {
            let mut table = Table::new();
            let defaults = AccountSettings::default();
            for definition in AccountSettings::definitions() {
                let value = settings.value(definition.name);
                if let Some(value) = value.filter(|_| !same(settings, &defaults, definition.name)) {
                    table.insert(definition.name, Item::Value(value));
                }
            }
            accounts_table(document).insert(&id, Item::Table(table));
        })
    }

    /// Removes an account from the file: `CFGSettingsObjectWasDeleted`.
    ///
    /// # Errors
    /// If there is none of this name, or the file cannot be written or has an error.
    pub fn remove_account(&self, id: &str) -> Result<(), SettingsError> {
        let id = normal_id(id)
            .filter(|id| self.lock().file.accounts.contains_key(id))
            .ok_or_else(|| no_account(id))?;
        self.edit(|document| {
            let table = accounts_table(document);
            let spelled: Vec<String> = table
                .iter()
                .map(|(name, _)| name.to_owned())
                .filter(|name| normal_id(name).as_deref() == Some(&id))
                .collect();
            for name in spelled {
                table.remove(&name);
            }
        })
    }

    /// Changes the file as it is now, not as it was when it was read, and tells what came of it.
    fn edit(&self, change: impl FnOnce(&mut DocumentMut)) -> Result<(), SettingsError> {
        let path = self.shared.path.as_deref();
        self.change(|state| {
            let name = path.unwrap_or(Path::new("settings"));
            let before = match path {
                Some(path) => read_file(path)?,
                None => Zeroizing::new(render(&state.file)),
            };
            layers::read(&before, name)?;
            let ill_formed = |_| SettingsError::new(Origin::File(name.to_owned()), "", "expected TOML");
            let mut document: DocumentMut = before.parse().map_err(ill_formed)?;
            change(&mut document);
            let after = Zeroizing::new(document.to_string());
            let file = layers::read(&after, name)?;
            let previous = std::mem::replace(&mut state.file, file);
            let merged = match state.merged() {
                Ok(merged) => merged,
                Err(error) => {
                    state.file = previous;
                    return Err(error);
                }
            };
            if let Some(path) = path
                && let Err(error) = write_file(path, &after)
            {
                state.file = previous;
                return Err(error);
            }
            Ok(merged)
        })
    }

    /// Lets `change` have the state, takes the settings it returns, and posts what is different.
    fn change(
        &self,
        change: impl FnOnce(&mut State) -> Result<Settings, SettingsError>,
    ) -> Result<(), SettingsError> {
        let mut state = self.lock();
        let after = Arc::new(change(&mut state)?);
        let before = std::mem::replace(&mut state.effective, after.clone());
        // Posting runs no handler, so that the lock may be held, and order is that of changes.
        for (sender, event) in differences(&before, &after) {
            self.shared.center.post(driver::now().wall, sender, event);
        }
        Ok(())
    }

    fn entry(&self, state: &State, key: &Key) -> SettingEntry {
        let definition = key.definition();
        let over = state.over.iter().filter(|(other, _, _)| other == key);
        let over = over.map(|(_, _, origin)| origin).max_by_key(|origin| **origin == Origin::CommandLine);
        let default = match key {
            Key::Section(section, name) => Settings::default().value_in(section, name),
            Key::Account(_, name) => AccountSettings::default().value(name),
        };
        let value = value_of(&state.effective, key);
        let from_file = || match &self.shared.path {
            Some(path) if shown(&value) != shown(&default) => Origin::File(path.clone()),
            _ => Origin::Default,
        };
        SettingEntry {
            key: key.to_string(),
            origin: over.cloned().unwrap_or_else(from_file),
            value: if definition.secret { value.map(|_| "…".into()) } else { value.as_ref().map(plain) },
            default: if definition.secret { None } else { default.as_ref().map(plain) },
            words: definition.words,
            expected: definition.expected,
            secret: definition.secret,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for SettingsManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SettingsManager").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl State {
    fn merged(&self) -> Result<Settings, SettingsError> {
        let mut settings = self.file.clone();
        // The environment first, whatever came first.
        let layer = |command_line: bool| {
            self.over.iter().filter(move |(_, _, origin)| (*origin == Origin::CommandLine) == command_line)
        };
        for (key, text, origin) in layer(false).chain(layer(true)) {
            layers::set(&mut settings, key, text, || origin.clone())?;
        }
        Ok(settings)
    }
}

fn resolve(key: &str) -> Result<Key, SettingsError> {
    Key::parse(key).map_err(|problem| SettingsError::new(Origin::CommandLine, key, problem))
}

fn no_account(id: &str) -> SettingsError {
    SettingsError::new(Origin::CommandLine, "", format!("there is no account {id}"))
}

fn keys(accounts: &[&String]) -> Vec<Key> {
    let sections = Settings::sections();
    let of_sections =
        sections.iter().flat_map(|(section, _, keys)| keys.iter().map(|key| Key::Section(section, key.name)));
    let of_accounts = accounts.iter().flat_map(|id| {
        AccountSettings::definitions().iter().map(|key| Key::Account((*id).clone(), key.name))
    });
    of_sections.chain(of_accounts).collect()
}

fn value_of(settings: &Settings, key: &Key) -> Option<Value> {
    match key {
        Key::Section(section, name) => settings.value_in(section, name),
        Key::Account(id, name) => settings.accounts.get(id)?.value(name),
    }
}

fn shown(value: &Option<Value>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

fn same(one: &AccountSettings, other: &AccountSettings, name: &str) -> bool {
    shown(&one.value(name)) == shown(&other.value(name))
}

/// A value without its formatting.
fn plain(value: &Value) -> crate::notification::Value {
    use crate::notification::Value as Plain;
    match value {
        Value::Boolean(value) => Plain::Bool(*value.value()),
        Value::Integer(value) => Plain::Number(*value.value()),
        Value::String(value) => Plain::Text(value.value().clone()),
        Value::Array(values) => Plain::List(values.iter().map(plain).collect()),
        Value::InlineTable(table) => {
            Plain::Map(table.iter().map(|(name, value)| (name.to_owned(), plain(value))).collect())
        }
        other => Plain::Text(other.to_string().trim().to_owned()),
    }
}

/// What has to be told of a change.
fn differences(before: &Settings, after: &Settings) -> Vec<(Sender, SettingsEvent)> {
    let mut events = Vec::new();
    let modified = |keys: Vec<Key>| -> Vec<SettingChange> {
        keys.into_iter()
            .filter_map(|key| {
                let (old, new) = (value_of(before, &key), value_of(after, &key));
                if shown(&old) == shown(&new) {
                    return None;
                }
                let show = |value: Option<Value>| match key.definition().secret {
                    true => value.map(|_| "…".into()),
                    false => value.as_ref().map(plain),
                };
                let name = match &key {
                    Key::Section(..) => key.to_string(),
                    Key::Account(_, name) => (*name).to_owned(),
                };
                Some(SettingChange { name, old: show(old), new: show(new) })
            })
            .collect()
    };
    let of_sections = modified(keys(&[]));
    if !of_sections.is_empty() {
        events.push((Sender::Settings, SettingsEvent::DidChange { modified: of_sections }));
    }
    for id in before.accounts.keys().filter(|id| !after.accounts.contains_key(*id)) {
        events.push((Sender::Account(id.clone()), SettingsEvent::WasDeleted));
    }
    for id in after.accounts.keys() {
        let sender = Sender::Account(id.clone());
        if !before.accounts.contains_key(id) {
            events.push((sender, SettingsEvent::WasCreated));
            continue;
        }
        let names = AccountSettings::definitions().iter().map(|key| Key::Account(id.clone(), key.name));
        let modified = modified(names.collect());
        if !modified.is_empty() {
            events.push((sender, SettingsEvent::DidChange { modified }));
        }
    }
    events
}

/// Sets or removes a key of a document, leaving what is around it as it is.
fn put(document: &mut DocumentMut, key: &Key, value: Option<Value>) {
    let (table, name) = match key {
        Key::Section(section, name) => {
            if value.is_none() && !document.contains_key(section) {
                return;
            }
            (document.entry(section).or_insert_with(|| Item::Table(Table::new())), *name)
        }
        Key::Account(id, name) => {
            let accounts = accounts_table(document);
            let spelled = accounts.iter().map(|(name, _)| name.to_owned());
            let spelled = spelled.into_iter().find(|name| normal_id(name).as_deref() == Some(id));
            let spelled = spelled.unwrap_or_else(|| id.clone());
            (accounts.entry(&spelled).or_insert(Item::Table(Table::new())), *name)
        }
    };
    let Some(table) = table.as_table_like_mut() else { return };
    match (value, table.get_mut(name)) {
        (Some(value), Some(Item::Value(old))) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        (Some(value), _) => {
            table.insert(name, Item::Value(value));
        }
        (None, _) => {
            table.remove(name);
        }
    }
}

fn accounts_table(document: &mut DocumentMut) -> &mut dyn toml_edit::TableLike {
    let implicit = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    let item = document.entry(ACCOUNTS).or_insert_with(implicit);
    item.as_table_like_mut().expect("the document was read before it is changed: accounts are a table")
}

/// A file that says what is not as by default.
fn render(settings: &Settings) -> String {
    let mut document = DocumentMut::new();
    let defaults = Settings::default();
    let ids: Vec<&String> = settings.accounts.keys().collect();
    for id in &ids {
        accounts_table(&mut document).insert(id, Item::Table(Table::new()));
    }
    for key in keys(&ids) {
        let value = value_of(settings, &key);
        let default = match &key {
            Key::Section(section, name) => defaults.value_in(section, name),
            Key::Account(_, name) => AccountSettings::default().value(name),
        };
        if shown(&value) != shown(&default) {
            put(&mut document, &key, value);
        }
    }
    document.to_string()
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, SettingsError> {
    let error = |error: io::Error| SettingsError::system(path, "cannot be read", &error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Zeroizing::default()),
        Err(other) => return Err(error(other)),
    };
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_SIZE + 1).read_to_string(&mut text).map_err(error)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_SIZE) {
        return Err(SettingsError::new(Origin::File(path.to_owned()), "", "expected at most 1 MiB"));
    }
    Ok(text)
}

/// A file with passwords that others can read deserves a word.
fn warn_of_readers(path: &Path, settings: &Settings) {
    let has_secret = settings
        .accounts
        .values()
        .any(|account| account.password.is_some() || account.turn_password.is_some());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
        if has_secret && open {
            tracing::warn!(path = %path.display(), "others can read this file, and it has passwords");
        }
    }
    #[cfg(not(unix))]
    let _ = (path, has_secret);
}

/// Writes a new file beside the old one and puts it in its place: whoever reads sees one or the
/// other, and nobody else sees either.
fn write_file(path: &Path, text: &str) -> Result<(), SettingsError> {
    // What a link points to is replaced, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| SettingsError::system(folder, "cannot be made", &error))?;
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    let temporary = folder.join(name);
    let written = write_new(&temporary, text).and_then(|()| fs::rename(&temporary, &target));
    written.map_err(|error| {
        // It may not be there; then there is nothing to remove.
        let _ = fs::remove_file(&temporary);
        SettingsError::system(path, "cannot be written", &error)
    })?;
    // The new name must be on the disk too; where folders cannot be synchronised it will be.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    // One that a program left that ended before its time.
    if path.exists() {
        fs::remove_file(path)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
