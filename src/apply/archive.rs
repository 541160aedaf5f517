//! Writes a new archive: all offsets are known first, so blobs are copied in any order.

mod places;

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, FallocateFlags, RenameFlags, fallocate, renameat_with};
use rustix::io::Errno;

use super::copy::{self, Destination, Job, MAX_REGION, Region, Task};
use super::target::{Target, Temporary, sync_directory};
use super::{ApplyOptions, Confirm, body_len, space};
use crate::error::{IoContext, Result};
use crate::input::Source;
use crate::plan::{Body, Plan};
use crate::progress::Progress;
use crate::tar::canonical;
use crate::temporary::{link_open, linkable};
use places::{Places, is_small};

pub(super) fn write(
    plan: &Plan,
    source: &Source,
    target: &Target,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<()> {
    let places = Places::of(&plan.entries)?;
    let holes = places.holes(&plan.entries, source)?;
    let kept: u64 = holes.iter().map(|hole| hole.end - hole.start).sum();
    // What is small fails as early when it is written.
    if places.len >= RESERVED {
        space::check(target.parent(), places.len.saturating_sub(kept))?;
    }
    let output = Output::create(target)?;
    let reserved = match holes.as_slice() {
        [] => reserve(&output.file, places.len),
        holes => reserve_around(&output.file, places.len, holes),
    };
    reserved.context("write", target.path())?;

    let write = |bytes: &[u8], at| {
        let written = output.file.write_all_at(bytes, at);
        written.context("write", target.path())
    };
    let mut tasks = Vec::new();
    for group in places.groups(&plan.entries) {
        let entry = match &plan.entries[group.clone()] {
            [entry] if !is_small(entry) => entry,
            entries => {
                let (start, end) = (places.bounds[group.start], places.bounds[group.end]);
                tasks.push(Task::Region(Region {
                    entries,
                    output: &output.file,
                    at: start,
                    len: (end - start) as usize,
                }));
                continue;
            }
        };
        let position = places.bounds[group.start];
        let len = body_len(entry);
        let header = canonical(&entry.name, entry.body == Body::Directory, len);
        write(&header, position)?;
        let position = position + header.len() as u64;
        match &entry.body {
            Body::Directory => {}
            Body::Bytes(bytes) => {
                for (number, piece) in bytes.chunks(MAX_REGION).enumerate() {
                    write(piece, position + (number * MAX_REGION) as u64)?;
                }
            }
            Body::Blob { digest, data } => tasks.push(Task::Blob(Job {
                name: &entry.name,
                digest,
                data,
                len,
                destination: Destination::At(&output.file, position),
            })),
        }
    }
    copy::run(&tasks, source, target.path(), options, progress)?;
    output.publish(target, options)
}

/// Files from this size are worth a look at the free space and a reservation, which cost as much as
/// writing a small file.
const RESERVED: u64 = 256 << 10;

/// Gives the file its length; a new file is all zeros, so padding and end marker are there.
pub(super) fn reserve(file: &File, len: u64) -> io::Result<()> {
    reserve_around(file, len, &[])
}

/// The same, but for the holes, which are in order.
fn reserve_around(file: &File, len: u64, holes: &[Range<u64>]) -> io::Result<()> {
    if len < RESERVED {
        return file.set_len(len);
    }
    let mut at = 0;
    for hole in holes.iter().chain([&(len..len)]) {
        // Not every filesystem can reserve space, so other errors mean nothing.
        let reserved = match hole.start > at {
            true => fallocate(file, FallocateFlags::empty(), at, hole.start - at),
            false => Ok(()),
        };
        if let Err(error @ (Errno::NOSPC | Errno::FBIG | Errno::DQUOT)) = reserved {
            return Err(error.into());
        }
        at = hole.end;
    }
    file.set_len(len)
}

/// The file being written: unnamed where the system can do that, so that nothing remains even after
/// a crash.
pub(super) struct Output {
    file: File,
    temporary: Option<Temporary>,
}

impl Output {
    /// The open file, which is empty.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn create(target: &Target) -> Result<Output> {
        if let Some(file) = linkable(target.parent()) {
            return Ok(Output {
                file,
                temporary: None,
            });
        }
        Self::create_named(target)
    }

    fn create_named(target: &Target) -> Result<Output> {
        let path = target.temporary();
        let file = File::create_new(&path).context("create", target.path())?;
        Ok(Output {
            file,
            temporary: Some(Temporary::new(path)),
        })
    }

    /// Gives the complete file its name.
    pub(super) fn publish(self, target: &Target, options: &ApplyOptions) -> Result<()> {
        if let Some(Confirm(confirm)) = options.confirm {
            confirm()?;
        }
        let path = target.path();
        let old = match options.force {
            true => fs::symlink_metadata(path).ok().filter(|old| old.is_file()),
            false => None,
        };
        let replaces = old.is_some();
        if let Some(old) = old {
            // What only its owner could read must not become readable to all.
            let kept = self.file.set_permissions(old.permissions());
            kept.context("set the mode of", path)?;
        }
        // Otherwise a crash could leave neither the old file nor the new one.
        if options.sync || replaces {
            self.file.sync_all().context("sync", path)?;
        }
        match (self.temporary, replaces) {
            (None, false) => named(link_open(&self.file, path), target)?,
            (None, true) => {
                let beside = target.temporary();
                link_open(&self.file, &beside).context("create", &beside)?;
                let temporary = Temporary::new(beside);
                fs::rename(temporary.path(), path).context("replace", path)?;
                temporary.keep();
            }
            (Some(temporary), false) => {
                named(rename_new(temporary.path(), path), target)?;
                temporary.keep();
            }
            (Some(temporary), true) => {
                fs::rename(temporary.path(), path).context("replace", path)?;
                temporary.keep();
            }
        }
        if options.sync || replaces {
            sync_directory(target.parent())?;
        }
        Ok(())
    }
}

/// Renames without replacing what may have appeared meanwhile.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

fn named(result: io::Result<()>, target: &Target) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(target.appeared()),
        other => other.context("create", target.path()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_named_temporary_file_is_published_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in.tar"), b"in").unwrap();
        let source = Source::open(&dir.path().join("in.tar")).unwrap();
        let path = dir.path().join("out.tar");
        let options = ApplyOptions {
            sync: true,
            ..ApplyOptions::default()
        };
        let target = Target::prepare(&source, &path, false).unwrap();
        Output::create_named(&target)
            .unwrap()
            .publish(&target, &options)
            .unwrap();
        let error = Output::create_named(&target)
            .unwrap()
            .publish(&target, &options)
            .unwrap_err();
        assert_eq!(error.code(), Code::OutputExists);
        let force = ApplyOptions {
            force: true,
            ..options
        };
        Output::create_named(&target)
            .unwrap()
            .publish(&target, &force)
            .unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
