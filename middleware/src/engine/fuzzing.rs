//! The whole engine under fuzzing: the data is a list of operations in virtual time. Passwords are known, media are
//! played, and what the peer says fits what was said to it, so that the code behind all of that is reached.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use sip_core::endpoint as sip;
use sip_core::{Limits, Message, Request, StatusCode};

use super::{Engine, EngineConfig, Now, Output};
use crate::configuration::{MsrpConfiguration, RtpConfiguration, SessionTimers};
use crate::credentials::Credentials;
use crate::notification::{ChatFailureContext, Event, SessionEvent};
use crate::publication::{PublicationId, PublicationOptions};
use crate::registration::{RegistrationId, RegistrationOptions};
use crate::session::machine::SessionConfig;
use crate::session::{
    AutoAnswer, DtmfMethod, FileInfo, FileToSend, Invitation, MediaCommand, MediaEvent, SessionId, State,
    StreamId, StreamSet, TransferOptions,
};
use crate::subscription::{SubscriptionId, SubscriptionOptions};

const PASSWORD: &str = "hunter2-hunter2";
const METHODS: [&str; 13] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "UPDATE",
    "PRACK",
    "INFO",
    "REFER",
    "NOTIFY",
    "MESSAGE",
    "OPTIONS",
    "SUBSCRIBE",
    "invite",
];
const STATUSES: [u16; 15] = [100, 180, 183, 200, 200, 200, 202, 302, 401, 407, 422, 423, 486, 491, 503];
/// A further header of the peer's.
const EXTRAS: [&str; 16] = [
    "",
    "Supported: 100rel, timer",
    "Require: 100rel\r\nRSeq: 1",
    "Require: 100rel\r\nRSeq: 2",
    "RAck: 1 1 INVITE",
    "Event: refer\r\nSubscription-State: active;expires=60",
    "Event: refer\r\nSubscription-State: terminated;reason=noresource",
    "Event: presence\r\nSubscription-State: active;expires=60",
    "Event: presence\r\nSubscription-State: terminated;reason=timeout",
    "Refer-To: <sip:third@192.0.2.9>",
    "Supported: timer\r\nSession-Expires: 90;refresher=uac",
    "Answer-Mode: Auto",
    "Expires: 1\r\nSIP-ETag: tag\r\nMin-Expires: 90\r\nMin-SE: 120",
    "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256",
    "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"m\", stale=true",
    "Retry-After: 1\r\nContact: <sip:elsewhere@192.0.2.9>;expires=60",
];
const AUDIO: &str = "m=audio 50000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const SAVP: &str = "m=audio 50000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 \
                    inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw\r\n";
const CHAT: &str =
    "m=message 2855 TCP/MSRP *\r\na=accept-types:*\r\na=path:msrp://192.0.2.2:2855/peer;tcp\r\n";
const FILE: &str = "m=message 2855 TCP/MSRP *\r\na=sendonly\r\na=accept-types:*\r\n\
                    a=file-selector:name:\"a.jpg\" type:image/jpeg size:10\r\na=file-transfer-id:f1\r\n\
                    a=path:msrp://192.0.2.2:2855/file;tcp\r\n";
const ICE: &str = "m=audio 50000 RTP/AVP 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
                   a=candidate:1 1 UDP 2130706431 192.0.2.2 50000 typ host\r\n";

/// Calls, registrations, subscriptions and publications, commands, packets, media and time in any order: only listed
/// states follow each other, each session ends once, no password is sent, and when all is said nothing is left.
pub(crate) fn engine(data: &[u8]) {
    let mut world = World::new(data.first().copied().unwrap_or(0));
    let mut rest = Bytes::copy_from_slice(data.get(1..).unwrap_or_default());
    while !rest.is_empty() {
        let operation = byte(&mut rest);
        world.perform(operation, &mut rest);
        world.drain();
    }
    world.finish();
}

fn byte(rest: &mut Bytes) -> u8 {
    if rest.is_empty() { 0 } else { rest.split_to(1).first().copied().unwrap_or(0) }
}

fn one_of<T: Copy>(all: &[T], number: u8) -> Option<T> {
    all.get(usize::from(number) % all.len().max(1)).copied()
}

struct World {
    engine: Engine,
    start: Instant,
    now: Instant,
    deadline: Option<Instant>,
    us: SocketAddr,
    peer: SocketAddr,
    sessions: Vec<SessionId>,
    /// What media are about to tell.
    media: Vec<(SessionId, StreamId, MediaEvent)>,
    streams: Vec<(SessionId, StreamId)>,
    /// Requests of ours, to be answered; the last is last.
    asked: Vec<Request>,
    /// The last dialog that a message of ours shows, as the peer has it: Call-ID, its tag and ours.
    dialog: (String, String, String),
    cseq: u32,
    states: HashMap<SessionId, State>,
    failed: BTreeSet<SessionId>,
    ended: BTreeSet<SessionId>,
}

impl World {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other source; its value does not matter"
    )]
    fn new(mood: u8) -> Self {
        let (us, peer) = (SocketAddr::from(([192, 0, 2, 1], 5060)), SocketAddr::from(([192, 0, 2, 2], 5060)));
        let rtp = RtpConfiguration {
            use_srtp: mood & 1 != 0,
            srtp_forced: mood & 3 == 3,
            use_ice: mood & 4 != 0,
            ..RtpConfiguration::default()
        };
        let msrp = MsrpConfiguration {
            local_use_tls: false,
            shared_folder: Some("shared".into()),
            ..MsrpConfiguration::default()
        };
        let session = SessionConfig {
            rtp,
            msrp,
            timers: SessionTimers::default(),
            accepts: StreamSet::ALL,
            auto_answer: if mood & 8 != 0 { AutoAnswer::AskedByAnyone } else { AutoAnswer::Never },
            default_address: us.ip(),
        };
        let sip = sip::Config { max_calls: 8, max_subscriptions: 8, ..sip::Config::default() };
        let config = EngineConfig {
            sip,
            session,
            max_sessions: 8,
            accept_messages: true,
            transfers: true,
            referrals: true,
            events: vec!["presence".to_owned()],
        };
        let now = Instant::now();
        let mut world = Self {
            engine: Engine::new(config, Arc::new(AtomicU64::new(1)), [9; 32]),
            start: now,
            now,
            deadline: None,
            us,
            peer,
            sessions: Vec::new(),
            media: Vec::new(),
            streams: Vec::new(),
            asked: Vec::new(),
            dialog: Default::default(),
            cseq: 1,
            states: HashMap::new(),
            failed: BTreeSet::new(),
            ended: BTreeSet::new(),
        };
        let at = world.at();
        world.engine.bound(at, sip::Transport::Udp, us);
        world
    }

    fn at(&self) -> Now {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + (self.now - self.start);
        Now { instant: self.now, wall }
    }

    fn credentials() -> Option<Credentials> {
        Some(Credentials::new("sip:us@example.com".parse().ok()?).with_password(PASSWORD))
    }

    fn perform(&mut self, operation: u8, rest: &mut Bytes) {
        match operation % 10 {
            0 => self.pass(Duration::from_millis(u64::from(byte(rest)).pow(2))),
            1 | 2 => {
                let text = self.request(rest);
                self.deliver(text, rest);
            }
            3 | 4 => {
                if let Some(text) = self.response(rest) {
                    self.deliver(text, rest);
                }
            }
            5 => self.media(byte(rest)),
            6 => self.begin(byte(rest)),
            _ => self.command(byte(rest), byte(rest)),
        }
    }

    /// A packet of the peer's, perhaps not as it should be.
    fn deliver(&mut self, text: String, rest: &mut Bytes) {
        let mut data = text.into_bytes();
        let damage = byte(rest);
        if damage >= 224 {
            let at = usize::from(u16::from_be_bytes([byte(rest), byte(rest)])) % data.len().max(1);
            let new = byte(rest);
            if let Some(place) = data.get_mut(at) {
                *place = new;
            }
        }
        let input = sip::Input::Datagram { local: self.us, remote: self.peer, data: data.into() };
        self.engine.handle_sip(self.at(), input);
    }

    fn body(rest: &mut Bytes) -> String {
        let which = byte(rest);
        let parts: &[&str] = match which % 12 {
            0..=2 => return "Content-Length: 0\r\n\r\n".to_owned(),
            3 | 4 => &[AUDIO],
            5 => &[AUDIO, CHAT],
            6 => &[CHAT],
            7 => &[AUDIO, FILE],
            8 => &[SAVP],
            9 => &[ICE],
            10 => &[AUDIO, "a=sendonly\r\n"],
            _ => {
                let text = "SIP/2.0 200 OK\r\n";
                return format!(
                    "Content-Type: message/sipfrag\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                );
            }
        };
        let version = which >> 4;
        let sdp = format!(
            "v=0\r\no=- 7 {version} IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n{}",
            parts.concat()
        );
        format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len())
    }

    fn extra(rest: &mut Bytes) -> String {
        match one_of(&EXTRAS, byte(rest)) {
            None | Some("") => String::new(),
            Some(line) => format!("{line}\r\n"),
        }
    }

    fn request(&mut self, rest: &mut Bytes) -> String {
        let method = one_of(&METHODS, byte(rest)).unwrap_or("INVITE");
        let flags = byte(rest);
        let (call_id, theirs, ours) = match flags & 1 {
            0 => self.dialog.clone(),
            _ => (format!("call{}", flags >> 5), "peer".to_owned(), String::new()),
        };
        // An ACK and a CANCEL go with the INVITE before.
        if !matches!(method, "ACK" | "CANCEL") && flags & 2 == 0 {
            self.cseq += 1;
        }
        let to = if ours.is_empty() { String::new() } else { format!(";tag={ours}") };
        let number = self.cseq;
        format!(
            "{method} sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{number}{}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:peer@192.0.2.2>;tag={theirs}\r\nTo: <sip:us@192.0.2.1>{to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {number} {method}\r\nContact: <sip:peer@192.0.2.2:5060>\r\n{}{}",
            if method == "ACK" && flags & 4 == 0 { "a" } else { "" },
            Self::extra(rest),
            Self::body(rest),
        )
    }

    /// An answer to one of the last requests of ours.
    fn response(&mut self, rest: &mut Bytes) -> Option<String> {
        let back = usize::from(byte(rest) % 4);
        let request = self.asked.iter().rev().nth(back).or(self.asked.last())?;
        let status = one_of(&STATUSES, byte(rest)).unwrap_or(200);
        let text = |name: &str| request.headers().text(name).unwrap_or_default().to_owned();
        let to = match text("To") {
            to if to.contains("tag=") => to,
            to => format!("{to};tag=p{}", byte(rest) % 2),
        };
        Some(format!(
            "SIP/2.0 {status} x\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:peer@192.0.2.2:5060>\r\n{}{}",
            text("Via"),
            text("From"),
            text("Call-ID"),
            text("CSeq"),
            Self::extra(rest),
            Self::body(rest),
        ))
    }

    /// Something new of ours.
    fn begin(&mut self, which: u8) {
        let at = self.at();
        let (Some(credentials), Ok(peer)) =
            (Self::credentials(), "sip:peer@192.0.2.2".parse::<sip_core::Uri>())
        else {
            return;
        };
        let number = self.engine.numbers.fetch_add(1, Ordering::Relaxed);
        let (audio, chat) = (which & 16 != 0, which & 32 != 0);
        match which % 8 {
            0..=3 => {
                let id = SessionId(number);
                self.sessions.push(id);
                let files = if which & 64 != 0 { vec![FileToSend::new("photo.jpg")] } else { Vec::new() };
                let streams = StreamSet { audio, chat, file: !files.is_empty() };
                let invitation = Invitation {
                    late_offer: which & 128 != 0,
                    max_redirects: usize::from(which % 2),
                    ..Invitation::new(peer, credentials)
                };
                let config = self.engine.config.session.clone();
                drop(self.engine.connect(at, id, config, invitation, streams, files));
            }
            4 => {
                let registrar = Some(peer);
                let options = RegistrationOptions { registrar, ..RegistrationOptions::new(credentials) };
                self.engine.register(at, RegistrationId(number), options);
            }
            5 => {
                let options = SubscriptionOptions::new("presence", peer, credentials);
                self.engine.subscribe(at, SubscriptionId(number), options);
            }
            6 => {
                let presence = crate::presence::Presence::new("sip:us@example.com");
                let target = Some(peer);
                let options = PublicationOptions { target, ..PublicationOptions::new(credentials, presence) };
                self.engine.publish(at, PublicationId(number), options);
            }
            _ => {
                let message = crate::messaging::OutgoingMessage::new(peer, credentials, "hello");
                drop(self.engine.send_message(at, message));
            }
        }
    }

    /// What the application asks for; refusals blame it, and are fine.
    fn command(&mut self, which: u8, whom: u8) {
        let (at, Some(id)) = (self.at(), one_of(&self.sessions, whom)) else { return };
        let streams = StreamSet { audio: whom & 32 == 0, chat: whom & 64 != 0, file: whom & 128 != 0 };
        let Ok(third) = "sip:third@192.0.2.9".parse() else { return };
        match which % 20 {
            0 => drop(self.engine.transfer(at, id, third, TransferOptions::default())),
            1 => {
                if let Some(other) = one_of(&self.sessions, which) {
                    drop(self.engine.transfer_to(at, id, other, TransferOptions::default()));
                }
            }
            2 => {
                let config = self.engine.config.session.clone();
                drop(self.engine.accept_transfer(at, id, Self::credentials(), config));
            }
            3 => {
                let address = SocketAddr::from(([192, 0, 2, 1 + whom % 2], 5060)).ip();
                self.engine.network_changed(at);
                self.engine.media_moved(at, address, whom & 1 != 0);
            }
            which => {
                let done = self.engine.with_session(at, id, |session, context| match which {
                    4..=6 => session.accept(context, streams, Some("files".into()), Vec::new()),
                    7 => session.start_early_media(context, StreamSet { file: false, ..streams }),
                    8 => session.reject(context, StatusCode::new(480), Vec::new()),
                    9 => session.hold(context, whom & 1 != 0),
                    10 => session.add(context, StreamSet { file: false, ..streams }),
                    11 => session.remove(context, StreamSet { file: false, ..streams }),
                    12 | 13 => session.accept_proposal(context, streams, Some("files".into())),
                    14 => session.reject_proposal(context),
                    15 => session.send_dtmf(
                        context,
                        '5',
                        if whom & 1 == 0 { DtmfMethod::Rtp } else { DtmfMethod::Info },
                    ),
                    16 => {
                        let content = Bytes::from_static(b"hello");
                        session
                            .send_message(context, content, "text/plain".to_owned(), None, None, false)
                            .map(drop)
                    }
                    17 => match whom & 1 {
                        0 => session.send_file(context, FileToSend::new("photo.jpg")).map(drop),
                        _ => {
                            session.request_file(context, FileInfo::default(), Some("files".into())).map(drop)
                        }
                    },
                    18 => match whom & 1 {
                        0 => session.restart_ice(context),
                        _ => session.reject_transfer(context),
                    },
                    _ => {
                        session.terminate(context);
                        Ok(())
                    }
                });
                drop(done);
            }
        }
    }

    /// Media tell what they were about to, or fail.
    fn media(&mut self, which: u8) {
        if which >= 192 {
            let Some((session, stream)) = one_of(&self.streams, which) else { return };
            let event = match which % 3 {
                0 => MediaEvent::AudioLost,
                1 => MediaEvent::Dtmf('7'),
                _ => MediaEvent::Failed { context: ChatFailureContext::Reading, reason: "x".to_owned() },
            };
            self.engine.handle_media(self.at(), session, stream, event);
        } else if !self.media.is_empty() {
            let (session, stream, event) = self.media.remove(usize::from(which) % self.media.len());
            self.engine.handle_media(self.at(), session, stream, event);
        }
    }

    /// What willing media will answer.
    fn asked_of_media(&mut self, session: SessionId, command: MediaCommand) {
        let at = |port: u16| SocketAddr::new(self.us.ip(), port);
        let path = |stream: StreamId| format!("msrp://192.0.2.1:2855/s{}-{};tcp", session.0, stream.0);
        let mut tell = |stream, event| self.media.push((session, stream, event));
        match command {
            MediaCommand::PrepareAudio(stream, _) => {
                self.streams.push((session, stream));
                let (rtp, rtcp) = (at(40_000), at(40_001));
                tell(
                    stream,
                    MediaEvent::AudioReady {
                        rtp,
                        rtcp,
                        candidates: Vec::new(),
                        complete: true,
                        fingerprint: None,
                    },
                );
            }
            MediaCommand::MoveAudio(stream, _) => {
                let (rtp, rtcp) = (at(50_000), at(50_001));
                tell(stream, MediaEvent::AudioMoved { rtp, rtcp, candidates: Vec::new() });
            }
            MediaCommand::RunAudio(stream, parameters) => {
                let rtp = &self.engine.config.session.rtp;
                assert!(!rtp.srtp_forced || parameters.srtp.is_some(), "plain RTP where SRTP is forced");
                tell(stream, MediaEvent::AudioReceived { from: parameters.remote_rtp });
            }
            MediaCommand::PrepareChat(stream, _) => {
                self.streams.push((session, stream));
                tell(stream, MediaEvent::ChatReady { path: path(stream), fingerprint: None });
            }
            MediaCommand::RunChat(stream, _) => tell(stream, MediaEvent::ChatStarted),
            MediaCommand::SendMessage(stream, message) => {
                let (message_id, reason) = (message.message_id, "OK".to_owned());
                tell(stream, MediaEvent::ChatDelivered { message_id, code: 200, reason });
            }
            MediaCommand::PrepareFile(stream, _) => {
                self.streams.push((session, stream));
                let info =
                    FileInfo { name: Some("photo.jpg".to_owned()), size: Some(9), ..FileInfo::default() };
                tell(
                    stream,
                    MediaEvent::FileReady { path: path(stream), fingerprint: None, info, offset: 0 },
                );
            }
            MediaCommand::RunFile(stream, _) => {
                tell(stream, MediaEvent::FileStarted);
                tell(stream, MediaEvent::FileDelivered { code: 200, reason: "OK".to_owned() });
            }
            MediaCommand::StopAudio(stream)
            | MediaCommand::StopChat(stream)
            | MediaCommand::StopFile(stream) => {
                self.streams.retain(|known| *known != (session, stream));
                tell(stream, MediaEvent::Stopped);
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            match self.engine.poll_output() {
                Output::Idle(deadline) => {
                    self.deadline = deadline;
                    return;
                }
                Output::Sip(sip::Output::Transmit { data, .. }) => self.sent(data),
                Output::Sip(sip::Output::Connect { flow, .. }) => {
                    let refused = sip::Input::ConnectFailed { flow, reason: "refused".to_owned() };
                    self.engine.handle_sip(self.at(), refused);
                }
                Output::Sip(sip::Output::Resolve { query, .. }) => {
                    let nothing = sip::Input::Resolved { query, result: Err("no DNS".to_owned()) };
                    self.engine.handle_sip(self.at(), nothing);
                }
                Output::Sip(_) | Output::Snapshot { .. } | Output::Post { .. } => {}
                Output::Media { session, command } => self.asked_of_media(session, command),
                Output::Notify { session, event, .. } => self.told(session, &event),
            }
        }
        panic!("draining does not end");
    }

    fn sent(&mut self, data: Bytes) {
        assert!(memchr::memmem::find(&data, PASSWORD.as_bytes()).is_none(), "a password is sent");
        if data.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return;
        }
        let message = Message::parse(data.clone(), &Limits::default());
        let message = message.unwrap_or_else(|error| panic!("{error} in what we send: {data:?}"));
        match message {
            Message::Request(request) => {
                assert_eq!(request.validate(), Ok(()), "we send good requests");
                self.dialog = dialog(request.headers(), "To", "From");
                if self.asked.len() >= 8 {
                    self.asked.remove(0);
                }
                self.asked.push(request);
            }
            Message::Response(response) => self.dialog = dialog(response.headers(), "From", "To"),
        }
    }

    fn told(&mut self, session: SessionId, event: &Event) {
        assert!(!self.ended.contains(&session), "{} after DidEnd", event.name());
        let Event::Session(event) = event else { return };
        let state = self.states.get(&session).copied().unwrap_or(State::Null);
        match event {
            SessionEvent::ChangedState { prev_state, state: new } => {
                assert!(*prev_state == state && state.may_become(*new), "from {state} to {new}");
                self.states.insert(session, *new);
                if !self.sessions.contains(&session) {
                    self.sessions.push(session);
                }
            }
            SessionEvent::DidFail { .. } => {
                assert!(state == State::Terminated && self.failed.insert(session), "DidFail in {state}");
            }
            SessionEvent::DidEnd { .. } => {
                assert!(state == State::Terminated && self.ended.insert(session), "DidEnd in {state}");
            }
            _ => {}
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        for _ in 0..100_000 {
            let Some(at) = self.deadline.filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.at());
            self.drain();
        }
        panic!("time stands still");
    }

    /// Everything is ended, and time passes.
    fn finish(&mut self) {
        for _ in 0..3 {
            self.engine.terminate_all(self.at());
            self.drain();
            while !self.media.is_empty() {
                self.media(0);
                self.drain();
            }
            self.pass(Duration::from_secs(300));
        }
        let left = (self.engine.sessions.len(), self.engine.calls.len(), self.engine.requests.len());
        assert_eq!(left, (0, 0, 0), "sessions, calls and requests that are left: {:?}", self.states);
        assert!(self.engine.is_settled(), "something is left over: {:?}", self.engine.endpoint.stats());
        let begun: BTreeSet<SessionId> = self.states.keys().copied().collect();
        assert_eq!(begun, self.ended, "each session ends");
    }
}

/// Call-ID, the peer's tag and ours.
fn dialog(headers: &sip_core::Headers, theirs: &str, ours: &str) -> (String, String, String) {
    let tag = |name: &str| {
        let value = headers.text(name).unwrap_or_default();
        let tag = value.split(";tag=").nth(1).unwrap_or_default();
        tag.split([';', ' ']).next().unwrap_or_default().to_owned()
    };
    let theirs = Some(tag(theirs)).filter(|tag| !tag.is_empty()).unwrap_or_else(|| "p0".to_owned());
    (headers.text("Call-ID").unwrap_or_default().to_owned(), theirs, tag(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The operations do reach what they are meant to: established calls, in both directions.
    #[test]
    fn calls_come_about() {
        let mut world = World::new(0);
        let invite = [1, 0, 1, 0, 3, 0];
        let accept = [7, 4, 0];
        for operation in [&invite[..], &[5, 0], &accept, &[5, 0], &[1, 1, 0, 0, 0, 0]] {
            let mut rest = Bytes::copy_from_slice(operation);
            let first = byte(&mut rest);
            world.perform(first, &mut rest);
            world.drain();
        }
        assert_eq!(world.states.values().copied().collect::<Vec<_>>(), [State::Established]);
        for operation in [&[6, 16][..], &[5, 0], &[5, 0], &[3, 0, 3, 0, 0, 3, 0]] {
            let mut rest = Bytes::copy_from_slice(operation);
            let first = byte(&mut rest);
            world.perform(first, &mut rest);
            world.drain();
        }
        assert_eq!(world.states.len(), 2);
        assert!(world.states.values().all(|state| *state == State::Established), "{:?}", world.states);
        world.finish();
    }

    #[test]
    fn random_operations_leave_nothing_over() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for length in 1..1_500 {
            let data: Vec<u8> = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[4]
            })
            .take(length % 400)
            .collect();
            engine(&data);
        }
    }
}
