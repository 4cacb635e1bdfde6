//! Samples between blocks of different sizes.

/// A queue of samples with a fixed capacity that stays contiguous.
#[derive(Debug, Clone, Default)]
pub struct Fifo {
    samples: Vec<i16>,
    start: usize,
    end: usize,
}

impl Fifo {
    /// A queue for at most `capacity` samples.
    pub fn new(capacity: usize) -> Self {
        Self { samples: vec![0; capacity], start: 0, end: 0 }
    }

    /// Samples waiting.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Most samples that can wait.
    pub fn capacity(&self) -> usize {
        self.samples.len()
    }

    /// Samples that can be written now.
    pub fn room(&self) -> usize {
        self.capacity() - self.len()
    }

    /// Appends what there is room for; returns how many.
    pub fn write(&mut self, pcm: &[i16]) -> usize {
        let taken = pcm.len().min(self.room());
        if let (Some(slot), Some(pcm)) = (self.reserve(taken), pcm.get(..taken)) {
            slot.copy_from_slice(pcm);
        }
        taken
    }

    /// Room for exactly `samples` at the end, which count as written; `None` if there is not so much.
    pub fn reserve(&mut self, samples: usize) -> Option<&mut [i16]> {
        if samples > self.room() {
            return None;
        }
        if self.end + samples > self.samples.len() {
            self.samples.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let start = self.end;
        self.end += samples;
        self.samples.get_mut(start..self.end)
    }

    /// Fills as much of `out` as there is; returns how many.
    pub fn read(&mut self, out: &mut [i16]) -> usize {
        let taken = out.len().min(self.len());
        out[..taken].copy_from_slice(&self.samples[self.start..self.start + taken]);
        self.discard(taken);
        taken
    }

    /// What waits, oldest first.
    pub fn as_slice(&self) -> &[i16] {
        &self.samples[self.start..self.end]
    }

    /// What waits, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [i16] {
        &mut self.samples[self.start..self.end]
    }

    /// Drops from the front.
    pub fn discard(&mut self, samples: usize) {
        self.start = (self.start + samples).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Drops from the end what was reserved too much.
    pub fn unreserve(&mut self, samples: usize) {
        self.end = self.end.saturating_sub(samples).max(self.start);
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Opens `samples` undefined ones at the front; false if there is no room.
    pub(crate) fn open(&mut self, samples: usize) -> bool {
        if samples > self.room() {
            return false;
        }
        if self.start < samples {
            let length = self.len();
            self.samples.copy_within(self.start..self.end, samples);
            self.start = samples;
            self.end = samples + length;
        }
        self.start -= samples;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_any_block_sizes() {
        let mut fifo = Fifo::new(100);
        let (mut written, mut read) = (0i16, 0i16);
        for round in 0..1_000usize {
            let block: Vec<i16> = (0..(round * 7) % 50).map(|i| written.wrapping_add(i as i16)).collect();
            written = written.wrapping_add(fifo.write(&block) as i16);
            let mut out = vec![0; (round * 11) % 60];
            let taken = fifo.read(&mut out);
            for sample in &out[..taken] {
                assert_eq!(*sample, read);
                read = read.wrapping_add(1);
            }
        }
    }

    #[test]
    fn opening_in_front_keeps_the_rest() {
        let mut fifo = Fifo::new(10);
        fifo.write(&[1, 2, 3]);
        assert!(fifo.open(4));
        assert_eq!(&fifo.as_slice()[4..], &[1, 2, 3]);
        assert!(!fifo.open(4));
    }
}
