//! docs/rules.md shows every rule and finding that the code has, and docs/report.md names them.
//!
//! After a change that is meant to show there:
//!
//! ```sh
//! OCIFY_WRITE_DOCS=1 cargo test --test it rules::
//! ```

use std::env;
use std::fs;
use std::path::Path;

use ocify::{FindingRule, Rule, Severity};

/// The words of the command, which the page is about.
#[path = "../../src/bin/ocify/words/reasons.rs"]
mod reasons;

const PAGE: &str = "docs/rules.md";

const INTRODUCTION: &str = "\
# Rules

Each change that `ocify fix` makes follows a rule, and each finding has a kind. The names are stable: reports contain them, and scripts may
rely on them ([report.md](report.md)). Rules depend only on the content of the archive, never on the tool that wrote it; the last column
says where the fault comes from. [report.md](report.md#severity) explains the severities, and which of them depend on the archive.
`tests/it/rules.rs` generates this page from `src/plan/rules.rs` and `src/plan/rules/`.

## Changes
";

const FINDINGS: &str = "
## Findings

What ocify cannot fix, and what a user should know.
";

/// One line of a table.
fn row(
    name: &str,
    severity: Severity,
    what: &str,
    why: &str,
    whose: &str,
    threads: &[&str],
) -> String {
    let links: Vec<String> = threads.iter().map(|thread| link(thread)).collect();
    let whose = match links.is_empty() {
        true => whose.to_owned(),
        false => format!("{whose}: {}", links.join(", ")),
    };
    let severity = severity.name();
    format!("| `{name}` | {severity} | {what} | {why} | {whose} |\n")
}

/// A thread, which GitHub finds whether it is an issue or a pull request.
fn link(thread: &str) -> String {
    let (repository, number) = thread.split_once('#').unwrap();
    assert!(number.bytes().all(|byte| byte.is_ascii_digit()), "{thread}");
    assert_eq!(repository.split('/').count(), 2, "{thread}");
    format!("[{thread}](https://github.com/{repository}/issues/{number})")
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str(
        "\n| Rule | Severity | What changes | Why | Whose bug |\n|---|---|---|---|---|\n",
    );
    for rule in Rule::ALL {
        page.push_str(&row(
            rule.name(),
            rule.severity(),
            rule.what(),
            reasons::reason_of_fix(*rule),
            rule.whose(),
            rule.threads(),
        ));
    }
    page.push_str(FINDINGS);
    page.push_str(
        "\n| Finding | Severity | What it says | Why | Whose bug |\n|---|---|---|---|---|\n",
    );
    for rule in FindingRule::ALL {
        page.push_str(&row(
            rule.name(),
            rule.severity(),
            rule.what(),
            rule.reason(),
            rule.whose(),
            rule.threads(),
        ));
    }
    page
}

#[test]
fn the_page_lists_all_rules() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = page();
    if env::var_os("OCIFY_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&path, &page).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differing = found.lines().zip(page.lines()).find(|(a, b)| a != b);
    assert!(
        found == page,
        "{PAGE} is not what the code says; regenerate it with OCIFY_WRITE_DOCS=1 cargo test --test it rules::\n\
         first difference (file, code): {differing:#?}"
    );
}

#[test]
fn the_report_names_the_rules() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.md");
    let text = fs::read_to_string(path).unwrap();
    let section = |heading: &str| -> Vec<String> {
        let (_, rest) = text.split_once(heading).unwrap();
        let list = rest.split("\n\n").nth(1).unwrap();
        let mut names: Vec<String> = list
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    };
    let mut changes: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    changes.sort_unstable();
    assert_eq!(section("## Rules in `changes`"), changes);
    let mut findings: Vec<&str> = FindingRule::ALL.iter().map(|rule| rule.name()).collect();
    findings.sort_unstable();
    assert_eq!(section("## Rules in `findings`"), findings);
}
