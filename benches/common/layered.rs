//! The same layers in an archive and as files, for programs that read no archive.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::images::{Archive, Files, make_layer};
use super::{Bench, Result, remove};

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
