//! Writes a new archive: all offsets are known first, so blobs are copied in any order.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags, fallocate, linkat, openat,
    renameat_with,
};
use rustix::io::Errno;

use super::copy::{self, Destination, Job};
use super::target::{Target, Temporary, sync_directory};
use super::{ApplyOptions, body_len, space};
use crate::error::{Code, Error, IoContext, Result};
use crate::header::{END_LEN, canonical, padding};
use crate::plan::{Body, OutputEntry, Plan};
use crate::progress::Progress;
use crate::read::Source;

pub(super) fn write(
    plan: &Plan,
    source: &Source,
    target: &Target,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let file_len = total_len(&plan.entries)?;
    space::check(target.parent(), file_len)?;
    let output = Output::create(target)?;
    reserve(&output.file, file_len).context("write", target.path())?;

    let mut jobs = Vec::new();
    let mut position = 0;
    for entry in &plan.entries {
        let len = body_len(entry);
        let header = canonical(&entry.name, entry.body == Body::Directory, len);
        let write = |bytes: &[u8], at| {
            let written = output.file.write_all_at(bytes, at);
            written.context("write", target.path())
        };
        write(&header, position)?;
        position += header.len() as u64;
        match &entry.body {
            Body::Directory => {}
            Body::Bytes(bytes) => write(bytes, position)?,
            Body::Blob { digest, location } => jobs.push(Job {
                name: &entry.name,
                digest,
                location,
                len,
                destination: Destination::At(&output.file, position),
            }),
        }
        position += len + padding(len);
    }
    copy::run(jobs, source, target.path(), options, progress)?;
    output.publish(target, options)
}

fn total_len(entries: &[OutputEntry]) -> Result<u64> {
    let mut total = END_LEN;
    for entry in entries {
        let len = body_len(entry);
        let header = canonical(&entry.name, entry.body == Body::Directory, len);
        let parts = [header.len() as u64, len, padding(len)];
        for part in parts {
            total = total.checked_add(part).ok_or_else(|| {
                Error::new(
                    Code::NoSpace,
                    "the output would be larger than any file can be",
                )
            })?;
        }
    }
    Ok(total)
}

/// Gives the file its length; a new file is all zeros, so padding and end marker are there.
fn reserve(file: &File, len: u64) -> io::Result<()> {
    // Not every filesystem can reserve space, so other errors mean nothing.
    let reserved = fallocate(file, FallocateFlags::empty(), 0, len);
    if let Err(error @ (Errno::NOSPC | Errno::FBIG | Errno::DQUOT)) = reserved {
        return Err(error.into());
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
        if let Some(file) = create_unnamed(target.parent()) {
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
    pub(super) fn publish(self, target: &Target, options: &ApplyOptions<'_>) -> Result<()> {
        let path = target.path();
        let old = fs::symlink_metadata(path).ok();
        let old = old.filter(|old| options.force && old.is_file());
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
            (None, false) => named(link_unnamed(&self.file, path), target)?,
            (None, true) => {
                let beside = target.temporary();
                link_unnamed(&self.file, &beside).context("create", &beside)?;
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

fn create_unnamed(parent: &Path) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    let file = File::from(openat(CWD, parent, flags, mode).ok()?);
    // Without /proc it could never be given a name.
    let (own, shown) = (file.metadata().ok()?, fs::metadata(open_path(&file)).ok()?);
    let is_same = (own.dev(), own.ino()) == (shown.dev(), shown.ino());
    is_same.then_some(file)
}

fn open_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn link_unnamed(file: &File, path: &Path) -> io::Result<()> {
    Ok(linkat(
        CWD,
        open_path(file),
        CWD,
        path,
        AtFlags::SYMLINK_FOLLOW,
    )?)
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
    use crate::apply::Verify;

    #[test]
    fn a_named_temporary_file_is_published_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in.tar"), b"in").unwrap();
        let source = Source::open(&dir.path().join("in.tar")).unwrap();
        let path = dir.path().join("out.tar");
        let options = ApplyOptions {
            force: false,
            sync: true,
            jobs: 1,
            spare: None,
            verify: Verify::Full,
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
