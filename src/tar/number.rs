//! The numeric fields of tar headers, and the numbers in PAX records, as engines read them: with Go's `archive/tar`.

/// The value of a field in octal digits. Spaces and NULs around them are skipped, and so is whatever follows a NUL
/// after them; an empty field is 0. `None` for anything else.
pub(super) fn octal(field: &[u8]) -> Option<u64> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(start) = field.iter().position(|byte| !is_blank(byte)) else {
        return Some(0);
    };
    let end = field
        .iter()
        .rposition(|byte| !is_blank(byte))
        .unwrap_or(start);
    let mut digits = field[start..=end].split(|&byte| byte == 0);
    digits
        .next()?
        .iter()
        .try_fold(0u64, |value, byte| match byte {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
            _ => None,
        })
}

/// The value of a size field: octal digits, or a big-endian binary number after the byte 0x80.
///
/// # Errors
/// It is neither, or a number that readers disagree on: a negative one, one of more than 64 bits, or digits after a
/// NUL, at which other readers stop.
pub(super) fn size(field: &[u8]) -> Result<u64, &'static str> {
    let invalid = "the size is not a valid number";
    if is_binary(field) {
        let (high, low) = field.split_last_chunk().ok_or(invalid)?;
        let is_small = high.first() == Some(&0x80) && high[1..].iter().all(|&byte| byte == 0);
        return is_small.then(|| u64::from_be_bytes(*low)).ok_or(invalid);
    }
    match octal(field).ok_or(invalid)? {
        0 => Ok(0),
        _ if field.iter().find(|byte| **byte != b' ') == Some(&0) => {
            Err("the size begins with a NUL byte, which some readers take for its end")
        }
        size => Ok(size),
    }
}

/// The checksum of a header: octal digits, and around them only spaces and, after them, NULs.
pub(super) fn checksum(field: &[u8]) -> Option<u64> {
    let is_usual = |byte: &u8| matches!(byte, b'0'..=b'7' | b' ' | 0);
    let first = field.iter().find(|byte| **byte != b' ');
    (first != Some(&0) && field.iter().all(is_usual)).then(|| octal(field))?
}

/// Whether a field is a binary number that begins with other bytes than those which every reader knows.
pub(super) fn is_rare(field: &[u8]) -> bool {
    is_binary(field) && !matches!(field.first(), Some(0x80 | 0xff))
}

/// Whether a field is a number: octal digits, or a binary number of at most 64 bits in two's complement.
pub(super) fn is_number(field: &[u8]) -> bool {
    if !is_binary(field) {
        return octal(field).is_some();
    }
    // The first bit says that it is binary, and the second one is the sign.
    let sign = if field[0] & 0x40 == 0 { 0 } else { 0xff };
    let excess = field.len().saturating_sub(8);
    let mut high = field.iter().take(excess + 1).enumerate().map(|(at, byte)| {
        let byte = byte ^ sign;
        let byte = if at == 0 { byte & 0x7f } else { byte };
        if at < excess { byte } else { byte & 0x80 }
    });
    high.all(|bits| bits == 0)
}

fn is_binary(field: &[u8]) -> bool {
    field.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// The value of decimal digits without a sign.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    // `str::parse` would accept a sign.
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    text.parse().ok()
}

/// Whether a PAX record's value is an integer of 64 bits, which may have a sign.
pub(super) fn is_integer(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value);
    text.is_ok_and(|text| text.parse::<i64>().is_ok())
}

/// Whether a PAX record's value is a time: seconds, and perhaps a point and digits.
pub(super) fn is_time(value: &[u8]) -> bool {
    let mut parts = value.splitn(2, |&byte| byte == b'.');
    let seconds = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or_default();
    is_integer(seconds) && fraction.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed() {
        let invalid = Err("the size is not a valid number");
        let cases: [(&str, &[u8], Result<u64, &str>); 20] = [
            ("octal", b"00000000644\0", Ok(0o644)),
            ("no terminator", b"777777777777", Ok(0o777777777777)),
            ("surrounding spaces", b"   644 \0\0\0\0\0", Ok(0o644)),
            ("a NUL and a space", b"00000000644\0 ", Ok(0o644)),
            ("text after the terminator", b"644\0junk\0\0\0\0", Ok(0o644)),
            ("empty", b"\0\0\0\0\0\0\0\0\0\0\0\0", Ok(0)),
            ("spaces", b"            ", Ok(0)),
            ("zero after a NUL", b"\x000000000000\0", Ok(0)),
            (
                "digits after a NUL",
                b"\x000000000644\0",
                Err("the size begins with a NUL byte, which some readers take for its end"),
            ),
            (
                "digits after a space and a NUL",
                b" \x00000000644\0",
                Err("the size begins with a NUL byte, which some readers take for its end"),
            ),
            (
                "a space and text after the terminator",
                b"644 \0junk\0\0\0",
                invalid,
            ),
            ("a line break", b"0000000644\n\0", invalid),
            ("not an octal digit", b"00000000648\0", invalid),
            ("minus sign", b"-0000000001\0", invalid),
            ("plus sign", b"+0000000001\0", invalid),
            ("space inside", b"0000 000001\0", invalid),
            ("binary", b"\x80\0\0\0\0\0\0\x02\0\0\0\0", Ok(2 << 32)),
            (
                "binary over 64 bits",
                b"\x80\0\0\x01\0\0\0\0\0\0\0\x01",
                invalid,
            ),
            ("negative binary", &[0xff; 12], invalid),
            (
                "binary over 88 bits",
                b"\xc0\0\0\0\0\0\0\0\0\0\0\0",
                invalid,
            ),
        ];
        for (name, field, expected) in cases {
            assert_eq!(size(field), expected, "{name}");
        }
    }

    #[test]
    fn checksums_are_octal_digits() {
        for (field, expected) in [
            (b"012345\0 ", Some(0o12345)),
            (b"012345 \0", Some(0o12345)),
            (b"  12345\0", Some(0o12345)),
            (b"00012345", Some(0o12345)),
            (b"\x00012345\0", None),
            (b" \x0012345\0", None),
            (b"012345\0x", None),
            (b"01234x\0 ", None),
            (b"\0\0\0\0\0\0\0\0", None),
            (b"        ", Some(0)),
        ] {
            assert_eq!(checksum(field), expected, "{field:?}");
        }
    }

    #[test]
    fn other_numbers_may_be_negative() {
        let cases: [(&[u8], bool); 11] = [
            (b"0000644\0", true),
            (b"\x000000644", true),
            (b"       \0", true),
            (b"00x0644\0", false),
            (b"0000648\0", false),
            (&[0xff; 8], true),
            (&[0xff; 12], true),
            (&[0xbf; 8], true),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", true),
            (b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", false),
            (b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", false),
        ];
        for (field, expected) in cases {
            assert_eq!(is_number(field), expected, "{field:?}");
        }
    }

    #[test]
    fn numbers_in_records_are_recognized() {
        for (value, is_whole, is_point) in [
            ("0", true, true),
            ("-7", true, true),
            ("+7", true, true),
            ("9223372036854775807", true, true),
            ("9223372036854775808", false, false),
            ("1.5", false, true),
            ("-1.500", false, true),
            ("1.", false, true),
            ("1.5.5", false, false),
            (".5", false, false),
            ("1.x", false, false),
            ("1_0", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_integer(value.as_bytes()), is_whole, "{value}");
            assert_eq!(is_time(value.as_bytes()), is_point, "{value}");
        }
    }
}
