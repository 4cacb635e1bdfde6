//! Questions to the DNS, which the endpoint asks (RFC 3263), and to `/etc/hosts`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{RData, RecordType};
use sip_core::endpoint::QueryId;
use sip_core::resolve::{Answer, Question, Record, RecordKind};
use tokio::sync::{OnceCell, Semaphore, mpsc};

use super::clock;

/// For one question to one server; there is one more try.
const TIMEOUT: Duration = Duration::from_secs(2);
/// That there is nothing is believed for a minute at most, and so long where nobody says how long.
const NOTHING: Duration = Duration::from_secs(60);
const NOTHING_SAID: Duration = Duration::from_secs(5);
/// Questions under way at one time; others wait.
const AT_ONCE: usize = 24;

/// The answer to a query of the endpoint.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) query: QueryId,
    pub(super) result: Result<Answer, String>,
}

/// Whom to ask.
#[derive(Clone)]
pub(super) struct Resolver {
    servers: Arc<[SocketAddr]>,
    /// Made when the first question comes.
    dns: Arc<OnceCell<TokioResolver>>,
    turns: Arc<Semaphore>,
    answers: mpsc::UnboundedSender<Resolved>,
}

impl Resolver {
    /// Asks `servers`; those of the system if there are none. Answers go to `answers`.
    pub(super) fn new(servers: &[SocketAddr], answers: mpsc::UnboundedSender<Resolved>) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { servers: servers.into(), dns: Arc::default(), turns, answers }
    }

    /// Asks, and tells the answer when it is there.
    pub(super) fn ask(&self, query: QueryId, question: Question) {
        let resolver = self.clone();
        tokio::spawn(async move {
            let turn = resolver.turns.acquire().await;
            let result = resolver.answer(&question).await;
            drop(turn);
            // Nobody to tell: the application has stopped.
            let _ = resolver.answers.send(Resolved { query, result });
        });
    }

    /// Asks, and waits for the answer.
    pub(super) async fn look_up(&self, question: &Question) -> Result<Answer, String> {
        self.answer(question).await
    }

    async fn answer(&self, question: &Question) -> Result<Answer, String> {
        if let Some(answer) = of_this_host(question) {
            return Ok(answer);
        }
        let is_address = matches!(question.kind, RecordKind::A | RecordKind::Aaaa);
        let system = self.servers.is_empty() && is_address;
        // Multicast DNS (RFC 6762) is the system's business.
        if system && question.name.ends_with(".local") {
            return self.ask_system(question).await;
        }
        match self.ask_dns(question).await {
            Err(reason) if system => self.ask_system(question).await.map_err(|_| reason),
            answer => answer,
        }
    }

    async fn ask_dns(&self, question: &Question) -> Result<Answer, String> {
        let dns = self.dns.get_or_try_init(async || self.connect());
        let dns = dns.await.map_err(|error| format!("the DNS cannot be asked: {error}"))?;
        let kind = match question.kind {
            RecordKind::Naptr => RecordType::NAPTR,
            RecordKind::Srv => RecordType::SRV,
            RecordKind::A => RecordType::A,
            RecordKind::Aaaa => RecordType::AAAA,
        };
        match dns.lookup(question.name.as_str(), kind).await {
            Ok(found) => {
                let ttl = left_until(found.valid_until());
                let records = found.answers().iter().filter_map(|record| read(&record.data)).collect();
                Ok(Answer { records, ttl })
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
                let told = nothing.negative_ttl.map(|seconds| Duration::from_secs(seconds.into()));
                Ok(Answer { records: Vec::new(), ttl: told.unwrap_or(NOTHING_SAID).min(NOTHING) })
            }
            Err(error) => Err(format!("the DNS: {error}")),
        }
    }

    fn connect(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.servers.iter().map(|server| {
                let at = |mut connection: ConnectionConfig| {
                    connection.port = server.port();
                    connection
                };
                let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
                NameServerConfig::new(server.ip(), true, connections)
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = 1;
        options.use_hosts_file = ResolveHosts::Always;
        builder.build()
    }

    /// Asks as other programs of this host do.
    async fn ask_system(&self, question: &Question) -> Result<Answer, String> {
        let wants_ipv4 = question.kind == RecordKind::A;
        let found = tokio::net::lookup_host((question.name.as_str(), 0)).await;
        let found = found.map_err(|error| error.to_string())?;
        let fits = |addr: SocketAddr| (addr.is_ipv4() == wants_ipv4).then(|| Record::Address(addr.ip()));
        Ok(Answer { records: found.filter_map(fits).collect(), ttl: NOTHING_SAID })
    }
}

/// What is under `localhost` is here, and nobody is asked for it (RFC 6761 §6.3).
fn of_this_host(question: &Question) -> Option<Answer> {
    let here = question.name == "localhost" || question.name.ends_with(".localhost");
    let address = match question.kind {
        RecordKind::A => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        RecordKind::Aaaa => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        RecordKind::Naptr | RecordKind::Srv => None,
    };
    let records = address.map(Record::Address).into_iter().collect();
    here.then_some(Answer { records, ttl: NOTHING })
}

fn read(data: &RData) -> Option<Record> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match data {
        RData::A(address) => Record::Address(IpAddr::V4(address.0)),
        RData::AAAA(address) => Record::Address(IpAddr::V6(address.0)),
        RData::SRV(srv) => Record::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_ascii(),
        },
        RData::NAPTR(naptr) => Record::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            service: text(&naptr.services),
            replacement: naptr.replacement.to_ascii(),
        },
        _ => return None,
    })
}

fn left_until(time: Instant) -> Duration {
    time.saturating_duration_since(clock::now().instant)
}
