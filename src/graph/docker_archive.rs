//! Docker's archive manifest, `manifest.json`: a list of images with their config, names and layers.

mod rename;
mod unusable;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Code, Error, Hint, Result};
use crate::graph::document::{DocumentReader, MAX_DOCUMENT_LEN, Text, require_decodable};
use crate::graph::fields::DOCKER_ARCHIVE;
use crate::image::media_type::{self, Kind};
use crate::image::{Digest, StatedDiffId};
use crate::json::{View, find};
use crate::location::{Location, RootName};
pub use rename::RenamedFile;
pub(crate) use rename::rename_to_digests;
pub(crate) use unusable::unusable;

/// The most layers that the manifest of an image can list, because each of their descriptors has at least 147 bytes: more would not fit
/// into a document.
const MAX_LAYERS: usize = MAX_DOCUMENT_LEN as usize / 147;

/// What is wrong with single items of `manifest.json`, by position. The graph does not have their images.
pub(crate) type ItemFaults = BTreeMap<usize, Error>;

/// One image of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DockerArchiveItem {
    /// The entry of the config, as written.
    pub config: String,
    /// The names, as written; empty for an unnamed image.
    pub repo_tags: Vec<String>,
    /// The entries of the layers, as written.
    pub layers: Vec<String>,
    /// Whether the item has properties beyond these three.
    pub has_more: bool,
    /// Whether `Layers` is `null` or absent.
    pub(crate) lacks_layers: bool,
    /// Whether the file has keys in another spelling than Docker's, such as `config`, as Jib before 2.3 wrote them.
    pub is_respelled: bool,
    /// What `LayerSources` says of layers, in order.
    pub layer_sources: Vec<LayerSource>,
    /// The digest of the config, if the source contains it.
    pub config_digest: Option<Digest>,
    /// The digests of the layers, in order; `None` where one is neither there nor named by its digest.
    pub layer_digests: Vec<Option<Digest>>,
    /// The diff IDs that the config states.
    pub diff_ids: Vec<StatedDiffId>,
}

/// A layer of `LayerSources`, which docker adds for layers that are fetched elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerSource {
    /// Its key: docker uses the diff ID, other writers the digest of the blob.
    pub key: String,
    /// The layer's descriptor.
    pub descriptor: Value,
    /// Whether the layer may be absent because it is fetched from elsewhere.
    pub is_foreign: bool,
}

fn layer_source(key: String, value: View<'_>) -> Option<LayerSource> {
    let members = value.members()?;
    let media_type = find(&members, "mediaType").and_then(View::string);
    let kind = media_type.map(|media_type| media_type::kind(&media_type));
    let urls = find(&members, "urls").and_then(View::items);
    Some(LayerSource {
        key,
        descriptor: serde_json::from_str(value.text()).ok()?,
        is_foreign: kind.is_some_and(Kind::is_foreign) || urls.is_some_and(|urls| !urls.is_empty()),
    })
}

/// The items of `manifest.json`, in order.
///
/// # Errors
/// The text is not a list of such items.
pub(crate) fn parse(bytes: &[u8], reader: &mut DocumentReader) -> Result<Vec<DockerArchiveItem>> {
    let location = Location::from(RootName::DockerManifest);
    let invalid = |what: &str| {
        Error::new(Code::InvalidDocument, format!("{location} {what}"))
            .with_location(&location)
            .with_hint(Hint::CorrectDockerManifest)
    };
    let Text {
        text,
        respelled,
        mismatch,
        ..
    } = reader.text(bytes.to_vec(), DOCKER_ARCHIVE, &location)?;
    let root = View::of_checked(&text);
    let is_empty = root.members().is_some_and(|members| members.is_empty());
    if root.is_null() || is_empty {
        return Ok(Vec::new());
    }
    let items = root
        .items()
        .ok_or_else(|| invalid("is not a list of images"))?;
    let mut parsed = Vec::with_capacity(items.len());
    for (position, item) in items.into_iter().enumerate() {
        let fail = |what: &str| {
            let message = format!("{location}[{position}] {what}");
            Error::new(Code::InvalidDocument, message)
                .with_location(&location)
                .with_hint(Hint::CorrectDockerManifest)
        };
        let members = item.members().ok_or_else(|| fail("is not an object"))?;
        let strings = |key: &str| -> Result<Vec<String>> {
            let Some(list) = find(&members, key) else {
                return Ok(Vec::new());
            };
            let texts = list
                .items()
                .and_then(|items| items.into_iter().map(View::string).collect());
            texts.ok_or_else(|| fail(&format!("has {key} that is not a list of strings")))
        };
        let config = find(&members, "Config").and_then(View::string);
        let listed = find(&members, "Layers").and_then(View::each_item);
        let layer_count = listed.map_or(0, Iterator::count);
        if layer_count > MAX_LAYERS {
            return Err(too_many_layers(layer_count, position));
        }
        let layers = strings("Layers")?;
        if layers.iter().any(String::is_empty) || config.as_deref() == Some("") {
            return Err(fail("names a config or layer with an empty text"));
        }
        parsed.push(DockerArchiveItem {
            config: config.ok_or_else(|| fail("lacks Config"))?,
            repo_tags: strings("RepoTags")?,
            layers,
            has_more: members
                .iter()
                .any(|member| !matches!(&*member.key, "Config" | "RepoTags" | "Layers")),
            lacks_layers: find(&members, "Layers").is_none(),
            is_respelled: !respelled.is_empty(),
            layer_sources: find(&members, "LayerSources")
                .and_then(View::members)
                .into_iter()
                .flatten()
                .filter_map(|member| layer_source(member.key.to_string(), member.value))
                .collect(),
            config_digest: None,
            layer_digests: Vec::new(),
            diff_ids: Vec::new(),
        });
    }
    require_decodable(mismatch.as_ref(), &location)
        .map_err(|error| error.with_hint(Hint::CorrectDockerManifest))?;
    Ok(parsed)
}

fn too_many_layers(count: usize, position: usize) -> Error {
    let location = Location::Item {
        position,
        property: "Layers",
        index: None,
        entry: None,
    };
    let message = format!("{location} lists {count} layers, expected at most {MAX_LAYERS}");
    Error::new(Code::DocumentTooLarge, message)
        .with_location(location)
        .with_expected(MAX_LAYERS)
        .with_found(count)
        .with_hint(Hint::BuildAgain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Strictness;

    fn parse(text: &str) -> Result<Vec<DockerArchiveItem>> {
        super::parse(
            text.as_bytes(),
            &mut DocumentReader::new(Strictness::Strict),
        )
    }

    #[test]
    fn items() {
        let hex = "0".repeat(64);
        let text = format!(
            r#"[{{"Config":"blobs/sha256/{hex}","RepoTags":null,"Layers":["a"],"LayerSources":{{}}}}]"#
        );
        let items = parse(&text).unwrap();
        assert!(items[0].config.ends_with(&hex));
        assert!(items[0].repo_tags.is_empty());
        assert!(items[0].has_more);
    }

    #[test]
    fn nothing_is_an_empty_list() {
        for text in ["[]", "null", " {} "] {
            assert_eq!(parse(text).unwrap(), [], "{text}");
        }
    }

    #[test]
    fn keys_in_another_case_are_read() {
        let items = parse(r#"[{"config":"x","repoTags":["a:b"],"LAYERS":["y"]}]"#).unwrap();
        let item = &items[0];
        assert_eq!((&*item.config, &*item.layers[0]), ("x", "y"));
        assert_eq!(item.repo_tags, ["a:b"]);
        assert!(item.is_respelled && !item.has_more);
    }

    #[test]
    fn what_is_no_list_of_images_is_refused() {
        for text in [
            "\"\"",
            r#"{"a":1}"#,
            "[1]",
            "[{}]",
            r#"[{"Config":"x","Layers":"y"}]"#,
            r#"[{"Config":"x","Layers":[],"Parent":5}]"#,
            r#"[{"Config":"x","Layers":[],"LayerSources":{"a":{"size":"1"}}}]"#,
        ] {
            assert_eq!(
                parse(text).unwrap_err().code(),
                Code::InvalidDocument,
                "{text}"
            );
        }
        let case = parse(r#"[{"Config":"x","Layers":[],"layers":[]}]"#).unwrap_err();
        assert_eq!(case.code(), Code::DuplicateKey);
    }
}
