//! Parses the records of a PAX header (POSIX.1-2001, `pax`, "pax Extended Header").
//!
//! Readers treat duplicate, empty and malformed records differently, so all three are refused.

use std::ops::Range;

use super::number::{decimal, is_integer, is_time};

/// What keys of extended attributes begin with: in Solaris' form, which GNU tar and Go read, and in
/// libarchive's.
const XATTRS: [&[u8]; 2] = [b"SCHILY.xattr.", b"LIBARCHIVE.xattr."];
/// The keys of sparse files: GNU tar's begin with the first, star and Solaris write the others.
const SPARSE: [&[u8]; 3] = [b"GNU.sparse.", b"SCHILY.realsize", b"SUN.holesdata"];

/// The records that concern an entry's name, link target or data, and its extended attributes. All others
/// are ignored.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) is_sparse: bool,
    /// Where in the body the extended attributes are.
    pub(super) xattrs: Vec<Range<usize>>,
    /// Whether one that Go reads is in a namespace that Linux does not have.
    pub(super) has_foreign_xattr: bool,
    /// A predicate that says which record engines cannot read, so that they refuse the archive.
    pub(super) unreadable: Option<&'static str>,
}

impl Records {
    /// Whether they say anything about an entry besides its attributes.
    pub(super) fn describe_entry(&self) -> bool {
        let has_name = self.path.is_some() || self.linkpath.is_some();
        has_name || self.size.is_some() || self.is_sparse
    }

    /// Where the extended attributes are in the archive, if the body is at this offset.
    pub(super) fn xattrs_in(&self, body_at: u64) -> impl Iterator<Item = Range<u64>> {
        let at = move |offset: usize| body_at + offset as u64;
        let xattrs = self.xattrs.iter();
        xattrs.map(move |range| at(range.start)..at(range.end))
    }

    /// Parses a header's body. The error is a phrase that describes the invalid record.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Records, String> {
        let mut records = Records::default();
        let len = bytes.len();
        while !bytes.is_empty() {
            let start = len - bytes.len();
            let (key, value, rest) = first(bytes).ok_or("malformed PAX record")?;
            bytes = rest;
            let is_name = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
            if key.contains(&0) || is_name && value.contains(&0) {
                return Err("a PAX record contains a NUL byte".to_owned());
            }
            if XATTRS.iter().any(|prefix| key.starts_with(prefix)) {
                records.xattrs.push(start..len - bytes.len());
                records.has_foreign_xattr |= is_foreign(key);
            }
            match key {
                b"path" => set(&mut records.path, "path", value.to_vec())?,
                b"linkpath" => set(&mut records.linkpath, "linkpath", value.to_vec())?,
                b"size" => {
                    let size = decimal(value).ok_or("the PAX size is not a number")?;
                    set(&mut records.size, "size", size)?;
                }
                _ if SPARSE.iter().any(|prefix| key.starts_with(prefix)) => {
                    records.is_sparse = true
                }
                _ => records.unreadable = records.unreadable.or_else(|| unreadable(key, value)),
            }
            if value.is_empty() && matches!(key, b"path" | b"linkpath") {
                return Err("empty PAX name".to_owned());
            }
        }
        Ok(records)
    }
}

/// Whether Linux refuses an extended attribute that Go reads, because of its namespace (xattr(7)).
fn is_foreign(key: &[u8]) -> bool {
    const NAMESPACES: [&[u8]; 4] = [b"user.", b"trusted.", b"security.", b"system."];
    let name = key.strip_prefix(XATTRS[0]);
    name.is_some_and(|name| !NAMESPACES.iter().any(|space| name.starts_with(space)))
}

/// A comment as long as another record, which every reader ignores. An extended attribute's record is long
/// enough for one.
pub(crate) fn comment(len: usize) -> Vec<u8> {
    let mut record = format!("{len} comment=").into_bytes();
    record.resize(len.saturating_sub(1), b'-');
    record.push(b'\n');
    record
}

/// Splits off the first record, `<length> <key>=<value>\n`: its key, its value, and the rest.
fn first(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|&byte| byte == b' ')?;
    let len = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let (record, rest) = bytes.split_at_checked(len)?;
    let text = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&text[..equals], &text[equals + 1..]);
    (!key.is_empty()).then_some((key, value, rest))
}

/// What engines cannot read in a record of an attribute. They ignore an empty one.
fn unreadable(key: &[u8], value: &[u8]) -> Option<&'static str> {
    let (is_right, what): (fn(&[u8]) -> bool, _) = match key {
        b"uid" => (is_integer, "has an owner that is not a number"),
        b"gid" => (is_integer, "has a group that is not a number"),
        b"atime" | b"ctime" | b"mtime" => (is_time, "has a time that is not a number"),
        _ => return None,
    };
    (!value.is_empty() && !is_right(value)).then_some(what)
}

fn set<T>(field: &mut Option<T>, key: &str, value: T) -> Result<(), String> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("duplicate PAX record {key}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_parsed() {
        let expected = Records {
            path: Some(b"a".to_vec()),
            linkpath: Some(b"b".to_vec()),
            size: Some(9),
            is_sparse: false,
            xattrs: std::iter::once(55..77).collect(),
            has_foreign_xattr: true,
            unreadable: None,
        };
        let found = Records::parse(
            b"10 path=a\n14 linkpath=b\n10 size=9\n21 mtime=1.234567890\n22 SCHILY.xattr.a=\n=\x00\n",
        );
        assert_eq!(found, Ok(expected));
        for sparse in [
            &b"22 GNU.sparse.major=1\n"[..],
            b"21 SCHILY.realsize=9\n",
            b"22 SUN.holesdata= 0 1\n",
        ] {
            assert!(Records::parse(sparse).unwrap().is_sparse);
        }
        assert_eq!(Records::parse(b""), Ok(Records::default()));
    }

    #[test]
    fn a_comment_takes_the_place_of_an_attribute() {
        for record in [
            &b"18 SCHILY.xattr.=\n"[..],
            b"46 LIBARCHIVE.xattr.com.apple.provenance=AQAB\n",
            b"000023 SCHILY.xattr.a=\n",
        ] {
            let text = [record, b"10 path=a\n"].concat();
            let records = Records::parse(&text).unwrap();
            assert_eq!(records.xattrs.first(), Some(&(0..record.len())));
            assert_eq!(records.xattrs.len(), 1);
            let mut replaced = text;
            replaced.splice(0..record.len(), comment(record.len()));
            let expected = Records {
                path: Some(b"a".to_vec()),
                ..Records::default()
            };
            assert_eq!(Records::parse(&replaced), Ok(expected));
        }
        assert_eq!(comment(18), b"18 comment=------\n");
    }

    #[test]
    fn ambiguous_and_malformed_records_are_refused() {
        let malformed = "malformed PAX record";
        let nul = "a PAX record contains a NUL byte";
        let cases: [(&str, &[u8], &str); 18] = [
            ("no length", b"path=a\n", malformed),
            ("length too short", b"8 path=a\n", malformed),
            ("length too long", b"11 path=a\n", malformed),
            ("length with a sign", b"+9 path=a\n", malformed),
            ("zero length", b"0 path=a\n", malformed),
            (
                "length overflow",
                b"99999999999999999999999 path=a\n",
                malformed,
            ),
            ("no value", b"7 path\n", malformed),
            ("no key", b"5 =a\n", malformed),
            ("nothing but a length", b"4 =\n", malformed),
            ("a key with a NUL", b"7 a\0=b\n", nul),
            ("a name with a NUL", b"12 path=a\0b\n", nul),
            ("an owner with a NUL", b"13 uname=a\0b\n", nul),
            ("empty line before a record", b"\n9 path=a\n", malformed),
            ("trailing zeros", b"9 path=a\n\0\0", malformed),
            (
                "duplicate",
                b"9 path=a\n9 path=b\n",
                "duplicate PAX record path",
            ),
            ("empty name", b"8 path=\n", "empty PAX name"),
            ("empty size", b"8 size=\n", "the PAX size is not a number"),
            (
                "negative size",
                b"11 size=-1\n",
                "the PAX size is not a number",
            ),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(Records::parse(bytes), Err(expected.to_owned()), "{name}");
        }
    }

    #[test]
    fn records_that_engines_cannot_read_are_noted() {
        let time = Some("has a time that is not a number");
        let cases: [(&[u8], Option<&str>); 9] = [
            (b"9 uid=-1\n", None),
            (b"8 uid=x\n", Some("has an owner that is not a number")),
            (b"7 gid=\n", None),
            (b"9 gid=1x\n", Some("has a group that is not a number")),
            (b"12 mtime=1.\n", None),
            (b"13 mtime=1,5\n", time),
            (b"11 atime=x\n", time),
            (b"11 ctime=x\n", time),
            (b"11 other=\0\n", None),
        ];
        for (body, expected) in cases {
            let records = Records::parse(body).unwrap();
            assert_eq!(records.unreadable, expected, "{body:?}");
        }
    }
}
