//! What stands between this host and calls: the kind of NAT (RFC 5780), how long it remembers us, and
//! which candidates a call would have (RFC 8445).
//!
//! ```no_run
//! use sipsimple::diagnostics::NatProbe;
//!
//! # async fn example() -> Result<(), sipsimple::Error> {
//! let report = NatProbe::new("stun.example.com").run().await?;
//! println!("{} is seen as {}, mapping {:?}", report.local, report.mapped, report.mapping);
//! # Ok(())
//! # }
//! ```
//!
//! All of it runs on the tokio runtime that it is called in, and needs no application.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use ice_stun::stun::{BindingLifetime, Dependence};

pub use crate::driver::reach::{Answered, Server, ask, servers};

use crate::configuration::{RtpConfiguration, TlsConfiguration};
use crate::driver;
use crate::error::Error;

/// Asks a STUN server over UDP what kind of NAT there is.
#[derive(Clone, Debug)]
pub struct NatProbe {
    host: String,
    port: u16,
    from: Option<IpAddr>,
    dns_servers: Vec<SocketAddr>,
}

/// What was found out. `None`: the server cannot tell (RFC 5780 wants it to have two addresses), or
/// did not answer there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatReport {
    /// The server that was asked.
    pub server: SocketAddr,
    /// Our address.
    pub local: SocketAddr,
    /// Our address as the server sees it.
    pub mapped: SocketAddr,
    /// Whether these are two.
    pub nat: bool,
    /// Which destinations share a mapping (RFC 4787 §4.1).
    pub mapping: Option<Dependence>,
    /// Who may send to a mapping (RFC 4787 §5).
    pub filtering: Option<Dependence>,
    /// Whether we reach ourselves at our outer address (RFC 4787 §6).
    pub hairpinning: Option<bool>,
}

impl NatReport {
    /// Whether ICE finds a direct path to peers behind any kind of NAT, as the table in ice-stun's README has
    /// it; `None`: it cannot be told. Where it does not, some peers are only reached through a relay.
    pub fn is_reachable_directly(&self) -> Option<bool> {
        let is_open = self.mapping? == Dependence::EndpointIndependent;
        Some(is_open && self.filtering? != Dependence::AddressAndPortDependent)
    }
}

impl NatProbe {
    /// This server, a host name or an address, on port 3478. A name is looked for as a service first
    /// (`_stun._udp`).
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), port: 3478, from: None, dns_servers: Vec::new() }
    }

    /// On this port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// From this address; without it, from the one that reaches the server.
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// The DNS servers to ask; without them, those of the system.
    pub fn dns_servers(mut self, servers: &[SocketAddr]) -> Self {
        self.dns_servers = servers.to_vec();
        self
    }

    /// Asks: mapping, filtering and hairpinning (RFC 5780 §4.3, §4.4, RFC 4787 §6). That takes up to 20 s,
    /// as filters are known by answers that do not come. [`Error::Unknown`]: no such server;
    /// [`Error::System`]: it does not answer.
    pub async fn run(&self) -> Result<NatReport, Error> {
        let Self { host, port, from, dns_servers } = self;
        let (server, local, found) = driver::behaviour(host, *port, *from, dns_servers).await?;
        Ok(NatReport {
            server,
            local,
            mapped: found.mapped,
            nat: found.nat,
            mapping: found.mapping,
            filtering: found.filtering,
            hairpinning: found.hairpinning,
        })
    }

    /// How long the NAT keeps a binding that nothing is sent from, to within 15 s (RFC 5780 §4.6); nothing
    /// longer than `longest` is tried. It takes several times as long as the answer says.
    pub async fn binding_lifetime(&self, longest: Duration) -> Result<BindingLifetime, Error> {
        let Self { host, port, from, dns_servers } = self;
        driver::binding_lifetime(host, *port, *from, dns_servers, longest).await
    }
}

/// What a call would have for ICE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateReport {
    /// The candidates as SDP has them (RFC 8839 §5.1), without `a=candidate:`.
    pub candidates: Vec<String>,
    /// Servers that gave none, and why.
    pub failures: Vec<(SocketAddr, String)>,
}

/// Gathers candidates as a call with this configuration would, and gives its relays back: whether the
/// STUN server and the relay work, and the relay's password is right. It takes 4 s at most.
pub async fn candidates(
    rtp: &RtpConfiguration,
    tls: &TlsConfiguration,
    dns_servers: &[SocketAddr],
) -> Result<CandidateReport, Error> {
    let configuration = RtpConfiguration { use_ice: true, ..rtp.clone() }.ice().unwrap_or_default();
    let outbound = || driver::outbound_address(true).or_else(|| driver::outbound_address(false));
    let address = rtp.local_rtp_address.or_else(outbound).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let everywhere = rtp.local_rtp_address.is_none();
    let (candidates, failures) =
        driver::candidates(address, everywhere, configuration, tls, dns_servers).await?;
    Ok(CandidateReport { candidates, failures })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_reachable_directly() {
        use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        let at = SocketAddr::from(([192, 0, 2, 1], 9));
        let report = |mapping, filtering| NatReport {
            server: at,
            local: at,
            mapped: at,
            nat: true,
            mapping,
            filtering,
            hairpinning: None,
        };
        for (mapping, filtering, expected) in [
            (Some(EndpointIndependent), Some(EndpointIndependent), Some(true)),
            (Some(EndpointIndependent), Some(AddressDependent), Some(true)),
            (Some(EndpointIndependent), Some(AddressAndPortDependent), Some(false)),
            (Some(AddressDependent), Some(EndpointIndependent), Some(false)),
            (None, Some(EndpointIndependent), None),
            (Some(EndpointIndependent), None, None),
        ] {
            assert_eq!(report(mapping, filtering).is_reachable_directly(), expected);
        }
    }
}
