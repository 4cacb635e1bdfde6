//! A file transfer on its own.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sip_core::Uri;

use super::{next_number, preparation, random_id, session_config, text};
use crate::configuration::MsrpConfiguration;
use crate::driver::{self, AloneStream};
use crate::error::Error;
use crate::negotiation::{Description, LocalChat, LocalFile, LocalMedia, Negotiated, OfferedFile};
use crate::notification::{
    ChatFailureContext, MsrpFileTransferEvent, MsrpFileTransferEventKind as Is, NotificationCenter, Sender,
};
use crate::session::machine::SessionConfig;
use crate::session::{
    FileDirection, FileInfo, FilePreparation, FileSource, FileToSend, MediaEvent, StreamId,
};

/// The stream in its own description.
const STREAM: StreamId = StreamId(1);

/// The transfer of one file over MSRP (RFC 5547) without a session around it. A handle: every clone is the
/// same transfer.
///
/// What happens is told by `MSRPFileTransfer…` notifications.
#[derive(Clone)]
pub struct MsrpFileTransfer {
    inner: Arc<Inner>,
}

struct Inner {
    number: u64,
    center: NotificationCenter,
    config: SessionConfig,
    local_uri: Uri,
    remote_uri: Uri,
    task: Task,
    state: Mutex<State>,
}

/// What is to be transferred.
enum Task {
    Send(FileToSend),
    Request {
        info: FileInfo,
        folder: PathBuf,
    },
    /// What the peer's description says.
    Answer {
        offer: String,
        folder: PathBuf,
    },
}

struct State {
    stream: Option<AloneStream>,
    description: Description,
    offered: Option<OfferedFile>,
    transfer_id: String,
    direction: FileDirection,
    info: FileInfo,
    local_media: Option<String>,
    agreed: Option<Negotiated>,
    settled: bool,
}

impl MsrpFileTransfer {
    /// Sends a file.
    #[must_use]
    pub fn send(
        center: &NotificationCenter,
        config: MsrpConfiguration,
        local_uri: Uri,
        remote_uri: Uri,
        file: FileToSend,
    ) -> Self {
        Self::new(center, config, local_uri, remote_uri, Task::Send(file))
    }

    /// Asks for a file, to be kept in `folder`.
    #[must_use]
    pub fn request(
        center: &NotificationCenter,
        config: MsrpConfiguration,
        local_uri: Uri,
        remote_uri: Uri,
        info: FileInfo,
        folder: impl Into<PathBuf>,
    ) -> Self {
        let folder = folder.into();
        Self::new(center, config, local_uri, remote_uri, Task::Request { info, folder })
    }

    /// Takes what the peer's description offers into `folder`, or gives what it asks for out of the shared
    /// folder of the configuration.
    #[must_use]
    pub fn answer(
        center: &NotificationCenter,
        config: MsrpConfiguration,
        local_uri: Uri,
        remote_uri: Uri,
        remote_offer: &str,
        folder: impl Into<PathBuf>,
    ) -> Self {
        let (offer, folder) = (remote_offer.to_owned(), folder.into());
        Self::new(center, config, local_uri, remote_uri, Task::Answer { offer, folder })
    }

    fn new(
        center: &NotificationCenter,
        config: MsrpConfiguration,
        local_uri: Uri,
        remote_uri: Uri,
        task: Task,
    ) -> Self {
        let number = next_number();
        let direction = match task {
            Task::Send(_) => FileDirection::Outgoing,
            Task::Request { .. } | Task::Answer { .. } => FileDirection::Incoming,
        };
        let state = State {
            stream: None,
            description: Description::new(number),
            offered: None,
            transfer_id: random_id(),
            direction,
            info: FileInfo::default(),
            local_media: None,
            agreed: None,
            settled: false,
        };
        let (center, config) = (center.clone(), session_config(config));
        let inner = Inner { number, center, config, local_uri, remote_uri, task, state: Mutex::new(state) };
        Self { inner: Arc::new(inner) }
    }

    /// Looks at the file and makes the local media, on the tokio runtime it is called in.
    /// `MSRPFileTransferDidInitialize` or `MSRPFileTransferDidFail` follows.
    ///
    /// # Errors
    /// If it was initialized before, or there is no file in the peer's description that can be taken.
    pub fn initialize(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.stream.is_some() {
            return Err(wrong("it is initialized already"));
        }
        let config = &self.inner.config;
        let (mut tls, max_size) = (config.msrp.local_use_tls, config.msrp.max_file_size);
        let source = match &self.inner.task {
            Task::Send(file) => FileSource::Send(file.clone()),
            Task::Request { info, folder } => {
                FileSource::Receive { folder: folder.clone(), info: info.clone(), offset: None, max_size }
            }
            Task::Answer { offer, folder } => {
                let offered = state.description.offered(Some(offer.as_bytes()), config);
                let offered = offered.map_err(|refusal| wrong(&refusal.reason))?;
                let file = offered.files.into_iter().next();
                let file = file.ok_or_else(|| wrong("there is no file in the peer's description"))?;
                (tls, state.direction) = (file.tls, file.file.direction);
                state.transfer_id.clone_from(&file.file.transfer_id);
                let (info, offset) = (file.file.info.clone(), file.file.offset);
                let source = match (file.file.direction, &config.msrp.shared_folder) {
                    (FileDirection::Incoming, _) => {
                        FileSource::Receive { folder: folder.clone(), info, offset: Some(offset), max_size }
                    }
                    (FileDirection::Outgoing, Some(shared)) => {
                        FileSource::Serve { folder: shared.clone(), wanted: info, offset }
                    }
                    (FileDirection::Outgoing, None) => return Err(wrong("no folder is shared")),
                };
                state.offered = Some(file);
                source
            }
        };
        let weak = Arc::downgrade(&self.inner);
        let tell = move |event| {
            if let Some(inner) = weak.upgrade() {
                MsrpFileTransfer { inner }.happened(event);
            }
        };
        let preparation = FilePreparation { listener: preparation(config, tls), source };
        state.stream = Some(AloneStream::file(preparation, tell)?);
        Ok(())
    }

    /// Connects it and transfers the file. `remote_media` is the peer's answer; where the peer made the offer,
    /// it is not needed.
    ///
    /// # Errors
    /// If it is not initialized, or the descriptions do not fit each other.
    pub fn start(&self, remote_media: Option<&str>) -> Result<(), Error> {
        let mut state = self.lock();
        if state.local_media.is_none() {
            return Err(wrong("it is not initialized"));
        }
        let negotiated = match (state.agreed.take(), remote_media) {
            (Some(agreed), _) => Ok(agreed),
            (None, Some(answer)) => state.description.answered(Some(answer.as_bytes()), &self.inner.config),
            (None, None) => return Err(wrong("the peer's description is needed")),
        };
        let negotiated = negotiated.map_err(|error| wrong(&error.to_string()))?;
        let parameters = negotiated.files.into_iter().next();
        let (_, mut parameters) = parameters.ok_or_else(|| wrong("the peer does not take the file"))?;
        parameters.local_uri = text(&self.inner.local_uri);
        parameters.remote_uri = text(&self.inner.remote_uri);
        parameters.start_timeout = self.inner.config.timers.stream_start;
        if let Some(stream) = &state.stream {
            stream.run_file(parameters);
        }
        Ok(())
    }

    /// Ends it: `MSRPFileTransferWillEnd` and `MSRPFileTransferDidEnd` follow. Ended or never initialized:
    /// nothing happens.
    pub fn end(&self) {
        let mut state = self.lock();
        if state.stream.take().is_some() {
            self.post(&state, Is::WillEnd);
        }
    }

    /// Our description, once it is initialized.
    pub fn local_media(&self) -> Option<String> {
        self.lock().local_media.clone()
    }

    /// What is known of the file.
    pub fn info(&self) -> FileInfo {
        self.lock().info.clone()
    }

    pub(crate) fn number(&self) -> u64 {
        self.inner.number
    }

    fn happened(&self, event: MediaEvent) {
        let mut state = self.lock();
        let state = &mut *state;
        match event {
            MediaEvent::FileReady { path, fingerprint, info, offset } => {
                state.info = info.clone();
                match self.describe(state, LocalChat { path, fingerprint }, offset) {
                    Ok(()) => self.post(state, Is::DidInitialize { info }),
                    Err(reason) => self.failed(state, ChatFailureContext::SdpNegotiation, 0, &reason),
                }
            }
            MediaEvent::FileStarted => self.post(state, Is::DidStart),
            MediaEvent::FileProgress { bytes, size } => self.post(state, Is::DidMakeProgress { bytes, size }),
            MediaEvent::FileReceived { path, info } => {
                state.settled = true;
                state.info = info.clone();
                self.post(state, Is::GotFile { path: path.to_string_lossy().into_owned(), info });
            }
            MediaEvent::FileDelivered { code, reason } => {
                state.settled = true;
                let file_name = state.info.name.clone().unwrap_or_default();
                self.post(state, Is::DidDeliverFile { file_name, code, reason });
                // RFC 5547 §8.7: the sender closes.
                if state.stream.take().is_some() {
                    self.post(state, Is::WillEnd);
                }
            }
            MediaEvent::FileFailed { code, reason } => {
                self.failed(state, ChatFailureContext::Reading, code, &reason);
            }
            MediaEvent::Failed { context, reason } => self.failed(state, context, 0, &reason),
            MediaEvent::Stopped => {
                self.failed(state, ChatFailureContext::Reading, 0, "it ended before the file was complete");
                self.post(state, Is::DidEnd);
            }
            _ => {}
        }
    }

    /// Tells once that nothing comes of it.
    fn failed(&self, state: &mut State, context: ChatFailureContext, code: u16, reason: &str) {
        if !std::mem::replace(&mut state.settled, true) {
            let reason = reason.to_owned();
            self.post(state, Is::DidFail { context, reason: reason.clone() });
            if state.direction == FileDirection::Outgoing {
                let file_name = state.info.name.clone().unwrap_or_default();
                self.post(state, Is::DidNotDeliverFile { file_name, code, reason });
            }
        }
        if state.stream.take().is_some() {
            self.post(state, Is::WillEnd);
        }
    }

    fn describe(&self, state: &mut State, end: LocalChat, offset: u64) -> Result<(), String> {
        let local = LocalFile {
            stream: STREAM,
            line: state.offered.as_ref().map(|offered| offered.line),
            transfer_id: state.transfer_id.clone(),
            direction: state.direction,
            info: state.info.clone(),
            offset,
            icon: None,
            render: matches!(&self.inner.task, Task::Send(file) if file.render),
            end,
        };
        let local = LocalMedia { files: vec![local], ..LocalMedia::default() };
        let config = &self.inner.config;
        let body = if state.offered.is_some() {
            let (body, agreed) =
                state.description.answer(&local, config).map_err(|error| error.to_string())?;
            state.agreed = Some(agreed);
            body
        } else {
            state.description.offer(&local, config)
        };
        state.local_media = Some(String::from_utf8_lossy(&body).into_owned());
        Ok(())
    }

    fn post(&self, state: &State, kind: Is) {
        let (transfer_id, direction) = (state.transfer_id.clone(), state.direction);
        let event = MsrpFileTransferEvent { transfer_id, direction, kind };
        self.inner.center.post(driver::now().wall, Sender::MsrpFileTransfer(self.clone()), event);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wrong(reason: &str) -> Error {
    Error::Stream { stream: "MsrpFileTransfer", reason: reason.to_owned() }
}

impl fmt::Debug for MsrpFileTransfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MsrpFileTransfer").field("number", &self.inner.number).finish_non_exhaustive()
    }
}
