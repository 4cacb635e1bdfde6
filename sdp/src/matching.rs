//! Which codecs two ends have in common, and what the answer says of them (RFC 3264 §6.1).

use crate::attribute::parameters;
use crate::codec::Codec;

/// A codec that both ends have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecMatch {
    /// As it was offered.
    pub offered: Codec,
    /// Which of ours it is: the index in `supported`.
    pub supported: usize,
    /// What the answer says: the offerer's payload type, our parameters where they describe what we receive,
    /// the agreed ones where they must be the same at both ends.
    pub answer: Codec,
}

/// The codecs in common, in the order of the offer, each with the payload type of the offer (RFC 3264 §6.1).
/// Each of ours is taken once, but for `telephone-event` and `CN` only with the clock rate they are offered at.
pub fn negotiate_codecs(offered: &[Codec], supported: &[Codec]) -> Vec<CodecMatch> {
    let mut matches: Vec<CodecMatch> = Vec::new();
    for offer in offered {
        let found = supported.iter().enumerate().find_map(|(index, ours)| {
            let taken = matches.iter().any(|one| one.supported == index);
            let answer = if taken { None } else { answer(offer, ours) };
            answer.map(|answer| CodecMatch { offered: offer.clone(), supported: index, answer })
        });
        matches.extend(found);
    }
    // RFC 4588 §8.1: a retransmission stream lives by the codec it names.
    let kept: Vec<u8> = matches.iter().map(|one| one.offered.payload_type).collect();
    matches.retain(|one| !one.offered.is("rtx") || apt(&one.offered).is_some_and(|apt| kept.contains(&apt)));
    matches
}

/// Whether `offered` and `supported` are the same codec in compatible forms.
pub fn codecs_match(offered: &Codec, supported: &Codec) -> bool {
    answer(offered, supported).is_some()
}

fn apt(codec: &Codec) -> Option<u8> {
    codec.parameter("apt").and_then(crate::number::payload_type)
}

/// Our answer to one offered codec, if this one of ours fits it.
fn answer(offer: &Codec, ours: &Codec) -> Option<Codec> {
    let same = offer.name.eq_ignore_ascii_case(&ours.name)
        && offer.clock_rate == ours.clock_rate
        && offer.channels == ours.channels;
    if !same {
        return None;
    }
    let fmtp = match offer.name.to_ascii_lowercase().as_str() {
        "telephone-event" | "tone" => events(offer, ours)?,
        "amr" | "amr-wb" => amr(offer, ours)?,
        "g729" => annex_b(offer, ours),
        "ilbc" => ilbc(offer, ours),
        "h264" => h264(offer, ours)?,
        "h265" => same_of(offer, ours, &[("profile-id", "1"), ("tier-flag", "0"), ("tx-mode", "SRST")])?,
        "vp9" => same_of(offer, ours, &[("profile-id", "0")])?,
        "av1" => same_of(offer, ours, &[("profile", "0"), ("tier", "0")])?,
        "g7221" => same_of(offer, ours, &[("bitrate", "")])?,
        "mpeg4-generic" | "mp4a-latm" => {
            same_of(offer, ours, &[("mode", ""), ("config", ""), ("profile-level-id", "")])?
        }
        "rtx" | "red" => offer.fmtp.clone(),
        // Opus among them: RFC 7587 §7, its parameters tell what their writer receives.
        _ => ours.fmtp.clone(),
    };
    Some(Codec { payload_type: offer.payload_type, fmtp, ..offer.clone() })
}

/// RFC 4733 §2.4.1: the answer names the events that both ends have; none named is 0-15.
fn events(offer: &Codec, ours: &Codec) -> Option<Option<String>> {
    if offer.fmtp.is_none() && ours.fmtp.is_none() {
        return Some(None);
    }
    let set = |codec: &Codec| EventSet::parse(codec.fmtp.as_deref().unwrap_or("0-15"));
    let common = set(offer).and(&set(ours));
    (!common.is_empty()).then(|| Some(common.print()))
}

/// Events 0 to 255.
struct EventSet([u128; 2]);

impl EventSet {
    /// Ranges between commas; what is no range is passed over.
    fn parse(text: &str) -> Self {
        let text = crate::attribute::parameter(text, "events").unwrap_or(text);
        let mut set = [0u128; 2];
        for part in text.split(',').take(256) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| crate::number::u16(text.trim()).filter(|event| *event < 256);
            if let (Some(first), Some(last)) = (number(first), number(last)) {
                for event in first..=last {
                    if let Some(half) = set.get_mut(usize::from(event / 128)) {
                        *half |= 1 << (event % 128);
                    }
                }
            }
        }
        EventSet(set)
    }

    fn and(&self, other: &Self) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        EventSet([a & c, b & d])
    }

    fn is_empty(&self) -> bool {
        self.0 == [0, 0]
    }

    fn contains(&self, event: u16) -> bool {
        self.0.get(usize::from(event / 128)).is_some_and(|half| half >> (event % 128) & 1 == 1)
    }

    fn print(&self) -> String {
        let mut ranges = Vec::new();
        let mut event = 0;
        while event < 256 {
            if !self.contains(event) {
                event += 1;
                continue;
            }
            let first = event;
            while event < 256 && self.contains(event) {
                event += 1;
            }
            let last = event - 1;
            ranges.push(if first == last { first.to_string() } else { format!("{first}-{last}") });
        }
        ranges.join(",")
    }
}

/// RFC 4867 §8.3.1: payload formats must be equal, a mode set must be one that both have.
fn amr(offer: &Codec, ours: &Codec) -> Option<Option<String>> {
    let value = |codec: &Codec, name: &str| codec.parameter(name).unwrap_or("0").to_owned();
    let on = |codec: &Codec, name| value(codec, name) != "0";
    // RFC 4867 §8.1: crc, robust sorting and interleaving imply octet alignment.
    let aligned = |codec: &Codec| {
        on(codec, "octet-align")
            || on(codec, "crc")
            || on(codec, "robust-sorting")
            || on(codec, "interleaving")
    };
    let same = aligned(offer) == aligned(ours)
        && ["crc", "robust-sorting", "interleaving"].iter().all(|name| on(offer, name) == on(ours, name));
    let modes = |codec: &Codec| {
        codec.parameter("mode-set").map(|set| {
            let mut modes: Vec<u16> =
                set.split(',').take(16).filter_map(|m| crate::number::u16(m.trim())).collect();
            modes.sort_unstable();
            modes.dedup();
            modes
        })
    };
    let agreed = match (modes(offer), modes(ours)) {
        (Some(offered), Some(ours)) if offered != ours => return None,
        (Some(modes), _) | (None, Some(modes)) => Some(modes),
        (None, None) => None,
    };
    if !same {
        return None;
    }
    let mut answer: Vec<String> = Vec::new();
    for (name, value) in offer.fmtp.as_deref().map(parameters).into_iter().flatten() {
        let lower = name.to_ascii_lowercase();
        if matches!(lower.as_str(), "octet-align" | "crc" | "robust-sorting" | "interleaving" | "channels") {
            answer.push(format!("{lower}={value}"));
        }
    }
    if let Some(modes) = agreed {
        let modes: Vec<_> = modes.iter().map(u16::to_string).collect();
        answer.push(format!("mode-set={}", modes.join(",")));
    }
    for (name, value) in ours.fmtp.as_deref().map(parameters).into_iter().flatten() {
        // These tell what their writer can do (RFC 4867 §8.3.1).
        if name.to_ascii_lowercase().starts_with("mode-change-") || name.eq_ignore_ascii_case("max-red") {
            answer.push(format!("{name}={value}"));
        }
    }
    Some((!answer.is_empty()).then(|| answer.join("; ")))
}

/// RFC 7261 §3.1: annex B is in use only if neither says no.
fn annex_b(offer: &Codec, ours: &Codec) -> Option<String> {
    let refuses =
        |codec: &Codec| codec.parameter("annexb").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if refuses(offer) || refuses(ours) {
        return Some("annexb=no".to_owned());
    }
    ours.fmtp.clone()
}

/// RFC 3952 §5: the mode with the lower rate, 30 ms, if one end wants it; none named is 30.
fn ilbc(offer: &Codec, ours: &Codec) -> Option<String> {
    let mode = |codec: &Codec| codec.parameter("mode").map(str::to_owned);
    match (mode(offer).as_deref(), mode(ours).as_deref()) {
        (Some("20"), Some("20")) => Some("mode=20".to_owned()),
        (None, None) => None,
        _ => Some("mode=30".to_owned()),
    }
}

/// RFC 6184 §8.2.2: profile and packetization mode are the same at both ends; the level goes down to the lower
/// unless both allow it to differ.
fn h264(offer: &Codec, ours: &Codec) -> Option<Option<String>> {
    let level_id = |codec: &Codec| {
        let text = codec.parameter("profile-level-id").unwrap_or("42000A");
        (text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .then(|| u32::from_str_radix(text, 16).ok())
            .flatten()
    };
    let (offered, own) = (level_id(offer)?, level_id(ours)?);
    let mode = |codec: &Codec| codec.parameter("packetization-mode").unwrap_or("0").to_owned();
    if h264_profile(offered) != h264_profile(own) || mode(offer) != mode(ours) {
        return None;
    }
    let asymmetric = |codec: &Codec| codec.parameter("level-asymmetry-allowed") == Some("1");
    let level = if asymmetric(offer) && asymmetric(ours) {
        own
    } else {
        (offered & 0xFF_FF00) | h264_lower_level(offered, own)
    };
    let mut answer = vec![format!("profile-level-id={level:06x}")];
    for (name, value) in ours.fmtp.as_deref().map(parameters).into_iter().flatten() {
        if !name.eq_ignore_ascii_case("profile-level-id") {
            answer.push(format!("{name}={value}"));
        }
    }
    Some(Some(answer.join(";")))
}

/// The profile without its level. Constrained baseline has several spellings (RFC 6184 §8.1, table 5).
fn h264_profile(id: u32) -> (u32, u32) {
    let (profile, constraints) = (id >> 16 & 0xFF, id >> 8 & 0xFF);
    match profile {
        0x42 if constraints & 0x40 != 0 => (0x42, 0x40),
        0x4D if constraints & 0x80 != 0 => (0x42, 0x40),
        0x58 if constraints & 0xC0 == 0xC0 => (0x42, 0x40),
        0x58 if constraints & 0x80 != 0 => (0x42, 0),
        // Constraint set 3 is part of the level for these three.
        0x42 | 0x4D | 0x58 => (profile, 0),
        _ => (profile, constraints),
    }
}

/// The lower of two levels; level 1b is 11 with constraint set 3, and lies below 1.1.
fn h264_lower_level(offered: u32, own: u32) -> u32 {
    let rank = |id: u32| {
        let level = (id & 0xFF) * 2;
        let one_b = id & 0xFF == 11 && id >> 8 & 0x10 != 0;
        if one_b { level - 1 } else { level }
    };
    if rank(own) < rank(offered) { own & 0xFF } else { offered & 0xFF }
}

/// These parameters, or their defaults, are the same at both ends; the answer has ours.
fn same_of(offer: &Codec, ours: &Codec, names: &[(&str, &str)]) -> Option<Option<String>> {
    let same = names.iter().all(|(name, default)| {
        let value = |codec: &Codec| codec.parameter(name).unwrap_or(default).to_ascii_lowercase();
        value(offer) == value(ours)
    });
    same.then(|| ours.fmtp.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fmtp(name: &str, fmtp: &str) -> Codec {
        let codec = Codec::new(100, name, 8_000);
        if fmtp.is_empty() { codec } else { codec.with_fmtp(fmtp) }
    }

    fn answered(name: &str, offered: &str, ours: &str) -> Option<String> {
        answer(&fmtp(name, offered), &fmtp(name, ours)).map(|codec| codec.fmtp.unwrap_or_default())
    }

    #[test]
    fn numbers_and_order_are_the_offerers() {
        let offered = [
            Codec::new(8, "PCMA", 8_000),
            Codec::new(96, "opus", 48_000).with_channels(2),
            Codec::new(97, "opus", 48_000),
            Codec::new(98, "speex", 16_000),
            Codec::new(0, "pcmu", 8_000),
        ];
        let ours = [
            Codec::new(111, "Opus", 48_000).with_channels(2).with_fmtp("useinbandfec=1"),
            Codec::new(0, "PCMU", 8_000),
            Codec::new(8, "PCMA", 8_000),
        ];
        let matches = negotiate_codecs(&offered, &ours);
        let shown: Vec<_> = matches.iter().map(|one| (one.answer.payload_type, one.supported)).collect();
        assert_eq!(shown, [(8, 2), (96, 0), (0, 1)]);
        assert_eq!(matches[1].answer.fmtp.as_deref(), Some("useinbandfec=1"));
    }

    #[test]
    fn telephone_events() {
        assert_eq!(answered("telephone-event", "0-15", ""), Some("0-15".to_owned()));
        assert_eq!(answered("telephone-event", "0-16,66,70", "0-11,70,255"), Some("0-11,70".to_owned()));
        assert_eq!(answered("telephone-event", "32-40", "0-15"), None);
        assert_eq!(answered("telephone-event", "x,5-3,1000", "0-15"), None);
    }

    #[test]
    fn amr_forms_must_be_equal() {
        assert_eq!(answered("AMR", "", ""), Some(String::new()));
        assert_eq!(answered("AMR", "octet-align=1", ""), None);
        assert_eq!(answered("AMR", "octet-align=1", "octet-align=1"), Some("octet-align=1".to_owned()));
        assert_eq!(answered("AMR", "octet-align=0", ""), Some("octet-align=0".to_owned()));
        assert_eq!(answered("AMR", "mode-set=0,2,4,7", ""), Some("mode-set=0,2,4,7".to_owned()));
        assert_eq!(answered("AMR", "mode-set=7,2,0", "mode-set=0,2,7"), Some("mode-set=0,2,7".to_owned()));
        assert_eq!(answered("AMR", "mode-set=0", "mode-set=7"), None);
        assert_eq!(answered("AMR", "crc=1", "octet-align=1"), None);
    }

    #[test]
    fn annex_b_only_if_both_have_it() {
        assert_eq!(answered("G729", "annexb=no", ""), Some("annexb=no".to_owned()));
        assert_eq!(answered("G729", "", "annexb=no"), Some("annexb=no".to_owned()));
        assert_eq!(answered("G729", "annexb=yes", ""), Some(String::new()));
    }

    #[test]
    fn ilbc_takes_the_lower_rate() {
        assert_eq!(answered("iLBC", "mode=20", "mode=20"), Some("mode=20".to_owned()));
        assert_eq!(answered("iLBC", "mode=20", "mode=30"), Some("mode=30".to_owned()));
        assert_eq!(answered("iLBC", "", "mode=20"), Some("mode=30".to_owned()));
        assert_eq!(answered("iLBC", "", ""), Some(String::new()));
    }

    #[test]
    fn h264_profiles_and_levels() {
        let of = |offered: &str, ours: &str| answered("H264", offered, ours);
        let plain = |id: &str| format!("profile-level-id={id}");
        assert_eq!(of(&plain("42e01f"), &plain("42c00c")), Some(plain("42e00c")));
        assert_eq!(of(&plain("42e01f"), &plain("640c1f")), None);
        assert_eq!(of("profile-level-id=42e01f;packetization-mode=1", &plain("42e01f")), None);
        assert_eq!(of(&plain("42f00b"), &plain("42e00b")), Some(plain("42f00b")));
        assert_eq!(
            of(
                "profile-level-id=42e01f;level-asymmetry-allowed=1",
                "profile-level-id=42e034;level-asymmetry-allowed=1"
            ),
            Some("profile-level-id=42e034;level-asymmetry-allowed=1".to_owned())
        );
        assert_eq!(of(&plain("zzz"), ""), None);
    }

    #[test]
    fn retransmission_follows_its_codec() {
        let offered = [
            Codec::new(96, "VP8", 90_000),
            Codec::new(97, "rtx", 90_000).with_fmtp("apt=96"),
            Codec::new(99, "rtx", 90_000).with_fmtp("apt=98"),
        ];
        let ours = [Codec::new(1, "VP8", 90_000), Codec::new(2, "rtx", 90_000), Codec::new(3, "rtx", 90_000)];
        let numbers: Vec<_> =
            negotiate_codecs(&offered, &ours).iter().map(|m| m.answer.payload_type).collect();
        assert_eq!(numbers, [96, 97]);
    }
}
