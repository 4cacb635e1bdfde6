//! The one place that knows all sessions and what new ones are set up with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::machine::SessionConfig;
use super::{Conference, ConferenceId, Session, SessionId, State};
use crate::configuration::{MsrpConfiguration, RingtoneConfiguration, RtpConfiguration};
use crate::driver::Commander;

/// The central aggregation point for sessions and holder of their configuration.
///
/// One for each application; every clone is the same manager. The configurations can be read
/// and replaced while it runs; sessions keep the copies that they were created with.
#[derive(Clone)]
pub struct SessionManager {
    shared: Arc<Shared>,
}

struct Shared {
    commander: Commander,
    numbers: Arc<AtomicU64>,
    sessions: RwLock<BTreeMap<SessionId, Session>>,
    session_config: RwLock<SessionConfig>,
    ringtones: RwLock<Arc<RingtoneConfiguration>>,
}

impl SessionManager {
    pub(crate) fn new(commander: Commander, numbers: Arc<AtomicU64>, config: SessionConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                commander,
                numbers,
                sessions: RwLock::default(),
                session_config: RwLock::new(config),
                ringtones: RwLock::default(),
            }),
        }
    }

    /// A new session in NULL, with copies of the RTP and MSRP configurations of now.
    pub fn new_session(&self) -> Session {
        let id = SessionId(self.shared.numbers.fetch_add(1, Ordering::Relaxed));
        Session::new(id, self.shared.commander.clone(), self.session_config())
    }

    /// A new conference, with nobody in it.
    pub fn new_conference(&self) -> Conference {
        // Sessions and conferences are counted together: the numbers are names, no more.
        let id = ConferenceId(self.shared.numbers.fetch_add(1, Ordering::Relaxed));
        Conference::new(id, self.clone())
    }

    /// A copy of the list of all sessions that are neither NULL nor TERMINATED.
    pub fn sessions(&self) -> Vec<Session> {
        read(&self.shared.sessions).values().cloned().collect()
    }

    /// What new sessions copy for their audio streams.
    pub fn rtp_config(&self) -> RtpConfiguration {
        read(&self.shared.session_config).rtp.clone()
    }

    /// Replaces it; sessions that there are keep their copies.
    pub fn set_rtp_config(&self, config: RtpConfiguration) {
        self.set_session_config(|session| session.rtp = config);
    }

    /// What new sessions copy for their MSRP streams.
    pub fn msrp_config(&self) -> MsrpConfiguration {
        read(&self.shared.session_config).msrp.clone()
    }

    /// Replaces it; sessions that there are keep their copies.
    pub fn set_msrp_config(&self, config: MsrpConfiguration) {
        self.set_session_config(|session| session.msrp = config);
    }

    /// The ringtones, as they are read at each ring.
    pub fn ringtone_config(&self) -> RingtoneConfiguration {
        RingtoneConfiguration::clone(&read(&self.shared.ringtones))
    }

    /// Replaces the ringtones.
    pub fn set_ringtone_config(&self, config: RingtoneConfiguration) {
        let config = Arc::new(config);
        *write(&self.shared.ringtones) = config.clone();
        drop(self.shared.commander.ask(move |engine, _| {
            engine.set_ringtones(config);
            Ok(())
        }));
    }

    pub(crate) fn session_config(&self) -> SessionConfig {
        read(&self.shared.session_config).clone()
    }

    pub(crate) fn set_session_config(&self, change: impl FnOnce(&mut SessionConfig)) {
        let config = {
            let mut config = write(&self.shared.session_config);
            change(&mut config);
            config.clone()
        };
        drop(self.shared.commander.ask(move |engine, _| {
            engine.set_session_config(config);
            Ok(())
        }));
    }

    /// Where the media of new sessions are, unless their configurations say otherwise.
    pub(crate) fn set_default_address(&self, address: IpAddr) {
        self.set_session_config(|session| session.default_address = address);
    }

    /// Keeps the list of sessions: called before the change of state is told.
    pub(crate) fn track(&self, session: &Session, state: State) {
        match state {
            State::Null => {}
            State::Terminated => {
                write(&self.shared.sessions).remove(&session.id());
            }
            _ => {
                write(&self.shared.sessions).entry(session.id()).or_insert_with(|| session.clone());
            }
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
