//! skopeo: a copy out of the archive, which reads and verifies every blob of every platform. It runs nothing.

use crate::archive::Archive;
use crate::engine::Engine;
use crate::machine::Machine;

/// What skopeo takes the archive for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// It reads `index.json`.
    OciArchive,
    /// It reads `manifest.json`.
    DockerArchive,
}

/// The command, with one transport.
#[derive(Debug)]
pub(crate) struct Skopeo {
    machine: Machine,
    transport: Transport,
    copies: u32,
}

impl Skopeo {
    pub(crate) fn new(machine: Machine, transport: Transport) -> Self {
        Self {
            machine,
            transport,
            copies: 0,
        }
    }

    fn copy(&mut self, source: &str) -> Result<(), String> {
        self.copies += 1;
        let target = format!("dir:/tmp/copy{}", self.copies);
        let line = ["skopeo", "--insecure-policy", "copy", "--all"];
        self.machine
            .run(&[&line[..], &[source, &target]].concat())
            .map(drop)
    }
}

impl Engine for Skopeo {
    fn version(&self) -> Result<String, String> {
        let output = self.machine.run(&["skopeo", "--version"])?;
        Ok(output.replace("skopeo version ", ""))
    }

    fn attempt(&mut self, archive: &Archive) -> Result<(), String> {
        match self.transport {
            Transport::DockerArchive => self.copy(&format!("docker-archive:{}", archive.path)),
            Transport::OciArchive if archive.ask_for.is_empty() => {
                self.copy(&format!("oci-archive:{}", archive.path))
            }
            Transport::OciArchive => archive
                .ask_for
                .iter()
                .try_for_each(|name| self.copy(&format!("oci-archive:{}:{name}", archive.path))),
        }
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }
}
