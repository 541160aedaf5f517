//! A descriptor of the new index: one from `index.json`, without its name.

use serde_json::{Map, Value, json};

use super::set_names;
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::Pointer;
use crate::graph::referrers::targets;
use crate::graph::{Graph, ManifestRole};
use crate::image::media_type::Kind;
use crate::image::{Digest, Platform};
use crate::json::View;

/// Indexes with more manifests stay what they are. This limits how much thousands of names can multiply.
const MAX_MERGED: usize = 32;

/// An image, or what refers to one.
#[derive(Clone)]
pub(super) struct Child {
    pub(super) digest: Digest,
    /// The descriptor.
    pub(super) text: String,
    /// The platform of an image; `None` for anything else.
    pub(super) platform: Option<Platform>,
    /// Whether the image requires features of the operating system.
    pub(super) needs_os_features: bool,
    /// What it refers to.
    pub(super) targets: Vec<Digest>,
}

impl Child {
    /// What two images have in common if only one of them can be in an index.
    pub(super) fn identity(&self) -> impl Ord + '_ {
        let platform = self.platform.as_ref().map(Platform::identity);
        (platform, self.needs_os_features)
    }

    /// What is the same where an entry only repeats another one.
    pub(super) fn key(&self) -> impl Ord + use<> {
        let platform = self.platform.as_ref().map(Platform::normal_form);
        let version = self.platform.as_ref().map(|is| is.os_version.clone());
        (
            self.digest.clone(),
            platform,
            version,
            self.needs_os_features,
        )
    }

    /// What images are sorted by: Linux first, then by platform.
    pub(super) fn order(&self) -> (bool, Option<Platform>, bool, Digest) {
        let platform = self.platform.clone();
        let is_other = platform
            .as_ref()
            .is_none_or(|platform| platform.os != "linux");
        (
            is_other,
            platform,
            self.needs_os_features,
            self.digest.clone(),
        )
    }
}

/// The descriptors for an entry of `index.json`: its own or, if it is for an index that contains nothing but
/// images and what refers to them, those of that index. `None` if there is something else.
pub(super) fn of_entry(graph: &Graph, entry: &Pointer) -> Option<Vec<Child>> {
    let index = graph.document(&entry.digest);
    let Some(index) = index.filter(|index| index.shape == Shape::Index) else {
        return Some(vec![of(graph, &graph.root, entry)?]);
    };
    if index.pointers.len() > MAX_MERGED {
        return None;
    }
    let members = View::of_checked(&index.text).members()?;
    let is_plain = |key: &str| matches!(key, "schemaVersion" | "mediaType" | "manifests");
    if !members.iter().all(|member| is_plain(&member.key)) {
        return None;
    }
    let pointers = index.pointers.iter();
    pointers.map(|pointer| of(graph, index, pointer)).collect()
}

/// `None` for an image whose platform is not known, and for anything that is not a manifest.
pub(super) fn of(graph: &Graph, parent: &Document, pointer: &Pointer) -> Option<Child> {
    if pointer.kind != Kind::Manifest {
        return None;
    }
    let facts = graph.manifests.get(&pointer.digest);
    let is_image = match facts {
        Some(facts) => facts.role == ManifestRole::Image,
        None => !pointer.is_attestation,
    };
    let of_config = || facts.and_then(|facts| facts.platform.as_ref());
    let platform = match is_image {
        true => Some(pointer.platform.as_deref().or_else(of_config)?.clone()),
        false => None,
    };
    if platform
        .as_ref()
        .is_some_and(|platform| platform.os == "unknown")
    {
        return None;
    }
    let text = &parent.text[pointer.places.descriptor.clone()];
    let mut descriptor: Map<String, Value> = serde_json::from_str(text).ok()?;
    set_names(&mut descriptor, Vec::new());
    if let Some(platform) = &platform {
        complete_platform(&mut descriptor, platform);
    }
    Some(Child {
        digest: pointer.digest.clone(),
        text: Value::Object(descriptor).to_string(),
        platform,
        needs_os_features: pointer.needs_os_features
            || facts.is_some_and(|facts| facts.needs_os_features),
        targets: targets(graph, pointer).cloned().collect(),
    })
}

/// States in a descriptor what it does not state of a platform.
pub(crate) fn complete_platform(descriptor: &mut Map<String, Value>, platform: &Platform) {
    let stated = descriptor.get("platform").cloned();
    let completed = completed_platform(stated, platform);
    descriptor.insert("platform".to_owned(), completed);
}

/// A platform as a descriptor states it, with what it does not state.
pub(crate) fn completed_platform(stated: Option<Value>, platform: &Platform) -> Value {
    let mut members = match stated {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let properties = [
        ("architecture", Some(&platform.architecture)),
        ("os", Some(&platform.os)),
        ("os.version", platform.os_version.as_ref()),
        ("variant", platform.variant.as_ref()),
    ];
    for (key, value) in properties {
        let stated = members.get(key).and_then(Value::as_str);
        if let (None | Some(""), Some(value)) = (stated, value) {
            members.insert(key.to_owned(), json!(value));
        }
    }
    if !platform.os_features.is_empty() && !members.contains_key("os.features") {
        members.insert("os.features".to_owned(), json!(platform.os_features));
    }
    Value::Object(members)
}
