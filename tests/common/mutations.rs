//! Changes archives at random, in ways that mean something: a blob is gone, an entry has another name, a document has
//! another type. Digests and sizes follow, so that most results are images still.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::builder::{
    DOCKER_CONFIG, DOCKER_GZIP, DOCKER_LIST, DOCKER_MANIFEST, DOCKER_ZSTD, IMAGE_NAME, OCI_CONFIG,
    OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_TAR, OCI_ZSTD, REF_NAME,
};
use super::contents::{Contents, blob_name};
use super::random::Random;
use super::sha256;

const NAMES: [&str; 14] = [
    "docker.io/library/app:v1",
    "example.com/app:v1",
    "example.com/app:v1",
    "example.com/app",
    "app:v1",
    "conv:oci",
    "index.docker.io/library/app:v1",
    "v1",
    "latest",
    "App:v1",
    "",
    "example.com/app@$",
    "example.com/app:v1@$",
    "$",
];
const TYPES: [&str; 13] = [
    OCI_INDEX,
    OCI_MANIFEST,
    OCI_CONFIG,
    OCI_TAR,
    OCI_GZIP,
    OCI_ZSTD,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    DOCKER_CONFIG,
    DOCKER_GZIP,
    DOCKER_ZSTD,
    "application/vnd.in-toto+json",
    "application/x-unknown",
];

/// An archive that is being changed.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// By entry name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// A descriptor: the file that has it, and where in that file.
pub(crate) type Place = (String, String);

impl Mutant {
    pub(crate) fn of(contents: &Contents) -> Self {
        Mutant {
            files: contents.files.clone(),
        }
    }

    /// Makes one change, and returns what it was.
    pub(crate) fn mutate(&mut self, random: &mut Random) -> &'static str {
        match random.index(17) {
            0 => self.drop_blob(random),
            1 => self.duplicate_entry(random),
            2 => self.remove_entry(random),
            3 => self.reorder_entries(random),
            4 | 5 => self.name_entry(random),
            6 => self.share_name(random),
            7 => self.set_platform(random),
            8 => self.set_type(random),
            9 => self.set_size(random),
            10 => self.change_key_case(random),
            11 => self.add_referrer(random),
            12 => self.change_docker_manifest(random),
            13 => self.flatten_index(random),
            14 => self.wrap_entry(random),
            15 => self.add_member(random),
            _ => self.drop_file(random),
        }
    }

    pub(crate) fn json(&self, name: &str) -> Option<Value> {
        let bytes = self.files.get(name)?;
        let is_document = bytes.len() < 1 << 20 && matches!(bytes.first(), Some(b'{' | b'['));
        is_document
            .then(|| serde_json::from_slice(bytes).ok())
            .flatten()
    }

    /// The files that are JSON: `index.json`, `manifest.json` and documents among the blobs.
    pub(crate) fn documents(&self) -> Vec<(String, Value)> {
        let names = self.files.keys();
        names
            .filter_map(|name| Some((name.clone(), self.json(name)?)))
            .collect()
    }

    /// All descriptors of indexes and manifests, as JSON pointers.
    pub(crate) fn descriptors(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (name, document) in self.documents() {
            for key in ["manifests", "layers"] {
                let count = document[key].as_array().map_or(0, Vec::len);
                places.extend((0..count).map(|number| (name.clone(), format!("/{key}/{number}"))));
            }
            for key in ["config", "subject"] {
                if document[key]["digest"].is_string() {
                    places.push((name.clone(), format!("/{key}")));
                }
            }
        }
        places
    }

    /// The documents with a list `manifests` that is not empty.
    fn indexes(&self) -> Vec<(String, Value)> {
        let mut documents = self.documents();
        documents.retain(|(_, document)| {
            let list = document["manifests"].as_array();
            list.is_some_and(|list| !list.is_empty())
        });
        documents
    }

    /// Replaces a file. A document that is a blob gets a new name, and what refers to it follows.
    pub(crate) fn put(&mut self, name: &str, value: &Value) {
        self.put_bytes(name, value.to_string().into_bytes());
    }

    pub(crate) fn put_bytes(&mut self, name: &str, bytes: Vec<u8>) {
        let mut open: Vec<Moved> = self.replace(name, bytes).into_iter().collect();
        while let Some(moved) = open.pop() {
            for (parent, mut document) in self.documents() {
                if moved.follow(&mut document) {
                    open.extend(self.replace(&parent, document.to_string().into_bytes()));
                }
            }
        }
    }

    fn replace(&mut self, name: &str, bytes: Vec<u8>) -> Option<Moved> {
        let Some(old) = name.strip_prefix("blobs/sha256/") else {
            self.files.insert(name.to_owned(), bytes);
            return None;
        };
        let moved = Moved {
            old: old.to_owned(),
            new: sha256(&bytes),
            len: bytes.len(),
        };
        self.files.remove(name);
        self.files
            .insert(format!("blobs/sha256/{}", moved.new), bytes);
        (moved.old != moved.new).then_some(moved)
    }

    pub(crate) fn edit(&mut self, place: &Place, edit: impl FnOnce(&mut Map<String, Value>)) {
        let Some(mut document) = self.json(&place.0) else {
            return;
        };
        if let Some(object) = document
            .pointer_mut(&place.1)
            .and_then(Value::as_object_mut)
        {
            edit(object);
            self.put(&place.0, &document);
        }
    }

    /// A descriptor in an index.
    fn entry(&self, random: &mut Random) -> Option<Place> {
        let mut places = self.descriptors();
        places.retain(|(_, at)| at.starts_with("/manifests/"));
        random.pick(&places).cloned()
    }

    fn drop_blob(&mut self, random: &mut Random) -> &'static str {
        let blobs = self.files.keys().filter(|name| name.starts_with("blobs/"));
        let blobs: Vec<String> = blobs.cloned().collect();
        if let Some(name) = random.pick(&blobs) {
            self.files.remove(name);
        }
        "drop a blob"
    }

    fn change_list(
        &mut self,
        random: &mut Random,
        change: impl FnOnce(&mut Vec<Value>, &mut Random),
    ) {
        let indexes = self.indexes();
        let Some((name, mut index)) = random.pick(&indexes).cloned() else {
            return;
        };
        if let Some(list) = index["manifests"].as_array_mut() {
            change(list, random);
            self.put(&name, &index);
        }
    }

    fn duplicate_entry(&mut self, random: &mut Random) -> &'static str {
        self.change_list(random, |list, random| {
            let copy = list[random.index(list.len())].clone();
            list.insert(random.index(list.len() + 1), copy);
        });
        "duplicate an entry"
    }

    fn remove_entry(&mut self, random: &mut Random) -> &'static str {
        self.change_list(random, |list, random| {
            drop(list.remove(random.index(list.len())));
        });
        "remove an entry"
    }

    fn reorder_entries(&mut self, random: &mut Random) -> &'static str {
        self.change_list(random, |list, random| {
            let (a, b) = (random.index(list.len()), random.index(list.len()));
            list.swap(a, b);
        });
        "reorder entries"
    }

    fn name_entry(&mut self, random: &mut Random) -> &'static str {
        let entries = self.json("index.json");
        let count = entries
            .as_ref()
            .and_then(|index| index["manifests"].as_array())
            .map_or(0, Vec::len);
        if count == 0 {
            return "name nothing";
        }
        let place = (
            "index.json".to_owned(),
            format!("/manifests/{}", random.index(count)),
        );
        let key = [IMAGE_NAME, REF_NAME][random.index(2)];
        let name = NAMES[random.index(NAMES.len())];
        let is_removed = random.index(5) == 0;
        self.edit(&place, |entry| {
            let digest = text(entry, "digest").to_owned();
            let annotations = entry.entry("annotations").or_insert_with(|| json!({}));
            let Some(annotations) = annotations.as_object_mut() else {
                return;
            };
            if is_removed {
                annotations.shift_remove(key);
            } else {
                annotations.insert(key.to_owned(), json!(name.replace('$', &digest)));
            }
        });
        "name an entry"
    }

    fn share_name(&mut self, random: &mut Random) -> &'static str {
        let Some(mut index) = self.json("index.json") else {
            return "share nothing";
        };
        if let Some(list) = index["manifests"]
            .as_array_mut()
            .filter(|list| !list.is_empty())
        {
            let from = list[random.index(list.len())]["annotations"].clone();
            let to = random.index(list.len());
            if from.is_object() {
                list[to]["annotations"] = from;
            }
            self.put("index.json", &index);
        }
        "share a name"
    }

    fn set_platform(&mut self, random: &mut Random) -> &'static str {
        let platforms = [
            json!({"architecture": "amd64", "os": "linux"}),
            json!({"architecture": "arm64", "os": "linux"}),
            json!({"architecture": "arm64", "os": "linux", "variant": "v8"}),
            json!({"architecture": "arm", "os": "linux", "variant": "v7"}),
            json!({"architecture": "amd64", "os": "windows", "os.version": "10.0.17763.1"}),
            json!({"architecture": "amd64", "os": "linux", "os.features": ["erofs"]}),
            json!({"architecture": "unknown", "os": "unknown"}),
            Value::Null,
        ];
        let platform = platforms[random.index(platforms.len())].clone();
        if let Some(place) = self.entry(random) {
            self.edit(&place, |entry| {
                entry.shift_remove("platform");
                if !platform.is_null() {
                    entry.insert("platform".to_owned(), platform);
                }
            });
        }
        "set a platform"
    }

    fn set_type(&mut self, random: &mut Random) -> &'static str {
        let places = self.descriptors();
        let media_type = TYPES[random.index(TYPES.len())];
        let Some(place) = random.pick(&places).cloned() else {
            return "type nothing";
        };
        let is_other_family = random.index(3) > 0;
        let mut child = None;
        self.edit(&place, |descriptor| {
            let old = text(descriptor, "mediaType");
            let new = match other_family(old) {
                Some(other) if is_other_family => other,
                _ => media_type,
            };
            descriptor.insert("mediaType".to_owned(), json!(new));
            child = Some((blob_name(text(descriptor, "digest")), new));
        });
        // The document's own type follows, as far as it states one.
        if let Some((name, media_type)) = child
            && let Some(mut document) = self.json(&name)
            && document["mediaType"].is_string()
        {
            document["mediaType"] = json!(media_type);
            self.put(&name, &document);
        }
        "set a type"
    }

    fn set_size(&mut self, random: &mut Random) -> &'static str {
        let places = self.descriptors();
        if let Some(place) = random.pick(&places).cloned() {
            self.edit(&place, |descriptor| {
                let size = descriptor.get("size").and_then(Value::as_u64);
                descriptor.insert("size".to_owned(), json!(size.unwrap_or(0) + 1));
            });
        }
        "set a size"
    }

    fn change_key_case(&mut self, random: &mut Random) -> &'static str {
        let documents = self.documents();
        let Some((name, document)) = random.pick(&documents).cloned() else {
            return "change no key";
        };
        let (mut text, keys) = (
            document.to_string(),
            [
                "Config",
                "RepoTags",
                "Layers",
                "mediaType",
                "digest",
                "layers",
                "config",
            ],
        );
        let key = keys[random.index(keys.len())];
        text = text.replacen(
            &format!("\"{key}\":"),
            &format!("\"{}\":", other_case(key)),
            1,
        );
        self.put_bytes(&name, text.into_bytes());
        "change a key's case"
    }

    fn add_referrer(&mut self, random: &mut Random) -> &'static str {
        let Some(place) = self.entry(random) else {
            return "refer to nothing";
        };
        let target = self.json(&place.0).and_then(|document| {
            let entry = document.pointer(&place.1)?;
            Some(json!({"mediaType": entry["mediaType"], "digest": entry["digest"], "size": entry["size"]}))
        });
        let Some(target) = target else {
            return "refer to nothing";
        };
        let digest = target["digest"].as_str().unwrap_or_default().to_owned();
        let config = self.add("application/vnd.oci.empty.v1+json", b"{}".to_vec());
        let statement = format!("about {digest}").into_bytes();
        let layer = self.add("application/vnd.in-toto+json", statement);
        let mut manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
        let kind = random.index(3);
        if kind > 0 {
            manifest["artifactType"] = json!("application/vnd.docker.attestation.manifest.v1+json");
            manifest["subject"] = target;
        }
        let mut entry = self.add(OCI_MANIFEST, manifest.to_string().into_bytes());
        if kind < 2 {
            entry["platform"] = json!({"architecture": "unknown", "os": "unknown"});
            entry["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest});
        } else {
            entry["annotations"] = json!({"io.containerd.manifest.subject": digest});
        }
        let name = match random.index(2) {
            0 => "index.json".to_owned(),
            _ => place.0,
        };
        if let Some(mut index) = self.json(&name) {
            if let Some(list) = index["manifests"].as_array_mut() {
                list.push(entry);
            }
            self.put(&name, &index);
        }
        "add a referrer"
    }

    fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = format!("sha256:{}", sha256(&bytes));
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.files.insert(blob_name(&digest), bytes);
        descriptor
    }

    fn change_docker_manifest(&mut self, random: &mut Random) -> &'static str {
        let Some(mut manifest) = self.json("manifest.json") else {
            return "change no manifest.json";
        };
        let Some(list) = manifest.as_array_mut().filter(|list| !list.is_empty()) else {
            return "change no manifest.json";
        };
        let (one, other) = (random.index(list.len()), random.index(list.len()));
        match random.index(6) {
            0 => drop(list.remove(one)),
            1 => list.swap(one, other),
            2 => list.push(list[one].clone()),
            3 => list[one]["RepoTags"] = Value::Null,
            4 => list[one]["RepoTags"] = list[other]["RepoTags"].clone(),
            _ => {
                let tag = json!(NAMES[random.index(NAMES.len() - 3)]);
                match list[one]["RepoTags"].as_array_mut() {
                    Some(tags) => tags.push(tag),
                    None => list[one]["RepoTags"] = json!([tag]),
                }
            }
        }
        self.put("manifest.json", &manifest);
        "change manifest.json"
    }

    /// Replaces an entry of `index.json` for an index with what that lists, under the same name.
    fn flatten_index(&mut self, random: &mut Random) -> &'static str {
        let Some(mut root) = self.json("index.json") else {
            return "flatten nothing";
        };
        let Some(list) = root["manifests"]
            .as_array_mut()
            .filter(|list| !list.is_empty())
        else {
            return "flatten nothing";
        };
        let at = random.index(list.len());
        let index = list[at]["digest"].as_str().map(blob_name);
        let index = index.and_then(|name| self.json(&name));
        let children = index.and_then(|index| index["manifests"].as_array().cloned());
        let Some(children) = children else {
            return "flatten nothing";
        };
        let names = list[at]["annotations"].clone();
        let has_names = random.index(4) > 0;
        let children = children.into_iter().map(|mut child| {
            let is_image = child["annotations"]["vnd.docker.reference.digest"].is_null();
            if has_names && is_image && names.is_object() {
                child["annotations"] = names.clone();
            }
            child
        });
        list.splice(at..=at, children);
        self.put("index.json", &root);
        "flatten an index"
    }

    /// Moves an entry of `index.json` into an index of its own.
    fn wrap_entry(&mut self, random: &mut Random) -> &'static str {
        let Some(mut root) = self.json("index.json") else {
            return "wrap nothing";
        };
        let count = root["manifests"].as_array().map_or(0, Vec::len);
        if count == 0 {
            return "wrap nothing";
        }
        let at = random.index(count);
        let entry = root["manifests"][at].clone();
        let media_type = [OCI_INDEX, DOCKER_LIST][random.index(2)];
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [entry]});
        let mut wrapped = self.add(media_type, index.to_string().into_bytes());
        if entry["annotations"].is_object() {
            wrapped["annotations"] = entry["annotations"].clone();
        }
        root["manifests"][at] = wrapped;
        self.put("index.json", &root);
        "wrap an entry"
    }

    fn add_member(&mut self, random: &mut Random) -> &'static str {
        let places = self.descriptors();
        let member = random.index(4);
        if let Some(place) = random.pick(&places).cloned() {
            self.edit(&place, |descriptor| match member {
                0 => drop(descriptor.insert("x-unknown".to_owned(), json!({"a": [1.50, null]}))),
                1 => drop(descriptor.insert("urls".to_owned(), json!(["https://example.com/a"]))),
                2 => drop(descriptor.insert("annotations".to_owned(), json!({}))),
                _ => drop(descriptor.insert("artifactType".to_owned(), json!("application/x-a"))),
            });
        }
        "add a member"
    }

    fn drop_file(&mut self, random: &mut Random) -> &'static str {
        let name = ["oci-layout", "manifest.json", "index.json"][random.index(3)];
        self.files.remove(name);
        "drop a root file"
    }
}

/// A blob that has a new digest.
struct Moved {
    old: String,
    new: String,
    len: usize,
}

impl Moved {
    /// Updates what a document says about the blob; returns whether it said anything.
    fn follow(&self, value: &mut Value) -> bool {
        match value {
            Value::Object(object) => {
                let digest = object.get("digest").and_then(Value::as_str);
                let is_descriptor = digest.and_then(|digest| digest.strip_prefix("sha256:"))
                    == Some(self.old.as_str());
                if is_descriptor && object.contains_key("size") {
                    object["size"] = json!(self.len);
                    object.shift_remove("data");
                }
                let mut has_changed = false;
                for (_, value) in object.iter_mut() {
                    has_changed |= self.follow(value);
                }
                has_changed
            }
            Value::Array(items) => {
                let mut has_changed = false;
                for item in items {
                    has_changed |= self.follow(item);
                }
                has_changed
            }
            Value::String(text) if text.contains(&self.old) => {
                *text = text.replace(&self.old, &self.new);
                true
            }
            _ => false,
        }
    }
}

/// A string in a descriptor; empty if it is not there.
fn text<'a>(descriptor: &'a Map<String, Value>, key: &str) -> &'a str {
    descriptor
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn other_family(media_type: &str) -> Option<&'static str> {
    let pairs = [
        (OCI_INDEX, DOCKER_LIST),
        (OCI_MANIFEST, DOCKER_MANIFEST),
        (OCI_CONFIG, DOCKER_CONFIG),
        (OCI_GZIP, DOCKER_GZIP),
        (OCI_ZSTD, DOCKER_ZSTD),
    ];
    pairs.into_iter().find_map(|(oci, docker)| {
        (media_type == oci)
            .then_some(docker)
            .or((media_type == docker).then_some(oci))
    })
}

fn other_case(key: &str) -> String {
    match key.starts_with(char::is_lowercase) {
        true => key.to_uppercase(),
        false => key.to_lowercase(),
    }
}
