//! Where one sound is in another. Unoptimised this takes longer than the calls that are judged by it, so it is
//! here and not beside its tests.

/// Where in `heard`, from `from` up to `to`, `window` fits best, and how well: the correlation of both, 1 if one
/// is the other, louder or not. `None` if it fits nowhere.
#[must_use]
pub fn best_fit(window: &[f32], heard: &[f32], from: usize, to: usize) -> Option<(usize, f32)> {
    (from..=to)
        .filter_map(|at| Some((at, correlation(window, heard.get(at..at + window.len())?))))
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
}

fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let (mut ab, mut aa, mut bb) = (Lanes::default(), Lanes::default(), Lanes::default());
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (lane, (a, b)) in a.iter().zip(b).enumerate() {
            ab[lane] += a * b;
            aa[lane] += a * a;
            bb[lane] += b * b;
        }
    }
    let [ab, aa, bb] = [ab, aa, bb].map(|lanes| lanes.iter().sum::<f32>());
    ab / ((aa + 1e-9) * (bb + 1e-9)).sqrt()
}

/// Sums side by side, so that they need not wait for each other.
const LANES: usize = 16;
type Lanes = [f32; LANES];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_is_found_where_it_is_however_loud() {
        let mut random = crate::Random::new(1);
        let heard: Vec<f32> = (0..1_000).map(|_| random.below(2_000) as f32 / 1_000.0 - 1.0).collect();
        let window: Vec<f32> = heard[300..400].iter().map(|sample| sample * 0.2).collect();
        let (at, likeness) = best_fit(&window, &heard, 0, heard.len()).expect("it is in there");
        assert_eq!(at, 300);
        assert!((likeness - 1.0).abs() < 1e-3, "{likeness}");
        let (_, elsewhere) = best_fit(&window, &heard, 310, 900).expect("there is room");
        assert!(elsewhere < 0.6, "{elsewhere}");
        assert_eq!(best_fit(&window, &heard[..50], 0, 50), None);
    }
}
