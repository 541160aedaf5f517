//! containerd: `ctr images import` and `ctr run`, with a daemon of its own.

use std::collections::BTreeSet;

use crate::archive::Archive;
use crate::engine::{Engine, Loader, expect_greeting, piped};
use crate::expected::NOTHING_NAMED;
use crate::machine::{DATA, Machine};

/// What `--digests` begins names with.
const DIGEST_NAME: &str = "import-";

/// A daemon and its client.
#[derive(Debug)]
pub(crate) struct Containerd {
    machine: Machine,
    namespaces: u32,
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
            namespaces: 0,
        })
    }

    fn namespace(&self) -> String {
        format!("{}-{}", self.machine.group(), self.namespaces)
    }

    /// Imports with this command, or from what a shell command writes, runs what there is then, and returns its names.
    pub(crate) fn import_and_run(
        &mut self,
        producer: Option<&str>,
        import: &[&str],
    ) -> Result<BTreeSet<String>, String> {
        // Each namespace unpacks for itself, so a fresh one is as good as a fresh store. It is the control group too.
        self.namespaces += 1;
        let namespace = self.namespace();
        let line = ["ctr", "--namespace", &namespace];
        let ctr = |arguments: &[&str]| self.machine.run(&[&line, arguments].concat());
        match producer {
            None => ctr(import)?,
            Some(producer) => {
                let line = piped(producer, &[&line, import].concat());
                self.machine.run(&line.each_ref().map(String::as_str))?
            }
        };
        // What nothing refers to goes at some time, and now at once. The daemon may remove some of it meanwhile, and then the command fails.
        let prune = || ctr(&["content", "prune", "references"]);
        let is_gone = |error: &String| error.trim_end().ends_with("not found");
        let mut pruned = prune();
        for _ in 0..9 {
            if !pruned.as_ref().is_err_and(is_gone) {
                break;
            }
            pruned = prune();
        }
        pruned?;
        let images = ctr(&["images", "list", "--quiet"])?;
        // What has a digest for a name need not be an image. Nobody runs it if something else has a name.
        let (digests, names): (Vec<&str>, Vec<&str>) = images
            .lines()
            .partition(|image| image.starts_with(DIGEST_NAME));
        let images = if names.is_empty() { digests } else { names };
        for image in &images {
            expect_greeting(image, || ctr(&["run", "--rm", image, "container"]))?;
        }
        Ok(images.into_iter().map(str::to_owned).collect())
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

    fn attempt(&mut self, archive: &Archive) -> Result<BTreeSet<String>, String> {
        let names = self.import_and_run(None, &["images", "import", &archive.path])?;
        if names.is_empty() {
            // Then at least its digest must do for a name.
            let line = ["images", "import", "--digests", &archive.path];
            return match self.import_and_run(None, &line) {
                Ok(names) if names.is_empty() => {
                    Err("nothing was imported, not even by its digest".to_owned())
                }
                Ok(_) => Err(NOTHING_NAMED.to_owned()),
                Err(error) => Err(format!("nothing was imported by a name: {error}")),
            };
        }
        Ok(names)
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }
}

impl Loader for Containerd {
    fn attempt_pipe(&mut self, producer: &str) -> Result<BTreeSet<String>, String> {
        self.import_and_run(Some(producer), &["images", "import", "-"])
    }

    /// Those of the last namespace, which is where an attempt leaves what it does.
    fn images(&self) -> Result<String, String> {
        let namespace = self.namespace();
        self.machine.run(&[
            "ctr",
            "--namespace",
            &namespace,
            "images",
            "list",
            "--quiet",
        ])
    }
}

/// Pulls an image from a registry on this machine, and runs it. It must print the greeting.
pub(crate) fn pull_and_run(containerd: &Containerd, image: &str) -> Result<(), String> {
    let namespace = containerd.namespace();
    let ctr = |arguments: &[&str]| {
        let line = ["ctr", "--namespace", &namespace];
        containerd.machine.run(&[&line, arguments].concat())
    };
    ctr(&["images", "pull", "--plain-http", image])?;
    expect_greeting(image, || ctr(&["run", "--rm", image, "container"]))
}
