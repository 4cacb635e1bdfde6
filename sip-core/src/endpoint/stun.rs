//! The STUN that keeps a flow of datagrams (RFC 5626 §4.4.2, §8): a Binding request without
//! attributes, and from its answer the address that we are seen at. No more of STUN is needed here,
//! and nothing else of it is understood.

use bytes::Bytes;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// The first wait (RFC 5389 §7.2.1); it doubles with each of [`REQUESTS`], and the last is [`LAST`] of it.
const RTO: Duration = Duration::from_millis(500);
const REQUESTS: u32 = 7;
const LAST: u32 = 16;

/// A Binding request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Check {
    transaction: [u8; 12],
    sent: u32,
    /// When the next one is due; at once, if none was sent.
    next: Option<Instant>,
}

/// What a datagram answers to a [`Check`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Where we are seen, if it says so.
    Mapped(Option<SocketAddr>),
    /// An error.
    Refused,
}

impl Check {
    /// A request that is to be sent now.
    pub(crate) fn new(now: Instant, random: [u64; 2]) -> Self {
        let [one, two] = random.map(u64::to_be_bytes);
        let mut transaction = [0; 12];
        for (place, byte) in transaction.iter_mut().zip(one.into_iter().chain(two)) {
            *place = byte;
        }
        Self { transaction, sent: 0, next: Some(now) }
    }

    /// The datagram that is due; `Err` once nobody answers (7 requests, as RFC 5389 §7.2.1 times them).
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<Option<Bytes>, ()> {
        if self.next.is_some_and(|next| now < next) {
            return Ok(None);
        }
        if self.sent == REQUESTS {
            return Err(());
        }
        let wait = if self.sent + 1 == REQUESTS { RTO * LAST } else { RTO * (1 << self.sent) };
        self.sent += 1;
        self.next = Some(now + wait);
        let mut data = Vec::with_capacity(20);
        data.extend_from_slice(&[0, 1, 0, 0]);
        data.extend_from_slice(&COOKIE);
        data.extend_from_slice(&self.transaction);
        Ok(Some(data.into()))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// What the datagram says, if it is the answer to this request.
    pub(crate) fn answer(&self, data: &[u8]) -> Option<Answer> {
        let (head, attributes) = data.split_at_checked(20)?;
        let (kind, head) = head.split_at_checked(2)?;
        let (length, id) = head.split_at_checked(2)?;
        let (cookie, transaction) = id.split_at_checked(4)?;
        if cookie != COOKIE || transaction != self.transaction || big(length)? != attributes.len() {
            return None;
        }
        match kind {
            [0x01, 0x01] => Some(Answer::Mapped(mapped(attributes, id))),
            [0x01, 0x11] => Some(Answer::Refused),
            _ => None,
        }
    }
}

/// Whether a datagram cannot be SIP, but STUN (RFC 5626 §8).
pub(crate) fn is_stun(data: &[u8]) -> bool {
    matches!(data, [0 | 1, ..])
}

fn big(bytes: &[u8]) -> Option<usize> {
    <[u8; 2]>::try_from(bytes).ok().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
}

/// The address in XOR-MAPPED-ADDRESS; `id` is the cookie and the transaction behind it.
fn mapped(mut attributes: &[u8], id: &[u8]) -> Option<SocketAddr> {
    while let Some((head, rest)) = attributes.split_at_checked(4) {
        let (kind, length) = head.split_at_checked(2)?;
        let length = big(length)?;
        let value = rest.get(..length)?;
        if kind == XOR_MAPPED_ADDRESS.to_be_bytes() {
            let (family, value) = value.split_at_checked(2)?;
            let (port, address) = value.split_at_checked(2)?;
            let clear = |bytes: &[u8]| bytes.iter().zip(id).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
            let port = u16::try_from(big(&clear(port))?).ok()?;
            let address = clear(address);
            let ip: IpAddr = match family {
                [_, 1] => Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).into(),
                [_, 2] => Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).into(),
                _ => return None,
            };
            return Some(SocketAddr::new(ip, port));
        }
        // Values are filled up to words.
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// The body of a fuzz target: an answer is taken from any bytes only if it is whole and has our
/// transaction, and says the same with more attributes behind it.
pub(crate) fn fuzz(data: &[u8]) {
    let check = |transaction| Check { transaction, sent: 0, next: None };
    let _ = is_stun(data);
    let answer = check([0; 12]).answer(data);
    if data.get(8..20).is_some_and(|id| id != [0; 12]) {
        assert_eq!(answer, None, "of another request");
    }
    if let (Some(answer), Some((head, attributes))) = (answer, data.split_at_checked(20)) {
        let more = [attributes, &[0x80, 0x22, 0, 4, b'n', b'a', b'm', b'e']].concat();
        let (Some(kind), Some(id)) = (head.get(..2), head.get(4..)) else { return };
        let Ok(length) = u16::try_from(more.len()) else { return };
        let longer = [kind, &length.to_be_bytes(), id, &more].concat();
        // What broke off before may go on there.
        if !matches!(answer, Answer::Mapped(None)) {
            assert_eq!(check([0; 12]).answer(&longer), Some(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::testing::start;

    fn check(transaction: [u8; 12]) -> Check {
        Check { transaction, sent: 0, next: None }
    }

    /// The answers of RFC 5769 §2.2 and §2.3, to the length that counts here.
    #[test]
    fn answers_of_rfc_5769() {
        let id = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let head = |length: u8| [&[0x01, 0x01, 0, length], &COOKIE[..], &id[..]].concat();
        let software = b"\x80\x22\x00\x0btest vector ";
        let v4 = [&head(28)[..], software, b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43"].concat();
        let expected = Answer::Mapped("192.0.2.1:32853".parse().ok());
        assert_eq!(check(id).answer(&v4), Some(expected));
        let v6 = [
            &head(40)[..],
            software,
            b"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9",
        ]
        .concat();
        let expected = Answer::Mapped("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().ok());
        assert_eq!(check(id).answer(&v6), Some(expected));
        for end in 0..v6.len() {
            assert_eq!(check(id).answer(&v6[..end]), None, "{end}");
        }
        assert_eq!(check(id).answer(&[&[1, 0x11, 0, 0], &head(0)[4..]].concat()), Some(Answer::Refused));
        assert_eq!(check(id).answer(&head(0)), Some(Answer::Mapped(None)));
        assert_eq!(check([0; 12]).answer(&v4), None, "of another request");
    }

    #[test]
    fn seven_requests_and_no_more() {
        let start = start();
        let mut check = Check::new(start, [1, 2]);
        let mut times = Vec::new();
        loop {
            let at = check.deadline().unwrap();
            times.push((at - start).as_millis());
            match check.handle_timeout(at) {
                Ok(data) => assert_eq!(data.map(|data| data.len()), Some(20)),
                Err(()) => break,
            }
        }
        assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500, 39_500]);
    }
}
