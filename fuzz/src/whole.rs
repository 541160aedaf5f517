//! A run of all stages on bytes in memory, and what must hold afterwards.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use ocify::{
    Blobs, Fix, Fixed, Form, Input, Output, Report, Result, Strictness, Summary, command::json,
    command::text,
};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::{fix_of, folder};

/// Fixes as strictly, and as leniently, as the command does.
///
/// # Panics
/// A stage panics; an output is not accepted, or would be changed again.
pub fn fix(archive: &[u8]) {
    let (_file, path) = memory_file(archive);
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        let fix = fix_of(strictness);
        let input = Input::open(&path).expect("the file is there");
        let Ok(preview) = fix.plan_only(input, Form::default()) else {
            continue;
        };
        show(&preview.summary);
        // Blobs that are not what their names say show only here.
        let Ok(first) = written(&fix, &path, "out.tar") else {
            continue;
        };
        assert_eq!(preview.summary.changes, first.plan.summary.changes);
        // Configs are not rewritten, so what only a lenient run accepts may be in the output, too.
        let output = folder().join("out.tar");
        let again = written(&fix, &output, "again.tar").expect("the output of a fix is accepted");
        assert!(
            again.plan.summary.changes.is_empty(),
            "the output of a fix would be changed again: {:?}",
            again.plan.summary.changes
        );
        assert!(
            read(&output) == read(&folder().join("again.tar")),
            "fixing the output would give another"
        );
    }
}

fn written(fix: &Fix, input: &Path, name: &str) -> Result<Fixed> {
    let output = Output::archive(folder().join(name)).overwrite(true);
    fix.run(Input::open(input)?, output)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("it was written")
}

fn show(summary: &Summary) {
    let report = Report::written("in", "out", summary, Blobs::default());
    let mut shown = Vec::new();
    text::render(&report, text::Detail::Full, &mut shown).expect("memory takes everything");
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
