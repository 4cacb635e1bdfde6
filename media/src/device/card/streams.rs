//! One stream of one device: its callback copies, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use cpal::traits::DeviceTrait;
use cpal::{ErrorKind, FromSample, Sample, SampleFormat, SizedSample};
use rtrb::{Consumer, Producer};

use super::Shared;
use crate::device::elastic::ElasticReader;
use crate::engine::Punctuality;

/// How often in a row, without sound between them, a backend may fail before the stream is given up, and what lies
/// between two of them: a fifth of a second together. PulseAudio's plugin of ALSA tells no delay in the first moments
/// of a stream, nor in those after a glitch, which is an error of its backend.
const FAILURES: u32 = 40;
const APART: Duration = Duration::from_millis(5);

/// How one stream does.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// It has ended, or is not worth keeping.
    pub(super) failed: AtomicBool,
    /// Calls of its callback.
    pub(super) calls: AtomicU64,
    /// Failures since the last one.
    failures: AtomicU32,
    /// It leads to hardware, and to no server of sound.
    is_hardware: bool,
}

impl Health {
    /// Of a stream of this device.
    pub(super) fn of(device: &cpal::Device) -> Self {
        Self { is_hardware: device.id().is_ok_and(|id| is_hardware(id.id())), ..Self::default() }
    }

    /// In each call of the callback; the first one makes its thread a punctual one.
    fn called(&self) {
        self.failures.store(0, Ordering::Relaxed);
        if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            match self.is_hardware {
                true => drop(Punctuality::claim()),
                // The plugins of servers say that they are ready before they are. Who asks them again and again, and
                // comes before the server, keeps it from becoming so.
                false => Punctuality::prefer(),
            }
        }
    }

    /// A glitch is not the end, nor are a few failures; the stream that ends is opened anew. Whether its thread has
    /// to wait: backends report the same error again and again, as fast as they can, on a thread that comes before
    /// all others, which then get nothing done.
    fn note(&self, error: &cpal::Error) -> bool {
        if [ErrorKind::Xrun, ErrorKind::DeviceChanged, ErrorKind::RealtimeDenied].contains(&error.kind()) {
            return false;
        }
        let in_a_row = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let ends = error.kind() != ErrorKind::BackendError || in_a_row >= FAILURES;
        if ends && !self.failed.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, "the sound device fails");
        }
        true
    }

    /// What cpal calls on the thread of the stream, outside the audio path.
    fn on_error(&self, error: &cpal::Error) {
        if self.note(error) {
            #[expect(
                clippy::disallowed_methods,
                reason = "the stream's own thread, which has nothing to play"
            )]
            std::thread::sleep(APART);
        }
    }
}

/// Whether a name of ALSA is that of a card, and not of one that may lead anywhere.
fn is_hardware(name: &str) -> bool {
    ["hw:", "plughw:"].iter().any(|kind| name.starts_with(kind))
}

/// Builds, and does not yet start, a stream that fills the ring with the mean of its channels.
pub(super) fn capture(
    device: &cpal::Device,
    config: &cpal::SupportedStreamConfig,
    ring: Producer<i16>,
    shared: &Arc<Shared>,
    health: &Arc<Health>,
) -> Result<cpal::Stream, cpal::Error> {
    match config.sample_format() {
        SampleFormat::I16 => capture_as::<i16>(device, config, ring, shared, health),
        SampleFormat::I32 => capture_as::<i32>(device, config, ring, shared, health),
        SampleFormat::U8 => capture_as::<u8>(device, config, ring, shared, health),
        _ => capture_as::<f32>(device, config, ring, shared, health),
    }
}

fn capture_as<T>(
    device: &cpal::Device,
    config: &cpal::SupportedStreamConfig,
    mut ring: Producer<i16>,
    shared: &Arc<Shared>,
    health: &Arc<Health>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    i16: FromSample<T>,
{
    let channels = usize::from(config.channels()).max(1);
    let (counters, alive, failed) = (shared.clone(), health.clone(), health.clone());
    device.build_input_stream(
        config.config(),
        move |data: &[T], _: &cpal::InputCallbackInfo| {
            alive.called();
            for frame in data.chunks_exact(channels) {
                let sum: i32 = frame.iter().map(|sample| i32::from(i16::from_sample(*sample))).sum();
                if ring.push((sum / channels as i32) as i16).is_err() {
                    counters.overruns.fetch_add(1, Ordering::Relaxed);
                }
            }
        },
        move |error| failed.on_error(&error),
        None,
    )
}

/// Builds, and does not yet start, a stream that plays the ring on all its channels.
pub(super) fn playback(
    device: &cpal::Device,
    config: &cpal::SupportedStreamConfig,
    ring: Consumer<i16>,
    shared: &Arc<Shared>,
    health: &Arc<Health>,
) -> Result<cpal::Stream, cpal::Error> {
    match config.sample_format() {
        SampleFormat::I16 => playback_as::<i16>(device, config, ring, shared, health),
        SampleFormat::I32 => playback_as::<i32>(device, config, ring, shared, health),
        SampleFormat::U8 => playback_as::<u8>(device, config, ring, shared, health),
        _ => playback_as::<f32>(device, config, ring, shared, health),
    }
}

fn playback_as<T>(
    device: &cpal::Device,
    config: &cpal::SupportedStreamConfig,
    ring: Consumer<i16>,
    shared: &Arc<Shared>,
    health: &Arc<Health>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<i16>,
{
    let channels = usize::from(config.channels()).max(1);
    let mut reader = ElasticReader::new(ring, config.sample_rate() as usize / 25);
    let (counters, alive, failed) = (shared.clone(), health.clone(), health.clone());
    // The callback's own scratch, as long as any buffer it will be asked for.
    let mut scratch = vec![0i16; config.sample_rate() as usize / 2];
    device.build_output_stream(
        config.config(),
        move |data: &mut [T], _: &cpal::OutputCallbackInfo| {
            alive.called();
            for block in data.chunks_mut(scratch.len() * channels) {
                let mono = &mut scratch[..block.len() / channels];
                if !reader.read(mono) {
                    counters.underruns.fetch_add(1, Ordering::Relaxed);
                }
                for (frame, sample) in block.chunks_exact_mut(channels).zip(mono) {
                    frame.fill(T::from_sample(*sample));
                }
            }
        },
        move |error| failed.on_error(&error),
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glitch_is_not_the_end() {
        let health = Health::default();
        for kind in [ErrorKind::Xrun, ErrorKind::DeviceChanged, ErrorKind::RealtimeDenied] {
            assert!(!health.note(&kind.into()), "and nothing is waited for");
        }
        assert!(!health.failed.load(Ordering::Relaxed));
        for kind in [ErrorKind::DeviceNotAvailable, ErrorKind::StreamInvalidated] {
            let health = Health::default();
            assert!(health.note(&kind.into()));
            assert!(health.failed.load(Ordering::Relaxed));
        }
    }

    /// What a server of sound is behind, or may be, is not asked for again and again before all others.
    #[test]
    fn a_card_comes_before_all_others_only_where_it_is_hardware() {
        for (name, expected) in [
            ("hw:CARD=PCH,DEV=0", true),
            ("plughw:CARD=PCH,DEV=0", true),
            ("default", false),
            ("pulse", false),
        ] {
            assert_eq!(is_hardware(name), expected, "{name}");
        }
    }

    #[test]
    fn a_backend_that_fails_for_a_moment_is_kept() {
        let health = Health::default();
        let fails = |times: u32| {
            for _ in 0..times {
                assert!(health.note(&ErrorKind::BackendError.into()), "its thread waits");
            }
            health.failed.load(Ordering::Relaxed)
        };
        assert!(!fails(FAILURES - 1));
        health.called();
        assert!(!fails(FAILURES - 1), "it played in between");
        assert!(fails(1));
    }
}
