//! What can be checked without asking anybody: settings, addresses, ports, codecs, sound.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use media::codec::{self, CodecInfo, CodecParams};
use sipsimple::Application;

use super::{Finding, Verdict};
use crate::agent::PORT;
use crate::arguments::Common;
use crate::settings;

/// The settings file can be read, and says what it may.
pub(super) fn settings(common: &Common) -> Vec<Finding> {
    vec![match settings::load(common)
        .and_then(|settings| settings::account(common).map(|account| (settings.accounts().len(), account)))
    {
        Ok((0, _)) => {
            Finding::ok("settings", "no accounts; everything else has its defaults or what the file says")
        }
        Ok((count, None)) => {
            Finding::ok("settings", format!("{count} accounts; none is chosen (--account NAME)"))
        }
        Ok((_, Some(account))) => Finding::ok("settings", format!("the account is {}", account.id())),
        Err(error) => Finding::with(
            "settings",
            Verdict::Failed,
            error.to_string(),
            "mend the file, or see `sipsimple settings example` for what can be in it",
        ),
    }]
}

/// This host has addresses that reach others.
pub(super) fn network() -> Vec<Finding> {
    // No packet leaves: the system only says which address it would use.
    let reaches = |any: IpAddr, out: IpAddr| {
        let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
        socket.connect((out, 5060)).ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_unspecified()).then_some(address)
    };
    let ipv4 = reaches(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let ipv6 = reaches(Ipv6Addr::UNSPECIFIED.into(), documentation.into());
    let found: Vec<String> = [ipv4, ipv6].into_iter().flatten().map(|address| address.to_string()).collect();
    vec![if found.is_empty() {
        let advice = "only programs on this machine can be reached; connect it to a network";
        Finding::with("network", Verdict::Warning, "this machine has no route to others", advice)
    } else {
        Finding::ok("network", format!("others are reached from {}", found.join(" and ")))
    }]
}

/// The SIP ports are free.
pub(super) async fn ports(common: &Common) -> Vec<Finding> {
    let mut findings = Vec::new();
    let address = common.bind.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let at = SocketAddr::new(address, common.port.unwrap_or(PORT));
    let results = [
        ("UDP", tokio::net::UdpSocket::bind(at).await.map(drop)),
        ("TCP", tokio::net::TcpListener::bind(at).await.map(drop)),
    ];
    for (transport, result) in results {
        if let Err(error) = result {
            let advice = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "another program has it; --port 0 takes any free one, --port P another".to_owned()
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    "--bind has to be an address of this machine".to_owned()
                }
                std::io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need privileges; use another".to_owned()
                }
                _ => "use another port: --port P".to_owned(),
            };
            findings.push(Finding::with(
                "transports",
                Verdict::Failed,
                format!("{transport} {at}: {error}"),
                advice,
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("transports", format!("UDP and TCP can listen on {at}")));
    }
    // What listens would be the same, with our certificate.
    let tls = crate::agent::tls_settings(common);
    if let Ok(tls) = tls {
        let builder = Application::builder()
            .bind(Ipv4Addr::LOCALHOST.into())
            .port(0)
            .transports(&[sip_core::endpoint::Transport::Tls])
            .tls_config(tls);
        findings.push(match builder.start().await {
            Ok(application) => {
                application.stop().await;
                Finding::ok("tls", "TLS can listen; its certificate and authorities can be read")
            }
            Err(error) => Finding::with(
                "tls",
                Verdict::Failed,
                error.to_string(),
                "--tls-cert, --tls-key and --tls-ca have to name PEM files that can be read",
            ),
        });
    }
    findings
}

/// Each codec makes something of a tone that another of its kind understands.
pub(super) fn codecs() -> Vec<Finding> {
    let (good, bad): (Vec<_>, Vec<_>) = codec::available().iter().partition(|info| carries_a_tone(info));
    let names = |infos: &[&CodecInfo]| {
        let names = infos.iter().map(|info| format!("{}/{}", info.name, info.clock_rate));
        names.collect::<Vec<_>>().join(", ")
    };
    let mut findings = vec![if bad.is_empty() {
        Finding::ok("codecs", names(&good))
    } else {
        let advice = "this build is broken; take another, and tell us";
        Finding::with("codecs", Verdict::Failed, format!("{} carry no tone", names(&bad)), advice)
    }];
    if !cfg!(feature = "opus") {
        let advice = "build it with the feature `opus`; the other codecs need no library";
        findings.push(Finding::with("codecs", Verdict::Warning, "this build has no opus", advice));
    }
    findings
}

fn carries_a_tone(info: &CodecInfo) -> bool {
    let params = CodecParams::default();
    let (Ok(mut encoder), Ok(mut decoder)) = (codec::encoder(info, &params), codec::decoder(info, &params))
    else {
        return false;
    };
    let rate = f64::from(encoder.sample_rate());
    let samples = (rate / 50.0) as usize;
    let (mut payload, mut out) = (vec![0; 4_000], vec![0; decoder.sample_rate() as usize / 10]);
    let mut loud = 0.0_f64;
    for frame in 0..10 {
        let tone = |n: usize| {
            let angle = (frame * samples + n) as f64 * 440.0 * std::f64::consts::TAU / rate;
            (angle.sin() * 10_000.0) as i16
        };
        let pcm: Vec<i16> = (0..samples).map(tone).collect();
        let Ok(length) = encoder.encode(&pcm, &mut payload) else { return false };
        let Ok(heard) = decoder.decode(payload.get(..length).unwrap_or_default(), &mut out) else {
            return false;
        };
        let energy: f64 = out.iter().take(heard).map(|&sample| f64::from(sample).powi(2)).sum();
        loud = loud.max((energy / heard.max(1) as f64).sqrt());
    }
    // The tone is 7071 as RMS.
    (5_000.0..9_000.0).contains(&loud)
}

/// There is a sound card.
pub(super) async fn audio() -> Vec<Finding> {
    // Sound systems may take their time.
    let found = tokio::task::spawn_blocking(cards).await.unwrap_or_else(|_| Err("it panicked".to_owned()));
    let without = "calls go on without: --device null, --play WAV in place of a microphone, --record PATH";
    vec![match found {
        Ok(cards) if cards.is_empty() => {
            Finding::with("audio", Verdict::Warning, "there is no sound card", without)
        }
        Ok(cards) => Finding::ok("audio", cards.join("; ")),
        Err(reason) => Finding::with("audio", Verdict::Warning, reason, without),
    }]
}

#[cfg(feature = "cpal")]
fn cards() -> Result<Vec<String>, String> {
    let cards = media::device::list();
    if cards.is_empty() {
        return Ok(Vec::new());
    }
    let (input, output) = (media::device::Choice::Default, media::device::Choice::Default);
    media::device::open(&media::device::CardConfig { input, output, sample_rate: 48_000 })
        .map_err(|error| format!("the default sound card does not open: {error}"))?;
    let name = |card: &media::device::DeviceInfo| {
        let sides = match (card.input, card.output) {
            (true, true) => "microphone and loudspeaker",
            (true, false) => "microphone",
            _ => "loudspeaker",
        };
        format!("{} ({sides})", card.name)
    };
    Ok(cards.iter().take(8).map(name).collect())
}

#[cfg(not(feature = "cpal"))]
fn cards() -> Result<Vec<String>, String> {
    Err("this build has no sound cards (feature cpal)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_carries_a_tone() {
        for info in codec::available() {
            assert!(carries_a_tone(info), "{}", info.name);
        }
        assert_eq!(codecs()[0].verdict, Verdict::Ok);
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_with_what_to_do() {
        use clap::Parser;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        let line = ["sipsimple", "doctor", "--bind", "127.0.0.1", "--port", &port.to_string()];
        let arguments = crate::arguments::Arguments::try_parse_from(line).expect("a command line");
        let crate::arguments::Command::Doctor(doctor) = arguments.command else { panic!("another command") };
        let findings = ports(&doctor.common).await;
        let found = findings.iter().find(|finding| finding.verdict == Verdict::Failed).expect("it is in use");
        assert!(
            found.what.contains("UDP") && found.advice.as_deref().is_some_and(|it| it.contains("--port 0"))
        );
    }
}
