//! DTLS-SRTP in SDP (RFC 5763, RFC 8842): whose certificate, and who begins.

use rand_chacha::ChaCha20Rng;
use sdp::attribute::{Fingerprint, Setup, TlsId};
use sdp::{MediaDescription, SessionDescription};

use super::audio::push;
use super::ice::random_text;
use crate::session::DtlsParameters;

/// Fingerprints of a peer that are looked at.
const MAX_FINGERPRINTS: usize = 8;

/// Our side of DTLS-SRTP for an audio stream.
#[derive(Clone, Debug)]
pub(crate) struct LocalDtls {
    /// Of our certificate.
    pub(crate) fingerprint: Fingerprint,
    /// The name of the association that we offer (RFC 8842 §4).
    pub(crate) tls_id: String,
    /// The association that stands, once there is one.
    pub(crate) agreed: Option<DtlsParameters>,
}

/// A new name for an association: 120 bits of randomness (RFC 8842 §4).
pub(crate) fn new_tls_id(random: &mut ChaCha20Rng) -> String {
    random_text(random, 20)
}

/// What a peer's m-line says.
pub(super) struct RemoteDtls {
    fingerprints: Vec<(String, Vec<u8>)>,
    setup: Setup,
    tls_id: Option<String>,
}

/// Reads a peer's m-line; `None` where it has not all that it takes. What the session says holds
/// where the m-line says nothing.
pub(super) fn read(session: &SessionDescription, media: &MediaDescription) -> Option<RemoteDtls> {
    let all = |attributes: &sdp::Attributes| -> Vec<(String, Vec<u8>)> {
        let read = attributes.all::<Fingerprint>().filter_map(Result::ok);
        read.take(MAX_FINGERPRINTS).map(|one| (one.hash, one.digest)).collect()
    };
    let mut fingerprints = all(&media.attributes);
    if fingerprints.is_empty() {
        fingerprints = all(&session.attributes);
    }
    // RFC 8122 §5: one that cannot be checked is no good, and MD5 and SHA-1 are not checked.
    let known = |hash: &str| hash.parse::<rtp_srtp::dtls::Hash>().is_ok();
    if !fingerprints.iter().any(|(hash, _)| known(hash)) {
        return None;
    }
    let setup = media.attributes.find::<Setup>().or_else(|| session.attributes.find::<Setup>())?;
    let tls_id = media.attributes.find::<TlsId>().map(|id| id.0);
    Some(RemoteDtls { fingerprints, setup, tls_id })
}

impl LocalDtls {
    /// An offer's attributes: either side may begin (RFC 5763 §5).
    pub(super) fn offer(&self, media: &mut MediaDescription) {
        let id = self.agreed.as_ref().map_or(&self.tls_id, |agreed| &agreed.local_id);
        self.write(media, Setup::ActPass, id);
    }

    /// The answer to an offer, written into our m-line, and what it comes to. The association that
    /// stands goes on if the offer says nothing new (RFC 8842 §5.3); else there is another.
    pub(super) fn answer(&self, remote: &RemoteDtls, media: &mut MediaDescription) -> Option<DtlsParameters> {
        let stands = self.agreed.as_ref().filter(|agreed| {
            let may = if agreed.active { Setup::Active } else { Setup::Passive };
            agreed.is_with(remote) && remote.setup.answers().contains(&may)
        });
        let parameters = match (stands, remote.setup) {
            (Some(agreed), _) => agreed.clone(),
            (None, Setup::HoldConn) => return None,
            // RFC 5763 §5 recommends that who answers begins, which saves half a round trip. We rather wait: a server
            // takes clients with RSA certificates, which baresip and linphone have, a client no such server.
            (None, setup) => DtlsParameters {
                active: setup == Setup::Passive,
                fingerprints: remote.fingerprints.clone(),
                local_id: self.next_id(),
                remote_id: remote.tls_id.clone(),
            },
        };
        let setup = if parameters.active { Setup::Active } else { Setup::Passive };
        self.write(media, setup, &parameters.local_id);
        Some(parameters)
    }

    /// What an answer to our offer comes to; `None` for one that chooses no side.
    pub(super) fn answered(&self, remote: &RemoteDtls) -> Option<DtlsParameters> {
        let active = match remote.setup {
            Setup::Active => false,
            Setup::Passive => true,
            Setup::ActPass | Setup::HoldConn => return None,
        };
        let parameters = DtlsParameters {
            active,
            fingerprints: remote.fingerprints.clone(),
            local_id: self.agreed.as_ref().map_or(&self.tls_id, |agreed| &agreed.local_id).clone(),
            remote_id: remote.tls_id.clone(),
        };
        Some(parameters)
    }

    fn write(&self, media: &mut MediaDescription, setup: Setup, id: &str) {
        push(media, &self.fingerprint);
        push(media, &setup);
        push(media, &TlsId(id.to_owned()));
    }

    /// Another name for another association.
    fn next_id(&self) -> String {
        match &self.agreed {
            None => self.tls_id.clone(),
            Some(agreed) => {
                let number =
                    agreed.local_id.rsplit_once('.').and_then(|(_, number)| number.parse::<u32>().ok());
                format!("{}.{}", self.tls_id, number.unwrap_or(0).wrapping_add(1))
            }
        }
    }
}

impl DtlsParameters {
    fn is_with(&self, remote: &RemoteDtls) -> bool {
        self.fingerprints == remote.fingerprints && self.remote_id == remote.tls_id
    }
}
