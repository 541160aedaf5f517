//! A run of all stages on bytes in memory, and what must hold afterwards.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use ocify::apply::{ApplyOptions, Output, Target, apply};
use ocify::plan::{Form, Plan};
use ocify::progress::Hidden;
use ocify::report::{Blobs, Report, json, text};
use ocify::{Source, Strictness};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::{folder, planned};

/// Runs all stages as strictly, and as leniently, as the command does.
///
/// # Panics
/// A stage panics; an output is not accepted, or would be changed again.
pub fn fix(archive: &[u8]) {
    let (_file, path) = memory_file(archive);
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        let Some((plan, source)) = opened(&path, strictness) else {
            continue;
        };
        show(&plan);
        let output = folder().join("out.tar");
        let target = Output::path(&output).overwrite(true);
        let target = Target::prepare(target, &source).expect("the output can be replaced");
        let options = ApplyOptions::default();
        // Blobs that are not what their names say show only here.
        if apply(&plan, &source, target, &options, &Hidden).is_err() {
            continue;
        }
        // Configs are not rewritten, so what only a lenient run accepts may be in the output, too.
        let Some((again, _)) = opened(&output, strictness) else {
            panic!("the output of a fix is not accepted");
        };
        assert!(
            again.summary.changes.is_empty(),
            "the output of a fix would be changed again: {:?}",
            again.summary.changes
        );
        assert_eq!(
            shape(&plan),
            shape(&again),
            "fixing the output would give another"
        );
    }
}

fn opened(path: &Path, strictness: Strictness) -> Option<(Plan, Source)> {
    let source = Source::open(path).expect("the file is there");
    let plan = planned(&source, strictness, Form::default()).ok()?;
    Some((plan, source))
}

fn shape(plan: &Plan) -> Vec<(&str, u64)> {
    let entries = plan.entries.iter();
    entries
        .map(|entry| (entry.name.as_str(), entry.len))
        .collect()
}

fn show(plan: &Plan) {
    let report = Report::written("in", "out", &plan.summary, Blobs::default());
    let mut shown = Vec::new();
    text::render(&report, &mut shown).expect("memory takes everything");
    let mut shown = String::from_utf8(shown).expect("a report is text");
    for style in ["1", "2", "33", "0"] {
        shown = shown.replace(&format!("\u{1b}[{style}m"), "");
    }
    let is_clean = |c: char| c == '\n' || !c.is_control();
    assert!(
        shown.chars().all(is_clean),
        "a control character would reach the terminal"
    );
    json::render(&report, &mut Vec::new()).expect("memory takes everything");
}

fn memory_file(bytes: &[u8]) -> (File, PathBuf) {
    let file = memfd_create("archive", MemfdFlags::CLOEXEC).expect("memory for a file");
    let mut file = File::from(file);
    file.write_all(bytes).expect("memory takes everything");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    (file, path.into())
}
