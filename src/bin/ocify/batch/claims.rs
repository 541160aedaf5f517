//! Which input each output belongs to, so that no two inputs write the same one.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The names in one directory of outputs.
type Names = HashMap<OsString, Claim>;

/// What a name in the output directory is for.
#[derive(Debug)]
struct Claim {
    /// The input that claimed it first.
    input: PathBuf,
    /// Whether it is a directory for other outputs.
    is_directory: bool,
}

/// The names of outputs, in the order in which inputs are found.
///
/// While directories are searched, only the names in the current directory and those above it are kept, because an output is
/// in the same directory as its input.
#[derive(Debug)]
pub(crate) struct Claims {
    directories: HashMap<PathBuf, Names>,
    /// Whether inputs come in any order, so that every name has to be kept.
    keeps_all: bool,
    last: PathBuf,
}

impl Claims {
    pub(crate) fn new(keeps_all: bool) -> Self {
        Claims {
            directories: HashMap::new(),
            keeps_all,
            last: PathBuf::new(),
        }
    }

    /// Claims an output for an input.
    ///
    /// # Errors
    /// Another input, which is returned, has the output, needs it as a directory, or has an output where this one needs a
    /// directory.
    pub(crate) fn claim(&mut self, output: &Path, input: &Path) -> Result<(), PathBuf> {
        let directory = output.parent().unwrap_or(Path::new(""));
        if !self.keeps_all && directory != self.last {
            self.directories
                .retain(|kept, _| directory.starts_with(kept));
            self.last = directory.to_owned();
        }
        for above in directory.ancestors() {
            let Some(name) = above.file_name() else {
                break;
            };
            let names = self.names_beside(above);
            match names.get(name) {
                // Then everything above it is claimed as well.
                Some(claim) if claim.is_directory => break,
                Some(claim) => return Err(claim.input.clone()),
                None => names.insert(name.to_owned(), Claim::new(input, true)),
            };
        }
        let name = output.file_name().unwrap_or_default();
        let names = self.names_beside(output);
        if let Some(claim) = names.get(name) {
            return Err(claim.input.clone());
        }
        names.insert(name.to_owned(), Claim::new(input, false));
        Ok(())
    }

    fn names_beside(&mut self, path: &Path) -> &mut Names {
        let directory = path.parent().unwrap_or(Path::new(""));
        self.directories.entry(directory.to_owned()).or_default()
    }
}

impl Claim {
    fn new(input: &Path, is_directory: bool) -> Self {
        Claim {
            input: input.to_owned(),
            is_directory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_has_one_input() {
        for keeps_all in [false, true] {
            let mut claims = Claims::new(keeps_all);
            // The output, its input, and the input that has it already.
            for (output, input, other) in [
                ("a/deep/x", "in/a/deep/x.tar", None),
                ("a", "in/a.tar", Some("in/a/deep/x.tar")),
                ("b", "in/b", None),
                ("b", "in/b.tar", Some("in/b")),
                ("b/x", "in/b./x", Some("in/b")),
                ("c/x", "in/c/x.tar", None),
                ("c/x", "in/c/x.tgz", Some("in/c/x.tar")),
                ("c/y", "in/c/y.tgz", None),
                ("d", "in/d", None),
                ("a/deep", "in/a/deep.tar", Some("in/a/deep/x.tar")),
            ] {
                // A walk does not come back to a directory.
                if !keeps_all && output == "a/deep" {
                    continue;
                }
                let found = claims.claim(Path::new(output), Path::new(input));
                let expected = other.map_or(Ok(()), |other| Err(PathBuf::from(other)));
                assert_eq!(found, expected, "{keeps_all} {input}");
            }
        }
    }

    #[test]
    fn a_walk_keeps_only_open_directories() {
        let mut claims = Claims::new(false);
        for number in 0..1000 {
            let output = PathBuf::from(format!("{}/{number}", number / 10));
            claims.claim(&output, &output).unwrap();
        }
        assert_eq!(claims.directories.len(), 2);
        let names: usize = claims.directories.values().map(HashMap::len).sum();
        assert_eq!(names, 110);
    }
}
