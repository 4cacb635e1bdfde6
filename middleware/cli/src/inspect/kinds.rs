//! One decoder for each kind of file.

use bytes::Bytes;
use serde_json::{Value, json};
use sip_core::{Limits, Message};

use super::{Fault, Judgement, events};
use crate::arguments::Kind;

/// As `--kind` spells it.
pub(super) fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Auto => "auto",
        Kind::Sip => "sip",
        Kind::Sdp => "sdp",
        Kind::Rtp => "rtp",
        Kind::Rtcp => "rtcp",
        Kind::Stun => "stun",
        Kind::Msrp => "msrp",
        Kind::Cpim => "cpim",
        Kind::Pidf => "pidf",
        Kind::Event => "event",
    }
}

/// What a file is, by its first bytes.
pub(super) fn guess(data: &[u8]) -> Kind {
    use rtp_srtp::demux::{Protocol, classify};
    let text = data.trim_ascii_start();
    if text.starts_with(b"v=") {
        return Kind::Sdp;
    }
    if text.starts_with(b"MSRP ") {
        return Kind::Msrp;
    }
    if let Some(kind) = events::guess(data) {
        return kind;
    }
    let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if text.starts_with(b"SIP/") || first_line.windows(5).any(|window| window == b" SIP/") {
        return Kind::Sip;
    }
    match classify(data) {
        Some(Protocol::Stun) => Kind::Stun,
        Some(Protocol::Rtcp) => Kind::Rtcp,
        Some(Protocol::Rtp) => Kind::Rtp,
        _ if text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"From: ")) => Kind::Cpim,
        _ => Kind::Sip,
    }
}

/// Decodes and judges.
pub(super) fn judge(kind: Kind, data: &[u8]) -> Judgement {
    match kind {
        Kind::Auto => judge(guess(data), data),
        Kind::Sip => sip(data),
        Kind::Sdp => sdp(data),
        Kind::Rtp => rtp(data),
        Kind::Rtcp => rtcp(data),
        Kind::Stun => stun(data),
        Kind::Msrp => msrp(data),
        Kind::Cpim => cpim(data),
        Kind::Pidf => events::pidf(data),
        Kind::Event => events::event(data),
    }
}

pub(super) fn fault(at: usize, kind: impl std::fmt::Debug, what: impl Into<String>) -> Option<Fault> {
    Some(Fault { at, kind: format!("{kind:?}"), what: what.into() })
}

fn sip(data: &[u8]) -> Judgement {
    let message = match Message::parse(Bytes::copy_from_slice(data), &Limits::default()) {
        Ok(message) => message,
        Err(error) => return (Value::Null, fault(error.at, error.kind, error.what)),
    };
    let headers = message.headers();
    let mut summary = match &message {
        Message::Request(request) => json!({
            "method": request.method().to_string(),
            "uri": request.uri_text(),
        }),
        Message::Response(response) => json!({
            "status": response.status().code(),
            "reason": response.reason(),
        }),
    };
    for name in ["Via", "From", "To", "Call-ID", "CSeq", "Contact", "Content-Type"] {
        if let Some(text) = headers.text(name) {
            summary[name] = json!(text);
        }
    }
    summary["headers"] = json!(headers.len());
    summary["body"] = json!(message.body().len());
    let fault = message
        .validate()
        .err()
        .and_then(|refusal| fault(refusal.error.at, refusal.error.kind, refusal.error.what));
    (summary, fault)
}

fn sdp(data: &[u8]) -> Judgement {
    let description = match sdp::SessionDescription::parse(data) {
        Ok(description) => description,
        Err(error) => return (Value::Null, fault(error.at, error.kind, error.what)),
    };
    let media: Vec<Value> = description
        .media
        .iter()
        .map(|media| {
            let codecs: Vec<String> = media
                .rtp_codecs()
                .iter()
                .map(|codec| format!("{} {}/{}", codec.payload_type, codec.name, codec.clock_rate))
                .collect();
            json!({
                "media": media.media.as_str(),
                "port": media.port,
                "protocol": media.protocol.as_str(),
                "formats": media.formats.as_str(),
                "direction": media.direction(&description).as_str(),
                "address": media.connection(&description).map(|connection| connection.address.to_string()),
                "codecs": codecs,
            })
        })
        .collect();
    let defects: Vec<String> = description.defects().iter().map(ToString::to_string).collect();
    (json!({"name": description.name.as_str(), "media": media, "defects": defects}), None)
}

fn rtp(data: &[u8]) -> Judgement {
    match rtp_srtp::RtpPacket::parse(data) {
        Ok(packet) => {
            let summary = json!({
                "payload_type": packet.payload_type(),
                "marker": packet.marker(),
                "sequence": packet.sequence(),
                "timestamp": packet.timestamp(),
                "ssrc": packet.ssrc(),
                "payload": packet.payload().len(),
            });
            (summary, None)
        }
        Err(error) => (Value::Null, fault(error.at, error.kind, error.what)),
    }
}

fn rtcp(data: &[u8]) -> Judgement {
    match rtp_srtp::rtcp::Compound::parse(data) {
        Ok(compound) => {
            let kinds: Vec<String> = compound
                .packets()
                .map(|packet| {
                    let text = format!("{packet:?}");
                    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
                })
                .collect();
            (json!({"packets": kinds, "sender": compound.sender()}), None)
        }
        Err(error) => (Value::Null, fault(error.at, error.kind, error.what)),
    }
}

fn msrp(data: &[u8]) -> Judgement {
    match msrp_cpim::wire::Message::parse(&Bytes::copy_from_slice(data)) {
        Ok(message) => {
            let headers: serde_json::Map<String, Value> =
                message.head.headers().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            let summary = json!({
                "transaction": message.head.transaction_id(),
                "method": message.head.method().map(|method| method.as_str()),
                "headers": headers,
                "body": message.body.as_ref().map(Bytes::len),
            });
            (summary, None)
        }
        Err(error) => {
            (Value::Null, fault(usize::try_from(error.at).unwrap_or(usize::MAX), error.kind, error.what))
        }
    }
}

fn stun(data: &[u8]) -> Judgement {
    use ice_stun::stun::{Message, Software, Username, XorMappedAddress};
    let message = match Message::parse(data) {
        Ok(message) => message,
        Err(error) => return (Value::Null, fault(error.at, error.kind, error.what)),
    };
    let kinds: Vec<String> = message.attributes().map(|raw| format!("0x{:04x}", raw.kind.0)).collect();
    let summary = json!({
        "class": format!("{:?}", message.class()),
        "method": message.method().name().map_or_else(|| format!("{:#05x}", message.method().number()), str::to_owned),
        "attributes": kinds,
        "username": message.get::<Username<'_>>().and_then(Result::ok).map(|username| username.0),
        "software": message.get::<Software<'_>>().and_then(Result::ok).map(|software| software.0),
        "xor_mapped_address": message.get::<XorMappedAddress>().and_then(Result::ok).map(|mapped| mapped.0.to_string()),
    });
    let wrong = message.fingerprint() == Some(false);
    let fault = if wrong {
        fault(data.len().saturating_sub(4), "Fingerprint", "the CRC of the message")
    } else {
        None
    };
    (summary, fault)
}

fn cpim(data: &[u8]) -> Judgement {
    match msrp_cpim::inspect::cpim(&Bytes::copy_from_slice(data)) {
        Ok(summary) => {
            let summary = summary.into_iter().map(|(name, value)| (name, json!(value))).collect();
            (Value::Object(summary), None)
        }
        Err(error) => {
            (Value::Null, fault(usize::try_from(error.at).unwrap_or(usize::MAX), error.kind, error.what))
        }
    }
}
