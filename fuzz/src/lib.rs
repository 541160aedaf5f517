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
use ocify::plan::{Form, NewLayers, Plan, PlanOptions};
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

/// What images with several platforms are planned for.
const HOST: Option<&str> = Some("amd64");

/// The stages up to the plan.
fn planned(source: &Source, strictness: Strictness, form: Form) -> Result<Plan> {
    let graph = resolved(source, strictness)?;
    let options = PlanOptions::default();
    plan(&graph, &options, form, HOST)?.complete(&NewLayers::default())
}

fn resolved(source: &Source, strictness: Strictness) -> Result<Graph> {
    resolve(scan(source, strictness)?, source, strictness)
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
