//! One stream of one device: its callback copies, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cpal::traits::DeviceTrait;
use cpal::{ErrorKind, FromSample, Sample, SampleFormat, SizedSample};
use rtrb::{Consumer, Producer};

use super::Shared;
use crate::device::elastic::ElasticReader;
use crate::engine::Punctuality;

/// How one stream does.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// It has ended, or is not worth keeping.
    pub(super) failed: AtomicBool,
    /// Calls of its callback.
    pub(super) calls: AtomicU64,
}

impl Health {
    /// In each call of the callback; the first one makes its thread a punctual one.
    fn called(&self) {
        if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            let _ = Punctuality::claim();
        }
    }

    /// Runs outside the audio path: a glitch is not the end. After anything else the stream is dropped
    /// and opened anew, for backends report the same error again and again, as fast as they can.
    fn note(&self, error: &cpal::Error) {
        let goes_on = [ErrorKind::Xrun, ErrorKind::DeviceChanged, ErrorKind::RealtimeDenied];
        if !goes_on.contains(&error.kind()) {
            self.failed.store(true, Ordering::Relaxed);
        }
    }
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
        move |error| failed.note(&error),
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
        move |error| failed.note(&error),
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
            health.note(&kind.into());
        }
        assert!(!health.failed.load(Ordering::Relaxed));
        for kind in [ErrorKind::DeviceNotAvailable, ErrorKind::StreamInvalidated] {
            let health = Health::default();
            health.note(&kind.into());
            assert!(health.failed.load(Ordering::Relaxed));
        }
    }
}
