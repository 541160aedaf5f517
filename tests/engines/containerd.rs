//! containerd: `ctr images import` and `ctr run`, with a daemon of its own.

use crate::archive::Archive;
use crate::engine::{Engine, expect_greeting};
use crate::expected::NOTHING_NAMED;
use crate::machine::{DATA, Machine};

/// A daemon and its client.
#[derive(Debug)]
pub(crate) struct Containerd {
    machine: Machine,
    attempts: u32,
}

impl Containerd {
    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(mut machine: Machine) -> Result<Self, String> {
        let config = format!(
            r#"version = 2
root = "{DATA}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "/run/containerd/containerd.sock"
"#
        );
        let config = machine.write("config.toml", &config)?;
        machine
            .start_daemon(&["containerd", "--config", &config], &["ctr", "version"])
            .map_err(|e| format!("{e}\n{}", machine.log()))?;
        Ok(Self {
            machine,
            attempts: 0,
        })
    }
}

impl Engine for Containerd {
    fn version(&self) -> Result<String, String> {
        let output = self.machine.run(&["ctr", "version"])?;
        let server = output.split("Server:").nth(1).unwrap_or_default();
        let version = server
            .lines()
            .find_map(|l| l.trim().strip_prefix("Version:"));
        version
            .map(str::to_owned)
            .ok_or_else(|| format!("no version in {output:?}"))
    }

    fn attempt(&mut self, archive: &Archive) -> Result<(), String> {
        // Each namespace unpacks for itself, so a fresh one is as good as a fresh store.
        self.attempts += 1;
        let namespace = format!("attempt{}", self.attempts);
        let ctr = |arguments: &[&str]| {
            self.machine
                .run(&[&["ctr", "--namespace", &namespace], arguments].concat())
        };
        ctr(&["images", "import", &archive.path])?;
        let images = ctr(&["images", "list", "--quiet"])?;
        if images.trim().is_empty() {
            return Err(NOTHING_NAMED.to_owned());
        }
        for image in images.lines() {
            expect_greeting(image, || ctr(&["run", "--rm", image, "container"]))?;
        }
        Ok(())
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }
}
