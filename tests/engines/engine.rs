//! The engines: what they have in common, and which there are.

use std::collections::BTreeSet;
use std::path::Path;

use crate::archive::Archive;
use crate::containerd::Containerd;
use crate::docker::{Docker, Store};
use crate::machine::Machine;
use crate::podman::Podman;
use crate::skopeo::{Skopeo, Transport};

/// What every image of the fixtures prints when it runs.
const GREETING: &str = "hello";

/// A program that loads archives, started and ready.
pub(crate) trait Engine: std::fmt::Debug {
    /// The version, as the engine reports it.
    fn version(&self) -> Result<String, String>;

    /// Loads an archive, runs what was loaded, and leaves nothing of it behind: a layer that is already unpacked would not be
    /// read again from the next archive. What is returned are the names that the images have now; the error is what the engine said.
    fn attempt(&mut self, archive: &Archive) -> Result<BTreeSet<String>, String>;

    /// Where it runs.
    fn machine(&self) -> &Machine;
}

/// An engine that loads an archive from a pipe.
pub(crate) trait Loader: Engine {
    /// Loads what this shell command writes, runs what was loaded, and leaves nothing of it behind. What is returned are the names
    /// that the images have now; the error is what the engine said.
    fn attempt_pipe(&mut self, producer: &str) -> Result<BTreeSet<String>, String>;

    /// What the engine lists as its images: nothing if it has none.
    fn images(&self) -> Result<String, String>;
}

/// A shell command whose output another reads; the end of the second is what counts.
pub(crate) fn piped(producer: &str, line: &[&str]) -> [String; 3] {
    let script = format!("{producer} | {}", line.join(" "));
    ["sh".to_owned(), "-c".to_owned(), script]
}

/// The engines, in the order of the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Docker20,
    Docker26Graph,
    Docker26Containerd,
    Containerd16,
    Containerd17,
    Podman4,
    Podman5,
    SkopeoOci,
    SkopeoDocker,
}

impl Column {
    pub(crate) const ALL: [Self; 9] = [
        Self::Docker20,
        Self::Docker26Graph,
        Self::Docker26Containerd,
        Self::Containerd16,
        Self::Containerd17,
        Self::Podman4,
        Self::Podman5,
        Self::SkopeoOci,
        Self::SkopeoDocker,
    ];

    /// The heading of its column.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Docker20 => "Docker 20.10",
            Self::Docker26Graph => "Docker 26, graph driver",
            Self::Docker26Containerd => "Docker 26, containerd store",
            Self::Containerd16 => "containerd 1.6",
            Self::Containerd17 => "containerd 1.7",
            Self::Podman4 => "podman 4",
            Self::Podman5 => "podman 5",
            Self::SkopeoOci => "skopeo oci-archive",
            Self::SkopeoDocker => "skopeo docker-archive",
        }
    }

    /// What it does with an archive, for the list of engines in the document.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Docker20 => "`docker load`, `docker run`; image store: graph driver",
            Self::Docker26Graph => "the same, also with the graph driver",
            Self::Docker26Containerd => "the same, with the containerd image store",
            Self::Containerd16 | Self::Containerd17 => "`ctr images import`, `ctr run`",
            Self::Podman4 | Self::Podman5 => "`podman load`, `podman run`",
            Self::SkopeoOci => "`skopeo copy --all oci-archive:FILE dir:OUT`",
            Self::SkopeoDocker => "`skopeo copy --all docker-archive:FILE dir:OUT`",
        }
    }

    /// How the version that it reports must begin.
    pub(crate) fn series(self) -> &'static str {
        match self {
            Self::Docker20 => "20.10.",
            Self::Docker26Graph | Self::Docker26Containerd => "26.",
            Self::Containerd16 => "1.6.",
            Self::Containerd17 => "1.7.",
            Self::Podman4 => "4.",
            Self::Podman5 => "5.",
            Self::SkopeoOci | Self::SkopeoDocker => "1.18.",
        }
    }

    /// Whether what it loads has a name then.
    pub(crate) fn has_names(self) -> bool {
        !matches!(self, Self::SkopeoOci | Self::SkopeoDocker)
    }

    /// Starts the engine in a machine of its own.
    pub(crate) fn start(self, trixie: &Path, shared: &Path) -> Result<Box<dyn Engine>, String> {
        self.start_on(self.machine(trixie, shared, "")?)
    }

    /// Starts the program of the same name in another root directory: it may be another version.
    pub(crate) fn start_in(self, root: &Path, shared: &Path) -> Result<Box<dyn Engine>, String> {
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        self.start_on(Machine::start(root, shared, &format!("{self:?}-{name}"))?)
    }

    fn start_on(self, machine: Machine) -> Result<Box<dyn Engine>, String> {
        Ok(match self {
            Self::SkopeoOci => Box::new(Skopeo::new(machine, Transport::OciArchive)),
            Self::SkopeoDocker => Box::new(Skopeo::new(machine, Transport::DockerArchive)),
            _ => self.loader(machine)?,
        })
    }

    /// The same for one that loads from a pipe.
    pub(crate) fn start_loader(
        self,
        trixie: &Path,
        shared: &Path,
    ) -> Result<Box<dyn Loader>, String> {
        self.loader(self.machine(trixie, shared, "-pipe")?)
    }

    fn machine(self, trixie: &Path, shared: &Path, suffix: &str) -> Result<Machine, String> {
        let root = match self {
            Self::Docker20 | Self::Containerd16 | Self::Podman4 => Path::new("/"),
            _ => trixie,
        };
        Machine::start(root, shared, &format!("{self:?}{suffix}"))
    }

    fn loader(self, machine: Machine) -> Result<Box<dyn Loader>, String> {
        Ok(match self {
            Self::Docker20 => Box::new(Docker::start(machine, Store::OnlyGraphDriver)?),
            Self::Docker26Graph => Box::new(Docker::start(machine, Store::GraphDriver)?),
            Self::Docker26Containerd => Box::new(Docker::start(machine, Store::Containerd)?),
            Self::Containerd16 | Self::Containerd17 => Box::new(Containerd::start(machine)?),
            Self::Podman4 | Self::Podman5 => Box::new(Podman::new(machine)),
            Self::SkopeoOci | Self::SkopeoDocker => {
                return Err("skopeo loads nothing from a pipe".to_owned());
            }
        })
    }
}

/// Runs a container until it has said what it should. Docker and `ctr` at times lose what a container prints that ends at once; then, and
/// only then, once more.
pub(crate) fn expect_greeting(
    image: &str,
    run: impl Fn() -> Result<String, String>,
) -> Result<(), String> {
    let mut output = String::new();
    for _ in 0..3 {
        output = run()?;
        if !output.is_empty() {
            break;
        }
    }
    if output.trim() == GREETING {
        Ok(())
    } else {
        Err(format!("{image} printed {output:?}, not {GREETING:?}"))
    }
}
