//! ICE in SDP (RFC 8839): what stands in an audio m-line, and what the peer's says.

use std::net::{IpAddr, SocketAddr};

use ice_stun::ice::{Candidate, CandidateKind, Credentials, IceOptions, RemoteParameters};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use sdp::attribute::{self, EndOfCandidates, IceLite, IceMismatch, IcePwd, IceUfrag, RemoteCandidates, Rtcp};
use sdp::{Address, Connection, MediaDescription, SessionDescription};

use super::audio::push;
use super::trickle::Trickle;
use crate::session::{IceParameters, IceSelection};

/// Candidates of a peer that are taken; more than that is an attack.
pub(super) const MAX_CANDIDATES: usize = 60;

/// Our side of ICE for an audio stream.
#[derive(Clone, Debug)]
pub(crate) struct LocalIce {
    pub(crate) credentials: Credentials,
    pub(crate) candidates: Vec<Candidate>,
    /// Whether candidates may follow in INFO, and which have.
    pub(crate) trickle: Option<Trickle>,
    /// The pair that is in use, once there is one.
    pub(crate) selected: Option<IceSelection>,
    /// The peer's, once they are known: others restart ICE.
    pub(crate) remote: Option<RemoteSide>,
    /// What stands in descriptions until the peer has answered to a restart of ours.
    pub(crate) before_restart: Option<(Credentials, Option<IceSelection>)>,
}

/// What is kept of the peer's side.
#[derive(Clone, Debug)]
pub(crate) struct RemoteSide {
    pub(crate) credentials: Credentials,
    /// Whether it follows RFC 8445, and needs no offer that tells the pair in use.
    pub(crate) ice2: bool,
    /// Whether it takes candidates in INFO.
    pub(crate) trickles: bool,
    /// Its candidates.
    pub(crate) candidates: Vec<Candidate>,
    /// Where media goes by default.
    pub(crate) rtp: SocketAddr,
}

/// New credentials: 48 bits and 144 bits of randomness (RFC 8839 §5.4).
pub(crate) fn new_credentials(random: &mut ChaCha20Rng) -> Credentials {
    let (ufrag, password) = (random_text(random, 8), random_text(random, 24));
    Credentials::new(&ufrag, &password).expect("letters of the alphabet, and enough of them")
}

/// So many letters of six bits each.
pub(super) fn random_text(random: &mut ChaCha20Rng, length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..length).map(|_| char::from(ALPHABET[(random.next_u32() & 63) as usize])).collect()
}

impl LocalIce {
    /// Where media of a component can be sent by who does not speak ICE: the relay if nothing else
    /// is there, else what a server sees of us, else ourselves (RFC 8839 §4.2.1.2).
    fn default(&self, component: u16) -> Option<&Candidate> {
        // The first is of the address that reaches the peer: who knows no ICE may know no other family.
        let is_v4 = |one: &Candidate| one.socket_address().is_some_and(|at| at.is_ipv4());
        let family = self.candidates.first().map(is_v4);
        let fits =
            move |one: &&Candidate| one.component() == component && is_udp(one) && Some(is_v4(one)) == family;
        let ours = || self.candidates.iter().filter(fits);
        // Of several the best; the first of equals.
        let of = |kind| ours().filter(|one| one.kind() == kind).rev().max_by_key(|one| one.priority());
        of(CandidateKind::ServerReflexive)
            .or_else(|| of(CandidateKind::Host))
            .or_else(|| of(CandidateKind::Relayed))
    }

    /// Whether the peer has to be told of the pair by another offer: it does not follow RFC 8445, and
    /// media does not go where the descriptions say (RFC 8839 §4.4.1.2.2).
    pub(crate) fn needs_update(&self, selection: &IceSelection) -> bool {
        let Some(remote) = &self.remote else { return false };
        let local = self.default(1).and_then(Candidate::socket_address);
        let is_told = self
            .selected
            .is_some_and(|told| (told.local, told.remote) == (selection.local, selection.remote));
        let is_default = local == Some(selection.local) && remote.rtp == selection.remote;
        selection.controlling && !remote.ice2 && !is_told && !is_default
    }

    /// Begins anew with these credentials, once the peer answers.
    pub(crate) fn restart(&mut self, credentials: Credentials) {
        let before = std::mem::replace(&mut self.credentials, credentials);
        self.before_restart = Some((before, self.selected.take()));
    }

    /// The restart did not come about.
    pub(crate) fn undo_restart(&mut self) {
        if let Some((credentials, selected)) = self.before_restart.take() {
            (self.credentials, self.selected) = (credentials, selected);
        }
    }

    /// Writes it into an m-line: attributes, and where media goes by default. With `muxed` there is
    /// no component for RTCP.
    pub(super) fn write(&self, media: &mut MediaDescription, muxed: bool) {
        push(media, &IceUfrag(self.credentials.ufrag().to_owned()));
        push(media, &IcePwd(self.credentials.password().to_owned()));
        let options = if self.trickle.is_some() { "ice2 trickle" } else { "ice2" };
        push(media, &attribute::IceOptions(options.to_owned()));
        let (rtp, rtcp) = match &self.selected {
            Some(selection) => {
                self.write_selected(media, selection);
                (Some(selection.local), selection.local_rtcp)
            }
            None => {
                let components = if muxed { 1 } else { 2 };
                for candidate in self.candidates.iter().filter(|one| one.component() <= components) {
                    push(media, &attribute::Candidate(candidate.to_string()));
                }
                let at = |component| self.default(component).and_then(Candidate::socket_address);
                (at(1), at(2).filter(|_| !muxed))
            }
        };
        if self.trickle.as_ref().is_some_and(|trickle| trickle.complete) {
            push(media, &EndOfCandidates);
        }
        let Some(rtp) = rtp else {
            if self.trickle.is_some() {
                nowhere(media);
            }
            return;
        };
        media.port = rtp.port();
        media.connections = vec![Connection::from(Address::from(rtp.ip()))];
        media.attributes.remove::<Rtcp>();
        let next = SocketAddr::new(rtp.ip(), rtp.port().wrapping_add(1));
        if let Some(rtcp) = rtcp.filter(|rtcp| *rtcp != next) {
            let address = (rtcp.ip() != rtp.ip()).then(|| Address::from(rtcp.ip()));
            push(media, &Rtcp { port: rtcp.port(), address });
        }
    }

    /// RFC 8839 §4.4.1.2.2: the pair in use is the default, and no other candidate stands there.
    fn write_selected(&self, media: &mut MediaDescription, selection: &IceSelection) {
        let chosen = [(1, Some(selection.local)), (2, selection.local_rtcp)];
        let is_chosen = |one: &&Candidate| chosen.contains(&(one.component(), one.socket_address()));
        for candidate in self.candidates.iter().filter(|one| is_udp(one)).filter(is_chosen) {
            push(media, &attribute::Candidate(candidate.to_string()));
        }
        if selection.controlling {
            let rtcp = selection.remote_rtcp.map(|rtcp| (2, rtcp));
            let remotes: Vec<String> = std::iter::once((1, selection.remote))
                .chain(rtcp)
                .map(|(component, remote)| format!("{component} {} {}", remote.ip(), remote.port()))
                .collect();
            push(media, &RemoteCandidates(remotes.join(" ")));
        }
    }
}

/// RFC 8840 §4.1.1: where media goes is not known yet.
fn nowhere(media: &mut MediaDescription) {
    media.port = 9;
    media.connections = vec![Connection::from(Address::from(IpAddr::from([0; 4])))];
    media.attributes.remove::<Rtcp>();
}

fn is_udp(candidate: &Candidate) -> bool {
    !candidate.transport().is_tcp()
}

/// What a peer's m-line says of ICE.
pub(super) enum RemoteIce {
    /// Nothing: media goes where the m-line says.
    None,
    /// No candidate is where media is to go by default: somebody between us does not know ICE
    /// (RFC 8839 §4.2.5). Without ICE, then.
    Mismatch,
    /// This.
    Some(Box<Remote>),
}

/// What the peer's m-line tells.
pub(super) struct Remote {
    pub(super) parameters: RemoteParameters,
    pub(super) candidates: Vec<Candidate>,
    /// No others will follow.
    pub(super) complete: bool,
}

impl RemoteIce {
    /// Whether the peer has candidates for RTP, and none for RTCP.
    pub(super) fn has_one_component(&self) -> bool {
        match self {
            RemoteIce::Some(said) => said.complete && one_component(&said.candidates),
            _ => false,
        }
    }
}

/// Whether there are candidates for RTP, and none for RTCP.
pub(crate) fn one_component(candidates: &[Candidate]) -> bool {
    !candidates.is_empty() && candidates.iter().all(|one| one.component() == 1)
}

/// Where the peer says that it receives RTCP.
fn default_rtcp(media: &MediaDescription, rtp: SocketAddr) -> SocketAddr {
    match media.attributes.find::<Rtcp>() {
        Some(rtcp) => {
            SocketAddr::new(rtcp.address.and_then(|address| address.ip()).unwrap_or(rtp.ip()), rtcp.port)
        }
        None => SocketAddr::new(rtp.ip(), rtp.port().wrapping_add(1)),
    }
}

/// Reads a peer's m-line.
pub(super) fn read(session: &SessionDescription, media: &MediaDescription) -> RemoteIce {
    let ufrag = media.attributes.value("ice-ufrag").or_else(|| session.attributes.value("ice-ufrag"));
    let password = media.attributes.value("ice-pwd").or_else(|| session.attributes.value("ice-pwd"));
    let (Some(ufrag), Some(password)) = (ufrag, password) else { return RemoteIce::None };
    if media.attributes.find::<IceMismatch>().is_some() {
        return RemoteIce::None;
    }
    let Ok(credentials) = Credentials::new(ufrag, password) else { return RemoteIce::None };
    let options = media.attributes.value("ice-options").or_else(|| session.attributes.value("ice-options"));
    let pacing = session.attributes.value("ice-pacing").and_then(|text| text.trim().parse().ok());
    let remote = RemoteParameters {
        lite: session.attributes.find::<IceLite>().is_some(),
        options: options.map(IceOptions::read).unwrap_or_default(),
        pacing,
        ..RemoteParameters::new(credentials)
    };
    // A candidate that cannot be read is passed over (RFC 8839 §5.1).
    let lines = media.attributes.values("candidate").take(MAX_CANDIDATES);
    let candidates: Vec<Candidate> = lines.filter_map(|line| line.parse().ok()).collect();
    let default = media.address(session).and_then(Address::ip).map(|ip| SocketAddr::new(ip, media.port));
    let matches = candidates.is_empty()
        || remote.options.trickle
        || default.is_some_and(|at| at.ip().is_unspecified())
        || candidates.iter().any(|one| one.component() == 1 && one.socket_address() == default)
        // A name stands for an address that is not told.
        || candidates.iter().any(|one| one.component() == 1 && one.socket_address().is_none());
    if !matches {
        return RemoteIce::Mismatch;
    }
    // Candidates for RTCP that are not where RTCP goes by default are of no use: RTP alone, then.
    let rtcp = default.map(|rtp| default_rtcp(media, rtp));
    let is_rtcp = |one: &Candidate| one.component() == 2 && one.socket_address() == rtcp;
    let candidates = match candidates.iter().any(|one| one.component() == 2) {
        true if !candidates.iter().any(is_rtcp) && !remote.options.trickle => {
            candidates.into_iter().filter(|one| one.component() == 1).collect()
        }
        _ => candidates,
    };
    let ended = |attributes: &sdp::Attributes| attributes.contains("end-of-candidates");
    // Without a name for the m-line nothing can follow (RFC 8840 §4.4).
    let follows = remote.options.trickle && media.attributes.value("mid").is_some();
    let complete = !follows || ended(&media.attributes) || ended(&session.attributes);
    RemoteIce::Some(Box::new(Remote { parameters: remote, candidates, complete }))
}

/// What ICE comes to with that peer; `None`: media goes where the m-lines say.
pub(super) fn agree(local: Option<&LocalIce>, remote: RemoteIce) -> Option<Box<IceParameters>> {
    let (Some(local), RemoteIce::Some(said)) = (local, remote) else { return None };
    let Remote { parameters: remote, candidates, complete } = *said;
    Some(Box::new(IceParameters { local: local.credentials.clone(), remote, candidates, complete }))
}
