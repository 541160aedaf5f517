//! What is chosen, joined, divided and unwrapped: it must load and run in every engine, like what is only fixed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::archive::{Archive, fix, folder, names_if_several, tags_if_several};
use crate::machine::SHARED;
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
    format!("{intro}{}", all.concat())
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
