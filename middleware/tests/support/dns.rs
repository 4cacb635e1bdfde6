//! A small DNS server for tests.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::thread;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};

/// The names that it knows.
pub(crate) type Zone = Vec<(&'static str, RData)>;

/// Answers questions about `zone` until the test ends; where it listens.
pub(crate) fn serve(zone: Zone) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let address = socket.local_addr().expect("a bound socket");
    thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            let answer = answer(&question, &zone);
            let bytes = answer.to_vec().expect("an answer");
            let _ = socket.send_to(&bytes, peer);
        }
    });
    address
}

fn answer(question: &Message, zone: &Zone) -> Message {
    let mut answer = question.clone().into_response();
    answer.edns = None;
    let Some(query) = question.queries.first() else { return answer };
    let known = |name: &str| name.eq_ignore_ascii_case(query.name().to_ascii().trim_end_matches('.'));
    for (name, data) in zone {
        if known(name) && data.record_type() == query.query_type() {
            answer.add_answer(Record::from_rdata(query.name().clone(), 60, data.clone()));
        }
    }
    if !zone.iter().any(|(name, _)| known(name)) {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer
}

pub(crate) fn address(text: &str) -> RData {
    match text.parse().expect("an address") {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

pub(crate) fn srv(priority: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, 0, port, name(target)))
}

pub(crate) fn naptr(order: u16, service: &str, replacement: &str) -> RData {
    let bytes = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
    RData::NAPTR(NAPTR::new(order, 0, bytes("s"), bytes(service), bytes(""), name(replacement)))
}

fn name(text: &str) -> Name {
    Name::from_str(&format!("{text}.")).expect("a name")
}
