//! Writes a new image layout directory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::ioctl_ficlone;

use super::copy::{self, Destination, Job, Task};
use super::proof::Proof;
use super::target::{Target, not_empty};
use super::{ApplyOptions, Link, body_len, space};
use crate::beneath::{Directory, HeldPath};
use crate::error::{IoContext, Result};
use crate::input::Source;
use crate::inventory::DataLocation;
use crate::plan::{Body, OutputEntry, Plan};
use crate::progress::Progress;
use crate::publish::{PublishOptions, Published, StagedDirectory, link_open, linkable};

pub(super) fn write(
    plan: &Plan,
    source: &Source,
    target: &Target,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let staged = target.place().and_then(StagedDirectory::create_held);
    let staged = staged.context("create", target.path())?;
    let root = staged.directory();
    let is_shared = is_shared(plan, source, root, options.link)?;
    let needs_space = |entry: &&OutputEntry| match &entry.body {
        Body::Blob { data, .. } => !(is_shared && matches!(data, DataLocation::File(_))),
        Body::Directory | Body::Bytes(_) => true,
    };
    let needed = plan.entries.iter().filter(needs_space);
    let needed = needed.map(body_len).fold(0, u64::saturating_add);
    space::check_for(target, needed)?;

    let mut places = Places {
        root,
        directories: HashMap::new(),
    };
    let mut tasks = Vec::new();
    for entry in &plan.entries {
        let path = root.path().join(&entry.name);
        if entry.body == Body::Directory {
            let created = root.create_below(Path::new(entry.name.trim_end_matches('/')));
            created.context("create", path)?;
            continue;
        }
        let place = places.place(&entry.name).context("create", &path)?;
        match &entry.body {
            Body::Directory => {}
            Body::Bytes(bytes) => {
                let mut file = place.create_new().context("create", &path)?;
                file.write_all(bytes).context("write", &path)?;
            }
            Body::Blob { digest, data } => tasks.push(Task::Blob(Job {
                name: &entry.name,
                digest,
                data,
                len: body_len(entry),
                proof: Proof::of(plan, entry, options),
                destination: Destination::New(place),
            })),
        }
    }
    copy::run(&tasks, plan, source, &target.path(), options, progress)?;
    let options = PublishOptions {
        replace: target.overwrite,
        sync: options.sync,
    };
    match staged.publish(options)? {
        Published::Done => Ok(()),
        Published::NotEmpty => Err(not_empty(&target.path())),
        Published::Exists => Err(target.appeared()),
    }
}

/// Where files of the new layout go. Its directories are created for the first file in each of them, and held: there
/// are at most a few.
struct Places<'a> {
    root: &'a Directory,
    directories: HashMap<&'a str, Directory>,
}

impl<'a> Places<'a> {
    fn place(&mut self, name: &'a str) -> io::Result<HeldPath> {
        let (parent, name) = name.rsplit_once('/').unwrap_or(("", name));
        let directory = match self.directories.entry(parent) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(new) => new.insert(self.root.create_below(Path::new(parent))?),
        };
        HeldPath::new(directory, name.as_ref())
    }
}

/// Whether the input's files need no space in the output. The first of them decides for all.
fn is_shared(plan: &Plan, source: &Source, root: &Directory, link: Link) -> Result<bool> {
    let mut blobs = plan.entries.iter().filter_map(|entry| match &entry.body {
        Body::Blob { data, .. } => Some(data),
        Body::Directory | Body::Bytes(_) => None,
    });
    let first = blobs.find(|data| matches!(data, DataLocation::File(_)));
    let Some(Ok((file, _))) = first.map(|data| source.open_blob(data)) else {
        return Ok(false);
    };
    match link {
        Link::Never => Ok(false),
        Link::Auto => {
            let trial = linkable(root);
            Ok(trial.is_some_and(|trial| ioctl_ficlone(&trial, &file).is_ok()))
        }
        Link::Hard => {
            let path = root.path().join("trial");
            let trial = HeldPath::new(root, "trial".as_ref()).context("create", &path)?;
            if link_open(&file, &trial).is_err() {
                return Ok(false);
            }
            trial.remove().context("remove", path)?;
            Ok(true)
        }
    }
}
