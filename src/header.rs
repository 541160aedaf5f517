//! Tar headers in the one form that ocify writes: USTAR as containerd's exporter does.

/// The size of a tar block.
pub(crate) const BLOCK: usize = 512;
/// The zero bytes that end an archive.
pub(crate) const END_LEN: u64 = 1024;

/// Bytes that a USTAR name field holds.
const NAME_LEN: usize = 100;
/// The first size that eleven octal digits cannot state.
const SIZE_LIMIT: u64 = 1 << 33;

/// The header of an entry: one block, or a PAX header and its records before that block when the
/// name or the size does not fit.
pub(crate) fn canonical(name: &str, is_dir: bool, len: u64) -> Vec<u8> {
    let mode = if is_dir {
        0o755
    } else if name.starts_with("blobs/") || name == "oci-layout" {
        0o444
    } else {
        0o644
    };
    let mut records = String::new();
    if name.len() > NAME_LEN {
        records.push_str(&record("path", name));
    }
    if len >= SIZE_LIMIT {
        records.push_str(&record("size", &len.to_string()));
    }

    let mut out = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let last = name.trim_end_matches('/').rsplit('/').next().unwrap_or("");
        let pax_name = format!("PaxHeaders.0/{last}");
        out.extend(block(
            pax_name.as_bytes(),
            b'x',
            0o644,
            records.len() as u64,
        ));
        out.extend(records.as_bytes());
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    let flag = if is_dir { b'5' } else { b'0' };
    let field_len = if len < SIZE_LIMIT { len } else { 0 };
    out.extend(block(name.as_bytes(), flag, mode, field_len));
    out
}

/// The zero bytes between an entry's last byte and the next block.
pub(crate) fn padding(len: u64) -> u64 {
    (BLOCK as u64 - len % BLOCK as u64) % BLOCK as u64
}

/// A PAX record; its length counts its own digits.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut len = rest.len() + 1;
    while len != rest.len() + len.to_string().len() {
        len = rest.len() + len.to_string().len();
    }
    format!("{len}{rest}")
}

fn block(name: &[u8], flag: u8, mode: u32, len: u64) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(NAME_LEN)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000"); // uid
    put(116, b"0000000"); // gid
    put(124, format!("{len:011o}").as_bytes());
    put(136, b"00000000000"); // modification time
    put(148, b"        "); // the checksum counts itself as spaces
    put(156, &[flag]);
    put(257, b"ustar\x0000");
    put(329, b"0000000"); // device numbers
    put(337, b"0000000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_header() {
        let header = canonical("blobs/", true, 0);
        assert_eq!(header.len(), BLOCK);
        assert_eq!(&header[..8], b"blobs/\0\0");
        assert_eq!(
            &header[100..158],
            b"0000755\x000000000\x000000000\x0000000000000\x0000000000000\x00010306\x00 5\0"
        );
        assert_eq!(&header[257..265], b"ustar\x0000");
        assert_eq!(&header[329..345], b"0000000\x000000000\x00");
    }

    #[test]
    fn modes() {
        for (name, mode) in [
            ("blobs/sha256/00", b"0000444"),
            ("oci-layout", b"0000444"),
            ("index.json", b"0000644"),
            ("manifest.json", b"0000644"),
        ] {
            assert_eq!(&canonical(name, false, 1)[100..107], mode, "{name}");
        }
    }

    #[test]
    fn long_names_and_sizes_have_pax_records() {
        let name = format!("blobs/sha512/{}", "a".repeat(128));
        let header = canonical(&name, false, SIZE_LIMIT);
        assert_eq!(header.len(), 3 * BLOCK);
        assert_eq!(header[156], b'x');
        let records = format!("151 path={name}\n19 size=8589934592\n");
        assert!(header[BLOCK..].starts_with(records.as_bytes()));
        assert_eq!(header[2 * BLOCK + 156], b'0');

        let mut archive = header;
        archive.extend(canonical("index.json", false, 0));
        let mut reader = tar::Archive::new(&archive[..]);
        let entry = reader.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(*entry.path_bytes(), *name.as_bytes());
        assert_eq!(entry.size(), SIZE_LIMIT);
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        assert_eq!(record("a", "b"), "6 a=b\n");
        // 97 bytes and two digits would be 99; one byte more needs three digits.
        let value = "v".repeat(94);
        assert_eq!(record("k", &value).len(), 101);
    }
}
