//! The metadata file: what buildx writes about an image, under buildx's keys.

use serde_json::{Map, Value, json};

use crate::image::Reference;
use crate::plan::{Image, Summary};

/// The metadata of the plan's images: the first one's keys, and all of them in `images` if there are several.
pub fn value(plan: &Summary) -> Value {
    let mut object = plan.images.first().map(image).unwrap_or_default();
    if plan.images.len() > 1 {
        let images = plan.images.iter().map(|each| Value::Object(image(each)));
        object.insert("images".to_owned(), images.collect());
    }
    Value::Object(object)
}

fn image(image: &Image) -> Map<String, Value> {
    let mut object = Map::new();
    if let Some(digest) = &image.config_digest {
        object.insert(
            "containerimage.config.digest".to_owned(),
            digest.to_string().into(),
        );
    }
    let descriptor = json!({
        "mediaType": image.media_type,
        "digest": image.digest.to_string(),
        "size": image.len,
    });
    object.insert("containerimage.descriptor".to_owned(), descriptor);
    object.insert(
        "containerimage.digest".to_owned(),
        image.digest.to_string().into(),
    );
    if !image.names.is_empty() {
        let names: Vec<String> = image.names.iter().map(|name| familiar(name)).collect();
        object.insert("image.name".to_owned(), names.join(",").into());
    }
    object
}

/// The name as Docker shows it; unchanged if it is no reference.
pub(super) fn familiar(name: &str) -> String {
    Reference::parse(name).map_or_else(|| name.to_owned(), |reference| reference.familiar())
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

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
        let mut unnamed = samples::image("");
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
