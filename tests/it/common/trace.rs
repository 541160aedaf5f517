//! Records which files a command names, renames, syncs and appends to, in order, with strace.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::runner::Sandbox;
use super::skipped;

/// One system call that succeeded, with absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A file got this name, or a directory or a symbolic link was created.
    Named(PathBuf),
    /// It was renamed.
    Renamed(PathBuf, PathBuf),
    /// A file or directory was removed.
    Removed(PathBuf),
    /// So many bytes were written to a file that has this name.
    Written(PathBuf, u64),
    /// The file or directory, or the filesystem that it is in, was synced. What came before the start of the call, whose position
    /// is given, is on disk.
    Synced {
        path: PathBuf,
        is_filesystem: bool,
        start: usize,
    },
}

const CALLS: &str = "trace=mkdir,mkdirat,linkat,symlinkat,rename,renameat,renameat2,unlink,unlinkat,rmdir,write,pwrite64,fsync,fdatasync,syncfs";

/// Runs the command with these arguments, which has to succeed, and records such calls; `None` if it cannot be traced here.
fn traced(sandbox: &Sandbox, calls: &str, args: &[&str]) -> Option<String> {
    if !may_trace() {
        return None;
    }
    let log = sandbox.path("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-s", "0", "-e", calls, "-o"]);
    command
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_ocify"))
        .args(args);
    command.current_dir(sandbox.root()).env_clear();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(log).unwrap();
    Some(text)
}

/// What the command with these arguments does to files; `None` if it cannot be traced here.
pub(crate) fn record(sandbox: &Sandbox, args: &[&str]) -> Option<Vec<Event>> {
    let text = traced(sandbox, CALLS, args)?;
    Some(events(&text, &fs::canonicalize(sandbox.root()).unwrap()))
}

const READS: &str = "trace=read,readv,pread64,preadv,preadv2,copy_file_range,sendfile,splice";

/// Runs the command with these arguments, which has to succeed. Returns how many bytes of files with such names it read or had the
/// kernel copy; `None` if it cannot be traced here.
pub(crate) fn bytes_read(sandbox: &Sandbox, args: &[&str], suffix: &str) -> Option<u64> {
    let text = traced(sandbox, READS, args)?;
    // A call that another thread interrupted in the log has its result in a later line of the same thread.
    let mut begun: HashMap<&str, bool> = HashMap::new();
    let mut read = 0;
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let of_file = match call.contains("resumed>") {
            true => begun.remove(thread).unwrap_or(false),
            false => {
                let path = call
                    .split_once('<')
                    .and_then(|(_, rest)| rest.split_once('>'));
                path.is_some_and(|(path, _)| path.ends_with(suffix))
            }
        };
        if call.contains("<unfinished ...>") {
            begun.insert(thread, of_file);
            continue;
        }
        let result = call.rsplit_once(" = ").map_or("", |(_, result)| result);
        let count: u64 = result.split(' ').next().unwrap_or("").parse().unwrap_or(0);
        read += if of_file { count } else { 0 };
    }
    Some(read)
}

/// Whether programs can be traced here. If not, says so.
pub(crate) fn may_trace() -> bool {
    let may = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    let may = may.is_ok_and(|status| status.success());
    if !may {
        skipped("traces of system calls: need strace and the right to trace");
    }
    may
}

/// The command with these arguments, for which system calls fail as strace is told; `None` if that is not possible here.
pub(crate) fn failing(sandbox: &Sandbox, calls: &[&str], args: &[&str]) -> Option<Command> {
    if !may_trace() {
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]).args(calls);
    command.arg(env!("CARGO_BIN_EXE_ocify")).args(args);
    command.current_dir(sandbox.root());
    Some(command)
}

/// The events of a log, in which calls of several threads may overlap.
fn events(text: &str, root: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    // What a thread has begun, and how many events there were.
    let mut begun: HashMap<&str, (String, usize)> = HashMap::new();
    for line in text.lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(call) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (call.to_owned(), events.len()));
            continue;
        }
        let (call, start) = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let (call, start) = begun.remove(thread).unwrap();
                let end = resumed.split_once("resumed>").unwrap().1;
                (call + end, start)
            }
            None => (rest.to_owned(), events.len()),
        };
        events.extend(event(&call, start, root));
    }
    events
}

fn event(call: &str, start: usize, root: &Path) -> Option<Event> {
    let (call, result) = call.rsplit_once(" = ")?;
    let result: u64 = result.split(' ').next()?.parse().ok()?;
    let (name, args) = call.split_once('(')?;
    let quoted = quoted(args, root);
    let open = || Some(PathBuf::from(args.split_once('<')?.1.split_once('>')?.0));
    Some(match name {
        "mkdir" | "mkdirat" | "linkat" | "symlinkat" => Event::Named(quoted.last()?.clone()),
        "rename" | "renameat" | "renameat2" => {
            Event::Renamed(quoted.first()?.clone(), quoted.last()?.clone())
        }
        "unlink" | "unlinkat" | "rmdir" => Event::Removed(quoted.first()?.clone()),
        "write" | "pwrite64" => Event::Written(open()?, result),
        _ => Event::Synced {
            path: open()?,
            is_filesystem: name == "syncfs",
            start,
        },
    })
}

/// The names in quotes, each below the directory in angle brackets that precedes it: that of a descriptor. Names that none
/// precedes are below the root.
fn quoted(args: &str, root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directory = root.to_owned();
    // Every other part is in quotes.
    for (number, part) in args.split('"').enumerate() {
        if number % 2 == 1 {
            found.push(directory.join(part));
        } else if let Some((_, open)) = part.rsplit_once('<') {
            directory = PathBuf::from(open.split_once('>').map_or(open, |(path, _)| path));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_below_the_directories_of_their_descriptors() {
        let log = "7 mkdir(\"out\", 0777) = 0
8 mkdirat(4</d/out>, \"a\", 0777) = 0
8 mkdirat(4</d/out>, \"a\", 0777) = -1 EEXIST (File exists)
8 symlinkat(\"target\", 5</d/out/work/0>, \"0\") = 0
8 linkat(AT_FDCWD</d>, \"/proc/self/fd/16\", 5</d/out/work/0>, \"1\", AT_SYMLINK_FOLLOW <unfinished ...>
7 fsync(9</d/out/work/0/9>) = 0
8 <... linkat resumed>) = 0
8 renameat2(5</d/out/work/0>, \"1\", 4</d/out/a>, \"x.tar\", RENAME_NOREPLACE) = 0
8 unlinkat(4</d/out/a>, \"y\", 0) = 0
8 unlinkat(4</d/out/a>, \"z\", 0) = -1 ENOENT (No such file or directory)
7 write(3</d/out/.ocify-state>, \"\"..., 829) = 829
";
        let path = |name: &str| PathBuf::from(format!("/d/{name}"));
        let expected = [
            Event::Named(path("out")),
            Event::Named(path("out/a")),
            Event::Named(path("out/work/0/0")),
            Event::Synced {
                path: path("out/work/0/9"),
                is_filesystem: false,
                start: 3,
            },
            Event::Named(path("out/work/0/1")),
            Event::Renamed(path("out/work/0/1"), path("out/a/x.tar")),
            Event::Removed(path("out/a/y")),
            Event::Written(path("out/.ocify-state"), 829),
        ];
        assert_eq!(events(log, Path::new("/d")), expected);
    }
}
