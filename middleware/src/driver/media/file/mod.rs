//! The task of a file transfer: an MSRP session for one file (RFC 5547 §8.7).
//!
//! The bytes go between the connection and a thread that may block on the disk, through a queue of some
//! blocks. Nothing waits for the disk until it is a mebibyte behind: then it slows the reading of the connection, and
//! thereby the peer. A slow peer slows the reading of the disk. A file of any size takes the same memory.

mod disk;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use msrp_cpim::cpim::{Address, Message as CpimMessage};
use msrp_cpim::{Body, Event, MsrpUri, OutgoingMessage, Receive, SessionConfig, SessionId};
use tokio::sync::{mpsc, oneshot};

use self::disk::{Job, Looked, Plan, Unfit};
use super::msrp::{End, Ends, Peer, Standing, Wire};
use crate::driver::clock;
use crate::notification::ChatFailureContext;
use crate::session::{FileInfo, FileParameters, FilePreparation, MediaEvent};

/// Blocks between the connection and the disk.
const QUEUE: usize = 16;
/// Bytes that the disk may be behind with before nothing more is read.
const AHEAD: usize = 1 << 20;
/// Bytes in a chunk; the peer answers each.
const CHUNK: usize = 128 * 1024;
/// CPIM headers around a file are not longer.
const MAX_WRAPPING: usize = 16 * 1024;
/// MSRP's word for a file that is not what it was said to be.
const WRONG_FILE: u16 = 400;
/// MSRP's word for a file that cannot be kept.
const NO_ROOM: u16 = 413;

/// What a file task is told; its end by the end of its commands.
#[derive(Debug)]
pub(super) enum FileCommand {
    Run(Box<FileParameters>),
}

/// Looks at the file, waits for the descriptions to come to something, and transfers it.
pub(super) async fn run(
    ends: Ends,
    preparation: Box<FilePreparation>,
    mut commands: mpsc::UnboundedReceiver<FileCommand>,
    tell: impl Fn(MediaEvent) + Send,
) {
    let FilePreparation { listener, source } = *preparation;
    let looked = tokio::task::spawn_blocking(|| disk::look(source)).await;
    let looked = looked.unwrap_or_else(|error| Err(io::Error::other(error)));
    let prepared = match looked {
        Ok(looked) => ends.open(&listener).await.map(|end| (end, looked)),
        Err(error) => Err(error),
    };
    match prepared {
        Ok((mut end, looked)) => {
            let (path, fingerprint) = (end.path(), end.fingerprint());
            let (info, offset) = (looked.info.clone(), looked.offset);
            tell(MediaEvent::FileReady { path, fingerprint, info, offset });
            let parameters = tokio::select! {
                command = commands.recv() => command.ok_or_else(|| "it was ended before it began".to_owned()),
                reason = end.idle() => Err(reason),
            };
            match parameters {
                Ok(FileCommand::Run(parameters)) => {
                    let transfer = Transfer { parameters: *parameters, tell: &tell, looked };
                    transfer.run(&ends, end, &mut commands).await;
                }
                Err(reason) => {
                    looked.discard();
                    if !commands.is_closed() {
                        tell(MediaEvent::Failed { context: ChatFailureContext::Start, reason });
                    }
                }
            }
        }
        Err(error) => {
            tell(MediaEvent::Failed { context: ChatFailureContext::Initialize, reason: error.to_string() });
        }
    }
    while commands.recv().await.is_some() {}
    tell(MediaEvent::Stopped);
}

struct Transfer<'t, F> {
    parameters: FileParameters,
    tell: &'t F,
    looked: Looked,
}

impl<F: Fn(MediaEvent)> Transfer<'_, F> {
    async fn run(self, ends: &Ends, end: End, commands: &mut mpsc::UnboundedReceiver<FileCommand>) {
        let Self { parameters, tell, looked } = self;
        let announced = parameters.info.size.or(looked.info.size);
        let offset = looked.offset;
        let blank = SessionConfig::new(Vec::new(), Vec::new(), parameters.active);
        let session = match &looked.plan {
            Plan::Send { .. } => SessionConfig { chunk_size: CHUNK, ..blank },
            Plan::Receive { max_size, .. } => SessionConfig {
                receive: Receive::Streamed,
                confirm: true,
                max_size: announced.map_or(*max_size, |size| (size - offset.min(size)) + MAX_WRAPPING as u64),
                max_partial: 1,
                ..blank
            },
        };
        let Standing { wire, session, .. } =
            &mut match connect(ends, end, &parameters, session, commands).await {
                Ok(standing) => standing,
                Err(error) => {
                    looked.discard();
                    if !commands.is_closed() {
                        let (context, reason) = (ChatFailureContext::Start, error.to_string());
                        tell(MediaEvent::Failed { context, reason });
                    }
                    return;
                }
            };
        let session = *session;
        tell(MediaEvent::FileStarted);
        let Looked { info, plan, .. } = looked;
        let done = match plan {
            Plan::Send { path, size } => {
                let (blocks, read) = mpsc::channel(QUEUE);
                tokio::task::spawn_blocking(move || disk::read(&path, offset, &blocks));
                let progress = Progress::new(tell, offset, size);
                let sending = Sending { wire, session, read, info, parameters, progress };
                sending.run(size - offset, commands).await
            }
            Plan::Receive { part, .. } => {
                let (jobs, queue) = mpsc::channel(QUEUE);
                let writing = Some(tokio::task::spawn_blocking(move || disk::write(*part, queue)));
                let progress = Progress::new(tell, offset, announced.unwrap_or(0));
                let wrapped = None;
                let (ahead, ahead_bytes) = (VecDeque::new(), 0);
                let receiving = Receiving {
                    wire,
                    session,
                    jobs,
                    ahead,
                    ahead_bytes,
                    writing,
                    info,
                    offset,
                    wrapped,
                    progress,
                };
                receiving.run(commands).await
            }
        };
        if let Err((code, reason)) = done {
            tell(MediaEvent::FileFailed { code, reason });
        }
    }
}

async fn connect(
    ends: &Ends,
    end: End,
    parameters: &FileParameters,
    session: SessionConfig,
    commands: &mut mpsc::UnboundedReceiver<FileCommand>,
) -> io::Result<Standing> {
    let peer = Peer {
        path: MsrpUri::parse_path(&parameters.remote_path).map_err(io::Error::other)?,
        place: parameters.remote_place.clone(),
        fingerprint: parameters.remote_fingerprint.clone(),
        active: parameters.active,
        patience: parameters.start_timeout,
    };
    let mut connecting = std::pin::pin!(ends.connect(end, &peer, session));
    loop {
        tokio::select! {
            standing = &mut connecting => return standing,
            command = commands.recv() => if command.is_none() {
                return Err(io::Error::other("the transfer was ended before it was connected"));
            },
        }
    }
}

/// Why a transfer did not come about: an MSRP status, or 0, and words.
type Failure = (u16, String);

/// A file on its way to the peer.
struct Sending<'t, F> {
    wire: &'t mut Wire,
    session: SessionId,
    read: mpsc::Receiver<io::Result<Bytes>>,
    info: FileInfo,
    parameters: FileParameters,
    progress: Progress<'t, F>,
}

impl<F: Fn(MediaEvent)> Sending<'_, F> {
    async fn run(
        mut self,
        length: u64,
        commands: &mut mpsc::UnboundedReceiver<FileCommand>,
    ) -> Result<(), Failure> {
        let (message, wrapping) = self.message(length).map_err(|error| (0, error.to_string()))?;
        let total = length + wrapping.len() as u64;
        if self.parameters.remote_max_size.is_some_and(|max| max < total) {
            return Err((413, "the peer does not take files of this size".to_owned()));
        }
        let now = clock::now().instant;
        let sent = self.wire.machine.send(now, self.session, message);
        let message_id = sent.map_err(|error| (0, error.to_string()))?;
        let ahead = wrapping.len() as u64;
        let mut first = Some(wrapping).filter(|wrapping| !wrapping.is_empty());
        let (mut fed, mut wants, mut ended) = (0, false, false);
        let mut outcome = None;
        loop {
            if wants && fed == 0 && (first.is_some() || total == 0) {
                let data = first.take().unwrap_or_default();
                fed += data.len() as u64;
                wants = self.feed(&message_id, data, fed == total)?;
                continue;
            }
            tokio::select! {
                command = commands.recv(), if !ended => if command.is_none() {
                    ended = true;
                    self.wire.disconnect();
                },
                event = self.wire.next() => match event {
                    None => break,
                    Some(Event::NeedData { .. }) => wants = true,
                    Some(Event::Progress { confirmed, .. }) => {
                        self.progress.at(confirmed.saturating_sub(ahead));
                    }
                    Some(Event::Delivered { .. }) => {
                        self.progress.at(length);
                        let reason = "OK".to_owned();
                        (self.progress.tell)(MediaEvent::FileDelivered { code: 200, reason });
                        outcome = Some(Ok(()));
                    }
                    Some(Event::NotDelivered { code, reason, .. }) => {
                        let lost = code == 408 && !ended;
                        let reason = if lost { format!("{reason}: {}", self.wire.failure()) } else { reason };
                        outcome.get_or_insert(Err((code, reason)));
                        self.wire.disconnect();
                    }
                    Some(_) => {}
                },
                block = self.read.recv(), if wants && !ended && outcome.is_none() => {
                    let data = match block {
                        Some(Ok(data)) => data,
                        Some(Err(error)) => return Err((0, error.to_string())),
                        None => return Err((0, "the file has become shorter".to_owned())),
                    };
                    fed += data.len() as u64;
                    if fed > total {
                        return Err((0, "the file has become longer".to_owned()));
                    }
                    wants = self.feed(&message_id, data, fed == total)?;
                }
            }
        }
        outcome.unwrap_or_else(|| Err((408, self.wire.failure().to_owned())))
    }

    /// Gives the machine a block; it asks for the next one itself.
    fn feed(&mut self, message_id: &str, data: Bytes, last: bool) -> Result<bool, Failure> {
        let now = clock::now().instant;
        let fed = self.wire.machine.feed(now, self.session, message_id, data, last);
        fed.map(|()| false).map_err(|error| (0, error.to_string()))
    }

    /// The message that carries the file, and what goes before the file in it.
    fn message(&self, length: u64) -> Result<(OutgoingMessage, Bytes), msrp_cpim::UsageError> {
        let kind = self.info.content_type.as_deref().unwrap_or("application/octet-stream");
        let mut wrapping = Bytes::new();
        if self.parameters.cpim {
            let address = |uri: &str| Address { name: None, uri: uri.to_owned() };
            let mut message = CpimMessage::new(kind, Bytes::new())?;
            message.push_address("From", &address(&self.parameters.local_uri))?;
            message.push_address("To", &address(&self.parameters.remote_uri))?;
            wrapping = message.to_bytes();
        }
        let total = length + wrapping.len() as u64;
        let body = Body::Streamed { total: Some(total), offset: 0 };
        let content_type = if self.parameters.cpim { "message/cpim" } else { kind };
        let mut message = OutgoingMessage { body, ..OutgoingMessage::new(content_type, Bytes::new()) };
        let name: String = self.info.name.iter().flat_map(|name| name.chars()).collect();
        if !self.parameters.cpim && !name.is_empty() && !name.chars().any(char::is_control) {
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            let value = format!("attachment; filename=\"{name}\"");
            message.headers.push(("Content-Disposition".to_owned(), value));
        }
        Ok((message, wrapping))
    }
}

/// A file on its way to us.
struct Receiving<'t, F> {
    wire: &'t mut Wire,
    session: SessionId,
    jobs: mpsc::Sender<Job>,
    /// What the disk is behind with, and its bytes.
    ahead: VecDeque<Job>,
    ahead_bytes: usize,
    writing: Option<tokio::task::JoinHandle<Option<io::Error>>>,
    info: FileInfo,
    /// Where in the file the first byte of the message belongs.
    offset: u64,
    wrapped: Option<Wrapping>,
    progress: Progress<'t, F>,
}

/// What a receiving task hears of.
enum Happened {
    Command(Option<FileCommand>),
    Event(Option<Event>),
    /// The disk takes more, or nothing any more.
    Room(bool),
    Finished(Option<Finished>),
}

/// What came of a file: where it is, and what is known of it.
type Finished = Result<(PathBuf, FileInfo), Unfit>;

async fn answer(finishing: &mut Option<oneshot::Receiver<Finished>>) -> Option<Finished> {
    match finishing {
        Some(answer) => answer.await.ok(),
        None => std::future::pending().await,
    }
}

/// The CPIM headers around a file: how long they are once that is known.
enum Wrapping {
    Arriving(BytesMut),
    Known(u64),
}

impl<F: Fn(MediaEvent)> Receiving<'_, F> {
    async fn run(mut self, commands: &mut mpsc::UnboundedReceiver<FileCommand>) -> Result<(), Failure> {
        let (mut ended, mut outcome, mut arrived) = (false, None, 0);
        let mut file: Option<String> = None;
        let mut finishing: Option<oneshot::Receiver<Finished>> = None;
        loop {
            let waits = self.ahead_bytes > AHEAD;
            // One that has ended reads nothing.
            let _ = self.wire.machine.pause(self.session, waits);
            let happened = tokio::select! {
                command = commands.recv(), if !ended => Happened::Command(command),
                room = self.jobs.reserve(), if !self.ahead.is_empty() => Happened::Room(room.is_ok()),
                finished = answer(&mut finishing), if finishing.is_some() => Happened::Finished(finished),
                event = self.wire.next() => Happened::Event(event),
            };
            let event = match happened {
                Happened::Event(Some(event)) => event,
                Happened::Event(None) => break,
                Happened::Command(Some(_)) => continue,
                Happened::Command(None) => {
                    ended = true;
                    self.wire.disconnect();
                    continue;
                }
                Happened::Room(true) => {
                    if let Some(job) = self.ahead.pop_front() {
                        self.ahead_bytes -= job.length();
                        // There is room: nobody else fills it.
                        let _ = self.jobs.try_send(job);
                    }
                    continue;
                }
                Happened::Room(false) => {
                    self.ahead.clear();
                    finishing = None;
                    let failure = (NO_ROOM, self.disk_error().await);
                    outcome.get_or_insert(Err(failure));
                    self.wire.disconnect();
                    continue;
                }
                Happened::Finished(finished) => {
                    finishing = None;
                    let finished = self.finished(finished).await;
                    let code = finished.as_ref().err().map_or(200, |(code, _)| *code);
                    if let Some(message_id) = &file {
                        // The peer may be gone already.
                        let now = clock::now().instant;
                        let _ = self.wire.machine.confirm(now, self.session, message_id, code);
                    }
                    outcome.get_or_insert(finished);
                    continue;
                }
            };
            match event {
                Event::Data { message_id, offset, data, content_type, .. }
                    if outcome.is_none() && finishing.is_none() =>
                {
                    // RFC 5547 §8.7: one file, in one message.
                    if *file.get_or_insert_with(|| message_id.clone()) != message_id {
                        continue;
                    }
                    arrived += data.len() as u64;
                    match self.unwrap(offset, data, &content_type) {
                        Ok(None) => {}
                        Ok(Some((at, data))) => {
                            self.ahead_bytes += data.len();
                            self.ahead.push_back(Job::Write { at: self.offset + at, data });
                        }
                        Err(failure) => {
                            outcome = Some(Err(failure));
                            self.wire.disconnect();
                        }
                    }
                    self.progress.at(arrived);
                }
                Event::DataEnd { message_id, .. } if outcome.is_none() && finishing.is_none() => {
                    if *file.get_or_insert_with(|| message_id.clone()) != message_id {
                        continue;
                    }
                    let (told, answer) = oneshot::channel();
                    self.ahead.push_back(Job::Finish(told));
                    finishing = Some(answer);
                }
                Event::IncomingAborted { message_id, .. } if file.as_ref() == Some(&message_id) => {
                    outcome.get_or_insert_with(|| Err((408, "the peer gave it up".to_owned())));
                }
                _ => {}
            }
        }
        // What has arrived is kept, whatever became of the connection: it may be all, or be gone on with.
        while let Some(job) = self.ahead.pop_front() {
            if self.jobs.send(job).await.is_err() {
                break;
            }
        }
        match finishing {
            Some(answer) => {
                let finished = answer.await.ok();
                self.finished(finished).await
            }
            None => outcome.unwrap_or_else(|| Err((408, self.wire.failure().to_owned()))),
        }
    }

    /// Takes the CPIM headers off, where the file came in them.
    fn unwrap(
        &mut self,
        offset: u64,
        data: Bytes,
        content_type: &str,
    ) -> Result<Option<(u64, Bytes)>, Failure> {
        let is_cpim = |kind: &str| {
            kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("message/cpim")
        };
        if !is_cpim(content_type) || self.info.content_type.as_deref().is_some_and(is_cpim) {
            return Ok(Some((offset, data)));
        }
        let wrapping = self.wrapped.get_or_insert_with(|| Wrapping::Arriving(BytesMut::new()));
        match wrapping {
            Wrapping::Known(length) => match offset.checked_sub(*length) {
                Some(at) => Ok(Some((at, data))),
                None => Err((WRONG_FILE, "its headers came twice".to_owned())),
            },
            Wrapping::Arriving(head) => {
                if offset != head.len() as u64 {
                    return Err((WRONG_FILE, "its headers did not come first".to_owned()));
                }
                head.extend_from_slice(&data);
                // RFC 3862 §2: headers of the message, an empty line, headers of the content, an empty line.
                let ends: Vec<usize> = memchr::memmem::find_iter(head, b"\r\n\r\n").take(2).collect();
                match ends.as_slice() {
                    [_, second] => {
                        let length = second + 4;
                        let rest = head.split_off(length).freeze();
                        *wrapping = Wrapping::Known(length as u64);
                        Ok(Some((0, rest)))
                    }
                    _ if head.len() > MAX_WRAPPING => {
                        Err((WRONG_FILE, "its headers are too long".to_owned()))
                    }
                    _ => Ok(None),
                }
            }
        }
    }

    /// What became of the file on the disk; `None`: nobody was there to say.
    async fn finished(&mut self, finished: Option<Finished>) -> Result<(), Failure> {
        match finished {
            Some(Ok((path, info))) => {
                self.progress.at(u64::MAX);
                (self.progress.tell)(MediaEvent::FileReceived { path, info });
                Ok(())
            }
            Some(Err(error @ Unfit::Wrong(_))) => Err((WRONG_FILE, error.to_string())),
            Some(Err(error @ Unfit::Disk(_))) => Err((NO_ROOM, error.to_string())),
            None => Err((NO_ROOM, self.disk_error().await)),
        }
    }

    /// Why the disk takes no more.
    async fn disk_error(&mut self) -> String {
        let ended = match self.writing.take() {
            Some(writing) => writing.await,
            None => Ok(None),
        };
        match ended {
            Ok(Some(error)) => error.to_string(),
            Ok(None) => "the file cannot be written".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// Tells how far it is, a hundred times at most.
struct Progress<'t, F> {
    tell: &'t F,
    offset: u64,
    size: u64,
    next: u64,
}

/// Less is not worth telling.
const STEP: u64 = 64 * 1024;

impl<'t, F: Fn(MediaEvent)> Progress<'t, F> {
    fn new(tell: &'t F, offset: u64, size: u64) -> Self {
        Self { tell, offset, size, next: 0 }
    }

    /// So many bytes behind the offset are there.
    fn at(&mut self, bytes: u64) {
        let bytes = self.offset.saturating_add(bytes).min(self.size);
        if bytes >= self.next && self.next <= self.size && self.size > 0 {
            let last = bytes == self.size;
            self.next =
                if last { u64::MAX } else { bytes + (self.size / 100).max(STEP).min(self.size - bytes) };
            (self.tell)(MediaEvent::FileProgress { bytes, size: self.size });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn progress_is_told_a_hundred_times_at_most_and_at_the_end() {
        for size in [1, 100, 65_536, 10_000_000, 5_000_000_000] {
            let told = RefCell::new(Vec::new());
            let tell = |event| told.borrow_mut().push(event);
            let mut progress = Progress::new(&tell, 0, size);
            for part in 0..=2_000 {
                progress.at(size / 2_000 * part);
            }
            progress.at(size);
            progress.at(u64::MAX);
            let told = told.into_inner();
            assert!(told.len() <= 102, "{size}: {}", told.len());
            let last = MediaEvent::FileProgress { bytes: size, size };
            assert_eq!(told.last(), Some(&last));
            assert_eq!(told.iter().filter(|event| **event == last).count(), 1, "{size}");
        }
    }
}
