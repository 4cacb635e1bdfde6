//! The codecs of an RTP stream: payload types with what rtpmap, fmtp and RFC 3551 say of them.

use crate::attribute::{Fmtp, RtpMap};
use crate::description::MediaDescription;
use crate::error::UsageError;

/// A payload type and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Codec {
    /// 0 to 127.
    pub payload_type: u8,
    /// Name of the encoding, as written; compared without regard to case.
    pub name: String,
    /// Ticks of the RTP clock in a second. For G722 it is 8000, whatever it samples at (RFC 3551 §4.5.2).
    pub clock_rate: u32,
    /// Channels; 1 where nothing is said.
    pub channels: u16,
    /// Format parameters, as written.
    pub fmtp: Option<String>,
}

/// Static payload types: RFC 3551 §6, tables 4 and 5.
const STATIC: [(u8, &str, u32, u16); 25] = [
    (0, "PCMU", 8_000, 1),
    (3, "GSM", 8_000, 1),
    (4, "G723", 8_000, 1),
    (5, "DVI4", 8_000, 1),
    (6, "DVI4", 16_000, 1),
    (7, "LPC", 8_000, 1),
    (8, "PCMA", 8_000, 1),
    (9, "G722", 8_000, 1),
    (10, "L16", 44_100, 2),
    (11, "L16", 44_100, 1),
    (12, "QCELP", 8_000, 1),
    (13, "CN", 8_000, 1),
    (14, "MPA", 90_000, 1),
    (15, "G728", 8_000, 1),
    (16, "DVI4", 11_025, 1),
    (17, "DVI4", 22_050, 1),
    (18, "G729", 8_000, 1),
    (25, "CelB", 90_000, 1),
    (26, "JPEG", 90_000, 1),
    (28, "nv", 90_000, 1),
    (31, "H261", 90_000, 1),
    (32, "MPV", 90_000, 1),
    (33, "MP2T", 90_000, 1),
    (34, "H263", 90_000, 1),
    (2, "G726-32", 8_000, 1),
];

impl Codec {
    /// A codec with one channel and no parameters.
    pub fn new(payload_type: u8, name: impl Into<String>, clock_rate: u32) -> Self {
        Self { payload_type, name: name.into(), clock_rate, channels: 1, fmtp: None }
    }

    /// The same with that many channels.
    #[must_use]
    pub fn with_channels(self, channels: u16) -> Self {
        Self { channels, ..self }
    }

    /// The same with those parameters.
    #[must_use]
    pub fn with_fmtp(self, fmtp: impl Into<String>) -> Self {
        Self { fmtp: Some(fmtp.into()), ..self }
    }

    /// What a payload type stands for without an rtpmap (RFC 3551 §6).
    pub fn well_known(payload_type: u8) -> Option<Self> {
        STATIC.iter().find(|(number, ..)| *number == payload_type).map(|(_, name, clock_rate, channels)| {
            Self::new(payload_type, *name, *clock_rate).with_channels(*channels)
        })
    }

    /// The value of a parameter in the form `a=b; c=d`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.fmtp.as_deref().and_then(|fmtp| crate::attribute::parameter(fmtp, name))
    }

    /// The name is that, without regard to case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The rtpmap that says this.
    pub fn rtpmap(&self) -> RtpMap {
        RtpMap {
            payload_type: self.payload_type,
            name: self.name.clone(),
            clock_rate: self.clock_rate,
            channels: (self.channels > 1).then_some(self.channels),
        }
    }
}

impl MediaDescription {
    /// The codecs in the order of the m= line. Formats that are no payload types, come twice, or are dynamic
    /// without an rtpmap are left out. Time is linear in the number of attributes.
    pub fn rtp_codecs(&self) -> Vec<Codec> {
        if !self.protocol.is_rtp() {
            return Vec::new();
        }
        let mut maps: [Option<RtpMap>; 128] = [const { None }; 128];
        let mut fmtps: [Option<String>; 128] = [const { None }; 128];
        for attribute in self.attributes.iter() {
            let value = attribute.value.unwrap_or_default();
            match attribute.name {
                "rtpmap" => {
                    if let Ok(map) = value.parse::<RtpMap>()
                        && let Some(slot) = maps.get_mut(usize::from(map.payload_type))
                    {
                        // The first one counts.
                        slot.get_or_insert(map);
                    }
                }
                "fmtp" => {
                    if let Ok(fmtp) = value.parse::<Fmtp>()
                        && let Some(number) = crate::number::payload_type(&fmtp.format)
                        && let Some(slot) = fmtps.get_mut(usize::from(number))
                    {
                        slot.get_or_insert(fmtp.parameters);
                    }
                }
                _ => {}
            }
        }
        let mut seen = 0u128;
        let mut codecs = Vec::new();
        for payload_type in self.formats.payload_types() {
            let bit = 1u128 << payload_type;
            if seen & bit != 0 {
                continue;
            }
            seen |= bit;
            let map = maps.get_mut(usize::from(payload_type)).and_then(Option::take);
            let codec = match map {
                Some(map) => Codec {
                    payload_type,
                    name: map.name,
                    clock_rate: map.clock_rate,
                    channels: map.channels.unwrap_or(1),
                    fmtp: None,
                },
                None => match Codec::well_known(payload_type) {
                    Some(codec) => codec,
                    None => continue,
                },
            };
            let fmtp = fmtps.get_mut(usize::from(payload_type)).and_then(Option::take);
            codecs.push(Codec { fmtp, ..codec });
        }
        codecs
    }

    /// Sets the formats, and the rtpmap and fmtp attributes, to these codecs. Static payload types get their
    /// rtpmap as well, which costs little and helps some (RFC 3264 §5.1).
    pub fn set_rtp_codecs<'a>(
        &mut self,
        codecs: impl IntoIterator<Item = &'a Codec>,
    ) -> Result<(), UsageError> {
        let mut attributes = self.attributes.clone();
        attributes.retain(|one| !matches!(one.name, "rtpmap" | "fmtp"));
        let mut formats = Vec::new();
        for codec in codecs {
            formats.push(codec.payload_type);
            attributes.push(&codec.rtpmap())?;
            if let Some(parameters) = &codec.fmtp {
                let format = codec.payload_type.to_string();
                attributes.push(&Fmtp { format, parameters: parameters.clone() })?;
            }
        }
        self.formats = crate::Formats::new(formats)?;
        self.attributes = attributes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MediaKind, Protocol, SessionDescription};

    #[test]
    fn static_payload_types_need_no_rtpmap() {
        let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n\
                    m=audio 9000 RTP/AVP 0 8 300 97 0 96 9 x\r\na=rtpmap:97 iLBC/8000\r\na=fmtp:97 mode=20\r\n\
                    a=rtpmap:8 PCMA/8000\r\n";
        let description = SessionDescription::parse(text).expect("a description");
        let codecs = description.media[0].rtp_codecs();
        let shown: Vec<_> =
            codecs.iter().map(|c| (c.payload_type, c.name.as_str(), c.fmtp.as_deref())).collect();
        assert_eq!(
            shown,
            [(0, "PCMU", None), (8, "PCMA", None), (97, "iLBC", Some("mode=20")), (9, "G722", None)]
        );
    }

    #[test]
    fn what_is_set_is_read() {
        let codecs = [
            Codec::new(111, "opus", 48_000).with_channels(2).with_fmtp("useinbandfec=1"),
            Codec::new(0, "PCMU", 8_000),
            Codec::new(101, "telephone-event", 8_000).with_fmtp("0-15"),
        ];
        let mut media = MediaDescription::new(MediaKind::Audio, 9000, Protocol::RtpAvp);
        media.set_rtp_codecs(&codecs).expect("plain codecs");
        assert_eq!(media.rtp_codecs(), codecs);
        assert!(media.set_rtp_codecs(&[Codec::new(1, "a\r\nb", 1)]).is_err());
        assert_eq!(media.rtp_codecs(), codecs);
    }
}
