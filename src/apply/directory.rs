//! Writes a new image layout directory.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use rustix::fs::ioctl_ficlone;

use super::copy::{self, Destination, Job, Task};
use super::proof::Proof;
use super::target::{Target, not_empty};
use super::{ApplyOptions, Link, body_len, space};
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
    let staged = StagedDirectory::create(target.path()).context("create", target.path())?;
    let root = staged.path();
    let is_shared = is_shared(plan, source, root, options.link)?;
    let needs_space = |entry: &&OutputEntry| match &entry.body {
        Body::Blob { data, .. } => !(is_shared && matches!(data, DataLocation::File(_))),
        Body::Directory | Body::Bytes(_) => true,
    };
    let needed = plan.entries.iter().filter(needs_space);
    let needed = needed.map(body_len).fold(0, u64::saturating_add);
    space::check(target.parent(), needed)?;

    let mut tasks = Vec::new();
    for entry in &plan.entries {
        let path = root.join(&entry.name);
        if entry.body == Body::Directory {
            fs::create_dir_all(&path).context("create", &path)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).context("create", parent)?;
        }
        match &entry.body {
            Body::Directory => {}
            Body::Bytes(bytes) => {
                let mut file = File::create_new(&path).context("create", &path)?;
                file.write_all(bytes).context("write", &path)?;
            }
            Body::Blob { digest, data } => tasks.push(Task::Blob(Job {
                name: &entry.name,
                digest,
                data,
                len: body_len(entry),
                proof: Proof::of(plan, entry, options),
                destination: Destination::New(path),
            })),
        }
    }
    copy::run(&tasks, plan, source, target.path(), options, progress)?;
    let options = PublishOptions {
        replace: target.overwrite,
        sync: options.sync,
    };
    match staged.publish(options)? {
        Published::Done => Ok(()),
        Published::NotEmpty => Err(not_empty(target.path())),
        Published::Exists => Err(target.appeared()),
    }
}

/// Whether the input's files need no space in the output. The first of them decides for all.
fn is_shared(plan: &Plan, source: &Source, root: &Path, link: Link) -> Result<bool> {
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
            let trial = root.join("trial");
            if link_open(&file, &trial).is_err() {
                return Ok(false);
            }
            fs::remove_file(&trial).context("remove", &trial)?;
            Ok(true)
        }
    }
}
