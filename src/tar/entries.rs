//! Iterates over the entries of a tar archive without reading file data.
//!
//! Every tar reader must see the same entries in an archive that ocify accepts. Constructs that readers
//! are known to interpret differently are therefore refused. `docs/tar-readers.md` lists them.
//!
//! Engines read archives with Go's `archive/tar`. A header that it cannot read, or reads in another way than most,
//! is accepted if a new archive can be without it.

use std::ops::Range;
use std::path::Path;

use ::tar::{EntryType, Header};

use super::fields::{self, until_nul};
use super::header::{self, BLOCK};
use super::input::Input;
use super::pax::Records;
use super::{invalid, number, truncated};
use crate::error::{Code, Error, Hint, Result, entry_text, escape, show_path};

/// The limit on one entry's long names and PAX records, in bytes, because they are kept in memory.
const EXTENSION_CAP: u64 = 1 << 20;
/// How many bytes of an entry's headers are kept, enough for any entry that ocify writes.
const HEADERS_KEPT: usize = 4 * BLOCK;
/// The type of Solaris' extended headers.
const SOLARIS_HEADER: u8 = b'X';

/// One entry, with its long names and PAX records applied. All offsets are in bytes from the start of the
/// archive.
pub(crate) struct Entry {
    /// The name as stored in the archive.
    pub(crate) name: Vec<u8>,
    /// The target of a link; empty for any other type.
    pub(crate) link: Vec<u8>,
    pub(crate) entry_type: EntryType,
    pub(crate) len: u64,
    /// Offset of the entry's first header.
    pub(crate) start_at: u64,
    /// Offset of the entry's main header, which follows its extension headers.
    pub(crate) header_at: u64,
    /// Offset of the entry's data.
    pub(crate) data_at: u64,
    /// Whether the main header contains the name and the length, and no extension header overrides them.
    pub(crate) is_simple: bool,
    /// The bytes from `start_at` to `data_at`, up to [`HEADERS_KEPT`].
    pub(crate) headers: Vec<u8>,
    /// The records of extended attributes in the global PAX headers before it, which some readers apply to all
    /// entries that follow.
    pub(crate) global_xattrs: Vec<Range<u64>>,
    /// The records of extended attributes in its own PAX header.
    pub(crate) xattrs: Vec<Range<u64>>,
    /// Whether one of these is in a namespace that Linux does not have.
    pub(crate) has_foreign_xattr: bool,
    /// A predicate that says why engines refuse the entry, or take it for something else.
    pub(crate) misread: Option<&'static str>,
}

/// Reads entries in archive order.
pub(crate) struct Entries<'a, I> {
    input: &'a mut I,
    position: u64,
    /// The headers of the current entry.
    headers: Vec<u8>,
    keeps_headers: bool,
}

/// The contents of an entry's extension headers.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Option<Records>,
    /// Where the extended attributes of the PAX header are.
    xattrs: Vec<Range<u64>>,
    /// Those of global PAX headers.
    global_xattrs: Vec<Range<u64>>,
    /// Total length of their bodies in bytes.
    len: u64,
    /// What engines cannot read in them.
    unreadable: Option<&'static str>,
}

impl<'a, I: Input> Entries<'a, I> {
    pub(crate) fn new(input: &'a mut I) -> Self {
        Entries {
            input,
            position: 0,
            headers: Vec::new(),
            keeps_headers: true,
        }
    }

    /// Says whether the next entries get the bytes of their headers. By default they do.
    pub(crate) fn keep_headers(&mut self, keep: bool) {
        self.keeps_headers = keep;
    }

    /// Offset of the next header; after the last entry, the end of its padding.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The input. When it is a stream, the caller reads an entry's data here before asking for the next
    /// entry.
    pub(crate) fn input(&mut self) -> &mut I {
        self.input
    }

    /// Returns the next entry, or `None` at the end-of-archive marker or at the end of the input. Some
    /// writers omit the marker.
    ///
    /// # Errors
    /// The input cannot be read, is truncated, contains an invalid header, or contains a construct that
    /// readers interpret differently.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        self.headers = Vec::new();
        let start_at = self.position;
        loop {
            let at = self.position;
            let Some(block) = self.block()? else {
                if extensions.is_empty() {
                    return Ok(None);
                }
                let what = "the entry that the preceding headers describe is missing";
                return Err(self.bad_header(at, what));
            };
            let header = Header::from_byte_slice(&block);
            let len =
                number::size(&header.as_old().size).map_err(|what| self.bad_header(at, what))?;
            let unreadable =
                fields::unreadable(&block).map_err(|what| self.bad_header(at, what))?;
            extensions.unreadable = extensions.unreadable.or(unreadable);
            self.position = at + BLOCK as u64;
            let entry_type = header.entry_type();
            let is_first = match entry_type {
                EntryType::GNULongName => {
                    let name = self.long_name(at, len, &mut extensions)?;
                    extensions.name.replace(name).is_none()
                }
                EntryType::GNULongLink => {
                    let link = self.long_name(at, len, &mut extensions)?;
                    extensions.link.replace(link).is_none()
                }
                EntryType::XHeader => {
                    let body_at = self.position;
                    let body = self.body(at, len, &mut extensions)?;
                    let records = self.records(at, &body)?;
                    extensions.unreadable = extensions.unreadable.or(records.unreadable);
                    extensions.xattrs.extend(records.xattrs_in(body_at));
                    extensions.records.replace(records).is_none()
                }
                EntryType::XGlobalHeader => {
                    let is_alone = extensions.is_empty();
                    let body_at = self.position;
                    let body = self.body(at, len, &mut Extensions::default())?;
                    let records = self.records(at, &body)?;
                    extensions.global_xattrs.extend(records.xattrs_in(body_at));
                    // Some readers apply global records to every entry, others ignore them.
                    if records.describe_entry() {
                        let what = "a global PAX header sets a name or a size";
                        return Err(self.bad_header(at, what));
                    }
                    is_alone
                }
                _ if block[156] == SOLARIS_HEADER => {
                    let what = "some readers apply a header of type X to the next entry, and others do not";
                    return Err(self.bad_header(at, what));
                }
                _ => {
                    return self.entry(start_at, at, block, len, extensions).map(Some);
                }
            };
            if !is_first {
                return Err(self.bad_header(at, "the headers of one entry contradict each other"));
            }
        }
    }

    fn entry(
        &mut self,
        start_at: u64,
        at: u64,
        block: [u8; BLOCK],
        len: u64,
        extensions: Extensions,
    ) -> Result<Entry> {
        let header = Header::from_byte_slice(&block);
        fields::refuse_sparse_map(&block).map_err(|what| self.bad_header(at, what))?;
        let records = extensions.records.unwrap_or_default();
        let is_simple =
            extensions.name.is_none() && records.path.is_none() && records.size.is_none();
        let name = match self.agreed(at, extensions.name, records.path)? {
            Some(name) => name,
            None => fields::name(&block).map_err(|what| self.bad_header(at, what))?,
        };
        let link = self.agreed(at, extensions.link, records.linkpath)?;
        let link = link.unwrap_or_else(|| fields::link(&block).to_vec());
        let text = || entry_text(&name);
        if records.is_sparse || header.entry_type().is_gnu_sparse() {
            return Err(Error::new(
                Code::SparseEntry,
                format!(
                    "{} in {} is stored as a sparse file",
                    escape(&text()),
                    show_path(self.input.path())
                ),
            )
            .with_path(self.input.path())
            .with_entry(text())
            .with_hint(Hint::StoreWithoutHoles));
        }
        let has_foreign_xattr = records.has_foreign_xattr;
        let misread = extensions.unreadable.or_else(|| misread(block[156], &name));
        let len = records.size.unwrap_or(len);
        let data_at = self.position;
        let left = self.input.len().map(|all| all.saturating_sub(data_at));
        if left.is_some_and(|left| left < len) {
            let left = left.unwrap_or(0);
            return Err(ends_inside(self.input.path(), &text(), len, data_at, left));
        }
        let end = data_at.checked_add(len);
        let end = end.and_then(|end| end.checked_add(header::padding(len)));
        self.position =
            end.ok_or_else(|| self.bad_header(at, "the size is too large for any archive"))?;
        Ok(Entry {
            name,
            link,
            entry_type: header.entry_type(),
            len,
            start_at,
            header_at: at,
            data_at,
            is_simple,
            headers: std::mem::take(&mut self.headers),
            global_xattrs: extensions.global_xattrs,
            xattrs: extensions.xattrs,
            has_foreign_xattr,
            misread,
        })
    }

    /// Reads the header block at the current position. Returns `None` at the end of the archive.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let at = self.position;
        let mut block = [0; BLOCK];
        let found = self.input.read(&mut block, at)?;
        if found == 0 {
            return Ok(None);
        }
        if found < BLOCK {
            let what = format!("the header at byte {at}: {BLOCK} bytes expected, {found} found");
            return Err(truncated(self.input.path(), &what)
                .with_byte(at)
                .with_expected(BLOCK)
                .with_found(found));
        }
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if !header::has_checksum(&block) {
            return Err(self.bad_header(at, "checksum mismatch"));
        }
        self.keep(&block);
        Ok(Some(block))
    }

    /// Reads the body of an extension header: `len` bytes and their padding.
    fn body(&mut self, at: u64, len: u64, extensions: &mut Extensions) -> Result<Vec<u8>> {
        extensions.len = extensions.len.saturating_add(len);
        if extensions.len > EXTENSION_CAP {
            return Err(self.bad_header(at, "the headers of one entry are too long"));
        }
        let padded = len + header::padding(len);
        let mut body = vec![0; usize::try_from(padded).unwrap_or(usize::MAX)];
        let found = self.input.read(&mut body, self.position)?;
        if (found as u64) < len {
            let what = format!("the header at byte {at}: {len} more bytes expected, {found} found");
            return Err(truncated(self.input.path(), &what)
                .with_byte(at)
                .with_expected(len)
                .with_found(found));
        }
        self.keep(&body);
        body.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        self.position += padded;
        Ok(body)
    }

    /// Reads the body of a GNU long name.
    fn long_name(&mut self, at: u64, len: u64, extensions: &mut Extensions) -> Result<Vec<u8>> {
        let body = self.body(at, len, extensions)?;
        match until_nul(&body) {
            b"" => Err(self.bad_header(at, "readers differ on an empty long name")),
            name => Ok(name.to_vec()),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !self.keeps_headers {
            return;
        }
        let left = HEADERS_KEPT - self.headers.len().min(HEADERS_KEPT);
        self.headers
            .extend_from_slice(&bytes[..bytes.len().min(left)]);
    }

    fn records(&self, at: u64, body: &[u8]) -> Result<Records> {
        Records::parse(body).map_err(|what| self.bad_header(at, &what))
    }

    /// The name from the GNU header or the PAX header. It is an error if both are present and differ.
    fn agreed(
        &self,
        at: u64,
        gnu: Option<Vec<u8>>,
        pax: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>> {
        if gnu.is_some() && pax.is_some() && gnu != pax {
            return Err(self.bad_header(at, "the GNU and PAX headers give different names"));
        }
        Ok(gnu.or(pax))
    }

    fn bad_header(&self, at: u64, what: &str) -> Error {
        invalid(
            self.input.path(),
            &format!("bad header at byte {at}: {what}"),
        )
        .with_byte(at)
        .with_hint(Hint::CopyCutShort)
    }
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.records.is_none()
    }
}

/// The error for an archive that ends inside an entry's data. `len` is the entry's length, `data_at` the
/// offset of its data, and `found` how many bytes of it exist.
pub(crate) fn ends_inside(path: &Path, name: &str, len: u64, data_at: u64, found: u64) -> Error {
    let shown = escape(name);
    let what = format!("{shown}: {len} bytes expected from byte {data_at}, {found} found");
    truncated(path, &what)
        .with_entry(name)
        .with_byte(data_at)
        .with_expected(len)
        .with_found(found)
}

/// A predicate that says what engines take an entry of that type for, if not for what other readers do.
fn misread(flag: u8, name: &[u8]) -> Option<&'static str> {
    match flag {
        b'0' if name.ends_with(b"/") => Some("is a directory with the type of a file"),
        b'\0' | b'0'..=b'6' => None,
        b'7' => Some("is a contiguous file, which docker refuses and containerd ignores"),
        _ => Some("has a type that docker refuses and containerd ignores"),
    }
}
