//! Errors by blame: the bytes ([`CodecError`]), the file or disk ([`WavError`]), the
//! machine's hardware ([`DeviceError`]), the caller ([`UsageError`]).

/// A codec could not use what it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The codec is not in [`crate::codec::available`].
    #[error("codec {0} is not built in")]
    Unavailable(String),
    /// The received payload is not one of this codec.
    #[error("payload of {length} bytes is not valid {codec}")]
    Payload {
        /// Name of the codec.
        codec: &'static str,
        /// Bytes received.
        length: usize,
    },
    /// The caller's buffer is too short.
    #[error("{codec} needs room for {needed}, got {got}")]
    Room {
        /// Name of the codec.
        codec: &'static str,
        /// Items needed (bytes when encoding, samples when decoding).
        needed: usize,
        /// Items given.
        got: usize,
    },
    /// The number of samples is not one that this codec can encode.
    #[error("{codec} cannot encode {samples} samples")]
    FrameSize {
        /// Name of the codec.
        codec: &'static str,
        /// Samples given.
        samples: usize,
    },
    /// The codec's library refused.
    #[error("{codec}: {what}")]
    Library {
        /// Name of the codec.
        codec: &'static str,
        /// What the library said.
        what: String,
    },
}

/// A WAV file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// The file could not be opened, read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not a WAV file that we understand.
    #[error("{path}: {what}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// Longer than the caller allowed.
    #[error("{path}: {samples} samples, at most {limit} allowed")]
    TooLong {
        /// The file.
        path: String,
        /// Samples in the file.
        samples: u64,
        /// The cap.
        limit: u64,
    },
}

/// An audio device could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device of this name, or none at all.
    #[error("no audio device {0}")]
    NotFound(String),
    /// The system's audio refused.
    #[error("{device}: {what}")]
    Backend {
        /// The device.
        device: String,
        /// What the system said.
        what: String,
    },
}

/// The caller asked for something that makes no sense here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// No such port in this bridge.
    #[error("the bridge has no port {0}")]
    NoPort(u64),
    /// The media thread has ended.
    #[error("the media thread has ended")]
    EngineGone,
    /// Too many commands wait for the media thread.
    #[error("too many commands are waiting")]
    Busy,
}
