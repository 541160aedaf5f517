//! podman: `podman load` and `podman run`. It has no daemon.

use std::collections::BTreeSet;

use crate::archive::Archive;
use crate::engine::{Engine, Loader, expect_greeting, piped};
use crate::machine::{DATA, Machine};

/// Removes everything that the command stored.
const CLEAN: &str = "rm -rf /run/data/* /run/podman/* /var/lib/containers/cache";

/// The command, with a store of its own.
#[derive(Debug)]
pub(crate) struct Podman {
    machine: Machine,
}

impl Podman {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine }
    }

    fn line<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
        let mut line = vec!["podman", "--root", DATA, "--runroot", "/run/podman"];
        // vfs needs nothing of the disk below, and without systemd there is only one way to create control groups.
        line.extend(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"]);
        line.extend(arguments);
        line
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        self.machine.run(&Self::line(arguments))
    }

    /// Runs what was loaded, by what loading said.
    fn run_loaded(&self, output: &str) -> Result<BTreeSet<String>, String> {
        let images: Vec<&str> = output
            .lines()
            .filter_map(|line| line.strip_prefix("Loaded image: "))
            .filter(|image| !image.trim().is_empty())
            .collect();
        if images.is_empty() {
            return Err(format!("nothing was loaded: {output:?}"));
        }
        let group = format!("--cgroup-parent=/{}", self.machine.group());
        for &image in &images {
            let line = [
                "run",
                "--rm",
                "--pull=never",
                "--network=none",
                &group,
                image,
            ];
            expect_greeting(image, || self.run(&line))?;
        }
        let has_name = |image: &&str| !image.starts_with("sha256:");
        Ok(images
            .into_iter()
            .filter(has_name)
            .map(str::to_owned)
            .collect())
    }
}

impl Engine for Podman {
    fn version(&self) -> Result<String, String> {
        self.run(&["version", "--format", "{{.Client.Version}}"])
    }

    fn attempt(&mut self, archive: &Archive) -> Result<BTreeSet<String>, String> {
        let loaded = self.run(&["load", "--quiet", "--input", &archive.path]);
        let result = loaded.and_then(|output| self.run_loaded(&output));
        match &result {
            Ok(_) => self.run(&["rmi", "--all", "--force"])?,
            // Layers of an image that was not complete stay, and would not be read again.
            Err(_) => self.machine.run(&["sh", "-c", CLEAN])?,
        };
        result
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }
}

impl Loader for Podman {
    fn attempt_pipe(&mut self, producer: &str) -> Result<BTreeSet<String>, String> {
        let line = piped(producer, &Self::line(&["load", "--quiet"]));
        let loaded = self.machine.run(&line.each_ref().map(String::as_str));
        let result = loaded.and_then(|output| self.run_loaded(&output));
        // What failed must have left nothing, so only what was loaded is removed.
        if result.is_ok() {
            self.run(&["rmi", "--all", "--force"])?;
        }
        result
    }

    fn images(&self) -> Result<String, String> {
        self.run(&["images", "--all", "--quiet"])
    }
}
