//! The audio m-line: offered, answered and read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use media::codec::{self, CodecInfo};
use rand_chacha::ChaCha20Rng;
use sdp::attribute::{Crypto, Direction, Fmtp, IceMismatch, Ptime, Rtcp, RtcpMux};
use sdp::{
    Attribute, Codec, CodecMatch, Formats, MediaDescription, MediaKind, Protocol, SessionDescription,
    negotiate_codecs,
};

use super::crypto::{self, LocalKey};
use super::dtls::{self, LocalDtls};
use super::ice::{self, LocalIce, RemoteIce};
use super::{Negotiated, NegotiationError};
use crate::configuration::{RtpConfiguration, SrtpKeying, SrtpPolicy};
use crate::session::{AudioParameters, DtlsParameters, SrtpParameters};

/// Payload types for codecs without a static one, handed out in order of preference.
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;
/// What most peers use for key presses at 8 kHz; some expect it there.
const TELEPHONE_EVENT: u8 = 101;
/// What is asked for in extended reports (RFC 3611 §5).
const METRICS: &str = "voip-metrics";
const EVENTS: &str = "telephone-event";
/// Comfort noise and its static payload type (RFC 3389 §4): for codecs of a clock of 8 kHz.
const COMFORT_NOISE: &str = "CN";
const COMFORT_NOISE_TYPE: u8 = 13;
/// Milliseconds of audio in a packet, unless the peer asks for another value.
const PTIME: u32 = 20;

/// An audio stream's local side.
#[derive(Clone, Debug)]
pub(crate) struct LocalAudio {
    pub(crate) rtp: SocketAddr,
    pub(crate) rtcp: SocketAddr,
    pub(crate) keys: Vec<LocalKey>,
    /// What DTLS takes, where it may be used.
    pub(crate) dtls: Option<LocalDtls>,
    /// With ICE.
    pub(crate) ice: Option<LocalIce>,
    /// RTP and RTCP share a port, as was agreed (RFC 5761).
    pub(crate) muxed: bool,
}

impl LocalAudio {
    /// New keys for each suite that is offered.
    pub(crate) fn new_keys(random: &mut ChaCha20Rng, config: &RtpConfiguration) -> Vec<LocalKey> {
        crypto::new_keys(random, config)
    }

    /// Whether the offer asks for keys by DTLS, and whether for keys in descriptions.
    fn offered_keying(&self, config: &RtpConfiguration) -> (bool, bool) {
        let by_dtls = self.dtls.is_some();
        match (config.srtp_policy(), config.srtp_keying) {
            (SrtpPolicy::Off, _) => (false, false),
            (_, SrtpKeying::Sdes) => (false, true),
            (_, SrtpKeying::Dtls) => (by_dtls, false),
            // RFC 8643 §3: beside RTP/AVP the answerer may choose.
            (SrtpPolicy::Optional, SrtpKeying::Both) => (by_dtls, true),
            (SrtpPolicy::Mandatory, SrtpKeying::Both) => (by_dtls, !by_dtls),
        }
    }
}

/// What the configuration has to say in SDP: its codecs in their order, then telephone-event at
/// each clock rate among them (RFC 4733 §2.1).
fn supported(config: &RtpConfiguration) -> Vec<Codec> {
    let mut dynamic = DYNAMIC.filter(|number| *number != TELEPHONE_EVENT);
    let mut codecs = Vec::new();
    for name in &config.codecs {
        let Some(info) = codec::available().iter().find(|info| info.name.eq_ignore_ascii_case(name)) else {
            continue;
        };
        let Some(number) = info.static_payload_type.or_else(|| dynamic.next()) else { continue };
        let codec = Codec::new(number, info.name, info.clock_rate).with_channels(info.channels.into());
        codecs.push(match info.fmtp {
            Some(fmtp) => codec.with_fmtp(fmtp),
            None => codec,
        });
    }
    let wants_noise = config.codecs.iter().any(|name| name.eq_ignore_ascii_case(COMFORT_NOISE));
    if wants_noise && codecs.iter().any(|codec| codec.clock_rate == 8_000) {
        codecs.push(Codec::new(COMFORT_NOISE_TYPE, COMFORT_NOISE, 8_000));
    }
    let mut clocks: Vec<u32> = Vec::new();
    for codec in &codecs {
        if !clocks.contains(&codec.clock_rate) {
            clocks.push(codec.clock_rate);
        }
    }
    for clock in clocks {
        let number = if clock == 8_000 { Some(TELEPHONE_EVENT) } else { dynamic.next() };
        if let Some(number) = number {
            codecs.push(Codec::new(number, EVENTS, clock).with_fmtp("0-15"));
        }
    }
    codecs
}

/// An offer's m-line.
pub(super) fn offer(local: &LocalAudio, direction: Direction, config: &RtpConfiguration) -> MediaDescription {
    let (by_dtls, by_sdes) = local.offered_keying(config);
    let protocol = match config.srtp_policy() {
        SrtpPolicy::Mandatory if by_dtls => Protocol::UdpTlsRtpSavp,
        SrtpPolicy::Mandatory => Protocol::RtpSavp,
        _ => Protocol::RtpAvp,
    };
    let mut media = MediaDescription::new(MediaKind::Audio, local.rtp.port(), protocol);
    push_codecs(&mut media, &supported(config));
    if by_sdes {
        for key in crypto::offer(&local.keys) {
            push(&mut media, &key);
        }
    }
    if let Some(dtls) = local.dtls.as_ref().filter(|_| by_dtls) {
        dtls.offer(&mut media);
    }
    finish(&mut media, local, direction, PTIME);
    // One handshake is enough for both (RFC 5764 §4).
    if local.muxed || local.ice.is_some() || by_dtls {
        push(&mut media, &RtcpMux);
    }
    if let Some(ice) = &local.ice {
        ice.write(&mut media, local.muxed);
    }
    media
}

/// What an offered m-line could become with this configuration.
pub(super) fn is_acceptable(
    offer: &SessionDescription,
    offered: &MediaDescription,
    config: &RtpConfiguration,
) -> bool {
    if remote_address(offer, offered).is_none() {
        return false;
    }
    if offered.is_rejected() || !is_rtp(&offered.protocol) || choose(offered, config).is_none() {
        return false;
    }
    if config.srtp_policy() != SrtpPolicy::Off && offered.attributes.all::<Crypto>().any(|one| one.is_err()) {
        // RFC 4568 §7.1.2: who offers keys that cannot be read may take anything for agreed.
        return false;
    }
    let encrypted = offered.protocol.is_secure_rtp();
    let keyed = cryptos(offered).iter().any(|one| crypto::is_usable(one, config));
    let usable = (keyed && config.srtp_keying.takes_sdes()) || dtls::read(offer, offered).is_some();
    match config.srtp_policy() {
        SrtpPolicy::Off => !encrypted,
        SrtpPolicy::Optional => !encrypted || usable,
        // Keys beside RTP/AVP leave the choice to the answerer: that is not mandatory.
        SrtpPolicy::Mandatory => encrypted && usable,
    }
}

/// The answer to an offered m-line, and what it comes to. `None`: it can't be taken.
pub(super) fn answer(
    offer: &SessionDescription,
    offered: &MediaDescription,
    local: &LocalAudio,
    held: bool,
    config: &RtpConfiguration,
) -> Option<(MediaDescription, Negotiated)> {
    if !is_acceptable(offer, offered, config) {
        return None;
    }
    let choice = choose(offered, config)?;
    let mut media = MediaDescription::new(MediaKind::Audio, local.rtp.port(), offered.protocol.clone());
    let said: Vec<Codec> = std::iter::once(&choice.codec)
        .chain(&choice.noise)
        .chain(&choice.events)
        .map(|one| one.answer.clone())
        .collect();
    push_codecs(&mut media, &said);
    let (srtp, dtls) = match config.srtp_policy() {
        SrtpPolicy::Off => (None, None),
        _ => answer_keys(offer, offered, local, &mut media, config),
    };
    if offered.protocol.is_secure_rtp() && srtp.is_none() && dtls.is_none() {
        return None;
    }
    let remote = offered.direction(offer);
    let ours = Direction::new(remote.receives(), remote.sends() && !held);
    let ptime = ptime(offered);
    finish(&mut media, local, ours, ptime);
    let rtcp_mux = offered.attributes.find::<RtcpMux>().is_some();
    if rtcp_mux {
        push(&mut media, &RtcpMux);
    }
    let ice = match (&local.ice, ice::read(offer, offered)) {
        (Some(ours), remote @ RemoteIce::Some(_)) => {
            ours.write(&mut media, rtcp_mux || remote.has_one_component());
            ice::agree(Some(ours), remote)
        }
        (Some(_), RemoteIce::Mismatch) => {
            push(&mut media, &IceMismatch);
            None
        }
        _ => None,
    };
    let remote_rtp = remote_address(offer, offered)?;
    let parameters = AudioParameters {
        remote_rtp,
        remote_rtcp: if rtcp_mux { remote_rtp } else { remote_rtcp(offered, remote_rtp) },
        rtcp_mux,
        ice,
        codec: choice.info.name.to_owned(),
        clock_rate: choice.info.clock_rate,
        send_payload_type: choice.codec.offered.payload_type,
        receive_payload_type: choice.codec.answer.payload_type,
        fmtp: choice.codec.offered.fmtp.clone(),
        dtmf: choice.events.map(|events| (events.offered.payload_type, events.answer.payload_type)),
        comfort_noise: choice.noise.map(|noise| (noise.offered.payload_type, noise.answer.payload_type)),
        ptime,
        sends: ours.sends() && !held,
        receives: ours.receives(),
        srtp,
        dtls,
        voip_metrics: wants_metrics(offered),
        srtp_policy: config.srtp_policy(),
        silence: Duration::ZERO,
        dscp: config.dscp,
    };
    Some((media, negotiated(parameters, offered, choice.info, !remote.receives())))
}

/// What the answer to our m-line comes to. `Ok(None)`: the peer refused it.
pub(super) fn answered(
    offered: &MediaDescription,
    answer: &SessionDescription,
    answered: &MediaDescription,
    local: &LocalAudio,
    held: bool,
    config: &RtpConfiguration,
) -> Result<Option<Negotiated>, NegotiationError> {
    if answered.is_rejected() {
        return Ok(None);
    }
    let wrong = |what: &str| Err(NegotiationError::WrongAnswer(what.to_owned()));
    let Some(choice) = choose(answered, config) else {
        return wrong("it takes none of the codecs that were offered");
    };
    let (by_dtls, by_sdes) = local.offered_keying(config);
    let dtls = match (&local.dtls, dtls::read(answer, answered)) {
        (Some(ours), Some(theirs)) if by_dtls => ours.answered(&theirs).map(Box::new),
        _ => None,
    };
    let srtp = match by_sdes && dtls.is_none() {
        true => crypto::chosen(&cryptos(answered), &local.keys),
        false => None,
    };
    let is_secure = offered.protocol.is_secure_rtp() || answered.protocol.is_secure_rtp();
    if srtp.is_none() && dtls.is_none() && (is_secure || config.srtp_policy() == SrtpPolicy::Mandatory) {
        return wrong("SRTP is mandatory and it has no usable key");
    }
    let Some(remote_rtp) = remote_address(answer, answered) else {
        return wrong("its audio has no address");
    };
    let ours = offered.attributes.find::<Direction>().unwrap_or(Direction::SendRecv);
    let both_mux = |one: &MediaDescription| one.attributes.find::<RtcpMux>().is_some();
    let rtcp_mux = both_mux(offered) && both_mux(answered);
    let remote = answered.direction(answer);
    // We receive with the numbers of our offer; most peers use the same.
    let mine = offered.rtp_codecs();
    let ours_of = |choice: &CodecMatch| {
        let same = mine.iter().find(|mine| sdp::codecs_match(mine, &choice.offered));
        same.map_or(choice.offered.payload_type, |mine| mine.payload_type)
    };
    let parameters = AudioParameters {
        remote_rtp,
        remote_rtcp: if rtcp_mux { remote_rtp } else { remote_rtcp(answered, remote_rtp) },
        rtcp_mux,
        ice: ice::agree(local.ice.as_ref(), ice::read(answer, answered)),
        codec: choice.info.name.to_owned(),
        clock_rate: choice.info.clock_rate,
        send_payload_type: choice.codec.offered.payload_type,
        receive_payload_type: ours_of(&choice.codec),
        fmtp: choice.codec.offered.fmtp.clone(),
        dtmf: choice.events.as_ref().map(|events| (events.offered.payload_type, ours_of(events))),
        comfort_noise: choice.noise.as_ref().map(|noise| (noise.offered.payload_type, ours_of(noise))),
        ptime: ptime(answered),
        sends: ours.sends() && remote.receives() && !held,
        receives: ours.receives() && remote.sends(),
        srtp,
        dtls,
        voip_metrics: wants_metrics(answered),
        srtp_policy: config.srtp_policy(),
        silence: Duration::ZERO,
        dscp: config.dscp,
    };
    // An answer says nothing new of the peer's hold where we did not ask to be heard.
    let held_by_remote = !ours.sends() || !remote.receives();
    Ok(Some(negotiated(parameters, answered, choice.info, held_by_remote)))
}

/// The answer's keys: by DTLS if the offer has what it takes, as RFC 8643 §3.2 prefers it; else in the
/// description.
fn answer_keys(
    offer: &SessionDescription,
    offered: &MediaDescription,
    local: &LocalAudio,
    media: &mut MediaDescription,
    config: &RtpConfiguration,
) -> (Option<SrtpParameters>, Option<Box<DtlsParameters>>) {
    if let (Some(ours), Some(theirs)) = (&local.dtls, dtls::read(offer, offered))
        && let Some(agreed) = ours.answer(&theirs, media)
    {
        return (None, Some(Box::new(agreed)));
    }
    if !config.srtp_keying.takes_sdes() {
        return (None, None);
    }
    let srtp = crypto::answer(&cryptos(offered), &local.keys).map(|(parameters, attribute)| {
        push(media, &attribute);
        parameters
    });
    (srtp, None)
}

fn negotiated(
    audio: AudioParameters,
    media: &MediaDescription,
    info: &CodecInfo,
    held_by_remote: bool,
) -> Negotiated {
    Negotiated {
        audio: Some(audio),
        audio_transport: media.protocol.to_string(),
        audio_sample_rate: info.sample_rate,
        held_by_remote,
        ..Negotiated::default()
    }
}

/// A codec that both have, and events to go with it.
struct Choice {
    info: &'static CodecInfo,
    codec: CodecMatch,
    events: Option<CodecMatch>,
    /// Comfort noise of the codec's clock rate, for codecs without their own.
    noise: Option<CodecMatch>,
}

/// The first codec of the peer's list that the configuration has: the peer's order counts.
/// Events of the same clock rate go with it, or, as many peers have only those, of another one.
fn choose(media: &MediaDescription, config: &RtpConfiguration) -> Option<Choice> {
    let (noise, both): (Vec<CodecMatch>, Vec<CodecMatch>) =
        negotiate_codecs(&media.rtp_codecs(), &supported(config))
            .into_iter()
            .partition(|one| one.offered.is(COMFORT_NOISE));
    let (events, codecs): (Vec<CodecMatch>, Vec<CodecMatch>) =
        both.into_iter().partition(|one| one.offered.is(EVENTS));
    let codec = codecs.into_iter().next()?;
    let info = codec::find(&codec.offered.name, codec.offered.clock_rate)?;
    let clock = info.clock_rate;
    let same = events.iter().find(|one| one.offered.clock_rate == clock);
    let events = same.or(events.first()).cloned();
    let noise = noise.into_iter().find(|one| one.offered.clock_rate == clock);
    Some(Choice { info, codec, events, noise })
}

/// RFC 3611 §5.
fn wants_metrics(media: &MediaDescription) -> bool {
    let said = media.attributes.value("rtcp-xr").unwrap_or_default();
    said.split(' ').any(|format| format == METRICS)
}

fn cryptos(media: &MediaDescription) -> Vec<Crypto> {
    media.attributes.all().filter_map(Result::ok).collect()
}

fn is_rtp(protocol: &Protocol) -> bool {
    matches!(
        protocol,
        Protocol::RtpAvp
            | Protocol::RtpSavp
            | Protocol::RtpAvpf
            | Protocol::RtpSavpf
            | Protocol::UdpTlsRtpSavp
            | Protocol::UdpTlsRtpSavpf
    )
}

fn remote_address(session: &SessionDescription, media: &MediaDescription) -> Option<SocketAddr> {
    let address = media.address(session)?;
    address.ip().map(|ip| SocketAddr::new(ip, media.port))
}

/// RFC 3605: `a=rtcp` where RTCP is not on the next port.
fn remote_rtcp(media: &MediaDescription, rtp: SocketAddr) -> SocketAddr {
    let next = SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1));
    match media.attributes.find::<Rtcp>() {
        Some(rtcp) => {
            let ip: IpAddr = rtcp.address.and_then(|address| address.ip()).unwrap_or(rtp.ip());
            SocketAddr::new(ip, rtcp.port)
        }
        None => next,
    }
}

/// The peer's packet time where it is one that makes sense, in whole multiples of 10 ms.
fn ptime(media: &MediaDescription) -> u32 {
    let asked = media.attributes.find::<Ptime>().map(|ptime| ptime.0);
    match asked {
        Some(asked) if (10.0..=60.0).contains(&asked) => ((asked / 10.0).floor() as u32) * 10,
        _ => PTIME,
    }
}

fn finish(media: &mut MediaDescription, local: &LocalAudio, direction: Direction, ptime: u32) {
    if local.rtcp.port() != local.rtp.port().wrapping_add(1) {
        push(media, &Rtcp { port: local.rtcp.port(), address: None });
    }
    push(media, &Ptime(f64::from(ptime)));
    media.attributes.push_text("rtcp-xr", Some(METRICS)).expect("it fits a line");
    push(media, &direction);
}

/// The formats of the m-line, with their rtpmap and fmtp.
fn push_codecs(media: &mut MediaDescription, codecs: &[Codec]) {
    media.formats = Formats::new(codecs.iter().map(|codec| codec.payload_type)).expect("numbers are formats");
    for codec in codecs {
        push(media, &codec.rtpmap());
        if let Some(parameters) = &codec.fmtp {
            let format = codec.payload_type.to_string();
            push(media, &Fmtp { format, parameters: parameters.clone() });
        }
    }
}

pub(super) fn push<T: Attribute>(media: &mut MediaDescription, attribute: &T) {
    media.attributes.push(attribute).expect("our own attributes fit their lines");
}
