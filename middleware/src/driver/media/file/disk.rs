//! Files on the disk, on threads that may block: looked at, read from, and written until they are whole.
//!
//! What arrives is written to a `.part` of mode 0600 in the folder that was named; only when its size and
//! hashes are right does it get its name, which is never one that is taken. The peer's name of a file is a
//! suggestion for the last part of the path and for nothing else.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use msrp_cpim::file::{FileHasher, FileSelector, HashAlgorithm, numbered_name, safe_name};
use tokio::sync::{mpsc, oneshot};

use crate::negotiation::file_selector;
use crate::session::{FileInfo, FileSource, FileToSend};

/// What is read at a time.
const BLOCK: usize = 64 * 1024;
/// Files of a shared folder that are looked at.
const MAX_SHARED: usize = 10_000;
/// Numbers that are tried for a name that is taken.
const MAX_NUMBER: u32 = 10_000;

/// What looking at a file came to.
pub(super) struct Looked {
    pub(super) info: FileInfo,
    /// How much of it the receiver has already.
    pub(super) offset: u64,
    pub(super) plan: Plan,
}

/// What is to be done with it.
pub(super) enum Plan {
    Send { path: PathBuf, size: u64 },
    Receive { part: Box<Part>, max_size: u64 },
}

impl Looked {
    /// Nothing comes of it.
    pub(super) fn discard(&self) {
        if let Plan::Receive { part, .. } = &self.plan {
            part.discard_if_empty();
        }
    }
}

/// Looks at a file. This may take long: hashes need every byte.
pub(super) fn look(source: FileSource) -> io::Result<Looked> {
    match source {
        FileSource::Send(file) => look_at_ours(&file),
        FileSource::Serve { folder, wanted, offset } => find(&folder, &wanted, offset),
        FileSource::Receive { folder, info, offset, max_size } => {
            let part = Part::open(&folder, &info, offset)?;
            let offset = part.next;
            Ok(Looked { info, offset, plan: Plan::Receive { part: Box::new(part), max_size } })
        }
    }
}

fn look_at_ours(file: &FileToSend) -> io::Result<Looked> {
    let metadata = fs::metadata(&file.path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let (size, hashes) = hash_file(&file.path)?;
    if file.offset > size {
        return Err(io::Error::other(format!("it has {size} bytes only")));
    }
    let name = match &file.name {
        Some(name) => name.clone(),
        None => file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let content_type = file.content_type.clone().unwrap_or_else(|| media_type(&name).to_owned());
    let info = FileInfo { name: Some(name), size: Some(size), content_type: Some(content_type), hashes };
    Ok(Looked { info, offset: file.offset, plan: Plan::Send { path: file.path.clone(), size } })
}

/// RFC 5547 §8.3.2: the one file that the selector fits. Hidden ones, links and what is still arriving are
/// not for sharing.
fn find(folder: &Path, wanted: &FileInfo, offset: u64) -> io::Result<Looked> {
    let selector = file_selector(wanted);
    let mut found: Option<Looked> = None;
    for entry in fs::read_dir(folder)?.take(MAX_SHARED) {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_file() || name.starts_with('.') || name.ends_with(".part") {
            continue;
        }
        let size = entry.metadata()?.len();
        let ruled_out = selector.name.as_ref().is_some_and(|wanted| *wanted != name)
            || selector.size.is_some_and(|wanted| wanted != size)
            || offset > size;
        if ruled_out {
            continue;
        }
        let file = FileToSend { offset, ..FileToSend::new(entry.path()) };
        let looked = look_at_ours(&file)?;
        if !selector.selects(&file_selector(&looked.info)) {
            continue;
        }
        if found.is_some() {
            return Err(io::Error::other("more than one file is like that"));
        }
        found = Some(looked);
    }
    found.ok_or_else(|| io::Error::other("no file is like that"))
}

fn hash_file(path: &Path) -> io::Result<(u64, Vec<String>)> {
    let mut hasher = FileHasher::new(&[HashAlgorithm::Sha1, HashAlgorithm::Sha256]);
    let mut file = File::open(path)?;
    hash_from(&mut file, &mut hasher, u64::MAX)?;
    let size = hasher.size();
    Ok((size, hasher.finish().iter().map(ToString::to_string).collect()))
}

fn hash_from(file: &mut File, hasher: &mut FileHasher, length: u64) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut file = file.take(length);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(()),
            length => hasher.update(block.get(..length).unwrap_or_default()),
        }
    }
}

/// Reads a file from `offset` on, a block at a time, for as long as somebody takes them.
pub(super) fn read(path: &Path, offset: u64, blocks: &mpsc::Sender<io::Result<Bytes>>) {
    let reading = || -> io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        loop {
            let mut block = vec![0; BLOCK];
            let length = file.read(&mut block)?;
            block.truncate(length);
            if length == 0 || blocks.blocking_send(Ok(block.into())).is_err() {
                return Ok(());
            }
        }
    };
    if let Err(error) = reading() {
        // Nobody takes it any more.
        let _ = blocks.blocking_send(Err(error));
    }
}

/// What is to be done with a file that arrives.
pub(super) enum Job {
    /// These bytes stand there.
    Write { at: u64, data: Bytes },
    /// It is complete: check it and give it its name.
    Finish(oneshot::Sender<Result<(PathBuf, FileInfo), Unfit>>),
}

impl Job {
    /// Bytes to be written.
    pub(super) fn length(&self) -> usize {
        match self {
            Job::Write { data, .. } => data.len(),
            Job::Finish(_) => 0,
        }
    }
}

/// Why a file did not get its name.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// It is another one than the peer said.
    #[error("{0}")]
    Wrong(#[from] msrp_cpim::file::Mismatch),
    /// It cannot be kept.
    #[error("{0}")]
    Disk(#[from] io::Error),
}

/// Does what the jobs say, until there are no more. An error is told to `Finish`, or by not taking any
/// further job.
pub(super) fn write(mut part: Part, mut jobs: mpsc::Receiver<Job>) -> Option<io::Error> {
    while let Some(job) = jobs.blocking_recv() {
        match job {
            Job::Write { at, data } => {
                if let Err(error) = part.write(at, &data) {
                    return Some(error);
                }
            }
            Job::Finish(answer) => {
                // The task may be gone; the file is not.
                let _ = answer.send(part.finish());
                return None;
            }
        }
    }
    part.discard_if_empty();
    None
}

/// A file that arrives.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    folder: PathBuf,
    name: String,
    info: FileInfo,
    selector: FileSelector,
    hasher: FileHasher,
    /// Position of the next byte in order; all before were hashed.
    next: u64,
    /// Bytes came in another order, so that the hash has to be computed again.
    disordered: bool,
}

impl Part {
    /// Opens the file that the bytes go to. `offset`: where the peer begins; `None` to go on behind what is
    /// there.
    fn open(folder: &Path, info: &FileInfo, offset: Option<u64>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let name = safe_name(info.name.as_deref().unwrap_or_default());
        let mut selector = file_selector(info);
        // The name is for people.
        selector.name = None;
        let mut algorithms = vec![HashAlgorithm::Sha1];
        algorithms.extend(selector.hashes.iter().map(|hash| hash.algorithm.clone()));
        let hasher = FileHasher::new(&algorithms);
        let folder = folder.to_owned();
        let (path, file) = open_part(&folder, &name, &selector)?;
        let info = info.clone();
        let mut part = Self { file, path, folder, name, info, selector, hasher, next: 0, disordered: false };
        let there = part.file.metadata()?.len();
        let from = match offset {
            Some(offset) if offset > there => {
                let text = format!("it cannot go on at byte {offset}: {there} are here");
                part.discard_if_empty();
                return Err(io::Error::other(text));
            }
            Some(offset) => offset,
            None if part.selector.hashes.is_empty() => 0,
            None if part.selector.size.is_some_and(|size| there >= size) => 0,
            None => there,
        };
        part.file.set_len(from)?;
        hash_from(&mut part.file, &mut part.hasher, from)?;
        part.next = from;
        part.file.seek(SeekFrom::Start(from))?;
        Ok(part)
    }

    fn write(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        if at == self.next && !self.disordered {
            self.file.write_all(data)?;
            self.hasher.update(data);
            self.next += data.len() as u64;
        } else {
            self.disordered = true;
            self.file.seek(SeekFrom::Start(at))?;
            self.file.write_all(data)?;
        }
        Ok(())
    }

    /// Checks it, and gives it a name that is free.
    fn finish(mut self) -> Result<(PathBuf, FileInfo), Unfit> {
        self.file.flush()?;
        if self.disordered {
            let algorithms: Vec<HashAlgorithm> =
                self.hasher.finish().into_iter().map(|hash| hash.algorithm).collect();
            self.hasher = FileHasher::new(&algorithms);
            self.file.seek(SeekFrom::Start(0))?;
            hash_from(&mut self.file, &mut self.hasher, u64::MAX)?;
        }
        if let Err(mismatch) = self.hasher.clone().check(&self.selector) {
            // What is wrong is of no use for going on later.
            fs::remove_file(&self.path)?;
            return Err(mismatch.into());
        }
        self.file.sync_all()?;
        let path = give_name(&self.path, &self.folder, &self.name)?;
        let size = Some(self.hasher.size());
        let hashes = self.hasher.finish().iter().map(ToString::to_string).collect();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok((path, FileInfo { name, size, hashes, ..self.info }))
    }

    /// Nothing came: nothing needs to stay.
    fn discard_if_empty(&self) {
        if self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            // Whoever removed it before us was as right.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens `name.HASH.part`, which an earlier transfer of the same file may have left, or `name.part` where no
/// hash is known. One that another transfer writes to is left alone.
fn open_part(folder: &Path, name: &str, selector: &FileSelector) -> io::Result<(PathBuf, File)> {
    let hash: String = selector
        .hashes
        .first()
        .map(|hash| hash.value.iter().take(6).map(|byte| format!("{byte:02x}")).collect())
        .unwrap_or_default();
    for number in 1..=MAX_NUMBER {
        let numbered = if number == 1 { name.to_owned() } else { numbered_name(name, number) };
        let known = !hash.is_empty();
        let path = match known {
            true => folder.join(format!("{numbered}.{hash}.part")),
            false => folder.join(format!("{numbered}.part")),
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.clone().create_new(true).open(&path) {
            Ok(file) => {
                lock(&file)?;
                return Ok((path, file));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Not what a link leads to.
                if !known || !fs::symlink_metadata(&path)?.is_file() {
                    continue;
                }
                let file = options.open(&path)?;
                if lock(&file)? {
                    return Ok((path, file));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many files have this name"))
}

/// Whether it is ours alone now.
fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        // File systems without locks have no second writer to tell of either.
        Err(TryLockError::Error(_)) => Ok(true),
    }
}

/// Gives a complete file its name, or one with a number where that is taken. Nothing is overwritten.
fn give_name(part: &Path, folder: &Path, name: &str) -> io::Result<PathBuf> {
    for number in 1..=MAX_NUMBER {
        let path = folder.join(if number == 1 { name.to_owned() } else { numbered_name(name, number) });
        match fs::hard_link(part, &path) {
            Ok(()) => {
                fs::remove_file(part)?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // A file system without links: the name is taken first, then replaced by the file.
            Err(_) => match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => {
                    fs::rename(part, &path)?;
                    return Ok(path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            },
        }
    }
    Err(io::Error::other("too many files have this name"))
}

/// What the ending of a name says; for display at the other end, and for no decision here.
fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match ending.as_str() {
        "txt" | "log" | "md" => "text/plain",
        "html" | "htm" => "text/html",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, data: &[u8]) -> FileInfo {
        let mut hasher = FileHasher::new(&[HashAlgorithm::Sha1]);
        hasher.update(data);
        FileInfo {
            name: Some(name.to_owned()),
            size: Some(hasher.size()),
            content_type: None,
            hashes: hasher.finish().iter().map(ToString::to_string).collect(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_when_it_is_right_and_never_that_of_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = b"the bytes of a file";
        fs::write(folder.path().join("passwd"), "mine").expect("the disk has room");
        let info = described("../../etc/passwd", data);
        let mut part = Part::open(folder.path(), &info, Some(0)).expect("a part");
        // In pieces, out of order and with an overlap.
        for (start, end) in [(10, 19), (0, 6), (4, 12)] {
            part.write(start as u64, &data[start..end]).expect("the disk has room");
        }
        assert!(names(folder.path()).iter().any(|name| name.ends_with(".part")));
        let (path, info) = part.finish().expect("it is right");
        assert_eq!(path, folder.path().join("passwd (2)"));
        assert_eq!(info.name.as_deref(), Some("passwd (2)"));
        assert_eq!(fs::read(&path).expect("it is there"), data);
        assert_eq!(names(folder.path()), ["passwd", "passwd (2)"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_wrong_file_gets_no_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let info = described("photo.jpg", b"what was announced");
        for wrong in [&b"what is different!"[..], b"short"] {
            let mut part = Part::open(folder.path(), &info, Some(0)).expect("a part");
            part.write(0, wrong).expect("the disk has room");
            assert!(matches!(part.finish(), Err(Unfit::Wrong(_))));
            assert!(names(folder.path()).is_empty());
        }
    }

    #[test]
    fn what_was_interrupted_goes_on_and_what_is_being_written_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = vec![5; 300_000];
        let info = described("big.bin", &data);
        let mut first = Part::open(folder.path(), &info, Some(0)).expect("a part");
        first.write(0, &data[..200_000]).expect("the disk has room");
        let second = Part::open(folder.path(), &info, Some(0)).expect("a part of its own");
        assert_eq!(names(folder.path()).len(), 2, "two transfers do not share a file");
        second.discard_if_empty();
        drop((first, second));
        assert!(Part::open(folder.path(), &info, Some(200_001)).is_err(), "there is not so much of it");
        let mut part = Part::open(folder.path(), &info, None).expect("the same part");
        assert_eq!(part.next, 200_000);
        part.write(200_000, &data[200_000..]).expect("the disk has room");
        let (path, _) = part.finish().expect("it is right");
        assert_eq!(fs::read(path).expect("it is there"), data);
        assert_eq!(names(folder.path()), ["big.bin"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").expect("the disk has room");
        let info = described("a.txt", b"theirs");
        let part = Part::open(folder.path(), &info, Some(0)).expect("a part");
        let path = part.path.clone();
        drop(part);
        fs::remove_file(&path).expect("it is there");
        std::os::unix::fs::symlink(&victim, &path).expect("links can be made");
        let mut part = Part::open(folder.path(), &info, Some(0)).expect("another part");
        part.write(0, b"theirs").expect("the disk has room");
        part.finish().expect("it is right");
        assert_eq!(fs::read(&victim).expect("it is there"), b"mine");
    }

    #[test]
    fn a_request_finds_the_one_file_that_fits() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("a.txt", "one"), ("b.txt", "two"), (".hidden", "three"), ("c.txt.part", "four")]
        {
            fs::write(folder.path().join(name), text).expect("the disk has room");
        }
        let by_name = |name: &str| FileInfo { name: Some(name.to_owned()), ..FileInfo::default() };
        let found = find(folder.path(), &by_name("b.txt"), 0).expect("it is there");
        assert_eq!(
            found.info.hashes,
            described("b.txt", b"two")
                .hashes
                .iter()
                .cloned()
                .chain(found.info.hashes.iter().skip(1).cloned())
                .collect::<Vec<_>>()
        );
        assert!(find(folder.path(), &described("b.txt", b"two"), 0).is_ok());
        assert!(find(folder.path(), &described("b.txt", b"2wo"), 0).is_err());
        let three = FileInfo { size: Some(3), ..FileInfo::default() };
        assert!(find(folder.path(), &three, 0).is_err(), "two files are like that");
        for hidden in [".hidden", "c.txt.part", "..", "../a.txt", ""] {
            assert!(find(folder.path(), &by_name(hidden), 0).is_err(), "{hidden:?}");
        }
    }
}
