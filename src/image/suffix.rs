//! The suffixes of archives' file names, and the compression that each implies.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::compression::Compression;

/// A suffix of an archive's file name. Suffixes are recognized in upper and lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveSuffix {
    /// The suffix in lower case, such as `.tar.gz`.
    pub text: &'static str,
    /// The compression that it implies, or the name of a format that ocify does not write.
    pub compression: Result<Compression, &'static str>,
    /// The suffix of the same archive without compression: `.tar`, or nothing if this is only the suffix of a compressed file.
    plain: &'static str,
}

/// A row of the table.
const fn row(
    text: &'static str,
    compression: Result<Compression, &'static str>,
    plain: &'static str,
) -> ArchiveSuffix {
    ArchiveSuffix {
        text,
        compression,
        plain,
    }
}

const GZIP: Result<Compression, &str> = Ok(Compression::Gzip);
const ZSTD: Result<Compression, &str> = Ok(Compression::Zstd);

/// All of them.
const SUFFIXES: [ArchiveSuffix; 31] = [
    row(".tar", Ok(Compression::Uncompressed), ".tar"),
    row(".tar.gz", GZIP, ".tar"),
    row(".tgz", GZIP, ".tar"),
    row(".gz", GZIP, ""),
    row(".tar.zst", ZSTD, ".tar"),
    row(".tzst", ZSTD, ".tar"),
    row(".zst", ZSTD, ""),
    row(".tar.xz", Err("xz"), ".tar"),
    row(".txz", Err("xz"), ".tar"),
    row(".xz", Err("xz"), ""),
    row(".tar.bz2", Err("bzip2"), ".tar"),
    row(".tbz2", Err("bzip2"), ".tar"),
    row(".tbz", Err("bzip2"), ".tar"),
    row(".bz2", Err("bzip2"), ""),
    row(".tar.lz4", Err("lz4"), ".tar"),
    row(".lz4", Err("lz4"), ""),
    row(".tar.lzma", Err("lzma"), ".tar"),
    row(".tlz", Err("lzma"), ".tar"),
    row(".lzma", Err("lzma"), ""),
    row(".tar.lz", Err("lzip"), ".tar"),
    row(".lz", Err("lzip"), ""),
    row(".tar.lzo", Err("lzop"), ".tar"),
    row(".tzo", Err("lzop"), ".tar"),
    row(".lzo", Err("lzop"), ""),
    row(".tar.br", Err("brotli"), ".tar"),
    row(".br", Err("brotli"), ""),
    row(".tar.z", Err("compress"), ".tar"),
    row(".taz", Err("compress"), ".tar"),
    row(".z", Err("compress"), ""),
    row(".zip", Err("zip"), ""),
    row(".7z", Err("7z"), ""),
];

impl ArchiveSuffix {
    /// The suffix of a file name, if it is one of an archive. A name that consists of nothing else has none.
    pub fn of(name: &OsStr) -> Option<Self> {
        let name = name.as_bytes();
        let is_at_end = |suffix: &&ArchiveSuffix| {
            let start = name.len().checked_sub(suffix.text.len());
            start.is_some_and(|start| {
                start > 0 && name[start..].eq_ignore_ascii_case(suffix.text.as_bytes())
            })
        };
        let found = SUFFIXES.iter().filter(is_at_end);
        found.max_by_key(|suffix| suffix.text.len()).copied()
    }

    /// A name that has this suffix without it.
    pub fn stem(self, name: &OsStr) -> OsString {
        let len = name.len().saturating_sub(self.text.len());
        OsString::from_vec(name.as_bytes()[..len].to_vec())
    }

    /// A name that has this suffix as that of an archive that is not compressed.
    pub fn uncompressed(self, name: &OsStr) -> OsString {
        let mut plain = self.stem(name);
        plain.push(self.plain);
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_suffix_counts_in_any_case() {
        for (name, expected) in [
            ("a.tar", Some((".tar", Ok("uncompressed"), "a", "a.tar"))),
            ("a.tar.gz", Some((".tar.gz", Ok("gzip"), "a", "a.tar"))),
            ("A.TGZ", Some((".tgz", Ok("gzip"), "A", "A.tar"))),
            ("a.b.gz", Some((".gz", Ok("gzip"), "a.b", "a.b"))),
            ("a.Tar.Zst", Some((".tar.zst", Ok("zstd"), "a", "a.tar"))),
            ("a.tzst", Some((".tzst", Ok("zstd"), "a", "a.tar"))),
            ("a.tar.xz", Some((".tar.xz", Err("xz"), "a", "a.tar"))),
            ("a.XZ", Some((".xz", Err("xz"), "a", "a"))),
            ("a.tbz2", Some((".tbz2", Err("bzip2"), "a", "a.tar"))),
            ("a.tar.Z", Some((".tar.z", Err("compress"), "a", "a.tar"))),
            ("a.tar.lz4", Some((".tar.lz4", Err("lz4"), "a", "a.tar"))),
            ("a.zip", Some((".zip", Err("zip"), "a", "a"))),
            ("a", None),
            ("a.oci", None),
            ("tar", None),
            (".tar", None),
            (".tar.gz", Some((".gz", Ok("gzip"), ".tar", ".tar"))),
            ("", None),
        ] {
            let name = OsStr::new(name);
            let suffix = ArchiveSuffix::of(name);
            let found = suffix.map(|suffix| {
                let compression = suffix.compression.map(Compression::short_name);
                let names = (suffix.stem(name), suffix.uncompressed(name));
                (suffix.text, compression, names)
            });
            let expected = expected.map(|(text, compression, stem, plain)| {
                (text, compression, (stem.into(), plain.into()))
            });
            assert_eq!(found, expected, "{name:?}");
        }
    }
}
