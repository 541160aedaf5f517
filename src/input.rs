//! Scan: from an archive or an image layout directory to an [`Inventory`].

mod archive;
mod blobs;
mod classify;
mod extents;
mod form;
mod identify;
mod inside;
mod layout;
mod open;
mod other_format;
mod outer;
mod reader;
mod spool;
mod stream;
mod text_copy;

pub use identify::{
    InputKind, holds_image_entry, identify_file, is_image_layout, is_image_layout_at,
    may_be_image_layout,
};
pub use spool::SpoolOptions;
pub(crate) use stream::{BlobSink, KeptFile, Obstacle, PassingBlob, Stream};

pub(crate) use extents::holes;
use inside::{Inside, PREFIXES, inside};
use open::not_opened;
pub(crate) use reader::{
    BlobAt, BlobName, BlobReader, Piece, archive_ended, read_full, uninterrupted,
};

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::OFlags;

use crate::beneath::{Directory, FileStat, HeldPath, Links};
use crate::error::{Code, Error, Hint, IoContext, Result, escape, show_path};
use crate::image::{Content, SNIFF_LEN};
use crate::inventory::{BlobEntry, BlobSource, DataLocation, Inventory, Strictness};
use crate::journal::{self, Lock, Locked, Stamp};
use crate::threads::Workers;

/// How many bytes are hashed at a time.
const HASH_PIECE: usize = 128 << 10;
/// How much of an archive's beginning is kept in memory: all of a small one, which then is read once.
const START_LEN: u64 = 64 << 10;
/// The most bytes that a document may have.
pub(crate) const DOCUMENT_CAP: u64 = 4 << 20;

/// An open archive or image layout directory.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: Arc<File>,
    metadata: Metadata,
    /// The path in a directory that is held open, if it was opened by that.
    place: Option<HeldPath>,
    /// The same directory as `file`, if it is one.
    directory: Option<Directory>,
    /// What is done about links in a layout.
    links: Links,
    /// The first bytes of an archive, once one of them was needed.
    start: OnceLock<Vec<u8>>,
    /// What the archive was compressed with as a whole.
    outer: Option<Content>,
    /// The compressed file, if the archive was decompressed from one.
    compressed: Option<Arc<File>>,
    /// Temporary files with blobs that the input does not contain in this form.
    spooled: Vec<Arc<File>>,
    /// The lock of an archive that was opened by its path.
    lock: Option<Locked>,
    /// The inputs of a source that has several.
    inputs: Vec<Source>,
}

impl Source {
    /// Opens a file as an archive and a directory as an image layout.
    pub fn open(path: impl AsRef<Path>) -> Result<Source> {
        let path = path.as_ref();
        // Opening a fifo would wait for its writer, so look first.
        let mut metadata = fs::symlink_metadata(path).context("open", path)?;
        let is_link = metadata.is_symlink();
        if is_link {
            metadata = fs::metadata(path).context("open", path)?;
        }
        if !metadata.is_file() && !metadata.is_dir() {
            return Err(not_opened(path, metadata.file_type().is_fifo()));
        }
        // Opening must not block either if a FIFO replaced the file since then.
        let file = File::options()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path)
            .context("open", path)?;
        let mut source = Self::of(file, path)?;
        if !source.is_directory() {
            source.lock = Some(Locked::shared(&source.file, path)?);
            source.refuse_unfinished(is_link)?;
        }
        Ok(source)
    }

    /// A file or directory that is open already; `path` is what messages call it.
    ///
    /// # Errors
    /// Its metadata cannot be read.
    pub fn of(file: File, path: &Path) -> Result<Source> {
        let metadata = file.metadata().context("read", path)?;
        let file = Arc::new(file);
        Ok(Source {
            path: path.to_owned(),
            directory: (metadata.is_dir()).then(|| Directory::of(Arc::clone(&file), path)),
            metadata,
            file,
            place: None,
            links: Links::Refuse,
            start: OnceLock::new(),
            outer: None,
            compressed: None,
            spooled: Vec::new(),
            lock: None,
            inputs: Vec::new(),
        })
    }

    /// Whether the filesystem has no locks, so that nothing keeps others away from an archive that is fixed in
    /// place.
    pub(crate) fn lacks_lock(&self) -> bool {
        let lock = self.lock.as_ref().map(Locked::lock);
        lock == Some(Lock::Unsupported)
    }

    /// What the file was when it was opened.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::of(&self.metadata)
    }

    /// The same with blobs of these inputs.
    pub(crate) fn with_inputs(self, inputs: Vec<Source>) -> Self {
        Source { inputs, ..self }
    }

    /// A file that is half old and half new is not an image.
    fn refuse_unfinished(&self, is_link: bool) -> Result<()> {
        let pending = journal::is_pending(&self.input_path(), is_link);
        if !pending.context("open", &self.path)? {
            return Ok(());
        }
        Err(journal::unfinished(
            &self.path,
            "the file must be restored first",
        ))
    }

    /// Checks, when it is called, that no program wrote to an archive since it was opened.
    pub(crate) fn unwritten(&self) -> Box<dyn Fn() -> Result<()> + Sync> {
        let (read, path) = (self.stamp(), self.path.clone());
        let original = match self.outer {
            Some(_) => self.compressed.clone(),
            None => (!self.is_directory()).then(|| Arc::clone(&self.file)),
        };
        let inputs: Vec<_> = self.inputs.iter().map(Source::unwritten).collect();
        Box::new(move || {
            inputs.iter().try_for_each(|unwritten| unwritten())?;
            let Some(file) = &original else { return Ok(()) };
            let now = Stamp::of(&file.metadata().context("read", &path)?);
            if now.has_bytes_of(&read) {
                return Ok(());
            }
            let what = format!("{} changed while it was being read", show_path(&path));
            let error = Error::new(Code::SourceChanged, what).with_path(&path);
            Err(error.with_hint(Hint::RetryWhenIdle))
        })
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the source is a directory, and so an image layout; otherwise it is an archive.
    pub fn is_directory(&self) -> bool {
        self.metadata.is_dir()
    }

    /// The file that contains the bytes at `data`, and where in it they begin. An archive's file
    /// is shared, so it must only be read by position.
    pub(crate) fn open_blob(&self, data: &DataLocation) -> Result<(Arc<File>, u64)> {
        match data {
            DataLocation::Offset(offset) => Ok((Arc::clone(&self.file), *offset)),
            DataLocation::File(name) => {
                let file = self.open_file(name);
                Ok((Arc::new(file.context("open", self.path.join(name))?), 0))
            }
            DataLocation::Spooled { file, offset } => match self.spooled.get(*file) {
                Some(file) => Ok((Arc::clone(file), *offset)),
                None => Err(self.absent(data)),
            },
            DataLocation::Input {
                number,
                data: inner,
            } => match self.inputs.get(*number) {
                Some(input) => input.open_blob(inner),
                None => Err(self.absent(data)),
            },
            DataLocation::Buffered(_) | DataLocation::Written => Err(self.absent(data)),
        }
    }

    /// Opens a file of a layout.
    fn open_file(&self, name: &str) -> io::Result<File> {
        match &self.directory {
            Some(directory) => directory.read(Path::new(name), self.links),
            None => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Adds a temporary file that contains blobs, and returns its number.
    pub(crate) fn add_spooled(&mut self, file: Arc<File>) -> usize {
        self.spooled.push(file);
        self.spooled.len() - 1
    }

    /// What distinguishes the file or directory that was opened from all others.
    pub(crate) fn identity(&self) -> (u64, u64) {
        FileStat::from(&self.metadata).identity()
    }

    /// The archive's own file, or the one that it was decompressed to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The file with the input's own bytes, compressed or not; `None` for a directory and for a compressed
    /// stream.
    pub(crate) fn original(&self) -> Option<&File> {
        match self.outer {
            Some(_) => self.compressed.as_deref(),
            None => (!self.is_directory()).then_some(&*self.file),
        }
    }

    /// The bytes at a location.
    pub(crate) fn read_range(&self, data: &DataLocation, len: u64) -> Result<Vec<u8>> {
        if let DataLocation::Offset(offset) = data
            && let Some(bytes) = self.known(*offset, len)
        {
            return Ok(bytes.to_owned());
        }
        let (file, offset) = self.open_blob(data)?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, offset)
            .map_err(|error| self.short(data, error))?;
        Ok(bytes)
    }

    /// Fills the buffer with an archive's bytes at `offset`.
    fn read_into(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        if let Some(bytes) = self.known(offset, buffer.len() as u64) {
            buffer.copy_from_slice(bytes);
            return Ok(());
        }
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|error| self.short(&DataLocation::Offset(offset), error))
    }

    /// Bytes of an archive's beginning, which is read at the first call. What cannot be read then is
    /// read again by code that can say what is wrong.
    fn known(&self, offset: u64, len: u64) -> Option<&[u8]> {
        let end = offset.checked_add(len).filter(|end| *end <= START_LEN)?;
        let start = self.start.get_or_init(|| {
            let len = self.file.metadata().map_or(0, |found| found.len());
            let mut start = vec![0; len.min(START_LEN) as usize];
            match self.file.read_exact_at(&mut start, 0) {
                Ok(()) => start,
                Err(_) => Vec::new(),
            }
        });
        start.get(offset as usize..end as usize)
    }

    /// The first bytes at `data`: as many as `sniff` examines, or all there are.
    fn head(&self, data: &DataLocation, len: u64) -> Result<Vec<u8>> {
        self.read_range(data, len.min(SNIFF_LEN as u64))
    }

    fn short(&self, data: &DataLocation, error: io::Error) -> Error {
        match data {
            DataLocation::Offset(_) if error.kind() == io::ErrorKind::UnexpectedEof => Error::new(
                Code::TruncatedArchive,
                format!(
                    "{} was truncated while it was being read",
                    show_path(&self.path)
                ),
            )
            .with_path(&self.path)
            .with_hint(Hint::RetryWhenIdle),
            DataLocation::Offset(_) => Error::io("read", &self.path, error),
            DataLocation::File(name) => Error::io("read", &self.path.join(name), error),
            DataLocation::Spooled { .. } => {
                Error::io("read a temporary file of", &self.path, error)
            }
            DataLocation::Input { number, data } => match self.inputs.get(*number) {
                Some(input) => input.short(data, error),
                None => Error::io("read a blob of an input of", &self.path, error),
            },
            DataLocation::Buffered(_) | DataLocation::Written => {
                Error::io("read a stream's blob from", &self.path, error)
            }
        }
    }

    /// The error for a location that only another source has.
    fn absent(&self, data: &DataLocation) -> Error {
        self.short(data, io::ErrorKind::NotFound.into())
    }

    fn describe(&self, data: &DataLocation) -> String {
        match data {
            DataLocation::Offset(offset) => format!("the blob at byte {offset}"),
            DataLocation::File(name) => escape(name),
            DataLocation::Spooled { file, offset } => {
                format!("the blob at byte {offset} of temporary file {file}")
            }
            DataLocation::Input { number, data } => match self.inputs.get(*number) {
                Some(input) => format!("{} of {}", input.describe(data), show_path(&input.path)),
                None => format!("a blob of input {number}"),
            },
            DataLocation::Buffered(_) | DataLocation::Written => "a stream's blob".to_owned(),
        }
    }
}

/// What a compressed blob decompresses to, by its first bytes, of which `read` returns so many.
fn content_inside(
    blob: &BlobEntry,
    read: impl Fn(u64) -> Result<Vec<u8>>,
) -> Result<Option<Content>> {
    for len in PREFIXES {
        let len = blob.len.min(len as u64);
        match inside(blob.content, &read(len)?, len == blob.len) {
            Inside::Content(content) => return Ok(Some(content)),
            Inside::Unknown => break,
            Inside::TooShort => {}
        }
    }
    Ok(None)
}

/// Lists everything in the source. Only names, lengths, the first bytes of blobs and the three root
/// files are read.
///
/// # Errors
/// The source cannot be read, is damaged, ambiguous or not an image; unless lenient, different entries
/// with one name.
pub fn scan(source: &Source, strictness: Strictness) -> Result<Inventory> {
    scan_with(source, strictness, Workers::ONE)
}

/// The same, with several threads. What it returns does not depend on them.
pub(crate) fn scan_with(
    source: &Source,
    strictness: Strictness,
    workers: Workers<'_>,
) -> Result<Inventory> {
    let mut inventory = match &source.directory {
        Some(directory) => layout::scan(source, directory)?,
        None => archive::scan(source, strictness, workers).map_err(|error| {
            other_format::explain(error, &source.path, &source.file, source.outer)
        })?,
    };
    inventory.outer_compression = source.outer;
    inventory.has_original = source.original().is_some();
    require_root(&inventory, source, &source.path)?;
    Ok(inventory)
}

fn require_root(inventory: &Inventory, blobs: &dyn BlobSource, path: &Path) -> Result<()> {
    if inventory.root_index.is_some() || inventory.docker_manifest.is_some() {
        return Ok(());
    }
    Err(other_format::no_image(inventory, blobs, path))
}
