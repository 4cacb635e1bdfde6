//! Accounts: addresses of ours, and what goes with them.

use sip_core::Uri;
use sip_core::endpoint::Transport;
use zeroize::Zeroizing;

use crate::configuration::{RtpConfiguration, TurnServer, TurnTransport};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::presence::EventBody;
use crate::publication::PublicationOptions;
use crate::registration::RegistrationOptions;
use crate::settings::AccountSettings;
use crate::subscription::SubscriptionOptions;

/// An address of ours with its settings.
///
/// A copy of what held when it was asked for: changes are made through
/// [`SettingsManager`](crate::settings::SettingsManager).
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    id: String,
    settings: AccountSettings,
}

impl Account {
    pub(crate) fn new(id: String, settings: AccountSettings) -> Self {
        Self { id, settings }
    }

    /// An account of this address: `sip:alice@example.com`, or without `sip:`.
    ///
    /// # Errors
    /// If it is not user@domain.
    pub fn with_settings(id: &str, settings: AccountSettings) -> Result<Self, Error> {
        let normal = normal_id(id).ok_or_else(|| Error::BadValue {
            what: "the address of an account",
            value: id.to_owned(),
            expected: "user@domain",
        })?;
        Ok(Self::new(normal, settings))
    }

    /// The address without `sip:`, its domain in lower case.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The address.
    #[must_use]
    pub fn uri(&self) -> Uri {
        format!("sip:{}", self.id).parse().expect("the address of an account is a SIP URI")
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &AccountSettings {
        &self.settings
    }

    /// As whom requests are made.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        Credentials {
            uri: self.uri(),
            display_name: self.settings.display_name.clone(),
            username: self.settings.auth_username.clone(),
            password: self
                .settings
                .password
                .as_ref()
                .map(|secret| Zeroizing::new(secret.expose().to_owned())),
        }
    }

    /// A configuration for audio with the STUN and TURN servers of the account; those of `base`
    /// where it has none. A TURN server is used if a user name and a password go with it.
    #[must_use]
    pub fn rtp_config(&self, mut base: RtpConfiguration) -> RtpConfiguration {
        let settings = &self.settings;
        if let Some(stun) = &settings.stun_server {
            base.ice_stun_address = Some(stun.host.clone());
            base.ice_stun_port = stun.port.unwrap_or(3478);
        }
        if let (Some(turn), Some(username), Some(password)) =
            (&settings.turn_server, &settings.turn_username, &settings.turn_password)
        {
            let (transport, port) = match settings.turn_transport {
                Some(Transport::Tls) => (TurnTransport::Tls, 5349),
                Some(Transport::Tcp) => (TurnTransport::Tcp, 3478),
                _ => (TurnTransport::Udp, 3478),
            };
            let server = TurnServer::new(&turn.host, username, password.expose());
            base.ice_turn = Some(TurnServer { transport, port: turn.port.unwrap_or(port), ..server });
        }
        base
    }

    /// How to follow the state of somebody or something.
    #[must_use]
    pub fn subscription(&self, event: impl Into<String>, target: Uri) -> SubscriptionOptions {
        SubscriptionOptions {
            route: self.settings.proxy.clone(),
            transport: self.settings.transport,
            ..SubscriptionOptions::new(event, target, self.credentials())
        }
    }

    /// How to publish a state of ours.
    #[must_use]
    pub fn publication(&self, body: impl Into<EventBody>) -> PublicationOptions {
        PublicationOptions {
            route: self.settings.proxy.clone(),
            transport: self.settings.transport,
            ..PublicationOptions::new(self.credentials(), body)
        }
    }

    /// How to register.
    #[must_use]
    pub fn registration(&self) -> RegistrationOptions {
        RegistrationOptions {
            registrar: self.settings.registrar.clone(),
            route: self.settings.proxy.clone(),
            expires: self.settings.expires,
            transport: self.settings.transport,
            ..RegistrationOptions::new(self.credentials())
        }
    }
}

/// `alice@example.com` of `sip:alice@EXAMPLE.com`; `None` of what is no address.
pub(crate) fn normal_id(text: &str) -> Option<String> {
    let text = text.strip_prefix("sip:").unwrap_or(text);
    let uri: Uri = format!("sip:{text}").parse().ok()?;
    let (user, domain) = text.split_once('@')?;
    let normal = format!("{user}@{}", domain.to_ascii_lowercase());
    // Nothing but user and domain: no password, port, parameter or header.
    let plain = uri.user() == Some(user) && uri.host().to_string().eq_ignore_ascii_case(domain);
    (plain && !user.is_empty()).then_some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    #[test]
    fn an_address_is_user_and_domain() {
        assert_eq!(normal_id("sip:alice@EXAMPLE.com").as_deref(), Some("alice@example.com"));
        assert_eq!(normal_id("alice@[2001:db8::1]").as_deref(), Some("alice@[2001:db8::1]"));
        for wrong in [
            "alice",
            "@example.com",
            "alice@",
            "a b@example.com",
            "alice@example.com:5060",
            "alice@e;x=y",
            "tel:1@e",
        ] {
            assert_eq!(normal_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn servers_of_an_account_go_into_the_configuration() {
        let settings = AccountSettings {
            stun_server: "stun.example.com".parse().ok(),
            turn_server: "[2001:db8::1]".parse().ok(),
            turn_transport: Some(Transport::Tls),
            turn_username: Some("alice".to_owned()),
            ..AccountSettings::default()
        };
        let with_password = AccountSettings { turn_password: Some(Secret::new("x")), ..settings.clone() };
        let config = |settings| {
            let account = Account::with_settings("alice@example.com", settings).expect("an account");
            account.rtp_config(RtpConfiguration::default())
        };
        let plain = config(settings);
        assert_eq!(
            (plain.ice_stun_address.as_deref(), plain.ice_stun_port),
            (Some("stun.example.com"), 3478)
        );
        assert_eq!(plain.ice_turn, None, "nobody relays for who proves nothing");
        let turn = config(with_password).ice_turn.expect("a relay");
        assert_eq!(
            (turn.host.as_str(), turn.port, turn.transport),
            ("2001:db8::1", 5349, TurnTransport::Tls)
        );
    }

    #[test]
    fn an_account_has_what_requests_need() {
        let settings = AccountSettings {
            display_name: Some("Alice".to_owned()),
            password: Some(Secret::new("hunter2")),
            registrar: "sip:registrar.example.com".parse().ok(),
            expires: 600,
            ..AccountSettings::default()
        };
        let account = Account::with_settings("sip:alice@example.com", settings).expect("an account");
        let credentials = account.credentials();
        assert_eq!(credentials.uri.to_string(), "sip:alice@example.com");
        assert_eq!(credentials.password.as_ref().map(|password| password.as_str()), Some("hunter2"));
        let options = account.registration();
        assert_eq!((options.expires, options.registrar.is_some()), (600, true));
        assert!(!format!("{account:?}").contains("hunter2"));
    }
}
