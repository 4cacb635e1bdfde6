//! Plays a clip into the bridge, once, several times or for ever with a pause between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Clip;
use crate::bridge::{Port, PortEvent, Signal};

/// How often a clip is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Once.
    Once,
    /// This often, with a pause of so long between.
    Times(u32, Duration),
    /// Until stopped, with a pause of so long between.
    Forever(Duration),
}

impl Repeat {
    /// Until stopped, with two seconds between.
    pub const LOOP: Self = Self::Forever(Duration::from_secs(2));
}

#[derive(Debug, Default)]
struct Shared {
    paused: AtomicBool,
    stopped: AtomicBool,
    finished: AtomicBool,
    played: AtomicU64,
}

/// A port that gives a clip.
#[derive(Debug)]
pub struct WavPlayer {
    clip: Clip,
    at: usize,
    /// Rounds left after this one; `None` is for ever.
    left: Option<u32>,
    pause: usize,
    /// Samples of pause still to give.
    pausing: usize,
    shared: Arc<Shared>,
    done: bool,
    told: bool,
}

/// Steers a player from any thread.
#[derive(Debug, Clone)]
pub struct PlayerHandle {
    shared: Arc<Shared>,
}

impl WavPlayer {
    /// A player and its handle.
    pub fn new(clip: Clip, repeat: Repeat) -> (Self, PlayerHandle) {
        let (left, pause) = match repeat {
            Repeat::Once => (Some(0), Duration::ZERO),
            Repeat::Times(times, pause) => (Some(times.saturating_sub(1)), pause),
            Repeat::Forever(pause) => (None, pause),
        };
        let pause = (pause.as_millis() as u64 * u64::from(clip.sample_rate()) / 1000) as usize;
        let shared = Arc::new(Shared::default());
        let handle = PlayerHandle { shared: shared.clone() };
        let done = clip.samples().is_empty();
        (Self { clip, at: 0, left, pause, pausing: 0, shared, done, told: false }, handle)
    }

    fn fill(&mut self, out: &mut [i16]) -> usize {
        let mut filled = 0;
        while filled < out.len() && !self.done {
            if self.pausing > 0 {
                let quiet = self.pausing.min(out.len() - filled);
                out[filled..filled + quiet].fill(0);
                self.pausing -= quiet;
                filled += quiet;
                continue;
            }
            let rest = &self.clip.samples()[self.at..];
            let taken = rest.len().min(out.len() - filled);
            out[filled..filled + taken].copy_from_slice(&rest[..taken]);
            filled += taken;
            self.at += taken;
            if self.at == self.clip.samples().len() {
                self.at = 0;
                self.pausing = self.pause;
                match &mut self.left {
                    Some(0) => self.done = true,
                    Some(left) => *left -= 1,
                    None => {}
                }
            }
        }
        filled
    }
}

impl Port for WavPlayer {
    fn sample_rate(&self) -> u32 {
        self.clip.sample_rate()
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        self.done |= self.shared.stopped.load(Ordering::Relaxed);
        if self.done || self.shared.paused.load(Ordering::Relaxed) {
            out.fill(0);
            return Signal::Silent;
        }
        let filled = self.fill(out);
        out[filled..].fill(0);
        self.shared.played.fetch_add(filled as u64, Ordering::Relaxed);
        Signal::Audible
    }

    fn takes(&self) -> bool {
        false
    }

    fn take_event(&mut self) -> Option<PortEvent> {
        if !self.done || self.told {
            return None;
        }
        self.told = true;
        self.shared.finished.store(true, Ordering::Relaxed);
        Some(PortEvent::Finished)
    }
}

impl PlayerHandle {
    /// Holds the place, and goes on from it.
    pub fn set_paused(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::Relaxed);
    }

    /// Ends playing; the port tells [`PortEvent::Finished`].
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }

    /// True when everything was played or playing was stopped.
    pub fn is_finished(&self) -> bool {
        self.shared.finished.load(Ordering::Relaxed)
    }

    /// Samples given so far, pauses included.
    pub fn played(&self) -> u64 {
        self.shared.played.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(player: &mut WavPlayer, samples: usize) -> Vec<i16> {
        let mut all = Vec::new();
        while all.len() < samples {
            let mut out = [9; 16];
            player.pull(&mut out);
            all.extend_from_slice(&out);
        }
        all.truncate(samples);
        all
    }

    #[test]
    fn loops_with_its_pause_and_ends() {
        let clip = Clip::from_samples(vec![1i16; 10], 1_000);
        let (mut player, handle) = WavPlayer::new(clip, Repeat::Times(2, Duration::from_millis(5)));
        let heard = drain(&mut player, 48);
        let mut expected = vec![1; 10];
        expected.extend([0; 5]);
        expected.extend([1; 10]);
        expected.resize(48, 0);
        assert_eq!(heard, expected);
        assert_eq!(player.take_event(), Some(PortEvent::Finished));
        assert_eq!(player.take_event(), None, "told once");
        assert!(handle.is_finished());
    }

    #[test]
    fn pause_holds_the_place_and_stop_ends() {
        let clip = Clip::from_samples((0..100).collect::<Vec<i16>>(), 1_000);
        let (mut player, handle) = WavPlayer::new(clip, Repeat::LOOP);
        drain(&mut player, 16);
        handle.set_paused(true);
        assert_eq!(drain(&mut player, 16), [0; 16]);
        handle.set_paused(false);
        assert_eq!(drain(&mut player, 16)[0], 16);
        handle.stop();
        assert_eq!(drain(&mut player, 16), [0; 16]);
        assert_eq!(player.take_event(), Some(PortEvent::Finished));
    }
}
