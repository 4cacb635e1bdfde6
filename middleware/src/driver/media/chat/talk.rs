//! What is said in a chat beside the messages: wrappings, who is composing, and what became of messages.
//!
//! Pure: time and identifiers come in, messages to be sent and events to be told go out.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use msrp_cpim::cpim::{Address, Message as Cpim};
use msrp_cpim::imdn::{self, Disposition, Imdn, Notification as Kind, Status};
use msrp_cpim::iscomposing::{self, Composer, IsComposing, Watcher};
use msrp_cpim::wire::FailureReport;
use msrp_cpim::{IdSource, OutgoingMessage, UsageError};

use crate::notification::MsrpChatEvent;
use crate::session::{ChatMessage, ChatParameters, MediaEvent, ReceivedMessage};

/// The media type of CPIM.
const CPIM: &str = "message/cpim";
/// Who is known to compose, at most.
const MAX_COMPOSERS: usize = 64;
/// Messages whose display the peer wants to know of, at most; the oldest are forgotten.
const MAX_DISPLAYABLE: usize = 256;

/// One chat's conversation.
pub(super) struct Talk {
    pub(super) parameters: ChatParameters,
    ids: IdSource,
    composer: Composer,
    watchers: BTreeMap<String, Watcher>,
    /// The notifications to send when these are displayed, by Message-ID.
    displayable: VecDeque<(String, Cpim)>,
}

/// What came of a message that arrived.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) told: Vec<MediaEvent>,
    /// What is to be sent because of it.
    pub(super) reply: Option<OutgoingMessage>,
}

impl Talk {
    pub(super) fn new(parameters: ChatParameters, seed: [u8; 32]) -> Self {
        let (watchers, displayable) = (BTreeMap::new(), VecDeque::new());
        let (ids, composer) = (IdSource::new(seed), Composer::default());
        Self { parameters, ids, composer, watchers, displayable }
    }

    /// A message as it goes over MSRP: RFC 3862 around it where the peer takes that.
    pub(super) fn outgoing(
        &mut self,
        now: SystemTime,
        message: &ChatMessage,
    ) -> Result<OutgoingMessage, UsageError> {
        self.composer.sent();
        let ChatMessage { message_id, content, content_type, to, date_time, notify } = message;
        let outgoing = if self.parameters.cpim {
            let mut cpim =
                self.wrap(now, content_type, content.clone(), to.as_deref(), date_time.as_deref())?;
            if *notify {
                let wanted =
                    [Disposition::PositiveDelivery, Disposition::NegativeDelivery, Disposition::Display];
                imdn::request(&mut cpim, message_id, &wanted)?;
            }
            OutgoingMessage::new(CPIM, cpim.to_bytes())
        } else {
            OutgoingMessage::new(content_type.as_str(), content.clone())
        };
        Ok(OutgoingMessage { message_id: Some(message_id.clone()), ..outgoing })
    }

    /// A message that came: told, kept to itself, or answered.
    pub(super) fn received(
        &mut self,
        now: Instant,
        message_id: String,
        content_type: String,
        body: Bytes,
    ) -> Heard {
        let cpim = if is(&content_type, CPIM) { Cpim::parse(&body).ok() } else { None };
        let Some(cpim) = cpim else { return self.plain(now, message_id, content_type, body) };
        let peer = self.parameters.remote_uri.clone();
        let from = cpim.from().map_or(peer, |address| address.uri);
        let inner = cpim.content_type().unwrap_or("text/plain").to_owned();
        if is(&inner, iscomposing::CONTENT_TYPE) {
            return self.composing(now, from, cpim.body());
        }
        if imdn::is_imdn(&cpim) {
            return disposition(from, cpim.body());
        }
        let reader = Address { name: None, uri: self.parameters.local_uri.clone() };
        let mut reply = None;
        if self.parameters.notify_delivery {
            let id = self.ids.next_id();
            reply = imdn::notify(&cpim, &reader, &id, Kind::Delivery, Status::Delivered).ok().flatten();
        }
        let id = self.ids.next_id();
        if let Ok(Some(display)) = imdn::notify(&cpim, &reader, &id, Kind::Display, Status::Displayed) {
            self.displayable.push_back((message_id.clone(), display));
            if self.displayable.len() > MAX_DISPLAYABLE {
                self.displayable.pop_front();
            }
        }
        let headers = cpim.headers().map(|one| (one.name.to_owned(), one.text().into_owned())).collect();
        let mut told = self.no_longer(&from);
        told.push(MediaEvent::ChatMessage(Box::new(ReceivedMessage {
            message_id,
            content: cpim.body().clone(),
            content_type: inner,
            cpim_headers: headers,
        })));
        Heard { told, reply: reply.map(|reply| quiet(&reply)) }
    }

    fn plain(&mut self, now: Instant, message_id: String, content_type: String, body: Bytes) -> Heard {
        let from = self.parameters.remote_uri.clone();
        if is(&content_type, iscomposing::CONTENT_TYPE) {
            return self.composing(now, from, &body);
        }
        let mut told = self.no_longer(&from);
        let message = ReceivedMessage { message_id, content: body, content_type, cpim_headers: Vec::new() };
        told.push(MediaEvent::ChatMessage(Box::new(message)));
        Heard { told, reply: None }
    }

    fn composing(&mut self, now: Instant, from: String, document: &Bytes) -> Heard {
        let Ok(document) = IsComposing::parse(document) else { return Heard::default() };
        if !self.watchers.contains_key(&from) && self.watchers.len() >= MAX_COMPOSERS {
            return Heard::default();
        }
        self.watchers.entry(from.clone()).or_default().received(now, &document);
        Heard { told: self.changed(&from), reply: None }
    }

    /// Who has sent a message composes it no more.
    fn no_longer(&mut self, from: &str) -> Vec<MediaEvent> {
        if let Some(watcher) = self.watchers.get_mut(from) {
            watcher.received_message();
        }
        self.changed(from)
    }

    fn changed(&mut self, from: &str) -> Vec<MediaEvent> {
        let Some(watcher) = self.watchers.get_mut(from) else { return Vec::new() };
        let mut told = Vec::new();
        while let iscomposing::Output::Changed { active } = watcher.poll_output() {
            let from = from.to_owned();
            told.push(MediaEvent::ChatTold(MsrpChatEvent::GotComposing { from, active }));
        }
        if !watcher.is_active() {
            self.watchers.remove(from);
        }
        told
    }

    /// The user typed, or spoke.
    pub(super) fn composed(&mut self, now: Instant) {
        if self.parameters.composing {
            self.composer.composed(now);
        }
    }

    /// A message was displayed: what its sender is told, if it asked to be.
    pub(super) fn displayed(&mut self, message_id: &str) -> Option<OutgoingMessage> {
        let at = self.displayable.iter().position(|(id, _)| id == message_id)?;
        self.displayable.remove(at).map(|(_, notification)| quiet(&notification))
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let until = |output| match output {
            iscomposing::Output::Idle(deadline) => deadline,
            // What is pending was taken out before.
            _ => None,
        };
        let ours = until(self.composer.clone().poll_output());
        self.watchers.values().filter_map(|one| until(one.clone().poll_output())).chain(ours).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<MediaEvent> {
        self.composer.handle_timeout(now);
        for watcher in self.watchers.values_mut() {
            watcher.handle_timeout(now);
        }
        let names: Vec<String> = self.watchers.keys().cloned().collect();
        names.iter().flat_map(|from| self.changed(from)).collect()
    }

    /// What is to be said of our composing now.
    pub(super) fn poll(&mut self, wall: SystemTime) -> Option<OutgoingMessage> {
        let iscomposing::Output::Send(document) = self.composer.poll_output() else { return None };
        let body = Bytes::from(document.to_xml());
        let wrapped = match self.parameters.cpim {
            true => {
                let cpim = self.wrap(wall, iscomposing::CONTENT_TYPE, body, None, None).ok()?;
                return Some(quiet(&cpim));
            }
            false => OutgoingMessage::new(iscomposing::CONTENT_TYPE, body),
        };
        // RFC 3994 §4: nobody needs to know what becomes of it.
        Some(OutgoingMessage { success_report: false, failure_report: FailureReport::No, ..wrapped })
    }

    /// RFC 3862: who, to whom and when, around the content.
    fn wrap(
        &self,
        now: SystemTime,
        content_type: &str,
        content: Bytes,
        to: Option<&str>,
        date_time: Option<&str>,
    ) -> Result<Cpim, UsageError> {
        let address = |uri: &str| Address { name: None, uri: uri.to_owned() };
        let mut message = Cpim::new(content_type, content)?;
        message.push_address("From", &address(&self.parameters.local_uri))?;
        message.push_address("To", &address(to.unwrap_or(&self.parameters.remote_uri)))?;
        let date_time = date_time.map_or_else(
            || format!("{:.3}", jiff::Timestamp::try_from(now).unwrap_or_default()),
            str::to_owned,
        );
        message.push("DateTime", &date_time)?;
        Ok(message)
    }
}

/// A notification: RFC 5438 §8.2 has it sent without reports.
fn quiet(message: &Cpim) -> OutgoingMessage {
    let outgoing = OutgoingMessage::new(CPIM, message.to_bytes());
    OutgoingMessage { success_report: false, failure_report: FailureReport::No, ..outgoing }
}

fn disposition(from: String, document: &Bytes) -> Heard {
    let Ok(Imdn { message_id, status, .. }) = Imdn::parse(document) else { return Heard::default() };
    let status = status.map_or_else(|| "unknown".to_owned(), crate::messaging::status_name);
    let event = MsrpChatEvent::GotDisposition { message_id, from, status };
    Heard { told: vec![MediaEvent::ChatTold(event)], reply: None }
}

fn is(content_type: &str, kind: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use msrp_cpim::Body;
    use testkit::Clock;

    use super::*;

    fn talk(local: &str, remote: &str) -> Talk {
        let parameters = ChatParameters {
            cpim: true,
            composing: true,
            notify_delivery: true,
            local_uri: local.to_owned(),
            remote_uri: remote.to_owned(),
            ..ChatParameters::default()
        };
        Talk::new(parameters, [7; 32])
    }

    fn parties() -> (Talk, Talk, Clock) {
        let (alice, bob) = ("sip:alice@a.example", "sip:bob@b.example");
        (talk(alice, bob), talk(bob, alice), Clock::new())
    }

    fn message(text: &str, notify: bool) -> ChatMessage {
        ChatMessage {
            message_id: "m1".to_owned(),
            content: Bytes::from(text.to_owned()),
            content_type: "text/plain".to_owned(),
            to: None,
            date_time: None,
            notify,
        }
    }

    fn give(to: &mut Talk, now: Instant, message: &OutgoingMessage) -> Heard {
        let Body::Whole(body) = message.body.clone() else { panic!("it is whole") };
        let id = message.message_id.clone().unwrap_or_else(|| "x1".to_owned());
        to.received(now, id, message.content_type.clone(), body)
    }

    fn events(told: &[MediaEvent]) -> Vec<String> {
        told.iter()
            .map(|event| match event {
                MediaEvent::ChatMessage(message) => String::from_utf8_lossy(&message.content).into_owned(),
                MediaEvent::ChatTold(MsrpChatEvent::GotComposing { from, active }) => {
                    format!("{from} {}", if *active { "composes" } else { "is idle" })
                }
                MediaEvent::ChatTold(MsrpChatEvent::GotDisposition { message_id, from, status }) => {
                    format!("{message_id} {status} at {from}")
                }
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn deliveries_and_displays_are_told_to_who_asked() {
        let (mut alice, mut bob, clock) = parties();
        let asked = alice.outgoing(SystemTime::UNIX_EPOCH, &message("hello", true)).unwrap();
        let heard = give(&mut bob, clock.now(), &asked);
        assert_eq!(events(&heard.told), ["hello"]);
        let delivered = heard.reply.expect("she asked to be told");
        assert_eq!((delivered.success_report, delivered.failure_report), (false, FailureReport::No));
        let told = give(&mut alice, clock.now(), &delivered);
        assert_eq!(events(&told.told), ["m1 delivered at sip:bob@b.example"]);
        assert!(told.reply.is_none(), "about a notification none is sent");
        let displayed = bob.displayed("m1").expect("she asked to be told");
        assert_eq!(
            events(&give(&mut alice, clock.now(), &displayed).told),
            ["m1 displayed at sip:bob@b.example"]
        );
        assert!(bob.displayed("m1").is_none(), "once");

        let unasked = alice.outgoing(SystemTime::UNIX_EPOCH, &message("psst", false)).unwrap();
        let heard = give(&mut bob, clock.now(), &unasked);
        assert!(heard.reply.is_none() && bob.displayed("m1").is_none());

        bob.parameters.notify_delivery = false;
        let asked = alice.outgoing(SystemTime::UNIX_EPOCH, &message("by policy", true)).unwrap();
        assert!(give(&mut bob, clock.now(), &asked).reply.is_none());
    }

    #[test]
    fn composing_is_told_until_the_message_comes_or_nothing_does() {
        let (mut alice, mut bob, mut clock) = parties();
        alice.composed(clock.now());
        let active = alice.poll(SystemTime::UNIX_EPOCH).expect("she began");
        assert!(alice.poll(SystemTime::UNIX_EPOCH).is_none());
        let heard = give(&mut bob, clock.now(), &active);
        assert_eq!(events(&heard.told), ["sip:alice@a.example composes"]);
        let text = alice.outgoing(SystemTime::UNIX_EPOCH, &message("done", false)).unwrap();
        let heard = give(&mut bob, clock.now(), &text);
        assert_eq!(events(&heard.told), ["sip:alice@a.example is idle", "done"]);
        assert_eq!((alice.deadline(), bob.deadline()), (None, None));

        // She stops: told after 15 s. He hears nothing of it: idle after 120 s all the same.
        alice.composed(clock.now());
        let active = alice.poll(SystemTime::UNIX_EPOCH).expect("she began");
        give(&mut bob, clock.now(), &active);
        assert_eq!(alice.deadline(), Some(clock.now() + Duration::from_secs(15)));
        assert_eq!(bob.deadline(), Some(clock.now() + Duration::from_secs(120)));
        let now = clock.advance(Duration::from_secs(120));
        alice.handle_timeout(now);
        assert!(alice.poll(SystemTime::UNIX_EPOCH).is_some(), "she is idle");
        assert_eq!(events(&bob.handle_timeout(now)), ["sip:alice@a.example is idle"]);
    }

    #[test]
    fn who_does_not_take_it_is_not_told_of_composing() {
        let (mut alice, _, clock) = parties();
        alice.parameters.composing = false;
        alice.composed(clock.now());
        assert!(alice.poll(SystemTime::UNIX_EPOCH).is_none());
    }

    #[test]
    fn tables_that_a_peer_fills_are_capped() {
        let (mut alice, mut bob, clock) = parties();
        for number in 0..1_000 {
            alice.parameters.local_uri = format!("sip:{number}@a.example");
            alice.composed(clock.now());
            let active = alice.poll(SystemTime::UNIX_EPOCH).expect("another one began");
            give(&mut bob, clock.now(), &active);
            let asked = ChatMessage { message_id: format!("m{number}"), ..message("hello", true) };
            let asked = alice.outgoing(SystemTime::UNIX_EPOCH, &asked).unwrap();
            alice.composer.sent();
            let Body::Whole(body) = asked.body.clone() else { panic!("it is whole") };
            bob.received(clock.now(), format!("m{number}"), asked.content_type, body);
            alice.composed(clock.now());
            let active = alice.poll(SystemTime::UNIX_EPOCH).expect("and again");
            give(&mut bob, clock.now(), &active);
            alice.composer.sent();
        }
        assert_eq!((bob.watchers.len(), bob.displayable.len()), (MAX_COMPOSERS, MAX_DISPLAYABLE));
    }
}
