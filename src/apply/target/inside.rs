//! Outputs inside inputs, and inputs inside outputs.

use std::path::Path;

use crate::beneath::{Directory, FileStat};
use crate::error::{Code, Error, Hint, IoContext, Result, show_path};
use crate::input::Source;

/// Refuses an output inside the input directory.
pub(super) fn refuse_parent(sources: &[&Source], parent: &Directory, output: &Path) -> Result<()> {
    let directories: Vec<_> = sources.iter().filter(|it| it.is_directory()).collect();
    if directories.is_empty() {
        return Ok(());
    }
    // Compared by identity, so that a link or another mount of the input counts too.
    let above = parent.identities_above().context("open", parent.path())?;
    let is_above = |source: &&&Source| above.contains(&source.identity());
    let Some(source) = directories.into_iter().find(is_above) else {
        return Ok(());
    };
    Err(Error::new(
        Code::OutputInInput,
        format!(
            "the output {} is inside the input {}",
            show_path(output),
            show_path(source.path())
        ),
    )
    .with_path(output)
    .with_hint(Hint::ChooseOutputOutside))
}

/// Refuses an input inside the directory that the output replaces.
pub(super) fn refuse_input_inside(
    source: &Source,
    directory: &FileStat,
    output: &Path,
) -> Result<()> {
    // Standard input has no path. Whoever redirected it still has the file open.
    let Some(parent) = source.directory_above() else {
        return Ok(());
    };
    let above = parent.identities_above().context("open", parent.path())?;
    if !above.contains(&directory.identity()) {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::apply::{Output, Target};
    use crate::beneath::{HeldPath, InputPath};

    fn code(output: Output<'_>, source: &Source) -> Option<Code> {
        let prepared = Target::prepare(output.overwrite(true), source);
        prepared.err().map(|error| error.code())
    }

    /// Where a directory is counts, and not where its path leads to by now.
    #[test]
    fn an_output_directory_that_was_moved_is_found_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("in/blobs")).unwrap();
        fs::write(at("in/index.json"), "{}").unwrap();
        let source = Source::open(at("in")).unwrap();
        for name in ["a", "b"] {
            fs::create_dir(at(name)).unwrap();
        }
        let (a, b) = (Directory::open(at("a")), Directory::open(at("b")));
        let (a, b) = (a.unwrap(), b.unwrap());
        fs::rename(at("a"), at("in/blobs/a")).unwrap();
        fs::create_dir(at("a")).unwrap();
        fs::rename(at("b"), at("moved")).unwrap();
        symlink("in/blobs", at("b")).unwrap();
        for output in [Output::archive("new.tar"), Output::layout("new")] {
            let found = code(output.beneath(&a), &source);
            assert_eq!(found, Some(Code::OutputInInput));
        }
        for output in [Output::archive("new.tar"), Output::layout("new")] {
            assert_eq!(code(output.beneath(&b), &source), None);
        }
    }

    #[test]
    fn an_input_that_was_moved_is_found_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, file) in [("a", "in.tar"), ("b", "in.tar"), ("out", "index.json")] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join(file), "").unwrap();
        }
        fs::create_dir(at("out/blobs")).unwrap();
        let open = |name: &str| {
            let place = HeldPath::of(&at(name)).unwrap();
            Source::open_at(&InputPath::Held(place)).unwrap()
        };
        let (a, b) = (open("a/in.tar"), open("b/in.tar"));
        fs::rename(at("a"), at("out/a")).unwrap();
        fs::create_dir(at("a")).unwrap();
        fs::write(at("a/in.tar"), "").unwrap();
        fs::rename(at("b"), at("moved")).unwrap();
        symlink("out/a", at("b")).unwrap();
        let output = || Output::layout(at("out"));
        assert_eq!(code(output(), &a), Some(Code::OutputIsInput));
        assert_eq!(code(output(), &b), None);
    }
}
