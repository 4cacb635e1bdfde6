//! How a call sounds, by the E-model (ITU-T G.107): an estimate from delay and loss.

/// What the E-model has to know about a codec: its impairment without loss, and how well
/// it stands loss (ITU-T G.113 Appendix I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodecImpairment {
    /// Equipment impairment Ie.
    pub ie: f64,
    /// Packet-loss robustness Bpl.
    pub bpl: f64,
}

impl CodecImpairment {
    /// For a codec by its encoding name; an unknown one counts as G.711 with concealment.
    pub fn of(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "opus" => Self { ie: 0.0, bpl: 30.0 },
            "g722" => Self { ie: 0.0, bpl: 20.0 },
            _ => Self { ie: 0.0, bpl: 25.1 },
        }
    }
}

/// The rating factor R, 0 to 93.2: one-way delay in milliseconds (mouth to ear), loss in
/// percent after the jitter buffer, burst ratio (1 for random loss) (G.107 §7).
pub fn rating(codec: CodecImpairment, delay_ms: f64, loss_percent: f64, burst_ratio: f64) -> f64 {
    let loss = loss_percent.clamp(0.0, 100.0);
    let effective = if loss == 0.0 {
        codec.ie
    } else {
        codec.ie + (95.0 - codec.ie) * loss / (loss / burst_ratio.max(1.0) + codec.bpl)
    };
    // The delay impairment Idd of G.107 §7.4; echo is taken as cancelled.
    let idd = if delay_ms <= 100.0 {
        0.0
    } else {
        let x = (delay_ms / 100.0).log2();
        25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0) + 2.0)
    };
    (93.2 - idd - effective).clamp(0.0, 100.0)
}

/// Mean opinion score, 1 to 4.5, of a rating (G.107 Annex B).
pub fn mos(rating: f64) -> f64 {
    let r = rating.clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_of_the_model() {
        let g711 = CodecImpairment::of("PCMU");
        // G.107: the default R of 93.2 is a MOS of 4.41.
        assert!((mos(rating(g711, 0.0, 0.0, 1.0)) - 4.41).abs() < 0.005);
        // G.113 Appendix I: G.711 with concealment at 2 % random loss has Ie,eff = 7.
        assert!((93.2 - rating(g711, 0.0, 2.0, 1.0) - 7.0).abs() < 0.1);
        let far = rating(g711, 400.0, 0.0, 1.0);
        assert!((60.0..75.0).contains(&far), "{far}");
    }

    #[test]
    fn worse_is_never_better() {
        let codec = CodecImpairment::of("opus");
        let mut before = 5.0;
        for loss in 0..100 {
            let now = mos(rating(codec, 150.0, f64::from(loss), 1.0));
            assert!(now <= before);
            before = now;
        }
    }
}
