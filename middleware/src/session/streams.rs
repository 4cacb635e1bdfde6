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
    /// File transfers over MSRP, one or more.
    pub file: bool,
}

impl StreamSet {
    /// No stream.
    pub const NONE: StreamSet = StreamSet { audio: false, chat: false, file: false };
    /// Audio alone.
    pub const AUDIO: StreamSet = StreamSet { audio: true, ..Self::NONE };
    /// Chat alone.
    pub const CHAT: StreamSet = StreamSet { chat: true, ..Self::NONE };
    /// Audio and chat.
    pub const BOTH: StreamSet = StreamSet { audio: true, chat: true, ..Self::NONE };
    /// File transfers alone.
    pub const FILE: StreamSet = StreamSet { file: true, ..Self::NONE };
    /// Everything that there is.
    pub const ALL: StreamSet = StreamSet { audio: true, chat: true, file: true };

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
        StreamSet {
            audio: self.audio && !other.audio,
            chat: self.chat && !other.chat,
            file: self.file && !other.file,
        }
    }

    /// Those of `self` that are in `other`.
    pub fn with_only(self, other: StreamSet) -> StreamSet {
        StreamSet {
            audio: self.audio && other.audio,
            chat: self.chat && other.chat,
            file: self.file && other.file,
        }
    }

    /// Their names: `audio`, `chat`, `file`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [(self.audio, "audio"), (self.chat, "chat"), (self.file, "file")];
        all.into_iter().filter_map(|(is, name)| is.then_some(name))
    }
}

impl BitOr for StreamSet {
    type Output = StreamSet;

    fn bitor(self, other: StreamSet) -> StreamSet {
        StreamSet {
            audio: self.audio || other.audio,
            chat: self.chat || other.chat,
            file: self.file || other.file,
        }
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
        assert_eq!(StreamSet::BOTH | StreamSet::FILE, StreamSet::ALL);
        assert_eq!(StreamSet::ALL.without(StreamSet::BOTH), StreamSet::FILE);
        assert_eq!(StreamSet::ALL.names().collect::<Vec<_>>(), ["audio", "chat", "file"]);
    }
}
