//! The echo in the place of a microphone.

use media::bridge::{Port, Signal};

/// Gives back in one tick what it took in the one before.
pub(super) struct Echo {
    rate: u32,
    heard: Vec<i16>,
    signal: Signal,
}

impl Echo {
    pub(super) fn new(rate: u32) -> Self {
        // Room for the longest tick.
        let heard = Vec::with_capacity(rate as usize / 10);
        Self { rate, heard, signal: Signal::Silent }
    }
}

impl Port for Echo {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        if self.heard.len() == out.len() {
            out.copy_from_slice(&self.heard);
            self.signal
        } else {
            out.fill(0);
            Signal::Silent
        }
    }

    fn push(&mut self, pcm: &[i16], signal: Signal) {
        self.heard.clear();
        self.heard.extend_from_slice(pcm);
        self.signal = signal;
    }
}
