//! Where the output goes, and what is refused before anything is written.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::image::Compression;
use crate::input::Source;
use crate::standard;

/// The form of the output.
#[derive(Debug)]
pub enum TargetKind {
    /// A tar archive, written in order to what is open already.
    Stream(File),
    /// A tar archive.
    Archive,
    /// An OCI image layout directory.
    Layout,
}

/// A checked output path.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    parent: PathBuf,
    name: OsString,
    kind: TargetKind,
}

impl Target {
    /// How an archive of that name is compressed as a whole.
    pub(super) fn compression(&self) -> Compression {
        Compression::of_name(&self.name)
    }

    /// Decides the form by the name: a trailing `/` or an existing directory is a layout. Refuses
    /// outputs that would overwrite the input or anything that `force` does not allow.
    pub fn prepare(source: &Source, output: &Path, force: bool) -> Result<Target> {
        let ends_in_slash = output.as_os_str().as_bytes().ends_with(b"/");
        // A trailing slash would make the system follow or demand a directory.
        let path: PathBuf = output.components().collect();
        let found = exists(fs::symlink_metadata(&path), &path)?;
        let followed = match &found {
            Some(link) if link.is_symlink() => exists(fs::metadata(&path), &path)?,
            _ => found.clone(),
        };
        if followed
            .as_ref()
            .is_some_and(|found| source.is_same_file(found))
        {
            return Err(Error::new(
                Code::OutputIsInput,
                format!("the output {} is the input", show_path(output)),
            )
            .with_path(output)
            .with_hint(Hint::ChooseOutput));
        }
        let is_dir = followed.is_some_and(|found| found.is_dir());
        let kind = if ends_in_slash || is_dir {
            TargetKind::Layout
        } else {
            TargetKind::Archive
        };
        if is_dir {
            refuse_filled(&path)?;
            refuse_mount(&path)?;
        } else if let Some(found) = found {
            refuse_existing(output, &kind, found.is_file(), force)?;
        }
        // Links and `.` are resolved, so that there is a name to rename to.
        let path = if is_dir {
            fs::canonicalize(&path).context("open", &path)?
        } else {
            path
        };
        let (parent, name) = split(&path, output)?;
        refuse_parent(source, &parent, output)?;
        Ok(Target {
            path,
            parent,
            name,
            kind,
        })
    }

    /// Standard output, as [`standard::output`](crate::standard::output) gives it. Refuses one that
    /// leads to the input.
    ///
    /// # Errors
    /// It leads to the input, or cannot be looked at.
    pub fn stream(source: &Source, output: File) -> Result<Target> {
        let path = PathBuf::from(standard::OUTPUT);
        let found = output.metadata().context("use", &path)?;
        if found.is_file() && source.is_same_file(&found) {
            return Err(Error::new(
                Code::OutputIsInput,
                format!("{} leads to the input", standard::OUTPUT),
            )
            .with_path(standard::OUTPUT)
            .with_hint(Hint::RedirectElsewhere));
        }
        Ok(Target {
            path,
            parent: PathBuf::from("."),
            name: OsString::new(),
            kind: TargetKind::Stream(output),
        })
    }

    /// Whether the output is an archive that is not compressed as a whole.
    pub fn is_plain_archive(&self) -> bool {
        matches!(self.kind, TargetKind::Archive) && self.compression() == Compression::Uncompressed
    }

    /// Whether a path would be one, before anything is checked.
    pub fn names_plain_archive(output: &Path) -> bool {
        let is_layout = output.as_os_str().as_bytes().ends_with(b"/") || output.is_dir();
        let name = output.file_name().unwrap_or_default();
        !is_layout && Compression::of_name(name) == Compression::Uncompressed
    }

    /// The form of the output.
    pub fn kind(&self) -> &TargetKind {
        &self.kind
    }

    /// The output's path, without a trailing `/`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that holds the output.
    pub fn parent(&self) -> &Path {
        &self.parent
    }

    /// The error for an output that appeared after it was looked for.
    pub(super) fn appeared(&self) -> Error {
        output_exists(&self.path)
    }
}

fn exists(found: io::Result<fs::Metadata>, path: &Path) -> Result<Option<fs::Metadata>> {
    match found {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::io("look up", path, error)),
    }
}

fn refuse_filled(path: &Path) -> Result<()> {
    let mut entries = fs::read_dir(path).context("list", path)?;
    if entries.next().is_none() {
        return Ok(());
    }
    Err(not_empty(path))
}

/// The error for an output directory that holds something.
pub(super) fn not_empty(path: &Path) -> Error {
    let shown = show_path(path);
    Error::new(
        Code::OutputNotEmpty,
        format!("the output directory {shown} is not empty"),
    )
    .with_path(path)
    .with_hint(Hint::ChooseEmptyDirectory)
}

/// The output takes an empty directory's place, which the system refuses for a mount.
fn refuse_mount(path: &Path) -> Result<()> {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    // Where the system cannot tell, it refuses at the end.
    if !found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)) {
        return Ok(());
    }
    Err(Error::new(
        Code::OutputExists,
        format!(
            "the output directory {} is a mount point and cannot be replaced",
            show_path(path)
        ),
    )
    .with_path(path)
    .with_hint(Hint::ChooseDirectoryBelow))
}

fn refuse_existing(output: &Path, kind: &TargetKind, is_file: bool, force: bool) -> Result<()> {
    let is_layout = matches!(kind, TargetKind::Layout);
    if is_layout || !is_file {
        let expected = if is_layout {
            "directory"
        } else {
            "regular file"
        };
        return Err(Error::new(
            Code::OutputExists,
            format!(
                "the output {} exists and is no {expected}",
                show_path(output)
            ),
        )
        .with_path(output)
        .with_expected(expected)
        .with_hint(Hint::ChooseOutput));
    }
    if force {
        return Ok(());
    }
    Err(output_exists(output))
}

fn output_exists(path: &Path) -> Error {
    Error::new(
        Code::OutputExists,
        format!("the output {} exists", show_path(path)),
    )
    .with_path(path)
    .with_hint(Hint::Force)
}

fn split(path: &Path, output: &Path) -> Result<(PathBuf, OsString)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::new(
            Code::ParentMissing,
            format!("the output {} has no name of its own", show_path(output)),
        )
        .with_path(output)
        .with_hint(Hint::GiveOutputName));
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    Ok((parent.to_owned(), name.to_owned()))
}

fn refuse_parent(source: &Source, parent: &Path, output: &Path) -> Result<()> {
    let is_dir = exists(fs::metadata(parent), parent)?.is_some_and(|found| found.is_dir());
    if !is_dir {
        return Err(Error::new(
            Code::ParentMissing,
            format!(
                "the directory {} for the output does not exist",
                show_path(parent)
            ),
        )
        .with_path(parent)
        .with_hint(Hint::CreateDirectory));
    }
    if !source.is_layout() {
        return Ok(());
    }
    // Compared by identity, so that a link or another mount of the input counts too.
    let parent = fs::canonicalize(parent).context("open", parent)?;
    for above in parent.ancestors() {
        let found = fs::metadata(above).context("open", above)?;
        if source.is_same_file(&found) {
            return Err(Error::new(
                Code::OutputInInput,
                format!(
                    "the output {} lies inside the input {}",
                    show_path(output),
                    show_path(source.path())
                ),
            )
            .with_path(output)
            .with_hint(Hint::ChooseOutputOutside));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &Source, output: &Path, force: bool) -> Option<Code> {
        Target::prepare(source, output, force)
            .err()
            .map(|error| error.code())
    }

    #[test]
    fn refusals_before_an_archive() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("in.tar"), b"input").unwrap();
        fs::write(at("old.tar"), b"old").unwrap();
        fs::hard_link(at("in.tar"), at("hard.tar")).unwrap();
        std::os::unix::fs::symlink("in.tar", at("soft.tar")).unwrap();
        std::os::unix::fs::symlink("gone.tar", at("dangling.tar")).unwrap();
        fs::create_dir(at("empty")).unwrap();
        fs::create_dir(at("full")).unwrap();
        fs::write(at("full/file"), b"").unwrap();
        let source = Source::open(&at("in.tar")).unwrap();
        let cases = [
            ("new.tar", false, None),
            ("old.tar", false, Some(Code::OutputExists)),
            ("old.tar", true, None),
            ("old.tar/", true, Some(Code::OutputExists)),
            ("in.tar", true, Some(Code::OutputIsInput)),
            ("hard.tar", true, Some(Code::OutputIsInput)),
            ("soft.tar", true, Some(Code::OutputIsInput)),
            ("dangling.tar", true, Some(Code::OutputExists)),
            ("none/new.tar", false, Some(Code::ParentMissing)),
            ("in.tar/new.tar", false, Some(Code::ParentMissing)),
            ("empty", false, None),
            ("new/", false, None),
            ("full", true, Some(Code::OutputNotEmpty)),
        ];
        for (name, force, expected) in cases {
            assert_eq!(code(&source, &at(name), force), expected, "{name} {force}");
        }
        assert_eq!(
            code(&source, Path::new("/dev/null"), true),
            Some(Code::OutputExists)
        );
    }

    #[test]
    fn refusals_inside_a_layout() {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("in");
        fs::create_dir_all(input.join("blobs")).unwrap();
        let source = Source::open(&input).unwrap();
        assert_eq!(code(&source, &input, true), Some(Code::OutputIsInput));
        assert_eq!(
            code(&source, &input.join("blobs/new.tar"), true),
            Some(Code::OutputInInput)
        );
        assert_eq!(code(&source, &dir.path().join("out/"), true), None);
    }
}
