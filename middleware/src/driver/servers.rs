//! Where the servers of ICE are: STUN servers and relays, found by their names (RFC 8489 §8, RFC 5928).

use std::net::SocketAddr;

use ice_stun::stun::{Naptr, Next, ServerUri, Srv, Transport};
use sip_core::resolve::{Question, Record, RecordKind};

use super::clock;
use super::resolve::Resolver;
use crate::configuration::{IceConfiguration, TurnTransport};

/// NAPTR records lead to others so often at most.
const DEPTH: usize = 3;

/// The servers, their names resolved: in each family one at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Servers {
    pub(super) stun: Vec<SocketAddr>,
    pub(super) turn: Vec<SocketAddr>,
}

/// Finds the addresses of servers.
pub(super) struct ServerResolver(pub(super) Resolver);

impl ServerResolver {
    /// What of the servers can be found.
    pub(super) async fn resolve(&self, configuration: &IceConfiguration) -> Servers {
        let mut servers = Servers::default();
        if let Some((host, port)) = &configuration.stun {
            servers.stun = self.find(&stun_uri(host, *port)).await;
        }
        if let Some(turn) = &configuration.turn {
            let (secure, transport) = match turn.transport {
                TurnTransport::Udp => (false, Transport::Udp),
                TurnTransport::Tcp => (false, Transport::Tcp),
                TurnTransport::Tls => (true, Transport::Tcp),
            };
            let uri = uri(true, secure, &turn.host, turn.port, Some(transport));
            servers.turn = self.find(&uri).await;
        }
        servers
    }

    /// Its addresses, the first of each family.
    pub(super) async fn find(&self, uri: &ServerUri) -> Vec<SocketAddr> {
        for lookup in uri.lookups() {
            if let Some(address) = lookup.address() {
                return vec![address];
            }
            if lookup.srv.is_some() && uri.relay {
                let found = self.delegated(uri, lookup.transport).await;
                if !found.is_empty() {
                    return found;
                }
            }
            let records = match &lookup.srv {
                Some(name) => self.srv(name).await,
                None => Vec::new(),
            };
            let found = self.addresses(&lookup.targets(&records, clock::seed())).await;
            if !found.is_empty() {
                return found;
            }
        }
        tracing::warn!(%uri, "a server for ICE is not found");
        Vec::new()
    }

    /// RFC 5928 §3: a relay may be told of by NAPTR records.
    async fn delegated(&self, uri: &ServerUri, transport: Transport) -> Vec<SocketAddr> {
        let mut names = vec![uri.host.clone()];
        for _ in 0..DEPTH {
            let mut deeper = Vec::new();
            for name in names {
                for delegation in uri.delegations(&self.naptr(&name).await) {
                    if delegation.transport != transport {
                        continue;
                    }
                    let targets = match delegation.next {
                        Next::Srv(name) => {
                            let mut records = self.srv(&name).await;
                            records.sort_by_key(|record| (record.priority, u16::MAX - record.weight));
                            records.into_iter().map(|record| (record.target, record.port)).collect()
                        }
                        Next::Host(name) => vec![(name, uri.default_port())],
                        Next::Naptr(name) => {
                            deeper.push(name);
                            continue;
                        }
                    };
                    let found = self.addresses(&targets).await;
                    if !found.is_empty() {
                        return found;
                    }
                }
            }
            names = deeper;
        }
        Vec::new()
    }

    /// The addresses of the first target that has any.
    async fn addresses(&self, targets: &[(String, u16)]) -> Vec<SocketAddr> {
        for (name, port) in targets {
            let [v4, v6] = [RecordKind::A, RecordKind::Aaaa];
            let (v4, v6) = tokio::join!(self.records(name, v4), self.records(name, v6));
            let first = |records: Vec<Record>| {
                records.into_iter().find_map(|record| match record {
                    Record::Address(ip) => Some(SocketAddr::new(ip, *port)),
                    _ => None,
                })
            };
            let found: Vec<_> = [first(v4), first(v6)].into_iter().flatten().collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    async fn srv(&self, name: &str) -> Vec<Srv> {
        let read = |record| match record {
            Record::Srv { priority, weight, port, target } => Some(Srv { priority, weight, port, target }),
            _ => None,
        };
        self.records(name, RecordKind::Srv).await.into_iter().filter_map(read).collect()
    }

    async fn naptr(&self, name: &str) -> Vec<Naptr> {
        let read = |record| match record {
            Record::Naptr { order, preference, flags, service, replacement } => {
                Some(Naptr { order, preference, flags, service, replacement })
            }
            _ => None,
        };
        self.records(name, RecordKind::Naptr).await.into_iter().filter_map(read).collect()
    }

    async fn records(&self, name: &str, kind: RecordKind) -> Vec<Record> {
        match self.0.look_up(&Question::new(name, kind)).await {
            Ok(answer) => answer.records,
            Err(error) => {
                tracing::debug!(name, ?kind, %error, "no answer from the DNS");
                Vec::new()
            }
        }
    }
}

/// A STUN server over UDP.
pub(super) fn stun_uri(host: &str, port: u16) -> ServerUri {
    uri(false, false, host, port, None)
}

/// A port other than the default one says that the name is a host's.
fn uri(relay: bool, secure: bool, host: &str, port: u16, transport: Option<Transport>) -> ServerUri {
    let uri = ServerUri { relay, secure, host: host.to_owned(), port: None, transport };
    ServerUri { port: (port != uri.default_port()).then_some(port), ..uri }
}
