//! What each type of line says (RFC 8866 §5).

use super::words::{Word, Words, split_at};
use super::{Line, Parser};
use crate::address::{AddrType, Address, Connection, NetType, Origin, SessionId};
use crate::attributes::Attributes;
use crate::description::{Bandwidth, Key, MediaDescription, Timing};
use crate::error::{ErrorKind, ParseError};
use crate::media_line::{Formats, MediaKind, Protocol};
use crate::number;
use crate::text::is_word;

impl Parser<'_> {
    pub(super) fn session_level(&mut self, line: &Line<'_>) -> Result<(), ParseError> {
        match line.kind {
            b'v' => {
                self.order(0);
                if self.seen.version {
                    return Err(misplaced());
                }
                if line.start != 0 {
                    self.regular = false;
                    self.fault(0, ErrorKind::Misplaced, "the v= line first");
                }
                self.seen.version = true;
                if line.value != "0" {
                    self.regular = false;
                    self.fault(line.start + 2, ErrorKind::Version, "version 0");
                }
            }
            b'o' => {
                self.order(1);
                if self.seen.origin {
                    return Err(misplaced());
                }
                self.session.origin = self.origin(line)?;
                self.seen.origin = true;
            }
            b's' => {
                self.order(2);
                if self.seen.name {
                    return Err(misplaced());
                }
                self.seen.name = true;
                self.session.name = self.value(line);
            }
            b'i' => {
                self.order(3);
                let value = self.value(line);
                once(&mut self.session.information, value)?;
            }
            b'u' => {
                self.order(4);
                let value = self.value(line);
                once(&mut self.session.uri, value)?;
            }
            b'e' => {
                self.order(5);
                let value = self.value(line);
                self.session.emails.push(value);
            }
            b'p' => {
                self.order(6);
                let value = self.value(line);
                self.session.phones.push(value);
            }
            b'c' => {
                self.order(7);
                let connection = self.connection(line)?;
                once(&mut self.session.connection, connection)?;
            }
            b'b' => {
                self.order(8);
                let bandwidth = self.bandwidth(line)?;
                self.session.bandwidth.push(bandwidth);
            }
            b't' => {
                self.order(9);
                let timing = self.timing(line)?;
                self.session.times.push(timing);
            }
            b'r' => {
                self.order(9);
                let value = self.value(line);
                match self.session.times.last_mut() {
                    Some(timing) => timing.repeats.push(value),
                    None => return Err(misplaced()),
                }
            }
            b'z' => {
                self.order(10);
                let value = self.value(line);
                once(&mut self.session.zones, value)?;
            }
            b'k' => {
                self.order(11);
                let value = Key(self.value(line));
                once(&mut self.session.key, value)?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    pub(super) fn media_level(&mut self, line: &Line<'_>) -> Result<(), ParseError> {
        match line.kind {
            b'i' => {
                self.order(3);
                let value = self.value(line);
                once(&mut self.stream()?.title, value)?;
            }
            b'c' => {
                self.order(7);
                let connection = self.connection(line)?;
                self.stream()?.connections.push(connection);
            }
            b'b' => {
                self.order(8);
                let bandwidth = self.bandwidth(line)?;
                self.stream()?.bandwidth.push(bandwidth);
            }
            b'k' => {
                self.order(11);
                let value = Key(self.value(line));
                once(&mut self.stream()?.key, value)?;
            }
            b'v' | b'o' | b's' | b'u' | b'e' | b'p' | b't' | b'r' | b'z' => return Err(misplaced()),
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn stream(&mut self) -> Result<&mut MediaDescription, ParseError> {
        self.media.as_mut().ok_or(misplaced())
    }

    /// RFC 8866 §5.14. What cannot be read makes a refused stream, so that the others live.
    pub(super) fn media_line(&mut self, line: &Line<'_>) -> Result<(), ParseError> {
        if self.session.media.len() >= self.limits.media {
            return Err(ParseError::new(line.start, ErrorKind::Limit, "fewer m-lines"));
        }
        let mut words = Words::new(line.value);
        let kind = words.next();
        let port = words.next();
        let protocol = words.next();
        let formats = words.rest();
        let media =
            MediaKind::known(kind.1).unwrap_or_else(|| MediaKind::Other(self.token(line, kind.0, kind.1)));
        let protocol_value = Protocol::known(protocol.1)
            .unwrap_or_else(|| Protocol::Other(self.token(line, protocol.0, protocol.1)));
        let mut stream = MediaDescription::new(media, 0, protocol_value);
        stream.attributes = Attributes::with_source(&self.source);
        if !words.plain || formats.1.is_empty() {
            self.regular = false;
        }
        let start = line.start + 2 + formats.0;
        stream.formats = Formats(self.slice(start, start + formats.1.len()));
        let (number, count) = match split_at(port.1, b'/') {
            Some((number, count)) => (number, Some(count)),
            None => (port.1, None),
        };
        let count_value = count.and_then(number::u16);
        match number::u16(number) {
            Some(value) if count.is_some() == count_value.is_some() => {
                stream.port = value;
                stream.port_count = count_value;
                if !number::is_plain(number) || !count.is_none_or(number::is_plain) {
                    self.regular = false;
                }
            }
            _ => {
                self.regular = false;
                self.fault(line.start + 2 + port.0, ErrorKind::Range, "a port from 0 to 65535");
            }
        }
        if formats.1.is_empty() {
            stream.port = 0;
            self.fault(line.end, ErrorKind::Missing, "media, port, protocol and formats");
        }
        self.media = Some(stream);
        Ok(())
    }

    /// RFC 8866 §5.2.
    fn origin(&mut self, line: &Line<'_>) -> Result<Origin, ParseError> {
        let mut words = Words::new(line.value);
        let username = words.next();
        let id = words.next();
        let version = words.next();
        let net = words.next();
        let addr = words.next();
        let host = words.next();
        if host.1.is_empty() || !words.rest().1.is_empty() {
            return Err(ParseError::new(
                2,
                ErrorKind::Syntax,
                "username, id, version, IN, IP4 or IP6, address",
            ));
        }
        if !id.1.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseError::new(2 + id.0, ErrorKind::Syntax, "a session id of digits"));
        }
        let session_version = number::u64(version.1).ok_or(ParseError::new(
            2 + version.0,
            ErrorKind::Range,
            "a session version of 64 bits",
        ))?;
        if !words.plain || !number::is_plain(version.1) {
            self.regular = false;
        }
        Ok(Origin {
            username: self.token(line, username.0, username.1),
            session_id: SessionId(self.token(line, id.0, id.1)),
            session_version,
            address: self.address(line, net, addr, host),
        })
    }

    fn address(&self, line: &Line<'_>, net: Word<'_>, addr: Word<'_>, host: Word<'_>) -> Address {
        Address {
            net_type: match net.1 {
                "IN" => NetType::Internet,
                other => NetType::Other(self.token(line, net.0, other)),
            },
            addr_type: match addr.1 {
                "IP4" => AddrType::Ip4,
                "IP6" => AddrType::Ip6,
                other => AddrType::Other(self.token(line, addr.0, other)),
            },
            host: self.token(line, host.0, host.1),
        }
    }

    /// RFC 8866 §5.7.
    fn connection(&mut self, line: &Line<'_>) -> Result<Connection, ParseError> {
        let mut words = Words::new(line.value);
        let net = words.next();
        let addr = words.next();
        let mut host = words.next();
        if host.1.is_empty() || !words.rest().1.is_empty() {
            return Err(ParseError::new(2, ErrorKind::Syntax, "IN, IP4 or IP6, address"));
        }
        if !words.plain {
            self.regular = false;
        }
        let (mut ttl, mut count) = (None, None);
        if net.1 == "IN"
            && let Some((address, suffix)) = split_at(host.1, b'/')
        {
            // RFC 8866 §5.7: IPv4 has a TTL and may have a count, IPv6 has a count alone.
            let wrong =
                ParseError::new(2 + host.0 + address.len(), ErrorKind::Range, "/ttl, /ttl/count or /count");
            let (first, second) = match split_at(suffix, b'/') {
                Some((first, second)) => (first, Some(second)),
                None => (suffix, None),
            };
            let plain = number::is_plain(first) && second.is_none_or(number::is_plain);
            if addr.1 == "IP6" {
                count = Some(number::u32(first).filter(|_| second.is_none()).ok_or(wrong)?);
            } else {
                ttl = Some(number::u32(first).and_then(|ttl| u8::try_from(ttl).ok()).ok_or(wrong)?);
                if let Some(second) = second {
                    count = Some(number::u32(second).ok_or(wrong)?);
                }
            }
            if address.is_empty() {
                return Err(wrong);
            }
            if !plain {
                self.regular = false;
            }
            host.1 = address;
        }
        Ok(Connection { address: self.address(line, net, addr, host), ttl, count })
    }

    /// RFC 8866 §5.8.
    fn bandwidth(&mut self, line: &Line<'_>) -> Result<Bandwidth, ParseError> {
        let wrong = ParseError::new(2, ErrorKind::Syntax, "type:number");
        let (kind, number) = split_at(line.value, b':').ok_or(wrong)?;
        let value = number::u64(number).ok_or(wrong)?;
        if !is_word(kind) {
            return Err(wrong);
        }
        if !number::is_plain(number) {
            self.regular = false;
        }
        Ok(Bandwidth { kind: self.token(line, 0, kind), value })
    }

    /// RFC 8866 §5.9.
    fn timing(&mut self, line: &Line<'_>) -> Result<Timing, ParseError> {
        let mut words = Words::new(line.value);
        let (start, stop) = (words.next().1, words.next().1);
        let wrong = ParseError::new(2, ErrorKind::Syntax, "start and stop");
        let timing = Timing {
            start: number::u64(start).ok_or(wrong)?,
            stop: number::u64(stop).ok_or(wrong)?,
            repeats: Vec::new(),
        };
        if !words.rest().1.is_empty() {
            return Err(wrong);
        }
        if !words.plain || !number::is_plain(start) || !number::is_plain(stop) {
            self.regular = false;
        }
        Ok(timing)
    }
}

fn once<T>(field: &mut Option<T>, value: T) -> Result<(), ParseError> {
    match field {
        Some(_) => Err(misplaced()),
        None => {
            *field = Some(value);
            Ok(())
        }
    }
}

const fn misplaced() -> ParseError {
    ParseError::new(0, ErrorKind::Misplaced, "this line only once, and in its part")
}

const fn unknown() -> ParseError {
    ParseError::new(0, ErrorKind::Syntax, "a line of RFC 8866")
}
