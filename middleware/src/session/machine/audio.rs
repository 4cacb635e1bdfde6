//! The audio of a session: where it runs, how ICE fares, where it moves.

use std::net::{IpAddr, SocketAddr};

use ice_stun::ice::{Candidate, Credentials};

use super::{
    Context, MediaCommand, Operation, Originator, SessionEvent, SessionMachine, State, StreamId, StreamSet,
};
use crate::configuration::SrtpPolicy;
use crate::error::Error;
use crate::negotiation::{LocalAudio, LocalDtls, LocalIce, Negotiated, RemoteSide, Trickle, new_tls_id};
use crate::session::effect::{AudioPreparation, IceSelection, IceState, MediaEvent};
use crate::session::snapshot::AudioSnapshot;

/// An audio stream of this session.
#[derive(Debug)]
pub(super) struct AudioStream {
    pub(super) id: StreamId,
    pub(super) local: Option<LocalAudio>,
    /// Ours for ICE, where it is used.
    pub(super) credentials: Option<Credentials>,
    pub(super) running: bool,
    /// The network is another one, and its media have not followed yet.
    pub(super) moving: bool,
    /// Whether a packet of the peer came.
    pub(super) heard: bool,
    pub(super) has_dtmf: bool,
    pub(super) recording: Option<Recording>,
}

#[derive(Clone, Debug)]
pub(super) struct Recording {
    pub(super) file_name: String,
    pub(super) started: bool,
    pub(super) stopping: bool,
}

impl SessionMachine {
    pub(super) fn handle_audio(&mut self, context: Context<'_>, event: MediaEvent) {
        let Some(audio) = &mut self.audio else { return };
        match event {
            MediaEvent::AudioReady { rtp, rtcp, candidates, complete, fingerprint } => {
                let keys = match self.config.rtp.srtp_policy() {
                    SrtpPolicy::Off => Vec::new(),
                    _ => LocalAudio::new_keys(&mut self.random, &self.config.rtp),
                };
                let dtls = fingerprint.and_then(|text| text.parse().ok()).map(|fingerprint| LocalDtls {
                    fingerprint,
                    tls_id: new_tls_id(&mut self.random),
                    agreed: None,
                });
                let ice = audio.credentials.clone().map(|credentials| LocalIce {
                    credentials,
                    candidates,
                    trickle: self.config.rtp.trickles().then(|| Trickle::new(complete)),
                    selected: None,
                    remote: None,
                    before_restart: None,
                });
                audio.local = Some(LocalAudio { rtp, rtcp, keys, dtls, ice, muxed: false });
                self.go_on_if_ready(context);
            }
            MediaEvent::IceCandidates { candidates, complete } => {
                self.found_candidates(context, candidates, complete);
            }
            MediaEvent::AudioMoved { rtp, rtcp, candidates } => {
                self.audio_moved(context, rtp, rtcp, candidates)
            }
            MediaEvent::AudioStays { reason } => {
                if let Some(reason) = reason {
                    tracing::warn!(reason, "audio cannot follow to another network");
                }
                audio.moving = false;
            }
            MediaEvent::AudioReceived { from } => {
                audio.heard = true;
                self.is_heard_early();
                self.timers.no_audio = None;
                self.change_audio(|audio| audio.remote_rtp_received = Some(from));
            }
            MediaEvent::AudioEncrypted { .. } => self.change_audio(|audio| audio.srtp_active = true),
            MediaEvent::IceState { state, selection } => self.ice_went_on(context, state, selection),
            // Who is on hold, or has put us there, need not say anything: a packet that was under way
            // when it began does not change that.
            MediaEvent::AudioLost if self.snapshot.on_hold() => {}
            // Nor need who has not answered yet.
            MediaEvent::AudioLost if !self.phase.state().is_running() => {}
            MediaEvent::AudioLost => {
                self.stream_failed(context, StreamSet::AUDIO, "no audio arrives any more".to_owned());
            }
            MediaEvent::Dtmf(digit) => self.notify(SessionEvent::GotDtmf { digit }),
            MediaEvent::RecordingStarted { file_name } => {
                if let Some(recording) = &mut audio.recording {
                    recording.started = true;
                    self.notify(SessionEvent::DidStartRecordingAudio { file_name });
                }
            }
            MediaEvent::RecordingFailed { file_name, reason } => {
                audio.recording = None;
                self.change_audio(|audio| audio.recording_file_name = None);
                self.notify(SessionEvent::RecordingAudioDidFail { file_name, reason });
            }
            MediaEvent::RecordingStopped { file_name } => {
                audio.recording = None;
                self.change_audio(|audio| audio.recording_file_name = None);
                self.notify(SessionEvent::DidStopRecordingAudio { file_name });
            }
            MediaEvent::Failed { reason, .. } => self.stream_failed(context, StreamSet::AUDIO, reason),
            _ => {}
        }
    }

    /// ICE is further, or back: told; without any way the stream is lost.
    fn ice_went_on(&mut self, context: Context<'_>, state: IceState, selection: Option<IceSelection>) {
        let mut needs_update = false;
        if matches!(state, IceState::Connected | IceState::Completed) {
            self.is_heard_early();
        }
        if let Some(ice) = self.ice_mut() {
            let chosen = selection.filter(|_| matches!(state, IceState::Completed | IceState::Disconnected));
            needs_update = chosen.is_some_and(|chosen| ice.needs_update(&chosen));
            match &mut ice.before_restart {
                // It is of the time before.
                Some((_, selected)) => *selected = chosen,
                None => ice.selected = chosen,
            }
        }
        self.change_audio(|audio| (audio.ice_state, audio.ice_selection) = (Some(state), selection));
        self.notify(SessionEvent::IceStateDidChange { state, selection });
        if state == IceState::Failed && self.audio.as_ref().is_some_and(|audio| audio.moving) {
            // Of the network before; the restart decides.
        } else if state == IceState::Failed {
            let reason = "ICE found no way to the peer, or lost it".to_owned();
            self.stream_failed(context, StreamSet::AUDIO, reason);
        } else if needs_update {
            self.refresh_due(context);
        }
    }

    /// This host has other addresses, and `address` is the one that reaches the outside; `moved`: it was
    /// another one before. Audio follows; the peer is told where we are.
    pub(crate) fn network_changed(&mut self, context: Context<'_>, address: IpAddr, moved: bool) {
        self.config.default_address = address;
        let follows = self.config.rtp.local_rtp_address.is_none();
        match &mut self.audio {
            Some(audio) if follows => {
                audio.moving = true;
                // What is not agreed yet follows once it is.
                if audio.running {
                    self.move_audio();
                }
            }
            _ if moved => self.refresh_due(context),
            _ => {}
        }
    }

    fn move_audio(&mut self) {
        let Some(audio) = &self.audio else { return };
        let (address, port_range) = (self.config.default_address, self.config.rtp.port_range.clone());
        let id = audio.id;
        self.media(MediaCommand::MoveAudio(id, AudioPreparation { address, port_range, ice: None }));
    }

    /// Audio has sockets in the new network: with ICE it begins anew (RFC 8445 §9), without it the peer is
    /// told where to send.
    fn audio_moved(
        &mut self,
        context: Context<'_>,
        rtp: SocketAddr,
        rtcp: SocketAddr,
        candidates: Vec<Candidate>,
    ) {
        let Some(audio) = &mut self.audio else { return };
        let Some(local) = &mut audio.local else { return };
        (local.rtp, local.rtcp) = (rtp, rtcp);
        match &mut local.ice {
            Some(ice) if ice.remote.is_some() => {
                ice.candidates.clear();
                ice.found(candidates, true);
                self.restart_due(context);
            }
            _ => {
                audio.moving = false;
                self.refresh_due(context);
            }
        }
    }

    /// Whatever ICE comes to from now on is of the network that we are in.
    pub(super) fn audio_settled(&mut self) {
        if let Some(audio) = &mut self.audio {
            audio.moving = false;
        }
    }

    pub(super) fn ice_mut(&mut self) -> Option<&mut LocalIce> {
        self.audio.as_mut()?.local.as_mut()?.ice.as_mut()
    }

    /// Looks for a way anew: when it is known that the old one won't do.
    pub(crate) fn restart_ice(&mut self, context: Context<'_>) -> Result<(), Error> {
        let operation = Operation::RestartIce;
        self.check(operation)?;
        if self.ice_mut().is_none_or(|ice| ice.remote.is_none()) {
            return Err(Error::not_possible(operation, "the session has no audio with ICE"));
        }
        self.restart_due(context);
        Ok(())
    }

    pub(super) fn apply_audio(&mut self, context: Context<'_>, negotiated: &Negotiated) {
        match (&negotiated.audio, &mut self.audio) {
            (Some(parameters), Some(audio)) => {
                let local_rtp: Option<SocketAddr> = audio.local.as_ref().map(|local| local.rtp);
                let id = audio.id;
                let trickles = self.peer_trickles && self.config.rtp.trickles();
                let mut parameters = parameters.clone();
                if let Some(ice) = &mut parameters.ice {
                    // Who does not say in SIP that candidates follow has told all of them.
                    ice.complete |= !trickles;
                }
                let first = !std::mem::replace(&mut audio.running, true);
                audio.has_dtmf = parameters.dtmf.is_some();
                let mut srtp_active = true;
                if let Some(local) = &mut audio.local {
                    local.muxed = parameters.rtcp_mux;
                    if let Some(ours) = &mut local.dtls {
                        if ours.agreed.as_ref() != parameters.dtls.as_deref() {
                            srtp_active = false;
                        }
                        ours.agreed = parameters.dtls.as_deref().cloned();
                    }
                    if let Some(ours) = &mut local.ice {
                        ours.remote = parameters.ice.as_ref().map(|ice| RemoteSide {
                            credentials: ice.remote.credentials.clone(),
                            ice2: ice.remote.options.ice2,
                            trickles: trickles && ice.remote.options.trickle,
                            candidates: ice.candidates.clone(),
                            rtp: parameters.remote_rtp,
                        });
                        ours.before_restart = None;
                    }
                }
                parameters.silence = self.config.timers.rtp_silence;
                self.change(|snapshot| {
                    let audio = snapshot.audio.get_or_insert_default();
                    audio.transport = negotiated.audio_transport.clone();
                    audio.sample_rate = Some(negotiated.audio_sample_rate);
                    audio.codec = Some(parameters.codec.clone());
                    // Keys by DTLS come later, or are there and stay.
                    audio.srtp_active = match parameters.dtls {
                        Some(_) => audio.srtp_active && srtp_active,
                        None => parameters.srtp.is_some(),
                    };
                    audio.local_rtp = local_rtp;
                    audio.remote_rtp_sdp = Some((parameters.remote_rtp.ip(), parameters.remote_rtp.port()));
                });
                self.media(MediaCommand::RunAudio(id, Box::new(parameters)));
                self.take_early_candidates();
                if first && self.audio.as_ref().is_some_and(|audio| audio.moving) {
                    self.move_audio();
                }
                if first && matches!(self.state(), State::Proposing | State::Proposed) {
                    self.timers.no_audio = Some(context.now + self.config.timers.no_audio);
                }
            }
            (None, Some(_)) => self.close(context, StreamSet::AUDIO),
            (_, None) => {}
        }
    }

    pub(super) fn set_remote_hold(&mut self, held: bool) {
        if held == self.snapshot.on_hold_by_remote {
            return;
        }
        self.change(|snapshot| snapshot.on_hold_by_remote = held);
        self.pause_recording();
        let originator = Originator::Remote;
        self.notify(match held {
            true => SessionEvent::GotHoldRequest { originator },
            false => SessionEvent::GotUnholdRequest { originator },
        });
    }

    /// A recording leaves out what is said on hold.
    pub(super) fn pause_recording(&mut self) {
        let paused = self.snapshot.on_hold();
        if let Some(AudioStream { id, recording: Some(_), .. }) = self.audio {
            self.media(MediaCommand::PauseRecording(id, paused));
        }
    }

    pub(super) fn change_audio(&mut self, change: impl FnOnce(&mut AudioSnapshot)) {
        if self.snapshot.audio.is_some() {
            self.change(|snapshot| {
                if let Some(audio) = &mut snapshot.audio {
                    change(audio);
                }
            });
        }
    }
}
