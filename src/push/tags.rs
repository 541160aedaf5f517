//! Tags, which are set once everything that they lead to is there.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::schedule::Tag;
use super::send::Sender;
use crate::error::Result;
use crate::graph::document::Shape;
use crate::image::Digest;
use crate::location::Role;

impl Sender<'_> {
    pub(super) fn tags(&self, tags: &[Tag]) -> Result<()> {
        self.all(tags, |tag, has_failed| {
            let stop = || self.progress.is_stopped() || has_failed.load(Ordering::Relaxed);
            let client = self
                .session
                .client(&tag.repository.registry, self.options)?;
            let remote = client.repository(&tag.repository.name).stopping(&stop);
            let there = remote.has_manifest(&tag.tag)?;
            if there.as_ref() == Some(&tag.digest) {
                return Ok(());
            }
            let bytes = self.document(&tag.digest)?;
            match self.listed_referrers(tag) {
                // Others may be listed there too.
                Some((subject, referrers)) if there.is_some() => {
                    let mut referrers = referrers.iter();
                    referrers.try_for_each(|listed| remote.add_referrer(&subject, listed))
                }
                _ => remote
                    .put_manifest(&tag.tag, &tag.media_type, &bytes)
                    .map(drop),
            }
        })
        .map(drop)
    }

    /// What a tag lists as referrers, and of what, if it is the tag of a digest that leads to an index.
    fn listed_referrers(&self, tag: &Tag) -> Option<(Digest, Vec<Value>)> {
        let (algorithm, hex) = tag.tag.split_once('-')?;
        let subject = format!("{algorithm}:{hex}").parse().ok()?;
        let index = self.contents.documents.get(&tag.digest)?;
        if index.shape != Shape::Index {
            return None;
        }
        let listed = index.pointers_in(Role::Manifests);
        let listed = listed.filter_map(|pointer| {
            let text = index.text.get(pointer.places.descriptor.clone())?;
            serde_json::from_str(text).ok()
        });
        Some((subject, listed.collect()))
    }
}
