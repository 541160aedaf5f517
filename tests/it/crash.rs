//! SIGKILL at any moment of an in-place fix, and of its recovery: the next command restores the file.
//!
//! The loss of unsynced writes is tested at the level of system calls, in `src/journal/steps/tests.rs`.
//!
//! `OCIFY_KILLS=COUNT` kills more runs.
#![expect(clippy::print_stdout, reason = "figures are part of the result")]

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::builder::{DOCKER_GZIP, DOCKER_MANIFEST, Image, Layer, Layout, named};
use crate::common::checker::check_kept;
use crate::common::placed::fix;
use crate::common::random::Random;
use crate::common::runner::{Sandbox, run};

/// How many runs must be killed by default, and of how many one must be killed while the file is neither old nor
/// new.
const KILLED: usize = 120;
const TORN_OF: usize = 10;
/// If this many times as many runs are not enough, the test fails, because it does not test what it should.
const MOST: usize = 12;
const THREADS: usize = 2;

/// An archive of many manifests, so that rewriting it takes a while.
fn archive() -> Vec<u8> {
    let mut layout = Layout::new();
    let image = Image::docker(vec![Layer::gzip(DOCKER_GZIP, "shared")]);
    let mut root = Vec::new();
    for number in 0..80 {
        // Each with a config of its own.
        let image = image.clone().architecture(&format!("arch{number}"));
        let mut manifest = layout.manifest(&image);
        manifest["annotations"] = json!({"number": number.to_string(), "x": "x".repeat(9000)});
        let descriptor = layout.document(DOCKER_MANIFEST, &manifest);
        root.push(named(descriptor, &format!("example.com/app:{number}")));
    }
    layout.root(root);
    layout.tar()
}

/// When a run is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after its start.
    Start,
    /// So long after the journal appeared.
    Journal,
    /// So long after the file began to change.
    Change,
}

struct Campaign {
    old: Vec<u8>,
    new: Vec<u8>,
    /// How long a complete run takes.
    time: Duration,
    /// How many runs must be killed.
    wanted: usize,
    runs: AtomicUsize,
    killed: AtomicUsize,
    torn: AtomicUsize,
    /// How many recoveries were killed.
    recoveries: AtomicUsize,
}

const JOURNAL: &str = ".in.tar.ocify-journal";

impl Campaign {
    fn is_open(&self) -> bool {
        let is_short = self.killed.load(Ordering::Relaxed) < self.wanted
            || self.torn.load(Ordering::Relaxed) < self.wanted / TORN_OF;
        is_short && self.runs.fetch_add(1, Ordering::Relaxed) < MOST * self.wanted
    }

    /// Starts a fix and kills it; whether it was killed before its end.
    fn kill(&self, sandbox: &Sandbox, moment: Moment, random: &mut Random) -> bool {
        let path = sandbox.put("in.tar", &self.old);
        let mut command = sandbox.command();
        command.args(["fix", "--in-place", "in.tar"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let has_begun = |path: &Path| match moment {
            Moment::Start => true,
            Moment::Journal => sandbox.path(JOURNAL).exists(),
            // The tail is written first, and is longer than the old one.
            Moment::Change => fs::metadata(path).unwrap().len() != self.old.len() as u64,
        };
        while !has_begun(&path) && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_micros(20));
        }
        let limit = match moment {
            Moment::Start => self.time,
            Moment::Journal => self.time / 4,
            Moment::Change => Duration::from_millis(4),
        };
        let end = Instant::now() + random.below(limit);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap().signal() == Some(9)
    }

    /// Starts a recovery and kills it.
    fn kill_recovery(&self, sandbox: &Sandbox, random: &mut Random) {
        let mut command = sandbox.command();
        command.args(["fix", "--recover", "in.tar"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        thread::sleep(random.below(self.time / 2));
        child.kill().unwrap();
        if child.wait().unwrap().signal() == Some(9) {
            self.recoveries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The next command restores the file, whatever command it is.
    fn recover(&self, sandbox: &Sandbox, number: usize, random: &mut Random) {
        let had_journal = sandbox.path(JOURNAL).exists();
        let found = sandbox.read("in.tar");
        let is_torn = found != self.old && found != self.new;
        assert!(
            had_journal || !is_torn,
            "run {number}: torn without a journal"
        );
        self.torn.fetch_add(usize::from(is_torn), Ordering::Relaxed);
        for _ in 0..number / 4 % 3 {
            self.kill_recovery(sandbox, random);
        }
        let had_journal = sandbox.path(JOURNAL).exists();
        let found = sandbox.read("in.tar");
        let is_new = !had_journal && found == self.new;
        let dry = if is_new { 0 } else { 3 };
        let (line, code): (&[&str], i32) = match number % 4 {
            0 => (&["fix", "--recover", "in.tar"], 0),
            1 => (
                &["fix", "in.tar", "--dry-run", "--verify", "documents"],
                dry,
            ),
            2 => (&["fix", "in.tar", "-o", "out.tar"], 0),
            _ => (&["fix", "in.tar", "--in-place"], 0),
        };
        let run = run(sandbox.command().args(line)).exits(code);
        let is_said =
            run.stderr.contains("was interrupted") || run.stdout.contains("was interrupted");
        assert_eq!(is_said, had_journal, "{run:?}");
        let expected = if is_new || number % 4 == 3 {
            &self.new
        } else {
            &self.old
        };
        assert!(sandbox.read("in.tar") == *expected, "run {number}: {run:?}");
        assert!(!sandbox.path(JOURNAL).exists());
    }

    fn work(&self, seed: u64) {
        let mut random = Random(seed);
        let mut number = 0;
        while self.is_open() {
            let sandbox = Sandbox::new();
            let moments = [
                Moment::Start,
                Moment::Journal,
                Moment::Change,
                Moment::Change,
            ];
            let moment = moments[number / 4 % moments.len()];
            if self.kill(&sandbox, moment, &mut random) {
                self.killed.fetch_add(1, Ordering::Relaxed);
                self.recover(&sandbox, number, &mut random);
            }
            number += 1;
        }
    }
}

#[test]
fn a_killed_in_place_fix_is_undone_by_the_next_run() {
    let old = archive();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &old);
    let time = fix(&sandbox, "in.tar", &[]).exits(0).time;
    check_kept(&sandbox.path("in.tar"));
    let campaign = Campaign {
        old,
        new: sandbox.read("in.tar"),
        time,
        wanted: env::var("OCIFY_KILLS").map_or(KILLED, |count| count.parse().unwrap()),
        runs: AtomicUsize::new(0),
        killed: AtomicUsize::new(0),
        torn: AtomicUsize::new(0),
        recoveries: AtomicUsize::new(0),
    };
    assert!(campaign.new.len() != campaign.old.len());
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let campaign = &campaign;
            scope.spawn(move || campaign.work(seed as u64 + 1));
        }
    });
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let (runs, killed, torn) = (
        count(&campaign.runs),
        count(&campaign.killed),
        count(&campaign.torn),
    );
    let recoveries = count(&campaign.recoveries);
    println!("{runs} runs, {killed} killed, {torn} of them torn, {recoveries} recoveries killed");
    assert!(
        killed >= campaign.wanted && torn >= campaign.wanted / TORN_OF && recoveries > 0,
        "{runs} runs, {killed} killed, {torn} of them torn, {recoveries} recoveries killed"
    );
}
