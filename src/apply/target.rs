//! Where the output goes, and which outputs are refused before anything is written.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, stat, statx};

use super::output::{Kind, Output, Stream, ends_in_slash};
use crate::beneath::{Directory, FileStat, HeldPath};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::input::{Source, is_image_layout_at};
use crate::plan::Form;

/// An output that was checked against the input and what exists.
pub struct Target<'a> {
    path: PathBuf,
    /// The path again, whose directory is held open; `None` for a stream.
    place: Option<HeldPath>,
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
        let source: Option<&Source> = source.into();
        Self::prepare_for(output, source.as_slice())
    }

    /// The same for several inputs.
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare).
    pub(crate) fn prepare_for(output: Output<'a>, sources: &[&Source]) -> Result<Target<'a>> {
        match output.kind {
            Kind::Archive(ref path) => {
                if let Some(format) = output.unwritten_format() {
                    return Err(unwritten(path, format));
                }
                Self::at_path(&output, path, sources)
            }
            Kind::Layout(ref path) => Self::at_path(&output, path, sources),
            Kind::Stream(stream) => Self::open(stream, sources),
            Kind::InPlace => Err(Error::new(
                Code::InPlaceRefused,
                "only an archive in a regular file can be fixed in place",
            )
            .with_hint(Hint::WriteElsewhere)),
        }
    }

    fn at_path(options: &Output<'_>, output: &Path, sources: &[&Source]) -> Result<Target<'a>> {
        let form = options.form();
        if form != Form::Layout && ends_in_slash(output) {
            return Err(without_name(output));
        }
        // A trailing slash would make the system follow a link or expect a directory.
        let path: PathBuf = output.components().collect();
        let place = match &options.directory {
            Some(directory) => beneath(directory, &path)?,
            None => named(&path, output)?,
        };
        let output = &match options.directory {
            Some(_) => place.path(),
            None => output.to_owned(),
        };
        let target = Target {
            form,
            path: place.path(),
            place: None,
            writer: None,
            overwrite: options.overwrite,
        };
        // The user may name a link to a layout, which has a name elsewhere.
        let real = target.check(&place, output, sources, options.directory.is_none())?;
        refuse_parent(sources, real.directory(), output)?;
        Ok(Target {
            path: real.path(),
            place: Some(real),
            ..target
        })
    }

    /// Refuses what exists under the name of the output; returns where the output goes. If the user named it, a link to an
    /// empty directory or a layout is followed.
    fn check(
        &self,
        place: &HeldPath,
        output: &Path,
        sources: &[&Source],
        is_named: bool,
    ) -> Result<HeldPath> {
        let path = place.path();
        let is_layout = self.form == Form::Layout;
        let Some(found) = exists(place.look_up(), &path)? else {
            return Ok(place.clone());
        };
        let followed = match found.kind.is_symlink() {
            true if is_named => exists(stat(&path).map(FileStat::from).map_err(Into::into), &path)?,
            true => None,
            false => Some(found),
        };
        let is_input = |found: &FileStat| is_one_of(sources, found);
        if followed.as_ref().is_some_and(is_input) {
            return Err(Error::new(
                Code::OutputIsInput,
                format!("the output {} is the input", show_path(output)),
            )
            .with_path(output)
            .with_hint(Hint::ChooseOutput));
        }
        let is_dir = followed.is_some_and(|found| found.kind.is_dir());
        if let Some(directory) = followed.filter(|_| is_dir && is_layout) {
            let opened = match is_named {
                true => Directory::open(&path),
                false => place.read_directory(),
            };
            let opened = opened.context("list", &path)?;
            refuse_filled(&opened, self.overwrite)?;
            refuse_mount(&opened)?;
            for source in sources {
                refuse_input_inside(source, &directory, output)?;
            }
        } else {
            refuse_existing(output, is_layout, found.kind.is_file(), self.overwrite)?;
        }
        if !is_named || !is_dir {
            return Ok(place.clone());
        }
        // Links and `.` are resolved, so that there is a name to rename to.
        let real = fs::canonicalize(&path).context("open", &path)?;
        HeldPath::of(&real).map_err(|_| without_name(output))
    }

    fn open(stream: Stream<'a>, sources: &[&Source]) -> Result<Target<'a>> {
        if let Some(found) = &stream.metadata
            && found.is_file()
            && is_one_of(sources, &FileStat::from(found))
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
            place: None,
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

    /// The directory that the output is in, which is held open; `None` for a stream.
    pub fn directory(&self) -> Option<&Directory> {
        self.place.as_ref().map(HeldPath::directory)
    }

    /// The output's path, whose directory is held open.
    pub(super) fn place(&self) -> io::Result<HeldPath> {
        match &self.place {
            Some(place) => Ok(place.clone()),
            None => HeldPath::of(&self.path),
        }
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

/// The path of an output that the user named.
fn named(path: &Path, output: &Path) -> Result<HeldPath> {
    // Such as `.` and `..`, which may still be a layout to replace.
    let path = match path.file_name() {
        Some(_) => path.to_owned(),
        None => fs::canonicalize(path).map_err(|_| without_name(output))?,
    };
    let Some(parent) = path.parent().filter(|_| path.file_name().is_some()) else {
        return Err(without_name(output));
    };
    HeldPath::of(&path).map_err(|error| in_parent(parent, error))
}

/// The path of an output below a directory.
fn beneath(directory: &Directory, path: &Path) -> Result<HeldPath> {
    let parent = path.parent().unwrap_or(path);
    HeldPath::below(directory, path).map_err(|error| in_parent(&directory.join(parent), error))
}

/// The error for a directory that cannot be opened for an output.
fn in_parent(parent: &Path, error: io::Error) -> Error {
    let parent = match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    };
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::new(
            Code::ParentMissing,
            format!(
                "the parent directory {} of the output does not exist",
                show_path(parent)
            ),
        )
        .with_path(parent)
        .with_hint(Hint::CreateDirectory),
        _ => Error::io("open", parent, error),
    }
}

fn exists(found: io::Result<FileStat>, path: &Path) -> Result<Option<FileStat>> {
    match found {
        Ok(found) => Ok(Some(found)),
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
fn refuse_filled(directory: &Directory, overwrite: bool) -> Result<()> {
    let path = directory.path();
    if directory.is_empty().context("list", path)? {
        return Ok(());
    }
    match is_image_layout_at(directory) {
        true if overwrite => Ok(()),
        true => Err(output_exists(path)),
        false => Err(not_empty(path)),
    }
}

/// Refuses an input inside the directory that the output replaces.
fn refuse_input_inside(source: &Source, directory: &FileStat, output: &Path) -> Result<()> {
    // Standard input has no path. Whoever redirected it still has the file open.
    let Ok(path) = fs::canonicalize(source.path()) else {
        return Ok(());
    };
    let is_output = |above: &Path| {
        let found = stat(above).map(FileStat::from);
        found.is_ok_and(|found| found.identity() == directory.identity())
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

fn is_one_of(sources: &[&Source], found: &FileStat) -> bool {
    let mut sources = sources.iter();
    sources.any(|source| source.identity() == found.identity())
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
fn refuse_mount(directory: &Directory) -> Result<()> {
    let path = directory.path();
    let found = statx(directory, c"", AtFlags::EMPTY_PATH, StatxFlags::empty());
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

/// Refuses an output inside the input directory.
fn refuse_parent(sources: &[&Source], parent: &Directory, output: &Path) -> Result<()> {
    let directories = sources.iter().filter(|source| source.is_directory());
    let directories: Vec<_> = directories.collect();
    if directories.is_empty() {
        return Ok(());
    }
    // Compared by identity, so that a link or another mount of the input counts too.
    let parent = parent.path();
    let parent = fs::canonicalize(parent).context("open", parent)?;
    for above in parent.ancestors() {
        let found = stat(above).map_err(io::Error::from);
        let found = FileStat::from(found.context("open", above)?);
        let mut directories = directories.iter();
        if let Some(source) = directories.find(|source| source.identity() == found.identity()) {
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
