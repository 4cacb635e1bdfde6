//! What went over the wire, for people and for Wireshark.
//!
//! A [`Tracer`] takes SIP, MSRP and STUN as sent and received and writes them as text, or, for a
//! file name that ends in `.pcap` or `.pcapng`, as a capture. Secrets are blotted out unless
//! asked for: digest responses and SDES keys become `x`, of the same length.

mod capture;
mod redact;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use capture::Capture;
pub use redact::redact;

/// What a traced message is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// SIP (RFC 3261).
    Sip,
    /// MSRP (RFC 4975).
    Msrp,
    /// STUN (RFC 8489).
    Stun,
}

/// How it travelled.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// As a datagram.
    Udp,
    /// On a stream; what TLS protected is traced as it was before.
    Tcp,
}

/// Which way it went.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From here.
    Sent,
    /// To here.
    Received,
}

/// One message on the wire.
#[derive(Copy, Clone, Debug)]
pub struct Traced<'a> {
    /// When.
    pub time: SystemTime,
    /// What it is.
    pub protocol: Protocol,
    /// How it travelled.
    pub carrier: Carrier,
    /// Which way it went.
    pub way: Way,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// The message or a piece of it.
    pub data: &'a [u8],
}

/// Writes what it is given to a file or to standard error.
pub struct Tracer {
    sink: Mutex<Sink>,
    listener: Option<Listener>,
    secrets: bool,
}

type Listener = Box<dyn Fn(&Traced<'_>) + Send + Sync>;

enum Sink {
    Text(Box<dyn Write + Send>),
    Capture(Capture<BufWriter<File>>),
}

impl Tracer {
    /// Writes to `path`: a capture where the name ends in `.pcap` or `.pcapng`, else text.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let sink = match ending.as_deref() {
            Some("pcap") => Sink::Capture(Capture::pcap(file)?),
            Some("pcapng") => Sink::Capture(Capture::pcapng(file)?),
            _ => Sink::Text(Box::new(file)),
        };
        Ok(Self { sink: Mutex::new(sink), listener: None, secrets: false })
    }

    /// Writes text to standard error.
    pub fn to_stderr() -> Self {
        let sink = Sink::Text(Box::new(io::stderr()));
        Self { sink: Mutex::new(sink), listener: None, secrets: false }
    }

    /// Leaves digest responses and keys in.
    pub fn with_secrets(mut self) -> Self {
        self.secrets = true;
        self
    }

    /// Shows each message to `listener` too, as it is written.
    pub fn with_listener(mut self, listener: impl Fn(&Traced<'_>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Writes one message. A trace that cannot be written never disturbs a call.
    pub fn write(&self, traced: Traced<'_>) {
        let redacted;
        let data = if self.secrets || traced.protocol == Protocol::Stun {
            traced.data
        } else {
            redacted = redact(traced.data);
            &redacted
        };
        let traced = Traced { data, ..traced };
        if let Some(listener) = &self.listener {
            listener(&traced);
        }
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *sink {
            Sink::Text(out) => write_text(out, &traced),
            Sink::Capture(capture) => capture.write(&traced),
        };
        if let Err(error) = written {
            tracing::debug!(%error, "the trace cannot be written");
        }
    }

    /// Writes out what is still buffered.
    pub fn flush(&self) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = match &mut *sink {
            Sink::Text(out) => out.flush(),
            Sink::Capture(capture) => capture.flush(),
        };
        if let Err(error) = flushed {
            tracing::debug!(%error, "the trace cannot be flushed");
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.flush();
    }
}

fn write_text(out: &mut dyn Write, traced: &Traced<'_>) -> io::Result<()> {
    let time = jiff::Timestamp::try_from(traced.time).unwrap_or_default();
    let arrow = match traced.way {
        Way::Sent => "->",
        Way::Received => "<-",
    };
    let Traced { protocol, carrier, local, remote, .. } = traced;
    writeln!(out, "--- {time:.6} {protocol:?}/{carrier:?} {local} {arrow} {remote}")?;
    match std::str::from_utf8(traced.data) {
        Ok(text) => writeln!(out, "{}", text.trim_end_matches("\r\n"))?,
        Err(_) => writeln!(out, "{}", traced.data.escape_ascii())?,
    }
    out.flush()
}
