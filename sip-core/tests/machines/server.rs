//! Floods: tables have caps, and memory comes back.

use crate::solo::{Solo, ask, seconds};
use sip_core::{
    Method,
    endpoint::{Config, Event, Reliable},
};

#[test]
fn calls_have_a_cap() {
    let mut solo = Solo::with(Config { max_calls: 10, ..Config::default() });
    for n in 0..15 {
        let text =
            ask("INVITE", &format!("b{n}"), 1, "", "").replace("Call-ID: call", &format!("Call-ID: {n}"));
        solo.datagram(&text);
    }
    assert_eq!(solo.events.len(), 10);
    assert_eq!(solo.sent_summary(), ["503 INVITE"; 5]);
    assert_eq!(solo.endpoint.stats().overloaded, 5);
}

#[test]
fn server_transactions_have_a_cap() {
    let mut allow = Config::default().allow;
    allow.push(Method::Message);
    let mut solo = Solo::with(Config { max_server_transactions: 3, allow, ..Config::default() });
    for n in 0..5 {
        solo.datagram(&ask("MESSAGE", &format!("b{n}"), n, "", ""));
    }
    assert_eq!(solo.events.len(), 3);
    assert!(matches!(solo.event(), Event::Request { call: None, .. }));
    let refused = solo.response();
    assert_eq!(refused.status().code(), 503);
    assert_eq!(refused.headers().text("Retry-After"), Some("10"));
    solo.pass(seconds(33.0));
    assert_eq!(solo.endpoint.stats().server_transactions, 0);
}

#[test]
fn requests_out_of_place_cost_no_transaction() {
    let mut solo = Solo::new();
    for (n, method) in ["OPTIONS", "REGISTER", "BYE", "CANCEL", "WHAT", "MESSAGE", "ACK"].iter().enumerate() {
        solo.datagram(&ask(method, &format!("b{n}"), 1, "0123456789abcdef", ""));
        solo.datagram(&ask(method, &format!("c{n}"), 1, "", ""));
    }
    assert_eq!(
        solo.sent_summary(),
        [
            "481 OPTIONS",
            "200 OPTIONS",
            "405 REGISTER",
            "405 REGISTER",
            "481 BYE",
            "481 BYE",
            "481 CANCEL",
            "481 CANCEL",
            "501 WHAT",
            "501 WHAT",
            "405 MESSAGE",
            "405 MESSAGE"
        ]
    );
    assert_eq!(solo.endpoint.stats().server_transactions, 0);
    assert_eq!(solo.endpoint.stats().strays, 2);
    assert_eq!(solo.idle, None);
}

#[test]
fn merged_requests_are_482() {
    let mut solo = Solo::new();
    solo.datagram(&ask("INVITE", "1", 1, "", ""));
    solo.datagram(&ask("INVITE", "2", 1, "", ""));
    assert_eq!(solo.sent_summary(), ["482 INVITE"], "RFC 3261 §8.2.2.2");
    assert_eq!(solo.events.len(), 1);
}

#[test]
fn unknown_extensions_are_420() {
    let mut solo = Solo::with(Config { reliable: Reliable::Off, ..Config::default() });
    solo.datagram(&ask("INVITE", "1", 1, "", "Require: timer, magic\nRequire: 100rel"));
    let refusal = solo.response();
    assert_eq!(refusal.status().code(), 420);
    assert_eq!(refusal.headers().text("Unsupported"), Some("magic, 100rel"));
    solo.datagram(&ask("INVITE", "2", 1, "", "Require: timer"));
    assert_eq!(solo.events.len(), 1);
}
