//! Writes a new image layout directory.

use std::fs::{self, File};
use std::io::{self, Write};

use super::copy::{self, Destination, Job};
use super::target::{Target, Temporary, sync_directory};
use super::{ApplyOptions, body_len};
use crate::error::{Code, Error, IoContext, Result, show_path};
use crate::plan::{Body, Plan};
use crate::progress::Progress;
use crate::read::Source;

pub(super) fn write(
    plan: &Plan,
    source: &Source,
    target: &Target,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<()> {
    let root = target.temporary();
    fs::create_dir(&root).context("create", &root)?;
    let temporary = Temporary::new(root);
    let root = temporary.path();

    let mut jobs = Vec::new();
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
            Body::Blob { digest, location } => jobs.push(Job {
                name: &entry.name,
                digest,
                location,
                len: body_len(entry),
                destination: Destination::New(path),
            }),
        }
    }
    copy::run(jobs, source, target.path(), options.jobs, progress)?;
    if options.sync {
        sync_all(plan, &temporary)?;
    }
    publish(temporary, target)?;
    if options.sync {
        sync_directory(target.parent())?;
    }
    Ok(())
}

fn sync_all(plan: &Plan, temporary: &Temporary) -> Result<()> {
    for entry in &plan.entries {
        let path = temporary.path().join(&entry.name);
        if let Some(parent) = path.parent() {
            sync_directory(parent)?;
        }
        if entry.body != Body::Directory {
            let file = File::open(&path).context("open", &path)?;
            file.sync_all().context("sync", &path)?;
        }
    }
    Ok(())
}

/// The system replaces an empty directory and nothing else.
fn publish(temporary: Temporary, target: &Target) -> Result<()> {
    let path = target.path();
    match fs::rename(temporary.path(), path) {
        Ok(()) => {
            temporary.keep();
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Err(Error::new(
            Code::OutputNotEmpty,
            format!("the output directory {} is not empty", show_path(path)),
        )
        .with_hint("choose a new or an empty directory")),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(target.appeared()),
        Err(error) => Err(Error::io("create", path, error)),
    }
}
