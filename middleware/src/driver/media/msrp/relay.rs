//! Our own relay (RFC 4976 §5.1): found, connected to, convinced, and asked again before its URI expires.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use msrp_cpim::{AuthConfig, Config, Connection, Event, IdSource, MsrpUri};
use sip_core::auth::{Challenge, Credentials, Digest};
use sip_core::resolve::{Question, Record, RecordKind};

use super::{Connected, DEFAULT_PORT, Duplex, Wire, websocket};
use crate::driver::clock;
use crate::driver::dial::dial_host;
use crate::driver::resolve::Resolver;
use crate::driver::transport::Security;
use crate::session::RelayPreparation;
use crate::trace::Tracer;

/// A relay that has not granted a URI by then is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before a relay that hung up is asked once more.
const AGAIN: Duration = Duration::from_millis(250);
/// Where WebSockets are served as a rule.
const WEBSOCKET_PORT: u16 = 443;
/// Relays of a domain that are tried.
const MAX_RELAYS: usize = 8;

/// A connection to our relay, with the URI that it granted.
pub(in crate::driver::media) struct Relayed {
    pub(super) wire: Wire,
    /// The relays, and then ourselves: what requests of ours come from.
    pub(super) local_path: Vec<MsrpUri>,
    /// What the peer is told.
    pub(super) path: Vec<MsrpUri>,
}

/// What a relay is told when it asks who we are.
pub(super) struct Login {
    credentials: Credentials,
    ids: IdSource,
}

impl Login {
    /// The value of `Authorization`; `None` if the relay speaks no digest that we know.
    pub(super) fn answer(&mut self, challenges: &[String], uri: &str) -> Option<String> {
        let known = challenges.iter().flat_map(|value| Challenge::all(value));
        let challenge = known.max_by_key(|challenge| challenge.algorithm)?;
        let cnonce = self.ids.next_id();
        // RFC 4976 §5.1 has no `uri` here, and says which one it is: that of the relay. Relays that are built on
        // a SIP server insist on reading it, the others ignore it.
        let digest = Digest { cnonce: &cnonce, ..Digest::new("AUTH", uri) };
        Some(challenge.answer(&self.credentials, &digest))
    }
}

impl Relayed {
    /// Asks the relays of the configuration, or of the domain, one after the other.
    #[expect(
        clippy::disallowed_methods,
        reason = "a relay that restarts is given a moment; no machine is there yet"
    )]
    pub(super) async fn open(
        relay: &RelayPreparation,
        security: &Security,
        own: Option<IpAddr>,
        resolver: &Resolver,
        tracer: Option<&Arc<Tracer>>,
    ) -> io::Result<Self> {
        let mut last = io::Error::other(format!("{} has no MSRP relay", relay.domain));
        for (host, port) in find(relay, resolver).await {
            let ask = || tokio::time::timeout(PATIENCE, ask(relay, &host, port, security, own, tracer));
            let mut asked = ask().await;
            if matches!(&asked, Ok(Err(error)) if is_lost(error)) {
                tracing::debug!(%host, port, "an MSRP relay hung up: it is asked once more");
                tokio::time::sleep(AGAIN).await;
                asked = ask().await;
            }
            match asked.unwrap_or_else(|_| Err(io::Error::other("it does not answer"))) {
                Ok(relayed) => return Ok(relayed),
                Err(error) => {
                    tracing::warn!(%host, port, %error, "an MSRP relay cannot be used");
                    last = io::Error::other(format!("the MSRP relay {host}:{port}: {error}"));
                }
            }
        }
        Err(last)
    }
}

/// Whether the connection went without an answer: a relay that restarts, or one that stumbles over two at once.
fn is_lost(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// RFC 4976 §5.1: the relay that was named, or those of the domain by SRV.
async fn find(relay: &RelayPreparation, resolver: &Resolver) -> Vec<(String, u16)> {
    if let Some(host) = &relay.host {
        let usual = if relay.websocket { WEBSOCKET_PORT } else { DEFAULT_PORT };
        return vec![(host.clone(), relay.port.unwrap_or(usual))];
    }
    let service = if relay.tls { "_msrps._tcp" } else { "_msrp._tcp" };
    let question = Question::new(&format!("{service}.{}", relay.domain), RecordKind::Srv);
    let records = match resolver.look_up(&question).await {
        Ok(answer) => answer.records,
        Err(reason) => {
            tracing::debug!(domain = relay.domain, %reason, "no MSRP relay");
            Vec::new()
        }
    };
    let mut found: Vec<(u16, u16, String, u16)> = records
        .into_iter()
        .filter_map(|record| match record {
            Record::Srv { priority, weight, port, target } if !target.trim_end_matches('.').is_empty() => {
                Some((priority, u16::MAX - weight, target, port))
            }
            _ => None,
        })
        .collect();
    found.sort();
    found.into_iter().take(MAX_RELAYS).map(|(_, _, host, port)| (host, relay.port.unwrap_or(port))).collect()
}

async fn ask(
    relay: &RelayPreparation,
    host: &str,
    port: u16,
    security: &Security,
    own: Option<IpAddr>,
    tracer: Option<&Arc<Tracer>>,
) -> io::Result<Relayed> {
    let stream = dial_host(own, host, port).await?;
    stream.set_nodelay(true)?;
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    let stream: Box<dyn Duplex> = match relay.tls {
        true => Box::new(security.connect(stream, host).await?),
        false => Box::new(stream),
    };
    let stream = match relay.websocket {
        true => websocket::connect(stream, relay.tls, host, port).await?,
        false => stream,
    };
    let connected = Connected { stream, local, remote, early: Bytes::new() };
    let mut ids = IdSource::new(clock::seed());
    let uri = |host: String, port, session| {
        let transport = if relay.websocket { "ws" } else { "tcp" };
        MsrpUri { transport: transport.to_owned(), ..MsrpUri::new(relay.tls, host, port, session) }
    };
    let ours = match relay.websocket {
        // RFC 7977 §8.1.1: nobody connects to it.
        true => uri(format!("{}.invalid", ids.next_id()), DEFAULT_PORT, ids.next_id()),
        false => uri(printed(local), local.port(), ids.next_id()),
    };
    let relay_uri = MsrpUri { session_id: None, ..uri(host.to_owned(), port, String::new()) };
    let machine = Connection::new(Config::default(), clock::seed());
    let mut wire = Wire::new(connected, machine, tracer.cloned());
    if let Some(password) = &relay.password {
        let credentials = Credentials::new(relay.username.clone(), password.as_str());
        wire.login = Some(Login { credentials, ids });
    }
    let auth = AuthConfig { relay: vec![relay_uri], local: ours.clone(), expires: None };
    wire.machine.auth(clock::now().instant, auth).map_err(io::Error::other)?;
    loop {
        match wire.next().await {
            Some(Event::Authorized { mut use_path, path, .. }) => {
                use_path.push(ours);
                return Ok(Relayed { wire, local_path: use_path, path });
            }
            // 408: it never answered, and with a connection that stands `PATIENCE` is over before.
            Some(Event::AuthFailed { code: 408, reason, .. }) => {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason));
            }
            Some(Event::AuthFailed { code, reason, .. }) => {
                return Err(io::Error::other(format!("{code} {reason}")));
            }
            Some(_) => {}
            None => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, wire.failure().to_owned())),
        }
    }
}

fn printed(local: SocketAddr) -> String {
    match local.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => ip.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_challenge_is_answered_with_the_uri_of_the_relay() {
        let credentials = Credentials::new("alice", "secret");
        let mut login = Login { credentials, ids: IdSource::new([3; 32]) };
        let challenge = |algorithm: &str| {
            format!("Digest realm=\"example.com\", nonce=\"abc\", qop=\"auth\", algorithm={algorithm}")
        };
        let answer =
            login.answer(&[challenge("MD5"), challenge("SHA-256")], "msrps://relay.example.com:2855;tcp");
        let answer = answer.expect("both are known");
        for part in ["username=\"alice\"", "algorithm=SHA-256", "uri=\"msrps://relay.example.com:2855;tcp\""]
        {
            assert!(answer.contains(part), "{answer}");
        }
        assert!(!answer.contains("secret"));
        assert_eq!(login.answer(&["Basic realm=\"x\"".to_owned()], "x"), None);
    }
}
