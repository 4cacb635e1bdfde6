//! Messages whose fate is not known, in the order in which they were sent.

use std::collections::BTreeMap;

use crate::session::ChatMessage;

/// Bytes of content that are kept.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Messages that are kept.
const MAX_MESSAGES: usize = 100_000;

#[derive(Default)]
pub(super) struct Unsettled {
    messages: BTreeMap<u64, ChatMessage>,
    numbers: BTreeMap<String, u64>,
    /// All below were given to the machine of this connection.
    given: u64,
    next: u64,
    bytes: usize,
}

impl Unsettled {
    /// Keeps a message; gives its id back if there is no room for it.
    pub(super) fn push(&mut self, message: ChatMessage) -> Result<(), String> {
        let bytes = self.bytes.saturating_add(message.content.len());
        if bytes > MAX_BYTES || self.messages.len() >= MAX_MESSAGES {
            return Err(message.message_id);
        }
        self.bytes = bytes;
        self.numbers.insert(message.message_id.clone(), self.next);
        self.messages.insert(self.next, message);
        self.next += 1;
        Ok(())
    }

    /// The next message for the machine.
    pub(super) fn next(&self) -> Option<&ChatMessage> {
        self.messages.range(self.given..).next().map(|(_, message)| message)
    }

    /// The machine has taken it.
    pub(super) fn given(&mut self) {
        if let Some((number, _)) = self.messages.range(self.given..).next() {
            self.given = number + 1;
        }
    }

    /// The connection is another one: its machine has none of them.
    pub(super) fn not_given(&mut self) {
        self.given = 0;
    }

    /// The fate of a message is known; gives back whether it was not before.
    pub(super) fn settle(&mut self, message_id: &str) -> bool {
        let message = self.numbers.remove(message_id).and_then(|number| self.messages.remove(&number));
        self.bytes -= message.as_ref().map_or(0, |message| message.content.len());
        message.is_some()
    }

    pub(super) fn into_ids(self) -> impl Iterator<Item = String> {
        self.messages.into_values().map(|message| message.message_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: usize, length: usize) -> ChatMessage {
        ChatMessage {
            message_id: format!("m{number}"),
            content: vec![0; length].into(),
            content_type: "text/plain".to_owned(),
            to: None,
            date_time: None,
            notify: false,
        }
    }

    #[test]
    fn what_is_not_settled_is_given_again_in_order() {
        let mut unsettled = Unsettled::default();
        for number in 0..5 {
            unsettled.push(message(number, 10)).expect("there is room");
        }
        let give = |unsettled: &mut Unsettled| {
            let mut ids = Vec::new();
            while let Some(next) = unsettled.next() {
                ids.push(next.message_id.clone());
                unsettled.given();
            }
            ids
        };
        assert_eq!(give(&mut unsettled), ["m0", "m1", "m2", "m3", "m4"]);
        assert!(unsettled.settle("m1") && unsettled.settle("m4") && !unsettled.settle("m4"));
        assert!(give(&mut unsettled).is_empty());
        unsettled.not_given();
        assert_eq!(give(&mut unsettled), ["m0", "m2", "m3"]);
        unsettled.push(message(5, 10)).expect("there is room");
        assert_eq!(give(&mut unsettled), ["m5"]);
        assert_eq!(unsettled.into_ids().collect::<Vec<_>>(), ["m0", "m2", "m3", "m5"]);
    }

    #[test]
    fn what_is_kept_is_capped() {
        let mut unsettled = Unsettled::default();
        unsettled.push(message(0, MAX_BYTES)).expect("there is room");
        assert_eq!(unsettled.push(message(1, 1)), Err("m1".to_owned()));
        assert!(unsettled.settle("m0"));
        unsettled.push(message(1, 1)).expect("there is room again");
    }
}
