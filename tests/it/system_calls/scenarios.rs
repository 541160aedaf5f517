//! Runs with every kind of output.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::common::batch::put_fixture;
use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout, named};
use crate::common::injected::{Fault, Injection, injected};
use crate::common::runner::Sandbox;
use crate::common::{fixture, tree};

/// A run, and what is there before it.
#[derive(Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) set_up: fn(&Sandbox),
    pub(super) line: &'static [&'static str],
    /// What is added to the line of the next run if the output is there: the output of a single input is not replaced otherwise.
    pub(super) again: &'static [&'static str],
    pub(super) code: i32,
    /// The fixture on its standard input.
    pub(super) input: Option<&'static str>,
    /// An output directory that is there with everything in it or not at all.
    pub(super) whole: Option<&'static str>,
    /// A layout that is fixed where it is.
    pub(super) layout: Option<&'static str>,
    /// The fixture that `in.tar` may become, besides what it was and will be.
    pub(super) restored: Option<&'static str>,
}

const OCI: &str = "buildkit-oci-gzip-ocifalse.tar";
const DOCKER: &str = "buildkit-docker-zstd-ocifalse.tar";
const SAVED: &str = "docker20-save.tar";

fn one(sandbox: &Sandbox) {
    put_fixture(sandbox, "in.tar", DOCKER);
}

fn saved(sandbox: &Sandbox) {
    put_fixture(sandbox, "in.tar", SAVED);
}

fn old(sandbox: &Sandbox) {
    one(sandbox);
    put_fixture(sandbox, "out.tar", OCI);
}

fn old_reports(sandbox: &Sandbox) {
    one(sandbox);
    sandbox.put("report", "{\"old\": 1}\n");
    sandbox.put("metadata", "{\"old\": 2}\n");
}

fn compressed(sandbox: &Sandbox) {
    let bytes = fs::read(fixture(SAVED)).unwrap();
    sandbox.put("in.tar.zst", zstd::encode_all(&bytes[..], 1).unwrap());
}

fn layout(sandbox: &Sandbox) {
    put_fixture(sandbox, "in", "podman-ocidir");
}

fn old_layout(sandbox: &Sandbox) {
    one(sandbox);
    put_fixture(sandbox, "out", "podman-ocidir");
}

/// A layout that has not changed for days, with a `manifest.json`.
fn old_images(sandbox: &Sandbox) {
    let mut layout = Layout::new();
    let image = Image::docker(vec![Layer::gzip(DOCKER_GZIP, "one")]);
    let manifest = layout.manifest(&image);
    let image = layout.image(&image);
    layout.root(vec![named(image, "docker.io/library/app:v1")]);
    layout.docker(&manifest, &["app:v1"]);
    layout.write_to(&sandbox.path("in"));
    for (path, _) in tree(sandbox.root()) {
        let file = File::open(sandbox.root().join(path)).unwrap();
        let days = Duration::from_secs(48 * 3600);
        file.set_modified(SystemTime::now() - days).unwrap();
    }
}

fn several(sandbox: &Sandbox) {
    put_fixture(sandbox, "in/a.tar", DOCKER);
    put_fixture(sandbox, "in/deep/b.tar", OCI);
    put_fixture(sandbox, "in/deep/c", "podman-ocidir");
    sandbox.put("in/notes.txt", "notes");
}

fn archives(sandbox: &Sandbox) {
    put_fixture(sandbox, "in/a.tar", DOCKER);
    put_fixture(sandbox, "in/deep/b.tar", OCI);
}

/// An output of an earlier run, a file that is not an output, and no output.
fn begun(sandbox: &Sandbox) {
    put_fixture(sandbox, "in/a.tar", DOCKER);
    sandbox.ocify(&["fix", "in", "-o", "out"]).exits(0);
    put_fixture(sandbox, "in/b.tar", SAVED);
    put_fixture(sandbox, "in/c.tar", OCI);
    sandbox.put("out/other.txt", "other");
}

/// An archive whose fix in place was interrupted.
fn torn(sandbox: &Sandbox) {
    one(sandbox);
    let kill = Injection {
        call: "pwrite64".to_owned(),
        number: 2,
        fault: Fault::Kill,
    };
    let killed = injected(sandbox, &["fix", "--in-place", "in.tar"], None, &kill).unwrap();
    assert_eq!(killed.code, 137, "{killed:?}");
    assert_eq!(sandbox.names(), [".in.tar.ocify-journal", "in.tar"]);
    assert!(sandbox.read("in.tar") != fs::read(fixture(DOCKER)).unwrap());
}

fn two(sandbox: &Sandbox) {
    one(sandbox);
    put_fixture(sandbox, "other.tar", SAVED);
}

const PLAIN: Scenario = Scenario {
    name: "",
    set_up: one,
    line: &[],
    again: &["--force"],
    code: 0,
    input: None,
    whole: None,
    layout: None,
    restored: None,
};

/// All of them.
pub(super) const SCENARIOS: [Scenario; 23] = [
    Scenario {
        name: "new archive",
        line: &["fix", "in.tar", "-o", "out.tar"],
        ..PLAIN
    },
    Scenario {
        name: "synced archive in place of another",
        set_up: old,
        line: &["fix", "in.tar", "-o", "out.tar", "--force", "--sync"],
        again: &[],
        ..PLAIN
    },
    Scenario {
        name: "copied archive",
        line: &[
            "fix",
            "in.tar",
            "-o",
            "out.tar",
            "--verify",
            "documents",
            "--jobs",
            "2",
        ],
        ..PLAIN
    },
    Scenario {
        name: "recompressed archive",
        set_up: saved,
        line: &[
            "fix",
            "in.tar",
            "-o",
            "out.tar",
            "--compression",
            "gzip",
            "--jobs",
            "2",
        ],
        ..PLAIN
    },
    Scenario {
        name: "compressed archives",
        set_up: compressed,
        line: &["fix", "in.tar.zst", "-o", "out.tar.gz"],
        ..PLAIN
    },
    Scenario {
        name: "new layout",
        line: &["fix", "in.tar", "--layout", "-o", "out", "--sync"],
        whole: Some("out/"),
        ..PLAIN
    },
    Scenario {
        name: "layout of hard links",
        set_up: layout,
        line: &["fix", "in", "-o", "out", "--link", "hard"],
        whole: Some("out/"),
        ..PLAIN
    },
    Scenario {
        name: "layout in place of another",
        set_up: old_layout,
        line: &["fix", "in.tar", "--layout", "-o", "out", "--force"],
        again: &[],
        whole: Some("out/"),
        ..PLAIN
    },
    Scenario {
        name: "archive of a layout",
        set_up: layout,
        line: &["fix", "in", "-o", "out.tar"],
        ..PLAIN
    },
    Scenario {
        name: "stream",
        set_up: |_| {},
        line: &["fix", "-"],
        again: &[],
        input: Some(OCI),
        ..PLAIN
    },
    Scenario {
        name: "stream that is kept in a file first",
        set_up: |_| {},
        line: &["fix", "-"],
        again: &[],
        input: Some(SAVED),
        ..PLAIN
    },
    Scenario {
        name: "archive of a stream",
        set_up: |_| {},
        line: &["fix", "-", "-o", "out.tar"],
        input: Some(DOCKER),
        ..PLAIN
    },
    Scenario {
        name: "dry run",
        line: &["fix", "--dry-run", "in.tar"],
        again: &[],
        code: 3,
        ..PLAIN
    },
    Scenario {
        name: "in place",
        line: &["fix", "--in-place", "in.tar"],
        again: &[],
        ..PLAIN
    },
    Scenario {
        name: "fix of a layout in place",
        set_up: old_images,
        line: &["fix", "--in-place", "in", "--name", "app:v2"],
        again: &[],
        layout: Some("in"),
        ..PLAIN
    },
    Scenario {
        name: "recovery",
        set_up: torn,
        line: &["fix", "--recover", "in.tar"],
        again: &[],
        ..PLAIN
    },
    Scenario {
        name: "recovery and fix in place",
        set_up: torn,
        line: &["fix", "--in-place", "in.tar"],
        again: &[],
        restored: Some(DOCKER),
        ..PLAIN
    },
    Scenario {
        name: "reports",
        set_up: old_reports,
        line: &[
            "fix",
            "in.tar",
            "-o",
            "out.tar",
            "--report",
            "report",
            "--metadata-file",
            "metadata",
            "--digest-map",
            "digests",
        ],
        ..PLAIN
    },
    Scenario {
        name: "batch",
        set_up: several,
        line: &["fix", "in", "-o", "out", "--copy-others", "--jobs", "1"],
        again: &[],
        ..PLAIN
    },
    Scenario {
        name: "batch that continues",
        set_up: begun,
        line: &[
            "fix", "in", "-o", "out", "--verify", "digests", "--jobs", "2", "--sync",
        ],
        again: &[],
        ..PLAIN
    },
    Scenario {
        name: "batch in place",
        set_up: archives,
        line: &["fix", "in", "--in-place", "--jobs", "1"],
        again: &[],
        ..PLAIN
    },
    Scenario {
        name: "batch with reports",
        set_up: archives,
        line: &[
            "fix",
            "in",
            "-o",
            "out",
            "--report",
            "report",
            "--digest-map",
            "digests",
            "--jobs",
            "1",
        ],
        again: &[],
        ..PLAIN
    },
    Scenario {
        name: "merge",
        set_up: two,
        line: &[
            "merge",
            "in.tar",
            "other.tar",
            "-o",
            "out.tar",
            "--on-conflict",
            "rename",
        ],
        ..PLAIN
    },
];
