//! What a manifest is, and what its config says.

use super::Walk;
use crate::error::{Code, Error, Hint, Result};
use crate::graph::ahead::Parsed;
use crate::graph::document::{Document, read_verified};
use crate::graph::fault::{is_of_one_document, is_refused};
use crate::graph::image::{self, Config, ManifestFacts, Role};
use crate::graph::layers;
use crate::graph::pointer::Pointer;
use crate::image::{Digest, Platform};
use crate::inventory::BlobEntry;
use crate::location::{self, Location};

impl Walk<'_> {
    /// What a manifest is, once everything that it names was followed. What is wrong with an image is noted.
    pub(super) fn manifest_facts(
        &mut self,
        document: &Document,
        ahead: Option<Parsed<Config>>,
        parent: &Pointer,
        is_complete: bool,
    ) -> Result<ManifestFacts> {
        let Some(config) = document.config().cloned() else {
            return Err(Error::new(
                Code::InvalidDocument,
                format!("{} lacks a config", document.path),
            )
            .with_location(&document.path)
            .with_hint(Hint::BuildAgain));
        };
        if let Some(error) = image::plugin(document) {
            self.note(Some(&document.digest), error)?;
        }
        let layers: Vec<&Pointer> = document.pointers_in(location::Role::Layers).collect();
        let is_whole = is_complete
            || config.content.is_some()
                && layers
                    .iter()
                    .all(|layer| layer.content.is_some() || layer.is_optional());
        let mut facts = ManifestFacts {
            role: image::role(
                document,
                parent,
                self.by_config.contains_key(&config.digest),
            ),
            config: config.digest.clone(),
            platform: None,
            needs_os_features: false,
            architecture: None,
            diff_ids: Vec::new(),
            is_whole,
            respelled: Vec::new(),
            undecodable: None,
        };
        if facts.role != Role::Image {
            return Ok(facts);
        }
        let Some(blob) = self.start.inventory.blobs.get(&config.digest) else {
            return Ok(facts);
        };
        let is_unknown = |platform: Option<&Platform>| platform.is_some_and(image::is_unknown);
        let is_evidence = is_unknown(parent.platform.as_deref());
        let location = document.location_of(&config);
        match self.image_config(&config.digest, blob, location, layers.len(), ahead) {
            // A config that states a platform is an image's, whatever the index says.
            Ok(config) if is_evidence && config.platform.as_ref().is_none_or(image::is_unknown) => {
                facts.role = Role::Artifact;
            }
            Err(error) if is_evidence && is_of_one_document(&error) && !is_refused(&error) => {
                facts.role = Role::Artifact;
            }
            Err(error) => self.note(Some(&document.digest), error)?,
            Ok(config) => {
                let checked = layers::check(document, &layers, &config);
                facts.platform = config.platform;
                facts.respelled = config.respelled;
                facts.undecodable = config.undecodable;
                facts.needs_os_features = config.needs_os_features;
                facts.architecture = config.architecture;
                match checked {
                    Ok(true) => facts.diff_ids = config.diff_ids,
                    Ok(false) => {}
                    Err(error) => {
                        facts.diff_ids = config.diff_ids;
                        self.note(Some(&document.digest), error)?;
                    }
                }
            }
        }
        Ok(facts)
    }

    fn image_config(
        &mut self,
        digest: &Digest,
        blob: &BlobEntry,
        location: Location,
        layers: usize,
        ahead: Option<Parsed<Config>>,
    ) -> Result<Config> {
        self.count_document(blob, &location)?;
        match ahead {
            Some(config) => config.take(self.reader),
            None => {
                let bytes = read_verified(self.blobs, digest, blob, &location)?;
                image::config(bytes, &location, layers, self.reader)
            }
        }
    }
}
