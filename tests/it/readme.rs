//! The README shows the real help and real output, and its examples run.
//!
//! After a change that is meant to show there:
//!
//! ```sh
//! OCIFY_WRITE_README=1 cargo test --test it readme::
//! ```

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::contents::Contents;
use crate::common::runner::{run, write_program};

const README: &str = include_str!("../../README.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const OCIFY: &str = env!("CARGO_BIN_EXE_ocify");

/// The programs that the examples name besides ocify. They only have to be there: what is tested is ocify's part.
const STAND_INS: [&str; 2] = ["docker", "jq"];

/// A C compiler that accepts everything. It reads its input to the end, so that the writer is not killed.
const CC: &str = "#!/bin/sh\nwhile read -r _; do :; done\n";

/// `cargo run` runs the command; the example has its own build in `cargo test`.
const CARGO: &str = "#!/bin/sh
[ \"$1\" = run ] || exit 0
while [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done
[ $# -gt 0 ] || exit 0
shift
exec ocify \"$@\"
";

/// The contents of the code blocks marked `language`, in order.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if line == fence {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n"));
        } else if line.starts_with("```") {
            let _skipped = lines.by_ref().take_while(|line| *line != "```").count();
        }
    }
    blocks
}

/// A folder with everything that the examples name.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let fixtures = Path::new(ROOT).join("fixtures");
    for name in ["bin", "target", "images", "airgap"] {
        fs::create_dir(path.join(name)).unwrap();
    }
    copy_scripts(path);
    symlink(OCIFY, path.join("bin/ocify")).unwrap();
    // Examples fix them in place.
    for (name, copy) in [
        ("podman-ocidir", "layout"),
        ("buildkit-cache-list-ocifalse", "cache"),
    ] {
        for (name, bytes) in Contents::read(&fixtures.join(name)).files {
            let file = path.join(copy).join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
    }
    symlink(&fixtures, path.join("fixtures")).unwrap();
    for name in [
        "app.tar",
        "images/one.tar",
        "images/two.tar",
        "airgap/app.tar",
    ] {
        // No links, for a walk does not follow them.
        let archive = fixtures.join("buildkit-docker-zstd-ocifalse.tar");
        fs::copy(archive, path.join(name)).unwrap();
    }
    let tools = fs::read(fixtures.join("skopeo19-docker.tar")).unwrap();
    let tools = zstd::encode_all(&tools[..], 3).unwrap();
    fs::write(path.join("airgap/tools.tar.zst"), tools).unwrap();
    fs::write(path.join("airgap/pull.txt"), "busybox:1.36\n").unwrap();
    write_program(&path.join("bin/cargo"), CARGO);
    write_program(&path.join("bin/cc"), CC);
    write_program(&path.join(".ci/test"), "#!/bin/sh\n");
    for name in STAND_INS {
        write_program(&path.join("bin").join(name), "#!/bin/sh\n");
    }
    folder
}

/// Copies the scripts of the README's first command.
fn copy_scripts(folder: &Path) {
    fs::create_dir(folder.join(".ci")).unwrap();
    // For the reason that `write_program` has, a child copies them.
    let scripts = [".ci/demo", ".ci/packages"].map(|name| Path::new(ROOT).join(name));
    run(Command::new("cp").args(scripts).arg(folder.join(".ci"))).exits(0);
}

/// Runs a script in the folder, with the folder's programs and the system's, and returns its exit code and what it printed.
fn shell(folder: &Path, script: &str) -> (Option<i32>, String) {
    let path = format!("{}:/usr/bin:/bin", folder.join("bin").display());
    shell_with(&path, folder, script)
}

/// The same with this PATH.
fn shell_with(path: &str, folder: &Path, script: &str) -> (Option<i32>, String) {
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// The block with what its commands print now.
fn played(block: &str, folder: &Path) -> String {
    let mut played = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let (code, output) = shell(folder, command);
            assert_eq!(code, Some(0), "{command}: {output}");
            played.push(line.to_owned());
            played.extend(
                output
                    .trim_end()
                    .lines()
                    .map(|line| line.trim_end().to_owned()),
            );
        }
    }
    played.join("\n")
}

#[test]
fn shown_output_is_real() {
    let blocks = blocks("console");
    assert!(blocks.len() > 5, "{blocks:#?}");
    let mut real = README.to_owned();
    for block in &blocks {
        // What one leaves behind must not show in another.
        let folder = folder();
        let played = played(block, folder.path());
        if std::env::var_os("OCIFY_WRITE_README").is_none_or(|value| value != "1") {
            assert_eq!(
                *block, played,
                "after a change that is meant to show: OCIFY_WRITE_README=1 cargo test --test it readme::"
            );
        }
        real = real.replacen(block, &played, 1);
    }
    if real != README {
        fs::write(Path::new(ROOT).join("README.md"), real).unwrap();
    }
}

#[test]
fn examples_run() {
    let blocks = blocks("sh");
    assert!(!blocks.is_empty());
    for block in blocks.iter().filter(|block| !is_dry_run(block)) {
        let folder = folder();
        let (code, output) = shell(folder.path(), &format!("set -e\n{block}"));
        assert_eq!(code, Some(0), "{block}\n{output}");
        for bad in ["not fixed", "no image archive"] {
            assert!(!output.contains(bad), "{block}\n{output}");
        }
    }
}

/// A dry run or a check, which exits with code 3 if there is something to fix.
fn is_dry_run(block: &str) -> bool {
    block.contains("--dry-run") || block.contains("ocify check")
}

#[test]
fn examples_with_a_dry_run_pass_its_exit_code_on() {
    let mut examples = blocks("sh");
    examples.retain(|block| is_dry_run(block));
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
        let bytes = fs::read(Path::new(ROOT).join(archive)).unwrap();
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
        let (code, _) = run("ocify fix fixed.tar --dry-run");
        assert_eq!(code, Some(fix_code), "{about}");
        if gate_code == 0 {
            assert!(
                fs::read(folder.path().join("fixed.tar")).unwrap() == bytes,
                "{about}"
            );
        }
    }
    // A damaged archive: it can be read up to the damage.
    let folder = folder();
    let archive = Path::new(ROOT).join("fixtures/buildkit-docker-gzip-ocitrue.tar");
    let bytes = fs::read(archive).unwrap();
    fs::write(folder.path().join("app.tar"), &bytes[..bytes.len() / 2]).unwrap();
    let (code, output) = shell(folder.path(), gate);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("error: "), "{output}");
}

/// A folder whose `bin` has nothing of the system but basic commands, so no C compiler. `id` says that this user runs them.
fn folder_without_cc(user: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("bin")).unwrap();
    copy_scripts(path);
    for name in ["dirname", "mkdir", "mktemp", "rm", "tail"] {
        let mut found = ["/usr/bin", "/bin"].map(|bin| Path::new(bin).join(name));
        found.sort_by_key(|program| !program.exists());
        symlink(&found[0], path.join("bin").join(name)).unwrap();
    }
    write_program(&path.join("bin/id"), &format!("#!/bin/sh\necho {user}\n"));
    write_program(
        &path.join("bin/cargo"),
        "#!/bin/sh\necho \"cargo ran: $*\"\n",
    );
    folder
}

/// Runs the README's first command with nothing but the programs of the folder.
fn run_demo(folder: &Path) -> (Option<i32>, String) {
    let path = folder.join("bin").display().to_string();
    shell_with(&path, folder, ".ci/demo")
}

#[test]
fn without_a_c_compiler_the_first_command_says_what_to_install() {
    let apt_get = "#!/bin/sh\necho apt-get ran\n";
    for (user, apt_get, hint) in [
        (
            "1000",
            Some(apt_get),
            "run as root: apt-get update && apt-get install gcc libc6-dev",
        ),
        (
            "1000",
            None,
            "install it with your system's package manager; on Debian: gcc libc6-dev",
        ),
        (
            "0",
            None,
            "install it with your system's package manager; on Debian: gcc libc6-dev",
        ),
    ] {
        let folder = folder_without_cc(user);
        if let Some(program) = apt_get {
            write_program(&folder.path().join("bin/apt-get"), program);
        }
        let (code, output) = run_demo(folder.path());
        assert_eq!(code, Some(1), "{output}");
        let missing = "demo: missing: a C compiler (cc) and the headers of the C library\n";
        assert_eq!(output, format!("{missing}demo: {hint}\n"));
    }
}

#[test]
fn as_root_the_first_command_installs_a_c_compiler() {
    let folder = folder_without_cc("0");
    let bin = folder.path().join("bin");
    write_program(&folder.path().join("cc"), CC);
    write_program(
        &bin.join("apt-get"),
        "#!/bin/sh\necho \"apt-get ran: $*\"\n[ \"$1\" != install ] || /bin/cp cc bin/cc\n",
    );
    let (code, output) = run_demo(folder.path());
    assert_eq!(code, Some(0), "{output}");
    assert!(!output.contains("apt-get ran"), "{output}");
    let command = "run --release --locked -- fix --force fixtures/buildkit-docker-zstd-ocifalse.tar -o target/fixed.tar";
    assert!(
        output.ends_with(&format!("cargo ran: {command}\n")),
        "{output}"
    );
    assert!(README.contains(&format!("`cargo {command}`")));
    let log = fs::read_to_string(folder.path().join("target/packages.log")).unwrap();
    assert!(log.ends_with("install -q -y --no-install-recommends gcc libc6-dev\n"));
}

#[test]
fn a_failed_installation_shows_what_apt_said() {
    let folder = folder_without_cc("0");
    write_program(
        &folder.path().join("bin/apt-get"),
        "#!/bin/sh\necho 'E: no such package' >&2\nexit 100\n",
    );
    let (code, output) = run_demo(folder.path());
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("\nE: no such package\n"), "{output}");
    assert!(output.contains("cannot install gcc libc6-dev"), "{output}");
    assert!(!output.contains("cargo ran"), "{output}");
}

#[test]
fn without_cargo_the_first_command_says_so() {
    let folder = folder_without_cc("0");
    fs::remove_file(folder.path().join("bin/cargo")).unwrap();
    let (code, output) = run_demo(folder.path());
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("missing: cargo"), "{output}");
}

/// The cells of a line of a table.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// Whether a message is the one that a phrase describes, in which `…` stands for anything.
fn says(message: &str, phrase: &str) -> bool {
    let mut rest = message;
    phrase.split('…').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// The README says which readers fail on two fixtures, and docs/engines.md is what the tests with engines found.
#[test]
fn the_table_of_errors_agrees_with_the_tests_of_engines() {
    let engines = fs::read_to_string(Path::new(ROOT).join("docs/engines.md")).unwrap();
    let row = |start: &str| {
        cells(
            engines
                .lines()
                .find(|line| line.starts_with(start))
                .unwrap(),
        )
    };
    let readers = row("| Archive | ");
    let (_, reasons) = engines
        .split_once("\n## Why an archive does not load\n")
        .unwrap();
    let phrase = |letter: &str| {
        let start = format!("| {letter} | `");
        let line = reasons.lines().find(|line| line.starts_with(&start));
        cells(line.unwrap())[1].trim_matches('`').to_owned()
    };
    let (_, table) = README.split_once("\n| Error | Fails on").unwrap();
    let table = table.split_once("\n\n").unwrap().0;
    let rows: Vec<Vec<&str>> = table.lines().skip(2).map(cells).collect();
    assert!(rows.len() >= 6);
    for (column, fixture) in [
        (1, "buildkit-docker-zstd-ocifalse"),
        (2, "buildkit-oci-zstd-ocifalse"),
    ] {
        let results = row(&format!("| `{fixture}.tar` | "));
        let mut found = Vec::new();
        for (reader, result) in readers.iter().zip(&results).skip(1) {
            let before = result.split(" → ").next().unwrap();
            if before == "ok" {
                continue;
            }
            let phrase = phrase(before);
            let message = rows
                .iter()
                .find(|row| says(row[0].trim_matches('`'), &phrase));
            let message = message.unwrap_or_else(|| panic!("the README lacks: {phrase}"));
            found.push((message[0], *reader));
        }
        let mut stated = Vec::new();
        for row in &rows {
            let readers = row.get(column).copied().unwrap_or_default().split("; ");
            stated.extend(
                readers
                    .filter(|reader| !reader.is_empty())
                    .map(|reader| (row[0], reader)),
            );
        }
        found.sort();
        stated.sort();
        assert_eq!(stated, found, "{fixture}");
    }
}

#[test]
fn links_lead_to_files() {
    for link in README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        if !link.contains("://") {
            assert!(Path::new(ROOT).join(link).exists(), "{link}");
        }
    }
}

#[test]
fn the_example_commands_exist() {
    for name in [".ci/demo", ".ci/test"] {
        let program = Path::new(ROOT).join(name);
        let mode = fs::metadata(&program).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name}");
    }
}

#[test]
fn the_library_section_is_the_documentation_of_the_crate() {
    let library = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let lines = library.lines().map_while(|line| line.strip_prefix("//!"));
    let lines: Vec<&str> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let text = lines.join("\n");
    // Only rustdoc knows where the names in brackets lead.
    let text = text.replace("[`", "`").replace("`]", "`");
    let (_, expected) = text.split_once("\n\n").unwrap();
    let (_, section) = README.split_once("\n## Library\n\n").unwrap();
    assert!(
        section.starts_with(&format!("{expected}\n\n")),
        "expected:\n{expected}"
    );
    for block in expected.split("```rust,no_run\n").skip(1) {
        let (code, _) = block.split_once("\n```").unwrap();
        assert!(code.lines().count() < 20, "{code}");
    }
}
