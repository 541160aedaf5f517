//! Docker: `docker load` and `docker run`, with a daemon of its own.

use std::collections::BTreeSet;

use crate::archive::Archive;
use crate::engine::{Engine, Loader, expect_greeting, piped};
use crate::machine::{DATA, Machine};

/// Named in full: another `docker` may come first in the search path.
const CLIENT: &str = "/usr/bin/docker";

/// Where the daemon keeps images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// In the graph driver's folder, as before there was a choice.
    OnlyGraphDriver,
    /// In the graph driver's folder, by choice.
    GraphDriver,
    /// In containerd.
    Containerd,
}

impl Store {
    /// The daemon's configuration.
    fn config(self) -> &'static str {
        match self {
            Self::OnlyGraphDriver => "{}",
            Self::GraphDriver => r#"{"features":{"containerd-snapshotter":false}}"#,
            Self::Containerd => r#"{"features":{"containerd-snapshotter":true}}"#,
        }
    }
}

/// A daemon and its client.
#[derive(Debug)]
pub(crate) struct Docker {
    machine: Machine,
}

impl Docker {
    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(mut machine: Machine, store: Store) -> Result<Self, String> {
        let config = machine.write("daemon.json", store.config())?;
        let mut line = vec!["/usr/sbin/dockerd", "--config-file", &config];
        line.extend(["--data-root", DATA, "--exec-root", "/run/docker"]);
        line.extend(["--pidfile", "/run/docker.pid"]);
        line.extend(["--host", "unix:///run/docker.sock"]);
        let group = format!("--cgroup-parent=/{}", machine.group());
        line.extend([group.as_str(), "--bridge=none", "--iptables=false"]);
        if store != Store::OnlyGraphDriver {
            line.push("--ip6tables=false");
        }
        machine
            .start_daemon(&line, &[CLIENT, "version"])
            .map_err(|e| format!("{e}\n{}", machine.log()))?;
        let docker = Self { machine };
        // A store other than the one asked for would make the column contradict its heading.
        let status = docker.run(&["info", "--format", "{{.DriverStatus}}"])?;
        if status.contains("io.containerd.snapshotter") != (store == Store::Containerd) {
            return Err(format!(
                "the daemon's store is not {store:?}: {}",
                status.trim()
            ));
        }
        Ok(docker)
    }

    /// Runs the client, and returns what it says on standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        self.machine.run(&[&[CLIENT], arguments].concat())
    }

    /// The same with what it says on standard error, where builders do.
    pub(crate) fn run_saying_all(&self, arguments: &[&str]) -> Result<String, String> {
        let shell = ["sh", "-c", "exec \"$@\" 2>&1", "sh", CLIENT];
        self.machine.run(&[&shell, arguments].concat())
    }

    /// Removes all images, and what builds left.
    pub(crate) fn prune(&self) -> Result<(), String> {
        self.run(&["system", "prune", "--all", "--force"]).map(drop)
    }

    /// Runs what was loaded, by what loading said.
    fn run_loaded(&self, output: &str) -> Result<BTreeSet<String>, String> {
        let lines_with = |prefix: &'static str| {
            output
                .lines()
                .filter_map(move |line| line.strip_prefix(prefix))
        };
        let names: BTreeSet<String> = lines_with("Loaded image: ").map(str::to_owned).collect();
        let nameless = lines_with("Loaded image ID: ");
        let images: Vec<&str> = names.iter().map(String::as_str).chain(nameless).collect();
        if images.is_empty() {
            return Err(format!("nothing was loaded: {output:?}"));
        }
        // What load reports may be there by half: only running shows it.
        for image in images {
            let line = ["run", "--rm", "--pull=never", "--network=none", image];
            expect_greeting(image, || self.run(&line))?;
        }
        Ok(names)
    }
}

impl Engine for Docker {
    fn version(&self) -> Result<String, String> {
        self.run(&["version", "--format", "{{.Server.Version}}"])
    }

    fn attempt(&mut self, archive: &Archive) -> Result<BTreeSet<String>, String> {
        let loaded = self.run(&["load", "--input", &archive.path]);
        let result = loaded.and_then(|output| self.run_loaded(&output));
        self.prune()?;
        result
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }
}

impl Loader for Docker {
    fn attempt_pipe(&mut self, producer: &str) -> Result<BTreeSet<String>, String> {
        let line = piped(producer, &[CLIENT, "load"]);
        let loaded = self.machine.run(&line.each_ref().map(String::as_str));
        let result = loaded.and_then(|output| self.run_loaded(&output));
        // What failed must have left nothing, so only what was loaded is removed.
        if result.is_ok() {
            self.prune()?;
        }
        result
    }

    fn images(&self) -> Result<String, String> {
        self.run(&["images", "--all", "--quiet"])
    }
}
