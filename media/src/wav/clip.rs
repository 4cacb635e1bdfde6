//! Audio read from a WAV file into memory.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use crate::error::WavError;
use crate::resample::Resampler;

/// Most samples per channel that are read: an hour at 48 kHz.
const LIMIT: u64 = 48_000 * 3_600;

/// Mono audio in memory; clones share it.
#[derive(Debug, Clone)]
pub struct Clip {
    samples: Arc<[i16]>,
    rate: u32,
}

impl Clip {
    /// Reads a WAV file of 8, 16, 24 or 32 bits at any rate; channels are averaged.
    pub fn open(path: &Path) -> Result<Self, WavError> {
        let name = path.display().to_string();
        let file = std::fs::File::open(path).map_err(|source| WavError::Io { path: name.clone(), source })?;
        Self::read(std::io::BufReader::new(file), &name)
    }

    /// Reads a WAV file that is in memory, such as [`crate::assets::ALICE`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WavError> {
        Self::read(Cursor::new(bytes), "memory")
    }

    /// Takes samples as they are.
    pub fn from_samples(samples: impl Into<Arc<[i16]>>, rate: u32) -> Self {
        Self { samples: samples.into(), rate: rate.max(1) }
    }

    fn read(reader: impl Read, name: &str) -> Result<Self, WavError> {
        let (channels, rate) = read_channels(reader, name)?;
        let samples = match channels.as_slice() {
            [only] => only.clone(),
            [first, ..] => (0..first.len())
                .map(|i| {
                    let sum: i32 = channels.iter().filter_map(|c| c.get(i)).map(|s| i32::from(*s)).sum();
                    (sum / channels.len() as i32) as i16
                })
                .collect(),
            [] => Vec::new(),
        };
        Ok(Self { samples: samples.into(), rate })
    }

    /// The samples.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Their rate in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.rate
    }

    /// The clip at another rate.
    pub fn at_rate(&self, rate: u32) -> Self {
        if rate == self.rate {
            return self.clone();
        }
        let mut resampler = Resampler::new(self.rate, rate);
        let length = (self.samples.len() as u64 * u64::from(rate) / u64::from(self.rate.max(1))) as usize;
        let mut output = vec![0; length + 1];
        // Zeros push the tail of the filter out, its delay is cut off at the front.
        let delay = resampler.delay();
        let tail = vec![0; (delay as u64 * u64::from(self.rate) / u64::from(rate) + 64) as usize];
        let mut padded = self.samples.to_vec();
        padded.extend_from_slice(&tail);
        output.resize(length + delay, 0);
        let written = resampler.process(&padded, &mut output);
        output.truncate(written);
        output.drain(..delay.min(output.len()));
        Self { samples: output.into(), rate }
    }
}

/// A whole WAV file as mono at `rate` Hz.
pub fn read_mono(path: &Path, rate: u32) -> Result<Vec<i16>, WavError> {
    Ok(Clip::open(path)?.at_rate(rate).samples.to_vec())
}

/// Both sides of a stereo recording and its rate; a mono file gives the same on both sides.
pub fn read_stereo(path: &Path) -> Result<(Vec<i16>, Vec<i16>, u32), WavError> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|source| WavError::Io { path: name.clone(), source })?;
    let (mut channels, rate) = read_channels(std::io::BufReader::new(file), &name)?;
    let left = if channels.is_empty() { Vec::new() } else { channels.swap_remove(0) };
    let right = channels.into_iter().next().unwrap_or_else(|| left.clone());
    Ok((left, right, rate))
}

fn read_channels(reader: impl Read, name: &str) -> Result<(Vec<Vec<i16>>, u32), WavError> {
    let format = |what: String| WavError::Format { path: name.to_owned(), what };
    let mut wav = hound::WavReader::new(reader).map_err(|error| match error {
        hound::Error::IoError(source) => WavError::Io { path: name.to_owned(), source },
        other => format(other.to_string()),
    })?;
    let spec = wav.spec();
    let count = usize::from(spec.channels);
    if count == 0 || count > 8 || !(1_000..=384_000).contains(&spec.sample_rate) {
        return Err(format(format!("{count} channels at {} Hz", spec.sample_rate)));
    }
    let length = u64::from(wav.duration());
    if length > LIMIT {
        return Err(WavError::TooLong { path: name.to_owned(), samples: length, limit: LIMIT });
    }
    let mut channels = vec![Vec::new(); count];
    let mut next = (0..count).cycle();
    let mut put = |sample: i16| {
        if let Some(channel) = next.next().and_then(|index| channels.get_mut(index)) {
            channel.push(sample);
        }
    };
    // A file cut short is played as far as it goes.
    match spec.sample_format {
        hound::SampleFormat::Float => {
            for sample in wav.samples::<f32>().map_while(Result::ok) {
                put((sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16);
            }
        }
        hound::SampleFormat::Int => {
            let bits = u32::from(spec.bits_per_sample);
            for sample in wav.samples::<i32>().map_while(Result::ok) {
                put(if bits >= 16 { sample >> (bits - 16) } else { sample << (16 - bits) } as i16);
            }
        }
    }
    Ok((channels, spec.sample_rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_speech_is_speech() {
        for bytes in [crate::assets::ALICE, crate::assets::BOB] {
            let clip = Clip::from_bytes(bytes).expect("our own files");
            assert_eq!(clip.sample_rate(), 16_000);
            assert!((6 * 16_000..9 * 16_000).contains(&clip.samples().len()));
            assert!(crate::analysis::rms(clip.samples()) > 1_000.0);
        }
    }

    #[test]
    fn rate_conversion_keeps_place_and_likeness() {
        let clip = Clip::from_bytes(crate::assets::ALICE).expect("our own file");
        let back = clip.at_rate(48_000).at_rate(16_000);
        let (lag, coefficient) = crate::analysis::correlate(clip.samples(), back.samples(), 800);
        assert!(lag.abs() <= 1 && coefficient > 0.999, "{lag} {coefficient}");
    }

    #[test]
    fn garbage_is_refused_with_words() {
        let error = Clip::from_bytes(b"RIFFnothing").expect_err("not a WAV");
        assert!(error.to_string().contains("memory"), "{error}");
    }
}
