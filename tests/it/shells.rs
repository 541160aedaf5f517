//! Completions in real shells, and man pages as man's own formatter reads them.
#![expect(clippy::print_stdout, reason = "skipped tests are listed")]

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::runner::Sandbox;
use crate::common::terminal::terminal;

/// A shell that somebody types into.
struct Shell {
    name: &'static str,
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Shell {
    /// Starts it without its user's configuration, with completions for ocify. None if it is not installed.
    fn start(sandbox: &Sandbox, name: &'static str) -> Option<Self> {
        if Command::new(name).arg("-c").arg("true").output().is_err() {
            println!("SKIPPED: completions in {name}, which is not installed");
            return None;
        }
        let (options, load): (&[&str], &str) = match name {
            "bash" => (
                &["--norc", "--noprofile", "-i"],
                "source <(ocify completions bash)",
            ),
            "zsh" => (
                &["-f", "-i"],
                "autoload -U compinit; compinit -D -u; source <(ocify completions zsh)",
            ),
            _ => (
                &["--no-config", "--private", "-i"],
                "ocify completions fish | source",
            ),
        };
        let (control, end) = terminal(24, 200);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", name]).args(options);
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_ocify"));
        let folder = program.parent().unwrap().to_str().unwrap();
        let path = format!("{folder}:/usr/local/bin:/usr/bin:/bin");
        command.env_clear().env("PATH", path).env("TERM", "dumb");
        command
            .env("HOME", sandbox.root())
            .current_dir(sandbox.root());
        command.stdin(end.try_clone().unwrap());
        command.stdout(end.try_clone().unwrap()).stderr(end);
        let child = command.spawn().unwrap();
        drop(command);
        let keys = File::from(control);
        let mut control = keys.try_clone().unwrap();
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = control.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut shell = Shell {
            name,
            child,
            keys,
            screen,
            shown: String::new(),
        };
        // What is shown while it is typed differs from what is printed.
        shell.answer(&format!("{load}; printf '%s%s' re ady\r"), "ready");
        Some(shell)
    }

    /// Types this and waits until all of the text is shown.
    #[track_caller]
    fn answer(&mut self, typed: &str, expected: &str) {
        self.shown.clear();
        self.keys.write_all(typed.as_bytes()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.shown.contains(expected) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(piece) = self.screen.recv_timeout(left) else {
                panic!(
                    "{}: {typed:?} does not give {expected}: {}",
                    self.name, self.shown
                );
            };
            self.shown.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    /// Completes a line with a tab, and has the words printed that it has then.
    #[track_caller]
    fn completes(&mut self, line: &str, expected: &str) {
        // Ctrl-A goes to the start of the line.
        self.answer(&format!("{line}\t\u{1}printf '<%s>' \r"), expected);
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.keys.write_all(b"exit\r");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What these complete to, in every shell.
#[test]
fn shells_complete_commands_options_and_values() {
    for name in ["bash", "zsh", "fish"] {
        let sandbox = Sandbox::new();
        sandbox.put("archive.tar", "");
        let Some(mut shell) = Shell::start(&sandbox, name) else {
            continue;
        };
        shell.completes("ocify spl", "<ocify><split>");
        shell.completes("ocify merge --on-c", "<ocify><merge><--on-conflict");
        // The generator for fish completes values of options, but not of arguments.
        if name != "fish" {
            shell.completes("ocify completions fi", "<ocify><completions><fish>");
        }
        shell.completes(
            "ocify fix --attestations dr",
            "<ocify><fix><--attestations><drop>",
        );
        shell.completes("ocify check arch", "<ocify><check><archive.tar>");
        // A merge has no such option.
        shell.completes("ocify merge --recov", "<ocify><merge><--recov>");
    }
}

#[test]
fn unknown_shells_and_commands_are_wrong_usage() {
    let sandbox = Sandbox::new();
    for (line, part) in [
        (&["completions", "csh"][..], "invalid value 'csh'"),
        (&["completions"], "<SHELL>"),
        (&["man", "none"], "unrecognized command none"),
        (&["man", "a\nb"], "unrecognized command a\\u{a}b"),
    ] {
        let run = sandbox.ocify(line);
        assert_eq!(run.code, 2, "{run:#?}");
        assert!(run.stderr.contains(part), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
}

/// The options that a help lists.
fn options(help: &str) -> Vec<&str> {
    let words = help
        .lines()
        .filter(|line| line.trim_start().starts_with('-'));
    words
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches(','))
        .filter(|word| word.starts_with("--"))
        .map(|word| word.split(['=', '[']).next().unwrap())
        .collect()
}

/// Every page has the command's options, and the formatter finds nothing wrong with it.
#[test]
fn man_pages_have_all_options() {
    let sandbox = Sandbox::new();
    let has_groff = Command::new("groff").arg("--version").output().is_ok();
    if !has_groff {
        println!("SKIPPED: formatting man pages, because groff is not installed");
    }
    let commands = [
        "",
        "fix",
        "check",
        "inspect",
        "merge",
        "split",
        "engines",
        "completions",
        "man",
    ];
    for command in commands {
        let line: Vec<&str> = ["man", command]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        let page = sandbox.ocify(&line).exits(0).stdout;
        let title = match command {
            "" => ".TH ocify 1".to_owned(),
            command => format!(".TH ocify-{command} 1"),
        };
        assert!(page.contains(&title), "{page}");
        if !has_groff {
            continue;
        }
        let mut groff = Command::new("groff");
        groff.args(["-man", "-Tascii", "-P-cbou", "-ww", "-rLL=5000n"]);
        let mut child = groff
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(page.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{command}");
        let help: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        let help = sandbox.ocify(&help).exits(0).stdout;
        let options = options(&help);
        assert!(!options.is_empty(), "{help}");
        for option in options {
            assert!(
                shown.contains(option),
                "{command}: {option} is not in {shown}"
            );
        }
    }
}
