//! skopeo: a copy out of the archive, which reads and verifies every blob of every platform. It runs nothing.

use std::collections::BTreeSet;

use crate::archive::Archive;
use crate::engine::Engine;
use crate::expected::Reason;
use crate::machine::Machine;

/// The transport by which skopeo reads the archive.
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

    fn copy(&mut self, source: &str, options: &[&str]) -> Result<(), String> {
        self.copies += 1;
        let target = format!("dir:/tmp/copy{}", self.copies);
        let line = ["skopeo", "--insecure-policy", "copy"];
        self.machine
            .run(&[&line[..], options, &[source, &target]].concat())
            .map(drop)
    }

    /// Copies all platforms; where blobs of some are absent, this one must be there.
    fn copy_all(&mut self, source: &str) -> Result<(), String> {
        let result = self.copy(source, &["--all"]);
        match result {
            Err(e) if Reason::of(&e) == Some(Reason::M) => self
                .copy(source, &[])
                .map_err(|one| format!("not even one platform: {one}"))
                .and(Err(e)),
            _ => result,
        }
    }
}

impl Engine for Skopeo {
    fn version(&self) -> Result<String, String> {
        let output = self.machine.run(&["skopeo", "--version"])?;
        Ok(output.replace("skopeo version ", ""))
    }

    fn attempt(&mut self, archive: &Archive) -> Result<BTreeSet<String>, String> {
        let sources: Vec<String> = match self.transport {
            Transport::DockerArchive if archive.tags.is_empty() => {
                vec![format!("docker-archive:{}", archive.path)]
            }
            Transport::DockerArchive => archive
                .tags
                .iter()
                .map(|tag| format!("docker-archive:{}:{tag}", archive.path))
                .collect(),
            Transport::OciArchive if archive.ask_for.is_empty() => {
                vec![format!("oci-archive:{}", archive.path)]
            }
            Transport::OciArchive => archive
                .ask_for
                .iter()
                .map(|name| format!("oci-archive:{}:{name}", archive.path))
                .collect(),
        };
        sources
            .iter()
            .try_for_each(|source| self.copy_all(source))?;
        // A copy has no name.
        Ok(BTreeSet::new())
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }
}
