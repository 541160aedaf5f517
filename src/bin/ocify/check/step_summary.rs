//! The file that GitHub Actions shows as the summary of a step.

use std::env;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use ocify::{Result, command::IoContext};

/// The variable that names the file.
const VARIABLE: &str = "GITHUB_STEP_SUMMARY";

/// Appends a text to the file, if there is one.
///
/// # Errors
/// It cannot be written.
pub(crate) fn append(text: &[u8]) -> Result<()> {
    let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let path = Path::new(&path);
    let file = File::options().append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text));
    written.context("write the summary of the step to", path)
}
