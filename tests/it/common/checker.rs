//! The checker of outputs, for kinds of output that only these tests produce.

use std::path::Path;

use super::contents::Contents;
use super::shared::checker::judge_types;

pub(crate) use super::shared::checker::{
    Facts, check_form, check_output, familiar, judge, judge_contents, repeated_names,
};

/// Checks the output of a stream. Panics with all faults.
#[track_caller]
pub(crate) fn check_stream(bytes: &[u8]) -> Facts {
    let mut faults = Vec::new();
    check_form(bytes, true, &mut faults);
    match judge_contents(&Contents::from_tar(bytes), false, faults) {
        Ok(facts) => facts,
        Err(faults) => panic!("the stream is not right:\n{}", faults.join("\n")),
    }
}

/// Checks an archive that keeps its form. Extra files are ignored. Panics with all faults.
#[track_caller]
pub(crate) fn check_kept(path: &Path) -> Facts {
    let mut contents = Contents::read(path);
    let is_ours = |name: &str| {
        name.starts_with("blobs/") || ["index.json", "manifest.json", "oci-layout"].contains(&name)
    };
    contents.files.retain(|name, _| is_ours(name));
    match judge_contents(&contents, false, Vec::new()) {
        Ok(facts) => facts,
        Err(faults) => panic!("{} is not right:\n{}", path.display(), faults.join("\n")),
    }
}

/// Checks an output with Docker's types. Panics with all faults.
#[track_caller]
pub(crate) fn check_docker_output(path: &Path) -> Facts {
    match judge_types(path, true) {
        Ok(facts) => facts,
        Err(faults) => panic!("{} is not right:\n{}", path.display(), faults.join("\n")),
    }
}
