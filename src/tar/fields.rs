//! The fields of a header block, as engines read them: with Go's `archive/tar`.
//!
//! The dialects of tar differ in where a name's prefix is, and readers differ in how they tell the dialects apart. A
//! header in which they would find different names is refused.

use super::header::BLOCK;
use super::number;

/// The dialect of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// POSIX, whatever its version field says.
    Ustar,
    /// POSIX with the times of star, after a shorter prefix.
    Star,
    /// GNU, which has times in place of the prefix.
    Gnu,
    /// Anything older or unknown, which has no prefix.
    V7,
}

fn dialect(block: &[u8; BLOCK]) -> Dialect {
    match &block[257..263] {
        b"ustar\0" if &block[508..512] == b"tar\0" => Dialect::Star,
        b"ustar\0" => Dialect::Ustar,
        b"ustar " if &block[263..265] == b" \0" => Dialect::Gnu,
        _ => Dialect::V7,
    }
}

/// The name that a header block states.
///
/// # Errors
/// Readers find different names.
pub(super) fn name(block: &[u8; BLOCK]) -> Result<Vec<u8>, &'static str> {
    const PREFIX: usize = 345;
    let name = until_nul(&block[..100]);
    let prefix = match dialect(block) {
        Dialect::Ustar => until_nul(&block[PREFIX..500]),
        Dialect::Star => {
            let prefix = until_nul(&block[PREFIX..476]);
            if prefix.len() == 476 - PREFIX && block[476] != 0 {
                return Err(
                    "the prefix of the name ends after 131 bytes for some readers and after 155 for others",
                );
            }
            prefix
        }
        // Go takes what is not a time for a prefix, and Python also what is one. GNU tar writes times.
        Dialect::Gnu => {
            let times = [&block[PREFIX..357], &block[357..369]];
            let are_times = |field: &[u8]| field[0] == 0 || number::is_number(field);
            if !times.into_iter().all(are_times) {
                return Err("some readers take the times of a GNU header for a prefix of the name");
            }
            return Ok(name.to_vec());
        }
        Dialect::V7 => {
            if block[PREFIX] != 0 {
                return Err("some readers find a prefix of the name and others do not");
            }
            return Ok(name.to_vec());
        }
    };
    if prefix.is_empty() {
        return Ok(name.to_vec());
    }
    Ok([prefix, b"/", name].concat())
}

/// Refuses an entry that some readers take for a sparse file, wherever its name comes from.
///
/// # Errors
/// A GNU header of another type has a sparse map, which libarchive applies.
pub(super) fn refuse_sparse_map(block: &[u8; BLOCK]) -> Result<(), &'static str> {
    let has_map = || block[386..495].iter().any(|&byte| byte != 0);
    match dialect(block) {
        Dialect::Gnu if block[156] != b'S' && has_map() => {
            Err("some readers take the entry for a sparse file, although its type is another")
        }
        _ => Ok(()),
    }
}

/// The target of a link that a header block states.
pub(super) fn link(block: &[u8; BLOCK]) -> &[u8] {
    until_nul(&block[157..257])
}

/// A predicate that says which number of a header block engines cannot read, so that they refuse the archive.
///
/// # Errors
/// Engines read all numbers, and some readers do not.
pub(super) fn unreadable(block: &[u8; BLOCK]) -> Result<Option<&'static str>, &'static str> {
    let (device, time) = (
        "has a device number that is not a number",
        "has a time that is not a number",
    );
    let fields = [
        (100..108, "has a mode that is not a number"),
        (108..116, "has an owner that is not a number"),
        (116..124, "has a group that is not a number"),
        (136..148, time),
        (329..337, device),
        (337..345, device),
        (476..488, time),
        (488..500, time),
    ];
    let count = match dialect(block) {
        Dialect::V7 => 4,
        Dialect::Ustar | Dialect::Gnu => 6,
        Dialect::Star => 8,
    };
    for (range, what) in fields.into_iter().take(count) {
        let field = &block[range];
        if !number::is_number(field) {
            return Ok(Some(what));
        }
        if number::is_rare(field) {
            return Err("some readers cannot read a number of the header");
        }
    }
    // Python reads device numbers in every dialect, with any white space, and ends the archive where it cannot.
    let is_read = |field: &[u8]| {
        let spaces = field.iter().map(|byte| match byte.is_ascii_whitespace() {
            true => b' ',
            false => *byte,
        });
        number::is_number(&spaces.collect::<Vec<u8>>())
    };
    if count == 4 && !(is_read(&block[329..337]) && is_read(&block[337..345])) {
        return Err("some readers cannot read a device number of the header");
    }
    Ok(None)
}

/// The bytes before the first NUL, or all of them.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::canonical;

    /// A header with these bytes at these offsets.
    fn header(changes: &[(usize, &[u8])]) -> [u8; BLOCK] {
        let mut block: [u8; BLOCK] = canonical("name", false, 1).try_into().unwrap();
        for (at, bytes) in changes {
            block[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        block
    }

    #[test]
    fn the_dialect_decides_where_the_prefix_is() {
        let (gnu, v7): (&[u8], &[u8]) = (b"ustar  \0", &[0; 8]);
        let star: &[u8] = b"tar\0";
        let long = [b'p'; 155];
        let differ = Err(());
        let name_after = |prefix: &[u8]| Ok([prefix, b"/name"].concat());
        let own = || Ok(b"name".to_vec());
        #[rustfmt::skip]
        let cases = [
            ("none", header(&[]), own()),
            ("ustar", header(&[(345, b"a/b")]), name_after(b"a/b")),
            ("ustar, 155 bytes", header(&[(345, &long)]), name_after(&long)),
            ("another version", header(&[(263, b"xx"), (345, b"a")]), name_after(b"a")),
            ("star", header(&[(345, b"a"), (476, b"00000000000 00000000000 "), (508, star)]), name_after(b"a")),
            ("star, 131 bytes", header(&[(345, &long[..131]), (508, star)]), name_after(&long[..131])),
            ("star, 131 bytes and a time", header(&[(345, &long[..131]), (476, b"0"), (508, star)]), differ.clone()),
            ("GNU", header(&[(257, gnu)]), own()),
            ("GNU with times", header(&[(257, gnu), (345, b"14000000000\x0014000000000\0")]), own()),
            ("GNU with binary times", header(&[(257, gnu), (345, &[0xff; 24])]), own()),
            ("GNU with a prefix", header(&[(257, gnu), (345, b"a")]), differ.clone()),
            ("GNU with a prefix after a time", header(&[(257, gnu), (357, b"a")]), differ.clone()),
            ("V7", header(&[(257, v7)]), own()),
            ("V7 with a prefix", header(&[(257, v7), (345, b"a")]), differ.clone()),
            ("GNU of another version", header(&[(257, b"ustar 00"), (345, b"1")]), differ),
        ];
        for (case, block, expected) in cases {
            assert_eq!(name(&block).map_err(drop), expected, "{case}");
        }
    }

    #[test]
    fn only_sparse_files_have_a_sparse_map() {
        let gnu: &[u8] = b"ustar  \0";
        let one: &[u8] = b"00000000001";
        for (case, block, is_refused) in [
            ("none", header(&[(257, gnu)]), false),
            ("a map", header(&[(257, gnu), (386, one)]), true),
            ("a real size", header(&[(257, gnu), (483, one)]), true),
            (
                "a sparse file",
                header(&[(257, gnu), (156, b"S"), (483, one)]),
                false,
            ),
            ("a prefix", header(&[(386, one)]), false),
        ] {
            assert_eq!(refuse_sparse_map(&block).is_err(), is_refused, "{case}");
        }
    }

    #[test]
    fn every_number_of_a_dialect_is_read() {
        let device = Some("has a device number that is not a number");
        let time = Some("has a time that is not a number");
        #[rustfmt::skip]
        let cases = [
            ("none", header(&[]), None),
            ("mode", header(&[(100, b"rw-r--r--")]), Some("has a mode that is not a number")),
            ("owner", header(&[(108, b"root\0\0\0\0")]), Some("has an owner that is not a number")),
            ("group", header(&[(116, b"-1\0\0\0\0\0\0")]), Some("has a group that is not a number")),
            ("time", header(&[(136, b"today\0\0\0\0\0\0\0")]), time),
            ("device", header(&[(337, b"x")]), device),
            ("star's time", header(&[(488, b"x"), (508, b"tar\0")]), time),
            ("the same without star", header(&[(488, b"x")]), None),
            ("binary owner", header(&[(108, b"\x80\0\0\0\0\xff\xff\xff")]), None),
            ("negative owner", header(&[(108, &[0xff; 8])]), None),
        ];
        for (case, block, expected) in cases {
            assert_eq!(unreadable(&block), Ok(expected), "{case}");
        }
        assert!(unreadable(&header(&[(108, b"\xa0\0\0\0\0\0\0\0")])).is_err());
        assert!(unreadable(&header(&[(257, &[0; 8]), (337, b"x")])).is_err());
        for device in [&[0; 8], b"000000\n\0"] {
            let block = header(&[(257, &[0; 8]), (337, device)]);
            assert_eq!(unreadable(&block), Ok(None));
        }
    }
}
