//! `docs/cli.md` has the help of every command.
//!
//! `OCIFY_WRITE_DOCS=1 cargo test --test it manual` writes it again.

use std::fs;

use crate::common::repository;
use crate::common::runner::Sandbox;

const ABOUT: &str = "# The command line

What `ocify --help` and `ocify COMMAND --help` print at 100 columns; `-h` prints less. `ocify man COMMAND` prints the same as a man page.
";

/// The commands that a help lists, in its order.
fn commands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").collect()
}

#[test]
fn the_manual_has_the_help_of_every_command() {
    let sandbox = Sandbox::new();
    let help = |line: &[&str]| sandbox.ocify(line).exits(0).stdout;
    let own = help(&["--help"]);
    let commands = commands(&own);
    assert!(
        commands.contains(&"fix") && commands.len() > 6,
        "{commands:?}"
    );
    let mut text = format!("{ABOUT}\n```text\n$ ocify --help\n{own}```\n");
    for command in commands {
        let shown = help(&[command, "--help"]);
        let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
        let shown = lines.join("\n");
        text.push_str(&format!(
            "\n## ocify {command}\n\n```text\n$ ocify {command} --help\n{shown}\n```\n"
        ));
    }
    let path = repository("docs/cli.md");
    if std::env::var_os("OCIFY_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written, text,
        "after a change of the help: OCIFY_WRITE_DOCS=1 cargo test --test it manual"
    );
}
