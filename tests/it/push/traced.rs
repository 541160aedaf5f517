//! Only a push opens sockets and starts programs, and only if it is not a dry run.

use std::fs;
use std::process::Command;

use super::image;
use crate::common::builder::Layout;
use crate::common::registry::Registry;
use crate::common::runner::Sandbox;
use crate::common::trace::may_trace;

/// The system calls of a run about networks and processes; the exit code is checked.
fn calls(sandbox: &Sandbox, args: &[&str], code: i32) -> Vec<String> {
    let log = sandbox.path("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=%network,%process", "-o"]);
    command
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_ocify"))
        .args(args);
    let output = command
        .current_dir(sandbox.root())
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    let text = fs::read_to_string(log).unwrap();
    // Each line begins with the number of a thread.
    let calls = text.lines().filter_map(|line| line.split_once(' '));
    calls
        .map(|(_, call)| call.trim_start().to_owned())
        .collect()
}

/// Those that reach something outside the process. A pair of connected sockets does not, and nor does a thread.
fn reaching(calls: &[String]) -> Vec<&String> {
    let is_reaching = |call: &&String| {
        let name = call.split('(').next().unwrap();
        match name {
            "socket" | "connect" | "bind" | "listen" | "sendmsg" | "execveat" | "fork"
            | "vfork" => true,
            "clone" | "clone3" => !call.contains("CLONE_THREAD"),
            _ => false,
        }
    };
    calls.iter().filter(is_reaching).collect()
}

#[test]
fn only_a_push_opens_sockets() {
    if !may_trace() {
        return;
    }
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    sandbox.put(
        "app.tar",
        Layout::of(&image("app"), "example.com/app:v1").tar(),
    );
    let target = format!("{}/app:v1", registry.host());
    for (args, code) in [
        (&["fix", "app.tar", "-o", "fixed.tar"][..], 0),
        (
            &["fix", "app.tar", "-o", "gzip.tar", "--compression", "zstd"],
            0,
        ),
        (&["fix", "app.tar", "--dry-run", "--verify", "full"], 3),
        (&["check", "app.tar"], 3),
        (&["check", "app.tar", "--for", "docker@20.10"], 3),
        (&["split", "app.tar", "-o", "split/"], 0),
        (&["merge", "app.tar", "-o", "merged.tar"], 0),
        (&["push", "app.tar", &target, "--dry-run"], 0),
        (&["push", "app.tar", "--dry-run"], 0),
    ] {
        let calls = calls(&sandbox, args, code);
        assert_eq!(reaching(&calls), [""; 0], "{args:?}");
        let started = calls.iter().filter(|call| call.starts_with("execve("));
        assert_eq!(started.count(), 1, "{args:?}: only ocify itself");
    }
    assert_eq!(registry.stored().requests.len(), 0);
    // What is looked for would be found.
    let calls = calls(&sandbox, &["push", "app.tar", &target], 0);
    let reaching = reaching(&calls);
    assert!(
        reaching.iter().any(|call| call.starts_with("connect(")),
        "{calls:#?}"
    );
}
