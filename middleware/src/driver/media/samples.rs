//! Parameters of a stream for tests.

use std::net::SocketAddr;
use std::time::Duration;

use crate::configuration::SrtpPolicy;
use crate::session::AudioParameters;

/// PCMU both ways with a peer there, RTCP on the same port, nothing encrypted.
pub(super) fn pcmu(remote: SocketAddr) -> AudioParameters {
    AudioParameters {
        remote_rtp: remote,
        remote_rtcp: remote,
        rtcp_mux: true,
        ice: None,
        codec: "PCMU".to_owned(),
        clock_rate: 8_000,
        send_payload_type: 0,
        receive_payload_type: 0,
        fmtp: None,
        dtmf: None,
        comfort_noise: None,
        ptime: 20,
        sends: true,
        receives: true,
        srtp: None,
        dtls: None,
        voip_metrics: false,
        srtp_policy: SrtpPolicy::Off,
        silence: Duration::from_secs(30),
        dscp: 46,
    }
}
