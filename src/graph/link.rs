//! Annotations that name another manifest, or a layer, by its digest.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::ops::Range;

use crate::graph::pointer::{IMAGE_NAME, Pointer, REF_NAME};
use crate::image::{Algorithm, Digest};
use crate::json::View;

/// SOCI's link from an index of layers to the image manifest that has these layers.
const SOCI_IMAGE: &str = "com.amazon.soci.image-manifest-digest";

/// Every annotation whose value is a digest that has to stay true. Annotations that name an origin, such as
/// `org.opencontainers.image.base.digest`, are not among them: what they name is elsewhere, whatever becomes of
/// the content here.
const ANNOTATIONS: [(&str, LinkKind); 5] = [
    // BuildKit's link from an attestation's descriptor to the image manifest that it attests.
    ("vnd.docker.reference.digest", LinkKind::About),
    // containerd's link from an exported referrer to its subject.
    ("io.containerd.manifest.subject", LinkKind::About),
    (SOCI_IMAGE, LinkKind::About),
    ("com.amazon.soci.index-digest", LinkKind::Companion),
    ("com.amazon.soci.image-layer-digest", LinkKind::Layer),
];

/// An annotation that names a manifest or a layer by its digest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Link {
    /// The annotation's key.
    pub annotation: &'static str,
    /// What the annotation says about the content that it names.
    pub kind: LinkKind,
    /// The digest that it states. A tag has only the first half of a SHA-512 digest. The other half comes from the document whose
    /// digest begins with the first; without such a document, it is zeros.
    pub digest: Digest,
    pub(crate) place: Range<usize>,
}

/// What an annotation says about the content that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkKind {
    /// The annotated content is about that manifest, such as an attestation.
    About,
    /// The same, but the annotation is a name whose tag is made of the digest: `sha256-<hex>`, or `sha512-` and half of
    /// the hash, as the distribution specification's referrers tag schema has it, or `sha256-<hex>.sig`, as cosign has
    /// it.
    Tag,
    /// That manifest is about the annotated one.
    Companion,
    /// The annotated content is about that layer.
    Layer,
}

impl Link {
    /// Whether what has the link is about the manifest that it names.
    pub(crate) fn is_about(&self) -> bool {
        matches!(self.kind, LinkKind::About | LinkKind::Tag)
    }

    /// Whether the content that has the link names the manifest inside, where no rewrite reaches it. A SOCI
    /// index names layers only.
    pub(crate) fn is_stated_inside(&self) -> bool {
        self.annotation != SOCI_IMAGE
    }
}

/// The links in annotations, whose keys and values are `values`.
pub(crate) fn links(annotations: View<'_>, values: &[(Cow<'_, str>, Cow<'_, str>)]) -> Vec<Link> {
    let mut links = Vec::new();
    for (annotation, kind) in ANNOTATIONS {
        // An annotation is free text: one that is not a digest links to nothing.
        let value = last(values, annotation);
        if let Some(Ok(digest)) = value.map(str::parse) {
            links.extend(link(annotations, annotation, kind, digest));
        }
    }
    links
}

/// The links in the names of a descriptor of `content`. An image whose tag is made of its own digest links
/// to nothing.
pub(crate) fn tag_links(
    annotations: View<'_>,
    values: &[(Cow<'_, str>, Cow<'_, str>)],
    content: &Digest,
) -> Vec<Link> {
    let mut links = Vec::new();
    for annotation in [IMAGE_NAME, REF_NAME] {
        if let Some(tag) = last(values, annotation).and_then(DigestTag::of)
            && !tag.is_of(content)
        {
            links.extend(link(annotations, annotation, LinkKind::Tag, tag.first));
        }
    }
    links
}

/// Completes the digests of the links in names of which a tag has only the first half, if one of the documents has it.
pub(crate) fn complete_tag_links<V>(pointers: &mut [Pointer], documents: &BTreeMap<Digest, V>) {
    for pointer in pointers {
        let names = [
            (IMAGE_NAME, &pointer.image_name),
            (REF_NAME, &pointer.ref_name),
        ];
        let links = pointer.links.iter_mut();
        for link in links.filter(|link| link.kind == LinkKind::Tag) {
            let mut names = names.iter();
            let name = names.find(|(annotation, _)| *annotation == link.annotation);
            let tag = name.and_then(|(_, name)| DigestTag::of(name.as_deref()?));
            if let Some((digest, _)) = tag.and_then(|tag| tag.find_in(documents)) {
                link.digest = digest.clone();
            }
        }
    }
}

fn link(
    annotations: View<'_>,
    annotation: &'static str,
    kind: LinkKind,
    digest: Digest,
) -> Option<Link> {
    let place = annotations.get(annotation)?.span();
    Some(Link {
        annotation,
        kind,
        digest,
        place,
    })
}

/// The value of an annotation: the last one, where a key may be duplicated.
pub(crate) fn last<'a>(values: &'a [(Cow<'_, str>, Cow<'_, str>)], key: &str) -> Option<&'a str> {
    let mut values = values.iter().rev();
    values.find_map(|(found, value)| (found == key).then_some(&**value))
}

/// A name whose tag is made of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DigestTag<'a> {
    /// The name up to the tag's digest.
    head: &'a str,
    /// The tag by the distribution specification, which has at most 64 characters of the hash.
    tag: &'a str,
    /// The first digest that has this tag, in the order of digests. No other one has a tag of SHA-256.
    first: Digest,
    /// What follows the digest: nothing, or cosign's `.sig`, `.att` or `.sbom`.
    pub(crate) suffix: &'a str,
}

impl<'a> DigestTag<'a> {
    /// Reads a full name or a tag.
    pub(crate) fn of(name: &'a str) -> Option<Self> {
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512].into_iter();
        let mut tags = algorithms.filter_map(|algorithm| Self::made_by(algorithm, name));
        tags.next()
    }

    fn made_by(algorithm: Algorithm, name: &'a str) -> Option<Self> {
        const HEX_LEN: usize = 64;
        let (front, rest) = match algorithm {
            Algorithm::Sha256 => ("sha256-", 0),
            Algorithm::Sha512 => ("sha512-", 64),
        };
        let (head, tail) = name.rsplit_once(front)?;
        let (hex, suffix) = tail.split_at_checked(HEX_LEN)?;
        let is_tag = head
            .rsplit_once('/')
            .is_none_or(|(_, last)| last.contains(':'));
        if !is_tag || !(suffix.is_empty() || suffix.starts_with('.')) {
            return None;
        }
        let first = format!("{}:{hex}{:0<rest$}", algorithm.name(), "");
        Some(DigestTag {
            head,
            tag: &name[head.len()..name.len() - suffix.len()],
            first: first.parse().ok()?,
            suffix,
        })
    }

    /// Whether the name is a tag with nothing but the digest, as the distribution specification has it.
    #[cfg(feature = "push")]
    pub(crate) fn is_bare(&self) -> bool {
        self.head.is_empty() && self.suffix.is_empty()
    }

    /// The digest that the tag is made of, if the tag has all of it.
    #[cfg(feature = "push")]
    pub(crate) fn digest(&self) -> Option<&Digest> {
        let is_all = self.first.algorithm() == Some(Algorithm::Sha256);
        is_all.then_some(&self.first)
    }

    /// Whether the tag is made of this digest.
    pub(crate) fn is_of(&self, digest: &Digest) -> bool {
        match self.first.algorithm() {
            Some(Algorithm::Sha256) => self.first == *digest,
            _ => digest.referrers_tag() == self.tag,
        }
    }

    /// The key that the tag is made of, and its value.
    pub(crate) fn find_in<'m, K: Borrow<Digest> + Ord, V>(
        &self,
        map: &'m BTreeMap<K, V>,
    ) -> Option<(&'m Digest, &'m V)> {
        let mut following = map.range::<Digest, _>(&self.first..);
        let (digest, value) = following.next()?;
        let digest = digest.borrow();
        self.is_of(digest).then_some((digest, value))
    }

    /// The same name, made of another digest.
    pub(crate) fn with(&self, digest: &Digest) -> String {
        let tag = digest.referrers_tag();
        format!("{}{tag}{}", self.head, self.suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_in_tags() {
        let hex = "ab".repeat(32);
        let other: Digest = format!("sha256:{}", "cd".repeat(32)).parse().unwrap();
        for (head, suffix, is_tag) in [
            ("", "", true),
            ("", ".sig", true),
            ("", ".0123456789abcdef.meta", true),
            ("example.com:5000/app:", ".att", true),
            ("app:", "", true),
            ("app:prefix-", ".sbom", true),
            // A repository, another tag, and other lengths.
            ("example.com/", "", false),
            ("example.com:5000/", ".sig", false),
            ("", "-sig", false),
            ("", "0", false),
            ("", "/app:v1", false),
        ] {
            let name = format!("{head}sha256-{hex}{suffix}");
            let tag = DigestTag::of(&name);
            assert_eq!(tag.is_some(), is_tag, "{name}");
            if let Some(tag) = tag {
                assert_eq!(tag.first.to_string(), format!("sha256:{hex}"), "{name}");
                let expected = format!("{head}sha256-{}{suffix}", "cd".repeat(32));
                assert_eq!(tag.with(&other), expected);
            }
        }
        for name in [
            "",
            "sha256-",
            "sha256-é",
            "v1",
            &hex,
            &format!("sha256-{}", "zz".repeat(32)),
        ] {
            assert_eq!(DigestTag::of(name), None, "{name}");
        }
    }

    /// The tag has half of the hash, and the documents have the rest.
    #[test]
    fn cut_digests_are_completed() {
        let digest = |start: &str, end: &str| -> Digest {
            let hex = format!("{}{}", start.repeat(32), end.repeat(32));
            format!("sha512:{hex}").parse().unwrap()
        };
        let (own, other) = (digest("ab", "cd"), digest("ac", "00"));
        let half = "ab".repeat(32);
        for (head, suffix) in [("", ""), ("example.com:5000/app:", ""), ("app:", ".sig")] {
            let name = format!("{head}sha512-{half}{suffix}");
            let tag = DigestTag::of(&name).unwrap();
            assert_eq!((tag.head, tag.suffix), (head, suffix));
            assert!(tag.is_of(&own) && !tag.is_of(&other), "{name}");
            let expected = format!("{head}sha512-{}{suffix}", "ac".repeat(32));
            assert_eq!(tag.with(&other), expected);
            for digests in [&[&own][..], &[&digest("aa", "ff"), &own, &other]] {
                let known = digests.iter().map(|digest| (*digest, ()));
                let known: BTreeMap<&Digest, ()> = known.collect();
                assert_eq!(tag.find_in(&known), Some((&own, &())));
            }
            for digests in [&[][..], &[&other], &[&digest("aa", "ff")]] {
                let known = digests.iter().map(|digest: &&Digest| (*digest, ()));
                let known: BTreeMap<&Digest, ()> = known.collect();
                assert_eq!(tag.find_in(&known), None);
            }
        }
        // A hash that is not cut is not a tag: it would be too long.
        assert_eq!(DigestTag::of(&format!("sha512-{half}{half}")), None);
    }
}
