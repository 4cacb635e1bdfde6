//! Answers that still hold, and targets that were found dead.

use super::{Answer, Hop, Question, Record};
use crate::endpoint::Target;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The longest that an answer is remembered, whatever its TTL says.
const LONGEST: Duration = Duration::from_secs(3_600);

/// What was learnt about names and servers.
#[derive(Debug)]
pub(crate) struct Cache {
    answers: HashMap<Question, (Vec<Record>, Instant)>,
    dead: HashMap<Target, Instant>,
    max: usize,
}

impl Cache {
    pub(crate) fn new(max: usize) -> Self {
        Self { answers: HashMap::new(), dead: HashMap::new(), max }
    }

    pub(crate) fn len(&self) -> usize {
        self.answers.len() + self.dead.len()
    }

    pub(crate) fn get(&self, now: Instant, question: &Question) -> Option<&[Record]> {
        let (records, until) = self.answers.get(question)?;
        (*until > now).then_some(records)
    }

    pub(crate) fn keep(&mut self, now: Instant, question: Question, answer: &Answer) {
        if answer.ttl.is_zero() {
            return;
        }
        if self.answers.len() >= self.max {
            self.answers.retain(|_, (_, until)| *until > now);
        }
        if self.answers.len() < self.max {
            self.answers.insert(question, (answer.records.clone(), now + answer.ttl.min(LONGEST)));
        }
    }

    /// Forgets all names: the network is another one.
    pub(crate) fn clear(&mut self) {
        self.answers.clear();
        self.dead.clear();
    }

    /// A target does not answer; for a while it comes after the others.
    pub(crate) fn died(&mut self, now: Instant, target: Target, until: Instant) {
        if self.dead.len() >= self.max {
            self.dead.retain(|_, until| *until > now);
        }
        if self.dead.len() < self.max {
            self.dead.insert(target, until);
        }
    }

    /// It answers.
    pub(crate) fn lives(&mut self, target: Target) {
        if !self.dead.is_empty() {
            self.dead.remove(&target);
        }
    }

    /// The same hops, with those that are dead at the end: there they are better than none.
    pub(crate) fn sort(&self, now: Instant, hops: &mut [Hop]) {
        if !self.dead.is_empty() {
            hops.sort_by_key(|hop| self.dead.get(&hop.target).is_some_and(|until| *until > now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{endpoint::Transport, resolve::RecordKind, transaction::testing::start};

    fn answer(ttl: u64) -> Answer {
        Answer { records: vec![Record::Address([192, 0, 2, 1].into())], ttl: Duration::from_secs(ttl) }
    }

    fn question(name: &str) -> Question {
        Question::new(name, RecordKind::A)
    }

    #[test]
    fn answers_hold_as_long_as_they_say() {
        let (now, mut cache) = (start(), Cache::new(2));
        let after = |s| now + Duration::from_secs(s);
        cache.keep(now, question("a"), &answer(60));
        cache.keep(now, question("b"), &answer(1_000_000));
        cache.keep(now, question("c"), &answer(60));
        assert!(cache.get(after(59), &question("a")).is_some());
        assert!(cache.get(after(60), &question("a")).is_none());
        assert!(cache.get(after(3_601), &question("b")).is_none(), "an hour at most");
        assert!(cache.get(now, &question("c")).is_none(), "it is full");
        cache.keep(after(61), question("c"), &answer(60));
        assert!(cache.get(after(62), &question("c")).is_some(), "what is over makes room");
        cache.keep(now, question("d"), &answer(0));
        assert!(cache.get(now, &question("d")).is_none());
    }

    #[test]
    fn the_dead_come_last_for_a_while() {
        let (now, mut cache) = (start(), Cache::new(10));
        let hop = |last: u8, server| Hop {
            target: Target { addr: ([192, 0, 2, last], 5060).into(), transport: Transport::Udp },
            server,
        };
        let order = |cache: &Cache, now| {
            let mut hops = [hop(1, 0), hop(2, 1), hop(3, 2)];
            cache.sort(now, &mut hops);
            hops.map(|hop| hop.server)
        };
        cache.died(now, hop(1, 0).target, now + Duration::from_secs(30));
        assert_eq!(order(&cache, now), [1, 2, 0]);
        assert_eq!(order(&cache, now + Duration::from_secs(30)), [0, 1, 2]);
        cache.lives(hop(1, 0).target);
        assert_eq!(order(&cache, now), [0, 1, 2]);
    }
}
