//! Which input has the output at a given path, as far as that is known before inputs are searched.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use ocify::{
    Directory, command::InputKind, command::Links, command::identify_file, command::is_image_layout,
};

use super::inputs::{Named, named};
use super::list::{listed_paths, listed_relative};
use crate::args::Fix;
use crate::destination::{ImageKind, output_name};

/// The input whose output would be at this path below the output directory, above it or below it.
pub(crate) fn planned_source(args: &Fix, target: &Path) -> Option<PathBuf> {
    let planned = Planned { args, target };
    // Other errors are reported when the run begins.
    let named = named(args).unwrap_or_default();
    let listed = listed_paths(args).into_iter().flatten();
    let listed = listed.map(|path| Named {
        relative: listed_relative(&path),
        path,
    });
    named
        .into_iter()
        .chain(listed)
        .find_map(|named| planned.of_named(&named))
}

struct Planned<'a> {
    args: &'a Fix,
    /// The path in question.
    target: &'a Path,
}

impl Planned<'_> {
    fn of_named(&self, named: &Named) -> Option<PathBuf> {
        let Named { path, relative } = named;
        // A directory for outputs has to be there.
        if relative.starts_with(self.target) && !relative.as_os_str().is_empty() {
            return Some(path.clone());
        }
        if !path.is_dir() {
            return self.claims(relative, path, ImageKind::Archive);
        }
        if is_image_layout(path) && !relative.as_os_str().is_empty() {
            return self.claims(relative, path, ImageKind::Layout);
        }
        let below = self.target.strip_prefix(relative).ok()?;
        let mut directory = path.clone();
        let mut reached = relative.clone();
        for part in below.components() {
            if let Some(found) = self.of_siblings(&directory, &reached) {
                return Some(found);
            }
            directory.push(part);
            reached.push(part);
        }
        // A directory of inputs, whose outputs go into one with this path.
        directory.is_dir().then_some(directory)
    }

    /// Looks among what is in a directory of inputs, which has this path below the output directory.
    fn of_siblings(&self, directory: &Path, reached: &Path) -> Option<PathBuf> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.into_iter().find_map(|entry| {
            let (path, relative) = (entry.path(), reached.join(entry.file_name()));
            let kind = match self.args.links() {
                Links::Refuse => entry.file_type().ok()?,
                // One that leads nowhere is copied.
                Links::Follow => match fs::metadata(&path) {
                    Ok(found) => found.file_type(),
                    Err(_) => entry.file_type().ok()?,
                },
            };
            if kind.is_dir() {
                let is_layout = is_image_layout(&path);
                return is_layout.then(|| self.claims(&relative, &path, ImageKind::Layout))?;
            }
            let copies = self.args.many.copy_others && relative == self.target;
            if copies && (kind.is_file() || kind.is_symlink()) {
                return Some(path);
            }
            let found = kind
                .is_file()
                .then(|| self.claims(&relative, &path, ImageKind::Archive))?;
            found.filter(|_| self.may_be_archive(directory, &entry.file_name()))
        })
    }

    /// The input, if its output is at the path in question or above it.
    fn claims(&self, relative: &Path, path: &Path, from: ImageKind) -> Option<PathBuf> {
        let to = self.args.output_kind().unwrap_or(from);
        let output = output_name(relative, from, to);
        self.target.starts_with(output).then(|| path.to_owned())
    }

    /// Whether a file in a directory is an archive, or cannot be read.
    fn may_be_archive(&self, directory: &Path, name: &OsStr) -> bool {
        let identified = Directory::open(directory)
            .and_then(|directory| identify_file(&directory, Path::new(name), self.args.links()));
        match identified {
            Ok(Some((kind, _))) => {
                matches!(kind, InputKind::Archive | InputKind::CompressedArchive)
            }
            Ok(None) => false,
            Err(_) => true,
        }
    }
}
