//! The same layers in an archive and as files, for programs that read no archive.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::images::{Archive, Files, make_layer};
use super::{Bench, Result, remove};

/// The total length of all layers in bytes.
pub(crate) const LEN: u64 = 540_000_000;
/// The total length of the small layers in bytes.
const SMALL_LEN: u64 = 4_000_000;

/// Runs a comparison with each number of layers that is selected. It gets the number and their total length.
pub(crate) fn with_each_size(
    bench: &mut Bench,
    compare: impl Fn(&mut Bench, u64, u64) -> Result<()>,
) -> Result<()> {
    for (name, title, count, len) in [
        ("layer", "one layer of 540 MB", 1, LEN),
        ("layers", "20 layers of 27 MB", 20, LEN),
        ("small", "500 layers of 8 kB", 500, SMALL_LEN),
    ] {
        if bench.wants(name) {
            println!("\n## {title}");
            compare(bench, count, len)?;
        }
    }
    Ok(())
}

/// An image archive, and a directory with its layers.
pub(crate) struct Layered {
    pub(crate) archive: PathBuf,
    pub(crate) layers: PathBuf,
}

impl Layered {
    /// Writes both: `count` layers of `len` bytes in total. The uncompressed layers do not depend on the suffix.
    pub(crate) fn make(bench: &Bench, count: u64, len: u64, suffix: &str) -> Result<Self> {
        let archive = bench.path(&format!("{}.tar", &suffix[1..]));
        let layers = bench.path(&suffix[1..]);
        fs::create_dir(&layers)?;
        let mut writer = Archive::create_oci(&archive)?;
        let mut files = Files::new(Path::new("/usr"));
        let mut made = Vec::new();
        for number in 0..count {
            let path = layers.join(format!("{number:02}"));
            let prefix = number.to_string();
            let layer = make_layer(&mut files, &prefix, len / count, suffix, &path)?;
            writer.add_blob(&layer.descriptor, File::open(&path)?)?;
            made.push(layer);
        }
        writer.add_image("app", &made)?;
        writer.finish()?;
        Ok(Layered { archive, layers })
    }

    pub(crate) fn remove(self) -> Result<()> {
        remove(&self.archive)?;
        remove(&self.layers)
    }
}
