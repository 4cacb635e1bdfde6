//! Via (RFC 3261 §20.42, RFC 3581).

use super::{Form, HeaderName, TypedHeader};
use crate::{
    Host, Params, ParseError, Text, UsageError,
    grammar::{self, class},
    uri,
};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// One hop: where the response goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// The transport as written: `UDP`, `TCP`, `TLS`, `WS`, …
    pub transport: Text,
    /// The host of `sent-by`.
    pub host: Host,
    /// The port of `sent-by`.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, …
    pub params: Params,
}

impl Via {
    /// A Via of ours.
    pub fn new(transport: &str, host: Host, port: Option<u16>, branch: &str) -> Result<Self, UsageError> {
        if !grammar::is_token(transport) {
            return Err(ParseError::new(0, crate::ErrorKind::Syntax, "a transport token").into());
        }
        Ok(Self { transport: transport.into(), host, port, params: Params::new().with("branch", branch)? })
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch")
    }

    /// What branches made by RFC 3261 start with (RFC 3261 §8.1.1.7).
    pub const MAGIC_COOKIE: &'static str = "z9hG4bK";

    /// Whether the branch identifies a transaction: the cookie and something behind it
    /// (RFC 3261 §17.2.3; RFC 4475 §3.2.1).
    pub fn has_rfc3261_branch(&self) -> bool {
        let Some((cookie, id)) = self.branch().and_then(|b| b.split_at_checked(Self::MAGIC_COOKIE.len()))
        else {
            return false;
        };
        cookie.eq_ignore_ascii_case(Self::MAGIC_COOKIE) && !id.is_empty()
    }

    /// The address the request came from, as the `received` parameter says (RFC 3261 §18.2.1).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.get("received")?;
        text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).parse().ok()
    }

    /// `rport` (RFC 3581): `None` absent, `Some(None)` asked for, `Some(Some(port))` filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.find("rport").map(|p| p.value.and_then(|v| v.parse().ok()))
    }

    /// Notes where the request came from: `received` if `sent-by` differs from it or rport asks
    /// (RFC 3261 §18.2.1, RFC 3581 §4), and `rport`'s value.
    pub fn stamp(&mut self, source: SocketAddr) {
        let asked = self.rport().is_some();
        if asked || self.host.ip() != Some(source.ip()) {
            // Addresses and digits are plain values.
            let _ = self.params.set("received", &source.ip().to_string());
        }
        if asked {
            let _ = self.params.set("rport", &source.port().to_string());
        }
    }

    #[inline]
    fn read(input: &str) -> grammar::Res<'_, Self> {
        let (rest, (transport, host, port)) = hop(input)?;
        let (rest, params) = Params::read(rest)?;
        Ok((rest, Self { transport: transport.into(), host, port, params }))
    }
}

const END: &str = "';' or the end of the Via";

/// `sent-protocol LWS sent-by`: transport, host and port.
type Hop<'a> = (&'a str, Host, Option<u16>);

#[inline]
fn hop(input: &str) -> grammar::Res<'_, Hop<'_>> {
    // As nearly everyone writes it.
    if let Some(rest) = input.strip_prefix("SIP/2.0/")
        && let (transport, rest) = grammar::take(rest, class::TOKEN)
        && !transport.is_empty()
        && let Some(sent_by) = rest.strip_prefix(' ')
        && let Ok((rest, (host, port))) = uri::host_port(sent_by)
        && rest.bytes().next().is_none_or(|b| b == b';')
    {
        return Ok((rest, (transport, host, port)));
    }
    odd_hop(input)
}

/// [`hop`] with white space where nobody puts it, and what some RFCs print.
fn odd_hop(input: &str) -> grammar::Res<'_, Hop<'_>> {
    let (rest, protocol) = grammar::token(input)?;
    if !protocol.eq_ignore_ascii_case("SIP") {
        return grammar::expected(input, "SIP/2.0/ and a transport");
    }
    let (rest, ()) = grammar::sign('/', "'/' after SIP")(rest)?;
    let (after, version) = grammar::token(rest)?;
    if version != "2.0" {
        return grammar::expected(rest, "version 2.0");
    }
    let (rest, ()) = grammar::sign('/', "'/' after the version")(after)?;
    let (after, mut transport) = grammar::token(rest)?;
    let mut sent_by = grammar::lws(after);
    if sent_by.len() == after.len() {
        (transport, sent_by) = unglued(rest)?;
    }
    let mut found = uri::host_port(sent_by);
    // What some RFCs print before the host: a user or a scheme.
    let prefix = match &found {
        Ok((rest, _)) if rest.starts_with('@') => sent_by.len() - rest.len() + 1,
        Err(_) if sent_by.starts_with("sip:") => 4,
        _ => 0,
    };
    if prefix > 0 {
        sent_by = grammar::cut(sent_by, prefix).1;
        found = uri::host_port(sent_by);
    }
    let (rest, (host, mut port)) = match found {
        Ok(found) => found,
        Err((left, what)) => {
            return grammar::expected(grammar::cut(sent_by, sent_by.len() - left).1, what);
        }
    };
    // White space around the colon of the port is allowed here.
    let mut rest = rest;
    if port.is_none()
        && let Some(digits) = grammar::lws(rest).strip_prefix(':')
    {
        let (after, number) = grammar::number(grammar::lws(digits), u64::from(u16::MAX), "a port")?;
        port = u16::try_from(number).ok();
        rest = after;
    }
    Ok((rest, (transport, host, port)))
}

/// A transport that is followed by the host without white space, as RFC 4244 prints it.
fn unglued(text: &str) -> Result<(&str, &str), nom::Err<grammar::Fail>> {
    for known in ["UDP", "TCP", "TLS-SCTP", "TLS", "SCTP", "WSS", "WS"] {
        if let Some(host) = text.strip_prefix(known)
            && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Ok((known, host));
        }
    }
    grammar::expected(text, "a transport and white space before sent-by").map(|(_, never)| never)
}

impl TypedHeader for Via {
    const NAME: HeaderName<'static> = HeaderName::VIA;
    const FORM: Form = Form::Values;

    fn parse(text: &str) -> Result<Self, ParseError> {
        grammar::leading(text, END, Self::read)
    }

    fn check(text: &str) -> Result<(), ParseError> {
        grammar::leading(text, END, |input| {
            let (rest, _) = hop(input)?;
            let (rest, _) = Params::skim(rest)?;
            Ok((rest, ()))
        })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_everywhere() {
        let via = Via::parse(
            "SIP  / 2.0\r\n  / TCP     spindle.example.com : 5  ;\r\n  branch  =   z9hG4bK9ikj8  ",
        )
        .unwrap();
        assert_eq!(via.to_string(), "SIP/2.0/TCP spindle.example.com:5;branch=z9hG4bK9ikj8");
    }

    #[test]
    fn ipv6_and_received_without_brackets() {
        let via =
            Via::parse("SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3").unwrap();
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
        assert_eq!(via.to_string(), "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3");
    }

    #[test]
    fn stamping_of_rfc_3581() {
        let source = "192.0.2.1:9988".parse().unwrap();
        let mut via = Via::parse("SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkjshdyff").unwrap();
        via.stamp(source);
        assert_eq!((via.received(), via.rport()), (Some(source.ip()), Some(Some(9988))));
        let mut via = Via::parse("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1").unwrap();
        via.stamp(source);
        assert_eq!(via.to_string(), "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
    }

    /// RFC 7118 §8.1: transports of WebSocket, and hosts that are none.
    #[test]
    fn websocket() {
        let via = Via::parse("SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bKasudf;rport").unwrap();
        assert_eq!((&*via.transport, via.host.to_string().as_str()), ("WSS", "df7jal23ls0d.invalid"));
        assert!(via.has_rfc3261_branch() && via.rport() == Some(None));
        let contact: crate::Uri = "sip:alice@df7jal23ls0d.invalid;transport=ws".parse().unwrap();
        assert_eq!(contact.param("transport"), Some("ws"));
    }

    #[test]
    fn refused() {
        for text in [
            ";",
            "SIP/2.0/UDP",
            "SIP/3.0/UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0/UDP [::1",
            "",
            "SIP/2.0/UDP h,",
            "SIP/2.0/UDP h/x",
        ] {
            assert!(Via::parse(text).is_err(), "{text}");
        }
    }
}
