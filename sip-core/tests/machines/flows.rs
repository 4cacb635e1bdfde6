//! Flows of registrations: kept alive, found dead, used for calls (RFC 5626).

use crate::solo::{Solo, addr, reply, seconds};
use sip_core::{
    Method, NameAddr,
    endpoint::{
        ContactMarks, Event, FlowPath, Input, KeepAlive, OutgoingCall, OutgoingContact, OutgoingRequest,
        Output, Target, Transport,
    },
    resolve::{
        Record,
        RecordKind::{A, Srv},
    },
};
use std::time::{Duration, Instant};

const URN: &str = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

fn register(solo: &mut Solo, target: &str) {
    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    let contact = OutgoingContact::Marked(ContactMarks {
        user: Some("us".to_owned()),
        uri_params: vec![("pn-provider".to_owned(), "acme".to_owned())],
        instance: Some(URN.to_owned()),
        reg_id: Some(1),
    });
    let uri = target.parse().expect("a URI");
    let headers = vec![("Supported".to_owned(), "path, outbound".to_owned())];
    let request = OutgoingRequest { contact, headers, ..OutgoingRequest::new(Method::Register, uri, from) };
    solo.endpoint.request(solo.now(), request).expect("a request");
    solo.drain();
}

fn registered(solo: &mut Solo) -> (FlowPath, String) {
    match solo.registers.pop_front() {
        Some(Event::RegisterSent { path, contact, .. }) => (path, contact.expect("a Contact").to_string()),
        other => panic!("{other:?}"),
    }
}

fn keep(answers: bool) -> KeepAlive {
    KeepAlive { every: seconds(100.0), answers, outbound: true }
}

/// The flow of a registration over TCP.
fn flow(solo: &mut Solo) -> FlowPath {
    register(solo, "sip:192.0.2.2;transport=tcp");
    let Some(Output::Connect { flow, remote, .. }) = solo.others.pop_front() else { panic!("a connection") };
    solo.input(Input::Connected { flow, local: addr("192.0.2.1:40000"), remote });
    assert_eq!(solo.written(flow), ["REGISTER"]);
    let (path, contact) = registered(solo);
    let target = Target { addr: remote, transport: Transport::Tcp };
    assert_eq!(path, FlowPath { target, local: addr("192.0.2.1:40000"), flow: Some(flow) });
    assert_eq!(contact, "sip:us@192.0.2.1:5060;transport=tcp;pn-provider=acme");
    path
}

fn pings(solo: &mut Solo) -> usize {
    let before = solo.others.len();
    solo.others.retain(|o| !matches!(o, Output::Write { data, .. } if data.as_ref() == b"\r\n\r\n"));
    before - solo.others.len()
}

#[test]
fn contacts_say_which_agent_and_which_flow() {
    let mut solo = Solo::new();
    register(&mut solo, "sip:192.0.2.2");
    let request = solo.request();
    let supported: Vec<&str> = request.headers().texts("Supported").collect();
    assert!(matches!(supported[..], [line] if line.ends_with("path, outbound")), "{supported:?}");
    assert_eq!(
        request.headers().text("Contact"),
        Some(&*format!("<sip:us@192.0.2.1:5060;pn-provider=acme>;+sip.instance=\"<{URN}>\";reg-id=1"))
    );
}

#[test]
fn connections_are_pinged_and_found_dead() {
    let mut solo = Solo::new();
    let path = flow(&mut solo);
    let id = path.flow.expect("a connection");
    solo.endpoint.keep_alive(solo.now(), path, keep(true));
    solo.pass(seconds(79.0));
    assert_eq!(pings(&mut solo), 0, "RFC 5626 §4.4.1: not before 80 %");
    solo.pass(seconds(21.1));
    assert_eq!(pings(&mut solo), 1, "and within all of it");
    solo.input(Input::Received { flow: id, data: b"\r\n" });
    solo.events.clear();
    solo.pass(seconds(110.1));
    assert_eq!(pings(&mut solo), 1);
    assert!(
        matches!(solo.event(), Event::FlowFailed { path: failed, reason } if failed == path && reason.contains("not answered"))
    );
    assert!(solo.others.iter().any(|o| matches!(o, Output::Disconnect { flow } if *flow == id)));
}

#[test]
fn who_never_answers_is_not_expected_to() {
    let mut solo = Solo::new();
    let path = flow(&mut solo);
    let id = path.flow.expect("a connection");
    solo.endpoint.keep_alive(solo.now(), path, keep(false));
    solo.pass(seconds(600.0));
    assert!(pings(&mut solo) >= 6);
    assert_eq!(solo.endpoint.stats().connections, 1);
    // Once it has answered, it has to go on.
    solo.input(Input::Received { flow: id, data: b"\r\n" });
    solo.pass(seconds(111.0));
    assert_eq!(solo.endpoint.stats().connections, 0);
}

#[test]
fn the_end_of_a_kept_connection_is_told() {
    let mut solo = Solo::new();
    let path = flow(&mut solo);
    solo.endpoint.keep_alive(solo.now(), path, keep(false));
    solo.endpoint.keep_alive(solo.now(), path, keep(false));
    solo.endpoint.release(path);
    solo.input(Input::Closed { flow: path.flow.expect("a connection") });
    assert!(solo.events.iter().any(|e| matches!(e, Event::FlowFailed { .. })), "another one wants it still");
    // It is too late now: that is told as well.
    solo.events.clear();
    solo.endpoint.keep_alive(solo.now(), path, keep(false));
    solo.drain();
    assert!(matches!(solo.event(), Event::FlowFailed { .. }));
}

#[test]
fn a_lost_address_ends_its_connections() {
    let mut solo = Solo::new();
    let path = flow(&mut solo);
    solo.endpoint.keep_alive(solo.now(), path, keep(false));
    for transport in [Transport::Udp, Transport::Tcp] {
        solo.input(Input::Unbound { transport, local: addr("192.0.2.1:5060") });
    }
    assert!(
        solo.events
            .iter()
            .any(|e| matches!(e, Event::FlowFailed { reason, .. } if reason == "our address is gone"))
    );
    assert_eq!(solo.endpoint.stats().connections, 0);
}

#[test]
fn requests_from_a_lost_address_leave_again() {
    let mut solo = Solo::new();
    register(&mut solo, "sip:192.0.2.2");
    assert_eq!(solo.sent_summary(), ["REGISTER"]);
    solo.input(Input::Bound { transport: Transport::Udp, local: addr("198.51.100.1:5060") });
    for transport in [Transport::Udp, Transport::Tcp] {
        solo.input(Input::Unbound { transport, local: addr("192.0.2.1:5060") });
    }
    assert!(matches!(solo.event(), Event::RequestFailed { .. }), "it is told at once, not after timer F");
    register(&mut solo, "sip:192.0.2.2");
    let contact = solo.request().headers().text("Contact").map(str::to_owned).unwrap_or_default();
    assert!(contact.starts_with("<sip:us@198.51.100.1:5060;"), "{contact}");
}

#[test]
fn datagrams_keep_the_binding_of_a_nat() {
    let mut solo = Solo::new();
    register(&mut solo, "sip:192.0.2.2");
    let request = solo.request();
    solo.datagram(&reply(&request, 200, "x", ""));
    let (path, _) = registered(&mut solo);
    solo.endpoint.keep_alive(solo.now(), path, KeepAlive { every: seconds(29.0), ..keep(false) });
    solo.drain();
    let begin = solo.now();
    let ping = loop {
        let at = solo.idle.expect("a timer");
        solo.clock.advance_to(at);
        solo.endpoint.handle_timeout(at);
        match solo.endpoint.poll_output() {
            Output::Transmit { remote, data, .. } => break (at - begin, remote, data),
            Output::Idle(at) => solo.idle = at,
            other => panic!("{other:?}"),
        }
    };
    assert!(ping.0 >= seconds(23.0) && ping.0 <= seconds(29.0), "{:?}", ping.0);
    assert_eq!((ping.1, ping.2.as_ref()), (addr("192.0.2.2:5060"), b"\r\n\r\n".as_slice()));
    solo.endpoint.release(path);
    solo.pass(seconds(100.0));
}

/// Lets time pass up to that much; the first datagram that leaves, if one does.
fn next_datagram(solo: &mut Solo, within: Duration) -> Option<(Instant, Vec<u8>)> {
    let until = solo.now() + within;
    loop {
        match solo.endpoint.poll_output() {
            Output::Transmit { data, .. } => return Some((solo.now(), data.to_vec())),
            Output::Event(event) => solo.events.push_back(event),
            Output::Idle(at) => {
                solo.idle = at;
                let at = at.filter(|at| *at <= until)?;
                solo.clock.advance_to(at);
                solo.endpoint.handle_timeout(at);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A registration over UDP whose registrar knows outbound.
fn outbound_over_udp(solo: &mut Solo) -> FlowPath {
    register(solo, "sip:192.0.2.2");
    let request = solo.request();
    solo.datagram(&reply(&request, 200, "x", "Require: outbound"));
    let (path, _) = registered(solo);
    solo.endpoint.keep_alive(solo.now(), path, KeepAlive { every: seconds(29.0), ..keep(true) });
    path
}

fn stun(solo: &mut Solo, from: &str, kind: u8, request: &[u8], mapped: [u8; 6]) {
    let [p1, p2, a, b, c, d] = mapped;
    let xored = [p1 ^ 0x21, p2 ^ 0x12, a ^ 0x21, b ^ 0x12, c ^ 0xa4, d ^ 0x42];
    let mut data = vec![0x01, kind, 0, 12];
    data.extend_from_slice(&request[4..20]);
    data.extend_from_slice(&[0, 0x20, 0, 8, 0, 1]);
    data.extend_from_slice(&xored);
    solo.endpoint.handle_input(
        solo.clock.now(),
        Input::Datagram { local: addr(crate::solo::US), remote: addr(from), data: data.into() },
    );
}

/// RFC 5626 §4.4.2: requests every 24 to 29 seconds, of which one that nobody answers, an error and
/// another address that we are seen at each end the flow.
#[test]
fn stun_keeps_a_flow_of_datagrams() {
    const HERE: [u8; 6] = [0xc3, 0x50, 198, 51, 100, 7];
    let failed = |solo: &mut Solo, path: FlowPath| match solo.events.pop_front() {
        Some(Event::FlowFailed { path: failed, reason }) => {
            assert_eq!(failed, path);
            reason
        }
        other => panic!("{other:?}"),
    };
    // Answered, and then silence.
    let mut solo = Solo::new();
    let path = outbound_over_udp(&mut solo);
    solo.events.clear();
    for _ in 0..3 {
        let begin = solo.now();
        let (at, request) = next_datagram(&mut solo, seconds(30.0)).expect("a request");
        assert!(at - begin >= seconds(23.0) && at - begin <= seconds(29.0), "{:?}", at - begin);
        assert_eq!((request.len(), &request[..8]), (20, &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..]));
        stun(&mut solo, "192.0.2.3:5060", 0x11, &request, HERE);
        stun(&mut solo, "192.0.2.2:5060", 0x01, &request, HERE);
    }
    assert_eq!(solo.endpoint.stats().dropped, 3, "an answer from elsewhere is none");
    let (begin, first) = next_datagram(&mut solo, seconds(30.0)).expect("a request");
    let mut waits = Vec::new();
    while let Some((at, again)) = next_datagram(&mut solo, seconds(40.0)) {
        assert_eq!(again, first);
        waits.push((at - begin).as_millis());
    }
    assert_eq!(waits, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(failed(&mut solo, path), "keep-alives are not answered");
    // An error, and a NAT that gives us another address.
    for (kind, mapped, why) in [
        (0x11, HERE, "a keep-alive was refused"),
        (0x01, [0xc3, 0x51, 198, 51, 100, 7], "the address that we are seen at is another one"),
    ] {
        let mut solo = Solo::new();
        let path = outbound_over_udp(&mut solo);
        solo.events.clear();
        let (_, request) = next_datagram(&mut solo, seconds(30.0)).expect("a request");
        stun(&mut solo, "192.0.2.2:5060", 0x01, &request, HERE);
        let (_, request) = next_datagram(&mut solo, seconds(30.0)).expect("a request");
        stun(&mut solo, "192.0.2.2:5060", kind, &request, mapped);
        assert_eq!(next_datagram(&mut solo, seconds(100.0)), None, "it is not kept any more");
        assert_eq!(failed(&mut solo, path), why);
    }
}

/// The domain has two servers, of which the DNS prefers the other one: calls go where we are registered.
#[test]
fn calls_take_the_flow_of_the_registration() {
    let mut solo = Solo::new();
    let srv =
        |priority, target: &str| Record::Srv { priority, weight: 0, port: 5060, target: target.to_owned() };
    let address = |text: &str| Record::Address(text.parse().expect("an address"));
    let zone = [
        ("_sip._udp.example.com", Srv, vec![srv(10, "one.example.com"), srv(20, "two.example.com")]),
        ("one.example.com", A, vec![address("192.0.2.11")]),
        ("two.example.com", A, vec![address("192.0.2.12")]),
    ];
    let target = Target { addr: addr("192.0.2.12:5060"), transport: Transport::Udp };
    let path = FlowPath { target, local: addr(crate::solo::US), flow: None };
    solo.endpoint.keep_alive(solo.now(), path, KeepAlive { outbound: true, ..keep(false) });
    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    let call = OutgoingCall::new("sip:peer@example.com".parse().expect("a URI"), from);
    solo.endpoint.invite(solo.now(), call).expect("a call");
    solo.drain();
    solo.resolve(&zone);
    let (to, _) = solo.sent.front().expect("sent").clone();
    assert_eq!(to, target.addr);
    let contact = solo.request().headers().text("Contact").map(str::to_owned);
    assert_eq!(contact.as_deref(), Some("<sip:us@192.0.2.1:5060;ob>"), "RFC 5626 §4.3");
}
