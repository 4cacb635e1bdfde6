//! UDP, TCP, names and what happens when one of them fails.

use crate::{
    pair::Pair,
    solo::{Solo, US, addr, ask, reply, seconds, wire},
};
use sip_core::{
    Method, NameAddr,
    endpoint::{
        Body, Cause, Config, Event, FlowId, Input, OutgoingCall, OutgoingRequest, Output, RequestId,
        Transport,
    },
    resolve::{
        Record,
        RecordKind::{A, Aaaa, Srv},
    },
};

const BOTH: &[Transport] = &[Transport::Udp, Transport::Tcp];

fn outgoing(target: &str) -> OutgoingCall {
    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    OutgoingCall::new(target.parse().expect("a URI"), from)
}

fn address(text: &str) -> Record {
    Record::Address(text.parse().expect("an address"))
}

fn options(solo: &mut Solo, target: &str) -> RequestId {
    let from = NameAddr::new("sip:us@example.com".parse().expect("a URI"));
    let request = OutgoingRequest::new(Method::Options, target.parse().expect("a URI"), from);
    let id = solo.endpoint.request(solo.now(), request).expect("a request");
    solo.drain();
    id
}

fn connect(solo: &mut Solo) -> (FlowId, Transport, String) {
    match solo.others.pop_front() {
        Some(Output::Connect { flow, transport, server_name, .. }) => (flow, transport, server_name),
        other => panic!("a connection is wanted, not {other:?}"),
    }
}

#[test]
fn a_call_over_tcp() {
    let mut pair = Pair::new(3, BOTH);
    pair.network.set_default(testkit::Link { shred: true, ..testkit::Link::default() });
    let call = pair.call("sip:bob@192.0.2.2;transport=tcp");
    pair.run(seconds(1.0));
    assert_eq!((&pair.alice.up[..], pair.bob.up.len()), (&[call][..], 1));
    assert_eq!(pair.alice.sent, ["INVITE (stream)", "ACK (stream)"]);
    assert_eq!(pair.bob.sent, ["180 INVITE (stream)", "200 INVITE (stream)"]);
    let theirs = pair.bob.up[0];
    pair.bob.endpoint.bye(pair.clock.now(), theirs, Vec::new()).expect("established");
    pair.run(seconds(100.0));
    assert_eq!(pair.bob.sent.last().map(String::as_str), Some("BYE (stream)"));
    assert_eq!(pair.network.streams().count(), 1, "one connection carried it all");
    pair.assert_clean();
}

#[test]
fn a_dead_connection_ends_no_call() {
    let mut pair = Pair::new(3, BOTH);
    let call = pair.call("sip:bob@192.0.2.2;transport=tcp");
    pair.run(seconds(1.0));
    let stream = pair.network.streams().next().expect("a connection").0;
    pair.network.cut(pair.clock.now(), stream);
    pair.run(seconds(1.0));
    assert!(pair.alice.over.is_empty() && pair.bob.over.is_empty());
    pair.hang_up(call);
    pair.run(seconds(1.0));
    assert_eq!((pair.alice.over.len(), pair.bob.over.len()), (1, 1), "BYE went over a new connection");
}

#[test]
fn nobody_listens() {
    let mut pair = Pair::new(3, BOTH);
    pair.network.unlisten(pair.bob.address);
    let call = pair.call("sip:bob@192.0.2.2;transport=tcp");
    pair.run(seconds(1.0));
    assert_eq!(pair.alice.over, [call]);
    pair.assert_clean();
}

#[test]
fn names_are_resolved() {
    let mut pair = Pair::new(3, BOTH);
    let call = pair.call("sip:bob@bob.example");
    pair.run(seconds(1.0));
    assert_eq!(pair.alice.up, [call]);
    let lost = pair.call("sip:bob@nowhere.example");
    pair.run(seconds(1.0));
    assert_eq!(pair.alice.over, [lost]);
}

#[test]
fn long_requests_go_over_tcp() {
    let long = || Body::new("application/sdp", "x".repeat(1_300));
    let mut solo = Solo::new();
    let call = OutgoingCall { body: Some(long()), ..outgoing("sip:peer@192.0.2.2") };
    solo.endpoint.invite(solo.now(), call).expect("a call");
    solo.drain();
    assert!(solo.sent.is_empty(), "RFC 3261 §18.1.1");
    let (flow, transport, _) = connect(&mut solo);
    assert_eq!(transport, Transport::Tcp);
    solo.input(Input::Connected { flow, local: addr("192.0.2.1:40000"), remote: addr("192.0.2.2:5060") });
    let Some(Output::Write { data, .. }) = solo.others.pop_front() else { panic!("it is written") };
    let text = String::from_utf8(data.to_vec()).expect("text");
    assert!(text.contains("Via: SIP/2.0/TCP 192.0.2.1:5060;"), "{text}");
    assert!(text.contains("Contact: <sip:us@192.0.2.1:5060>\r\n"), "the Contact is that of UDP: {text}");
}

#[test]
fn long_requests_fall_back_to_udp() {
    for answered in [true, false] {
        let mut solo = Solo::new();
        let body = Some(Body::new("application/sdp", "x".repeat(1_300)));
        solo.endpoint
            .invite(solo.now(), OutgoingCall { body, ..outgoing("sip:peer@192.0.2.2") })
            .expect("a call");
        solo.drain();
        let (flow, ..) = connect(&mut solo);
        if answered {
            solo.input(Input::ConnectFailed { flow, reason: "refused".to_owned() });
        } else {
            solo.pass(seconds(1.6));
        }
        assert_eq!(solo.request().method(), &Method::Invite);
        solo.pass(seconds(0.5));
        assert_eq!(solo.sent_summary(), ["INVITE"], "and is retransmitted there");
    }
}

#[test]
fn the_next_address_is_tried() {
    let mut solo = Solo::new();
    let id = options(&mut solo, "sip:peer.example");
    let zone = [("peer.example", A, ["192.0.2.3", "192.0.2.4", "192.0.2.5"].map(address).to_vec())];
    assert_eq!(solo.resolve(&zone).len(), 4, "NAPTR, SRV for UDP and for TCP, A");
    let (to, _) = solo.sent.front().expect("sent").clone();
    assert_eq!(to, addr("192.0.2.3:5060"));
    let first = solo.request();
    solo.datagram_from("192.0.2.3:5060", &reply(&first, 503, "x", ""));
    let (to, _) = solo.sent.front().expect("sent").clone();
    assert_eq!(to, addr("192.0.2.4:5060"), "RFC 3263 §4.3");
    let second = solo.request();
    assert_ne!(first.via().expect("Via").branch(), second.via().expect("Via").branch());
    solo.pass(seconds(4.1));
    let (to, _) = solo.sent.back().expect("sent").clone();
    assert_eq!(to, addr("192.0.2.5:5060"), "silence");
    assert!(solo.events.is_empty());
    solo.pass(seconds(33.0));
    assert!(matches!(solo.event(), Event::RequestFailed { id: i, cause: Cause::Timeout, .. } if i == id));
}

#[test]
fn sips_goes_over_tls_only() {
    let mut solo = Solo::new();
    solo.endpoint.invite(solo.now(), outgoing("sips:peer@peer.example")).expect("a call");
    solo.drain();
    let zone = [("peer.example", A, vec![address("192.0.2.3")])];
    assert_eq!(solo.resolve(&zone), ["Naptr peer.example", "Srv _sips._tcp.peer.example", "A peer.example"]);
    let (flow, transport, name) = connect(&mut solo);
    assert_eq!((transport, name.as_str()), (Transport::Tls, "peer.example"));
    solo.quiet();
    // Another name at the same address has a connection of its own.
    solo.endpoint.invite(solo.now(), outgoing("sip:x@192.0.2.3:5061;transport=tls")).expect("a call");
    solo.drain();
    let (other, _, name) = connect(&mut solo);
    assert_eq!(name, "192.0.2.3");
    assert_ne!(flow, other, "RFC 5922: a connection is for the name it was verified for");

    solo.endpoint.invite(solo.now(), outgoing("sips:peer@192.0.2.9;transport=udp")).expect("a call");
    solo.drain();
    assert!(
        matches!(solo.event(), Event::Failed { cause: Cause::Transport, reason, .. } if reason == "sips needs TLS")
    );
}

#[test]
fn responses_follow_the_via() {
    let mut solo = Solo::new();
    let text = ask("OPTIONS", "1", 1, "", "");
    solo.datagram_from("198.51.100.1:1024", &text);
    let (to, _) = solo.sent.pop_front().expect("sent");
    assert_eq!(to, addr("198.51.100.1:5060"), "RFC 3261 §18.2.2: received, and the port of Via");
    solo.datagram_from("198.51.100.1:1024", &text.replace(";branch", ";rport;branch"));
    let (to, message) = solo.sent.pop_front().expect("sent");
    assert_eq!(to, addr("198.51.100.1:1024"), "RFC 3581 §4");
    let via = message.headers().text("Via").expect("Via").to_owned();
    assert!(via.contains("received=198.51.100.1") && via.contains("rport=1024"), "{via}");
}

#[test]
fn responses_on_a_closed_connection_open_another() {
    let mut solo = Solo::new();
    let flow = FlowId::accepted(1);
    let (local, remote) = (addr("192.0.2.1:5060"), addr("192.0.2.2:33333"));
    solo.input(Input::Accepted { flow, transport: Transport::Tcp, local, remote });
    let text = wire(&ask("INVITE", "1", 1, "", "").replace("/UDP", "/TCP"));
    solo.input(Input::Received { flow, data: text.as_bytes() });
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.input(Input::Closed { flow });
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    let Some(Output::Connect { flow, remote, .. }) = solo.others.pop_front() else { panic!("a connection") };
    assert_eq!(remote, addr("192.0.2.2:5060"), "to the sent-by of Via");
    solo.input(Input::Connected { flow, local: addr("192.0.2.1:40000"), remote });
    assert_eq!(solo.written(flow), ["200 INVITE"]);
}

#[test]
fn keep_alives() {
    let mut solo = Solo::new();
    let flow = FlowId::accepted(1);
    let (local, remote) = (addr("192.0.2.1:5060"), addr("192.0.2.2:33333"));
    solo.input(Input::Accepted { flow, transport: Transport::Tcp, local, remote });
    solo.input(Input::Received { flow, data: b"\r\n" });
    assert!(solo.others.is_empty());
    solo.input(Input::Received { flow, data: b"\r\n" });
    assert!(matches!(solo.others.pop_front(), Some(Output::Write { data, .. }) if data.as_ref() == b"\r\n"));
    solo.datagram("\r\n\r\n");
    solo.quiet();
    assert_eq!(solo.endpoint.stats().dropped, 0);
    // And an idle connection ends.
    solo.pass(seconds(901.0));
    assert!(matches!(solo.others.pop_front(), Some(Output::Disconnect { .. })));
    assert_eq!(solo.endpoint.stats().connections, 0);
}

#[test]
fn garbage_on_a_stream_is_answered_once_and_closed() {
    let mut solo = Solo::new();
    let flow = FlowId::accepted(1);
    let (local, remote) = (addr("192.0.2.1:5060"), addr("192.0.2.2:33333"));
    solo.input(Input::Accepted { flow, transport: Transport::Tcp, local, remote });
    let text = ask("MESSAGE", "1", 1, "", "")
        .replace("/UDP", "/TCP")
        .replace("Content-Length: 0", "Content-Length: -1");
    solo.input(Input::Received { flow, data: wire(&text).as_bytes() });
    assert_eq!(solo.written(flow), ["400 MESSAGE"]);
    assert!(matches!(solo.others.pop_front(), Some(Output::Disconnect { .. })));
    solo.input(Input::Received { flow, data: b"more" });
    assert!(solo.others.is_empty());
}

#[test]
fn websocket_messages_are_whole() {
    let mut solo = Solo::new();
    let flow = FlowId::accepted(1);
    let (local, remote) = (addr("192.0.2.1:5062"), addr("192.0.2.2:33333"));
    solo.input(Input::Accepted { flow, transport: Transport::Ws, local, remote });
    let text = ask("OPTIONS", "1", 1, "", "").replace("/UDP", "/WS").replace("\nContent-Length: 0", "");
    solo.input(Input::Received { flow, data: wire(&text).as_bytes() });
    assert_eq!(solo.written(flow), ["200 OPTIONS"], "RFC 7118 §5: no Content-Length is needed");
    solo.input(Input::Received { flow, data: b"\r\n\r\n" });
    assert!(matches!(solo.others.pop_front(), Some(Output::Write { data, .. }) if data.as_ref() == b"\r\n"));
    solo.input(Input::Received { flow, data: b"GET / HTTP/1.1" });
    assert_eq!(solo.endpoint.stats().dropped, 1);
    assert!(solo.others.is_empty(), "the next message may be better");
}

#[test]
fn connections_have_a_cap() {
    let mut solo = Solo::with(Config { max_connections: 2, ..Config::default() });
    let local = addr("192.0.2.1:5060");
    for n in 0..3 {
        let (flow, remote) = (FlowId::accepted(n), addr("192.0.2.2:33333"));
        solo.input(Input::Accepted { flow, transport: Transport::Tcp, local, remote });
    }
    assert!(
        matches!(solo.others.pop_front(), Some(Output::Disconnect { flow }) if flow == FlowId::accepted(2))
    );
    let stats = solo.endpoint.stats();
    assert_eq!((stats.connections, stats.connections_refused), (2, 1));
}

fn srv(priority: u16, target: &str) -> Record {
    Record::Srv { priority, weight: 0, port: 5060, target: target.to_owned() }
}

/// Two registrars, of which the first is dead.
#[test]
fn the_dead_are_remembered() {
    let mut solo = Solo::new();
    let zone = [
        ("_sip._udp.example.com", Srv, vec![srv(10, "one.example.com"), srv(20, "two.example.com")]),
        ("one.example.com", A, vec![address("192.0.2.11")]),
        ("two.example.com", A, vec![address("192.0.2.12")]),
    ];
    let to = |solo: &mut Solo| solo.sent.drain(..).map(|(to, _)| to.to_string()).collect::<Vec<_>>();
    options(&mut solo, "sip:example.com");
    solo.resolve(&zone);
    solo.pass(seconds(4.1));
    let tried = to(&mut solo);
    assert_eq!(tried.first().map(String::as_str), Some("192.0.2.11:5060"));
    assert_eq!(
        tried.last().map(String::as_str),
        Some("192.0.2.12:5060"),
        "RFC 3263 §4.3, without waiting for timer F"
    );
    // The next request goes to the living one at once, and asks nothing.
    options(&mut solo, "sip:example.com");
    assert_eq!(solo.resolve(&zone), Vec::<String>::new(), "answers are remembered");
    assert_eq!(to(&mut solo), ["192.0.2.12:5060"]);
    // After a while the first gets another chance.
    solo.pass(seconds(31.0));
    solo.sent.clear();
    options(&mut solo, "sip:example.com");
    assert_eq!(to(&mut solo), ["192.0.2.11:5060"]);
    assert!(solo.endpoint.stats().names > 3);
}

#[test]
fn one_server_gets_all_the_time_there_is() {
    let mut solo = Solo::new();
    options(&mut solo, "sip:192.0.2.2");
    solo.pass(seconds(31.9));
    assert!(solo.events.is_empty());
    solo.pass(seconds(0.2));
    assert!(matches!(solo.event(), Event::RequestFailed { cause: Cause::Timeout, .. }), "timer F");
}

/// RFC 8305: a connection that takes long does not hold the other family up.
#[test]
fn happy_eyeballs() {
    let mut solo = Solo::new();
    let (v4, v6) = (addr("192.0.2.1:5060"), addr("[2001:db8::9]:5060"));
    solo.input(Input::Unbound { transport: Transport::Tcp, local: v4 });
    for local in [v6, v4] {
        solo.input(Input::Bound { transport: Transport::Tcp, local });
    }
    let zone = [
        ("host.example", Aaaa, vec![address("2001:db8::1")]),
        ("host.example", A, vec![address("192.0.2.2")]),
    ];
    options(&mut solo, "sip:host.example:5060;transport=tcp");
    assert_eq!(solo.resolve(&zone).len(), 2);
    let flow = |solo: &mut Solo| match solo.others.pop_front() {
        Some(Output::Connect { flow, remote, .. }) => (flow, remote),
        other => panic!("a connection is wanted, not {other:?}"),
    };
    let (first, remote) = flow(&mut solo);
    assert_eq!(remote, addr("192.0.2.2:5060"), "the family of our first socket");
    solo.pass(seconds(0.2));
    assert!(solo.others.is_empty(), "a quarter of a second is its own");
    solo.pass(seconds(0.1));
    let (second, remote) = flow(&mut solo);
    assert_eq!(remote, addr("[2001:db8::1]:5060"));
    solo.input(Input::Connected { flow: second, local: addr("[2001:db8::9]:40000"), remote });
    assert_eq!(solo.written(second), ["OPTIONS"]);
    assert!(matches!(solo.others.pop_front(), Some(Output::Disconnect { flow }) if flow == first));
    assert_eq!(solo.endpoint.stats().connections, 1);
    // It may still come about: then it is not needed.
    solo.input(Input::Connected { flow: first, local: v4, remote: addr("192.0.2.2:5060") });
    assert!(matches!(solo.others.pop_front(), Some(Output::Disconnect { flow }) if flow == first));
}

#[test]
fn the_second_address_is_tried_as_soon_as_the_first_refuses() {
    let mut solo = Solo::new();
    let zone = [("host.example", A, ["192.0.2.2", "192.0.2.3"].map(address).to_vec())];
    options(&mut solo, "sip:host.example:5060;transport=tcp");
    solo.resolve(&zone);
    let (first, ..) = connect(&mut solo);
    solo.input(Input::ConnectFailed { flow: first, reason: "refused".to_owned() });
    let (second, ..) = connect(&mut solo);
    solo.input(Input::ConnectFailed { flow: second, reason: "refused too".to_owned() });
    let Event::RequestFailed { cause: Cause::Transport, reason, .. } = solo.event() else {
        panic!("a failure")
    };
    assert_eq!(reason, "refused too");
    // Both are dead now, and tried all the same.
    options(&mut solo, "sip:host.example:5060;transport=tcp");
    connect(&mut solo);
}

#[test]
fn a_question_is_asked_once_for_all() {
    let mut solo = Solo::new();
    for _ in 0..3 {
        options(&mut solo, "sip:host.example:5060");
    }
    assert_eq!(solo.others.len(), 1);
    solo.resolve(&[("host.example", A, vec![address("192.0.2.2")])]);
    assert_eq!(solo.sent_summary(), ["OPTIONS", "OPTIONS", "OPTIONS"]);
}

/// Connections that stop within a message cost what they sent, and delay nobody.
#[test]
fn slow_half_messages_delay_nobody() {
    let mut solo = Solo::new();
    let whole = wire(&ask("OPTIONS", "slow", 1, "", ""));
    let (half, rest) = whole.as_bytes().split_at(whole.len() / 2);
    let flow = |n: u16| FlowId::accepted(u64::from(n));
    for n in 1..=2_000u16 {
        let remote = std::net::SocketAddr::new([198, 51, 100, 1].into(), 10_000 + n);
        solo.input(Input::Accepted { flow: flow(n), transport: Transport::Tcp, local: addr(US), remote });
        solo.input(Input::Received { flow: flow(n), data: half });
    }
    solo.quiet_but_events();
    solo.datagram(&ask("INVITE", "call", 1, "", ""));
    let Event::Incoming { call, .. } = solo.event() else { panic!("Incoming") };
    solo.endpoint.accept(solo.now(), call, Vec::new(), None).expect("it rings");
    solo.drain();
    assert_eq!(solo.sent_summary(), ["200 INVITE"], "at once");
    // What comes at last is answered.
    solo.input(Input::Received { flow: flow(1_234), data: rest });
    assert_eq!(solo.written(flow(1_234)), ["200 OPTIONS"]);
    // And who never goes on is closed.
    solo.pass(Config::default().idle_connection + seconds(1.0));
    assert_eq!(solo.endpoint.stats().connections, 0);
}
