//! The files of a session (RFC 5547), each a stream of its own with its own MSRP session.
//!
//! ```text
//!  send_file ──▶ Preparing ──FileReady──▶ Ready ──offer──▶ Offered ──answer──▶ Running ──▶ Over
//!                    │                                         │                  │
//!                    └─────────────── failed, refused ─────────┴──────────────────┘
//! ```
//! Looking at a file (its hashes are computed) takes as long as it takes and holds up nothing but
//! the offer or the answer that it is to be part of.

use std::path::{Path, PathBuf};

use super::exchange::Change;
use super::{Context, MediaCommand, Operation, Phase, SessionMachine, State, StreamId, StreamSet};
use crate::error::Error;
use crate::negotiation::{LocalChat, LocalFile, Negotiated, OfferedFile};
use crate::notification::{
    ChatFailureContext, MsrpFileTransferEvent, MsrpFileTransferEventKind as Is, SessionEvent,
};
use crate::session::effect::{FileParameters, FilePreparation, FileSource, MediaEvent};
use crate::session::{FileDirection, FileIcon, FileInfo, FileSnapshot, FileToSend};

/// Files of a session at a time.
pub(super) const MAX_FILES: usize = 64;

/// A file transfer of this session.
#[derive(Debug)]
pub(super) struct FileStream {
    pub(super) id: StreamId,
    transfer_id: String,
    direction: FileDirection,
    info: FileInfo,
    offset: u64,
    render: bool,
    icon: Option<FileIcon>,
    /// The peer's m-line that it answers.
    line: Option<usize>,
    stage: Stage,
    end: Option<LocalChat>,
    /// What it comes to if the peer does not answer another offer (RFC 6714 §4.2).
    held_back: Option<Box<FileParameters>>,
    /// How it came out was told.
    settled: bool,
}

/// A file transfer that was asked to stop.
#[derive(Debug)]
pub(super) struct StoppingFile {
    id: StreamId,
    transfer_id: String,
    direction: FileDirection,
    file_name: String,
    ran: bool,
    /// How it came out is still to be told.
    open: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// The file is looked at; `needed`: by the offer or answer that is being made.
    Preparing {
        needed: bool,
    },
    /// It waits for its offer.
    Ready,
    /// It is part of what is being negotiated.
    Offered,
    Running,
    /// Nothing more is to come of it; it leaves the session with the next offer or answer.
    Over,
}

impl FileStream {
    fn in_session(&self) -> bool {
        matches!(self.stage, Stage::Offered | Stage::Running)
    }

    /// The icon and its `Content-ID`, while the file is being offered.
    fn offered_icon(&self) -> Option<(String, &FileIcon)> {
        let icon = self.icon.as_ref().filter(|_| self.stage == Stage::Offered)?;
        Some((format!("{}@file-icon.invalid", self.transfer_id), icon))
    }

    fn file_name(&self) -> String {
        self.info.name.clone().unwrap_or_default()
    }
}

impl SessionMachine {
    /// Offers a file to the peer; returns the name of its transfer.
    pub(crate) fn send_file(&mut self, _context: Context<'_>, file: FileToSend) -> Result<String, Error> {
        self.check(Operation::SendFile)?;
        self.check_room(Operation::SendFile)?;
        Ok(self.prepare_push(file, false))
    }

    /// Asks the peer for a file, to be kept in `folder`; returns the name of its transfer.
    pub(crate) fn request_file(
        &mut self,
        _context: Context<'_>,
        info: FileInfo,
        folder: Option<PathBuf>,
    ) -> Result<String, Error> {
        let operation = Operation::RequestFile;
        self.check(operation)?;
        self.check_room(operation)?;
        let folder = self.file_folder(operation, folder)?;
        if info == FileInfo::default() {
            return Err(Error::not_possible(operation, "a name, type, size or hash is needed"));
        }
        let (transfer_id, max_size) = (self.token(), self.config.msrp.max_file_size);
        let source = FileSource::Receive { folder, info: info.clone(), offset: None, max_size };
        let tls = self.config.msrp.local_use_tls;
        self.prepare_file(transfer_id.clone(), FileDirection::Incoming, info, source, tls, None);
        Ok(transfer_id)
    }

    /// Gives a transfer up, or forgets one that is over.
    pub(crate) fn remove_file(&mut self, context: Context<'_>, transfer_id: &str) -> Result<(), Error> {
        let operation = Operation::RemoveFile;
        self.check(operation)?;
        let known = self.files.iter().find(|file| file.transfer_id == transfer_id).map(|file| file.id);
        let id = known.ok_or_else(|| Error::not_possible(operation, "the session has no such file"))?;
        let alone = self.streams() == StreamSet::FILE && self.files.iter().all(|file| file.id == id);
        if alone {
            return Err(Error::not_possible(operation, "it is the last stream of the session"));
        }
        self.file_over(context, id, 0, "given up here");
        Ok(())
    }

    fn check_room(&self, operation: Operation) -> Result<(), Error> {
        match self.files.len() < MAX_FILES {
            true => Ok(()),
            false => Err(Error::not_possible(operation, "the session has too many files already")),
        }
    }

    /// The folder for the files that are accepted, where any are to come to us.
    pub(super) fn folder_for(
        &self,
        operation: Operation,
        streams: StreamSet,
        folder: Option<PathBuf>,
    ) -> Result<PathBuf, Error> {
        let incoming = |offered: &OfferedFile| offered.file.direction == FileDirection::Incoming;
        if streams.file && self.offered_files.iter().any(incoming) {
            return self.file_folder(operation, folder);
        }
        Ok(PathBuf::new())
    }

    fn file_folder(&self, operation: Operation, folder: Option<PathBuf>) -> Result<PathBuf, Error> {
        let folder = folder.or_else(|| self.config.msrp.file_folder.clone());
        folder.ok_or_else(|| Error::not_possible(operation, "a folder for the files is needed"))
    }

    /// The files of an outgoing session, before its INVITE.
    pub(super) fn prepare_files(&mut self, files: Vec<FileToSend>) {
        for file in files {
            self.prepare_push(file, true);
        }
    }

    fn prepare_push(&mut self, file: FileToSend, needed: bool) -> String {
        let transfer_id = self.token();
        let name =
            file.name.clone().or_else(|| file.path.file_name().map(|n| n.to_string_lossy().into_owned()));
        let info = FileInfo { name, content_type: file.content_type.clone(), ..FileInfo::default() };
        let render = file.render;
        let icon = file.icon.clone().filter(|icon| icon.data.len() <= FileIcon::MAX_SIZE);
        let tls = self.config.msrp.local_use_tls;
        let source = FileSource::Send(file);
        self.prepare_file(transfer_id.clone(), FileDirection::Outgoing, info, source, tls, None);
        if let Some(file) = self.files.last_mut() {
            (file.stage, file.render, file.icon) = (Stage::Preparing { needed }, render, icon);
        }
        transfer_id
    }

    /// The files of the peer's offer that were accepted.
    pub(super) fn prepare_accepted(&mut self, streams: StreamSet, folder: &Path) {
        if !streams.file {
            return;
        }
        for OfferedFile { line, tls, file, .. } in std::mem::take(&mut self.offered_files) {
            let folder = folder.to_owned();
            let (info, offset) = (file.info.clone(), file.offset);
            let max_size = self.config.msrp.max_file_size;
            let source = match (file.direction, &self.config.msrp.shared_folder) {
                (FileDirection::Incoming, _) => {
                    FileSource::Receive { folder, info: info.clone(), offset: Some(offset), max_size }
                }
                (FileDirection::Outgoing, Some(shared)) => {
                    FileSource::Serve { folder: shared.clone(), wanted: info.clone(), offset }
                }
                (FileDirection::Outgoing, None) => continue,
            };
            self.prepare_file(file.transfer_id, file.direction, info, source, tls, Some(line));
            if let Some(file) = self.files.last_mut() {
                (file.stage, file.offset) = (Stage::Preparing { needed: true }, offset);
            }
        }
    }

    fn prepare_file(
        &mut self,
        transfer_id: String,
        direction: FileDirection,
        info: FileInfo,
        source: FileSource,
        tls: bool,
        line: Option<usize>,
    ) {
        let id = self.new_stream();
        self.description.name_transfer(&transfer_id);
        self.files.push(FileStream {
            id,
            transfer_id,
            direction,
            info,
            offset: 0,
            render: false,
            icon: None,
            line,
            stage: Stage::Preparing { needed: false },
            end: None,
            settled: false,
            held_back: None,
        });
        let listener = self.msrp_end(tls);
        self.media(MediaCommand::PrepareFile(id, Box::new(FilePreparation { listener, source })));
    }

    /// Whether every file that an offer or answer waits for is known.
    pub(super) fn files_ready(&self) -> bool {
        !self.files.iter().any(|file| file.stage == Stage::Preparing { needed: true })
    }

    pub(super) fn has_files(&self) -> bool {
        self.files.iter().any(FileStream::in_session)
    }

    pub(super) fn knows_file(&self, stream: StreamId) -> bool {
        self.files.iter().any(|file| file.id == stream)
    }

    pub(super) fn local_files(&self) -> Vec<LocalFile> {
        let there = self.files.iter().filter(|file| file.in_session());
        there
            .filter_map(|file| {
                Some(LocalFile {
                    stream: file.id,
                    line: file.line,
                    transfer_id: file.transfer_id.clone(),
                    direction: file.direction,
                    info: file.info.clone(),
                    offset: file.offset,
                    render: file.render,
                    icon: file.offered_icon().map(|(id, _)| id),
                    end: file.end.clone()?,
                })
            })
            .collect()
    }

    /// What the media layer tells of a file.
    pub(super) fn handle_file(&mut self, context: Context<'_>, id: StreamId, event: MediaEvent) {
        let Some(file) = self.files.iter_mut().find(|file| file.id == id) else { return };
        match event {
            MediaEvent::FileReady { path, fingerprint, info, offset } => {
                let Stage::Preparing { needed } = file.stage else { return };
                file.end = Some(LocalChat { path, fingerprint });
                (file.info, file.offset) = (info.clone(), offset);
                file.stage = if needed { Stage::Offered } else { Stage::Ready };
                self.tell_file(id, Is::DidInitialize { info });
                self.show_files();
                if needed {
                    self.go_on_if_ready(context);
                } else {
                    self.changes.push_back(Change::AddFile(id));
                    self.next_change(context);
                }
            }
            MediaEvent::FileStarted => {
                self.change_file(id, |file| file.is_started = true);
                self.tell_file(id, Is::DidStart);
            }
            MediaEvent::FileProgress { bytes, size } => {
                self.change_file(id, |file| file.bytes = bytes);
                self.tell_file(id, Is::DidMakeProgress { bytes, size });
            }
            MediaEvent::FileReceived { path, info } if !file.settled => {
                file.settled = true;
                file.info = info.clone();
                let path = path.to_string_lossy().into_owned();
                self.tell_file(id, Is::GotFile { path, info });
            }
            MediaEvent::FileDelivered { code, reason } => {
                if !std::mem::replace(&mut file.settled, true) {
                    let file_name = file.file_name();
                    self.tell_file(id, Is::DidDeliverFile { file_name, code, reason });
                }
                // RFC 5547 §8.7: the sender closes.
                self.file_over(context, id, 200, "delivered");
            }
            MediaEvent::FileFailed { code, reason } => {
                self.file_failed(context, id, ChatFailureContext::Reading, code, &reason);
            }
            MediaEvent::Failed { context: place, reason } => {
                self.file_failed(context, id, place, 0, &reason);
            }
            _ => {}
        }
    }

    fn file_failed(
        &mut self,
        context: Context<'_>,
        id: StreamId,
        place: ChatFailureContext,
        code: u16,
        reason: &str,
    ) {
        let Some(file) = self.files.iter().find(|file| file.id == id) else { return };
        // After the end of the file the peer may close as it likes.
        if !file.settled && !matches!(self.state(), State::Terminating) {
            self.tell_file(id, Is::DidFail { context: place, reason: reason.to_owned() });
        }
        self.file_over(context, id, code, reason);
    }

    /// Closes a transfer and takes it out of the session.
    fn file_over(&mut self, context: Context<'_>, id: StreamId, code: u16, reason: &str) {
        let Some(file) = self.files.iter_mut().find(|file| file.id == id) else { return };
        let stage = std::mem::replace(&mut file.stage, Stage::Over);
        self.settle_file(id, code, reason);
        self.close_file(id, stage);
        let needed = stage == Stage::Preparing { needed: true };
        let described = self.description.has_file(id);
        self.files.retain(|file| file.id != id);
        self.show_files();
        if needed {
            self.file_not_prepared(context, reason);
        } else if described && matches!(self.state(), State::Established | State::Proposing | State::Proposed)
        {
            if self.streams().is_empty() {
                self.terminate(context);
            } else {
                self.changes.push_back(Change::RemoveFile(id));
                self.next_change(context);
            }
        }
    }

    /// A file that an offer or answer was to have cannot be had: it goes without.
    fn file_not_prepared(&mut self, context: Context<'_>, reason: &str) {
        let others = self.audio.is_some() || self.chat.is_some() || !self.files.is_empty();
        match self.phase {
            Phase::Calling { .. } | Phase::Accepting { .. } if !others => {
                self.media_failed(context, reason.to_owned());
            }
            Phase::Proposed if !others => {
                self.proposal_media_failed(context, StreamSet::FILE, reason);
            }
            _ => self.go_on_if_ready(context),
        }
    }

    /// Runs the files that were agreed on and closes those that were refused.
    pub(super) fn apply_files(&mut self, negotiated: &Negotiated) {
        let agreed = |id: StreamId| negotiated.files.iter().find(|(agreed, _)| *agreed == id);
        let ids: Vec<StreamId> =
            self.files.iter().filter(|file| file.in_session()).map(|file| file.id).collect();
        for id in ids {
            let Some(file) = self.files.iter_mut().find(|file| file.id == id) else { continue };
            match agreed(id) {
                Some((_, parameters)) => {
                    let waited = file.held_back.take().is_some();
                    if std::mem::replace(&mut file.stage, Stage::Running) == Stage::Running && !waited {
                        continue;
                    }
                    let mut parameters = Box::new(parameters.clone());
                    parameters.start_timeout = self.config.timers.stream_start;
                    let uri = |uri: &Option<sip_core::Uri>| uri.as_ref().map(ToString::to_string);
                    parameters.local_uri = uri(&self.snapshot.local_uri).unwrap_or_default();
                    parameters.remote_uri = uri(&self.snapshot.remote_uri).unwrap_or_default();
                    if negotiated.without_cema {
                        file.held_back = Some(parameters);
                    } else {
                        self.media(MediaCommand::RunFile(id, parameters));
                    }
                }
                None => {
                    let stage = std::mem::replace(&mut file.stage, Stage::Over);
                    self.close_unsettled(id, stage, "the peer declined it");
                    self.files.retain(|file| file.id != id);
                }
            }
        }
        self.show_files();
    }

    /// As [`Self::run_held_back`] has it.
    pub(super) fn run_held_back_files(&mut self) {
        let waiting = |file: &mut FileStream| Some((file.id, file.held_back.take()?));
        let waiting: Vec<_> = self.files.iter_mut().filter_map(waiting).collect();
        for (id, parameters) in waiting {
            self.media(MediaCommand::RunFile(id, parameters));
        }
    }

    /// Tells how a file came out, if that was not told.
    fn settle_file(&mut self, id: StreamId, code: u16, reason: &str) {
        let Some(file) = self.files.iter_mut().find(|file| file.id == id) else { return };
        if std::mem::replace(&mut file.settled, true) {
            return;
        }
        let (file_name, reason) = (file.file_name(), reason.to_owned());
        match file.direction {
            FileDirection::Outgoing => self.tell_file(id, Is::DidNotDeliverFile { file_name, code, reason }),
            // A file that never ran has not failed: nothing of it was to come yet.
            FileDirection::Incoming => {}
        }
    }

    /// Closes a file of which nothing final is known: what runs may still complete meanwhile.
    fn close_unsettled(&mut self, id: StreamId, stage: Stage, reason: &str) {
        if stage != Stage::Running {
            self.settle_file(id, 0, reason);
        }
        self.close_file(id, stage);
    }

    fn close_file(&mut self, id: StreamId, stage: Stage) {
        let ran = stage == Stage::Running;
        if ran {
            self.tell_file(id, Is::WillEnd);
        }
        let Some(file) = self.files.iter().find(|file| file.id == id) else { return };
        self.stopping_files.push(StoppingFile {
            id,
            transfer_id: file.transfer_id.clone(),
            direction: file.direction,
            file_name: file.file_name(),
            ran,
            open: ran && !file.settled,
        });
        self.stopping.push((id, false));
        self.media(MediaCommand::StopFile(id));
    }

    /// Closes all files: the session or the proposal is over.
    pub(super) fn close_files(&mut self, only_offered: bool) {
        let offered = |stage| matches!(stage, Stage::Offered | Stage::Preparing { needed: true });
        let concerned = self.files.iter().filter(|file| !only_offered || offered(file.stage));
        let concerned: Vec<(StreamId, Stage)> = concerned.map(|file| (file.id, file.stage)).collect();
        for (id, stage) in concerned {
            self.close_unsettled(id, stage, "the session ended");
            self.files.retain(|file| file.id != id);
        }
        self.show_files();
    }

    /// What a file tells that was asked to stop: how it came out after all.
    pub(super) fn handle_late_file(&mut self, stream: StreamId, event: MediaEvent) {
        let Some(file) = self.stopping_files.iter_mut().find(|file| file.id == stream) else { return };
        let kind = match event {
            MediaEvent::FileReceived { path, info } => {
                Is::GotFile { path: path.to_string_lossy().into_owned(), info }
            }
            MediaEvent::FileDelivered { code, reason } => {
                Is::DidDeliverFile { file_name: file.file_name.clone(), code, reason }
            }
            _ => return,
        };
        if std::mem::replace(&mut file.open, false) {
            let (transfer_id, direction) = (file.transfer_id.clone(), file.direction);
            self.notify(MsrpFileTransferEvent { transfer_id, direction, kind });
        }
    }

    pub(super) fn file_stopped(&mut self, stream: StreamId) {
        let Some(index) = self.stopping_files.iter().position(|file| file.id == stream) else { return };
        let file = self.stopping_files.swap_remove(index);
        let StoppingFile { transfer_id, direction, file_name, ran, open, .. } = file;
        let mut tell = |kind| {
            self.notify(MsrpFileTransferEvent { transfer_id: transfer_id.clone(), direction, kind });
        };
        if open {
            let reason = "it ended before the file was complete".to_owned();
            tell(Is::DidFail { context: ChatFailureContext::Reading, reason: reason.clone() });
            if direction == FileDirection::Outgoing {
                tell(Is::DidNotDeliverFile { file_name, code: 0, reason });
            }
        }
        if ran {
            tell(Is::DidEnd);
        }
    }

    /// The time to wind down is over.
    pub(super) fn files_stopped(&mut self) {
        while let Some(id) = self.stopping_files.first().map(|file| file.id) {
            self.file_stopped(id);
        }
    }

    /// Begins the exchange that adds a file; gives back whether there is one to begin.
    pub(super) fn begin_add_file(&mut self, id: StreamId) -> bool {
        let Some(file) = self.files.iter_mut().find(|file| file.id == id) else { return false };
        if file.stage != Stage::Ready {
            return false;
        }
        file.stage = Stage::Offered;
        true
    }

    /// A proposal of ours that has this file was refused.
    pub(super) fn undo_add_file(&mut self, id: StreamId, reason: &str) {
        self.settle_file(id, 0, reason);
        self.close_file(id, Stage::Offered);
        self.files.retain(|file| file.id != id);
        self.show_files();
    }

    pub(super) fn file_runs(&self, id: StreamId) -> bool {
        self.files.iter().any(|file| file.id == id && file.stage == Stage::Running)
    }

    fn tell_file(&mut self, id: StreamId, kind: Is) {
        let Some(file) = self.files.iter().find(|file| file.id == id) else { return };
        let (transfer_id, direction) = (file.transfer_id.clone(), file.direction);
        self.notify(MsrpFileTransferEvent { transfer_id, direction, kind });
    }

    fn change_file(&mut self, id: StreamId, change: impl FnOnce(&mut FileSnapshot)) {
        let Some(file) = self.files.iter().find(|file| file.id == id) else { return };
        let transfer_id = file.transfer_id.clone();
        self.change(|snapshot| {
            if let Some(file) = snapshot.files.iter_mut().find(|file| file.transfer_id == transfer_id) {
                change(file);
            }
        });
    }

    /// What attributes read of the files.
    fn show_files(&mut self) {
        let known = &self.snapshot.files;
        let shown = self.files.iter().filter(|file| file.in_session()).map(|file| {
            let before = known.iter().find(|known| known.transfer_id == file.transfer_id);
            FileSnapshot {
                transfer_id: file.transfer_id.clone(),
                direction: file.direction,
                info: file.info.clone(),
                is_started: before.is_some_and(|before| before.is_started),
                bytes: before.map_or(0, |before| before.bytes),
            }
        });
        let shown: Vec<FileSnapshot> = shown.collect();
        if shown != self.snapshot.files {
            self.change(|snapshot| snapshot.files = shown);
        }
    }

    /// The icons of the offer that was made last, with their `Content-ID`s.
    pub(crate) fn icons(&self) -> Vec<(String, FileIcon)> {
        let icons = self.files.iter().filter_map(FileStream::offered_icon);
        icons.map(|(id, icon)| (id, icon.clone())).collect()
    }

    /// Remembers which files the peer's offer has; `icons` came beside it.
    pub(super) fn got_files(&mut self, mut files: Vec<OfferedFile>, icons: &[(String, FileIcon)]) {
        for offered in &mut files {
            let named = |(id, _): &&(String, FileIcon)| Some(id) == offered.icon.as_ref();
            offered.file.icon = icons.iter().find(named).map(|(_, icon)| icon.clone());
        }
        let proposed = files.iter().map(|offered| offered.file.clone()).collect();
        self.offered_files = files;
        self.change(|snapshot| snapshot.proposed_files = proposed);
    }

    /// The proposal was answered: its files were accepted or are forgotten.
    pub(super) fn forget_proposed_files(&mut self) {
        for OfferedFile { file, .. } in std::mem::take(&mut self.offered_files) {
            self.description.name_transfer(&file.transfer_id);
        }
        if !self.snapshot.proposed_files.is_empty() {
            self.change(|snapshot| snapshot.proposed_files.clear());
        }
    }

    /// Tells of a proposal's streams.
    pub(super) fn proposal(proposer: super::Originator, streams: StreamSet) -> SessionEvent {
        let (adds_audio, adds_chat, adds_file) = (streams.audio, streams.chat, streams.file);
        SessionEvent::GotStreamProposal { proposer, adds_audio, adds_chat, adds_file }
    }
}
