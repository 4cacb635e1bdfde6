//! Settings out of a file, and what the environment and the command line say on top of it.

use std::path::Path;

use toml_edit::{Document, Item, TableLike, TomlError};

use super::error::{Origin, SettingsError};
use super::sections::{AccountSettings, Definition, Input, Section, Settings};
use crate::account::normal_id;

/// The table of accounts in the file, and the first part of their keys.
pub(super) const ACCOUNTS: &str = "account";
/// How variables of the environment begin.
const PREFIX: &str = "SIPSIMPLE_";

/// A key, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Of a section.
    Section(&'static str, &'static str),
    /// Of an account.
    Account(String, &'static str),
}

impl Key {
    /// `rtp.use_srtp`, `account.alice@example.com.password`.
    pub(super) fn parse(key: &str) -> Result<Self, String> {
        let (section, name) =
            key.split_once('.').ok_or_else(|| format!("unknown; expected {}", sections()))?;
        if section == ACCOUNTS {
            let (id, name) = name
                .rsplit_once('.')
                .ok_or("expected account.USER@DOMAIN.KEY, such as account.alice@example.com.expires")?;
            let id = normal_id(id).ok_or_else(|| format!("{id:?} is not user@domain"))?;
            return Ok(Key::Account(id, definition(AccountSettings::definitions(), name)?.name));
        }
        let (section, _, keys) = section_of(section)?;
        Ok(Key::Section(section, definition(keys, name)?.name))
    }

    pub(super) fn definition(&self) -> &'static Definition {
        let (keys, name) = match self {
            Key::Section(section, name) => (section_of(section).map_or(&[][..], |(_, _, keys)| keys), name),
            Key::Account(_, name) => (AccountSettings::definitions(), name),
        };
        definition(keys, name).expect("a key that was resolved is defined")
    }
}

/// `rtp.use_srtp`
impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Section(section, name) => write!(f, "{section}.{name}"),
            Key::Account(id, name) => write!(f, "{ACCOUNTS}.{id}.{name}"),
        }
    }
}

type Named = (&'static str, &'static str, &'static [Definition]);

fn section_of(name: &str) -> Result<Named, String> {
    let mut sections = Settings::sections().into_iter();
    sections
        .find(|(section, _, _)| *section == name)
        .ok_or_else(|| format!("unknown; expected {}", self::sections()))
}

fn sections() -> String {
    let names: Vec<_> = Settings::sections().iter().map(|(name, _, _)| *name).collect();
    format!("one of {}, {ACCOUNTS}", names.join(", "))
}

fn definition(keys: &'static [Definition], name: &str) -> Result<&'static Definition, String> {
    keys.iter().find(|definition| definition.name == name).ok_or_else(|| {
        let names: Vec<_> = keys.iter().map(|definition| definition.name).collect();
        format!("unknown; expected one of {}", names.join(", "))
    })
}

/// Reads a file's text. `path` is for errors.
pub(super) fn read(text: &str, path: &Path) -> Result<Settings, SettingsError> {
    let file = File { text, path };
    let document = Document::parse(text).map_err(|error| file.ill_formed(&error))?;
    let mut settings = Settings::default();
    for (section, item) in document.iter() {
        let line = file.line(document.key(section).and_then(toml_edit::Key::span).or(item.span()));
        let table = item.as_table_like().ok_or_else(|| {
            file.error(section, format!("expected a table, not {}", item.type_name()), line)
        })?;
        if section == ACCOUNTS {
            for (id, item) in table.iter() {
                let key = format!("{ACCOUNTS}.{id}");
                let line = file.line(table.key(id).and_then(toml_edit::Key::span).or(item.span()));
                let fields = item.as_table_like().ok_or_else(|| {
                    file.error(&key, format!("expected a table, not {}", item.type_name()), line)
                })?;
                let normal = normal_id(id)
                    .ok_or_else(|| file.error(&key, "expected user@domain as its name".to_owned(), line))?;
                let mut account = AccountSettings::default();
                file.fields(&key, fields, AccountSettings::definitions(), |name, input| {
                    account.set(name, input)
                })?;
                if settings.accounts.insert(normal, account).is_some() {
                    return Err(file.error(&key, "expected each account once".to_owned(), line));
                }
            }
            continue;
        }
        let (section, _, keys) = section_of(section).map_err(|problem| file.error(section, problem, line))?;
        file.fields(section, table, keys, |name, input| settings.set_in(section, name, input))?;
    }
    Ok(settings)
}

struct File<'a> {
    text: &'a str,
    path: &'a Path,
}

impl File<'_> {
    fn fields(
        &self,
        section: &str,
        table: &dyn TableLike,
        keys: &'static [Definition],
        mut set: impl FnMut(&str, Input<'_>) -> bool,
    ) -> Result<(), SettingsError> {
        for (name, item) in table.iter() {
            let key = format!("{section}.{name}");
            let line = self.line(table.key(name).and_then(toml_edit::Key::span).or(item.span()));
            let definition = definition(keys, name).map_err(|problem| self.error(&key, problem, line))?;
            if !set(name, Input::Toml(item)) {
                return Err(self.error(&key, unexpected(definition, &found(item)), line));
            }
        }
        Ok(())
    }

    fn error(&self, key: &str, problem: String, line: Option<usize>) -> SettingsError {
        SettingsError::new(Origin::File(self.path.to_owned()), key, problem).at_line(line)
    }

    /// Without the line itself, which could have a password.
    fn ill_formed(&self, error: &TomlError) -> SettingsError {
        self.error("", format!("expected TOML: {}", error.message()), self.line(error.span()))
    }

    fn line(&self, span: Option<std::ops::Range<usize>>) -> Option<usize> {
        let before = self.text.get(..span?.start)?;
        Some(before.bytes().filter(|byte| *byte == b'\n').count() + 1)
    }
}

fn found(item: &Item) -> String {
    match item.as_value() {
        Some(value) => value.to_string().trim().to_owned(),
        None => item.type_name().to_owned(),
    }
}

fn unexpected(definition: &Definition, found: &str) -> String {
    match definition.secret {
        true => format!("expected {}", definition.expected),
        false => format!("expected {}, not {found}", definition.expected),
    }
}

/// Sets what `text` says; accounts that are not there are none.
pub(super) fn set(
    settings: &mut Settings,
    key: &Key,
    text: &str,
    origin: impl FnOnce() -> Origin,
) -> Result<(), SettingsError> {
    let done = match key {
        Key::Section(section, name) => settings.set_in(section, name, Input::Text(text)),
        Key::Account(id, name) => match settings.accounts.get_mut(id) {
            Some(account) => account.set(name, Input::Text(text)),
            None => {
                let problem = format!("there is no account {id}");
                return Err(SettingsError::new(origin(), key.to_string(), problem));
            }
        },
    };
    if done {
        return Ok(());
    }
    let problem = unexpected(key.definition(), &format!("{text:?}"));
    Err(SettingsError::new(origin(), key.to_string(), problem))
}

/// What a variable of the environment sets: `SIPSIMPLE_RTP_USE_SRTP`. `SIPSIMPLE_ACCOUNT_…` is of
/// the default account, or the only one. Variables that begin with no section are none of ours.
pub(super) fn variable(settings: &Settings, name: &str) -> Option<Result<Key, String>> {
    let rest = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    if let Some(field) = rest.strip_prefix("account_") {
        let named = settings.agent.default_account.as_deref().and_then(normal_id);
        let only = || settings.accounts.keys().next().filter(|_| settings.accounts.len() == 1).cloned();
        let Some(id) = named.or_else(only) else {
            return Some(Err("which account it is for is not said: set agent.default_account".to_owned()));
        };
        return Some(
            definition(AccountSettings::definitions(), field).map(|field| Key::Account(id, field.name)),
        );
    }
    let (section, _, keys) = Settings::sections()
        .into_iter()
        .find(|(section, _, _)| rest.strip_prefix(section).is_some_and(|rest| rest.starts_with('_')))?;
    let field = rest.get(section.len() + 1..)?;
    Some(definition(keys, field).map(|field| Key::Section(section, field.name)))
}
