//! Collects the changed digests of many inputs, in the order of the inputs, not in that of their completion,
//! without keeping them in memory.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The lines so far, in a file without a name.
#[derive(Debug)]
pub(crate) struct DigestMap {
    file: File,
    len: u64,
    /// The number of the input, and where its lines are.
    places: Vec<(u64, u64, usize)>,
}

impl DigestMap {
    /// An empty map, with its lines in a directory for temporary files.
    ///
    /// # Errors
    /// No file can be created there.
    pub(crate) fn new(directory: &Path) -> io::Result<DigestMap> {
        Ok(DigestMap {
            file: tempfile::tempfile_in(directory)?,
            len: 0,
            places: Vec::new(),
        })
    }

    /// Adds the lines of the input with that number.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) fn add(&mut self, number: u64, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(lines, self.len)?;
        self.places.push((number, self.len, lines.len()));
        self.len += lines.len() as u64;
        Ok(())
    }

    /// Writes all lines in the order of the inputs.
    ///
    /// # Errors
    /// They cannot be read back or written.
    pub(crate) fn write_to(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.places.sort_unstable();
        for (_, at, len) in &self.places {
            let mut lines = vec![0; *len];
            self.file.read_exact_at(&mut lines, *at)?;
            out.write_all(&lines)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_inputs() {
        let dir = tempfile::tempdir().unwrap();
        let mut map = DigestMap::new(dir.path()).unwrap();
        for (number, lines) in [(7, "seven\n"), (2, "two\n2\n"), (3, ""), (5, "five\n")] {
            map.add(number, lines.as_bytes()).unwrap();
        }
        let mut written = Vec::new();
        map.write_to(&mut written).unwrap();
        assert_eq!(written, b"two\n2\nfive\nseven\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
