//! A panic in what the library calls, on whatever thread, ends the work: the caller gets it as it was, nothing waits
//! for the thread that is gone, and nothing is left behind.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use ocify::{Compression, Fix, GzipMembers, Input, Observer, Output, Progress, Stage, Verify};

use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout};
use crate::common::random::Random;
use crate::common::runner::Sandbox;

/// Panics when progress is reported for this time.
#[derive(Debug)]
struct Panics {
    left: AtomicUsize,
}

impl Observer for Panics {
    fn stage(&self, _stage: Stage) -> Box<dyn Progress + '_> {
        Box::new(Shown(self))
    }
}

#[derive(Debug)]
struct Shown<'a>(&'a Panics);

impl Progress for Shown<'_> {
    fn start(&self, _total_len: u64) {}

    fn advance(&self, _len: u64) {
        let left = self.0.left.fetch_sub(1, Ordering::Relaxed);
        assert!(left != 0, "the observer failed");
    }

    fn finish(&self) {}

    fn is_stopped(&self) -> bool {
        false
    }
}

fn archive() -> Vec<u8> {
    use std::io::Write;
    let mut random = Random(9);
    let layers = (0..3).map(|_| {
        let plain: Vec<u8> = (0..900_000).map(|_| random.byte() & 0x3f).collect();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        Layer::new(DOCKER_GZIP, encoder.finish().unwrap(), &plain)
    });
    Layout::of(&Image::docker(layers.collect()), "docker.io/library/app:v1").tar()
}

/// Runs a fix whose observer panics at that report; whether it did. Fails if the run hangs.
fn run(archive: &[u8], fix: Fix, output: &'static str, at: usize) -> bool {
    let (sender, receiver) = channel();
    let archive = archive.to_vec();
    thread::spawn(move || {
        let sandbox = Sandbox::new();
        let path = sandbox.put("in.tar", &archive);
        let observer = Panics {
            left: AtomicUsize::new(at),
        };
        let to = match output {
            "in place" => Output::in_place(),
            "layout" => Output::layout(sandbox.path("out")),
            _ => Output::archive(sandbox.path("out.tar")),
        };
        let fix = fix.spool_directory(sandbox.root());
        let ended = catch_unwind(AssertUnwindSafe(|| {
            fix.run_observed(Input::path(&path), to, &observer)
                .map(drop)
        }));
        let has_panicked = match ended {
            Ok(result) => {
                result.unwrap();
                false
            }
            Err(panic) => {
                let message = panic.downcast_ref::<&str>().copied();
                assert_eq!(message, Some("the observer failed"), "{output}, {at}");
                assert_eq!(sandbox.names(), ["in.tar"], "{output}, {at}");
                assert!(sandbox.read("in.tar") == archive, "{output}, {at}");
                // Nothing holds its lock.
                let again = Output::archive(sandbox.path("again.tar"));
                Fix::new().run(Input::path(&path), again).unwrap();
                true
            }
        };
        sender.send(has_panicked).unwrap();
    });
    let ended = receiver.recv_timeout(Duration::from_secs(60));
    ended.unwrap_or_else(|_| panic!("{output}, {at}: it failed or hangs"))
}

#[test]
fn a_panic_on_any_thread_ends_the_work() {
    let archive = archive();
    type Options = fn(Fix) -> Fix;
    let options: [(&str, Options); 6] = [
        ("archive", |fix| fix),
        ("archive", |fix| fix.verify(Verify::Full)),
        ("layout", |fix| fix),
        ("in place", |fix| fix.verify(Verify::Full)),
        ("archive", |fix| {
            fix.compression(Compression::Gzip)
                .gzip_members(GzipMembers::Single)
        }),
        ("archive", |fix| fix.compression(Compression::Zstd)),
    ];
    for (output, options) in options {
        for jobs in [1, 4] {
            let jobs = NonZeroUsize::new(jobs).unwrap();
            let mut panics = 0;
            for at in [0, 1, 3, 6, 10, 1_000_000] {
                panics += usize::from(run(&archive, options(Fix::new().jobs(jobs)), output, at));
            }
            assert!(panics >= 2, "{output} with {jobs} threads: {panics}");
        }
    }
}
