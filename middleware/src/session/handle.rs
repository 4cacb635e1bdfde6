//! The session as applications see it.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::SystemTime;

use bytes::Bytes;
use sip_core::{StatusCode, Uri};
use zeroize::Zeroizing;

use super::machine::{Context, SessionConfig, SessionMachine};
use super::{
    AcceptOptions, ChatAction, ConferenceId, ConnectOptions, DtmfMethod, FileInfo, FileToSend, Invitation,
    MessageOptions, Operation, SessionId, SessionSnapshot, StreamSet, TransferOptions, auto_answer_headers,
};
use crate::credentials::Credentials;
use crate::driver::{Commander, PcmReader, PcmWriter, Reply, open_pcm};
use crate::engine::{Engine, Now};
use crate::error::{Error, check_refusal};

/// A session between this side and a peer, with its media streams.
///
/// A handle: cheap to clone, and every clone is the same session. Methods neither block nor
/// wait: each hands its command over at once and returns a [`Reply`] that tells whether it was
/// legal; what comes of it is told by notifications. The reply may be awaited or dropped.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

/// Finds the handle of a session by its id, so that all handles are clones of one.
#[derive(Clone, Default)]
pub(crate) struct Directory {
    sessions: Arc<Mutex<HashMap<SessionId, Weak<Inner>>>>,
}

struct Inner {
    id: SessionId,
    commander: Commander,
    config: SessionConfig,
    snapshot: RwLock<Arc<SessionSnapshot>>,
}

impl Session {
    pub(crate) fn new(id: SessionId, commander: Commander, config: SessionConfig) -> Self {
        let snapshot = RwLock::new(Arc::new(SessionSnapshot::new()));
        let directory = commander.directory().clone();
        let inner = Arc::new(Inner { id, commander, config, snapshot });
        directory.lock().insert(id, Arc::downgrade(&inner));
        Self { inner }
    }

    /// Its name for as long as the application runs.
    pub fn id(&self) -> SessionId {
        self.inner.id
    }

    /// All attributes at one moment.
    pub fn snapshot(&self) -> Arc<SessionSnapshot> {
        self.inner.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_snapshot(&self, snapshot: Arc<SessionSnapshot>) {
        *self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// Calls `callee` with these streams: `new` of the 2009 API. Legal in NULL.
    ///
    /// `route` is a proxy that the INVITE goes to first. At least one stream is needed.
    pub fn connect(
        &self,
        callee: Uri,
        credentials: Credentials,
        route: Option<Uri>,
        streams: StreamSet,
    ) -> Reply<()> {
        self.connect_with_files(callee, credentials, route, streams, Vec::new())
    }

    /// The same, with files to be sent (RFC 5547), which are a stream each. Legal in NULL.
    pub fn connect_with_files(
        &self,
        callee: Uri,
        credentials: Credentials,
        route: Option<Uri>,
        streams: StreamSet,
        files: Vec<FileToSend>,
    ) -> Reply<()> {
        let options = ConnectOptions { files, ..ConnectOptions::default() };
        self.connect_with(callee, credentials, route, streams, options)
    }

    /// The same, with everything that can be said of it. Legal in NULL.
    pub fn connect_with(
        &self,
        callee: Uri,
        credentials: Credentials,
        route: Option<Uri>,
        streams: StreamSet,
        options: ConnectOptions,
    ) -> Reply<()> {
        let (id, config) = (self.inner.id, self.inner.config.clone());
        let ConnectOptions { files, mut headers, max_redirects, late_offer, ask_auto_answer } = options;
        if ask_auto_answer {
            headers.extend(auto_answer_headers(&credentials.uri));
        }
        let invitation = Invitation { callee, credentials, route, headers, max_redirects, late_offer };
        self.inner
            .commander
            .ask(move |engine, now| engine.connect(now, id, config, invitation, streams, files))
    }

    /// Takes these of the offered streams; the others are answered with port 0. Legal in INCOMING.
    pub fn accept(&self, streams: StreamSet) -> Reply<()> {
        self.accept_with(streams, AcceptOptions::default())
    }

    /// The same, with a folder for the files among them; without one, that of the configuration is
    /// taken. Legal in INCOMING.
    pub fn accept_into(&self, streams: StreamSet, folder: impl Into<PathBuf>) -> Reply<()> {
        self.accept_with(streams, AcceptOptions { folder: Some(folder.into()), ..AcceptOptions::default() })
    }

    /// The same, with everything that can be said of it. Legal in INCOMING.
    pub fn accept_with(&self, streams: StreamSet, options: AcceptOptions) -> Reply<()> {
        let AcceptOptions { folder, relay_password, headers } = options;
        self.ask(Operation::Accept, move |session, context| {
            if let Some(password) = relay_password {
                session.use_relay(Zeroizing::new(password));
            }
            session.accept(context, streams, folder, headers)
        })
    }

    /// Has the caller hear this side before the call is accepted (183 with an answer, RFC 3960): what
    /// [`AudioConfiguration`](crate::configuration::AudioConfiguration) has it hear, and what is written into
    /// [`Session::attach_pcm`]. An answer is final: [`Session::accept`] takes these streams then, audio among them and
    /// no files. Legal in INCOMING, once, if the caller made an offer.
    pub fn start_early_media(&self, streams: StreamSet) -> Reply<()> {
        self.ask(Operation::StartEarlyMedia, move |session, context| {
            session.start_early_media(context, streams)
        })
    }

    /// Declines with 486. Legal in INCOMING.
    pub fn reject(&self) -> Reply<()> {
        self.ask(Operation::Reject, |session, context| session.reject(context, None, Vec::new()))
    }

    /// Declines with another code, from 300 to 699. Legal in INCOMING.
    pub fn reject_with(&self, status: StatusCode) -> Reply<()> {
        self.reject_with_headers(status, Vec::new())
    }

    /// The same, with further headers: the Contact of a redirection, or a Reason. Legal in INCOMING.
    pub fn reject_with_headers(&self, status: StatusCode, headers: Vec<(String, String)>) -> Reply<()> {
        self.ask(Operation::Reject, move |session, context| {
            check_refusal(status)?;
            session.reject(context, Some(status), headers)
        })
    }

    /// Ends it, whatever it is doing. In NULL, TERMINATING and TERMINATED nothing happens.
    pub fn terminate(&self) -> Reply<()> {
        let id = self.inner.id;
        self.inner.commander.ask(move |engine, now| {
            engine.terminate(now, id);
            Ok(())
        })
    }

    /// Puts the peer on hold. Already so: nothing happens. Legal in ESTABLISHED.
    pub fn hold(&self) -> Reply<()> {
        self.ask(Operation::Hold, |session, context| session.hold(context, true))
    }

    /// Takes the peer off hold. Legal in ESTABLISHED.
    pub fn unhold(&self) -> Reply<()> {
        self.ask(Operation::Unhold, |session, context| session.hold(context, false))
    }

    /// Looks for a way through NATs anew (RFC 8445 §9), while audio goes on on the old one: after a
    /// change of network, for example. The peer is asked by a re-INVITE; if it refuses, the old
    /// way stays. Legal in ESTABLISHED with audio that uses ICE.
    pub fn restart_ice(&self) -> Reply<()> {
        self.ask(Operation::RestartIce, |session, context| session.restart_ice(context))
    }

    /// Records what both sides say into a WAV file in `folder`, which is made where it is
    /// missing. The default name has the time, both participants and the number of the session. Legal in ESTABLISHED with
    /// audio.
    pub fn start_recording_audio(&self, folder: impl AsRef<Path>, file_name: Option<&str>) -> Reply<()> {
        let name = match file_name {
            Some(name) => name.to_owned(),
            None => self.default_recording_name(),
        };
        let path: PathBuf = folder.as_ref().join(name);
        // The notifications tell the full path.
        let path = std::path::absolute(&path).unwrap_or(path);
        self.ask(Operation::StartRecordingAudio, move |session, context| {
            session.start_recording(context, path)
        })
    }

    /// Closes the recording. Legal while recording.
    pub fn stop_recording_audio(&self) -> Reply<()> {
        self.ask(Operation::StopRecordingAudio, |session, context| session.stop_recording(context))
    }

    /// Lets the application speak and hear in the session with samples of its own, at `sample_rate`
    /// Hz: a multiple of 50 from 8000 to 48000. What it writes is mixed with what
    /// [`AudioConfiguration`](crate::configuration::AudioConfiguration) has the peer hear; both
    /// ends end with the audio of the session. Legal in ESTABLISHED with audio, and in INCOMING with early media.
    pub fn attach_pcm(&self, sample_rate: u32) -> Reply<(PcmWriter, PcmReader)> {
        let desk = self.inner.commander.pcm().clone();
        self.ask(Operation::AttachPcm, move |session, context| {
            let (end, writer, reader) = open_pcm(sample_rate)?;
            let number = desk.leave(end);
            session.attach_pcm(context, number).inspect_err(|_| drop(desk.fetch(number)))?;
            Ok((writer, reader))
        })
    }

    /// Lets the peer hear silence of us, or us again; a recording has what we say all the same. Legal
    /// in ESTABLISHED, PROPOSING and PROPOSED with audio.
    pub fn set_muted(&self, muted: bool) -> Reply<()> {
        self.ask(Operation::SetMuted, move |session, context| session.set_muted(context, muted))
    }

    /// Presses a key: one of `0-9 * # A-D` (RFC 4733). Legal in ESTABLISHED with audio.
    pub fn send_dtmf(&self, digit: char) -> Reply<()> {
        self.send_dtmf_by(digit, DtmfMethod::Rtp)
    }

    /// The same, in another way. Legal in ESTABLISHED with audio.
    pub fn send_dtmf_by(&self, digit: char, method: DtmfMethod) -> Reply<()> {
        self.ask(Operation::SendDtmf, move |session, context| session.send_dtmf(context, digit, method))
    }

    /// Asks the peer to call `target` instead of being in this session: a blind transfer (RFC 5589 §6). What
    /// becomes of it is told by `SCSessionTransfer…` notifications; when it has succeeded the
    /// session is ended. Legal in ESTABLISHED, one at a time.
    pub fn transfer(&self, target: Uri) -> Reply<()> {
        self.transfer_with(target, TransferOptions::default())
    }

    /// The same, with everything that can be said of it. Legal in ESTABLISHED.
    pub fn transfer_with(&self, target: Uri, options: TransferOptions) -> Reply<()> {
        self.ask_engine(Operation::Transfer, move |engine, now, id| engine.transfer(now, id, target, options))
    }

    /// Asks the peer to take our place in `other`: an attended transfer (RFC 5589 §7). The two peers talk
    /// to each other then, and both sessions end here. Legal where both are ESTABLISHED.
    pub fn transfer_to(&self, other: &Session) -> Reply<()> {
        self.transfer_to_with(other, TransferOptions::default())
    }

    /// The same, with everything that can be said of it. Legal where both are ESTABLISHED.
    pub fn transfer_to_with(&self, other: &Session, options: TransferOptions) -> Reply<()> {
        let other = other.id();
        self.ask_engine(Operation::Transfer, move |engine, now, id| {
            engine.transfer_to(now, id, other, options)
        })
    }

    /// Does what the peer asked for in `SCSessionTransferNewIncoming`: gives the new session, which calls
    /// who the peer said, with the streams of this one. `credentials` are ours for that call; those of
    /// this session, or our address alone, where `None`. Legal in ESTABLISHED while a request of the
    /// peer waits.
    pub fn accept_transfer(&self, credentials: Option<Credentials>) -> Reply<Session> {
        let (config, commander) = (self.inner.config.clone(), self.inner.commander.clone());
        self.ask_engine(Operation::AcceptTransfer, move |engine, now, id| {
            let new = engine.accept_transfer(now, id, credentials, config.clone())?;
            Ok(Session::new(new, commander, config))
        })
    }

    /// Refuses that, with 603. Legal in ESTABLISHED while a request of the peer waits.
    pub fn reject_transfer(&self) -> Reply<()> {
        self.ask(Operation::RejectTransfer, |session, context| session.reject_transfer(context))
    }

    /// Sends a chat message and gives its id. It is queued until MSRP is connected; exactly one
    /// of `SCSessionDidDeliverMessage` and `SCSessionDidNotDeliverMessage` will follow. Legal in
    /// ESTABLISHED with chat.
    pub fn send_message(&self, content: impl Into<Bytes>, options: MessageOptions) -> Reply<String> {
        let content = content.into();
        let MessageOptions { content_type, to, date_time, notify } = options;
        let content_type = content_type.unwrap_or_else(|| "text/plain".to_owned());
        let to = to.map(|uri| uri.to_string());
        self.ask(Operation::SendMessage, move |session, context| {
            session.send_message(context, content, content_type, to, date_time, notify)
        })
    }

    /// Says that the user is composing a message, each time it does something: the peer is told when that
    /// begins, and when it has ended (RFC 3994). Legal in ESTABLISHED with chat.
    pub fn composing(&self) -> Reply<()> {
        self.act(Operation::Composing, ChatAction::Composing)
    }

    /// Says that a message was displayed; its writer is told if it asked to be (RFC 5438). Legal in
    /// ESTABLISHED with chat.
    pub fn displayed(&self, message_id: impl Into<String>) -> Reply<()> {
        self.act(Operation::Displayed, ChatAction::Displayed(message_id.into()))
    }

    /// Asks a conference for a name (RFC 7701); an empty one gives the name up. `MSRPChatDidSetNickname` or
    /// `MSRPChatDidNotSetNickname` follows. Legal in ESTABLISHED with chat.
    pub fn set_nickname(&self, nickname: impl Into<String>) -> Reply<()> {
        self.act(Operation::SetNickname, ChatAction::Nickname(nickname.into()))
    }

    fn act(&self, operation: Operation, action: ChatAction) -> Reply<()> {
        self.ask(operation, move |session, context| session.act_in_chat(context, operation, action))
    }

    /// Proposes audio. Legal in ESTABLISHED without it.
    pub fn add_audio(&self) -> Reply<()> {
        self.ask(Operation::AddAudio, |session, context| session.add(context, StreamSet::AUDIO))
    }

    /// Proposes chat. Legal in ESTABLISHED without it.
    pub fn add_chat(&self) -> Reply<()> {
        self.ask(Operation::AddChat, |session, context| session.add(context, StreamSet::CHAT))
    }

    /// Removes audio; an error if it is the last stream. Legal in ESTABLISHED with audio.
    pub fn remove_audio(&self) -> Reply<()> {
        self.ask(Operation::RemoveAudio, |session, context| session.remove(context, StreamSet::AUDIO))
    }

    /// Removes chat; an error if it is the last stream. Legal in ESTABLISHED with chat.
    pub fn remove_chat(&self) -> Reply<()> {
        self.ask(Operation::RemoveChat, |session, context| session.remove(context, StreamSet::CHAT))
    }

    /// Takes these of the proposed streams. Legal in PROPOSED.
    pub fn accept_proposal(&self, streams: StreamSet) -> Reply<()> {
        self.ask(Operation::AcceptProposal, move |session, context| {
            session.accept_proposal(context, streams, None)
        })
    }

    /// The same, with a folder for the files among them. Legal in PROPOSED.
    pub fn accept_proposal_into(&self, streams: StreamSet, folder: impl Into<PathBuf>) -> Reply<()> {
        let options = AcceptOptions { folder: Some(folder.into()), ..AcceptOptions::default() };
        self.accept_proposal_with(streams, options)
    }

    /// The same, with everything that can be said of it. Legal in PROPOSED.
    pub fn accept_proposal_with(&self, streams: StreamSet, options: AcceptOptions) -> Reply<()> {
        let AcceptOptions { folder, relay_password, headers: _ } = options;
        self.ask(Operation::AcceptProposal, move |session, context| {
            if let Some(password) = relay_password {
                session.use_relay(Zeroizing::new(password));
            }
            session.accept_proposal(context, streams, folder)
        })
    }

    /// Offers a file to the peer, as a stream of its own (RFC 5547), and gives the name of the
    /// transfer. Exactly one of `MSRPFileTransferDidDeliverFile` and
    /// `MSRPFileTransferDidNotDeliverFile` will follow. Legal in ESTABLISHED.
    pub fn send_file(&self, file: FileToSend) -> Reply<String> {
        self.ask(Operation::SendFile, move |session, context| session.send_file(context, file))
    }

    /// Asks the peer for a file by what is known of it, and gives the name of the transfer. It
    /// goes on where an earlier transfer into the same folder was interrupted, if the hash is
    /// known. Legal in ESTABLISHED.
    pub fn request_file(&self, file: FileInfo, folder: Option<PathBuf>) -> Reply<String> {
        self.ask(Operation::RequestFile, move |session, context| session.request_file(context, file, folder))
    }

    /// Gives up the transfer of this name; an error if it is the last stream. Legal in
    /// ESTABLISHED.
    pub fn remove_file(&self, transfer_id: &str) -> Reply<()> {
        let transfer_id = transfer_id.to_owned();
        self.ask(Operation::RemoveFile, move |session, context| session.remove_file(context, &transfer_id))
    }

    /// Refuses the proposed streams. Legal in PROPOSED.
    pub fn reject_proposal(&self) -> Reply<()> {
        self.ask(Operation::RejectProposal, |session, context| session.reject_proposal(context))
    }

    fn ask<T: Send + 'static>(
        &self,
        operation: Operation,
        command: impl FnOnce(&mut SessionMachine, Context<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Reply<T> {
        let session = self.clone();
        self.inner.commander.ask(move |engine: &mut Engine, now| {
            let state = session.state();
            engine
                .with_session(now, session.id(), command)
                .unwrap_or(Err(Error::IllegalState { operation, state }))
        })
    }

    /// What takes more than this session's machine.
    fn ask_engine<T: Send + 'static>(
        &self,
        operation: Operation,
        command: impl FnOnce(&mut Engine, Now, SessionId) -> Result<T, Error> + Send + 'static,
    ) -> Reply<T> {
        let session = self.clone();
        self.inner.commander.ask(move |engine: &mut Engine, now| match engine.knows(session.id()) {
            true => command(engine, now, session.id()),
            false => Err(Error::IllegalState { operation, state: session.state() }),
        })
    }

    /// Puts its audio into a conference, or takes it out.
    pub(super) fn set_conference(&self, conference: Option<ConferenceId>) -> Reply<()> {
        let operation = match conference {
            Some(_) => Operation::JoinConference,
            None => Operation::LeaveConference,
        };
        self.ask(operation, move |session, context| session.set_conference(context, conference))
    }

    pub(super) fn received(&self) -> Option<SocketAddr> {
        self.snapshot().audio.as_ref().and_then(|audio| audio.remote_rtp_received)
    }

    pub(super) fn commander(&self) -> &Commander {
        &self.inner.commander
    }

    fn default_recording_name(&self) -> String {
        let snapshot = self.snapshot();
        let name = |uri: Option<&Uri>| {
            let text = uri.map(|uri| format!("{}@{}", uri.user().unwrap_or_default(), uri.host()));
            file_name_part(&text.unwrap_or_default())
        };
        let at = stamp(self.inner.commander.wall_clock());
        let (caller, callee) = (name(snapshot.caller_uri()), name(snapshot.callee_uri()));
        // Two calls of the same two in the same second are two files.
        format!("{at}-{caller}-{callee}-{}.wav", self.id().number())
    }
}

impl Directory {
    /// The session of this id, if anybody holds it.
    pub(crate) fn find(&self, id: SessionId) -> Option<Session> {
        self.lock().get(&id).and_then(Weak::upgrade).map(|inner| Session { inner })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Weak<Inner>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut sessions = self.commander.directory().lock();
        if sessions.get(&self.id).is_some_and(|session| session.strong_count() == 0) {
            sessions.remove(&self.id);
        }
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Session {}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// A peer's address as a part of a file name: never a separator, never a hidden file.
fn file_name_part(text: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '_' | '-' | '+');
    let part: String = text.chars().take(64).map(|c| if kept(c) { c } else { '_' }).collect();
    let part = part.trim_start_matches('.');
    if part.is_empty() { "unknown".to_owned() } else { part.to_owned() }
}

/// A time as `20261123-021819`, in UTC.
fn stamp(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    time.strftime("%Y%m%d-%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::{file_name_part, stamp};

    #[test]
    fn a_peers_address_never_chooses_a_folder() {
        assert_eq!(file_name_part("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!(file_name_part(""), "unknown");
        assert_eq!(file_name_part("alice@example.com"), "alice@example.com");
    }

    #[test]
    fn stamps_sort_by_time() {
        let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_400_299);
        assert_eq!(stamp(at), "20261123-021819");
    }
}
