//! Where the output goes, and which outputs are refused before anything is written.

mod existing;
mod inside;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::stat;

pub(super) use existing::not_empty;
pub use existing::refuse_irreplaceable;
use existing::{exists, output_exists, refuse_existing, refuse_filled, refuse_mount};
use inside::{refuse_input_inside, refuse_parent};

use super::output::{Kind, Output, Stream, ends_in_slash};
use crate::beneath::{Directory, FileStat, HeldPath};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::input::Source;
use crate::plan::Form;

/// An output that was checked against the input and what exists.
pub struct Target<'a> {
    place: Place<'a>,
    form: Form,
    /// Whether a file, or of a layout a directory, that exists is replaced.
    pub(super) overwrite: bool,
}

/// Where an output goes.
enum Place<'a> {
    /// It is open already.
    Stream {
        /// What messages call it.
        name: PathBuf,
        /// `None` if it was taken.
        writer: Option<Box<dyn Write + Send + 'a>>,
    },
    /// It is renamed into place at the end.
    Path(HeldPath),
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
        let shown = match options.directory {
            Some(_) => place.path(),
            None => output.to_owned(),
        };
        check(options, &place, &shown, sources)?;
        refuse_parent(sources, place.directory(), &shown)?;
        Ok(Target {
            place: Place::Path(place),
            form,
            overwrite: options.overwrite,
        })
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
            place: Place::Stream {
                name: stream.name,
                writer: Some(stream.writer),
            },
            form: Form::Stream,
            overwrite: false,
        })
    }

    /// The same target, for a second attempt; `None` for a stream, which may have received part of the first.
    pub(crate) fn again(&self) -> Option<Target<'a>> {
        match &self.place {
            Place::Stream { .. } => None,
            Place::Path(place) => Some(Target {
                place: Place::Path(place.clone()),
                form: self.form,
                overwrite: self.overwrite,
            }),
        }
    }

    /// The form that the output is to have, and that a plan for it is made for.
    pub fn form(&self) -> Form {
        self.form
    }

    /// What is open already, if the output is a stream.
    pub fn into_writer(mut self) -> Option<Box<dyn Write + Send + 'a>> {
        self.take_writer()
    }

    /// Takes the writer, and leaves the rest of the target.
    pub(super) fn take_writer(&mut self) -> Option<Box<dyn Write + Send + 'a>> {
        match &mut self.place {
            Place::Stream { writer, .. } => writer.take(),
            Place::Path(_) => None,
        }
    }

    /// The output's path, without a trailing `/`, for messages.
    pub fn path(&self) -> PathBuf {
        match &self.place {
            Place::Stream { name, .. } => name.clone(),
            Place::Path(place) => place.path(),
        }
    }

    /// The directory that the output is in, which is held open; `None` for a stream.
    pub fn directory(&self) -> Option<&Directory> {
        match &self.place {
            Place::Stream { .. } => None,
            Place::Path(place) => Some(place.directory()),
        }
    }

    /// The output's path, whose directory is held open.
    ///
    /// # Errors
    /// It is a stream.
    pub(super) fn place(&self) -> io::Result<HeldPath> {
        match &self.place {
            Place::Stream { .. } => Err(io::Error::other("a stream has no path")),
            Place::Path(place) => Ok(place.clone()),
        }
    }

    /// The error for an output that appeared after it was looked for.
    pub(super) fn appeared(&self) -> Error {
        output_exists(&self.path())
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("path", &self.path())
            .field("form", &self.form)
            .field("overwrite", &self.overwrite)
            .finish_non_exhaustive()
    }
}

/// Refuses what exists under the name of the output, unless the output replaces it.
fn check(options: &Output<'_>, place: &HeldPath, output: &Path, sources: &[&Source]) -> Result<()> {
    let path = place.path();
    let is_layout = options.form() == Form::Layout;
    let Some(found) = exists(place.look_up(), &path)? else {
        return Ok(());
    };
    // Of a link that the user named, it is said what it leads to.
    let followed = match found.kind.is_symlink() && options.directory.is_none() {
        true => exists(stat(&path).map(FileStat::from).map_err(Into::into), &path)?,
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
    if !found.kind.is_dir() || !is_layout {
        return refuse_existing(output, is_layout, found.kind, options.overwrite);
    }
    let opened = place.read_directory().context("list", &path)?;
    refuse_filled(&opened, options.overwrite)?;
    refuse_mount(&opened)?;
    let directory = opened.stat().context("list", &path)?;
    let mut sources = sources.iter();
    sources.try_for_each(|source| refuse_input_inside(source, &directory, output))
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

fn is_one_of(sources: &[&Source], found: &FileStat) -> bool {
    let mut sources = sources.iter();
    sources.any(|source| source.identity() == found.identity())
}

fn without_name(output: &Path) -> Error {
    Error::new(
        Code::ParentMissing,
        format!("the output {} lacks a file name", show_path(output)),
    )
    .with_path(output)
    .with_hint(Hint::GiveOutputName)
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
