//! Writes a new image layout directory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::copy::{self, Destination, Job};
use super::target::{Target, Temporary, sync_directory};
use super::{ApplyOptions, body_len, space};
use crate::error::{Code, Error, IoContext, Result, show_path};
use crate::plan::{Body, Plan};
use crate::progress::Progress;
use crate::read::Source;

pub(super) fn write(
    plan: &Plan,
    source: &Source,
    target: &Target,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let needed = plan
        .entries
        .iter()
        .map(body_len)
        .fold(0, u64::saturating_add);
    space::check(target.parent(), needed)?;
    let root = target.temporary();
    fs::create_dir(&root).context("create", target.path())?;
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
    copy::run(jobs, source, target.path(), options, progress)?;
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
    let mut directories = BTreeSet::from([temporary.path().to_owned()]);
    for entry in &plan.entries {
        let path = temporary.path().join(&entry.name);
        if entry.body != Body::Directory {
            let file = File::open(&path).context("open", &path)?;
            file.sync_all().context("sync", &path)?;
        }
        directories.extend(path.parent().map(Path::to_owned));
    }
    directories.iter().try_for_each(|path| sync_directory(path))
}

/// The system replaces an empty directory and nothing else.
fn publish(temporary: Temporary, target: &Target) -> Result<()> {
    let path = target.path();
    if let Ok(old) = fs::symlink_metadata(path) {
        // What only its owner could read must not become readable to all.
        let kept = fs::set_permissions(temporary.path(), old.permissions());
        kept.context("set the mode of", path)?;
    }
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
