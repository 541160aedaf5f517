//! Annotations that name another manifest, or a layer, by its digest.

use std::borrow::Cow;
use std::ops::Range;

use crate::graph::pointer::{IMAGE_NAME, REF_NAME};
use crate::image::Digest;
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
    /// The digest that it states.
    pub digest: Digest,
    pub(crate) place: Range<usize>,
}

/// What an annotation says about the content that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkKind {
    /// The annotated content is about that manifest, such as an attestation.
    About,
    /// The same, but the annotation is a name whose tag is made of the digest: `sha256-<hex>`, as the
    /// distribution specification's referrers tag schema has it, or `sha256-<hex>.sig`, as cosign has it.
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
            && tag.digest != *content
        {
            links.extend(link(annotations, annotation, LinkKind::Tag, tag.digest));
        }
    }
    links
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
    /// The digest that the tag is made of.
    pub(crate) digest: Digest,
    /// What follows the digest: nothing, or cosign's `.sig`, `.att` or `.sbom`.
    pub(crate) suffix: &'a str,
}

impl<'a> DigestTag<'a> {
    /// Reads a full name or a tag.
    pub(crate) fn of(name: &'a str) -> Option<Self> {
        const HEX_LEN: usize = 64;
        let (head, tail) = name.rsplit_once("sha256-")?;
        let (hex, suffix) = tail.split_at_checked(HEX_LEN)?;
        let is_tag = head
            .rsplit_once('/')
            .is_none_or(|(_, last)| last.contains(':'));
        if !is_tag || !(suffix.is_empty() || suffix.starts_with('.')) {
            return None;
        }
        let digest = format!("sha256:{hex}").parse().ok()?;
        Some(DigestTag {
            head,
            digest,
            suffix,
        })
    }

    /// The same name, made of another digest.
    pub(crate) fn with(&self, digest: &Digest) -> String {
        let digest = digest.to_string().replace(':', "-");
        format!("{}{digest}{}", self.head, self.suffix)
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
                assert_eq!(tag.digest.to_string(), format!("sha256:{hex}"), "{name}");
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
}
