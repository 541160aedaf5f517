//! Where the output goes, and which outputs are refused before anything is written.

use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use super::output::{Kind, Output, Stream, ends_in_slash};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::input::{Source, is_image_layout};
use crate::plan::Form;

/// An output that was checked against the input and what exists.
pub struct Target<'a> {
    path: PathBuf,
    parent: PathBuf,
    /// What is open already; otherwise a file or directory is renamed into place at the end.
    writer: Option<Box<dyn Write + Send + 'a>>,
    form: Form,
    /// Whether a file, or of a layout a directory, that exists is replaced.
    pub(super) overwrite: bool,
}

impl<'a> Target<'a> {
    /// Refuses an output that would overwrite the input, is inside it, or exists already. `source` is
    /// the input, if it is a file or directory.
    ///
    /// # Errors
    /// The output is refused, or cannot be looked up; its suffix is that of a format that ocify does not
    /// write; it is one in place, which [`apply_in_place`](super::apply_in_place) writes.
    pub fn prepare<'s>(
        output: Output<'a>,
        source: impl Into<Option<&'s Source>>,
    ) -> Result<Target<'a>> {
        let source = source.into();
        match output.kind {
            Kind::Archive(ref path) => {
                if let Some(format) = output.unwritten_format() {
                    return Err(unwritten(path, format));
                }
                Self::at_path(&output, path, source)
            }
            Kind::Layout(ref path) => Self::at_path(&output, path, source),
            Kind::Stream(stream) => Self::open(stream, source),
            Kind::InPlace => Err(Error::new(
                Code::InPlaceRefused,
                "only an archive in a regular file can be fixed in place",
            )
            .with_hint(Hint::WriteElsewhere)),
        }
    }

    fn at_path(options: &Output<'_>, output: &Path, source: Option<&Source>) -> Result<Target<'a>> {
        let form = options.form();
        let is_layout = form == Form::Layout;
        if !is_layout && ends_in_slash(output) {
            return Err(without_name(output));
        }
        // A trailing slash would make the system follow a link or expect a directory.
        let path: PathBuf = output.components().collect();
        let found = exists(fs::symlink_metadata(&path), &path)?;
        let followed = match &found {
            Some(link) if link.is_symlink() => exists(fs::metadata(&path), &path)?,
            _ => found.clone(),
        };
        if let (Some(source), Some(found)) = (source, &followed)
            && source.is_same_file(found)
        {
            return Err(Error::new(
                Code::OutputIsInput,
                format!("the output {} is the input", show_path(output)),
            )
            .with_path(output)
            .with_hint(Hint::ChooseOutput));
        }
        let is_dir = followed.as_ref().is_some_and(Metadata::is_dir);
        if let Some(directory) = followed.filter(|_| is_dir && is_layout) {
            refuse_filled(&path, options.overwrite)?;
            refuse_mount(&path)?;
            refuse_input_inside(source, &directory, output)?;
        } else if let Some(found) = found {
            refuse_existing(output, is_layout, found.is_file(), options.overwrite)?;
        }
        // Links and `.` are resolved, so that there is a name to rename to.
        let path = if is_dir {
            fs::canonicalize(&path).context("open", &path)?
        } else {
            path
        };
        let parent = parent_of(&path, output)?;
        refuse_parent(source, &parent, output)?;
        Ok(Target {
            form,
            path,
            parent,
            writer: None,
            overwrite: options.overwrite,
        })
    }

    fn open(stream: Stream<'a>, source: Option<&Source>) -> Result<Target<'a>> {
        if let (Some(source), Some(found)) = (source, &stream.metadata)
            && found.is_file()
            && source.is_same_file(found)
        {
            return Err(Error::new(
                Code::OutputIsInput,
                format!("{} is the input", show_path(&stream.name)),
            )
            .with_path(&stream.name)
            .with_hint(Hint::RedirectElsewhere));
        }
        Ok(Target {
            path: stream.name,
            parent: PathBuf::from("."),
            writer: Some(stream.writer),
            form: Form::Stream,
            overwrite: false,
        })
    }

    /// The form that the output is to have, and that a plan for it is made for.
    pub fn form(&self) -> Form {
        self.form
    }

    /// What is open already, if the output is a stream.
    pub fn into_writer(self) -> Option<Box<dyn Write + Send + 'a>> {
        self.writer
    }

    /// Takes the writer, and leaves the rest of the target.
    pub(super) fn take_writer(&mut self) -> Option<Box<dyn Write + Send + 'a>> {
        self.writer.take()
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

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("path", &self.path)
            .field("form", &self.form)
            .field("overwrite", &self.overwrite)
            .finish_non_exhaustive()
    }
}

fn exists(found: io::Result<Metadata>, path: &Path) -> Result<Option<Metadata>> {
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

fn unwritten(output: &Path, format: &str) -> Error {
    Error::new(
        Code::UnsupportedCompression,
        format!(
            "{} has the suffix of {format}, which ocify does not write",
            show_path(output)
        ),
    )
    .with_path(output)
    .with_found(format)
    .with_hint(Hint::ChooseSuffix)
}

/// Refuses a directory that is not empty, except an image layout that is to be replaced.
fn refuse_filled(path: &Path, overwrite: bool) -> Result<()> {
    let mut entries = fs::read_dir(path).context("list", path)?;
    if entries.next().is_none() {
        return Ok(());
    }
    match is_image_layout(path) {
        true if overwrite => Ok(()),
        true => Err(output_exists(path)),
        false => Err(not_empty(path)),
    }
}

/// Refuses an input inside the directory that the output replaces.
fn refuse_input_inside(source: Option<&Source>, directory: &Metadata, output: &Path) -> Result<()> {
    let Some(source) = source else {
        return Ok(());
    };
    // Standard input has no path. Whoever redirected it still has the file open.
    let Ok(path) = fs::canonicalize(source.path()) else {
        return Ok(());
    };
    let is_output = |above: &Path| {
        fs::metadata(above)
            .is_ok_and(|found| (found.dev(), found.ino()) == (directory.dev(), directory.ino()))
    };
    if !path.ancestors().skip(1).any(is_output) {
        return Ok(());
    }
    Err(Error::new(
        Code::OutputIsInput,
        format!(
            "the output {} contains the input {}",
            show_path(output),
            show_path(source.path())
        ),
    )
    .with_path(output)
    .with_hint(Hint::ChooseOutput))
}

/// The error for an output directory that is not empty.
pub(super) fn not_empty(path: &Path) -> Error {
    let shown = show_path(path);
    Error::new(
        Code::OutputNotEmpty,
        format!("the output directory {shown} is not empty"),
    )
    .with_path(path)
    .with_hint(Hint::ChooseEmptyDirectory)
}

/// The output replaces an empty directory, which the system refuses for a mount point.
fn refuse_mount(path: &Path) -> Result<()> {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    // If the system does not say, it refuses at the end.
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

fn refuse_existing(output: &Path, is_layout: bool, is_file: bool, overwrite: bool) -> Result<()> {
    if is_layout || !is_file {
        let expected = if is_layout {
            "directory"
        } else {
            "regular file"
        };
        return Err(Error::new(
            Code::OutputExists,
            format!(
                "the output {} exists and is not a {expected}",
                show_path(output)
            ),
        )
        .with_path(output)
        .with_expected(expected)
        .with_hint(Hint::ChooseOutput));
    }
    if overwrite {
        return Ok(());
    }
    Err(output_exists(output))
}

fn output_exists(path: &Path) -> Error {
    Error::new(
        Code::OutputExists,
        format!("the output {} already exists", show_path(path)),
    )
    .with_path(path)
    .with_hint(Hint::Force)
}

fn without_name(output: &Path) -> Error {
    Error::new(
        Code::ParentMissing,
        format!("the output {} lacks a file name", show_path(output)),
    )
    .with_path(output)
    .with_hint(Hint::GiveOutputName)
}

/// The directory that holds the output.
fn parent_of(path: &Path, output: &Path) -> Result<PathBuf> {
    let (Some(parent), Some(_)) = (path.parent(), path.file_name()) else {
        return Err(without_name(output));
    };
    Ok(match parent.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => parent.to_owned(),
    })
}

fn refuse_parent(source: Option<&Source>, parent: &Path, output: &Path) -> Result<()> {
    let is_dir = exists(fs::metadata(parent), parent)?.is_some_and(|found| found.is_dir());
    if !is_dir {
        return Err(Error::new(
            Code::ParentMissing,
            format!(
                "the parent directory {} of the output does not exist",
                show_path(parent)
            ),
        )
        .with_path(parent)
        .with_hint(Hint::CreateDirectory));
    }
    let Some(source) = source.filter(|source| source.is_directory()) else {
        return Ok(());
    };
    // Compared by identity, so that a link or another mount of the input counts too.
    let parent = fs::canonicalize(parent).context("open", parent)?;
    for above in parent.ancestors() {
        let found = fs::metadata(above).context("open", above)?;
        if source.is_same_file(&found) {
            return Err(Error::new(
                Code::OutputInInput,
                format!(
                    "the output {} is inside the input {}",
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

    fn code(source: &Source, output: Output<'_>, force: bool) -> Option<Code> {
        Target::prepare(output.overwrite(force), source)
            .err()
            .map(|error| error.code())
    }

    /// A folder with an input and what outputs must not destroy.
    fn folder() -> tempfile::TempDir {
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
        fs::create_dir_all(at("layout/blobs")).unwrap();
        fs::write(at("layout/index.json"), b"{}").unwrap();
        fs::write(at("layout/in.tar"), b"input").unwrap();
        dir
    }

    #[test]
    fn refusals_before_an_archive() {
        let dir = folder();
        let at = |name: &str| dir.path().join(name);
        let source = Source::open(at("in.tar")).unwrap();
        let cases = [
            ("new.tar", false, None),
            ("old.tar", false, Some(Code::OutputExists)),
            ("old.tar", true, None),
            ("old.tar/", true, Some(Code::ParentMissing)),
            ("in.tar", true, Some(Code::OutputIsInput)),
            ("hard.tar", true, Some(Code::OutputIsInput)),
            ("soft.tar", true, Some(Code::OutputIsInput)),
            ("dangling.tar", true, Some(Code::OutputExists)),
            ("none/new.tar", false, Some(Code::ParentMissing)),
            ("in.tar/new.tar", false, Some(Code::ParentMissing)),
            ("empty", true, Some(Code::OutputExists)),
            ("full", true, Some(Code::OutputExists)),
            ("layout", true, Some(Code::OutputExists)),
            ("new.tar.xz", false, Some(Code::UnsupportedCompression)),
            ("NEW.TBZ2", true, Some(Code::UnsupportedCompression)),
        ];
        for (name, force, expected) in cases {
            let output = Output::archive(at(name));
            assert_eq!(code(&source, output, force), expected, "{name} {force}");
        }
        let device = Output::archive("/dev/null");
        assert_eq!(code(&source, device, true), Some(Code::OutputExists));
    }

    #[test]
    fn refusals_before_a_layout() {
        let dir = folder();
        let at = |name: &str| dir.path().join(name);
        let source = Source::open(at("in.tar")).unwrap();
        let cases = [
            ("new", false, None),
            ("new.tar.xz/", false, None),
            ("empty", false, None),
            ("empty/", true, None),
            ("old.tar", true, Some(Code::OutputExists)),
            ("full", false, Some(Code::OutputNotEmpty)),
            ("full", true, Some(Code::OutputNotEmpty)),
            ("layout", false, Some(Code::OutputExists)),
            ("layout", true, None),
        ];
        for (name, force, expected) in cases {
            let output = Output::layout(at(name));
            assert_eq!(code(&source, output, force), expected, "{name} {force}");
        }
        let inside = Source::open(at("layout/in.tar")).unwrap();
        let output = Output::layout(at("layout"));
        assert_eq!(code(&inside, output, true), Some(Code::OutputIsInput));
    }

    #[test]
    fn refusals_inside_a_layout() {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("in");
        fs::create_dir_all(input.join("blobs")).unwrap();
        let source = Source::open(&input).unwrap();
        for (output, expected) in [
            (Output::layout(&input), Some(Code::OutputIsInput)),
            (
                Output::archive(input.join("blobs/new.tar")),
                Some(Code::OutputInInput),
            ),
            (Output::layout(dir.path().join("out")), None),
        ] {
            assert_eq!(code(&source, output, true), expected);
        }
    }
}
