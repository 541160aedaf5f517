//! Pushes that are stopped by a signal: no tag is set, and nothing that was only stopped is called failed.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::failed::{counts, states};
use super::image;
use crate::common::builder::{Image, Layer, Layout, OCI_GZIP};
use crate::common::registry::{Answer, Registry};
use crate::common::runner::{Sandbox, is_ignored, wait_for};
use crate::common::schema::{parse_push, parse_pushes};

/// A registry that never replies.
#[test]
fn a_signal_stops_a_push_that_waits_for_a_registry() {
    if is_ignored(Signal::INT) {
        return;
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sandbox = Sandbox::new();
    sandbox.put(
        "app.tar",
        Layout::of(&image("app"), "example.com/app:v1").tar(),
    );
    let target = format!("{}/app:v1", silent.local_addr().unwrap());
    let mut command = sandbox.command();
    command.args(["push", "app.tar", &target, "--format", "json"]);
    let (mut child, ended) = interrupted(&mut command, &|| silent.accept().map(drop).is_ok());
    assert_eq!(ended, Some(130));
    let text = stdout(&mut child);
    assert_eq!(parse_push(&text)["error"]["code"], "interrupted", "{text}");
}

/// Starts a command, waits, and sends it SIGINT. Returns it with its exit code.
fn interrupted(command: &mut Command, wait: &dyn Fn() -> bool) -> (Child, Option<i32>) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(wait());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let code = wait_for(&mut child, command);
    (child, code)
}

fn stdout(child: &mut Child) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut text).unwrap();
    text
}

/// The registry asks for a wait, of a blob or of the manifest, and the run is stopped in it.
#[test]
fn what_was_stopped_is_not_called_failed() {
    if is_ignored(Signal::INT) {
        return;
    }
    let sent = ["sent"; 3];
    for (puts, part, expected, first) in [
        (
            2,
            "/blobs/",
            ["sent", "pending", "pending", "pending"],
            "not completed, 1 of 4 blobs is in the registry: 1 ",
        ),
        (
            1,
            "/manifests/",
            [sent[0], sent[1], sent[2], "pending"],
            "not completed, 3 of 4 blobs are in the registry: 3 ",
        ),
    ] {
        let is_stuck = move |stored: &crate::common::registry::Stored| {
            let requests = stored.requests.iter();
            let own = requests.filter(|one| one.method == "PUT" && one.path.contains(part));
            own.count() == puts
        };
        let registry = Registry::strict_with(move |request, stored| {
            let is_put = request.method == "PUT" && request.path.contains(part);
            let wait = Answer::new(429).with("Retry-After", "250");
            (is_put && is_stuck(stored)).then_some(wait)
        });
        let sandbox = Sandbox::new();
        let archive = Layout::of(&image("app"), "example.com/app:v1").tar();
        sandbox.put("app.tar", archive);
        let push = |repository: &str, format: &[&str]| {
            let target = format!("{}/{repository}:v1", registry.host());
            let mut command = sandbox.command();
            command.args(["push", "app.tar", &target, "--jobs", "1"]);
            registry.stored().requests.clear();
            let is_begun = || wait_until(&|| is_stuck(&registry.stored()));
            let (mut child, code) = interrupted(command.args(format), &is_begun);
            assert_eq!(code, Some(130), "{part}");
            stdout(&mut child)
        };
        let report = parse_push(&push("app", &["--format", "json"]));
        assert_eq!(states(&report), expected);
        assert_eq!(counts(&report)[3], 0);
        assert_eq!(report["error"]["code"], "interrupted");
        let text = push("text", &[]);
        assert!(text.contains(first), "{text}");
        assert!(
            text.contains("not sent (") && !text.contains("failed"),
            "{text}"
        );
        assert!(registry.tags("app").is_empty() && registry.tags("text").is_empty());
        assert!(
            registry.stored().uploads.is_empty(),
            "an upload is left open"
        );
    }
}

/// Whether something happens within some time.
fn wait_until(happens: &dyn Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !happens() {
        if Instant::now() > deadline {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// Many layers, the run is stopped between two of them, and the registry has no tag.
#[test]
fn a_push_that_is_stopped_sets_no_tag() {
    if is_ignored(Signal::INT) {
        return;
    }
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let layers = (0..60).map(|number| Layer::gzip(OCI_GZIP, &number.to_string()));
    let image = Image::oci(layers.collect());
    sandbox.put("app.tar", Layout::of(&image, "example.com/app:v1").tar());
    let target = format!("{}/app:v1", registry.host());
    let mut command = sandbox.command();
    command.args(["push", "app.tar", &target, "--jobs", "1"]);
    let is_begun = || wait_until(&|| registry.stored().blobs.len() >= 3);
    let (_, code) = interrupted(&mut command, &is_begun);
    assert_eq!(code, Some(130));
    assert!(registry.tags("app").is_empty());
    let report = super::push(&sandbox, &["app.tar", &target]);
    assert_eq!(report["status"], json!("pushed"));
    registry.check_complete();
}

/// A tree is stopped after some of its archives. The next run sends what is missing, and nothing else.
#[test]
fn a_tree_that_is_stopped_is_finished_by_the_next_run() {
    if is_ignored(Signal::INT) {
        return;
    }
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    std::fs::create_dir(sandbox.path("in")).unwrap();
    for number in 0..20 {
        let (text, name) = (number.to_string(), format!("example.com/app:v{number}"));
        let archive = Layout::of(&image(&text), &name).tar();
        sandbox.put(&format!("in/{number}.tar"), archive);
    }
    let target = format!("{}/app", registry.host());
    let line = ["push", "in", &target, "--jobs", "1", "--format", "json"];
    let mut command = sandbox.command();
    let is_begun = || wait_until(&|| registry.tags("app").len() >= 3);
    let (_, code) = interrupted(command.args(line), &is_begun);
    assert_eq!(code, Some(130));
    let before = registry.changes();
    let (items, summary) = parse_pushes(&sandbox.ocify(&line).exits(0).stdout);
    assert_eq!((items.len(), &summary["items"]["pushed"]), (20, &json!(20)));
    assert_eq!(registry.tags("app").len(), 20);
    registry.check_complete();
    let after = registry.changes();
    let again: Vec<&String> = after.iter().filter(|line| before.contains(line)).collect();
    assert_eq!(again, [""; 0]);
    // Two blobs and a manifest under its digest and its tag of each, and the layer that all share.
    assert_eq!(before.len() + after.len(), 20 * 4 + 1);
}
