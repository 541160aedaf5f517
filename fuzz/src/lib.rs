//! What the fuzz targets do with their inputs, so that tests can do it too.

mod documents;
mod edits;
mod reference;
mod ways;
mod whole;

use std::path::{Path, PathBuf};

pub use documents::archive_of;
pub use edits::edited;
use ocify::graph::Graph;
use ocify::plan::{Plan, PlanOptions};
use ocify::{Result, Source, Strictness, plan, resolve, scan};
pub use reference::reference;
use tempfile::TempDir;
pub use ways::ways;
pub use whole::fix;

/// Holds an archive to everything that must hold for any.
///
/// # Panics
/// It does not hold.
pub fn hold(archive: &[u8]) {
    fix(archive);
    ways(archive);
}

/// The stages up to the plan.
fn planned(source: &Source, strictness: Strictness, keep_places: bool) -> Result<(Plan, Graph)> {
    let inventory = scan(source, strictness)?;
    let graph = resolve(inventory, source, strictness)?;
    let plan = plan(&graph, &plan_options(keep_places))?;
    Ok((plan, graph))
}

fn plan_options(keep_places: bool) -> PlanOptions {
    PlanOptions {
        host_architecture: Some("amd64".to_owned()),
        keep_places,
        ..PlanOptions::default()
    }
}

/// A folder of this thread, in memory where the system has such a folder.
fn folder() -> PathBuf {
    thread_local! {
        static FOLDER: TempDir = {
            let memory = Path::new("/dev/shm");
            let made = match memory.is_dir() {
                true => tempfile::tempdir_in(memory),
                false => tempfile::tempdir(),
            };
            made.expect("a temporary folder")
        };
    }
    FOLDER.with(|folder| folder.path().to_owned())
}
