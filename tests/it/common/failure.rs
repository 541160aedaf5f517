//! Checks that inputs fail with the right code and class and a message that names the location, and that the
//! run leaves nothing behind and changes nothing.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::piped::stream;
use super::repository;
use super::runner::{Run, Sandbox};

/// The class of a code, according to the table in `docs/report.md`.
pub(crate) fn class_of(code: &str) -> String {
    let text = fs::read_to_string(repository("docs/report.md")).unwrap();
    let row = text
        .lines()
        .find(|line| line.starts_with("| `") && line.contains(&format!("`{code}`")))
        .unwrap_or_else(|| panic!("docs/report.md does not list {code}"));
    row.split('`').nth(1).unwrap().to_owned()
}

/// Fixes these bytes to an archive and to a layout, and expects this code and these parts of the message.
#[track_caller]
pub(crate) fn fails(name: &str, bytes: &[u8], code: &str, parts: &[&str]) {
    fails_with(name, bytes, &[], code, parts);
}

/// The same with options.
#[track_caller]
pub(crate) fn fails_with(name: &str, bytes: &[u8], options: &[&str], code: &str, parts: &[&str]) {
    let sandbox = Sandbox::new();
    let input = sandbox.put("in.tar", bytes);
    let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let time = modified(&input);
    for output in ["out.tar", "out/"] {
        let run = sandbox.fix_with("in.tar", output, options);
        expect(name, &run, code, parts);
        assert_eq!(
            sandbox.names(),
            ["in.tar"],
            "{name}: something was left behind"
        );
    }
    // As a stream the same archive fails too, for the same reason unless another one is detected first.
    let piped = stream(bytes, options);
    piped.fails(name, &[code, "needs-file", "digest-mismatch"]);
    assert!(
        sandbox.read("in.tar") == bytes,
        "{name}: the input was changed"
    );
    assert_eq!(modified(&input), time, "{name}: the input was touched");
}

/// A run that failed with this code.
#[track_caller]
pub(crate) fn expect(name: &str, run: &Run, code: &str, parts: &[&str]) {
    assert_eq!(run.code, 1, "{name}: {run:#?}");
    let report = run.json();
    let error = &report["error"];
    assert_eq!(error["code"], code, "{name}: {error:#}");
    assert_eq!(error["class"], class_of(code), "{name}: {error:#}");
    assert_eq!(report["status"], "failed", "{name}");
    assert_eq!(report["output"], Value::Null, "{name}");
    let message = error["message"].as_str().unwrap();
    for part in parts {
        assert!(
            message.contains(part),
            "{name}: \"{part}\" is not in \"{message}\""
        );
    }
    let is_fragment = !message.ends_with('.') && !message.contains('\n');
    assert!(is_fragment, "{name}: {message}");
    // The text output contains the same message, followed by the hint.
    let mut shown = format!("error: {message}\n");
    if let Some(hint) = error["hint"].as_str() {
        shown.push_str(&format!("hint: {hint}\n"));
    }
    assert_eq!(run.stderr, shown, "{name}");
}
