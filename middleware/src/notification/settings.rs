//! What is told about settings and accounts.

use super::value::Value;

/// What happens to settings; the variants are the bus names without `CFGSettingsObject`.
///
/// The sender is [`Sender::Settings`](super::Sender::Settings) or
/// [`Sender::Account`](super::Sender::Account).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SettingsEvent {
    /// Some have other values than before.
    DidChange {
        /// Which.
        modified: Vec<SettingChange>,
    },
    /// There is a new account.
    WasCreated,
    /// An account is gone.
    WasDeleted,
}

/// A setting that has changed. Of a secret no value is told, only that there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingChange {
    /// Its name: `rtp.use_srtp`; of an account without that: `expires`.
    pub name: String,
    /// Its value before; `None`: it was not set.
    pub old: Option<Value>,
    /// Its value now; `None`: it is not set.
    pub new: Option<Value>,
}

impl SettingsEvent {
    /// The bus name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DidChange { .. } => "CFGSettingsObjectDidChange",
            Self::WasCreated => "CFGSettingsObjectWasCreated",
            Self::WasDeleted => "CFGSettingsObjectWasDeleted",
        }
    }

    /// The data by name: `modified` maps each name to its old and new value, of which one that was
    /// or is not set is absent.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        let Self::DidChange { modified } = self else { return Vec::new() };
        let values = |change: &SettingChange| {
            let named = [("old", &change.old), ("new", &change.new)];
            let set = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
            (change.name.clone(), Value::Map(set.collect()))
        };
        vec![("modified", Value::Map(modified.iter().map(values).collect()))]
    }
}
