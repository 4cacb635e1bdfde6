//! An application's own audio in a session: for voice agents, answering machines, gateways.
//!
//! ```text
//!   write ══ ring ══▶ ┌─────────┐ ──▶ what the peer hears
//!                     │ PcmEnd  │
//!    next ◀══ ring ══ └─────────┘ ◀── what the peer says
//! ```

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use media::bridge::{Port, PortEvent, Signal};
use tokio::sync::Notify;

use crate::error::Error;

/// How far ahead of the peer's ears an application can write, and how long it may take to read.
const RING_MS: u32 = 400;
/// Frames in a second.
const FRAMES: u32 = 50;

/// What both ends and the port know of one another.
#[derive(Debug, Default)]
struct Shared {
    /// The port was dropped: the audio stream is gone.
    ended: AtomicBool,
    /// The number of the last mark that was reached.
    reached: AtomicU64,
    /// The port took samples: there is room for the writer.
    taken: Notify,
    /// It reached a mark, for which any number may wait.
    passed: Notify,
    /// It gave samples to the reader.
    given: Notify,
}

/// Says something to the peer of a session; see [`Session::attach_pcm`](crate::Session::attach_pcm).
///
/// Samples are 16 bits, mono. They leave at the pace of the call, however fast they are written:
/// what is written and not yet heard waits, 400 ms of it at most, and can be dropped at once.
pub struct PcmWriter {
    writer: media::pcm::PcmWriter,
    shared: Arc<Shared>,
    rate: u32,
    marks: u64,
}

/// Hears what the peer of a session says; see [`Session::attach_pcm`](crate::Session::attach_pcm).
///
/// Samples are 16 bits, mono, in frames of 20 ms at the pace of the call: silence is a frame of
/// zeros. What is not read within 400 ms is lost and counted.
pub struct PcmReader {
    reader: media::pcm::PcmReader,
    shared: Arc<Shared>,
    rate: u32,
}

/// A place in what was written; see [`PcmWriter::mark`].
#[derive(Clone, Debug)]
pub struct PcmMark {
    shared: Arc<Shared>,
    number: u64,
}

/// The port of both.
pub(crate) struct PcmEnd {
    port: media::pcm::PcmPort,
    shared: Arc<Shared>,
}

/// Ports on their way from who asked for them to the media of a session.
#[derive(Clone, Default)]
pub(crate) struct PcmDesk {
    ends: Arc<Mutex<(u64, HashMap<u64, PcmEnd>)>>,
}

/// A port for audio of `rate` samples a second, and its ends.
pub(crate) fn open(rate: u32) -> Result<(PcmEnd, PcmWriter, PcmReader), Error> {
    if !(8_000..=48_000).contains(&rate) || !rate.is_multiple_of(FRAMES) {
        let value = rate.to_string();
        return Err(Error::BadValue {
            what: "sample_rate",
            value,
            expected: "a multiple of 50 from 8000 to 48000",
        });
    }
    let (port, writer, reader) = media::pcm::pcm_port(rate, RING_MS);
    let shared = Arc::new(Shared::default());
    let end = PcmEnd { port, shared: shared.clone() };
    let writer = PcmWriter { writer, shared: shared.clone(), rate, marks: 0 };
    Ok((end, writer, PcmReader { reader, shared, rate }))
}

impl PcmWriter {
    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        self.rate
    }

    /// Says all of `pcm` after what was written before; done once all of it is on its way, which is
    /// 400 ms before it is heard. [`Error::Stopped`] when the session or its audio has ended.
    ///
    /// If it is dropped before it is done, as in a `select!`, what it got to is said.
    pub async fn write(&mut self, mut pcm: &[i16]) -> Result<(), Error> {
        loop {
            let taken = self.shared.taken.notified();
            if self.shared.ended.load(Ordering::Acquire) {
                return Err(Error::Stopped);
            }
            pcm = pcm.get(self.writer.write(pcm)..).unwrap_or_default();
            if pcm.is_empty() {
                return Ok(());
            }
            taken.await;
        }
    }

    /// Says as much of `pcm` as there is room for; returns how many samples that were.
    pub fn try_write(&mut self, pcm: &[i16]) -> usize {
        self.writer.write(pcm)
    }

    /// Samples written and not yet heard.
    pub fn waiting(&self) -> u64 {
        self.writer.waiting()
    }

    /// Falls silent at once, within one frame of 20 ms: what was written and not yet heard is
    /// dropped. Returns how many samples that were, nearly.
    pub fn flush(&mut self) -> u64 {
        let dropped = self.writer.waiting();
        self.writer.flush();
        dropped
    }

    /// Marks the place after what was written last: when it is [`reached`](PcmMark::reached),
    /// everything before was heard or dropped. `None` when 64 marks are waiting already.
    pub fn mark(&mut self) -> Option<PcmMark> {
        let number = self.marks + 1;
        if !self.writer.mark(number) {
            return None;
        }
        self.marks = number;
        Some(PcmMark { shared: self.shared.clone(), number })
    }
}

impl PcmMark {
    /// Done when everything before the mark was heard or dropped: true; false if the session or
    /// its audio ended first.
    pub async fn reached(self) -> bool {
        loop {
            let passed = self.shared.passed.notified();
            if self.is_reached() {
                return true;
            }
            if self.shared.ended.load(Ordering::Acquire) {
                return false;
            }
            passed.await;
        }
    }

    /// Whether it is.
    pub fn is_reached(&self) -> bool {
        self.shared.reached.load(Ordering::Acquire) >= self.number
    }
}

impl PcmReader {
    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        self.rate
    }

    /// Samples of a frame of 20 ms.
    pub fn frame(&self) -> usize {
        (self.rate / FRAMES) as usize
    }

    /// The next 20 ms of what the peer says; `None` when the session or its audio has ended.
    pub async fn next(&mut self) -> Option<Vec<i16>> {
        let mut frame = vec![0; self.frame()];
        self.read(&mut frame).await.then_some(frame)
    }

    /// Waits until `frame` can be filled and fills it; false when the session or its audio has
    /// ended. No sample is lost if it is dropped before it is done. At most 400 ms at once.
    pub async fn read(&mut self, frame: &mut [i16]) -> bool {
        loop {
            let given = self.shared.given.notified();
            let ended = self.shared.ended.load(Ordering::Acquire);
            if self.reader.available() >= frame.len() {
                return self.reader.read(frame) == frame.len();
            }
            if ended {
                return false;
            }
            given.await;
        }
    }

    /// Samples lost because they were not read in time.
    pub fn lost(&self) -> u64 {
        self.reader.overrun()
    }
}

impl Port for PcmEnd {
    fn sample_rate(&self) -> u32 {
        self.port.sample_rate()
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        let signal = self.port.pull(out);
        while let Some(PortEvent::Mark(number)) = self.port.take_event() {
            self.shared.reached.store(number, Ordering::Release);
            self.shared.passed.notify_waiters();
        }
        self.shared.taken.notify_one();
        signal
    }

    fn push(&mut self, pcm: &[i16], signal: Signal) {
        self.port.push(pcm, signal);
        self.shared.given.notify_one();
    }
}

impl Drop for PcmEnd {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.shared.taken.notify_one();
        self.shared.passed.notify_waiters();
        self.shared.given.notify_one();
    }
}

impl PcmDesk {
    /// Leaves a port here; the number fetches it.
    pub(crate) fn leave(&self, end: PcmEnd) -> u64 {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.0 += 1;
        let number = ends.0;
        ends.1.insert(number, end);
        number
    }

    pub(crate) fn fetch(&self, number: u64) -> Option<PcmEnd> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&number)
    }
}

impl fmt::Debug for PcmWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PcmWriter").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl fmt::Debug for PcmReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PcmReader").field("lost", &self.lost()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_written_leaves_at_the_pace_of_the_port_and_a_flush_is_at_once() {
        let (mut end, mut writer, _reader) = open(8_000).expect("a rate there is");
        let speech = vec![7; 8_000];
        {
            let mut writing = pin!(writer.write(&speech));
            assert!(poll(writing.as_mut()).is_pending(), "a second does not fit");
            let mut out = [0; 160];
            end.pull(&mut out);
            assert_eq!(out, [7; 160]);
            assert!(poll(writing.as_mut()).is_pending(), "it goes on with what there is room for");
        }
        let mark = writer.mark().expect("there is room for marks");
        assert_eq!(writer.waiting(), 3_200);
        assert_eq!(writer.flush(), 3_200);
        assert!(!mark.is_reached());
        assert_eq!(writer.try_write(&[9; 160]), 0, "nothing was taken yet");
        let mut out = [0; 160];
        assert_eq!(end.pull(&mut out), Signal::Silent);
        assert!(mark.is_reached(), "what was before it was dropped");
        assert_eq!(writer.try_write(&[9; 160]), 160);
        end.pull(&mut out);
        assert_eq!(out, [9; 160]);
    }

    #[test]
    fn frames_are_read_whole_and_end_with_the_port() {
        let (mut end, mut writer, mut reader) = open(16_000).expect("a rate there is");
        let mark = writer.mark().expect("there is room for marks");
        assert_eq!(reader.frame(), 320);
        {
            let mut next = pin!(reader.next());
            assert!(poll(next.as_mut()).is_pending());
            end.push(&[5; 200], Signal::Audible);
            assert!(poll(next.as_mut()).is_pending(), "not yet a whole frame");
            end.push(&[5; 200], Signal::Audible);
            assert_eq!(poll(next.as_mut()), Poll::Ready(Some(vec![5; 320])));
        }
        drop(end);
        assert_eq!(poll(pin!(reader.next()).as_mut()), Poll::Ready(None));
        assert!(matches!(poll(pin!(writer.write(&[1])).as_mut()), Poll::Ready(Err(Error::Stopped))));
        assert_eq!(poll(pin!(mark.reached()).as_mut()), Poll::Ready(false));
    }

    #[test]
    fn rates_that_make_no_frames_are_refused() {
        for rate in [0, 7_999, 11_025, 96_000] {
            let error = open(rate).map(|_| ()).expect_err("no such rate").to_string();
            assert!(error.contains(&rate.to_string()) && error.contains("8000"), "{error}");
        }
    }
}
