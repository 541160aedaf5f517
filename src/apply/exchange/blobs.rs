//! New documents and layers are written before anything refers to them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{Gid, Uid, fchown};
use rustix::process::geteuid;

use super::Exchange;
use super::refused::unwritable;
use super::steps::Steps;
use crate::apply::ApplyOptions;
use crate::apply::copy::{self, Destination, Job, Task};
use crate::beneath::{Directory, FileStat, HeldPath};
use crate::error::{Error, IoContext, Result};
use crate::image::Digest;
use crate::location::RootName;
use crate::plan::{Body, OutputEntry};
use crate::progress::Progress;
use crate::publish::{PublishOptions, Published, StagedFile, sync_held};

/// How many files are open at a time before they get their names.
const GROUP: usize = 32;

impl Exchange<'_> {
    /// Writes what the layout lacks. `created` gets what did not exist before.
    pub(super) fn write_blobs(
        &self,
        steps: &Steps<'_>,
        options: &ApplyOptions<'_>,
        progress: &dyn Progress,
        created: &mut BTreeMap<Digest, HeldPath>,
    ) -> Result<()> {
        for group in steps.blobs.chunks(GROUP) {
            let mut staged = Vec::new();
            for entry in group {
                let place = self.place(&entry.name)?;
                let file = create(&place)?;
                let path = place.path();
                match &entry.body {
                    Body::Bytes(bytes) => {
                        let mut file = file.file();
                        file.write_all(bytes).context("write", path)?;
                    }
                    _ => file.file().set_len(entry.len).context("write", path)?,
                }
                staged.push((*entry, place, file));
            }
            self.copy_layers(&staged, options, progress)?;
            for (entry, place, file) in staged {
                self.keep_owner(file.file());
                file.file().sync_all().context("sync", place.path())?;
                self.name_blob(&entry.name, place, file, created)?;
            }
        }
        for algorithm in &steps.algorithms {
            sync_held(&self.directory(algorithm)?)?;
        }
        if !steps.algorithms.is_empty() {
            sync_held(&self.directory("blobs")?)?;
            sync_held(self.root)?;
        }
        Ok(())
    }

    fn copy_layers(
        &self,
        staged: &[(&OutputEntry, HeldPath, StagedFile)],
        options: &ApplyOptions<'_>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let jobs = staged.iter().filter_map(|(entry, _, file)| {
            let Body::Blob { digest, data } = &entry.body else {
                return None;
            };
            Some(Task::Blob(Job {
                name: &entry.name,
                digest,
                data,
                len: entry.len,
                proof: None,
                destination: Destination::At(file.file(), 0),
            }))
        });
        let tasks: Vec<Task<'_>> = jobs.collect();
        if tasks.is_empty() {
            return Ok(());
        }
        let (source, path) = (self.source, self.root.path());
        copy::run(&tasks, self.plan, source, path, options, progress)
    }

    /// Gives a complete blob its name, in place of a damaged one. [`Steps`] leaves out what is there already.
    fn name_blob(
        &self,
        name: &str,
        place: HeldPath,
        file: StagedFile,
        created: &mut BTreeMap<Digest, HeldPath>,
    ) -> Result<()> {
        let is_new = !place.exists();
        let options = PublishOptions {
            replace: !is_new,
            sync: false,
        };
        match file.publish(options)? {
            Published::Done if is_new => {
                let digest = Digest::from_any_blob_name(name);
                created.extend(digest.map(|digest| (digest, place)));
            }
            // Another program has just written it.
            Published::Done | Published::Exists => {}
            Published::NotEmpty => {
                let error = io::ErrorKind::AlreadyExists.into();
                return Err(Error::io("create", &place.path(), error));
            }
        }
        Ok(())
    }

    /// A file or directory belongs to whom `index.json` belongs to, if the system allows that: BuildKit opens `index.json` for
    /// writing, and creates files in directories.
    pub(super) fn keep_owner(&self, file: &File) {
        let found = self.root.look_up(Path::new(RootName::Index.name()));
        if let Ok(FileStat { owner, group, .. }) = found
            && geteuid().is_root()
        {
            let _ = fchown(file, Some(Uid::from_raw(owner)), Some(Gid::from_raw(group)));
        }
    }

    /// Where an entry is, in a directory that is created if it does not exist.
    pub(super) fn place(&self, name: &str) -> Result<HeldPath> {
        let (parent, name) = name.rsplit_once('/').unwrap_or(("", name));
        let directory = self.directory(parent)?;
        HeldPath::new(&directory, name.as_ref()).context("open", directory.join(name.as_ref()))
    }

    fn directory(&self, path: &str) -> Result<Directory> {
        let opened = match self.root.below(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create_directory(path),
            other => other,
        };
        opened.map_err(|error| unwritable(&self.root.join(Path::new(path)), error))
    }

    /// Creates what does not exist of a directory, for the owner of the layout.
    fn create_directory(&self, path: &str) -> io::Result<Directory> {
        let mut directory = self.root.clone();
        for name in path.split('/') {
            let created = HeldPath::new(&directory, name.as_ref())?.create_directory();
            directory = directory.below(name)?;
            match created {
                Ok(()) => self.keep_owner(&directory.readable()?),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(directory)
    }
}

pub(super) fn create(place: &HeldPath) -> Result<StagedFile> {
    StagedFile::create_held(place.clone()).map_err(|error| unwritable(&place.path(), error))
}
