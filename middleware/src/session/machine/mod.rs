//! One session as a pure machine: what happened goes in, an ordered list of effects comes out.
//!
//! ```text
//!                connect                          accept
//!     NULL ─────────────▶ CALLING    INCOMING ─────────────▶ ACCEPTING
//!      │                     │ 2xx       ▲  │ reject              │ ACK
//!      └── INVITE ───────────┼───────────┘  │                     │
//!                            ▼              │                     │
//!   PROPOSING ◀──────▶ ESTABLISHED ◀────────┼─────────────────────┘
//!                       ▲    │              │
//!   PROPOSED ◀──────────┘    │ terminate    │
//!                            ▼              ▼
//!                       TERMINATING ───▶ TERMINATED
//! ```
//!
//! `outgoing` and `incoming` lead to ESTABLISHED, `early` has what is agreed on before, `exchange` our re-INVITEs and
//! `proposed` the peer's, `commands` what can be asked meanwhile, `streams` what media are asked and tell, of `audio`,
//! `chat` and `files`; `transfer` has the transfers of calls, `trickle` the candidates in INFO, `ending` the ways out.

mod audio;
mod chat;
mod commands;
mod early;
mod ending;
mod exchange;
mod files;
mod incoming;
mod outgoing;
mod proposed;
mod streams;
mod transfer;
mod trickle;

pub(crate) use incoming::Invite;
pub(crate) use trickle::TRICKLE_ICE;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sip_core::endpoint::PrackId;
use sip_core::{Response, Uri};
use zeroize::Zeroizing;

use self::audio::AudioStream;
use self::chat::ChatStream;
use self::exchange::{Change, Exchange};
use self::files::{FileStream, StoppingFile};
use self::transfer::Transfer;
use super::effect::{Effect, MediaCommand, SipAction, StreamId};
use super::{AutoAnswer, Direction, Invitation, Operation, RemoteHeaders, SessionSnapshot, State, StreamSet};
use crate::configuration::{MsrpConfiguration, RingtoneConfiguration, RtpConfiguration, SessionTimers};
use crate::error::Error;
use crate::negotiation::{Description, OfferedFile};
use crate::notification::{Event, Originator, SessionEvent};

/// What a session copies when it is created.
#[derive(Clone, Debug)]
pub(crate) struct SessionConfig {
    pub(crate) rtp: RtpConfiguration,
    pub(crate) msrp: MsrpConfiguration,
    pub(crate) timers: SessionTimers,
    /// Streams that this application takes when it is called.
    pub(crate) accepts: StreamSet,
    /// Which calls are answered without the application.
    pub(crate) auto_answer: AutoAnswer,
    /// Where media sockets are bound unless the configurations say otherwise.
    pub(crate) default_address: IpAddr,
}

/// What every entry into the machine brings along.
#[derive(Copy, Clone)]
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
    pub(crate) ringtones: &'a RingtoneConfiguration,
}

/// A session. Commands may be refused; everything else is taken as it comes.
pub(crate) struct SessionMachine {
    config: SessionConfig,
    phase: Phase,
    snapshot: Arc<SessionSnapshot>,
    published: Arc<SessionSnapshot>,
    description: Description,
    audio: Option<AudioStream>,
    chat: Option<ChatStream>,
    files: Vec<FileStream>,
    /// The files of the peer's offer that waits for the application.
    offered_files: Vec<OfferedFile>,
    stopping_files: Vec<StoppingFile>,
    /// Streams asked to stop that have not said so yet; true for a chat that ran.
    stopping: Vec<(StreamId, bool)>,
    exchange: Exchange,
    /// A change that met one of the peer's (491), and is sent again later.
    waiting: Option<Change>,
    changes: VecDeque<Change>,
    /// What the application knows the session to have.
    told_streams: StreamSet,
    /// Name and password for an MSRP relay.
    relay_login: Option<(String, Zeroizing<String>)>,
    timers: Timers,
    ringing: bool,
    /// The peer is heard before it has answered.
    early: bool,
    /// The peer's offer in a provisional response, and of which early dialog it is.
    early_offer: Option<(Option<String>, bytes::Bytes)>,
    early_dialogs: Vec<early::EarlyDialog>,
    /// We are heard before we have accepted.
    early_media: Option<incoming::EarlyMedia>,
    transfer: Transfer,
    /// Whether the peer takes candidates in INFO, and whether one of ours is under way.
    peer_trickles: bool,
    trickling: bool,
    /// The peer has sent one, or anything else that shows that it has our answer.
    trickled_to: bool,
    /// Candidates of the peer's that came before its description.
    early_candidates: Option<sdp::Fragment>,
    /// Further headers of the 200 that accepts the call.
    accept_headers: Vec<(String, String)>,
    next_stream: u64,
    random: ChaCha20Rng,
    effects: VecDeque<Effect>,
}

/// Where it stands, with what belongs to that place alone.
#[derive(Debug)]
enum Phase {
    Null,
    Calling(Box<outgoing::Calling>),
    Incoming,
    Accepting {
        answered: bool,
    },
    Established,
    Proposing,
    Proposed,
    /// `bye_on_ack`: we answered 200, and a BYE has to wait for the ACK (RFC 3261 §15).
    Terminating {
        bye_on_ack: bool,
    },
    /// Until the streams are closed; then DidEnd is posted.
    Ending {
        originator: Originator,
    },
    Ended,
}

/// All the times at which something is due.
#[derive(Debug, Default)]
struct Timers {
    stream_start: Option<Instant>,
    no_answer: Option<Instant>,
    no_audio: Option<Instant>,
    retry: Option<Instant>,
    reconnect: Option<Instant>,
    wind_down: Option<Instant>,
    transfer: Option<Instant>,
    auto_answer: Option<Instant>,
}

impl SessionMachine {
    pub(crate) fn new(config: SessionConfig, seed: [u8; 32]) -> Self {
        let snapshot = Arc::new(SessionSnapshot::new());
        let mut random = ChaCha20Rng::from_seed(seed);
        let description = Description::new(random.next_u64() >> 2);
        Self {
            config,
            phase: Phase::Null,
            published: snapshot.clone(),
            snapshot,
            description,
            audio: None,
            chat: None,
            files: Vec::new(),
            offered_files: Vec::new(),
            stopping_files: Vec::new(),
            stopping: Vec::new(),
            exchange: Exchange::Idle,
            waiting: None,
            changes: VecDeque::new(),
            told_streams: StreamSet::NONE,
            relay_login: None,
            timers: Timers::default(),
            ringing: false,
            early: false,
            early_offer: None,
            early_dialogs: Vec::new(),
            early_media: None,
            transfer: Transfer::Idle,
            peer_trickles: false,
            trickling: false,
            trickled_to: false,
            early_candidates: None,
            accept_headers: Vec::new(),
            next_stream: 1,
            random,
            effects: VecDeque::new(),
        }
    }

    /// The next thing to do, in order.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        let next = self.effects.pop_front();
        if next.is_none() && !Arc::ptr_eq(&self.snapshot, &self.published) {
            self.published = self.snapshot.clone();
            return Some(Effect::Snapshot(self.snapshot.clone()));
        }
        next
    }

    /// When `handle_timeout` is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let Timers { stream_start, no_answer, no_audio, retry, reconnect, wind_down, transfer, auto_answer } =
            &self.timers;
        let all = [stream_start, no_answer, no_audio, retry, reconnect, wind_down, transfer, auto_answer];
        all.into_iter().flatten().min().copied()
    }

    /// What attributes read.
    pub(crate) fn snapshot(&self) -> &Arc<SessionSnapshot> {
        &self.snapshot
    }

    /// Whether everything is over and told: the engine can forget it.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended) && self.effects.is_empty()
    }

    /// Something may be due; early, late and needless calls do no harm.
    pub(crate) fn handle_timeout(&mut self, context: Context<'_>) {
        let due = |timer: &mut Option<Instant>| timer.take_if(|at| *at <= context.now).is_some();
        if due(&mut self.timers.wind_down) {
            self.files_stopped();
            self.stopping.clear();
            self.finish_if_wound_down();
        }
        if due(&mut self.timers.stream_start) {
            self.streams_did_not_start(context);
        }
        if due(&mut self.timers.no_answer) {
            self.no_answer(context);
        }
        if due(&mut self.timers.no_audio) && self.state() != State::Terminated {
            self.notify(SessionEvent::GotNoAudio);
        }
        if due(&mut self.timers.retry) {
            self.retry_exchange(context);
        }
        if due(&mut self.timers.transfer) {
            self.transfer_unanswered();
        }
        if due(&mut self.timers.auto_answer) {
            self.answer_by_itself(context);
        }
        if due(&mut self.timers.reconnect) {
            self.reconnect(context);
        }
    }

    fn state(&self) -> State {
        self.phase.state()
    }

    fn check(&self, operation: Operation) -> Result<(), Error> {
        operation.check(self.state())
    }

    /// The only writer of the state: tells of the change, and stops what belongs to the old one.
    fn enter(&mut self, phase: Phase) {
        let prev_state = self.phase.state();
        let state = phase.state();
        self.phase = phase;
        if prev_state == state {
            return;
        }
        assert!(prev_state.may_become(state), "a session went from {prev_state} to {state}");
        self.change(|snapshot| snapshot.state = state);
        if self.ringing {
            self.ringing = false;
            self.media(MediaCommand::StopRingtone);
        }
        self.notify(SessionEvent::ChangedState { prev_state, state });
    }

    fn change(&mut self, change: impl FnOnce(&mut SessionSnapshot)) {
        change(Arc::make_mut(&mut self.snapshot));
    }

    fn notify(&mut self, event: impl Into<Event>) {
        self.published = self.snapshot.clone();
        self.effects.push_back(Effect::Notify { snapshot: self.snapshot.clone(), event: event.into() });
    }

    fn sip(&mut self, action: SipAction) {
        self.effects.push_back(Effect::Sip(action));
    }

    fn media(&mut self, command: MediaCommand) {
        self.effects.push_back(Effect::Media(command));
    }

    fn ring(&mut self, tone: Option<&std::path::Path>) {
        if let (Some(path), false) = (tone, self.ringing) {
            self.ringing = true;
            self.media(MediaCommand::PlayRingtone(path.to_owned()));
        }
    }

    fn identify(&mut self, direction: Direction, local: Uri, remote: Uri) {
        self.change(|snapshot| {
            snapshot.direction = Some(direction);
            snapshot.local_uri = Some(local);
            snapshot.remote_uri = Some(remote);
        });
    }

    /// 96 random bits as text: a Message-ID, or the session part of a URI.
    fn token(&mut self) -> String {
        let mut text = String::with_capacity(24);
        for _ in 0..3 {
            use std::fmt::Write as _;
            let _ = write!(text, "{:08x}", self.random.next_u32());
        }
        text
    }
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Phase::Null => State::Null,
            Phase::Calling(_) => State::Calling,
            Phase::Incoming => State::Incoming,
            Phase::Accepting { .. } => State::Accepting,
            Phase::Established => State::Established,
            Phase::Proposing => State::Proposing,
            Phase::Proposed => State::Proposed,
            Phase::Terminating { .. } => State::Terminating,
            Phase::Ending { .. } | Phase::Ended => State::Terminated,
        }
    }
}

/// What the SIP side tells a session; made by the engine of the endpoint's events.
#[derive(Debug)]
pub(crate) enum SipEvent {
    /// A provisional response.
    Provisional { status: sip_core::StatusCode, headers: RemoteHeaders, body: Option<bytes::Bytes> },
    /// The peer acknowledged a reliable provisional response of ours, or sent an UPDATE without an offer.
    Acknowledged,
    /// The provisional response just told of is reliable and makes an offer.
    PrackDue { id: PrackId },
    /// A 2xx to the INVITE.
    Answered { body: Option<bytes::Bytes>, headers: RemoteHeaders },
    /// The INVITE failed: a final non-2xx, or 0 for what has no status.
    Failed { code: u16, reason: String, response: Option<Box<Response>> },
    /// The ACK to our 200 came.
    Confirmed { body: Option<bytes::Bytes> },
    /// The peer gave its INVITE up; 487 was sent.
    Cancelled,
    /// The peer's re-INVITE or UPDATE, or a PRACK with an offer; `tag` says in which early dialog, and
    /// `may_wait` whether its answer may be the application's, which takes its time.
    Reinvite {
        tag: Option<String>,
        body: Option<bytes::Bytes>,
        icons: Vec<(String, crate::session::FileIcon)>,
        may_wait: bool,
    },
    /// The peer gave its re-INVITE up; 487 was sent.
    ReinviteCancelled,
    /// A 2xx to our re-INVITE.
    ReinviteAnswered { body: Option<bytes::Bytes> },
    /// Our re-INVITE failed; `retry_after` with 491.
    ReinviteFailed { code: u16, reason: String, retry_after: Option<std::time::Duration> },
    /// The session runs out unless it is refreshed by a re-INVITE (RFC 4028).
    RefreshDue,
    /// A key press in INFO.
    Dtmf { digit: char },
    /// Candidates of the peer's, in INFO.
    Candidates { fragment: sdp::Fragment },
    /// The answer to our INFO with candidates; 0 if it has none.
    TrickleAnswered { code: u16 },
    /// The peer asks us to call somebody else.
    Referred { destination: String, referred_by: Option<String> },
    /// The peer has taken our REFER.
    TransferAccepted,
    /// The peer has taken our REFER, and tells nothing more of it.
    TransferSilent,
    /// A status of a transfer; final from 200 on, or 0 for what has none.
    TransferStatus { code: u16, reason: String },
    /// The dialog is gone.
    Ended { by_remote: bool, reason: String },
}

impl SessionMachine {
    /// Takes what the SIP side tells.
    pub(crate) fn handle_sip(&mut self, context: Context<'_>, event: SipEvent) {
        match event {
            SipEvent::Provisional { status, headers, body } => {
                self.got_provisional(context, status, headers, body);
            }
            SipEvent::Acknowledged => self.early_answer_arrived(),
            SipEvent::PrackDue { id } => self.prack_due(context, id),
            SipEvent::RefreshDue => self.refresh_due(context),
            SipEvent::Answered { body, headers } => self.answered(context, body, headers),
            SipEvent::Failed { code, reason, response } => {
                self.invite_failed(context, code, reason, response)
            }
            SipEvent::Confirmed { body } => self.confirmed(context, body),
            SipEvent::Cancelled => self.cancelled(context),
            SipEvent::Reinvite { tag, body, icons, may_wait } => match self.state() {
                State::Calling | State::Incoming | State::Accepting => {
                    self.got_early_offer(context, tag.as_deref(), body.as_deref());
                }
                _ => self.got_reinvite(context, body, icons, may_wait),
            },
            SipEvent::ReinviteCancelled => self.reinvite_cancelled(context),
            SipEvent::ReinviteAnswered { body } => self.reinvite_answered(context, body),
            SipEvent::ReinviteFailed { code, reason, retry_after } => {
                self.reinvite_failed(context, code, reason, retry_after);
            }
            SipEvent::Dtmf { digit } => self.got_dtmf(digit),
            SipEvent::Candidates { fragment } => self.got_candidates(fragment),
            SipEvent::TrickleAnswered { code } => self.trickle_answered(code),
            SipEvent::Referred { destination, referred_by } => {
                self.referred(context, destination, referred_by);
            }
            SipEvent::TransferAccepted => self.transfer_accepted(context),
            SipEvent::TransferSilent => self.transfer_is_silent(context),
            SipEvent::TransferStatus { code, reason } => self.transfer_came_to(context, code, &reason),
            SipEvent::Ended { by_remote, reason } => self.dialog_ended(context, by_remote, reason),
        }
    }
}
