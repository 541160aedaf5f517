//! The steps of a fix that other operations take too.

use std::path::PathBuf;

use super::Run;
use crate::error::Result;
use crate::fix::host::host_architecture;
use crate::graph::Graph;
use crate::input::Source;
use crate::inventory::Inventory;
use crate::operation::{Input, Kind, SpoolReason};
use crate::plan::{Draft, Form};

impl Run<'_> {
    /// Any input as a source that can be read as often as needed, and the reason if it is a stream that was kept in a
    /// temporary file.
    pub(crate) fn open(
        &self,
        input: Input,
        reason: SpoolReason,
    ) -> Result<(Source, Option<SpoolReason>)> {
        let source = match input.kind {
            Kind::Stream(stream) => {
                let stream = self.opener.stream(stream)?;
                let source = self.opener.spooled(stream, &reason)?;
                return Ok((source, Some(reason)));
            }
            Kind::Source(source) => source,
            Kind::Path(path) => self.opener.open(&path)?,
        };
        let path = source.path().to_owned();
        let source = self.opener.decompressed(source);
        Ok((source.map_err(|error| error.within(&path))?, None))
    }

    /// The draft of a new archive.
    pub(crate) fn new_archive<'g>(
        &'g self,
        graph: &'g Graph,
        source: &Source,
    ) -> Result<Draft<'g>> {
        self.settled(graph, source, Form::default())
    }

    /// What a source contains and means.
    pub(crate) fn resolved(&self, source: &Source) -> Result<Graph> {
        self.opener.resolved(source)
    }

    /// What an inventory of a source means.
    pub(crate) fn meaning(&self, inventory: Inventory, source: &Source) -> Result<Graph> {
        self.opener.meaning(inventory, source)
    }

    /// Whether manifests and indexes keep their digests.
    pub(crate) fn preserves_digests(&self) -> bool {
        self.fix.plan.preserve_digests
    }

    /// The directory for temporary files.
    pub(crate) fn spool_directory(&self) -> PathBuf {
        self.opener.spool_directory()
    }

    /// The architecture to prefer if nothing else decides.
    pub(crate) fn host(&self) -> Option<&str> {
        let host = self.fix.host_architecture.as_deref();
        host.or(host_architecture())
    }
}
