//! What proves an identity.

use std::fmt;
use zeroize::Zeroizing;

/// A user name and its password. `Debug` does not print the password; it is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Zeroizing<String>,
    /// The only realm these are for. `None`: the domain of From, what a registrar names, and
    /// what the proxies of a given route name.
    pub realm: Option<String>,
}

impl Credentials {
    /// Credentials for the realms of the account.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: Zeroizing::new(password.into()), realm: None }
    }

    /// For that realm alone.
    pub fn for_realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { username, realm, password: _ } = self;
        f.debug_struct("Credentials")
            .field("username", username)
            .field("realm", realm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_printed() {
        let text = format!("{:?}", Credentials::new("alice", "s3cret"));
        assert!(text.contains("alice") && !text.contains("s3cret"), "{text}");
    }
}
