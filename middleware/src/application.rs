//! The application: what owns the sockets, the engine and the sound.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sip_core::endpoint::Transport;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::configuration::{
    AudioConfiguration, MsrpConfiguration, RingtoneConfiguration, RtpConfiguration, SessionRefresh,
    SessionTimers, TlsConfiguration,
};
use crate::driver::{self, Reply};
use crate::error::Error;
use crate::messaging::OutgoingMessage;
use crate::notification::NotificationCenter;
use crate::publication::{Publication, PublicationId, PublicationOptions};
use crate::registration::{Registration, RegistrationId, RegistrationOptions};
use crate::session::machine::SessionConfig;
use crate::session::{AutoAnswer, SessionManager, StreamSet};
use crate::subscription::{Subscription, SubscriptionId, SubscriptionOptions};
use crate::trace::Tracer;

/// How long `stop` waits for peers to take their BYE: three seconds with what comes before and after.
const STOP_TIME: Duration = Duration::from_millis(2_800);

/// A running user agent. Dropping it leaves its sessions to their fate; [`stop`](Self::stop)
/// ends them first.
pub struct Application {
    manager: SessionManager,
    commander: driver::Commander,
    numbers: AtomicU64,
    center: NotificationCenter,
    addresses: Vec<(Transport, SocketAddr)>,
    stop: watch::Sender<Option<std::time::Instant>>,
    task: JoinHandle<()>,
}

/// How the media threads keep their time.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaStatistics {
    /// Ticks of all threads: one each 20 ms.
    pub ticks: u64,
    /// 99 of 100 ticks began so soon after their deadline, to a fifth.
    pub wake_p99: Duration,
    /// The latest beginning of a tick.
    pub worst_wake: Duration,
    /// The longest tick.
    pub worst_tick: Duration,
    /// Time spent in ticks.
    pub busy: Duration,
    /// Ticks that began later than the next one should have.
    pub overruns: u64,
}

impl From<media::engine::EngineStats> for MediaStatistics {
    fn from(stats: media::engine::EngineStats) -> Self {
        let media::engine::EngineStats { ticks, wake_p99, worst_wake, worst_tick, busy, overruns } = stats;
        Self { ticks, wake_p99, worst_wake, worst_tick, busy, overruns }
    }
}

/// How an application is to be; see [`Application::builder`].
#[derive(Clone)]
pub struct Builder {
    pub(crate) bind: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) transports: Vec<Transport>,
    pub(crate) user_agent: String,
    pub(crate) accepts: StreamSet,
    pub(crate) rtp: RtpConfiguration,
    pub(crate) msrp: MsrpConfiguration,
    pub(crate) tls: TlsConfiguration,
    pub(crate) dns_servers: Vec<SocketAddr>,
    pub(crate) timers: SessionTimers,
    pub(crate) audio: AudioConfiguration,
    pub(crate) ringtones: RingtoneConfiguration,
    pub(crate) max_sessions: usize,
    pub(crate) accept_messages: bool,
    pub(crate) transfers: bool,
    pub(crate) referrals: bool,
    pub(crate) events: Vec<String>,
    pub(crate) auto_answer: AutoAnswer,
    pub(crate) refresh: SessionRefresh,
    pub(crate) tracer: Option<Arc<Tracer>>,
    pub(crate) center: NotificationCenter,
}

impl Application {
    /// An application with the defaults: UDP and TCP on port 5060 of all addresses, audio and
    /// chat accepted, no sound device.
    pub fn builder() -> Builder {
        Builder {
            bind: None,
            port: 5060,
            transports: vec![Transport::Udp, Transport::Tcp],
            user_agent: concat!("sipsimple/", env!("CARGO_PKG_VERSION")).to_owned(),
            accepts: StreamSet::BOTH,
            rtp: RtpConfiguration::default(),
            msrp: MsrpConfiguration::default(),
            tls: TlsConfiguration::default(),
            dns_servers: Vec::new(),
            timers: SessionTimers::default(),
            audio: AudioConfiguration::default(),
            ringtones: RingtoneConfiguration::default(),
            max_sessions: usize::MAX,
            accept_messages: false,
            transfers: false,
            referrals: false,
            events: Vec::new(),
            auto_answer: AutoAnswer::Never,
            refresh: SessionRefresh::default(),
            tracer: None,
            center: NotificationCenter::new(),
        }
    }

    /// The sessions.
    pub fn session_manager(&self) -> &SessionManager {
        &self.manager
    }

    /// The notifications.
    pub fn notification_center(&self) -> &NotificationCenter {
        &self.center
    }

    /// Where SIP is spoken: the addresses as the system gave them.
    pub fn addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.addresses
    }

    /// How punctual the media threads are, and what they cost.
    pub fn media_statistics(&self) -> MediaStatistics {
        self.commander.board().engine().into()
    }

    /// Registers an address and keeps it registered, until it is ended or the application stops.
    /// What comes of it is told by `SCRegistration…` notifications.
    pub fn register(&self, options: RegistrationOptions) -> Registration {
        let id = RegistrationId(self.numbers.fetch_add(1, Ordering::Relaxed));
        drop(self.commander.ask(move |engine, now| {
            engine.register(now, id, options);
            Ok(())
        }));
        Registration::new(id, self.commander.clone())
    }

    /// Follows the state of somebody or something, until it is ended or the application stops. What
    /// comes of it is told by `SCSubscription…` notifications, the state itself by
    /// `SCSubscriptionGotNotify`.
    pub fn subscribe(&self, options: SubscriptionOptions) -> Subscription {
        let id = SubscriptionId(self.numbers.fetch_add(1, Ordering::Relaxed));
        drop(self.commander.ask(move |engine, now| {
            engine.subscribe(now, id, options);
            Ok(())
        }));
        Subscription::new(id, self.commander.clone())
    }

    /// Publishes a state of ours and keeps it published, until it is ended or the application stops.
    /// What comes of it is told by `SCPublication…` notifications.
    pub fn publish(&self, options: PublicationOptions) -> Publication {
        let id = PublicationId(self.numbers.fetch_add(1, Ordering::Relaxed));
        drop(self.commander.ask(move |engine, now| {
            engine.publish(now, id, options);
            Ok(())
        }));
        Publication::new(id, self.commander.clone())
    }

    /// Sends a message outside of any session (RFC 3428) and returns its id. What becomes of it is
    /// told by `SCMessageDidSucceed` or `SCMessageDidFail`.
    pub fn send_message(&self, message: OutgoingMessage) -> Reply<String> {
        self.commander.ask(move |engine, now| engine.send_message(now, message))
    }

    /// Ends all sessions, publications, subscriptions and registrations, waits until their peers know, three seconds at most, and stops.
    pub async fn stop(self) {
        let Application { stop, task, center, .. } = self;
        let limit = driver::now().instant + STOP_TIME;
        // An error means that it has stopped already.
        let _ = stop.send(Some(limit));
        let _ = task.await;
        tokio::task::spawn_blocking(move || center.flush()).await.unwrap_or_default();
    }
}

impl Builder {
    /// The one local address to use; without it all, of IPv4 and of IPv6, and the ones that reach
    /// the outside are told to peers.
    pub fn bind(mut self, address: IpAddr) -> Self {
        self.bind = Some(address);
        self
    }

    /// The SIP port; 0 lets the system choose. UDP and TCP share it. TLS has it for itself where
    /// it alone is listened on, and is one above it otherwise, as it is with 5060; WebSockets follow,
    /// plain ones two above and secure ones three.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The transports to listen on. Requests can leave over the others too, but for UDP.
    pub fn transports(mut self, transports: &[Transport]) -> Self {
        self.transports = transports.to_vec();
        self
    }

    /// What it calls itself in User-Agent and Server.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// The streams that it takes when it is called; others are refused without a session.
    pub fn accepts(mut self, streams: StreamSet) -> Self {
        self.accepts = streams;
        self
    }

    /// What sessions copy for audio.
    pub fn rtp_config(mut self, config: RtpConfiguration) -> Self {
        self.rtp = config;
        self
    }

    /// What sessions copy for chat.
    pub fn msrp_config(mut self, config: MsrpConfiguration) -> Self {
        self.msrp = config;
        self
    }

    /// How TLS proves who it is, and what it takes for a proof.
    pub fn tls_config(mut self, config: TlsConfiguration) -> Self {
        self.tls = config;
        self
    }

    /// The DNS servers to ask; without them, those of the system.
    pub fn dns_servers(mut self, servers: &[SocketAddr]) -> Self {
        self.dns_servers = servers.to_vec();
        self
    }

    /// How long sessions wait for what.
    pub fn timers(mut self, timers: SessionTimers) -> Self {
        self.timers = timers;
        self
    }

    /// What it hears and says.
    pub fn audio(mut self, audio: AudioConfiguration) -> Self {
        self.audio = audio;
        self
    }

    /// The ringtones to begin with; the session manager has them from then on.
    pub fn ringtone_config(mut self, config: RingtoneConfiguration) -> Self {
        self.ringtones = config;
        self
    }

    /// How many sessions there may be at once; more are answered 486.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// How sessions are kept alive (RFC 4028); where the peer can, every half hour, unless said otherwise.
    pub fn session_refresh(mut self, refresh: SessionRefresh) -> Self {
        self.refresh = refresh;
        self
    }

    /// Whether messages outside of sessions (RFC 3428) are taken; they are refused (405) unless so.
    pub fn accept_messages(mut self, accept: bool) -> Self {
        self.accept_messages = accept;
        self
    }

    /// Whether peers may ask, within a session, to be transferred: the application decides on each
    /// (`SCSessionTransferNewIncoming`). They are refused (405) unless so; outside of sessions it is
    /// [`referrals`](Self::referrals) that counts.
    pub fn transfers(mut self, allowed: bool) -> Self {
        self.transfers = allowed;
        self
    }

    /// Whether peers may ask, outside of sessions, that we call somebody: the application decides on each
    /// ([`IncomingReferral`](crate::IncomingReferral)). They are refused unless so: with 403, or with 405
    /// where [`transfers`](Self::transfers) are not allowed either.
    pub fn referrals(mut self, allowed: bool) -> Self {
        self.referrals = allowed;
        self
    }

    /// The event packages that peers may subscribe to, such as `presence` or `dialog`: the application
    /// decides on each subscription and tells the state ([`IncomingSubscription`](crate::IncomingSubscription)).
    /// Others are refused with 489; without any, all are, with 405.
    pub fn events<T: Into<String>>(mut self, packages: impl IntoIterator<Item = T>) -> Self {
        self.events = packages.into_iter().map(Into::into).collect();
        self
    }

    /// Which calls are answered without the application; none unless it is said.
    pub fn auto_answer(mut self, policy: AutoAnswer) -> Self {
        self.auto_answer = policy;
        self
    }

    /// Where to write what goes over the wire.
    pub fn tracer(mut self, tracer: Arc<Tracer>) -> Self {
        self.tracer = Some(tracer);
        self
    }

    /// A centre that observers were subscribed to already, so that they miss nothing.
    pub fn notification_center(mut self, center: NotificationCenter) -> Self {
        self.center = center;
        self
    }

    /// Opens the sockets and starts the tasks, on the tokio runtime it is called in.
    pub async fn start(self) -> Result<Application, Error> {
        let (center, ringtones) = (self.center.clone(), self.ringtones.clone());
        let (stop, stopped) = watch::channel(None);
        let driver::Started { manager, commander, addresses, task } = driver::start(self, stopped).await?;
        let numbers = AtomicU64::new(1);
        manager.set_ringtone_config(ringtones);
        Ok(Application { manager, commander, numbers, center, addresses, stop, task })
    }

    pub(crate) fn session_config(&self, default_address: IpAddr) -> SessionConfig {
        SessionConfig {
            rtp: self.rtp.clone(),
            msrp: self.msrp.clone(),
            timers: self.timers,
            accepts: self.accepts,
            auto_answer: self.auto_answer.clone(),
            default_address,
        }
    }
}

/// Session numbers, from 1.
pub(crate) fn numbers() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(1))
}
