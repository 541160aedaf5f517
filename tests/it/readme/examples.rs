//! The examples of the README and of `docs/` run, in order, each page in a clean directory of its own.

use std::fs;
use std::path::Path;

use crate::common::pages::{Part, block, blocks, pages, parts, text};
use crate::common::{fixture, repository, skip};

use super::folder::{folder, shell};

/// Pages whose examples run elsewhere, or need more than a test has: hours, 30 GB or all workers of a cluster.
const ELSEWHERE: [(&str, &str); 3] = [
    ("docs/performance.md", "cargo bench"),
    ("docs/scale-out.md", "--shard"),
    ("docs/tar-readers.md", "OCIFY_CAMPAIGN_CASES"),
];

/// The block with what its commands print now.
fn played(block: &str, folder: &Path) -> String {
    let mut played = String::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let (code, output) = shell(folder, command);
            assert_eq!(code, Some(0), "{command}: {output}");
            played.push_str(&format!("{line}\n"));
            for line in output.trim_end().lines() {
                played.push_str(&format!("{}\n", line.trim_end()));
            }
        }
    }
    played
}

/// A dry run or a check, which exits with code 3 if there is something to fix.
fn is_dry_run(block: &str) -> bool {
    block.contains("--dry-run") || block.contains("ocify check")
}

/// Runs the blocks of a page, and returns the page with what they print now. jq prints what the page shows, so it has to be there.
fn followed(page: &str, text: &str) -> String {
    let folder = folder();
    let folder = folder.path();
    let mut real = String::new();
    for part in parts(text) {
        let (language, block) = match part {
            Part::Line(line) => {
                real.push_str(&format!("{line}\n"));
                continue;
            }
            Part::Block { language, text } => (language, text),
        };
        let mut shown = block.clone();
        match language {
            "console" => shown = played(&block, folder),
            "sh" => {
                let (code, output) = shell(folder, &format!("set -e\n{block}"));
                let is_right = code == Some(0) || code == Some(3) && is_dry_run(&block);
                assert!(is_right, "{page}: {code:?}\n{block}\n{output}");
                for bad in ["not fixed", "no image archive", "error:"] {
                    assert!(!output.contains(bad), "{page}\n{block}\n{output}");
                }
            }
            _ => {}
        }
        real.push_str(&format!("```{language}\n{shown}```\n"));
    }
    real
}

#[test]
fn examples_run_in_order_and_print_what_is_shown() {
    let mut pages = pages();
    for (page, part) in ELSEWHERE {
        assert!(text(page).contains(part), "{page}");
        pages.retain(|found| found != page);
    }
    let (mut shown, mut run) = (0, 0);
    for page in pages {
        let source = text(&page);
        if source.contains("| jq ") && !Path::new("/usr/bin/jq").exists() {
            skip(&format!("{page} needs jq"), "OCIFY_REQUIRE_ENGINES");
            continue;
        }
        let real = followed(&page, &source);
        if std::env::var_os("OCIFY_WRITE_README").is_some_and(|value| value == "1") {
            fs::write(repository(&page), real).unwrap();
        } else {
            assert_eq!(
                source, real,
                "{page}, after a change that is meant to show: OCIFY_WRITE_README=1 cargo test --test it readme::"
            );
        }
        let count = |language| {
            blocks(&source)
                .iter()
                .filter(|(found, _)| *found == language)
                .count()
        };
        shown += count("console");
        run += count("sh");
    }
    assert!(shown > 8 && run > 25, "{shown} {run}");
}

/// What `docker load` gets from a pipe is an archive that its engines load.
#[test]
fn a_pipe_gives_docker_a_fixed_archive() {
    for page in ["README.md", "docs/ci.md"] {
        let folder = folder();
        let block = block(&text(page), "| docker load");
        let pipe = block
            .lines()
            .find(|line| line.ends_with("| docker load"))
            .unwrap();
        let (code, output) = shell(folder.path(), pipe);
        assert_eq!(code, Some(0), "{page}: {output}");
        let check = "ocify check loaded.tar --for docker@28/graphdriver --for docker@28/containerd";
        let (code, output) = shell(folder.path(), check);
        assert_eq!(code, Some(0), "{page}: {output}");
        // The archive that the build wrote does not pass.
        let (code, _) = shell(folder.path(), &check.replace("loaded.tar", "app.tar"));
        assert_eq!(code, Some(3), "{page}");
    }
}

#[test]
fn examples_with_a_dry_run_pass_its_exit_code_on() {
    let page = text("docs/ci.md");
    let mut examples: Vec<String> = blocks(&page).into_iter().map(|(_, text)| text).collect();
    examples.retain(|block| is_dry_run(block) && !block.contains("--format"));
    let [check, gate, fix_if_needed] = &examples[..] else {
        panic!("{examples:?}");
    };
    // Exit codes: of the gate, of the gate with --strict, of the other example.
    for (archive, gate_code, strict_code, fix_code) in [
        ("fixtures/buildkit-docker-gzip-ocitrue.tar", 0, 0, 0),
        // Every engine loads it, and fixing it would change its form.
        ("fixtures/docker26g-save.tar", 0, 3, 0),
        ("fixtures/README.md", 1, 1, 1),
        ("fixtures/buildkit-docker-zstd-ocifalse.tar", 3, 3, 0),
    ] {
        let folder = folder();
        let run = |block: &str| shell(folder.path(), &format!("set -e\n{block}"));
        let bytes = fs::read(repository(archive)).unwrap();
        fs::write(folder.path().join("app.tar"), &bytes).unwrap();
        let (code, output) = run(check);
        assert_eq!(code, Some(gate_code), "{archive}\n{check}\n{output}");
        let (code, output) = run(gate);
        assert_eq!(code, Some(gate_code), "{archive}\n{gate}\n{output}");
        let (code, output) = run(&format!("{} --strict", gate.trim_end()));
        assert_eq!(code, Some(strict_code), "{archive}\n{gate}\n{output}");

        let (code, output) = run(fix_if_needed);
        let about = format!("{archive}\n{fix_if_needed}\n{output}");
        assert_eq!(code, Some(fix_code), "{about}");
        // What the next step reads is right, and what needed no fix is the archive itself.
        let (code, _) = run("ocify fix ready.tar --dry-run");
        assert_eq!(code, Some(fix_code), "{about}");
        if gate_code == 0 {
            assert!(
                fs::read(folder.path().join("ready.tar")).unwrap() == bytes,
                "{about}"
            );
        }
    }
    // A damaged archive: it can be read up to the damage.
    let folder = folder();
    let bytes = fs::read(fixture("buildkit-docker-gzip-ocitrue.tar")).unwrap();
    fs::write(folder.path().join("app.tar"), &bytes[..bytes.len() / 2]).unwrap();
    let (code, output) = shell(folder.path(), gate);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("error: "), "{output}");
}
