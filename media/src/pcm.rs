//! An application's own audio in and out: for voice agents, bots, tests.
//!
//! ```text
//!  PcmWriter ══ ring ══► PcmPort ══ ring ══► PcmReader
//! ```
//! The application writes ahead as far as the ring goes; the bridge paces. `flush` drops what
//! was not yet heard, at once; a mark tells when audio up to it was heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::bridge::{Port, PortEvent, Signal};

#[derive(Debug, Default)]
struct Shared {
    /// Everything written before this sample number is to be dropped.
    flush_to: AtomicU64,
    /// Samples given to the bridge or dropped.
    consumed: AtomicU64,
    /// Samples that the application did not read in time.
    overrun: AtomicU64,
}

/// The port.
#[derive(Debug)]
pub struct PcmPort {
    rate: u32,
    input: Consumer<i16>,
    output: Producer<i16>,
    marks: Consumer<(u64, u64)>,
    shared: Arc<Shared>,
    consumed: u64,
}

/// Writes the application's audio.
#[derive(Debug)]
pub struct PcmWriter {
    ring: Producer<i16>,
    marks: Producer<(u64, u64)>,
    shared: Arc<Shared>,
    written: u64,
}

/// Reads what the application is given.
#[derive(Debug)]
pub struct PcmReader {
    ring: Consumer<i16>,
    shared: Arc<Shared>,
}

/// A port at `rate` Hz with rings of `ms` milliseconds each way.
pub fn pcm_port(rate: u32, ms: u32) -> (PcmPort, PcmWriter, PcmReader) {
    let capacity = (u64::from(rate) * u64::from(ms) / 1000).max(1) as usize;
    let (to_port, input) = RingBuffer::new(capacity);
    let (output, from_port) = RingBuffer::new(capacity);
    let (to_marks, marks) = RingBuffer::new(64);
    let shared = Arc::new(Shared::default());
    (
        PcmPort { rate, input, output, marks, shared: shared.clone(), consumed: 0 },
        PcmWriter { ring: to_port, marks: to_marks, shared: shared.clone(), written: 0 },
        PcmReader { ring: from_port, shared },
    )
}

impl PcmWriter {
    /// Takes as much as there is room for; returns how many samples that were.
    pub fn write(&mut self, pcm: &[i16]) -> usize {
        let (taken, _) = self.ring.push_partial_slice(pcm);
        self.written += taken.len() as u64;
        taken.len()
    }

    /// Samples that can be written now.
    pub fn room(&self) -> usize {
        self.ring.slots()
    }

    /// Samples written and not yet heard.
    pub fn waiting(&self) -> u64 {
        self.written - self.shared.consumed.load(Ordering::Relaxed).min(self.written)
    }

    /// Tells [`PortEvent::Mark`] with this number when everything written so far was heard or
    /// flushed; false when 64 marks are waiting already.
    pub fn mark(&mut self, number: u64) -> bool {
        self.marks.push((self.written, number)).is_ok()
    }

    /// Drops what was written and not yet heard, from the next tick on.
    pub fn flush(&mut self) {
        self.shared.flush_to.store(self.written, Ordering::Release);
    }
}

impl PcmReader {
    /// Fills as much of `out` as there is; returns how many samples that were.
    pub fn read(&mut self, out: &mut [i16]) -> usize {
        self.ring.pop_partial_slice(out).0.len()
    }

    /// Samples that can be read now.
    pub fn available(&self) -> usize {
        self.ring.slots()
    }

    /// Samples lost because they were not read in time.
    pub fn overrun(&self) -> u64 {
        self.shared.overrun.load(Ordering::Relaxed)
    }
}

impl Port for PcmPort {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        let flush_to = self.shared.flush_to.load(Ordering::Acquire);
        if flush_to > self.consumed {
            let dropped =
                usize::try_from(flush_to - self.consumed).unwrap_or(usize::MAX).min(self.input.slots());
            if let Ok(chunk) = self.input.read_chunk(dropped) {
                chunk.commit_all();
                self.consumed += dropped as u64;
            }
        }
        let (filled, rest) = self.input.pop_partial_slice(out);
        let filled = filled.len();
        rest.fill(0);
        self.consumed += filled as u64;
        self.shared.consumed.store(self.consumed, Ordering::Relaxed);
        if filled == 0 { Signal::Silent } else { Signal::Audible }
    }

    fn push(&mut self, pcm: &[i16], _signal: Signal) {
        if self.output.push_entire_slice(pcm).is_err() {
            self.shared.overrun.fetch_add(pcm.len() as u64, Ordering::Relaxed);
        }
    }

    fn take_event(&mut self) -> Option<PortEvent> {
        let (at, _) = *self.marks.peek().ok()?;
        if at > self.consumed {
            return None;
        }
        self.marks.pop().ok().map(|(_, number)| PortEvent::Mark(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_marks_and_flush() {
        let (mut port, mut writer, _reader) = pcm_port(8_000, 100);
        assert_eq!(writer.write(&[7; 1_000]), 800, "as far as the ring goes");
        assert!(writer.mark(1));
        let mut out = [0; 160];
        assert_eq!(port.pull(&mut out), Signal::Audible);
        assert_eq!((out, port.take_event()), ([7; 160], None));
        writer.flush();
        writer.write(&[9; 160]);
        port.pull(&mut out);
        assert_eq!(out, [9; 160], "what was written after the flush is heard at once");
        assert_eq!(port.take_event(), Some(PortEvent::Mark(1)));
        assert_eq!(port.pull(&mut out), Signal::Silent);
        assert_eq!(writer.waiting(), 0);
    }

    #[test]
    fn an_application_that_does_not_read_loses_and_counts() {
        let (mut port, _writer, mut reader) = pcm_port(8_000, 40);
        for _ in 0..3 {
            port.push(&[1; 160], Signal::Audible);
        }
        assert_eq!((reader.available(), reader.overrun()), (320, 160));
        assert_eq!(reader.read(&mut [0; 1_000]), 320);
    }
}
