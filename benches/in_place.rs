//! Compares `ocify fix --in-place` and reflinked copies with `cp`, and counts the bytes written.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/30/GB cargo bench --bench in_place
//! ```
//!
//! `-- small`, `-- large` and `-- dense` select archives with one layer: 1 or 10 GiB of holes, or 2 GiB of files from this machine's /usr.
//! On a filesystem that supports reflinks, ocify clones the archive for a new output; elsewhere the kernel copies it.
//!
//! `OCIFY_BENCH_BASELINE=/path/to/other/ocify` compares with another build; `common` describes it and the other variables.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

mod common;

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use common::contender::Contender;
use common::images::{Files, Shape, make, make_sparse};
use common::race::Race;
use common::{Bench, MIB, OCIFY, Result};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

const MAX_MIB: u64 = 64;
/// The most bytes that an in-place fix may write, including the journal and the report.
const MAX_WRITTEN: u64 = 100_000;

const DENSE: Shape = Shape {
    images: 1,
    layers: 1,
    len: 2048 * MIB,
    suffixes: &[""],
    loose: 0,
};

fn main() -> Result<()> {
    let Some(mut bench) = Bench::start()? else {
        return Ok(());
    };
    let input = bench.path("in.tar");
    for (name, gib) in [("small", 1), ("large", 10)] {
        if bench.wants(name) {
            make_sparse(gib, &input)?;
            println!("\n## one layer of {gib} GiB of holes");
            compare(&mut bench, &input)?;
        }
    }
    if bench.wants("dense") {
        let mut files = Files::new(Path::new("/usr"));
        make(&DENSE, &mut files, bench.folder(), &input)?;
        println!(
            "\n## one layer of {} MiB",
            fs::metadata(&input)?.len() / MIB
        );
        compare(&mut bench, &input)?;
    }
    bench.finish(MAX_MIB)
}

fn compare(bench: &mut Bench, input: &Path) -> Result<()> {
    let text = |path: &Path| path.display().to_string();
    let (out, work) = (bench.path("out.tar"), bench.path("work.tar"));
    let (input_text, out_text, work_text) = (text(input), text(&out), text(&work));
    let line = [
        "cp",
        "--reflink=never",
        "--sparse=never",
        &input_text,
        &out_text,
    ];
    let mut race =
        Race::new(Contender::new("`cp --reflink=never --sparse=never`", &line).makes(&out));
    let (from, to) = (input_text.clone(), work_text.clone());
    let fresh = move || copy(&from, &to);
    let line = [OCIFY, "fix", "--in-place", &work_text];
    race.add(
        Contender::new("`ocify fix --in-place`", &line)
            .after(fresh)
            .makes(&work),
    );
    let (from, to) = (input_text.clone(), work_text.clone());
    let fixed = move || {
        copy(&from, &to)?;
        run(&[OCIFY, "fix", "--in-place", &to])
    };
    let name = "`ocify fix --in-place` of the fixed archive";
    race.add(Contender::new(name, &line).after(fixed).makes(&work));
    let line = [
        OCIFY,
        "fix",
        &input_text,
        "-o",
        &out_text,
        "--verify",
        "documents",
    ];
    race.add(Contender::new("`ocify fix --verify documents`", &line).makes(&out));
    race.run(bench)?;

    copy(&input_text, &work_text)?;
    let written = written(&[OCIFY, "fix", "--in-place", &work_text])?;
    common::remove(&work)?;
    println!("\n{written} bytes written in place, with journal and report");
    if written > MAX_WRITTEN {
        return Err(io::Error::other(format!(
            "{written} bytes were written; at most {MAX_WRITTEN} are allowed"
        )));
    }
    Ok(())
}

/// Copies a file with its holes, and syncs it so that the measured command does not have to.
fn copy(from: &str, to: &str) -> Result<()> {
    run(&["cp", "--sparse=always", from, to])?;
    run(&["sync"])
}

fn run(line: &[&str]) -> Result<()> {
    let status = Command::new(line[0])
        .args(&line[1..])
        .stdout(Stdio::null())
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{}: {status}", line.join(" ")))),
    }
}

/// The number of bytes that a command passes to `write` calls.
fn written(line: &[&str]) -> Result<u64> {
    let mut child = Command::new(line[0])
        .args(&line[1..])
        .stdout(Stdio::null())
        .spawn()?;
    // Wait without reaping the process, so that its counters remain readable.
    let pid = Pid::from_child(&child);
    waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )?;
    let counters = fs::read_to_string(format!("/proc/{}/io", child.id()))?;
    child.wait()?;
    let value = counters
        .lines()
        .find_map(|line| line.strip_prefix("wchar: "));
    value
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| io::Error::other("no counter of written bytes"))
}
