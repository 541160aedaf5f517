//! The library's operations as a program calls them: what the command does, without the command.

use std::io::{Cursor, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ocify::{
    Code, Compression, Error, Fix, Form, Input, NewLayers, Notice, Observer, Output, PlanOptions,
    Progress, Result, Source, SpoolReason, Stage, Strictness, Verify,
};

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_ZSTD, gzip, layer_tar};
use crate::common::placed::docker_layout;
use crate::common::runner::Sandbox;
use crate::common::saved;

/// Notes everything that an operation says.
#[derive(Debug, Default)]
struct Noted {
    stages: Mutex<Vec<Stage>>,
    notices: Mutex<Vec<String>>,
    bytes: AtomicU64,
    refuses: bool,
    stops: bool,
}

impl Observer for Noted {
    fn stage(&self, stage: Stage) -> Box<dyn Progress + '_> {
        self.stages.lock().unwrap().push(stage);
        Box::new(Counted(self))
    }

    fn notice(&self, notice: &Notice<'_>) {
        self.notices.lock().unwrap().push(match notice {
            Notice::Spooled { name, reason, .. } => format!("{}: {reason}", name.display()),
            other => format!("{other:?}"),
        });
    }

    fn confirm(&self) -> Result<()> {
        match self.refuses {
            true => Err(Error::new(Code::SourceChanged, "changed")),
            false => Ok(()),
        }
    }
}

struct Counted<'a>(&'a Noted);

impl Progress for Counted<'_> {
    fn start(&self, _total_len: u64) {}

    fn advance(&self, len: u64) {
        self.0.bytes.fetch_add(len, Ordering::Relaxed);
    }

    fn finish(&self) {}

    fn is_stopped(&self) -> bool {
        self.0.stops
    }
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", docker_layout().tar());
    sandbox
}

fn input(sandbox: &Sandbox) -> Input {
    Input::open(sandbox.path("in.tar")).unwrap()
}

#[test]
fn every_output_equals_that_of_the_command() {
    let sandbox = sandbox();
    let at = |name: &str| sandbox.path(name);
    let fix = Fix::new();
    let fixed = fix
        .run(input(&sandbox), Output::archive(at("a.tar")))
        .unwrap();
    assert!(!fixed.plan.summary.changes.is_empty());
    assert_eq!((fixed.verified, fixed.spooled), (Verify::Digests, None));
    sandbox.fix("in.tar", "b.tar").exits(0);
    assert!(sandbox.read("a.tar") == sandbox.read("b.tar"));

    fix.run(input(&sandbox), Output::layout(at("layout")))
        .unwrap();
    let packed = Input::open(at("layout")).unwrap();
    let again = fix.run(packed, Output::archive(at("c.tar"))).unwrap();
    assert_eq!(again.plan.summary.changes, []);
    assert!(sandbox.read("a.tar") == sandbox.read("c.tar"));

    let mut streamed = Vec::new();
    fix.run(input(&sandbox), Output::stream(&mut streamed))
        .unwrap();
    assert!(streamed == sandbox.read("a.tar"));

    sandbox.put("place.tar", sandbox.read("in.tar"));
    let place = Input::path(at("place.tar"));
    let fixed = fix.run(place, Output::in_place()).unwrap();
    assert_eq!(fixed.verified, Verify::Documents);
    let fast = fix.clone().verify(Verify::Documents);
    fast.run(input(&sandbox), Output::archive(at("patched.tar")))
        .unwrap();
    assert!(sandbox.read("place.tar") == sandbox.read("patched.tar"));
}

/// Only decompressing them shows which layers stay what they are. That is done once, even if the output then cannot be
/// a copy with few changes.
#[test]
fn layers_are_examined_once() {
    let inside = gzip(&layer_tar("a"));
    let kept = Layer::new(OCI_GZIP, gzip(&inside), &inside);
    let layers = vec![kept, Layer::zstd(OCI_ZSTD, "b")];
    let layout = Layout::of(&Image::oci(layers), "docker.io/library/app:v1");
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let fix = Fix::new().compression(Compression::Gzip);
    let mut outputs = Vec::new();
    for (name, verify) in [("a.tar", Verify::Digests), ("b.tar", Verify::Documents)] {
        let noted = Noted::default();
        let output = Output::archive(sandbox.path(name));
        let fix = fix.clone().verify(verify);
        fix.run_observed(input(&sandbox), output, &noted).unwrap();
        let stages = noted.stages.into_inner().unwrap();
        let examined = stages.iter().filter(|stage| **stage == Stage::Verifying);
        assert_eq!(examined.count(), 1, "{stages:?}");
        outputs.push(sandbox.read(name));
    }
    assert!(outputs[0] == outputs[1]);
}

#[test]
fn the_output_selects_the_compression_of_the_file_and_the_report() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar.gz", gzip(&docker_layout().tar()));
    for (name, asked, is_gzip) in [
        ("a.tar.gz", None, true),
        ("b.tar", None, false),
        ("c.tar", Some(Compression::Gzip), true),
        ("d.tar.gz", Some(Compression::Uncompressed), false),
    ] {
        let output = || {
            let output = Output::archive(sandbox.path(name));
            match asked {
                Some(compression) => output.compression(compression),
                None => output,
            }
        };
        let input = || Input::open(sandbox.path("in.tar.gz")).unwrap();
        let preview = Fix::new().plan_only(input(), output().form()).unwrap();
        let fixed = Fix::new().run(input(), output()).unwrap();
        assert_eq!(
            preview.summary.changes, fixed.plan.summary.changes,
            "{name}"
        );
        let changes = fixed.plan.summary.changes.iter();
        let reported = changes.filter(|change| change.rule.name() == "outer-compression");
        assert_eq!(reported.count(), usize::from(!is_gzip), "{name}");
        assert_eq!(
            sandbox.read(name).starts_with(b"\x1f\x8b"),
            is_gzip,
            "{name}"
        );
    }
}

#[test]
fn an_observer_is_notified_of_stages_and_can_stop_them() {
    let sandbox = sandbox();
    let output = || Output::archive(sandbox.path("out.tar"));
    let noted = Noted::default();
    let fix = Fix::new().compression(Compression::Gzip);
    fix.run_observed(input(&sandbox), output().overwrite(true), &noted)
        .unwrap();
    let stages = noted.stages.into_inner().unwrap();
    assert_eq!(stages.last(), Some(&Stage::Writing));
    assert!(noted.bytes.into_inner() > 0);
    std::fs::remove_file(sandbox.path("out.tar")).unwrap();

    let refuses = Noted {
        refuses: true,
        ..Noted::default()
    };
    let stops = Noted {
        stops: true,
        ..Noted::default()
    };
    for (observer, code) in [(refuses, Code::SourceChanged), (stops, Code::Interrupted)] {
        let result = Fix::new().run_observed(input(&sandbox), output(), &observer);
        assert_eq!(result.unwrap_err().code(), code);
        assert_eq!(sandbox.names(), ["in.tar"]);
    }
}

#[test]
fn a_stream_is_passed_through_or_the_reason_is_reported() {
    let streamed = |bytes: Vec<u8>, fix: &Fix| {
        let (mut out, noted) = (Vec::new(), Noted::default());
        let input = Input::stream(Cursor::new(bytes));
        let fixed = fix.run_observed(input, Output::stream(&mut out), &noted);
        (fixed.unwrap(), noted, out)
    };
    let archive = docker_layout().tar();
    let (fixed, noted, out) = streamed(archive.clone(), &Fix::new());
    assert_eq!(fixed.spooled, None);
    assert_eq!(*noted.stages.lock().unwrap(), [Stage::Streaming]);
    assert!(!out.is_empty());

    let mut saved = saved::Saved::new();
    saved.docker(&saved::image(&["a"]), serde_json::json!(["app:v1"]));
    let wanted = Fix::new().drop_attestations(true);
    for (bytes, fix, shown) in [
        (archive, &wanted, "attestations may have to be removed"),
        (saved.tar(), &Fix::new(), "before the first blob"),
    ] {
        let (fixed, noted, _) = streamed(bytes, fix);
        let reason = fixed.spooled.unwrap();
        assert!(reason.to_string().contains(shown), "{reason}");
        assert_eq!(
            *noted.stages.lock().unwrap(),
            [Stage::Reading, Stage::Writing]
        );
        let notices = noted.notices.into_inner().unwrap();
        assert_eq!(notices, [format!("the input: {reason}")]);
    }
    let file = Fix::new().plan_only(
        Input::stream(Cursor::new(docker_layout().tar())),
        Form::default(),
    );
    assert_eq!(file.unwrap().spooled, Some(SpoolReason::SortedOutput));
}

#[test]
fn a_stream_cannot_be_fixed_in_place() {
    let input = Input::stream(std::io::empty().take(0));
    let error = Fix::new().run(input, Output::in_place()).unwrap_err();
    assert_eq!(error.code(), Code::InPlaceRefused);
}

#[test]
fn a_dry_run_reports_what_a_run_does_and_writes_nothing() {
    let sandbox = sandbox();
    for form in [Form::default(), Form::Layout, Form::Stream, Form::Patch] {
        let preview = Fix::new().plan_only(input(&sandbox), form).unwrap();
        assert!(!preview.summary.changes.is_empty(), "{form:?}");
        assert_eq!(sandbox.names(), ["in.tar"]);
    }
    let before = sandbox.read("in.tar");
    assert!(before == docker_layout().tar());
}

#[test]
fn a_draft_is_incomplete_without_its_recompressed_layers() {
    let sandbox = sandbox();
    let source = Source::open(sandbox.path("in.tar")).unwrap();
    let inventory = ocify::scan(&source, Strictness::Strict).unwrap();
    let graph = ocify::resolve(inventory, &source, Strictness::Strict).unwrap();
    let options = PlanOptions::default();
    let draft = ocify::plan(&graph, &options, Form::default(), None).unwrap();
    assert!(draft.transcodes().is_empty());
    let plan = draft.complete(&NewLayers::default()).unwrap();
    assert_eq!(plan.form(), Form::default());

    let options = PlanOptions::default().with_compression(Compression::Zstd);
    let draft = ocify::plan(&graph, &options, Form::default(), None).unwrap();
    assert!(!draft.transcodes().is_empty());
    let error = draft.complete(&NewLayers::default()).unwrap_err();
    assert_eq!(error.code(), Code::MissingBlob);
}
