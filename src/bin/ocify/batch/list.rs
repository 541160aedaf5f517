//! The list of `--files-from`: its paths, and those of their outputs.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use ocify::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::inputs::{Named, named};
use crate::args::{Fix, is_standard};

/// The paths in the file of `--files-from`, as far as they can be read; `None` without that option, and for a pipe,
/// which the run can read only once.
pub(crate) fn listed_paths(args: &Fix) -> Option<impl Iterator<Item = PathBuf> + use<>> {
    let list = args.many.files_from.as_deref()?;
    if is_standard(list) || !fs::metadata(list).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let lines = BufReader::new(File::open(list).ok()?).split(list_end(args));
    let paths = lines.map_while(io::Result::ok);
    let paths = paths.filter(|path| !path.is_empty());
    Some(paths.map(|path| PathBuf::from(OsString::from_vec(path))))
}

/// What ends each path in a list.
pub(super) fn list_end(args: &Fix) -> u8 {
    if args.many.null { 0 } else { b'\n' }
}

/// The path of an output for a listed input: as it is listed, but never leading out.
pub(super) fn listed_relative(path: &Path) -> PathBuf {
    let mut relative = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => relative.push(part),
            Component::ParentDir => {
                relative.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    relative
}

/// A file that may be a pipe whose writer takes its time. It ends when the run is stopped.
pub(super) struct Interruptible<'a> {
    pub(super) file: File,
    pub(super) is_stopped: &'a dyn Fn() -> bool,
}

impl Read for Interruptible<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const PATIENCE: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        loop {
            if (self.is_stopped)() {
                return Ok(0);
            }
            let mut polled = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut polled, Some(&PATIENCE)) {
                Ok(0) | Err(Errno::INTR) => {}
                // What cannot be polled can be read.
                Ok(_) | Err(_) => return self.file.read(buffer),
            }
        }
    }
}

/// What was named on the command line of a run that writes nothing, so that several inputs may have the same name.
pub(crate) fn named_alone(args: &Fix) -> Result<Vec<Named>> {
    let inputs = args.inputs.as_slice();
    if inputs.len() < 2 && args.many.files_from.is_none() {
        return named(args);
    }
    let named = inputs.iter().map(|path| {
        let relative = listed_relative(path);
        let is_named = !relative.as_os_str().is_empty();
        Named {
            relative: if is_named { relative } else { ".".into() },
            path: path.clone(),
        }
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_paths_never_lead_out() {
        for (path, expected) in [
            ("a/b.tar", "a/b.tar"),
            ("./a//b.tar", "a/b.tar"),
            ("/srv/a.tar", "srv/a.tar"),
            ("../../a.tar", "a.tar"),
            ("a/../../b.tar", "b.tar"),
            ("..", ""),
        ] {
            assert_eq!(listed_relative(Path::new(path)), Path::new(expected));
        }
    }
}
