//! Docker's archive manifest, `manifest.json`: a list of images with their config, names and layers.

use crate::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::graph::document::checked_text;
use crate::json::{KeyCase, View, find};

const LOCATION: &str = "manifest.json";

const KEYS: KeyCase = KeyCase {
    known: &["Config", "RepoTags", "Layers", "LayerSources", "Parent"],
    levels: 1,
};

/// One image of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerArchiveItem {
    /// The entry of the config, as written.
    pub config: String,
    /// The names, as written; empty for an unnamed image.
    pub repo_tags: Vec<String>,
    /// The entries of the layers, as written.
    pub layers: Vec<String>,
    /// Whether the item has properties beyond these three.
    pub has_more: bool,
}

impl DockerArchiveItem {
    /// The digest of the config, where the entry's name states it.
    pub fn config_digest(&self) -> Option<Digest> {
        entry_digest(&self.config)
    }
}

/// The digest that an entry's name states: `blobs/sha256/<hex>` or `<hex>.json`.
pub(crate) fn entry_digest(name: &str) -> Option<Digest> {
    let name = name.trim_start_matches("./");
    Digest::from_blob_name(name).or_else(|| {
        let hex = name.strip_suffix(".json")?;
        format!("sha256:{hex}").parse().ok()
    })
}

/// The items of `manifest.json`, in order.
///
/// # Errors
/// Text that is no list of such items.
pub(crate) fn parse(bytes: &[u8], lenient: bool) -> Result<Vec<DockerArchiveItem>> {
    let invalid = |what: &str| Error::new(Code::InvalidDocument, format!("{LOCATION} {what}"));
    let text = checked_text(bytes.to_vec(), KEYS, LOCATION, lenient)?;
    let root = View::parse(&text).ok_or_else(|| invalid("is not JSON"))?;
    let items = root
        .items()
        .ok_or_else(|| invalid("is not a list of images"))?;
    let mut parsed = Vec::with_capacity(items.len());
    for (position, item) in items.into_iter().enumerate() {
        let fail = |what: &str| invalid(&format!("[{position}] {what}"));
        let members = item.members().ok_or_else(|| fail("is not an object"))?;
        let strings = |key: &str| -> Result<Vec<String>> {
            let Some(list) = find(&members, key) else {
                return Ok(Vec::new());
            };
            let texts = list
                .items()
                .and_then(|items| items.into_iter().map(View::string).collect());
            texts.ok_or_else(|| fail(&format!("has {key} that are not a list of strings")))
        };
        parsed.push(DockerArchiveItem {
            config: find(&members, "Config")
                .and_then(View::string)
                .ok_or_else(|| fail("has no Config"))?,
            repo_tags: strings("RepoTags")?,
            layers: strings("Layers")?,
            has_more: members
                .iter()
                .any(|member| !matches!(member.key.as_str(), "Config" | "RepoTags" | "Layers")),
        });
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items() {
        let hex = "0".repeat(64);
        let text = format!(
            r#"[{{"Config":"blobs/sha256/{hex}","RepoTags":null,"Layers":["a"],"LayerSources":{{}}}}]"#
        );
        let items = parse(text.as_bytes(), false).unwrap();
        assert_eq!(items[0].config_digest().unwrap().hex(), hex);
        assert!(items[0].repo_tags.is_empty());
        assert!(items[0].has_more);
        assert_eq!(entry_digest(&format!("./{hex}.json")).unwrap().hex(), hex);
        assert_eq!(entry_digest("config"), None);
    }

    #[test]
    fn what_is_no_list_of_images_is_refused() {
        for text in [
            "null",
            "{}",
            "[1]",
            "[{}]",
            r#"[{"Config":"x","Layers":"y"}]"#,
        ] {
            assert_eq!(
                parse(text.as_bytes(), false).unwrap_err().code(),
                Code::InvalidDocument,
                "{text}"
            );
        }
        let case = parse(br#"[{"Config":"x","layers":[]}]"#, false).unwrap_err();
        assert_eq!(case.code(), Code::DuplicateKey);
    }
}
