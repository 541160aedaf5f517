//! What OUTPUT means: where an output goes and in which form. The rules are those of `cp`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ocify::{
    Code, Error, Form, Output, Result, command::ArchiveSuffix, command::is_image_layout,
    command::publish::sync_directory, command::show_path,
};
use rustix::fs::FileType;
use serde::Serialize;

use crate::args::{CommandName, Fix, is_standard};

/// What an input or an output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ImageKind {
    /// A file.
    Archive,
    /// An image layout directory or a BuildKit cache.
    Layout,
}

impl ImageKind {
    /// What an input is.
    pub(crate) fn of_input(path: &Path) -> Self {
        match !is_standard(path) && path.is_dir() {
            true => ImageKind::Layout,
            false => ImageKind::Archive,
        }
    }

    /// A new output of this kind.
    pub(crate) fn output(self, path: &Path) -> Output<'static> {
        match self {
            ImageKind::Archive => Output::archive(path),
            ImageKind::Layout => Output::layout(path),
        }
    }

    /// What the system calls it.
    pub(crate) fn file_type(self) -> FileType {
        match self {
            ImageKind::Archive => FileType::RegularFile,
            ImageKind::Layout => FileType::Directory,
        }
    }

    /// The form of an output that has no name, because it is only planned.
    pub(crate) fn form(self) -> Form {
        match self {
            ImageKind::Archive => Form::default(),
            ImageKind::Layout => Form::Layout,
        }
    }
}

/// Where the output of a single input goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    path: PathBuf,
    kind: ImageKind,
    /// OUTPUT, if the output goes into it.
    directory: Option<PathBuf>,
}

impl Destination {
    /// What OUTPUT means for a single input. `None` if no name is given: in place, on standard output, and for a dry
    /// run.
    ///
    /// # Errors
    /// OUTPUT is wrong, in words for the user.
    pub(crate) fn of(args: &Fix) -> std::result::Result<Option<Self>, String> {
        let Some(output) = args.output().filter(|output| !is_standard(output)) else {
            return Ok(None);
        };
        let from = ImageKind::of_input(args.input());
        if !is_into(output) {
            let suffix = ArchiveSuffix::of(output.file_name().unwrap_or_default());
            let by_name = suffix.map(|_| ImageKind::Archive);
            let kind = args.output_kind().or(by_name).unwrap_or(from);
            refuse_suffix(output, kind, suffix.as_ref())?;
            return Ok(Some(Destination {
                path: output.to_owned(),
                kind,
                directory: None,
            }));
        }
        if args.is_stream() {
            return Err(format!(
                "standard input has no name for an output in the directory {}: add a file name",
                show_path(output)
            ));
        }
        let kind = args.output_kind().unwrap_or(from);
        let name = output_name(Path::new(&last_part(args.input())), from, kind);
        Ok(Some(Destination {
            path: output.join(name),
            kind,
            directory: Some(output.to_owned()),
        }))
    }

    /// The same for the output of a merge, which has a name of its own.
    ///
    /// # Errors
    /// OUTPUT is wrong, in words for the user.
    pub(crate) fn of_merge(args: &Fix) -> std::result::Result<Option<Self>, String> {
        let Some(output) = args.output.as_deref().filter(|output| !is_standard(output)) else {
            return Ok(None);
        };
        let suffix = ArchiveSuffix::of(output.file_name().unwrap_or_default());
        let kind = args.output_kind().unwrap_or(match is_image_layout(output) {
            true => ImageKind::Layout,
            false => ImageKind::Archive,
        });
        refuse_suffix(output, kind, suffix.as_ref())?;
        Ok(Some(Destination {
            path: output.to_owned(),
            kind,
            directory: None,
        }))
    }

    /// The path of the output.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// OUTPUT, if the output goes into it.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// What the output is.
    pub(crate) fn kind(&self) -> ImageKind {
        self.kind
    }

    /// The output in the terms of the library.
    pub(crate) fn output(&self) -> Output<'static> {
        self.kind.output(&self.path)
    }

    /// Creates the directory that the output goes into, if it does not exist. Its name can be synced to disk.
    ///
    /// # Errors
    /// It cannot be created or synced, or is not a directory for outputs.
    pub(crate) fn create_directory(&self, syncs: bool) -> Result<Option<NewDirectory>> {
        match &self.directory {
            Some(directory) => output_directory(directory, syncs, CommandName::Fix),
            None => Ok(None),
        }
    }
}

fn refuse_suffix(
    output: &Path,
    kind: ImageKind,
    suffix: Option<&ArchiveSuffix>,
) -> std::result::Result<(), String> {
    match suffix.map(|suffix| &suffix.compression) {
        Some(Err(format)) if kind == ImageKind::Archive => Err(format!(
            "cannot write {}: ocify does not write {format}; use .tar, .tar.gz or .tar.zst",
            show_path(output)
        )),
        _ => Ok(()),
    }
}

/// A directory that was created for outputs.
#[derive(Debug)]
pub(crate) struct NewDirectory(PathBuf);

impl NewDirectory {
    /// Removes it if nothing was written to it.
    pub(crate) fn remove_if_empty(self) {
        let _ = fs::remove_dir(self.0);
    }
}

/// Whether outputs go into OUTPUT, instead of having its name. An image layout that exists is an output to be replaced, unless
/// its name ends in `/`.
fn is_into(output: &Path) -> bool {
    ends_in_slash(output) || output.is_dir() && !is_image_layout(output)
}

/// Whether OUTPUT is a directory, or is to be one because its name says so.
pub(crate) fn is_directory(output: &Path) -> bool {
    ends_in_slash(output) || output.is_dir()
}

/// Whether the system says what an input is. Where it does not, opening the input shows why.
pub(crate) fn is_known(input: &Path) -> bool {
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    let found = fs::metadata(input).map(drop);
    is_standard(input) || found.map_or_else(|error| absent.contains(&error.kind()), |()| true)
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

/// Makes sure that a directory for outputs exists, and with `syncs` that its name is on disk. Returns it if it was created.
///
/// # Errors
/// It cannot be created or synced, is not a directory, or is an image layout.
pub(crate) fn output_directory(
    output: &Path,
    syncs: bool,
    command: CommandName,
) -> Result<Option<NewDirectory>> {
    // A trailing slash would make the system expect a directory.
    let path: PathBuf = output.components().collect();
    if path.is_dir() {
        if is_image_layout(&path) {
            return Err(is_layout(output, command));
        }
        return existing_directory(&path, syncs);
    }
    match fs::create_dir(&path) {
        Ok(()) => {
            let synced = match syncs {
                true => sync_directory(&parent(&path)),
                false => Ok(()),
            };
            let created = NewDirectory(path);
            match synced {
                Ok(()) => Ok(Some(created)),
                Err(error) => {
                    created.remove_if_empty();
                    Err(error)
                }
            }
        }
        // Another shard that began at the same moment created it.
        Err(_) if path.is_dir() => existing_directory(&path, syncs),
        Err(error) => Err(not_created(output, &path, error)),
    }
}

/// Whether a directory for outputs exists. If not, it can be created.
///
/// # Errors
/// Those of [`output_directory`] that are known without creating it.
pub(crate) fn planned_directory(output: &Path, command: CommandName) -> Result<bool> {
    let path: PathBuf = output.components().collect();
    if path.is_dir() {
        return match is_image_layout(&path) {
            true => Err(is_layout(output, command)),
            false => Ok(true),
        };
    }
    let error = match fs::symlink_metadata(&path) {
        Ok(_) => io::ErrorKind::AlreadyExists.into(),
        Err(error) if error.kind() != io::ErrorKind::NotFound => error,
        Err(absent) => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => absent,
            _ => return Ok(false),
        },
    };
    Err(not_created(output, &path, error))
}

/// The error for a directory for outputs that cannot be created.
fn not_created(output: &Path, path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Error::new(
            Code::OutputExists,
            format!(
                "the output {} exists and is not a directory",
                show_path(output)
            ),
        )
        .with_path(output)
        .with_hint("choose a directory"),
        io::ErrorKind::NotFound => Error::new(
            Code::ParentMissing,
            format!(
                "the parent directory of the output {} does not exist",
                show_path(output)
            ),
        )
        .with_path(output)
        .with_hint("create it first"),
        _ => Error::io("create", path, error),
    }
}

/// An earlier run or another shard may have created it just now, and its name has to be on disk too.
fn existing_directory(path: &Path, syncs: bool) -> Result<Option<NewDirectory>> {
    if syncs {
        let parent = parent(path);
        if may_be_opened(&parent) {
            sync_directory(&parent)?;
        }
    }
    Ok(None)
}

/// The directory that an existing directory is in, even if the path is that of a link to it.
fn parent(directory: &Path) -> PathBuf {
    fs::canonicalize(directory)
        .ok()
        .and_then(|real| real.parent().map(Path::to_owned))
        .unwrap_or_else(|| directory.to_owned())
}

/// Whether the user may open a directory to sync it. It can be used without that right.
fn may_be_opened(directory: &Path) -> bool {
    let opened = fs::File::open(directory);
    !opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn is_layout(output: &Path, command: CommandName) -> Error {
    let hint = match command {
        CommandName::Split => "choose another directory",
        _ => {
            "choose another OUTPUT; to replace the layout with that of a single input, omit the trailing / and use --force"
        }
    };
    Error::new(
        Code::OutputExists,
        format!(
            "the output directory {} is an image layout, so other outputs cannot go into it",
            show_path(output)
        ),
    )
    .with_path(output)
    .with_hint(hint)
}

/// The name of an input: the last part of its path.
pub(crate) fn last_part(path: &Path) -> OsString {
    if let Some(name) = path.file_name() {
        return name.to_owned();
    }
    // Such as `.` and `..`, whose real name counts. If it cannot be looked up, neither can the input be opened.
    let real = fs::canonicalize(path).unwrap_or_default();
    real.file_name().unwrap_or(OsStr::new("root")).to_owned()
}

/// The path of an output in a directory, for an input with this path. It is the same, except that
///
/// - a suffix of a compression that ocify does not write is removed,
/// - a layout written from an archive has no suffix of an archive,
/// - an archive written from a layout has one.
pub(crate) fn output_name(relative: &Path, from: ImageKind, to: ImageKind) -> PathBuf {
    let name = relative.file_name().unwrap_or_default();
    let suffix = ArchiveSuffix::of(name);
    let changed = match (from, to, suffix) {
        (ImageKind::Layout, ImageKind::Layout, _)
        | (ImageKind::Archive, ImageKind::Archive, None) => None,
        (_, ImageKind::Archive, Some(suffix)) => suffix
            .compression
            .is_err()
            .then(|| suffix.uncompressed(name)),
        (ImageKind::Archive, ImageKind::Layout, suffix) => suffix.map(|suffix| suffix.stem(name)),
        (ImageKind::Layout, ImageKind::Archive, None) => {
            let mut name = name.to_owned();
            name.push(".tar");
            Some(name)
        }
    };
    match changed {
        Some(name) => relative.with_file_name(name),
        None => relative.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    const ARCHIVE: ImageKind = ImageKind::Archive;
    const LAYOUT: ImageKind = ImageKind::Layout;

    #[test]
    fn outputs_in_a_directory_have_the_names_of_their_inputs() {
        for (from, input, to, expected) in [
            (ARCHIVE, "a/b.tar", ARCHIVE, "a/b.tar"),
            (ARCHIVE, "a/b.tar.gz", ARCHIVE, "a/b.tar.gz"),
            (ARCHIVE, "a/b.TZST", ARCHIVE, "a/b.TZST"),
            (ARCHIVE, "a/b.tar.xz", ARCHIVE, "a/b.tar"),
            (ARCHIVE, "a/b.Txz", ARCHIVE, "a/b.tar"),
            (ARCHIVE, "a/b.tbz2", ARCHIVE, "a/b.tar"),
            (ARCHIVE, "a/b.bz2", ARCHIVE, "a/b"),
            (ARCHIVE, "a/.xz", ARCHIVE, "a/.xz"),
            (ARCHIVE, "b", ARCHIVE, "b"),
            (ARCHIVE, "a/b.tar", LAYOUT, "a/b"),
            (ARCHIVE, "a/b.c.tar.zst", LAYOUT, "a/b.c"),
            (ARCHIVE, "a/b.tar.xz", LAYOUT, "a/b"),
            (ARCHIVE, "a/b", LAYOUT, "a/b"),
            (LAYOUT, "a/b.tar", LAYOUT, "a/b.tar"),
            (LAYOUT, "a/b", LAYOUT, "a/b"),
            (LAYOUT, "a/b", ARCHIVE, "a/b.tar"),
            (LAYOUT, "a/b.1", ARCHIVE, "a/b.1.tar"),
            (LAYOUT, "a/b.tar", ARCHIVE, "a/b.tar"),
            (LAYOUT, "a/b.tgz", ARCHIVE, "a/b.tgz"),
            (LAYOUT, "a/b.tar.xz", ARCHIVE, "a/b.tar"),
        ] {
            let found = output_name(Path::new(input), from, to);
            assert_eq!(found, Path::new(expected), "{from:?} {input} {to:?}");
        }
    }

    /// What OUTPUT means for arguments after `ocify fix`, with files in this directory.
    fn meaning(
        dir: &Path,
        line: &[&str],
    ) -> std::result::Result<Option<(String, ImageKind)>, String> {
        let line = line
            .iter()
            .map(|argument| match argument.strip_prefix('@') {
                Some(name) => format!("{}/{name}", dir.display()),
                None => (*argument).to_owned(),
            });
        let line = ["ocify".to_owned(), "fix".to_owned()]
            .into_iter()
            .chain(line);
        let Command::Fix(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command");
        };
        let found = Destination::of(&args)?;
        Ok(found.map(|found| {
            let path = found.path.strip_prefix(dir).unwrap_or(&found.path);
            (path.to_str().unwrap().to_owned(), found.kind)
        }))
    }

    #[test]
    fn output_follows_cp() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("app.tar"), "").unwrap();
        fs::create_dir(at("there")).unwrap();
        for layout in ["layout", "old"] {
            fs::create_dir_all(at(layout).join("blobs")).unwrap();
            fs::write(at(layout).join("index.json"), "").unwrap();
        }
        #[rustfmt::skip]
        let cases: [(&[&str], &str, ImageKind); 21] = [
            // The name of the output.
            (&["@app.tar", "-o", "@fixed.tar"], "fixed.tar", ARCHIVE),
            (&["@app.tar", "-o", "@fixed"], "fixed", ARCHIVE),
            (&["@layout", "-o", "@fixed"], "fixed", LAYOUT),
            (&["@layout/", "-o", "@fixed"], "fixed", LAYOUT),
            (&["@layout", "-o", "@fixed.tar"], "fixed.tar", ARCHIVE),
            (&["@layout", "-o", "@fixed.TGZ"], "fixed.TGZ", ARCHIVE),
            (&["@layout", "--archive", "-o", "@fixed"], "fixed", ARCHIVE),
            (&["@app.tar", "--layout", "-o", "@fixed"], "fixed", LAYOUT),
            (&["@app.tar", "--layout", "-o", "@fixed.tar.xz"], "fixed.tar.xz", LAYOUT),
            (&["-", "-o", "@fixed"], "fixed", ARCHIVE),
            (&["-", "--layout", "-o", "@fixed"], "fixed", LAYOUT),
            // An image layout that exists is an output of an earlier run.
            (&["@layout", "-o", "@old"], "old", LAYOUT),
            (&["@app.tar", "-o", "@old"], "old", ARCHIVE),
            // Into a directory.
            (&["@app.tar", "-o", "@there"], "there/app.tar", ARCHIVE),
            (&["@app.tar", "-o", "@there/"], "there/app.tar", ARCHIVE),
            (&["@app.tar", "-o", "@new/"], "new/app.tar", ARCHIVE),
            (&["@app.tar", "-o", "@new.tar/"], "new.tar/app.tar", ARCHIVE),
            (&["@layout/", "-o", "@there"], "there/layout", LAYOUT),
            (&["@layout/.", "-o", "@there"], "there/layout", LAYOUT),
            (&["@layout", "--archive", "-o", "@there"], "there/layout.tar", ARCHIVE),
            (&["@app.tar", "--layout", "-o", "@there"], "there/app", LAYOUT),
        ];
        for (line, path, kind) in cases {
            let expected = Ok(Some((path.to_owned(), kind)));
            assert_eq!(meaning(dir.path(), line), expected, "{line:?}");
        }
        for line in [
            &["@app.tar", "-o", "-"][..],
            &["-"],
            &["@app.tar", "--in-place"],
            &["@app.tar", "--dry-run"],
        ] {
            assert_eq!(meaning(dir.path(), line), Ok(None), "{line:?}");
        }
        for (line, expected) in [
            (&["@app.tar", "-o", "x.tar.xz"][..], "does not write xz"),
            (&["@layout", "-o", "x.BZ2"], "does not write bzip2"),
            (
                &["@app.tar", "--archive", "-o", "x.tar.lz4"],
                "does not write lz4",
            ),
            (&["-", "-o", "x.tar.Z"], "does not write compress"),
            (&["-", "-o", "@there"], "standard input has no name"),
            (
                &["-", "--layout", "-o", "new/"],
                "standard input has no name",
            ),
        ] {
            let found = meaning(dir.path(), line).unwrap_err();
            assert!(found.contains(expected), "{line:?}: {found}");
        }
    }

    #[test]
    fn a_directory_for_outputs_is_created_and_removed_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let created = output_directory(&at("new/"), true, CommandName::Fix)
            .unwrap()
            .unwrap();
        assert!(at("new").is_dir());
        assert!(
            output_directory(&at("new"), true, CommandName::Fix)
                .unwrap()
                .is_none()
        );
        created.remove_if_empty();
        assert!(!at("new").exists());
        fs::write(at("file"), "").unwrap();
        fs::create_dir_all(at("layout/blobs")).unwrap();
        fs::write(at("layout/index.json"), "").unwrap();
        for (name, expected) in [
            ("file", Code::OutputExists),
            ("file/", Code::OutputExists),
            ("layout/", Code::OutputExists),
            ("none/new", Code::ParentMissing),
        ] {
            let error = output_directory(&at(name), true, CommandName::Fix).unwrap_err();
            assert_eq!(error.code(), expected, "{name}");
        }
    }
}
