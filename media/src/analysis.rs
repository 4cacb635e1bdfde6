//! Comparing a recording with what was played: alignment and likeness.

/// Where `recording` resembles `reference` most: (lag, coefficient). A lag of `n` says that
/// the reference begins `n` samples into the recording (negative: the recording lacks its
/// beginning). The coefficient is the normalised cross-correlation there, 1 for the same
/// signal at any volume. Lags up to `max_lag` either way are tried, coarsely on a decimated
/// signal first.
///
/// Energy is counted where both overlap, and at least half of the reference has to overlap.
pub fn correlate(reference: &[i16], recording: &[i16], max_lag: usize) -> (isize, f64) {
    const STEP: usize = 8;
    const CANDIDATES: usize = 16;
    if reference.is_empty() || recording.is_empty() {
        return (0, 0.0);
    }
    let coarse_reference = decimate(reference, STEP);
    let coarse_recording = decimate(recording, STEP);
    let limit = (max_lag / STEP + 1) as isize;
    let least = (coarse_reference.len().min(coarse_recording.len()) / 2).max(1);
    let mut candidates: Vec<(isize, f64)> =
        (-limit..=limit).map(|lag| (lag, at_lag(&coarse_reference, &coarse_recording, lag, least))).collect();
    candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
    let fine_reference: Vec<f32> = reference.iter().map(|sample| f32::from(*sample)).collect();
    let fine_recording: Vec<f32> = recording.iter().map(|sample| f32::from(*sample)).collect();
    let least = (reference.len().min(recording.len()) / 2).max(1);
    let mut best = (0, f64::MIN);
    // The decimated peak may be a neighbour of the true one, or another where it falls between: the best are tried.
    for (lag, _) in candidates.into_iter().take(CANDIDATES) {
        let centre = lag * STEP as isize;
        for lag in centre - STEP as isize..=centre + STEP as isize {
            if lag.unsigned_abs() <= max_lag {
                let found = at_lag(&fine_reference, &fine_recording, lag, least);
                if found > best.1 {
                    best = (lag, found);
                }
            }
        }
    }
    (best.0, best.1.max(-1.0))
}

/// How much of `reference` is in `recording`, window by window: the median of the coefficients
/// of [`correlate`]. A jitter buffer shifts what it plays by some milliseconds now and then, which
/// one alignment for all cannot follow. Windows of silence say nothing and are left out.
pub fn likeness(reference: &[i16], recording: &[i16], window: usize) -> f64 {
    let loud = rms(recording) / 4.0;
    let mut found: Vec<f64> = recording
        .chunks_exact(window.max(1))
        .filter(|heard| rms(heard) > loud)
        .map(|heard| correlate(reference, heard, reference.len()).1)
        .collect();
    found.sort_unstable_by(f64::total_cmp);
    found.get(found.len() / 2).copied().unwrap_or(0.0)
}

/// Root of the mean square.
pub fn rms(pcm: &[i16]) -> f64 {
    if pcm.is_empty() {
        return 0.0;
    }
    let sum: f64 = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (sum / pcm.len() as f64).sqrt()
}

fn decimate(pcm: &[i16], step: usize) -> Vec<f32> {
    // The mean of a block is filter enough for finding the place.
    pcm.chunks(step)
        .map(|block| block.iter().map(|sample| f32::from(*sample)).sum::<f32>() / block.len() as f32)
        .collect()
}

fn at_lag(reference: &[f32], recording: &[f32], lag: isize, least: usize) -> f64 {
    let skip = lag.unsigned_abs();
    let (reference, recording) = if lag >= 0 {
        (Some(reference), recording.get(skip..))
    } else {
        (reference.get(skip..), Some(recording))
    };
    let (Some(reference), Some(recording)) = (reference, recording) else { return f64::MIN };
    let overlap = reference.len().min(recording.len());
    if overlap < least {
        return f64::MIN;
    }
    let (mut cross, mut left, mut right) = (0f64, 0f64, 0f64);
    for (a, b) in reference[..overlap].chunks(512).zip(recording[..overlap].chunks(512)) {
        let (mut c, mut l, mut r) = ([0f32; 8], [0f32; 8], [0f32; 8]);
        for (x, y) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
            for i in 0..8 {
                c[i] += x[i] * y[i];
                l[i] += x[i] * x[i];
                r[i] += y[i] * y[i];
            }
        }
        for (x, y) in a.as_chunks::<8>().1.iter().zip(b.as_chunks::<8>().1) {
            c[0] += x * y;
            l[0] += x * x;
            r[0] += y * y;
        }
        cross += f64::from(c.iter().sum::<f32>());
        left += f64::from(l.iter().sum::<f32>());
        right += f64::from(r.iter().sum::<f32>());
    }
    let energy = (left * right).sqrt();
    if energy > 0.0 { cross / energy } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(samples: usize, mut seed: u32) -> Vec<i16> {
        let mut smooth = 0i32;
        (0..samples)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                smooth += (i32::from((seed >> 16) as i16) - smooth) / 8;
                smooth as i16
            })
            .collect()
    }

    #[test]
    fn finds_a_delayed_quieter_copy() {
        let reference = noise(16_000, 7);
        let mut recording = noise(3_210, 8);
        recording.extend(reference.iter().map(|s| s / 3));
        let (lag, coefficient) = correlate(&reference, &recording, 8_000);
        assert_eq!(lag, 3_210);
        assert!(coefficient > 0.99);
        let (lag, _) = correlate(&recording, &reference, 8_000);
        assert_eq!(lag, -3_210);
    }

    #[test]
    fn strangers_do_not_resemble() {
        let (_, coefficient) = correlate(&noise(16_000, 1), &noise(16_000, 2), 4_000);
        assert!(coefficient < 0.3, "{coefficient}");
        assert_eq!(correlate(&[], &[1], 5), (0, 0.0));
    }

    #[test]
    fn likeness_follows_a_shift_in_the_middle() {
        let sweep = |n: usize| ((n as f64).powf(1.5) * 0.002).sin();
        let reference: Vec<i16> = (0..16_000).map(|n| (sweep(n) * 9_000.0) as i16).collect();
        let (first, second) = reference.split_at(8_000);
        let shifted: Vec<i16> = first.iter().chain(&[0; 40]).chain(second).copied().collect();
        assert!(likeness(&reference, &shifted, 2_000) > 0.95);
        let noise: Vec<i16> =
            (0..16_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 18) as i16 - 8_192).collect();
        assert!(likeness(&reference, &noise, 2_000) < 0.3);
    }

    #[test]
    fn speech_is_found_wherever_its_samples_begin() {
        let clip = crate::wav::Clip::from_bytes(crate::assets::ALICE).expect("our own file").at_rate(8_000);
        for from in 600..616 {
            let found = likeness(clip.samples(), &clip.samples()[from..from + 32_000], 4_000);
            assert!(found > 0.99, "from sample {from}: {found}");
        }
    }
}
