//! The configuration framework: typed settings for the agent and for each account.
//!
//! Everything has a default. Over it lie a TOML file, variables of the environment and what the
//! program itself says, in this order. The file `settings.example.toml` beside this crate lists
//! every key with its default; it is made of the same definitions ([`example`]).
//!
//! ```
//! use sipsimple::notification::NotificationCenter;
//! use sipsimple::settings::SettingsManager;
//!
//! let settings = SettingsManager::in_memory(NotificationCenter::new());
//! settings.set("rtp.use_srtp", "true")?;
//! settings.overlay_environment([("SIPSIMPLE_SIP_PORT".to_owned(), "0".to_owned())])?;
//! assert!(settings.settings().rtp_config().use_srtp);
//! assert_eq!(settings.settings().sip.port, 0);
//!
//! let builder = settings.builder(); // of an application; `start` starts it
//! # drop(builder);
//!
//! let error = settings.set("sip.port", "many").unwrap_err();
//! assert_eq!(error.to_string(), "sip.port: expected a number from 0 to 65535, not \"many\"");
//! # Ok::<(), sipsimple::settings::SettingsError>(())
//! ```

mod convert;
mod error;
mod example;
mod layers;
mod sections;
mod store;
mod value;

pub use error::{Origin, SettingsError};
pub use example::example;
pub use sections::{
    AccountSettings, AgentSettings, AudioSettings, MsrpSettings, RingtoneSettings, RtpSettings, Settings,
    SipSettings, TimerSettings, TlsSettings, TraceSettings,
};
pub use store::{SettingEntry, SettingsManager};
pub use value::{AnswerPolicy, HostPort, Secret, Stream};
