//! Codec vectors that others made: the ITU's G.711 sweep, libg722's data for G.722.
//!
//! They are read from `../shared/corpora` beside the workspace and loudly left out where
//! that folder is absent.

use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use media::codec::{self, CodecParams, Decoder, Encoder};

fn corpus(file: &str) -> Option<Vec<u8>> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/audio").join(file);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("LEFT OUT: {}: {error}", path.display());
            None
        }
    }
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn pair(name: &str) -> (Box<dyn Encoder>, Box<dyn Decoder>) {
    let info = codec::find(name, 8_000).expect("built in");
    let params = CodecParams::default();
    (codec::encoder(info, &params).expect("builds"), codec::decoder(info, &params).expect("builds"))
}

fn encode(encoder: &mut dyn Encoder, pcm: &[i16]) -> Vec<u8> {
    let mut all = Vec::new();
    for frame in pcm.chunks(320) {
        let mut out = [0; 700];
        let length = encoder.encode(frame, &mut out).expect("whole pairs");
        all.extend_from_slice(&out[..length]);
    }
    all
}

fn decode(decoder: &mut dyn Decoder, payload: &[u8]) -> Vec<i16> {
    let mut all = Vec::new();
    for frame in payload.chunks(160) {
        let mut out = [0; 700];
        let length = decoder.decode(frame, &mut out).expect("any byte decodes");
        all.extend_from_slice(&out[..length]);
    }
    all
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(pcm: &[i16]) -> Vec<u8> {
    pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

#[test]
fn g711_sweep_is_sample_exact() {
    let Some(sweep) = corpus("g711-itu-stl/sweep.s16le") else { return };
    let read = |file: &str| corpus(&format!("g711-itu-stl/{file}")).expect("the folder is whole");
    let (mut encoder, mut decoder) = pair("PCMA");
    let coded = read("sweep.alaw");
    assert!(encode(encoder.as_mut(), &samples(&sweep)) == coded, "A-law encoding");
    assert!(decode(decoder.as_mut(), &coded) == samples(&read("sweep.alaw.decoded.s16le")), "A-law decoding");
    for (name, table) in [("PCMA", "alaw_decode_table.s16le"), ("PCMU", "ulaw_decode_table.s16le")] {
        let (_, mut decoder) = pair(name);
        let every: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(decoder.as_mut(), &every), samples(&read(table)), "{name}");
    }
}

#[test]
fn g722_is_bit_exact() {
    let Some(input) = corpus("g722/libg722/pcminb.dat") else { return };
    let read = |file: &str| corpus(&format!("g722/libg722/{file}")).expect("the folder is whole");
    let sums = String::from_utf8(read("pcminb.checksum")).expect("text");
    let line = sums.lines().find(|line| line.starts_with("64000_16000")).expect("listed");
    let [_, size, encoded_sum, decoded_sum] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("four columns in {line:?}");
    };
    let (mut encoder, mut decoder) = pair("G722");
    let encoded = encode(encoder.as_mut(), &samples(&input));
    assert_eq!(encoded.len().to_string(), size);
    assert_eq!(md5(&encoded), encoded_sum, "encoder");
    let decoded = decode(decoder.as_mut(), &encoded);
    assert_eq!(md5(&bytes(&decoded)), decoded_sum, "decoder");
}

#[test]
fn g722_files_of_others_decode_to_speech() {
    let (Some(wav), Some(coded)) =
        (corpus("speech/asterisk-en/tt-monkeys.wav"), corpus("speech/asterisk-en/tt-monkeys.g722"))
    else {
        return;
    };
    // Both come from one master; the WAV has 8 kHz and another gain.
    let clip = media::wav::Clip::from_bytes(&wav).expect("a WAV").at_rate(16_000);
    let (_, mut decoder) = pair("G722");
    let decoded = decode(decoder.as_mut(), &coded);
    let (lag, likeness) = media::analysis::correlate(&clip.samples()[..48_000], &decoded[..48_000], 4_000);
    assert_eq!(lag, 22, "the delay of both mirror filters");
    assert!(likeness > 0.9, "{likeness}");
}

/// Talk-off: speech of others, at several speeds, holds no digit (ITU-T Q.24).
#[test]
fn speech_of_others_is_no_digit() {
    let files = [
        "asterisk-en/demo-congrats.wav",
        "asterisk-en/priv-callee-options.wav",
        "asterisk-en/tt-monkeys.wav",
        "asterisk-fr/demo-congrats.wav",
        "asterisk-fr/demo-echotest.wav",
        "asterisk-fr/vm-options.wav",
        "pjproject/input.16.wav",
        "spandsp/short_wb_voice.wav",
        "alsa/Front_Center.wav",
    ];
    let (mut seconds, mut digits) = (0, Vec::new());
    for file in files {
        let Some(wav) = corpus(&format!("speech/{file}")) else { return };
        let clip = media::wav::Clip::from_bytes(&wav).expect("a WAV");
        for rate in [6_800, 8_000, 9_600] {
            let pcm = clip.at_rate(rate);
            seconds += pcm.samples().len() / 8_000;
            let mut detector = media::dtmf::DtmfDetector::new(8_000);
            detector.push(pcm.samples(), |digit| digits.push((file, rate, digit)));
        }
    }
    assert!(seconds > 400, "{seconds} s");
    assert_eq!(digits, []);
}
