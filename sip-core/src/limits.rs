//! What a message may cost.

/// Caps on what is read from the network. Exceeding one is answered, not dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Start line and headers together, in bytes.
    pub head: usize,
    /// One header field with its folded lines, or the start line, in bytes.
    pub line: usize,
    /// Header fields in a message.
    pub fields: usize,
    /// Via values in a message (RFC 3261 §16.3 Max-Forwards starts at 70).
    pub vias: usize,
    /// The body, in bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 64 * 1024, line: 16 * 1024, fields: 256, vias: 70, body: 1024 * 1024 }
    }
}
