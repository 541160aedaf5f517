//! The state file of a batch across versions of its format.

use std::fs;

use serde_json::Value;

use crate::common::batch::{batch, put_fixture};
use crate::common::runner::Sandbox;
use crate::common::sha256;

const STATE: &str = "out/.ocify-state";

/// A finished batch of one archive.
fn finished() -> Sandbox {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/a.tar", "buildkit-docker-zstd-ocifalse.tar");
    let first = batch(&sandbox, &["in", "-o", "out"]);
    first.exits(0);
    assert_eq!(first.count("fixed"), 1);
    let again = batch(&sandbox, &["in", "-o", "out"]);
    again.exits(0);
    assert_eq!(again.count("kept"), 1);
    assert_eq!(again.run.stderr, "");
    sandbox
}

/// The state with each line as format 1 has it: no first line for the format, shorter keys.
fn downgraded(text: &str) -> String {
    let lines = text.lines().skip(1).map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("sum");
        value["options"] = "0123456789abcdef".into();
        let text = value.to_string();
        let rest = &text[1..];
        let sum = &sha256(rest.as_bytes())[..16];
        format!("{{\"sum\":\"{sum}\",{rest}\n")
    });
    lines.collect()
}

#[test]
fn outputs_recorded_by_an_older_version_are_written_again_with_a_note() {
    let sandbox = finished();
    let text = fs::read_to_string(sandbox.path(STATE)).unwrap();
    assert!(text.starts_with("{\"format\":2}\n"), "{text}");
    fs::write(sandbox.path(STATE), downgraded(&text)).unwrap();
    let expected = fs::read(sandbox.path("out/a.tar")).unwrap();
    let upgraded = batch(&sandbox, &["in", "-o", "out"]);
    upgraded.exits(0);
    assert_eq!(upgraded.count("fixed"), 1);
    assert_eq!(
        upgraded.run.stderr,
        "note: out/.ocify-state was written by an older version of ocify; ocify will rewrite the outputs that it lists\n"
    );
    assert!(fs::read(sandbox.path("out/a.tar")).unwrap() == expected);
    let again = batch(&sandbox, &["in", "-o", "out"]);
    again.exits(0);
    assert_eq!((again.count("kept"), again.run.stderr.as_str()), (1, ""));
}

#[test]
fn a_state_of_a_newer_version_is_refused_and_nothing_is_touched() {
    let sandbox = finished();
    let newer = b"{\"format\":3}\nwhatever it holds";
    fs::write(sandbox.path(STATE), newer).unwrap();
    let expected = fs::read(sandbox.path("out/a.tar")).unwrap();
    for force in [&[][..], &["--force"]] {
        let args = [&["fix", "in", "-o", "out"], force].concat();
        let run = sandbox.ocify(&args).exits(1);
        assert!(
            run.stderr.contains(
                "out/.ocify-state has format 3, and this version of ocify knows formats up to 2"
            ),
            "{}",
            run.stderr
        );
    }
    assert_eq!(fs::read(sandbox.path(STATE)).unwrap(), newer);
    assert!(fs::read(sandbox.path("out/a.tar")).unwrap() == expected);
}
