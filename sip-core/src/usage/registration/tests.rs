use super::*;
use crate::transaction::testing::start;

fn registration() -> Registration {
    let uri = |text: &str| text.parse().unwrap();
    let config = RegistrationConfig::new(uri("sip:example.com"), NameAddr::new(uri("sip:alice@example.com")));
    Registration::new(config, [5; 32])
}

fn response(status: StatusCode, headers: &[(&str, &str)]) -> Response {
    let builder = Response::builder(status);
    headers.iter().fold(builder, |b, (name, value)| b.raw(name, value).unwrap()).build()
}

fn sent(registration: &mut Registration) -> (u32, String) {
    match registration.poll_output() {
        RegistrationOutput::Send(request) => (request.sequence.unwrap().1, request.headers[0].1.clone()),
        other => panic!("{other:?}"),
    }
}

fn idle(registration: &mut Registration) -> Option<Instant> {
    match registration.poll_output() {
        RegistrationOutput::Idle(at) => at,
        other => panic!("{other:?}"),
    }
}

#[test]
fn refreshed_in_time_and_removed() {
    let (now, mut registration) = (start(), registration());
    registration.start(now);
    let (first, expires) = sent(&mut registration);
    assert_eq!(expires, "3600");
    let contact = "<sip:other@192.0.2.9>;expires=9, <sip:alice@192.0.2.1>;expires=600";
    registration.answered(now, response(StatusCode::OK, &[("Contact", contact)]));
    let RegistrationOutput::Registered { expires: 600, contacts, .. } = registration.poll_output() else {
        panic!("registered for 600 s")
    };
    assert_eq!(contacts.len(), 2);
    let refresh = idle(&mut registration).unwrap();
    assert_eq!(refresh - now, Duration::from_secs(570));
    registration.handle_timeout(now);
    assert_eq!(idle(&mut registration), Some(refresh), "not too early");
    registration.handle_timeout(refresh);
    assert!(sent(&mut registration).0 > first, "RFC 3261 §10.2.4");
    registration.stop(refresh);
    assert_eq!(idle(&mut registration), None, "one request at a time");
    registration.answered(refresh, response(StatusCode::OK, &[("Expires", "60")]));
    assert!(matches!(registration.poll_output(), RegistrationOutput::Registered { expires: 60, .. }));
    assert_eq!(sent(&mut registration).1, "0");
    registration.answered(refresh, response(StatusCode::OK, &[]));
    assert!(matches!(registration.poll_output(), RegistrationOutput::Unregistered));
    assert_eq!(idle(&mut registration), None);
    assert!(!registration.is_registered());
}

#[test]
fn a_nonce_that_is_too_old_is_no_wrong_password() {
    let now = start();
    let wait = |challenge: &str| {
        let mut registration = registration();
        registration.start(now);
        sent(&mut registration);
        registration.answered(now, response(StatusCode::UNAUTHORIZED, &[("WWW-Authenticate", challenge)]));
        let RegistrationOutput::Failed { retry, .. } = registration.poll_output() else { panic!("refused") };
        retry.expect("it tries again")
    };
    assert_eq!(wait("Digest realm=\"r\", nonce=\"n\""), Duration::from_secs(300));
    assert!(wait("Digest realm=\"r\", nonce=\"n\", stale=true") <= Duration::from_secs(2));
}

#[test]
fn failures_wait_longer_and_longer() {
    let (now, mut registration) = (start(), registration());
    registration.start(now);
    sent(&mut registration);
    let (first, mut now) = (now, now);
    for n in 0..250 {
        registration.failed(now, Cause::Timeout, "nobody answered".to_owned());
        let RegistrationOutput::Failed { retry: Some(wait), .. } = registration.poll_output() else {
            panic!()
        };
        // What was restarted is found again within 10 s; what is gone is left in peace.
        let longest = if now - first < EARLY { 8 } else { 300 };
        let most = Duration::from_secs(2 << n.min(16)).min(Duration::from_secs(longest));
        assert!(wait >= most / 2 && wait <= most, "{n}: {wait:?}");
        now = idle(&mut registration).unwrap();
        registration.handle_timeout(now);
        sent(&mut registration);
    }
    let busy = response(StatusCode::SERVICE_UNAVAILABLE, &[("Retry-After", "1000 (later)")]);
    registration.answered(now, busy);
    let RegistrationOutput::Failed { retry: Some(wait), .. } = registration.poll_output() else { panic!() };
    assert_eq!(wait, Duration::from_secs(1_000));
}

#[test]
fn a_wrong_password_is_not_tried_over_and_over() {
    let (now, mut registration) = (start(), registration());
    registration.start(now);
    sent(&mut registration);
    registration.answered(now, response(StatusCode::FORBIDDEN, &[]));
    let RegistrationOutput::Failed { retry, .. } = registration.poll_output() else { panic!("refused") };
    assert_eq!(retry, Some(Duration::from_secs(300)));
}

#[test]
fn too_brief_is_made_longer() {
    let (now, mut registration) = (start(), registration());
    registration.start(now);
    sent(&mut registration);
    registration.answered(now, response(StatusCode::INTERVAL_TOO_BRIEF, &[("Min-Expires", "7200")]));
    assert_eq!(sent(&mut registration).1, "7200");
    registration.answered(now, response(StatusCode::INTERVAL_TOO_BRIEF, &[("Min-Expires", "7200")]));
    assert!(matches!(registration.poll_output(), RegistrationOutput::Failed { .. }), "once is enough");
}

fn path(flow: Option<u64>) -> FlowPath {
    let transport = if flow.is_some() { Transport::Tcp } else { Transport::Udp };
    FlowPath {
        target: crate::endpoint::Target { addr: ([192, 0, 2, 9], 5060).into(), transport },
        local: ([192, 0, 2, 1], 40_000).into(),
        flow: flow.map(crate::endpoint::FlowId::accepted),
    }
}

#[test]
fn outbound_flows_are_kept_and_replaced() {
    let (now, urn) = (start(), "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
    let mut outbound = Registration::new(
        RegistrationConfig {
            instance: Some(urn.to_owned()),
            reg_id: Some(1),
            push: vec![("pn-provider".to_owned(), "acme".to_owned())],
            ..registration().config
        },
        [5; 32],
    );
    outbound.start(now);
    let RegistrationOutput::Send(request) = outbound.poll_output() else { panic!("REGISTER") };
    let OutgoingContact::Marked(marks) = &request.contact else { panic!("a Contact") };
    assert_eq!((marks.instance.as_deref(), marks.reg_id), (Some(urn), Some(1)));
    assert_eq!(marks.uri_params.len(), 1);
    assert_eq!(request.headers[1].1, "path, outbound, gruu");
    outbound.sent(path(Some(1)), None);
    let contact = format!(
        "<sip:alice@192.0.2.1>;+sip.instance=\"<{urn}>\";reg-id=2;expires=60, \
         <sip:alice@192.0.2.1:40000;transport=tcp>;+sip.instance=\"<{urn}>\";reg-id=1;expires=600\
         ;pub-gruu=\"sip:alice@example.com;gr=x\""
    );
    let headers = [
        ("Contact", contact.as_str()),
        ("Require", "outbound"),
        ("Flow-Timer", "25"),
        ("Service-Route", "<sip:p1.example.com;lr>, <sip:p2.example.com;lr>"),
    ];
    outbound.answered(now, response(StatusCode::OK, &headers));
    let RegistrationOutput::Keep(kept, keep) = outbound.poll_output() else { panic!("kept") };
    assert_eq!(kept, path(Some(1)));
    let every = Duration::from_secs(25);
    assert_eq!(keep, KeepAlive { every, answers: true, outbound: true }, "RFC 5626 §4.4.1");
    let RegistrationOutput::Registered { expires: 600, contact: Some(ours), .. } = outbound.poll_output()
    else {
        panic!("of reg-id 1")
    };
    assert_eq!(ours.params.get("reg-id"), Some("1"));
    assert_eq!(outbound.service_route().len(), 2, "RFC 3608 §5");
    assert_eq!(outbound.gruu().map(Uri::as_str), Some("sip:alice@example.com;gr=x"), "RFC 5627 §4.1");
    idle(&mut outbound);
    // Another flow's end is none of our business.
    outbound.flow_failed(now, path(Some(2)));
    idle(&mut outbound);
    outbound.flow_failed(now, path(Some(1)));
    sent(&mut outbound);
    outbound.sent(path(Some(3)), None);
    outbound.answered(now, response(StatusCode::OK, &[("Expires", "600")]));
    assert!(
        matches!(outbound.poll_output(), RegistrationOutput::Keep(kept, KeepAlive { answers: false, .. }) if kept == path(Some(3)))
    );
    assert!(matches!(outbound.poll_output(), RegistrationOutput::Registered { .. }));
    assert!(outbound.service_route().is_empty(), "each answer replaces what was");
    outbound.stop(now);
    sent(&mut outbound);
    outbound.answered(now, response(StatusCode::OK, &[]));
    assert!(matches!(outbound.poll_output(), RegistrationOutput::Release(kept) if kept == path(Some(3))));
    assert!(matches!(outbound.poll_output(), RegistrationOutput::Unregistered));
}

#[test]
fn a_stop_while_it_fails() {
    let (now, mut registration) = (start(), registration());
    registration.start(now);
    sent(&mut registration);
    registration.stop(now);
    registration.failed(now, Cause::Timeout, String::new());
    assert!(matches!(registration.poll_output(), RegistrationOutput::Failed { retry: None, .. }));
    assert!(matches!(registration.poll_output(), RegistrationOutput::Unregistered));
    assert_eq!(idle(&mut registration), None);
}
