//! What happens to files.

use super::chat::ChatFailureContext;
use super::value::Value;
use crate::session::{FileDirection, FileInfo};

/// What happens on an MSRP file transfer; the variants are the bus names without
/// `MSRPFileTransfer`.
///
/// A file that we send ends in exactly one of `DidDeliverFile` and `DidNotDeliverFile`; one that
/// we receive in `GotFile` or `DidFail`.
#[derive(Clone, Debug, PartialEq)]
pub struct MsrpFileTransferEvent {
    /// Which transfer of the sender, where it has several.
    pub transfer_id: String,
    /// Which way the file goes.
    pub direction: FileDirection,
    /// What happened.
    pub kind: MsrpFileTransferEventKind,
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MsrpFileTransferEventKind {
    /// The file is known and the local media are ready.
    DidInitialize {
        /// What is known of it.
        info: FileInfo,
    },
    /// The connection stands.
    DidStart,
    /// It is about to close.
    WillEnd,
    /// It is closed.
    DidEnd,
    /// It failed.
    DidFail {
        /// Where.
        context: ChatFailureContext,
        /// Why, in words.
        reason: String,
    },
    /// The file is here, whole and checked.
    GotFile {
        /// Where it is, full path.
        path: String,
        /// What is known of it; the hashes were computed of what arrived.
        info: FileInfo,
    },
    /// The peer has the file.
    DidDeliverFile {
        /// Its name.
        file_name: String,
        /// The MSRP status.
        code: u16,
        /// Its phrase.
        reason: String,
    },
    /// The peer does not have it, or we can't know.
    DidNotDeliverFile {
        /// Its name.
        file_name: String,
        /// The MSRP status; 0 for what has none.
        code: u16,
        /// Why, in words.
        reason: String,
    },
    /// More of it is at the receiver.
    DidMakeProgress {
        /// Bytes of the file that are there.
        bytes: u64,
        /// Its size.
        size: u64,
    },
}

impl MsrpFileTransferEvent {
    /// The bus name.
    pub fn name(&self) -> &'static str {
        use MsrpFileTransferEventKind as Is;
        match &self.kind {
            Is::DidInitialize { .. } => "MSRPFileTransferDidInitialize",
            Is::DidStart => "MSRPFileTransferDidStart",
            Is::WillEnd => "MSRPFileTransferWillEnd",
            Is::DidEnd => "MSRPFileTransferDidEnd",
            Is::DidFail { .. } => "MSRPFileTransferDidFail",
            Is::GotFile { .. } => "MSRPFileTransferGotFile",
            Is::DidDeliverFile { .. } => "MSRPFileTransferDidDeliverFile",
            Is::DidNotDeliverFile { .. } => "MSRPFileTransferDidNotDeliverFile",
            Is::DidMakeProgress { .. } => "MSRPFileTransferDidMakeProgress",
        }
    }

    /// The data by name.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        use MsrpFileTransferEventKind as Is;
        let mut data = match &self.kind {
            Is::DidStart | Is::WillEnd | Is::DidEnd => Vec::new(),
            Is::DidInitialize { info } => info_data(info),
            Is::DidFail { context, reason } => {
                vec![("context", context.name().into()), ("reason", reason.as_str().into())]
            }
            Is::GotFile { path, info } => {
                let mut data = vec![("path", path.as_str().into())];
                data.extend(info_data(info));
                data
            }
            Is::DidDeliverFile { file_name, code, reason }
            | Is::DidNotDeliverFile { file_name, code, reason } => vec![
                ("file_name", file_name.as_str().into()),
                ("code", (*code).into()),
                ("reason", reason.as_str().into()),
            ],
            Is::DidMakeProgress { bytes, size } => {
                vec![("bytes", number(*bytes)), ("size", number(*size))]
            }
        };
        data.push(("direction", self.direction.name().into()));
        data.push(("transfer_id", self.transfer_id.as_str().into()));
        data
    }
}

fn info_data(info: &FileInfo) -> Vec<(&'static str, Value)> {
    let text = |text: &Option<String>| Value::Text(text.clone().unwrap_or_default());
    let mut data = vec![("file_name", text(&info.name))];
    data.extend(info.size.map(|size| ("size", number(size))));
    data.push(("content_type", text(&info.content_type)));
    data.push(("hash", info.hashes.first().map_or("", String::as_str).into()));
    data
}

fn number(number: u64) -> Value {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}
