//! Builds tar archives entry by entry, valid or invalid.

const BLOCK: usize = 512;

/// One entry, with all header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) mode: u32,
    pub(crate) link: String,
    pub(crate) data: Vec<u8>,
    /// The text of the size field, if it is not the length of the data.
    pub(crate) size: Option<Vec<u8>>,
    /// The checksum field, if it is wrong.
    pub(crate) checksum: Option<Vec<u8>>,
    /// The time of modification.
    pub(crate) mtime: u64,
}

impl Entry {
    pub(crate) fn new(name: impl AsRef<[u8]>, flag: u8, data: impl AsRef<[u8]>) -> Self {
        Entry {
            name: name.as_ref().to_vec(),
            flag,
            mode: 0o644,
            link: String::new(),
            data: data.as_ref().to_vec(),
            size: None,
            checksum: None,
            mtime: 0,
        }
    }

    pub(crate) fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        Entry::new(name, b'0', data)
    }

    pub(crate) fn dir(name: impl AsRef<[u8]>) -> Self {
        let mut entry = Entry::new(name, b'5', b"");
        entry.mode = 0o755;
        entry
    }

    pub(crate) fn link(name: impl AsRef<[u8]>, flag: u8, target: &str) -> Self {
        let mut entry = Entry::new(name, flag, b"");
        target.clone_into(&mut entry.link);
        entry
    }

    /// A PAX header with these records, for the entry that follows.
    pub(crate) fn pax(records: &[(&str, &str)]) -> Self {
        let text: String = records
            .iter()
            .map(|(key, value)| {
                let rest = format!(" {key}={value}\n");
                let mut len = rest.len() + 1;
                while len != rest.len() + len.to_string().len() {
                    len = rest.len() + len.to_string().len();
                }
                format!("{len}{rest}")
            })
            .collect();
        Entry::new("PaxHeaders.0/x", b'x', text)
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    fn header(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, room: usize, bytes: &[u8]| {
            let len = bytes.len().min(room);
            block[at..at + len].copy_from_slice(&bytes[..len]);
        };
        let size = format!("{:011o}", self.data.len()).into_bytes();
        put(0, 100, &self.name);
        put(100, 8, format!("{:07o}", self.mode).as_bytes());
        put(108, 8, b"0000000");
        put(116, 8, b"0000000");
        put(124, 12, self.size.as_ref().unwrap_or(&size));
        put(136, 12, format!("{:011o}", self.mtime).as_bytes());
        put(148, 8, b"        ");
        put(156, 1, &[self.flag]);
        put(157, 100, self.link.as_bytes());
        put(257, 8, b"ustar\x0000");
        put(329, 8, b"0000000");
        put(337, 8, b"0000000");
        if self.flag == b'S' {
            // GNU's old form: its own magic, one piece of data, and the real size.
            let len = format!("{:011o}", self.data.len());
            put(257, 8, b"ustar  \0");
            put(386, 12, b"00000000000");
            put(398, 12, len.as_bytes());
            put(483, 12, len.as_bytes());
        }
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        let right = format!("{sum:06o}\0 ").into_bytes();
        let checksum = self.checksum.as_ref().unwrap_or(&right);
        block[148..148 + checksum.len()].copy_from_slice(checksum);
        block
    }
}

/// The bytes of an archive with these entries, without its end.
pub(crate) fn open_tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend(entry.header());
        bytes.extend(&entry.data);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes
}

/// The bytes of an archive with these entries, and its end.
pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = open_tar(entries);
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}
