//! What a call would have for ICE: our addresses, what the STUN server sees of them, and the relay.

use std::net::SocketAddr;

use sipsimple::configuration::{RtpConfiguration, TurnServer, TurnTransport};
use sipsimple::diagnostics::{self, CandidateReport};

use super::{Finding, Verdict};
use crate::agent::{host_and_port, tls_settings, turn_server};
use crate::arguments::Doctor;
use crate::{Failure, settings};

/// Candidates that are shown; a host may have many.
const SHOWN: usize = 8;

pub(super) async fn all(options: &Doctor) -> Vec<Finding> {
    let wrong = |failure| {
        let (Failure::Usage(reason) | Failure::Failed(reason)) = failure;
        let advice = "see `sipsimple doctor --help`";
        vec![Finding::with("ice", Verdict::Failed, reason, advice)]
    };
    let (rtp, tls) = match (rtp_config(options), tls_settings(&options.common)) {
        (Ok(rtp), Ok(tls)) => (rtp, tls),
        (Err(failure), _) | (_, Err(failure)) => return wrong(failure),
    };
    match diagnostics::candidates(&rtp, &tls, &options.common.dns).await {
        Ok(report) => judge(&report, rtp.ice_turn.as_ref()),
        Err(error) => wrong(Failure::Failed(error.to_string())),
    }
}

/// What a call with these options, this account and these settings would use.
fn rtp_config(options: &Doctor) -> Result<RtpConfiguration, Failure> {
    let known = settings::load(&options.common)?.settings().rtp_config();
    let account = settings::account(&options.common)?;
    let known = account.map_or(known.clone(), |account| account.rtp_config(known));
    let stun = options.stun.as_deref().map(|text| host_and_port("--stun", text, 3478)).transpose()?;
    let (host, port) = match stun {
        Some((host, port)) => (Some(host), port),
        None => (known.ice_stun_address.clone(), known.ice_stun_port),
    };
    Ok(RtpConfiguration {
        ice_stun_address: host,
        ice_stun_port: port,
        ice_turn: turn_server(&options.relay)?.or_else(|| known.ice_turn.clone()),
        local_rtp_address: options.common.bind.filter(|it| !it.is_unspecified()).or(known.local_rtp_address),
        ..known
    })
}

/// A candidate as it is shown: its kind and where it is. Those for RTCP are left out.
fn shown(line: &str) -> Option<(&str, String)> {
    let mut words = line.split(' ');
    let (component, transport, _, address, port) =
        (words.nth(1)?, words.next()?, words.next()?, words.next()?, words.next()?);
    let kind = words.skip_while(|word| *word != "typ").nth(1)?;
    let address = match address.parse() {
        Ok(ip) => SocketAddr::new(ip, port.parse().ok()?).to_string(),
        Err(_) => format!("{address}:{port}"),
    };
    let over = if transport.eq_ignore_ascii_case("udp") { "" } else { " over TCP" };
    (component == "1").then(|| (kind, format!("{kind} {address}{over}")))
}

fn judge(report: &CandidateReport, turn: Option<&TurnServer>) -> Vec<Finding> {
    let candidates: Vec<(&str, String)> = report.candidates.iter().filter_map(|line| shown(line)).collect();
    let mut list: Vec<&str> = candidates.iter().take(SHOWN).map(|(_, text)| text.as_str()).collect();
    let more = format!("{} more", candidates.len().saturating_sub(SHOWN));
    if candidates.len() > SHOWN {
        list.push(&more);
    }
    let ice = match candidates.is_empty() {
        false => Finding::ok("ice", format!("a call would offer {}", list.join(", "))),
        true => {
            let advice = "no address of this host can be used: see whether an interface is up, and --bind";
            Finding::with("ice", Verdict::Failed, "a call would have no candidate", advice)
        }
    };
    vec![ice, relay(report, &candidates, turn)]
}

fn relay(report: &CandidateReport, candidates: &[(&str, String)], turn: Option<&TurnServer>) -> Finding {
    let Some(turn) = turn else {
        let advice = "say which relay to try: --turn HOST[:PORT] --turn-user U --turn-password-env V";
        return Finding::with("turn", Verdict::Skipped, "no TURN server is known", advice);
    };
    let over = match turn.transport {
        TurnTransport::Udp => "UDP",
        TurnTransport::Tcp => "TCP",
        TurnTransport::Tls => "TLS",
    };
    let server = format!("{}:{} over {over}", turn.host, turn.port);
    if let Some((_, at)) = candidates.iter().find(|(kind, _)| *kind == "relay") {
        return Finding::ok("turn", format!("{server} gives us a relay: {at}"));
    }
    let reasons: Vec<String> = report.failures.iter().map(|(at, reason)| format!("{at}: {reason}")).collect();
    let reason = match reasons.as_slice() {
        [] => "it is not found, or does not answer".to_owned(),
        reasons => reasons.join("; "),
    };
    Finding::with("turn", Verdict::Failed, format!("{server}: {reason}"), advice(&reason))
}

fn advice(reason: &str) -> &'static str {
    let lower = reason.to_lowercase();
    if ["401", "441", "unauthori", "credential", "password"].iter().any(|word| lower.contains(word)) {
        "the relay does not take name and password: see --turn-user and --turn-password-env"
    } else if ["486", "508", "quota", "capacity"].iter().any(|word| lower.contains(word)) {
        "the relay has no room for us now: end other calls, or try another relay"
    } else {
        "a firewall may drop it, or the relay is down: try --turn-transport tcp or tls, or another port"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::RunningStun;

    fn turn() -> TurnServer {
        TurnServer::new("turn.example.com", "u", "p")
    }

    fn report(lines: &[&str], failure: Option<&str>) -> CandidateReport {
        let server = "192.0.2.1:3478".parse().expect("an address");
        CandidateReport {
            candidates: lines.iter().map(|line| (*line).to_owned()).collect(),
            failures: failure.map(|reason| (server, reason.to_owned())).into_iter().collect(),
        }
    }

    const HOST: &str = "1 1 UDP 2130706431 192.0.2.7 4000 typ host";
    const RELAY: &str = "3 1 UDP 16777215 192.0.2.9 50000 typ relay raddr 203.0.113.7 rport 4000";

    #[test]
    fn candidates_are_shown_and_the_relay_is_judged() {
        let rtcp = "1 2 UDP 2130706430 192.0.2.7 4001 typ host";
        let tcp = "1 1 TCP 1 2001:db8::7 9 typ host tcptype active";
        let found = judge(&report(&[HOST, rtcp, tcp, RELAY], None), Some(&turn()));
        assert_eq!(found[0].verdict, Verdict::Ok);
        let what = &found[0].what;
        assert!(what.ends_with("host 192.0.2.7:4000, host [2001:db8::7]:9 over TCP, relay 192.0.2.9:50000"));
        assert_eq!(found[1].verdict, Verdict::Ok);
        assert!(found[1].what.contains("turn.example.com:3478 over UDP"), "{:?}", found[1]);
        let many: Vec<&str> = std::iter::repeat_n(HOST, 20).collect();
        assert!(judge(&report(&many, None), None)[0].what.ends_with(", 12 more"));
    }

    #[test]
    fn what_fails_comes_with_advice() {
        let found = judge(&report(&[], None), None);
        assert_eq!((found[0].verdict, found[1].verdict), (Verdict::Failed, Verdict::Skipped));
        for (failure, word) in [
            (Some("401 Unauthorized"), "--turn-user"),
            (Some("486 Allocation Quota Reached"), "no room"),
            (Some("no answer"), "--turn-transport"),
            (None, "--turn-transport"),
        ] {
            let found = judge(&report(&[HOST], failure), Some(&turn())).remove(1);
            let advice = found.advice.unwrap_or_default();
            assert!(found.verdict == Verdict::Failed && advice.contains(word), "{failure:?}: {advice}");
        }
    }

    /// With a relay that is there, and with a wrong password.
    #[tokio::test]
    async fn a_real_relay_is_tried() {
        let stun = RunningStun::start(std::net::Ipv4Addr::LOCALHOST.into()).await.expect("a server");
        let address = Some("127.0.0.1".parse().expect("an address"));
        for (password, expected) in [(None, Verdict::Ok), (Some("wrong"), Verdict::Failed)] {
            let mut relay = stun.relay();
            if let Some(password) = password {
                relay = TurnServer { port: relay.port, ..TurnServer::new(relay.host, "demo", password) };
            }
            let rtp = RtpConfiguration {
                local_rtp_address: address,
                ice_turn: Some(relay),
                ..RtpConfiguration::default()
            };
            let report = diagnostics::candidates(&rtp, &Default::default(), &[]).await.expect("sockets");
            let found = judge(&report, rtp.ice_turn.as_ref());
            assert_eq!(found[1].verdict, expected, "{found:?}");
            let advises = found[1].advice.as_ref().is_some_and(|advice| advice.contains("--turn-user"));
            assert_eq!(advises, expected == Verdict::Failed, "{found:?}");
        }
    }
}
