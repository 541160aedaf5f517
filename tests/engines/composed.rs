//! What is chosen, joined and unwrapped: it must load and run in every engine, like what is only fixed.

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
    let intro = "\n## Chosen and merged images\n\nThese load and run in every engine of the table, too:\n\n";
    format!("{intro}{}{}", chosen.concat(), merged.concat())
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
    all
}

fn merge(inputs: &[&str], output: &Path, options: &[&str]) {
    let run = Command::new(env!("CARGO_BIN_EXE_ocify"))
        .args(["merge", "--progress", "quiet"])
        .args(inputs.iter().map(|input| folder().join(input)))
        .arg("-o")
        .arg(output)
        .args(options)
        .output()
        .expect("ocify starts");
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success(),
        "ocify merge {inputs:?}: {}\n{stderr}",
        run.status
    );
}
