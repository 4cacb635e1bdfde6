//! Two ports that hear each other: how audio gets from one bridge into another.
//!
//! ```text
//!   bridge of a session ── push ──▶ ring ──▶ pull ── bridge of a conference
//!                       ◀── pull ── ring ◀── push ──
//! ```
//! Bridges tick at the same pace but not at the same moment, and a thread that was held up makes its
//! ticks good in a row: a ring holds two ticks before it gives anything, fills up again after it ran
//! dry, and what is more than five is dropped, so that delay never grows.

use media::bridge::{Port, Signal};
use rtrb::{Consumer, Producer, RingBuffer};

/// One end of a link.
pub(super) struct Link {
    rate: u32,
    out: Producer<i16>,
    input: Consumer<i16>,
    /// Nothing is given until there is a cushion.
    filling: bool,
}

/// Ticks that are waited for at first, and after which the oldest are dropped.
const CUSHION: usize = 2;
const MOST: usize = 5;

/// Both ends of a link at `rate` Hz, each for a bridge.
pub(super) fn link(rate: u32) -> (Link, Link) {
    // 200 ms: what a thread that was held up makes good at once.
    let capacity = (rate / 5) as usize;
    let ((a_out, b_in), (b_out, a_in)) = (RingBuffer::new(capacity), RingBuffer::new(capacity));
    let end = |out, input| Link { rate, out, input, filling: true };
    (end(a_out, a_in), end(b_out, b_in))
}

impl Port for Link {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        let (waiting, frame) = (self.input.slots(), out.len());
        if waiting > MOST * frame {
            drop_oldest(&mut self.input, waiting - CUSHION * frame);
        }
        self.filling = waiting < if self.filling { CUSHION * frame } else { frame };
        let chunk = if self.filling { None } else { self.input.read_chunk(frame).ok() };
        let Some(chunk) = chunk else {
            out.fill(0);
            return Signal::Silent;
        };
        let (first, second) = chunk.as_slices();
        let (head, tail) = out.split_at_mut(first.len());
        head.copy_from_slice(first);
        tail.copy_from_slice(second);
        chunk.commit_all();
        if out.iter().any(|sample| *sample != 0) { Signal::Audible } else { Signal::Silent }
    }

    fn push(&mut self, pcm: &[i16], _signal: Signal) {
        // Nobody takes it: the other bridge is held up, or gone.
        if let Ok(chunk) = self.out.write_chunk_uninit(pcm.len()) {
            chunk.fill_from_iter(pcm.iter().copied());
        }
    }
}

fn drop_oldest(ring: &mut Consumer<i16>, samples: usize) {
    if let Ok(chunk) = ring.read_chunk(samples) {
        chunk.commit_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 160;

    #[test]
    fn each_end_hears_the_other_and_not_itself() {
        let (mut a, mut b) = link(8_000);
        for _ in 0..CUSHION {
            a.push(&[7; FRAME], Signal::Audible);
            b.push(&[9; FRAME], Signal::Audible);
        }
        let mut heard = [0; FRAME];
        assert!(matches!(b.pull(&mut heard), Signal::Audible));
        assert_eq!(heard, [7; FRAME]);
        assert!(matches!(a.pull(&mut heard), Signal::Audible));
        assert_eq!(heard, [9; FRAME]);
        a.pull(&mut heard);
        assert!(matches!(a.pull(&mut heard), Signal::Silent), "it ran dry");
        assert_eq!(heard, [0; FRAME]);
        b.push(&[9; FRAME], Signal::Audible);
        assert!(matches!(a.pull(&mut heard), Signal::Silent), "and fills up again");
        b.push(&[9; FRAME], Signal::Audible);
        assert!(matches!(a.pull(&mut heard), Signal::Audible));
    }

    #[test]
    fn delay_does_not_grow() {
        let (mut a, mut b) = link(8_000);
        for number in 0..9 {
            a.push(&[number + 1; FRAME], Signal::Audible);
        }
        let mut heard = [0; FRAME];
        b.pull(&mut heard);
        assert_eq!(heard, [8; FRAME], "the latest two are left");
        b.pull(&mut heard);
        assert_eq!(heard, [9; FRAME]);
        b.pull(&mut heard);
        assert_eq!(heard, [0; FRAME]);
    }
}
