//! As whom a session is made.

use std::fmt;

use sip_core::Uri;
use zeroize::Zeroizing;

/// The identity of the caller and what proves it. `Debug` prints no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Our address, which goes into From.
    pub uri: Uri,
    /// The name shown beside it.
    pub display_name: Option<String>,
    /// User name for digest; the user part of `uri` where `None`.
    pub username: Option<String>,
    /// Password for digest; without it challenges fail the request.
    pub password: Option<Zeroizing<String>>,
}

impl Credentials {
    /// An identity without a password.
    pub fn new(uri: Uri) -> Self {
        Self { uri, display_name: None, username: None, password: None }
    }

    /// With a password.
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Zeroizing::new(password.into()));
        self
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("uri", &self.uri)
            .field("display_name", &self.display_name)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish()
    }
}

impl Credentials {
    /// What the SIP endpoint answers challenges with; `None` without a password.
    pub(crate) fn into_sip(self) -> Option<sip_core::auth::Credentials> {
        let password = self.password?;
        let username = self.username.or_else(|| self.uri.user().map(str::to_owned))?;
        Some(sip_core::auth::Credentials::new(username, password.as_str()))
    }
}
