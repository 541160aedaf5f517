//! Tags, which are set once everything that they lead to is there.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::schedule::Tag;
use super::send::Sender;
use crate::error::Result;
use crate::graph::document::Shape;
use crate::graph::link::DigestTag;
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
            let registry = &tag.repository.registry;
            let _busy = self.session.begin(registry, &tag.digest, &stop)?;
            let there = remote.manifest_digest(&tag.tag)?;
            if there.as_ref() == Some(&tag.digest) {
                return Ok(());
            }
            let bytes = self.document(&tag.digest)?;
            // A registry may state the digest by another algorithm.
            let has_digest = |digest: &Digest| digest.recompute(&bytes).as_ref() == Some(digest);
            if there.as_ref().is_some_and(has_digest) {
                return Ok(());
            }
            let Some(referrers) = self.listed_referrers(tag) else {
                let put = remote.put_manifest(&tag.tag, &tag.media_type, &bytes);
                return put.map(drop);
            };
            if there.is_none() && remote.create_list(&tag.tag, &tag.media_type, &bytes)? {
                return Ok(());
            }
            // Others may be listed there too.
            let mut referrers = referrers.iter();
            referrers.try_for_each(|listed| match &listed.subject {
                Some(subject) => remote.add_referrer(subject, &listed.descriptor),
                None => remote.add_listed(&tag.tag, &listed.descriptor),
            })
        })
        .map(drop)
    }

    /// What an index lists, if its tag is made of the digest of what these refer to.
    pub(super) fn listed_referrers(&self, tag: &Tag) -> Option<Vec<Listed>> {
        let index = self.contents.documents.get(&tag.digest)?;
        if index.shape != Shape::Index {
            return None;
        }
        let made = DigestTag::of(&tag.tag).filter(DigestTag::is_bare);
        let stated = made.as_ref().and_then(DigestTag::digest);
        let listed = index.pointers_in(Role::Manifests);
        let listed = listed.filter_map(|pointer| {
            let text = index.text.get(pointer.places.descriptor.clone())?;
            Some(Listed {
                descriptor: serde_json::from_str(text).ok()?,
                subject: self.subject(&pointer.digest, &tag.tag).or(stated).cloned(),
            })
        });
        let listed: Vec<Listed> = listed.collect();
        // A tag by an algorithm that ocify does not know is one if what is listed says so.
        let is_one = made.is_some() || listed.iter().any(|listed| listed.subject.is_some());
        is_one.then_some(listed)
    }

    /// What a manifest refers to, if a tag is made of its digest.
    fn subject(&self, referrer: &Digest, tag: &str) -> Option<&Digest> {
        let document = self.contents.documents.get(referrer)?;
        let mut subjects = document.pointers_in(Role::Subject);
        let subject = subjects.find(|subject| subject.digest.referrers_tag() == tag);
        subject.map(|subject| &subject.digest)
    }
}

/// An item of a list of referrers.
pub(super) struct Listed {
    descriptor: Value,
    /// What it refers to, if the archive has it and it says so, or if the tag has all of its digest.
    subject: Option<Digest>,
}
