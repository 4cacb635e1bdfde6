//! What a microphone gives, made fit to be heard: echo cancelled, noise suppressed, level held.
//!
//! ```text
//!   bridge ──▶ loudspeaker ─ ─ room ─ ─▶ microphone
//!     │ far                                  │ near
//!     └─────▶ ┌─────────────────────────┐ ◀──┘
//!             │ echo ▶ noise ▶ gain     │ ──▶ bridge
//!             └─────────────────────────┘
//! ```
//! The work is done by a port of WebRTC's audio processing (AEC3, NS, AGC2) in blocks of 10 ms. It finds
//! the delay between both by itself, up to half a second, and follows it when it drifts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use aec3::api::config::EchoCanceller3Config;
use aec3::api::control::EchoControl;
use aec3::audio_processing::aec3::echo_canceller3::EchoCanceller3;
use aec3::audio_processing::agc2::input_volume_controller::Config as InputVolume;
use aec3::audio_processing::audio_buffer::AudioBuffer;
use aec3::audio_processing::gain_controller2::{
    GainController2, GainController2Config, InputVolumeControllerRuntimeConfig,
};
use aec3::audio_processing::high_pass_filter::HighPassFilter;
use aec3::audio_processing::ns::{NoiseSuppressor, NsConfig};
use aec3::audio_processing::stream_config::StreamConfig;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::bridge::{Port, PortEvent, Signal};
use crate::engine::Punctuality;

/// What is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VoiceConfig {
    /// What the loudspeaker plays is taken out of what the microphone hears.
    pub echo: bool,
    /// Steady noise is lowered, by 12 dB or so.
    pub noise: bool,
    /// Speech is brought to one level, slowly, and never over full scale.
    pub gain: bool,
}

impl VoiceConfig {
    /// Whether anything is.
    pub fn is_any(self) -> bool {
        self.echo || self.noise || self.gain
    }
}

/// Rates that it works at, in Hz.
const RATES: [u32; 3] = [16_000, 32_000, 48_000];

/// The processor of one microphone and loudspeaker, at one rate.
pub struct Voice {
    echo: Option<EchoCanceller3>,
    noise: Option<NoiseSuppressor>,
    gain: Option<GainController2>,
    high_pass: HighPassFilter,
    near: Block,
    far: Block,
}

/// 10 ms on their way through it.
struct Block {
    samples: [Vec<f32>; 1],
    format: StreamConfig,
    buffer: AudioBuffer,
}

impl Block {
    fn new(rate: usize) -> Self {
        let format = StreamConfig::new(rate, 1, false);
        let buffer = AudioBuffer::from_sample_rates(rate, 1, rate, 1, rate);
        Self { samples: [vec![0.0; rate / 100]], format, buffer }
    }

    fn load(&mut self, pcm: &[i16]) {
        let [samples] = &mut self.samples;
        for (slot, sample) in samples.iter_mut().zip(pcm) {
            *slot = f32::from(*sample) / 32_768.0;
        }
    }

    fn enter(&mut self) {
        let [samples] = &self.samples;
        self.buffer.copy_from(&[samples], &self.format);
    }

    fn leave(&mut self, pcm: &mut [i16]) {
        let [samples] = &mut self.samples;
        self.buffer.copy_to_stream(&self.format, &mut [samples]);
        for (slot, sample) in pcm.iter_mut().zip(samples) {
            *slot = (*sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
        }
    }
}

impl Voice {
    /// At 16, 32 or 48 kHz; `None` for another rate.
    pub fn new(config: VoiceConfig, rate: u32) -> Option<Self> {
        if !RATES.contains(&rate) {
            return None;
        }
        let (signed, rate) = (i32::try_from(rate).ok()?, rate as usize);
        let digital = GainController2Config {
            // There is no volume of the microphone that it could turn.
            input_volume_controller: InputVolumeControllerRuntimeConfig { enabled: false },
            ..GainController2Config::default()
        };
        Some(Self {
            echo: config.echo.then(|| EchoCanceller3::new(EchoCanceller3Config::default(), signed, 1, 1)),
            noise: config.noise.then(|| NoiseSuppressor::new(NsConfig::default(), rate, 1)),
            gain: config.gain.then(|| GainController2::new(digital, InputVolume::default(), rate, 1, true)),
            high_pass: HighPassFilter::new(signed, 1),
            near: Block::new(rate),
            far: Block::new(rate),
        })
    }

    /// What the loudspeaker is given, in multiples of 10 ms.
    pub fn far(&mut self, pcm: &[i16]) {
        let Some(echo) = &mut self.echo else { return };
        for pcm in pcm.chunks_exact(self.far.samples[0].len()) {
            self.far.load(pcm);
            self.far.enter();
            self.far.buffer.split_into_frequency_bands();
            echo.analyze_render(&mut self.far.buffer);
        }
    }

    /// What the microphone gave, in multiples of 10 ms, is changed in place.
    pub fn near(&mut self, pcm: &mut [i16]) {
        for pcm in pcm.chunks_exact_mut(self.near.samples[0].len()) {
            self.near.load(pcm);
            self.high_pass.process(&mut self.near.samples);
            self.near.enter();
            let buffer = &mut self.near.buffer;
            if let Some(echo) = &mut self.echo {
                echo.analyze_capture(buffer);
            }
            if self.echo.is_some() || self.noise.is_some() {
                buffer.split_into_frequency_bands();
                if let Some(echo) = &mut self.echo {
                    echo.process_capture(buffer, false);
                }
                if let Some(noise) = &mut self.noise {
                    noise.analyze(buffer);
                    noise.process(buffer);
                }
                buffer.merge_frequency_bands();
            }
            if let Some(gain) = &mut self.gain {
                gain.process(false, buffer);
            }
            self.near.leave(pcm);
        }
    }
}

/// A port whose microphone is processed: what it gives is near, what it takes is far.
///
/// The work is done on a thread of its own, for it allocates and takes its time; what the bridge gets is one
/// tick older for that.
pub struct Processed<P> {
    port: P,
    /// What was played in the tick before.
    far: Vec<i16>,
    /// A tick in each: far, near.
    to: Producer<i16>,
    from: Consumer<i16>,
    worker: Thread,
    stopped: Arc<AtomicBool>,
}

/// Longest tick that is taken, in milliseconds.
const LONGEST: usize = 60;

impl<P: Port> Processed<P> {
    /// Puts a processor before a port; its rate is 16, 32 or 48 kHz, and ticks are multiples of 10 ms.
    /// Otherwise, or where there is no thread to be had, the port comes back.
    pub fn new(port: P, config: VoiceConfig) -> Result<Self, P> {
        let rate = port.sample_rate();
        if !RATES.contains(&rate) {
            return Err(port);
        }
        let tick = rate as usize / 1_000 * LONGEST;
        let (to, near) = RingBuffer::new(8 * tick);
        let (ready, from) = RingBuffer::new(4 * tick);
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = stopped.clone();
        let work = move || {
            // It is built where it stays: it cannot move between threads.
            if let Some(voice) = Voice::new(config, rate) {
                Worker { voice, near, ready, block: vec![0; 2 * rate as usize / 100] }.run(&stop);
            }
        };
        let Ok(thread) = std::thread::Builder::new().name("voice".to_owned()).spawn(work) else {
            return Err(port);
        };
        Ok(Self { port, far: Vec::with_capacity(tick), to, from, worker: thread.thread().clone(), stopped })
    }
}

impl<P> Drop for Processed<P> {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.worker.unpark();
    }
}

/// The thread's side.
struct Worker {
    voice: Voice,
    near: Consumer<i16>,
    ready: Producer<i16>,
    /// 10 ms of far, 10 ms of near.
    block: Vec<i16>,
}

impl Worker {
    fn run(mut self, stop: &AtomicBool) {
        let mut place = Punctuality::claim();
        let block = Duration::from_millis(10);
        while !stop.load(Ordering::Acquire) {
            #[expect(clippy::disallowed_methods, reason = "how long it took decides about its priority")]
            let began = Instant::now();
            while self.near.pop_entire_slice(&mut self.block).is_ok() {
                let half = self.block.len() / 2;
                let (far, near) = self.block.split_at_mut(half);
                self.voice.far(far);
                self.voice.near(near);
                // Nobody fetches it: lost.
                let _ = self.ready.push_entire_slice(near);
            }
            place.ticked(began.elapsed(), block);
            std::thread::park();
        }
    }
}

impl<P: Port> Port for Processed<P> {
    fn sample_rate(&self) -> u32 {
        self.port.sample_rate()
    }

    fn prepare(&mut self) {
        self.port.prepare();
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        // Silence too goes through it: what was learned of the room stays true.
        self.port.pull(out);
        self.far.resize(out.len(), 0);
        let block = self.port.sample_rate() as usize / 100;
        for (far, near) in self.far.chunks_exact(block).zip(out.chunks_exact(block)) {
            // Either both or none: they belong together.
            if self.to.slots() >= 2 * block {
                let _ = self.to.push_entire_slice(far);
                let _ = self.to.push_entire_slice(near);
            }
        }
        self.far.clear();
        // What is ready is of the tick before; of more the oldest is dropped, for it would be heard late.
        while self.from.slots() > 2 * out.len() {
            if let Ok(chunk) = self.from.read_chunk(block) {
                chunk.commit_all();
            }
        }
        let is_ready = self.from.pop_entire_slice(out).is_ok();
        self.worker.unpark();
        if is_ready {
            return Signal::Audible;
        }
        out.fill(0);
        Signal::Silent
    }

    fn push(&mut self, pcm: &[i16], signal: Signal) {
        self.far.clear();
        self.far.extend_from_slice(pcm.get(..self.far.capacity()).unwrap_or(pcm));
        self.port.push(pcm, signal);
    }

    fn take_event(&mut self) -> Option<PortEvent> {
        self.port.take_event()
    }

    fn gives(&self) -> bool {
        self.port.gives()
    }

    fn takes(&self) -> bool {
        self.port.takes()
    }
}

#[cfg(test)]
mod tests;
