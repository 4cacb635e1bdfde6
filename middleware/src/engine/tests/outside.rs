//! What a party of a trace does outside of sessions, and lets others do.

use std::net::SocketAddr;

use bytes::Bytes;
use sip_core::StatusCode;
use sip_core::endpoint as sip;
use sip_core::usage::NotifierState;

use super::agent::{Agent, now_at, streams};
use crate::credentials::Credentials;
use crate::engine::{Engine, EngineConfig, Now};
use crate::error::Error;
use crate::incoming_referral::IncomingReferralId;
use crate::incoming_subscription::IncomingSubscriptionId;
use crate::presence::EventBody;
use crate::subscription::{SubscriptionId, SubscriptionOptions};

impl Agent {
    /// Another policy, before anything has happened.
    pub(super) fn opens(&mut self, change: impl FnOnce(&mut EngineConfig)) {
        let mut config = self.engine.config.clone();
        change(&mut config);
        let numbers = self.engine.numbers.clone();
        self.engine = Engine::new(config, numbers, [self.name.as_bytes()[0]; 32]);
        self.engine.bound(now_at(self.start, self.start), sip::Transport::Udp, self.address);
    }

    /// What is done outside of sessions: `subscribe presence 60`; and what is decided on what a peer asks for,
    /// by its number: `accept-referral 1 audio`, `accept-subscriber 1 here 60`.
    pub(super) fn command_outside(
        &mut self,
        now: Now,
        words: &[&str],
        peer: SocketAddr,
    ) -> Option<Result<(), Error>> {
        let number = words.get(1).and_then(|number| number.parse().ok()).unwrap_or(1);
        let (word, status) = (words.get(2).copied().unwrap_or_default(), StatusCode::new);
        let code = word.parse().ok().and_then(status);
        let (subscriber, referral) = (IncomingSubscriptionId(number), IncomingReferralId(number));
        let state = match word {
            "" | "nothing" => EventBody::Empty,
            text => {
                let body = Bytes::copy_from_slice(text.as_bytes());
                EventBody::Other { content_type: "text/plain".to_owned(), body }
            }
        };
        let expires = words.get(3).and_then(|seconds| seconds.parse().ok()).unwrap_or(600);
        let us = Credentials::new(format!("sip:{}@example.com", self.name).parse().expect("a URI"));
        Some(match words[0] {
            "subscribe" => {
                let expires = word.parse().unwrap_or(3_600);
                let target = format!("sip:bob@{peer}").parse().expect("a URI");
                let options =
                    SubscriptionOptions { expires, ..SubscriptionOptions::new(words[1], target, us) };
                self.engine.subscribe(now, SubscriptionId(1), options);
                Ok(())
            }
            "unsubscribe" => {
                self.engine.end_subscription(now, SubscriptionId(1));
                Ok(())
            }
            "accept-referral" => {
                let accepted = self.engine.accept_referral(now, referral, us, streams(word));
                accepted.map(|(id, _)| self.sessions.push(id))
            }
            "reject-referral" => {
                self.engine.reject_referral(now, referral, code.unwrap_or(StatusCode::DECLINE))
            }
            "accept-subscriber" => {
                self.engine.accept_subscriber(now, subscriber, NotifierState::Active, &state, expires)
            }
            "keep-subscriber" => {
                self.engine.accept_subscriber(now, subscriber, NotifierState::Pending, &state, expires)
            }
            "reject-subscriber" => {
                self.engine.reject_subscriber(now, subscriber, code.unwrap_or(StatusCode::FORBIDDEN))
            }
            "tell-subscriber" => self.engine.notify_subscriber(now, subscriber, &state),
            "end-subscriber" => self.engine.end_subscriber(now, subscriber, word),
            _ => return None,
        })
    }
}
