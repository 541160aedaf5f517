//! Engines pull what was pushed, by the digests that ocify reports, and run it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::kinds::{NOT_RUN, NOT_RUN_AS_THEY_ARE, REFUSED};
use super::server::{Registry, with_each};
use super::{Pushed, inputs, push};
use crate::common::fixture;
use crate::containerd::{Containerd, pull_and_run as containerd_pull};
use crate::docker::{Docker, Store};
use crate::engine::expect_greeting;
use crate::machine::{Machine, Network};

/// Those that read only gzip have a repository of their own for each input.
const GZIP: &str = "gzip/";

/// An engine that pulls.
enum Engine {
    Containerd(Containerd),
    Docker(Docker),
}

impl Engine {
    fn pull_and_run(&self, image: &str) -> Result<(), String> {
        match self {
            Engine::Containerd(containerd) => containerd_pull(containerd, image),
            Engine::Docker(docker) => {
                let line = ["run", "--rm", "--network=none", image];
                expect_greeting(image, || docker.run(&line))
            }
        }
    }
}

/// Every engine, whether it reads zstd, and its name.
fn engines(home: &Path, trixie: &Path) -> Vec<(Engine, bool, &'static str)> {
    let machine = |root: &Path, name: &str| {
        Machine::start_with(root, home, name, Network::Shared).expect("a machine")
    };
    let containerd = |root: &Path, name| {
        let containerd = Containerd::start(machine(root, name)).unwrap();
        (Engine::Containerd(containerd), true, name)
    };
    let docker = |root: &Path, name, store| {
        let docker = Docker::start(machine(root, name), store).unwrap();
        let reads_zstd = store != Store::OnlyGraphDriver;
        (Engine::Docker(docker), reads_zstd, name)
    };
    vec![
        containerd(Path::new("/"), "ctr16"),
        containerd(trixie, "ctr17"),
        docker(Path::new("/"), "docker20", Store::OnlyGraphDriver),
        docker(trixie, "docker26g", Store::GraphDriver),
        docker(trixie, "docker26c", Store::Containerd),
    ]
}

#[test]
fn engines_pull_and_run_what_was_pushed() {
    let trixie = match crate::trixie() {
        Ok(root) => root,
        Err(missing) => return crate::skip(&missing),
    };
    let programs = ["ctr", "containerd", "/usr/sbin/dockerd"];
    let is_first = std::cell::Cell::new(true);
    with_each(&programs, |home, registry| {
        // Everything from one registry; the other one stores the same bytes, as other tests show.
        let inputs = match is_first.replace(false) {
            true => inputs(home),
            false => vec![("one".to_owned(), fixture("docker26g-save.tar"))],
        };
        pull_and_run(home, registry, &trixie, &inputs);
    });
}

fn pull_and_run(home: &Path, registry: &Registry, trixie: &Path, inputs: &[(String, PathBuf)]) {
    let images: Vec<String> = inputs
        .iter()
        .filter(|(name, _)| !REFUSED.iter().any(|(refused, _)| refused == name))
        .flat_map(|(name, input)| {
            push_one(
                home,
                registry,
                &format!("{GZIP}{name}"),
                input,
                &["--compression", "gzip"],
            )
            .into_iter()
            .chain(push_one(home, registry, name, input, &[]))
        })
        .collect();
    assert!(images.len() > inputs.len(), "{images:#?}");
    let mut faults = Vec::new();
    for (engine, reads_zstd, name) in engines(home, trixie) {
        let own = images.iter();
        let own = own.filter(|image| image.contains(&format!("/{GZIP}")) != reads_zstd);
        for image in own {
            if let Err(fault) = engine.pull_and_run(image) {
                faults.push(format!("{name}, {image}: {fault}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// Pushes an input, and returns the images that this machine can run, by their digests.
fn push_one(
    home: &Path,
    registry: &Registry,
    name: &str,
    input: &Path,
    more: &[&str],
) -> Vec<String> {
    let target = format!("{}/{name}", registry.host);
    let more = [more, &["--missing", "prune"]].concat();
    let report = push(home, input, &target, &more).succeeded();
    let images = Pushed::images(&report).into_iter();
    let runs = images.filter(|(_, digest, is_artifact)| {
        let stored = registry.manifest(name, digest).unwrap();
        !is_artifact && is_runnable(name) && can_run(registry, name, &stored)
    });
    runs.map(|(pinned, ..)| pinned).collect()
}

/// Whether engines run what an input has, by its repository.
fn is_runnable(name: &str) -> bool {
    match name.strip_prefix(GZIP) {
        Some(name) => !NOT_RUN.contains(&name),
        None => !NOT_RUN.contains(&name) && !NOT_RUN_AS_THEY_ARE.contains(&name),
    }
}

/// Whether this is an image for Linux on this kind of machine, or an index with one.
fn can_run(registry: &Registry, name: &str, document: &Value) -> bool {
    if let Some(listed) = document["manifests"].as_array() {
        return listed.iter().any(|entry| {
            let digest = entry["digest"].as_str().unwrap();
            let child = registry.manifest(name, digest);
            child.is_ok_and(|child| can_run(registry, name, &child))
        });
    }
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let is_image = document["config"]["mediaType"] == crate::common::builder::OCI_CONFIG;
    let digest = document["config"]["digest"].as_str().unwrap_or_default();
    let config = registry.config(name, digest);
    is_image
        && config
            .is_ok_and(|config| config["os"] == "linux" && config["architecture"] == architecture)
}
