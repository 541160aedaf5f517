//! podman: `podman load` and `podman run`. It has no daemon.

use crate::archive::Archive;
use crate::engine::{Engine, expect_greeting};
use crate::machine::{DATA, Machine};

/// The command, with a store of its own.
#[derive(Debug)]
pub(crate) struct Podman {
    machine: Machine,
}

impl Podman {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine }
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut line = vec!["podman", "--root", DATA, "--runroot", "/run/podman"];
        // vfs needs nothing of the disk below, and without systemd there is but one way to make control groups.
        line.extend(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"]);
        line.extend(arguments);
        self.machine.run(&line)
    }

    fn load_and_run(&self, archive: &Archive) -> Result<(), String> {
        let output = self.run(&["load", "--quiet", "--input", &archive.path])?;
        let images: Vec<&str> = output
            .lines()
            .filter_map(|line| line.strip_prefix("Loaded image: "))
            .collect();
        if images.is_empty() {
            return Err(format!("nothing was loaded: {output:?}"));
        }
        for image in images {
            let line = ["run", "--rm", "--pull=never", "--network=none", image];
            expect_greeting(image, || self.run(&line))?;
        }
        Ok(())
    }
}

impl Engine for Podman {
    fn version(&self) -> Result<String, String> {
        self.run(&["version", "--format", "{{.Client.Version}}"])
    }

    fn attempt(&mut self, archive: &Archive) -> Result<(), String> {
        let result = self.load_and_run(archive);
        self.run(&["rmi", "--all", "--force"])?;
        result
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }
}
