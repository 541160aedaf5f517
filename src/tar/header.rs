//! Tar headers. ocify writes USTAR headers in the same form as containerd's exporter, and verifies the
//! checksums of the headers that it reads.

use super::number;

/// The size of a tar block in bytes.
pub(crate) const BLOCK: usize = 512;
/// The length of the end-of-archive marker, which is all zeros.
pub(crate) const END_LEN: u64 = 1024;

/// The size of USTAR's name field.
const NAME_LEN: usize = 100;
/// The smallest size that does not fit in eleven octal digits.
const SIZE_LIMIT: u64 = 1 << 33;

/// The headers that ocify writes for an entry: one block, preceded by a PAX header if the name or the
/// size does not fit in it.
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

/// The length of the headers that [`canonical`] returns.
pub(crate) fn canonical_len(name: &str, is_dir: bool, len: u64) -> u64 {
    if name.len() <= NAME_LEN && len < SIZE_LIMIT {
        return BLOCK as u64;
    }
    canonical(name, is_dir, len).len() as u64
}

/// The headers that replace those of an existing entry in place, with a new name and length. They keep
/// the entry's mode, owner and time if possible. `None` if the new headers would not have the same size.
///
/// `old` contains all headers of the old entry. `is_simple` says that its name and length come from the
/// last header alone.
pub(crate) fn replaced(old: &[u8], is_simple: bool, name: &str, len: u64) -> Option<Vec<u8>> {
    let (before, own) = old.split_last_chunk::<BLOCK>()?;
    if is_simple && name.len() <= NAME_LEN && len < SIZE_LIMIT {
        let mut own = *own;
        set_name_and_size(&mut own, name.as_bytes(), len);
        return Some([before, &own].concat());
    }
    let new = canonical(name, false, len);
    (new.len() == old.len()).then_some(new)
}

fn set_name_and_size(block: &mut [u8; BLOCK], name: &[u8], len: u64) {
    block[..NAME_LEN].fill(0);
    block[..name.len()].copy_from_slice(name);
    // In POSIX headers this is the name prefix. GNU tar uses the space for other fields.
    if &block[257..263] == b"ustar\0" {
        block[345..500].fill(0);
    }
    octal(&mut block[124..135], len);
    block[135] = 0;
    seal(block);
}

/// Writes the checksum, which is computed with its own field set to spaces.
fn seal(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    octal(&mut block[148..154], sum.into());
    block[154..156].copy_from_slice(b"\0 ");
}

/// Fills a field with octal digits. The caller ensures that the number fits. This avoids `format!`, which
/// took longer than copying a small entry.
fn octal(field: &mut [u8], mut value: u64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (value % 8) as u8;
        value /= 8;
    }
}

/// The number of zero bytes that pad `len` bytes of data to a whole number of blocks.
pub(crate) fn padding(len: u64) -> u64 {
    (BLOCK as u64 - len % BLOCK as u64) % BLOCK as u64
}

/// Whether a header's checksum is correct. Bytes are summed as unsigned or, as some old writers did, as
/// signed numbers.
pub(crate) fn has_checksum(block: &[u8; BLOCK]) -> bool {
    let field = &block[148..156];
    let Some(stated) = number::checksum(field).and_then(|stated| i32::try_from(stated).ok()) else {
        return false;
    };
    // The checksum field counts as eight spaces.
    let unsigned = |bytes: &[u8]| bytes.iter().map(|&byte| i32::from(byte)).sum::<i32>();
    let signed = |bytes: &[u8]| bytes.iter().map(|&byte| i32::from(byte as i8)).sum::<i32>();
    let spaces = 8 * i32::from(b' ');
    stated == unsigned(block) - unsigned(field) + spaces
        || stated == signed(block) - signed(field) + spaces
}

/// Formats a PAX record. The length at its start includes its own digits.
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
    octal(&mut block[100..107], mode.into());
    octal(&mut block[124..135], len);
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(NAME_LEN)]);
    put(108, b"0000000"); // uid
    put(116, b"0000000"); // gid
    put(136, b"00000000000"); // modification time
    put(156, &[flag]);
    put(257, b"ustar\x0000");
    put(329, b"0000000"); // device numbers
    put(337, b"0000000");
    seal(&mut block);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_header_has_the_canonical_bytes() {
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
    fn the_mode_depends_on_the_name() {
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
    fn signed_and_unsigned_checksums_are_accepted() {
        let sealed = |byte: u8, is_signed: bool| {
            let mut header = block(b"a", b'0', 0o644, 0);
            header[0] = byte;
            let sum = |byte: &u8| match is_signed {
                true => i64::from(*byte as i8),
                false => i64::from(*byte),
            };
            header[148..156].copy_from_slice(b"        ");
            let sum: i64 = header.iter().map(sum).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            header
        };
        assert!(has_checksum(&sealed(b'a', false)));
        assert!(has_checksum(&sealed(0xe9, false)));
        assert!(has_checksum(&sealed(0xe9, true)));
        // The sum as a binary number, which engines do not read here.
        let mut binary = sealed(b'a', false);
        let sum = number::checksum(&binary[148..156]).unwrap();
        binary[148..156].copy_from_slice(&(sum | 1 << 63).to_be_bytes());
        assert!(!has_checksum(&binary));
        let mut broken = sealed(b'a', false);
        broken[0] = b'b';
        assert!(!has_checksum(&broken));
    }

    #[test]
    fn a_replaced_header_keeps_all_other_fields() {
        let mut old = tar::Header::new_gnu();
        old.set_path("blobs/sha256/old").unwrap();
        old.set_size(7);
        old.set_mode(0o600);
        old.set_uid(7);
        old.set_mtime(9);
        old.set_cksum();
        let pax = block(b"PaxHeaders.0/x", b'x', 0o644, 0);
        let chain = [&pax[..], old.as_bytes()].concat();
        let new = replaced(&chain, true, "blobs/sha256/new", 8).unwrap();
        assert_eq!(new[..BLOCK], pax);
        let new = tar::Header::from_byte_slice(&new[BLOCK..]);
        assert!(has_checksum(new.as_bytes()));
        assert_eq!(&*new.path_bytes(), b"blobs/sha256/new");
        assert_eq!(
            (
                new.size().unwrap(),
                new.mode().unwrap(),
                new.uid().unwrap(),
                new.mtime().unwrap()
            ),
            (8, 0o600, 7, 9)
        );
    }

    #[test]
    fn a_replaced_header_has_the_length_of_the_old_one() {
        let long = |byte: &str| format!("blobs/sha512/{}", byte.repeat(128));
        let sha512 = canonical(&long("a"), false, 1);
        let simple = canonical("blobs/sha256/a", false, 1);
        let cases = [
            (
                "long for long",
                &sha512,
                false,
                long("b"),
                Some(canonical(&long("b"), false, 2)),
            ),
            (
                "short for long",
                &sha512,
                false,
                "index.json".to_owned(),
                None,
            ),
            ("long for short", &simple, true, long("b"), None),
            (
                "short for short",
                &simple,
                true,
                "blobs/sha256/b".to_owned(),
                Some(canonical("blobs/sha256/b", false, 2)),
            ),
        ];
        for (case, old, is_simple, name, expected) in cases {
            assert_eq!(replaced(old, is_simple, &name, 2), expected, "{case}");
        }
        // A USTAR name that is split into a prefix and a name.
        let mut split = tar::Header::new_ustar();
        split.set_path(format!("{}/b", "a".repeat(120))).unwrap();
        split.set_size(0);
        split.set_cksum();
        let new = replaced(split.as_bytes(), true, "blobs/sha256/b", 0).unwrap();
        let new = tar::Header::from_byte_slice(&new);
        assert_eq!(&*new.path_bytes(), b"blobs/sha256/b");
    }

    #[test]
    fn a_record_length_includes_its_own_digits() {
        assert_eq!(record("a", "b"), "6 a=b\n");
        // 97 bytes and two digits would be 99; one byte more needs three digits.
        let value = "v".repeat(94);
        assert_eq!(record("k", &value).len(), 101);
    }
}
