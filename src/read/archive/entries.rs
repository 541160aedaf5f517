//! The entries of a tar archive, one header after the other: files' bytes are skipped.
//!
//! Every reader has to see the same entries here, so whatever readers are known to understand in
//! different ways is refused.

use tar::{EntryType, Header};

use super::pax::Records;
use super::{invalid, truncated};
use crate::error::{Code, Error, Result, escape, show_path};
use crate::header::{self, BLOCK};
use crate::inventory::Location;
use crate::read::Source;

/// What the long names and PAX records of one entry may take; they are held in memory.
const EXTENSION_CAP: u64 = 1 << 20;

/// One entry, its long names and PAX records applied.
pub(super) struct Entry {
    /// The name as written.
    pub(super) name: Vec<u8>,
    /// What a link leads to; empty for everything else.
    pub(super) link: Vec<u8>,
    pub(super) entry_type: EntryType,
    pub(super) len: u64,
    /// Where the first of the entry's headers stands.
    pub(super) start_at: u64,
    /// Where the entry's own header stands, after those that extend it.
    pub(super) header_at: u64,
    pub(super) data_at: u64,
    pub(super) header: [u8; BLOCK],
    /// Whether that header states name and length itself.
    pub(super) is_simple: bool,
}

/// Reads entries by position.
pub(super) struct Entries<'a> {
    source: &'a Source,
    file_len: u64,
    position: u64,
}

/// What the headers before an entry say about it.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Option<Records>,
    len: u64,
}

impl<'a> Entries<'a> {
    pub(super) fn new(source: &'a Source, file_len: u64) -> Self {
        Entries {
            source,
            file_len,
            position: 0,
        }
    }

    /// Where the next header stands. After the last entry, its end.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next entry, or `None` at the end: of the archive or of the file, since some writers
    /// leave the end marker out.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        let start_at = self.position;
        loop {
            let at = self.position;
            let Some(block) = self.block()? else {
                if extensions.is_empty() {
                    return Ok(None);
                }
                return Err(
                    self.bad_header(at, "the entry is missing that the headers before describe")
                );
            };
            let header = Header::from_byte_slice(&block);
            let len = header::number(&header.as_old().size)
                .ok_or_else(|| self.bad_header(at, "the size is no valid number"))?;
            self.position = at + BLOCK as u64;
            let entry_type = header.entry_type();
            let is_first = match entry_type {
                EntryType::GNULongName => {
                    let name = self.body(at, len, &mut extensions)?;
                    extensions.name.replace(until_nul(&name)).is_none()
                }
                EntryType::GNULongLink => {
                    let link = self.body(at, len, &mut extensions)?;
                    extensions.link.replace(until_nul(&link)).is_none()
                }
                EntryType::XHeader => {
                    let body = self.body(at, len, &mut extensions)?;
                    extensions
                        .records
                        .replace(self.records(at, &body)?)
                        .is_none()
                }
                EntryType::XGlobalHeader => {
                    let is_alone = extensions.is_empty();
                    let body = self.body(at, len, &mut Extensions::default())?;
                    // Some readers apply a global record to every entry, others to none.
                    if self.records(at, &body)? != Records::default() {
                        let what = "a global PAX header states a name or a size";
                        return Err(self.bad_header(at, what));
                    }
                    is_alone
                }
                _ => {
                    let entry = self.entry(at, block, len, extensions)?;
                    return Ok(Some(Entry { start_at, ..entry }));
                }
            };
            if !is_first {
                return Err(self.bad_header(at, "the headers of one entry contradict each other"));
            }
        }
    }

    fn entry(
        &mut self,
        at: u64,
        block: [u8; BLOCK],
        len: u64,
        extensions: Extensions,
    ) -> Result<Entry> {
        let header = Header::from_byte_slice(&block);
        let records = extensions.records.unwrap_or_default();
        let is_simple =
            extensions.name.is_none() && records.path.is_none() && records.size.is_none();
        let name = self
            .agreed(at, extensions.name, records.path)?
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = self
            .agreed(at, extensions.link, records.linkpath)?
            .or_else(|| header.link_name_bytes().map(|link| link.into_owned()))
            .unwrap_or_default();
        let shown = escape(&String::from_utf8_lossy(&name));
        if records.is_sparse || header.entry_type().is_gnu_sparse() {
            return Err(Error::new(
                Code::SparseEntry,
                format!(
                    "{shown} in {} is stored as a sparse file",
                    show_path(self.source.path())
                ),
            )
            .with_hint("write the archive again without tar --sparse"));
        }
        let len = records.size.unwrap_or(len);
        let data_at = self.position;
        let end = data_at.checked_add(len).filter(|&end| end <= self.file_len);
        let Some(end) = end else {
            let left = self.file_len - data_at;
            let what = format!("{shown}: {len} bytes expected from byte {data_at}, {left} found");
            return Err(truncated(self.source, &what));
        };
        self.position = end + header::padding(len);
        Ok(Entry {
            name,
            link,
            entry_type: header.entry_type(),
            len,
            start_at: at,
            header_at: at,
            data_at,
            header: block,
            is_simple,
        })
    }

    /// The header at the position; `None` at the end.
    fn block(&self) -> Result<Option<[u8; BLOCK]>> {
        let at = self.position;
        let left = self.file_len.saturating_sub(at);
        if left == 0 {
            return Ok(None);
        }
        if left < BLOCK as u64 {
            let what = format!("the header at byte {at}: {BLOCK} bytes expected, {left} found");
            return Err(truncated(self.source, &what));
        }
        let mut block = [0; BLOCK];
        self.source.read_into(&mut block, at)?;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if !header::has_checksum(&block) {
            return Err(self.bad_header(at, "it does not have the checksum that it states"));
        }
        Ok(Some(block))
    }

    /// The body of a header that extends the next one.
    fn body(&mut self, at: u64, len: u64, extensions: &mut Extensions) -> Result<Vec<u8>> {
        extensions.len = extensions.len.saturating_add(len);
        if extensions.len > EXTENSION_CAP {
            return Err(self.bad_header(at, "the headers of one entry are too long"));
        }
        let left = self.file_len - self.position;
        if len > left {
            let what = format!("the header at byte {at}: {len} more bytes expected, {left} found");
            return Err(truncated(self.source, &what));
        }
        let body = self
            .source
            .read_range(&Location::Offset(self.position), len)?;
        self.position += len + header::padding(len);
        Ok(body)
    }

    fn records(&self, at: u64, body: &[u8]) -> Result<Records> {
        Records::parse(body).map_err(|what| self.bad_header(at, &what))
    }

    /// The one name of two headers.
    fn agreed(
        &self,
        at: u64,
        gnu: Option<Vec<u8>>,
        pax: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>> {
        if gnu.is_some() && pax.is_some() && gnu != pax {
            return Err(self.bad_header(at, "a GNU and a PAX header state different names"));
        }
        Ok(gnu.or(pax))
    }

    fn bad_header(&self, at: u64, what: &str) -> Error {
        invalid(self.source, &format!("bad header at byte {at}: {what}"))
    }
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.records.is_none()
    }
}

/// GNU names are strings of C.
fn until_nul(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0);
    bytes[..end.unwrap_or(bytes.len())].to_vec()
}
