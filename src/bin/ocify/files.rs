//! Files that options ask for beside the output; `-` is standard output.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ocify::{Error, Result, command::publish, command::show_path};

use crate::args::{Fix, is_standard};
use crate::interrupt::Interrupt;
use crate::standard;

/// Refuses an option's file that is also an input, the output or another option's file: writing one would destroy
/// the other.
pub(crate) fn conflict(args: &Fix, output: Option<&Path>) -> Option<String> {
    let list = args.many.files_from.as_deref();
    let output = output.filter(|_| !args.dry_run);
    let inputs = args.inputs.iter().map(|input| ("INPUT", input.as_path()));
    let mut seen: Vec<(&str, Identity)> = inputs
        .chain(list.map(|list| ("--files-from", list)))
        .chain(output.map(|output| ("OUTPUT", output)))
        .filter_map(|(what, path)| Some((what, Identity::of(path)?)))
        .collect();
    for (option, path) in args.files() {
        let Some(identity) = Identity::of(path) else {
            continue;
        };
        if let Some((other, _)) = seen.iter().find(|(_, other)| *other == identity) {
            return Some(format!(
                "{option} and {other} are the same file: {}",
                show_path(path)
            ));
        }
        seen.push((option, identity));
    }
    None
}

/// What distinguishes one regular file from another, whatever path leads to it.
#[derive(Debug, PartialEq, Eq)]
enum Identity {
    /// Device and inode of a file that exists.
    File(u64, u64),
    /// The path of one that does not, with links to its directory resolved.
    Path(PathBuf),
}

impl Identity {
    /// `None` for standard input and output, directories, devices and the like.
    fn of(path: &Path) -> Option<Identity> {
        if is_standard(path) {
            return None;
        }
        match fs::metadata(path) {
            Ok(found) => {
                let identity = Identity::File(found.dev(), found.ino());
                found.is_file().then_some(identity)
            }
            Err(_) => {
                let parent = path.parent().filter(|parent| *parent != Path::new(""));
                let parent = fs::canonicalize(parent.unwrap_or(Path::new("."))).ok()?;
                Some(Identity::Path(parent.join(path.file_name()?)))
            }
        }
    }
}

/// Writes a complete file; `doing` says what for in an error.
pub(crate) fn write(
    path: &Path,
    doing: &str,
    interrupt: &Interrupt,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    if !is_standard(path) {
        return publish::write_file(path, doing, &|| interrupt.is_asked_in_a_wait(), content);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    match content(&mut out).and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Error::io(doing, Path::new(standard::OUTPUT), error)),
    }
}

/// Opens a file that grows during the run.
pub(crate) fn open(
    path: &Path,
    doing: &str,
    interrupt: &Interrupt,
) -> Result<Box<dyn Write + Send>> {
    if is_standard(path) {
        return Ok(Box::new(io::stdout()));
    }
    let interrupt = interrupt.clone();
    publish::open_log(path, doing, move || interrupt.is_asked_in_a_wait())
}
