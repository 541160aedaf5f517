//! Standard input and output that are terminals, closed, or the same file.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use crate::common::builder::{OCI_GZIP, right_layout};
use crate::common::piped::sample;
use crate::common::runner::Sandbox;
use crate::common::schema::parse_report;
use crate::common::terminal::terminal;

#[test]
fn a_closed_pipe_is_not_reported() {
    // More than the capacity of the pipe.
    let mut layout = sample();
    let noise: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    layout.blob(OCI_GZIP, [b"\x1f\x8b\x08".to_vec(), noise].concat());
    let bytes = layout.tar();
    for format in ["text", "json"] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        for input in ["-", "in.tar"] {
            let mut command = sandbox.command();
            let mut child = command
                .args(["fix", input, "-o", "-", "--format", format])
                .stdin(fs::File::open(sandbox.path("in.tar")).unwrap())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut first = [0; 512];
            child.stdout.take().unwrap().read_exact(&mut first).unwrap();
            let mut err = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut err)
                .unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(1), "{err}");
            if format == "text" {
                assert_eq!(err, "");
            } else {
                let report = parse_report(&err);
                assert_eq!(report["error"]["code"], "output-closed");
            }
        }
    }
}

#[test]
fn archives_are_neither_read_from_nor_written_to_terminals() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    for (input, is_output, code, hint) in [
        ("in.tar", true, "output-is-terminal", "docker load"),
        ("-", true, "output-is-terminal", "docker load"),
        ("-", false, "not-an-image", "pipe an archive into"),
    ] {
        let (_control, end) = terminal(24, 80);
        let mut command = sandbox.command();
        command.args(["fix", input, "-o", "-", "--format", "json"]);
        command.stderr(Stdio::piped());
        if is_output {
            command
                .stdout(end)
                .stdin(fs::File::open(sandbox.path("in.tar")).unwrap());
        } else {
            command.stdin(end).stdout(Stdio::null());
        }
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let report = parse_report(std::str::from_utf8(&output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(report["error"]["code"], code, "{input}");
        assert!(
            report["error"]["hint"].as_str().unwrap().contains(hint),
            "{input}"
        );
    }
}

#[test]
fn an_output_that_is_the_input_is_refused() {
    let sandbox = Sandbox::new();
    let bytes = sample().tar();
    for input in ["-", "in.tar"] {
        sandbox.put("in.tar", &bytes);
        let append = fs::File::options()
            .append(true)
            .open(sandbox.path("in.tar"))
            .unwrap();
        let output = sandbox
            .command()
            .args(["fix", input, "-o", "-", "--format", "json"])
            .stdin(fs::File::open(sandbox.path("in.tar")).unwrap())
            .stdout(append)
            .output()
            .unwrap();
        let report = parse_report(std::str::from_utf8(&output.stderr).unwrap());
        assert_eq!(report["error"]["code"], "output-is-input", "{input}");
        assert!(sandbox.read("in.tar") == bytes);
    }
}
