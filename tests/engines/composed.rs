//! What is chosen, joined, divided and unwrapped: it must load and run in every engine, like what is only fixed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use ocify::{Loads, Platform, Verdict};

use crate::archive::{Archive, fix, folder, names_if_several, tags_if_several};
use crate::engine::Column;
use crate::machine::SHARED;
use crate::predicted;
use crate::recompressed::Recompressed;

const INDEX: &str = "buildkit-oci-multi-attest-zstd-ocifalse.tar";

/// Options that keep one platform of the index.
const CHOSEN: [&[&str]; 2] = [
    &["--platform", "linux/amd64", "--for", "docker@20.10"],
    &[
        "--platform",
        "linux/amd64",
        "--unwrap",
        "--for",
        "docker@20.10",
    ],
];

/// Inputs and options of merges.
const MERGED: [(&[&str], &[&str]); 2] = [
    (
        &[
            "docker20-save-names.tar",
            "buildkit-docker-gzip-ocifalse.tar",
        ],
        &["--on-conflict", "rename"],
    ),
    (
        &["podman-multi.tar", INDEX],
        &["--on-conflict", "last", "--for", "docker@20.10"],
    ),
];

/// Inputs and options of splits, and a part of the names of the outputs to load. The first input is the first merged archive.
const SPLIT: [(&str, &[&str], &str); 2] = [
    ("merged", &["--by", "name"], ""),
    (
        INDEX,
        &["--by", "platform", "--unwrap", "--for", "docker@20.10"],
        "linux_amd64",
    ),
];

/// The section of the page.
pub(crate) fn section() -> String {
    let chosen =
        CHOSEN.map(|options| format!("- `ocify fix {}` of `{INDEX}`\n", options.join(" ")));
    let merged = MERGED.map(|(inputs, options)| {
        format!(
            "- `ocify merge {}` of `{}`\n",
            options.join(" "),
            inputs.join("`, `")
        )
    });
    let split = SPLIT.map(|(input, options, _)| {
        let input = match input {
            INDEX => format!("`{INDEX}`"),
            _ => "the first of these merged archives".to_owned(),
        };
        format!(
            "- what `ocify split {}` makes of {input}\n",
            options.join(" ")
        )
    });
    let intro = "\n## Chosen, merged and split images\n\nThese load and run in every engine of the table, too:\n\n";
    let all = [chosen.concat(), merged.concat(), split.concat()];
    let foreign =
        FOREIGN.map(|options| format!("- `ocify fix {}` of `{INDEX}`\n", options.join(" ")));
    format!(
        "{intro}{}\nThese are for another processor, and load in every engine. `ctr images import` needs `--all-platforms`:\n\n{}",
        all.concat(),
        foreign.concat()
    )
}

/// Writes all of them into the shared folder.
pub(crate) fn prepare(shared: &Path) -> Vec<Recompressed> {
    let out = shared.join("composed");
    fs::create_dir(&out).expect("the shared folder is writable");
    let mut all = Vec::new();
    let mut add = |name: String, write: &dyn Fn(&Path)| {
        let file = format!("{}.tar", all.len());
        write(&out.join(&file));
        let archive = Archive {
            path: format!("{SHARED}/composed/{file}"),
            ask_for: names_if_several(&out.join(&file)),
            tags: tags_if_several(&out.join(&file)),
        };
        all.push(Recompressed { name, archive });
    };
    for options in CHOSEN {
        let name = format!("{INDEX} with {}", options.join(" "));
        add(name, &|output| fix(&folder().join(INDEX), output, options));
    }
    for (inputs, options) in MERGED {
        let name = format!("{} merged with {}", inputs.join(", "), options.join(" "));
        add(name, &|output| merge(inputs, output, options));
    }
    for (number, (input, options, part)) in SPLIT.into_iter().enumerate() {
        let input = match input {
            INDEX => folder().join(INDEX),
            _ => out.join(format!("{}.tar", CHOSEN.len())),
        };
        let directory = out.join(format!("split-{number}"));
        for file in split(&input, &directory, options) {
            if !file.contains(part) {
                continue;
            }
            let path = directory.join(&file);
            let archive = Archive {
                path: format!("{SHARED}/composed/split-{number}/{file}"),
                ask_for: names_if_several(&path),
                tags: tags_if_several(&path),
            };
            let name = format!("{file} of a split with {}", options.join(" "));
            all.push(Recompressed { name, archive });
        }
    }
    all
}

/// Splits an archive. Returns the names of the outputs.
fn split(input: &Path, directory: &Path, options: &[&str]) -> Vec<String> {
    ocify(
        Command::new(env!("CARGO_BIN_EXE_ocify"))
            .args(["split", "--progress", "quiet"])
            .arg(input)
            .arg("-o")
            .arg(directory)
            .args(options),
    );
    let entries = fs::read_dir(directory).expect("the split made it");
    let names = entries.map(|entry| entry.expect("it can be listed").file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    assert!(names.len() > 1, "{names:?}");
    names
}

fn merge(inputs: &[&str], output: &Path, options: &[&str]) {
    ocify(
        Command::new(env!("CARGO_BIN_EXE_ocify"))
            .args(["merge", "--progress", "quiet"])
            .args(inputs.iter().map(|input| folder().join(input)))
            .arg("-o")
            .arg(output)
            .args(options),
    );
}

fn ocify(command: &mut Command) {
    let run = command.output().expect("ocify starts");
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success(),
        "{command:?}: {}\n{stderr}",
        run.status
    );
}

/// Images for another processor: engines load them, and cannot run them here unless an emulator is installed.
const FOREIGN: [&[&str]; 2] = [
    &[
        "--platform",
        "linux/arm64",
        "--unwrap",
        "--for",
        "docker@20.10",
    ],
    &["--platform", "linux/arm64", "--for", "docker@20.10"],
];

#[test]
fn composed_archives_load_in_every_engine_as_predicted() {
    let trixie = match crate::trixie() {
        Ok(root) => root,
        Err(missing) => return crate::skip(&missing),
    };
    let shared = tempfile::Builder::new()
        .prefix("ocify-composed-")
        .tempdir()
        .expect("a temporary folder");
    let shared = shared.path();
    let native = prepare(shared);
    let foreign = FOREIGN.iter().enumerate().map(|(number, options)| {
        let path = shared.join(format!("foreign-{number}.tar"));
        fix(&folder().join(INDEX), &path, options);
        Recompressed {
            name: format!("{INDEX} with {}", options.join(" ")),
            archive: Archive {
                path: format!("{SHARED}/foreign-{number}.tar"),
                ask_for: names_if_several(&path),
                tags: tags_if_several(&path),
            },
        }
    });
    let foreign: Vec<Recompressed> = foreign.collect();
    let arm64 = "linux/arm64".parse().expect("a platform");
    let with_verdicts = |(archives, machine): (Vec<Recompressed>, Platform)| {
        let pair = |of: Recompressed| {
            let path = of.archive.path.strip_prefix(SHARED).expect("it is shared");
            let path = shared.join(path.trim_start_matches('/'));
            (predicted::verdicts_on(&path, machine.clone()), of)
        };
        archives.into_iter().map(pair).collect::<Vec<_>>()
    };
    let [native, foreign] = [(native, predicted::machine()), (foreign, arm64)].map(with_verdicts);
    let problems: Vec<String> = thread::scope(|scope| {
        let (trixie, native, foreign) = (&trixie, &native, &foreign);
        let threads = Column::ALL.map(|column| {
            scope.spawn(move || {
                let mut problems = run_all(column, trixie, shared, native);
                problems.extend(load_all(column, trixie, shared, foreign));
                problems
            })
        });
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().flat_map(join).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// Loads and runs each archive. Returns what is not as expected.
fn run_all(
    column: Column,
    trixie: &Path,
    shared: &Path,
    archives: &[(Vec<Verdict>, Recompressed)],
) -> Vec<String> {
    let at = |name: &str, what: &str| format!("{}: {name}: {what}", column.heading());
    let mut engine = match column.start(trixie, shared) {
        Ok(engine) => engine,
        Err(error) => return vec![at("start", &error)],
    };
    let mut problems = Vec::new();
    for (verdicts, Recompressed { name, archive }) in archives {
        let ran = engine.attempt(archive);
        if let Err(error) = &ran {
            problems.push(at(name, error));
        }
        let verdict = &verdicts[position(column)];
        let is_chosen = verdict.loads == Loads::Choose && !archive.ask_for.is_empty();
        let how = predicted::disagreement(verdict, &ran).filter(|_| !is_chosen);
        problems.extend(how.map(|how| at(name, &how)));
    }
    problems
}

/// Loads each archive in an engine that is empty. Returns what is not as expected.
fn load_all(
    column: Column,
    trixie: &Path,
    shared: &Path,
    archives: &[(Vec<Verdict>, Recompressed)],
) -> Vec<String> {
    let mut problems = Vec::new();
    for (verdicts, Recompressed { name, archive }) in archives {
        let loaded = load(column, trixie, shared, archive);
        let verdict = &verdicts[position(column)];
        let is_good = verdict.loads.is_good();
        let what = match loaded {
            Ok(()) if is_good => continue,
            Ok(()) => format!("it loads, predicted {verdict:#?}"),
            Err(error) => error,
        };
        problems.push(format!("{}: {name}: {what}", column.heading()));
    }
    problems
}

/// Loads an archive, whose image need not run on this machine.
fn load(column: Column, trixie: &Path, shared: &Path, archive: &Archive) -> Result<(), String> {
    if !column.has_names() {
        let mut engine = column.start(trixie, shared)?;
        return engine.attempt(archive).map(drop);
    }
    let mut engine = column.start_loader(trixie, shared)?;
    let Err(error) = engine.attempt_pipe(&format!("cat {}", archive.path)) else {
        return Ok(());
    };
    // ctr imports the images for this machine only, unless it is told otherwise.
    if error.contains("image might be filtered out") {
        let ctr = |line: &[&str]| engine.machine().run(&[&["ctr", "images"], line].concat());
        ctr(&["import", "--all-platforms", &archive.path])?;
        let images = ctr(&["list", "--quiet"])?;
        return match images.trim().is_empty() {
            true => Err("ctr imported nothing".to_owned()),
            false => Ok(()),
        };
    }
    // What failed to load leaves no image.
    let images = engine.images()?;
    match is_of_run(&error) && !images.trim().is_empty() {
        true => Ok(()),
        false => Err(format!("{error}\nimages: {images}")),
    }
}

/// Whether an engine loaded an image and cannot run it on this machine.
fn is_of_run(error: &str) -> bool {
    predicted::is_not_started(error) || error.contains("no match for platform in manifest")
}

fn position(column: Column) -> usize {
    let mut all = Column::ALL.iter();
    let position = all.position(|other| *other == column);
    position.expect("it is one of all")
}
