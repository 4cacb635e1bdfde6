//! The servers of our domain: where they are, whether they answer, whether we can register.

use std::time::Duration;

use sip_core::endpoint::Transport;
use sipsimple::Uri;
use sipsimple::diagnostics::{self, Answered, Server};
use sipsimple::notification::{Event, RegistrationEvent};

use super::{Finding, Verdict};
use crate::agent::{Agent, tls_settings};
use crate::arguments::{Common, Doctor};
use crate::identity::address;
use crate::output::Output;
use crate::{Failure, register, settings};

/// Servers that are asked; a domain may have many.
const ASKED: usize = 6;
/// How long a registration may take.
const PATIENCE: Duration = Duration::from_secs(12);

pub(super) async fn all(options: &Doctor) -> Vec<Finding> {
    let Some(us) = us(options) else {
        let advice = "say who you are: --from sip:you@example.com, or settings account add you@example.com";
        return vec![Finding::with("dns", Verdict::Skipped, "there is no account and no --from", advice)];
    };
    let asked = match next_hop(options, &us) {
        Ok(asked) => asked,
        Err(Failure::Failed(reason) | Failure::Usage(reason)) => {
            let advice = "addresses look like sip:user@example.com";
            return vec![Finding::with("dns", Verdict::Failed, reason, advice)];
        }
    };
    let mut findings = Vec::new();
    let servers = match diagnostics::servers(&asked, &options.common.dns).await {
        Ok(servers) if !servers.is_empty() => servers,
        found => {
            let reason = found.err().unwrap_or_else(|| "there are none".to_owned());
            let advice = "see whether the domain is spelt right; --proxy sip:HOST names a server, --dns ADDR:PORT asks another DNS server";
            findings.push(Finding::with(
                "dns",
                Verdict::Failed,
                format!("servers of {asked}: {reason}"),
                advice,
            ));
            return findings;
        }
    };
    let list: Vec<String> = servers.iter().take(ASKED).map(name).collect();
    findings.push(Finding::ok("dns", format!("{asked} leads to {}", list.join(", "))));
    findings.extend(answers(&options.common, &asked, &servers).await);
    findings.extend(registration(options, &us).await);
    findings
}

fn name(server: &Server) -> String {
    format!("{} ({})", server.address, server.transport.via_name())
}

/// Our address: that of the options, else that of the account.
fn us(options: &Doctor) -> Option<String> {
    let account =
        || settings::account(&options.common).ok().flatten().map(|account| account.uri().to_string());
    options.from.clone().or_else(account)
}

/// Where a REGISTER of ours would go.
fn next_hop(options: &Doctor, us: &str) -> Result<Uri, Failure> {
    if let Some(proxy) = &options.common.proxy {
        return address("--proxy", proxy);
    }
    if let Some(registrar) = &options.registrar.registrar {
        return address("--registrar", registrar);
    }
    let us = address("--from", us)?;
    let port = us.port().map_or_else(String::new, |port| format!(":{port}"));
    address("--from", &format!("{}:{}{port}", us.scheme_str(), us.host()))
}

async fn answers(common: &Common, asked: &Uri, servers: &[Server]) -> Vec<Finding> {
    let tls = match tls_settings(common) {
        Ok(tls) => tls,
        Err(_) => return Vec::new(),
    };
    let mut findings = Vec::new();
    for server in servers.iter().take(ASKED) {
        let check = if server.transport == Transport::Tls { "tls" } else { "transports" };
        findings.push(match diagnostics::ask(server, asked, &tls).await {
            Ok(answered) => Finding::ok(check, format!("{} answers {}", name(server), tell(&answered))),
            Err(reason) => {
                let advice = advice(server.transport, &reason);
                Finding::with(check, Verdict::Failed, format!("{}: {reason}", name(server)), advice)
            }
        });
    }
    // One that answers is enough to go on with.
    if findings.iter().any(|finding| finding.verdict == Verdict::Ok) {
        for finding in findings.iter_mut().filter(|finding| finding.verdict == Verdict::Failed) {
            finding.verdict = Verdict::Warning;
        }
    }
    findings
}

fn tell(answered: &Answered) -> String {
    let Answered { code, reason, software, time, tls } = answered;
    let tls = tls.as_ref().map_or_else(String::new, |version| format!(", {version}"));
    let software = software.as_ref().map_or_else(String::new, |software| format!(", {software}"));
    format!("{code} {reason} in {} ms{tls}{software}", time.as_millis())
}

fn advice(transport: Transport, reason: &str) -> &'static str {
    let lower = reason.to_lowercase();
    if lower.contains("certificate")
        || lower.contains("issuer")
        || lower.contains("name") && lower.contains("tls")
    {
        "its certificate is not believed: --tls-ca FILE takes its authority, --tls-verify no anybody's (who is on the way can listen then)"
    } else if lower.contains("refused") {
        "nothing listens there: see whether the server runs, and whether the port is right"
    } else if transport == Transport::Udp {
        "a firewall may drop it: try --proxy 'sip:HOST;transport=tcp', or tls"
    } else {
        "a firewall may drop it, or the server is down: try another transport, or --proxy"
    }
}

async fn registration(options: &Doctor, us: &str) -> Vec<Finding> {
    let quiet = std::sync::Arc::new(Output::silent());
    let common = Common { port: Some(0), trace: options.common.trace.clone(), ..options.common.clone() };
    let mut agent = match Agent::without_media(&common, false, &quiet).await {
        Ok(agent) => agent,
        Err(Failure::Failed(reason) | Failure::Usage(reason)) => {
            return vec![Finding::with("registration", Verdict::Failed, reason, "see above")];
        }
    };
    let begun = register::begin(&common, &options.registrar, Some(us), &agent.application);
    let finding = match begun {
        Err(Failure::Failed(reason) | Failure::Usage(reason)) => {
            Finding::with("registration", Verdict::Failed, reason, "see `sipsimple register --help`")
        }
        Ok(_registration) => {
            let outcome = tokio::time::timeout(PATIENCE, outcome(&mut agent)).await;
            outcome.unwrap_or_else(|_| failed(0, "no answer"))
        }
    };
    // It unregisters too.
    agent.application.stop().await;
    vec![finding]
}

async fn outcome(agent: &mut Agent) -> Finding {
    while let Some(notification) = agent.notifications.next().await {
        match notification.event() {
            Event::Registration(RegistrationEvent::DidSucceed { contact_uri, expires, .. }) => {
                let what = format!("registered as {contact_uri} for {expires} s, and unregistered again");
                return Finding::ok("registration", what);
            }
            Event::Registration(RegistrationEvent::DidFail { code, reason, .. }) => {
                return failed(*code, reason);
            }
            _ => {}
        }
    }
    failed(0, "the application stopped")
}

fn failed(code: u16, reason: &str) -> Finding {
    let advice = match code {
        401 | 407 => "the server wants a password: --password-env VAR or --password-file F",
        403 => "the server does not take user name and password; see whether both are right",
        404 => "the server does not know this user; see whether --from is right",
        423 => "ask for a longer time: --expires S",
        0 | 408 | 503 => "the server was not reached; see above",
        _ => "the server's log may say more",
    };
    let status = if code == 0 { String::new() } else { format!("{code} ") };
    Finding::with("registration", Verdict::Failed, format!("{status}{reason}"), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_fits_what_is_wrong() {
        let tls = "TLS: invalid peer certificate: UnknownIssuer";
        assert!(advice(Transport::Tls, tls).contains("--tls-ca"));
        assert!(advice(Transport::Tcp, "Connection refused (os error 111)").contains("nothing listens"));
        assert!(advice(Transport::Udp, "no answer").contains("transport=tcp"));
        assert!(failed(401, "Unauthorized").advice.is_some_and(|advice| advice.contains("--password-env")));
    }
}
