use super::*;
use crate::assets;
use crate::wav::Clip;

const RATE: u32 = 48_000;
const FRAME: usize = RATE as usize / 50;

fn speech(clip: &[u8], seconds: usize) -> Vec<i16> {
    let clip = Clip::from_bytes(clip).expect("our own file").at_rate(RATE);
    clip.samples().iter().copied().cycle().take(seconds * RATE as usize).collect()
}

fn noise(samples: usize, level: f32) -> Vec<i16> {
    let mut state = 1_u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..samples).map(|_| (next() * level) as i16).collect()
}

fn energy(pcm: &[i16]) -> f64 {
    pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / pcm.len() as f64 + 1e-9
}

fn decibels(part: f64, whole: f64) -> f64 {
    10.0 * (part / whole).log10()
}

/// A room: the direct way from loudspeaker to microphone, and what walls throw back.
fn room(far: &[i16]) -> Vec<i16> {
    let ways = [(3_500, 0.30), (3_900, 0.12), (4_700, -0.10), (6_100, 0.06), (8_200, -0.03)];
    let echo = |at: usize| -> f32 {
        let ways = ways.iter().filter_map(|(later, gain)| Some((at.checked_sub(*later)?, gain)));
        ways.filter_map(|(at, gain)| far.get(at).map(|sample| f32::from(*sample) * gain)).sum()
    };
    (0..far.len()).map(|at| echo(at) as i16).collect()
}

/// Both run as a bridge runs them: first what is heard, then what is played.
fn process(config: VoiceConfig, far: &[i16], near: &[i16]) -> Vec<i16> {
    let mut voice = Voice::new(config, RATE).expect("a rate there is");
    let mut out = near.to_vec();
    for (near, far) in out.chunks_exact_mut(FRAME).zip(far.chunks_exact(FRAME)) {
        voice.near(near);
        voice.far(far);
    }
    out
}

/// Echo return loss enhancement (ITU-T G.168): how much softer the echo is than without. Those who only
/// hear have to hear next to nothing after two seconds.
#[test]
fn an_echo_is_taken_out() {
    let far = speech(assets::ALICE, 10);
    let echo = room(&far);
    let out = process(VoiceConfig { echo: true, ..VoiceConfig::default() }, &far, &echo);
    let settled = 3 * RATE as usize;
    let enhancement = decibels(energy(&echo[settled..]), energy(&out[settled..]));
    println!("echo return loss enhancement after 3 s: {enhancement:.1} dB");
    assert!(enhancement > 25.0, "{enhancement:.1} dB");
}

#[test]
fn who_speaks_meanwhile_is_heard() {
    let (far, near) = (speech(assets::ALICE, 10), speech(assets::BOB, 10));
    let settled = 4 * RATE as usize;
    let mut heard = room(&far);
    heard.iter_mut().zip(&near).for_each(|(both, near)| *both = both.saturating_add(*near));
    let out = process(VoiceConfig { echo: true, ..VoiceConfig::default() }, &far, &heard);
    let (_, with) = crate::analysis::correlate(&near[settled..], &out[settled..], FRAME);
    let (_, without) = crate::analysis::correlate(&near[settled..], &heard[settled..], FRAME);
    println!("likeness of what is said with what leaves: {with:.3}, of what is heard {without:.3}");
    assert!(with > 0.85, "{with}");
    let lost = decibels(energy(&near[settled..]), energy(&out[settled..]));
    assert!(lost < 3.0, "{lost:.1} dB are lost of who speaks");
}

#[test]
fn noise_is_lowered_and_speech_is_not() {
    let clean = speech(assets::BOB, 10);
    let hiss = noise(clean.len(), 500.0);
    let mut heard = clean.clone();
    heard.iter_mut().zip(&hiss).for_each(|(both, hiss)| *both = both.saturating_add(*hiss));
    // Three seconds of hiss alone, and then speech within it.
    let alone = 3 * RATE as usize;
    let whole = [&hiss[..alone], &heard].concat();
    let silence = vec![0; whole.len()];
    let out = process(VoiceConfig { noise: true, ..VoiceConfig::default() }, &silence, &whole);
    let pause = 2 * RATE as usize..alone;
    let lowered = decibels(energy(&whole[pause.clone()]), energy(&out[pause]));
    let kept = decibels(energy(&out[alone..]), energy(&clean));
    println!("noise lowered by {lowered:.1} dB, speech changed by {kept:.1} dB");
    assert!(lowered > 8.0, "{lowered:.1} dB");
    assert!(kept.abs() < 3.0, "{kept:.1} dB");
}

#[test]
fn soft_speech_is_raised_and_loud_speech_is_not_clipped() {
    let gain = VoiceConfig { gain: true, ..VoiceConfig::default() };
    let loud = speech(assets::ALICE, 20);
    let soft: Vec<i16> = loud.iter().map(|sample| sample / 16).collect();
    let silence = vec![0; loud.len()];
    let settled = 12 * RATE as usize;
    let raised = |pcm: &[i16]| {
        let out = process(gain, &silence, pcm);
        let clipped = out.iter().filter(|sample| sample.unsigned_abs() >= 32_767).count();
        (decibels(energy(&out[settled..]), energy(&pcm[settled..])), clipped)
    };
    let (soft, _) = raised(&soft);
    let (loud, clipped) = raised(&loud);
    println!("soft speech raised by {soft:.1} dB, loud by {loud:.1} dB, {clipped} samples at full scale");
    assert!(soft > 6.0 && soft > loud + 3.0, "{soft:.1} dB, {loud:.1} dB");
    assert!(clipped < 48, "{clipped} samples: a millisecond of twenty seconds");
}

/// A loudspeaker in a room with a microphone, as a port.
struct Room {
    played: Vec<i16>,
    at: usize,
}

impl Port for Room {
    fn sample_rate(&self) -> u32 {
        RATE
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        for slot in out {
            let sample = self.at.checked_sub(4_000).and_then(|at| self.played.get(at));
            *slot = sample.map_or(0, |sample| sample / 3);
            self.at += 1;
        }
        Signal::Audible
    }

    fn push(&mut self, pcm: &[i16], _signal: Signal) {
        self.played.extend_from_slice(pcm);
    }
}

#[test]
fn a_port_is_processed_one_tick_later() {
    let room = || Room { played: Vec::new(), at: 0 };
    let config = VoiceConfig { echo: true, noise: true, gain: false };
    let mut port = Processed::new(room(), config).unwrap_or_else(|_| panic!("a rate there is"));
    let far = speech(assets::ALICE, 8);
    let (mut plain, mut raw, mut heard) = (room(), Vec::new(), Vec::new());
    for (tick, far) in far.chunks_exact(FRAME).enumerate() {
        let mut out = vec![1; FRAME];
        plain.pull(&mut out);
        plain.push(far, Signal::Audible);
        raw.extend_from_slice(&out);
        let signal = port.pull(&mut out);
        port.push(far, Signal::Audible);
        assert_eq!(signal == Signal::Silent, tick == 0, "one tick and no more, in tick {tick}");
        heard.extend_from_slice(&out);
        // A bridge would sleep now.
        while port.from.slots() < FRAME {
            std::thread::yield_now();
        }
    }
    let settled = 3 * RATE as usize;
    let better = decibels(energy(&raw[settled..]), energy(&heard[settled..]));
    assert!(better > 25.0, "{better:.1} dB");
}

#[test]
fn a_worker_that_is_late_is_not_waited_for() {
    let config = VoiceConfig { noise: true, ..VoiceConfig::default() };
    let port = Room { played: Vec::new(), at: 0 };
    let mut port = Processed::new(port, config).unwrap_or_else(|_| panic!("a rate there is"));
    let mut out = vec![1; FRAME];
    // More than all rings hold, as fast as it goes.
    for _ in 0..1_000 {
        port.pull(&mut out);
        port.push(&[9; FRAME], Signal::Audible);
    }
    // And then in time: what is heard is of the tick before or the one before that.
    for _ in 0..50 {
        while !port.to.is_abandoned() && port.to.slots() < port.to.buffer().capacity() {
            std::thread::yield_now();
        }
        port.pull(&mut out);
        assert!(port.from.slots() <= 2 * FRAME);
    }
}

#[test]
fn rates_it_cannot_have_are_refused() {
    assert!(Voice::new(VoiceConfig::default(), 8_000).is_none());
    assert!(Voice::new(VoiceConfig::default(), 16_000).is_some());
    let port = crate::device::null_device(44_100);
    assert!(Processed::new(port, VoiceConfig::default()).is_err());
}
