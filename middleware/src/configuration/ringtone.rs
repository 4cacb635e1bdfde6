//! Which ringtone sounds for whom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sip_core::Uri;

use crate::error::Error;

/// Ringtones: `.wav` files that loop with a pause of two seconds on the local playback side.
///
/// Lookup matches user and host only, the host without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingtoneConfiguration {
    /// For incoming sessions of callers with no ringtone of their own. `None`: silence.
    pub default_inbound_ringtone: Option<PathBuf>,
    /// While a session of ours rings at the other side. `None`: silence.
    pub outbound_ringtone: Option<PathBuf>,
    by_caller: BTreeMap<(String, String), PathBuf>,
}

impl RingtoneConfiguration {
    /// Sets the ringtone of a caller, in place of an earlier one.
    pub fn add_ringtone_for_sipuri(&mut self, uri: &Uri, path: impl Into<PathBuf>) {
        self.by_caller.insert(key(uri), path.into());
    }

    /// Forgets the ringtone of a caller; an error if there is none.
    pub fn remove_sipuri(&mut self, uri: &Uri) -> Result<(), Error> {
        match self.by_caller.remove(&key(uri)) {
            Some(_) => Ok(()),
            None => Err(Error::Unknown { what: "ringtone for", name: uri.to_string() }),
        }
    }

    /// The ringtone of a caller: the one set for it, else the default inbound one.
    pub fn get_ringtone_for_sipuri(&self, uri: &Uri) -> Option<&Path> {
        self.by_caller.get(&key(uri)).or(self.default_inbound_ringtone.as_ref()).map(PathBuf::as_path)
    }
}

fn key(uri: &Uri) -> (String, String) {
    (uri.user().unwrap_or_default().to_owned(), uri.host().to_string().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("a valid URI")
    }

    #[test]
    fn lookup_matches_user_and_host_and_falls_back_to_the_default() {
        let mut config = RingtoneConfiguration::default();
        assert_eq!(config.get_ringtone_for_sipuri(&uri("sip:alice@example.com")), None);
        config.default_inbound_ringtone = Some("default.wav".into());
        config.add_ringtone_for_sipuri(&uri("sip:alice@example.com"), "first.wav");
        config.add_ringtone_for_sipuri(&uri("sip:alice@EXAMPLE.com:5070;transport=tcp"), "alice.wav");
        let alice = config.get_ringtone_for_sipuri(&uri("sips:alice@example.com"));
        assert_eq!(alice, Some(Path::new("alice.wav")), "a later one replaces an earlier one");
        let other = config.get_ringtone_for_sipuri(&uri("sip:Alice@example.com"));
        assert_eq!(other, Some(Path::new("default.wav")), "users are compared with case");
    }

    #[test]
    fn removing_an_unknown_caller_is_an_error() {
        let mut config = RingtoneConfiguration::default();
        config.add_ringtone_for_sipuri(&uri("sip:a@b"), "a.wav");
        assert!(config.remove_sipuri(&uri("sip:a@b")).is_ok());
        let error = config.remove_sipuri(&uri("sip:a@b")).expect_err("it is gone");
        assert!(error.to_string().contains("sip:a@b"), "{error}");
    }
}
