//! Where requests may go: the endpoint's side of [`resolve`](crate::resolve) (RFC 3263).

use super::{
    Cause, Endpoint, Output, QueryId, Target, Transport,
    client::{Client, ClientKey, ClientMachine, Path, Waiting},
    ids::ByNumber,
};
use crate::{
    Host, Response, Scheme,
    resolve::{Answer, Cache, Hop, Lookup, Question, Wanted},
};
use rand_core::Rng;
use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The longest time for which a 503 may have a target avoided.
const LONGEST: Duration = Duration::from_secs(600);

/// Searches under way, and what was learnt by earlier ones.
#[derive(Debug)]
pub(crate) struct Locator {
    pub(crate) cache: Cache,
    lookups: ByNumber<ClientKey, Lookup>,
    queries: ByNumber<QueryId, Question>,
    /// Who waits for the answer to a question: it is asked once.
    waiting: HashMap<Question, Vec<ClientKey>>,
}

impl Locator {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            cache: Cache::new(max),
            lookups: ByNumber::default(),
            queries: ByNumber::default(),
            waiting: HashMap::new(),
        }
    }

    pub(crate) fn forget(&mut self, key: ClientKey) {
        if self.lookups.remove(&key).is_some() {
            super::shrink(&mut self.lookups);
        }
    }
}

impl Endpoint {
    /// Finds out where a request may go, and sends it there (RFC 3263 §4).
    pub(crate) fn locate(&mut self, now: Instant, key: ClientKey) {
        let Some(client) = self.clients.get(&key) else { return };
        let Some(template) = &client.template else { return };
        if let Some(flow) = template.flow
            && self.flows.get(flow).is_some_and(|f| f.local().is_some())
        {
            self.send_on_flow(now, key, flow);
            return;
        }
        let hop = &template.next_hop;
        if !hop.is_sip() {
            self.client_failed(now, key, Cause::Transport, "the next hop is no sip URI");
            return;
        }
        let named = hop.param("transport").map(Transport::named);
        let given = template.transport.or(named.flatten());
        if named == Some(None) && given.is_none() {
            self.client_failed(now, key, Cause::Transport, "an unknown transport");
            return;
        }
        let secure = hop.scheme() == Scheme::Sips;
        // TCP of a sips URI is TLS (RFC 3261 §26.2.2).
        let transport = match given {
            Some(Transport::Tcp) if secure => Some(Transport::Tls),
            Some(Transport::Ws) if secure => Some(Transport::Wss),
            given => given,
        };
        let host = match hop.param("maddr").map(str::parse::<Host>) {
            Some(Ok(maddr)) => maddr,
            _ => hop.host().clone(),
        };
        let wanted = Wanted { port: hop.port(), transport, secure, ..self.abilities() };
        if let Some(ip) = host.ip() {
            let transport = wanted.default_transport();
            let addr = SocketAddr::new(ip, wanted.port.unwrap_or(transport.default_port()));
            self.located(now, key, &[Hop { target: Target { addr, transport }, server: 0 }]);
            return;
        }
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        match Lookup::new(Wanted { host: host.to_string(), ..wanted }, seed) {
            Ok(lookup) => {
                let until = now + self.config.timers.patience();
                if let Some(client) = self.clients.get_mut(&key) {
                    client.machine =
                        ClientMachine::Waiting(Waiting { locating: true, ..Waiting::new(until) });
                }
                self.locator.lookups.insert(key, lookup);
                self.arm_client(key);
                self.go_on(now, key);
            }
            Err(error) => self.client_failed(now, key, Cause::Resolution, &error.to_string()),
        }
    }

    /// What we have to reach others with.
    fn abilities(&self) -> Wanted {
        let mut wanted = Wanted::new("");
        if let Some((_, first)) = self.bound.first() {
            wanted.ipv4 = self.bound.iter().any(|(_, local)| local.is_ipv4());
            wanted.ipv6 = self.bound.iter().any(|(_, local)| local.is_ipv6());
            wanted.ipv6_first = first.is_ipv6();
        }
        for (transport, _) in &self.bound {
            if !wanted.transports.contains(transport) {
                wanted.transports.push(*transport);
            }
        }
        // Datagrams first: they need no connection.
        wanted.transports.sort_by_key(|transport| transport.is_reliable());
        wanted
    }

    /// Asks what a search wants to know, as far as it is not known yet.
    fn go_on(&mut self, now: Instant, key: ClientKey) {
        loop {
            let Some(lookup) = self.locator.lookups.get_mut(&key) else { return };
            let questions = lookup.ask();
            if questions.is_empty() {
                break;
            }
            for question in questions {
                if let Some(records) = self.locator.cache.get(now, &question) {
                    lookup.answer(&question, Ok(records));
                    continue;
                }
                let waiting = self.locator.waiting.entry(question.clone()).or_default();
                waiting.push(key);
                if waiting.len() == 1 {
                    self.next_id += 1;
                    let query = QueryId(self.next_id);
                    self.locator.queries.insert(query, question.clone());
                    self.outputs.push_back(Output::Resolve { query, question });
                }
            }
        }
        let Some(result) = self.locator.lookups.get(&key).and_then(Lookup::result) else { return };
        match result {
            Ok(hops) => {
                let mut hops = hops.to_vec();
                // RFC 5626 §4.3: over the flow that is there already.
                hops.sort_by_key(|hop| !self.is_kept(hop.target));
                self.locator.cache.sort(now, &mut hops);
                self.locator.forget(key);
                self.located(now, key, &hops);
            }
            Err(error) => {
                let reason = error.to_string();
                self.client_failed(now, key, Cause::Resolution, &reason);
            }
        }
    }

    fn located(&mut self, now: Instant, key: ClientKey, hops: &[Hop]) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.targets.extend(hops);
            self.dispatch(now, key);
        }
    }

    /// The DNS answered.
    pub(crate) fn resolved(&mut self, now: Instant, query: QueryId, result: Result<Answer, String>) {
        let Some(question) = self.locator.queries.remove(&query) else { return };
        let keys = self.locator.waiting.remove(&question).unwrap_or_default();
        super::shrink(&mut self.locator.queries);
        super::shrink(&mut self.locator.waiting);
        for key in keys {
            if let Some(lookup) = self.locator.lookups.get_mut(&key) {
                let answer = result.as_ref().map(|answer| answer.records.as_slice());
                lookup.answer(&question, answer.map_err(String::as_str));
                self.go_on(now, key);
            }
        }
        if let Ok(answer) = &result {
            self.locator.cache.keep(now, question, answer);
        }
    }

    /// Where a request went.
    pub(crate) fn target_of(&self, client: &Client) -> Option<Target> {
        match client.path? {
            Path::Udp { remote, .. } => Some(Target { addr: remote, transport: Transport::Udp }),
            Path::Stream(id) => {
                let flow = self.flows.get(id)?;
                Some(Target { addr: flow.remote, transport: flow.transport })
            }
        }
    }

    /// The target of a request says nothing, or 503: others are better for a while.
    pub(crate) fn avoid_target(&mut self, now: Instant, key: ClientKey, response: Option<&Response>) {
        let asked = response.and_then(|r| {
            let text = r.headers().text("Retry-After")?;
            text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok().map(Duration::from_secs)
        });
        let target = self.clients.get(&key).and_then(|client| self.target_of(client));
        if let Some(target) = target {
            let time = asked.unwrap_or(self.config.avoid_dead).min(LONGEST);
            self.locator.cache.died(now, target, now + time);
        }
    }

    /// The target of a request answers.
    pub(crate) fn target_lives(&mut self, key: ClientKey) {
        if let Some(target) = self.clients.get(&key).and_then(|client| self.target_of(client)) {
            self.locator.cache.lives(target);
        }
    }
}
