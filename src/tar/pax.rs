//! The records of a PAX header.
//!
//! Readers differ on a record that stands twice, is empty or is malformed, so these are refused.

/// What a PAX header says about an entry's name, target and bytes; the rest is passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) linkpath: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) is_sparse: bool,
}

impl Records {
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Records, String> {
        let mut records = Records::default();
        while !bytes.is_empty() {
            let (key, value, rest) = first(bytes).ok_or("a PAX record is malformed")?;
            bytes = rest;
            match key {
                b"path" => set(&mut records.path, "path", value.to_vec())?,
                b"linkpath" => set(&mut records.linkpath, "linkpath", value.to_vec())?,
                b"size" => {
                    let size = decimal(value).ok_or("the PAX size is no number")?;
                    set(&mut records.size, "size", size)?;
                }
                _ => records.is_sparse |= key.starts_with(b"GNU.sparse."),
            }
            if value.is_empty() && matches!(key, b"path" | b"linkpath") {
                return Err("a PAX name is empty".to_owned());
            }
        }
        Ok(records)
    }
}

/// Key and value of the first record, `<length> <key>=<value>\n`, and what follows.
fn first(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|&byte| byte == b' ')?;
    let len = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let (record, rest) = bytes.split_at_checked(len)?;
    let text = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|&byte| byte == b'=')?;
    Some((&text[..equals], &text[equals + 1..], rest))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    // The standard parser would take a sign, too.
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    text.parse().ok()
}

fn set<T>(place: &mut Option<T>, key: &str, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("the PAX record {key} stands twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let expected = Records {
            path: Some(b"a".to_vec()),
            linkpath: Some(b"b".to_vec()),
            size: Some(9),
            is_sparse: false,
        };
        let found = Records::parse(
            b"10 path=a\n14 linkpath=b\n10 size=9\n21 mtime=1.234567890\n22 SCHILY.xattr.a=\n=\x00\n",
        );
        assert_eq!(found, Ok(expected));
        assert!(
            Records::parse(b"22 GNU.sparse.major=1\n")
                .unwrap()
                .is_sparse
        );
        assert_eq!(Records::parse(b""), Ok(Records::default()));
    }

    #[test]
    fn refused_records() {
        let malformed = "a PAX record is malformed";
        let cases: [(&str, &[u8], &str); 13] = [
            ("no length", b"path=a\n", malformed),
            ("length too short", b"8 path=a\n", malformed),
            ("length too long", b"11 path=a\n", malformed),
            ("length with a sign", b"+9 path=a\n", malformed),
            ("length of nothing", b"0 path=a\n", malformed),
            (
                "length beyond any",
                b"99999999999999999999999 path=a\n",
                malformed,
            ),
            ("no value", b"7 path\n", malformed),
            ("line before a record", b"\n9 path=a\n", malformed),
            ("zeros after", b"9 path=a\n\0\0", malformed),
            (
                "twice",
                b"9 path=a\n9 path=b\n",
                "the PAX record path stands twice",
            ),
            ("empty name", b"8 path=\n", "a PAX name is empty"),
            ("empty size", b"8 size=\n", "the PAX size is no number"),
            (
                "negative size",
                b"11 size=-1\n",
                "the PAX size is no number",
            ),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(Records::parse(bytes), Err(expected.to_owned()), "{name}");
        }
    }
}
