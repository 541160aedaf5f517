//! The metadata file: what buildx writes about an image, under buildx's keys.

use std::io::{self, Write};

use serde::Serialize;

use crate::image::{Digest, Reference};
use crate::plan::{Image, Summary};
use crate::text::json_pretty;

/// The metadata of a plan's images: the first one's keys, and all of them in `images` if there are several.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Metadata<'a> {
    /// The first image, if there is one.
    #[serde(flatten)]
    pub first: Option<ImageMetadata<'a>>,
    /// All images; none if there is only one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageMetadata<'a>>,
}

/// The metadata of one image.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ImageMetadata<'a> {
    /// The digest of the config: Docker's image ID.
    #[serde(
        rename = "containerimage.config.digest",
        skip_serializing_if = "Option::is_none"
    )]
    pub config_digest: Option<&'a Digest>,
    /// The descriptor of the manifest or index; `None` if its digest is not known yet.
    #[serde(
        rename = "containerimage.descriptor",
        skip_serializing_if = "Option::is_none"
    )]
    pub descriptor: Option<Descriptor<'a>>,
    /// The digest of the manifest or index; `None` if it is not known yet.
    #[serde(
        rename = "containerimage.digest",
        skip_serializing_if = "Option::is_none"
    )]
    pub digest: Option<&'a Digest>,
    /// The names as Docker shows them, with commas between; `None` if there is none.
    #[serde(rename = "image.name", skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
}

/// What an index would say of a document.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor<'a> {
    /// The document's media type.
    pub media_type: &'static str,
    /// Its digest.
    pub digest: &'a Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// Writes the metadata of a plan's images, pretty-printed and with a final newline.
///
/// # Errors
/// It cannot be written.
pub fn render(plan: &Summary, out: &mut dyn Write) -> io::Result<()> {
    json_pretty(&Metadata::from(plan), out)
}

impl<'a> From<&'a Summary> for Metadata<'a> {
    fn from(summary: &'a Summary) -> Self {
        let images = summary.images.as_slice();
        let several = if images.len() > 1 { images } else { &[] };
        Metadata {
            first: images.first().map(ImageMetadata::from),
            images: several.iter().map(ImageMetadata::from).collect(),
        }
    }
}

impl<'a> From<&'a Image> for ImageMetadata<'a> {
    fn from(image: &'a Image) -> Self {
        let names: Vec<String> = image.names.iter().map(Reference::familiar).collect();
        ImageMetadata {
            config_digest: image.config_digest.as_ref(),
            descriptor: image.digest.as_ref().map(|digest| Descriptor {
                media_type: image.media_type,
                digest,
                size: image.len,
            }),
            digest: image.digest.as_ref(),
            names: (!names.is_empty()).then(|| names.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::super::samples;
    use super::*;

    fn value(summary: &Summary) -> Value {
        serde_json::to_value(Metadata::from(summary)).unwrap()
    }

    #[test]
    fn one_image() {
        let found = value(&samples::full());
        let expected = json!({
            "containerimage.config.digest": samples::digest("config").to_string(),
            "containerimage.descriptor": {
                "mediaType": crate::image::media_type::OCI_MANIFEST,
                "digest": samples::digest("manifest").to_string(),
                "size": 7,
            },
            "containerimage.digest": samples::digest("manifest").to_string(),
            "image.name": "app:latest,example.com/app:v1",
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn several_images_and_none() {
        let mut plan = samples::full();
        let mut unnamed = samples::image("app");
        unnamed.names.clear();
        unnamed.config_digest = None;
        plan.images.push(unnamed);
        let found = value(&plan);
        assert_eq!(found["images"][0]["image.name"], found["image.name"]);
        assert_eq!(found["images"][1].as_object().map(Map::len), Some(2));

        plan.images.clear();
        assert_eq!(value(&plan), json!({}));
    }
}
