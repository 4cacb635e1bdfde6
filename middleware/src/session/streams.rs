//! Which streams a session has or is to have.

use std::fmt;
use std::ops::BitOr;

/// A set of streams: `StreamSet::AUDIO | StreamSet::CHAT`.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Default)]
pub struct StreamSet {
    /// An audio stream.
    pub audio: bool,
    /// An MSRP chat stream.
    pub chat: bool,
}

impl StreamSet {
    /// No stream.
    pub const NONE: StreamSet = StreamSet { audio: false, chat: false };
    /// Audio alone.
    pub const AUDIO: StreamSet = StreamSet { audio: true, chat: false };
    /// Chat alone.
    pub const CHAT: StreamSet = StreamSet { audio: false, chat: true };
    /// Audio and chat.
    pub const BOTH: StreamSet = StreamSet { audio: true, chat: true };

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == StreamSet::NONE
    }

    /// Whether all of `other` are among them.
    pub fn contains(self, other: StreamSet) -> bool {
        other.without(self).is_empty()
    }

    /// Those of `self` that are not in `other`.
    pub fn without(self, other: StreamSet) -> StreamSet {
        StreamSet { audio: self.audio && !other.audio, chat: self.chat && !other.chat }
    }

    /// Those of `self` that are in `other`.
    pub fn with_only(self, other: StreamSet) -> StreamSet {
        StreamSet { audio: self.audio && other.audio, chat: self.chat && other.chat }
    }

    /// Their names: `audio`, `chat`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [(self.audio, "audio"), (self.chat, "chat")].into_iter().filter_map(|(is, name)| is.then_some(name))
    }
}

impl BitOr for StreamSet {
    type Output = StreamSet;

    fn bitor(self, other: StreamSet) -> StreamSet {
        StreamSet { audio: self.audio || other.audio, chat: self.chat || other.chat }
    }
}

impl fmt::Debug for StreamSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::StreamSet;

    #[test]
    fn sets_behave_as_sets() {
        assert!(StreamSet::BOTH.contains(StreamSet::AUDIO));
        assert!(StreamSet::BOTH.contains(StreamSet::NONE));
        assert!(!StreamSet::AUDIO.contains(StreamSet::CHAT));
        assert!(!StreamSet::AUDIO.contains(StreamSet::BOTH));
        assert_eq!(StreamSet::BOTH.without(StreamSet::AUDIO), StreamSet::CHAT);
        assert_eq!(StreamSet::AUDIO | StreamSet::CHAT, StreamSet::BOTH);
    }
}
