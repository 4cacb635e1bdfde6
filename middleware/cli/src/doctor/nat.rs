//! What is between us and the world, as a STUN server sees it (RFC 5780).

use sipsimple::diagnostics::{Dependence, NatProbe, NatReport};

use super::{Finding, Verdict};
use crate::agent::host_and_port;
use crate::arguments::Doctor;
use crate::settings;

pub(super) async fn stun(options: &Doctor) -> Vec<Finding> {
    let Some((host, port)) = server(options) else {
        let advice = "say which server to ask: --stun HOST[:PORT], or settings set rtp.ice_stun_address HOST";
        return vec![Finding::with("stun", Verdict::Skipped, "no STUN server is known", advice)];
    };
    let failed = |what: String| {
        let advice = "without STUN calls through NATs need a relay (--turn); see whether UDP is let through";
        vec![Finding::with("stun", Verdict::Failed, what, advice)]
    };
    let mut probe = NatProbe::new(host).port(port).dns_servers(&options.common.dns);
    if let Some(address) = options.common.bind.filter(|address| !address.is_unspecified()) {
        probe = probe.from(address);
    }
    match probe.run().await {
        Ok(report) => judge(&report),
        Err(error) => failed(error.to_string()),
    }
}

/// The server that the options, the account or the settings name.
fn server(options: &Doctor) -> Option<(String, u16)> {
    if let Some(text) = &options.stun {
        return host_and_port("--stun", text, 3478).ok();
    }
    let known = settings::load(&options.common).ok()?.settings().rtp_config();
    let account = settings::account(&options.common).ok()?;
    let config = account.map_or(known.clone(), |account| account.rtp_config(known));
    Some((config.ice_stun_address?, config.ice_stun_port))
}

fn judge(found: &NatReport) -> Vec<Finding> {
    let (server, mapped) = (found.server, found.mapped);
    let seen = format!("{server} sees us as {mapped}");
    if !found.nat {
        return vec![Finding::ok("stun", format!("{seen}: there is no NAT"))];
    }
    let filtering = match found.filtering {
        Some(Dependence::EndpointIndependent) => ", lets anybody in",
        Some(Dependence::AddressDependent) => ", lets in whom we sent to",
        Some(Dependence::AddressAndPortDependent) => ", lets in whom we sent to, from that port only",
        None => "",
    };
    let hairpin = match found.hairpinning {
        Some(true) => ", and who is behind it too is reached through it",
        Some(false) => ", and who is behind it too is not reached through it",
        None => "",
    };
    vec![match found.mapping {
        Some(Dependence::EndpointIndependent) => {
            let what = format!("{seen}: the NAT keeps one address for all destinations{filtering}{hairpin}");
            Finding::with("stun", Verdict::Ok, what, "--ice --stun is enough for direct calls")
        }
        Some(Dependence::AddressDependent | Dependence::AddressAndPortDependent) => {
            let what =
                format!("{seen}: the NAT takes another address for each destination{filtering}{hairpin}");
            let advice = "calls to others behind such NATs need a relay: --ice --turn HOST --turn-user U --turn-password-env V";
            Finding::with("stun", Verdict::Warning, what, advice)
        }
        None => {
            let what = format!("{seen}: there is a NAT{filtering}{hairpin}");
            let advice = "this server cannot tell what kind (RFC 5780); use --ice --stun, and --turn where that is not enough";
            Finding::with("stun", Verdict::Ok, what, advice)
        }
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(nat: bool, mapping: Option<Dependence>) -> NatReport {
        let address = |text: &str| text.parse().expect("an address");
        NatReport {
            server: address("192.0.2.1:3478"),
            local: address("10.0.0.1:4000"),
            mapped: address("203.0.113.7:4000"),
            nat,
            mapping,
            filtering: mapping,
            hairpinning: None,
        }
    }

    #[test]
    fn what_a_nat_means_is_said() {
        let verdict = |nat, mapping| {
            let found = judge(&report(nat, mapping)).remove(0);
            (found.verdict, found.advice.unwrap_or_default())
        };
        assert_eq!(verdict(false, None).0, Verdict::Ok);
        assert!(verdict(true, Some(Dependence::EndpointIndependent)).1.contains("--stun"));
        let (symmetric, advice) = verdict(true, Some(Dependence::AddressAndPortDependent));
        assert!(symmetric == Verdict::Warning && advice.contains("--turn"), "{advice}");
    }
}
