//! Checks ocify's outputs independently: it does not use ocify's code, and collects every fault.
//!
//! oci-spec parses `oci-layout`, every index and every manifest, those with Docker's types too, because their properties are the
//! same. Of configs it parses those of images: BuildKit's cache config and the configs of artifacts are not OCI documents.
//! `manifest.json` is Docker's own, and is judged by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest, OciLayout};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::contents::{Contents, blob_name};
use super::{sha256, sha512};

const OCI: &str = "application/vnd.oci.image.";
const BLOCK: usize = 512;

/// Facts about a valid output.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Digests that a document names and that are not there.
    pub(crate) missing: BTreeSet<String>,
    /// Blobs that no document names.
    pub(crate) unreferenced: BTreeSet<String>,
    /// Config digests of the images.
    pub(crate) configs: BTreeSet<String>,
    /// Full names by the digest that `index.json` gives them.
    pub(crate) names: BTreeMap<String, String>,
    /// RepoTags by config digest.
    pub(crate) tags: BTreeMap<String, BTreeSet<String>>,
}

struct Check<'a> {
    contents: &'a Contents,
    faults: Vec<String>,
    seen: BTreeSet<String>,
    facts: Facts,
    /// Whether everything below `index.json` has Docker's types.
    is_docker: bool,
}

/// Docker's types by the ends of OCI's.
const DOCKER: [(&str, &str); 7] = [
    ("index.v1+json", "distribution.manifest.list.v2+json"),
    ("manifest.v1+json", "distribution.manifest.v2+json"),
    ("config.v1+json", "container.image.v1+json"),
    ("layer.v1.tar", "image.rootfs.diff.tar"),
    ("layer.v1.tar+gzip", "image.rootfs.diff.tar.gzip"),
    (
        "layer.nondistributable.v1.tar",
        "image.rootfs.foreign.diff.tar",
    ),
    (
        "layer.nondistributable.v1.tar+gzip",
        "image.rootfs.foreign.diff.tar.gzip",
    ),
];

/// The OCI type for one of Docker's types; any other type is returned unchanged.
fn oci_type(media_type: &str) -> String {
    let end = media_type.strip_prefix("application/vnd.docker.");
    let row = DOCKER.iter().find(|(_, docker)| Some(*docker) == end);
    row.map_or_else(|| media_type.to_owned(), |(oci, _)| format!("{OCI}{oci}"))
}

/// Checks an output; panics with all faults.
#[track_caller]
pub(crate) fn check_output(path: &Path) -> Facts {
    match judge(path) {
        Ok(facts) => facts,
        Err(faults) => panic!("{} is not right:\n{}", path.display(), faults.join("\n")),
    }
}

/// Checks an output archive or layout directory.
pub(crate) fn judge(path: &Path) -> Result<Facts, Vec<String>> {
    judge_types(path, false)
}

pub(crate) fn judge_types(path: &Path, is_docker: bool) -> Result<Facts, Vec<String>> {
    let mut faults = Vec::new();
    if path.is_file() {
        check_form(&fs::read(path).unwrap(), false, &mut faults);
    }
    judge_contents(&Contents::read(path), is_docker, faults)
}

pub(crate) fn judge_contents(
    contents: &Contents,
    is_docker: bool,
    faults: Vec<String>,
) -> Result<Facts, Vec<String>> {
    let mut check = Check {
        contents,
        faults,
        seen: BTreeSet::new(),
        facts: Facts::default(),
        is_docker,
    };
    check.files();
    let root = contents.json("index.json");
    if root["mediaType"] != format!("{OCI}index.v1+json") {
        check.fault("index.json", format!("mediaType {}", root["mediaType"]));
    }
    check.parses::<ImageIndex>(contents.file("index.json"), "index.json");
    check.index(&root, "index.json");
    check.names();
    check.docker_manifest();
    let present = contents.digests().into_iter();
    check.facts.unreferenced = present
        .filter(|digest| !check.seen.contains(digest))
        .collect();
    if check.faults.is_empty() {
        Ok(check.facts)
    } else {
        Err(check.faults)
    }
}

/// Checks headers, order, padding and end against the canonical form (docs/outputs.md). In a stream the blobs that are not documents come
/// first, in any order.
pub(crate) fn check_form(bytes: &[u8], is_stream: bool, faults: &mut Vec<String>) {
    let mut fault = |name: &str, what: &str| faults.push(format!("{name}: {what}"));
    let mut archive = tar::Archive::new(bytes);
    let mut names: Vec<String> = Vec::new();
    let mut documents: BTreeSet<String> = BTreeSet::new();
    let mut end = 0;
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let header = entry.header().as_bytes();
        let is_dir = name.ends_with('/');
        let mode: &[u8] = match name.as_str() {
            _ if is_dir => b"0000755\0",
            "index.json" | "manifest.json" => b"0000644\0",
            _ => b"0000444\0",
        };
        let size = if is_dir { 0 } else { entry.size() };
        let expected: [(&str, std::ops::Range<usize>, Vec<u8>); 8] = [
            ("mode", 100..108, mode.to_vec()),
            ("owner", 108..124, b"0000000\x000000000\0".to_vec()),
            ("size", 124..136, format!("{size:011o}\0").into_bytes()),
            ("time", 136..148, b"00000000000\0".to_vec()),
            ("type", 156..157, vec![if is_dir { b'5' } else { b'0' }]),
            ("link", 157..257, vec![0; 100]),
            ("magic", 257..265, b"ustar\x0000".to_vec()),
            ("owner's names", 265..329, vec![0; 64]),
        ];
        for (what, range, expected) in expected {
            if header[range] != expected {
                fault(&name, what);
            }
        }
        if name.starts_with(['/', '.']) || name.contains("//") {
            fault(&name, "name");
        }
        let parent = name
            .trim_end_matches('/')
            .rsplit_once('/')
            .map(|(dir, _)| format!("{dir}/"));
        if parent.is_some_and(|parent| !names.contains(&parent)) {
            fault(&name, "stands before its directory");
        }
        let is_sha512 = name.starts_with("blobs/sha512/") && !is_dir;
        let start = end + if is_sha512 { 2 * BLOCK } else { 0 };
        if entry.raw_header_position() != start as u64 {
            fault(&name, "has a header more than it needs");
        }
        let data = entry.raw_file_position() as usize;
        let data_end = data + size as usize;
        end = data_end.next_multiple_of(BLOCK);
        if bytes[data_end..end].iter().any(|&byte| byte != 0) {
            fault(&name, "padding");
        }
        let text = bytes[data..data_end].trim_ascii_start();
        if name.starts_with("blobs/") && text.starts_with(b"{") && size <= 4 << 20 {
            documents.insert(name.clone());
        }
        names.push(name);
    }
    let mut expected = names.clone();
    expected.sort();
    if is_stream {
        let place = |name: &String| {
            let is_blob = name.starts_with("blobs/");
            is_blob && !name.ends_with('/') && !documents.contains(name)
        };
        // Other blobs keep their position, and a directory precedes its first blob.
        let passed: Vec<String> = names.iter().filter(|name| place(name)).cloned().collect();
        expected.retain(|name| !place(name) && !name.ends_with('/'));
        expected.splice(0..0, passed);
        let mut directories: BTreeSet<String> = BTreeSet::new();
        let with_directories = expected.into_iter().flat_map(|name| {
            let parents = name
                .match_indices('/')
                .map(|(at, _)| name[..=at].to_owned());
            let new: Vec<String> = parents
                .filter(|dir| directories.insert(dir.clone()))
                .collect();
            new.into_iter().chain([name])
        });
        expected = with_directories.collect();
    }
    let is_twice = names.iter().collect::<BTreeSet<_>>().len() < names.len();
    if names != expected || is_twice {
        fault("the entries", &format!("order: {names:#?}"));
    }
    if bytes.len() != end + 2 * BLOCK || bytes[end..].iter().any(|&byte| byte != 0) {
        fault("the end", "is not two blocks of zeros");
    }
}

impl Check<'_> {
    fn fault(&mut self, at: &str, what: impl AsRef<str>) {
        self.faults.push(format!("{at}: {}", what.as_ref()));
    }

    /// Whether the specification's own types accept a document.
    fn parses<T: DeserializeOwned>(&mut self, bytes: &[u8], at: &str) {
        if let Err(error) = serde_json::from_slice::<T>(bytes) {
            self.fault(at, format!("oci-spec refuses it: {error}"));
        }
    }

    fn files(&mut self) {
        for (name, bytes) in &self.contents.files {
            let found = match name.split('/').collect::<Vec<_>>()[..] {
                ["blobs", "sha256", hex] => (hex.to_owned(), sha256(bytes)),
                ["blobs", "sha512", hex] => (hex.to_owned(), sha512(bytes)),
                ["index.json" | "manifest.json" | "oci-layout"] => continue,
                // By another algorithm, which nothing here can compute.
                ["blobs", _, _] => continue,
                _ => ("a file of an image".to_owned(), name.clone()),
            };
            if found.0 != found.1 {
                self.fault(name, format!("expected {}, found {}", found.0, found.1));
            }
        }
        self.parses::<OciLayout>(self.contents.file("oci-layout"), "oci-layout");
        let version: Value = self.contents.json("oci-layout");
        if version["imageLayoutVersion"] != "1.0.0" {
            self.fault("oci-layout", "version");
        }
    }

    fn index(&mut self, index: &Value, at: &str) {
        for (number, child) in list(index, "manifests").enumerate() {
            self.descriptor(child, &format!("{at}, manifests[{number}]"));
        }
        self.subject(index, at);
    }

    fn subject(&mut self, document: &Value, at: &str) {
        if document["subject"].is_object() {
            self.descriptor(&document["subject"], &format!("{at}, subject"));
        }
    }

    /// Size, embedded data and type of a descriptor, and what it names.
    fn descriptor(&mut self, descriptor: &Value, at: &str) {
        let stated = descriptor["mediaType"].as_str().unwrap_or_default();
        let media_type = &oci_type(stated);
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        // Only the Docker types in the table are valid, and only if they were requested.
        let is_docker = media_type != stated;
        let families = ["distribution.", "image.", "container.", "plugin."];
        let is_other = media_type
            .strip_prefix("application/vnd.docker.")
            .is_some_and(|rest| families.iter().any(|family| rest.starts_with(family)));
        if is_docker != self.is_docker || is_other {
            self.fault(at, stated);
        }
        let Some(bytes) = self.contents.blob(digest) else {
            self.facts.missing.insert(digest.to_owned());
            return;
        };
        if descriptor["size"] != json!(bytes.len()) {
            self.fault(
                at,
                format!("size {}, length {}", descriptor["size"], bytes.len()),
            );
        }
        if let Some(data) = descriptor["data"].as_str()
            && decode_base64(data) != bytes
        {
            self.fault(at, "embedded data");
        }
        let is_new = self.seen.insert(digest.to_owned());
        // Nobody reads what cannot be verified.
        let is_new = is_new
            && ["sha256:", "sha512:"]
                .iter()
                .any(|front| digest.starts_with(front));
        let kind = media_type.strip_prefix(OCI);
        if !is_new || !matches!(kind, Some("index.v1+json" | "manifest.v1+json")) {
            return;
        }
        let document: Value = serde_json::from_slice(bytes).unwrap();
        // OCI's manifests need not state their type, and neither need indexes of anything but images.
        let is_optional = !self.is_docker
            && document["mediaType"].is_null()
            && !(kind == Some("index.v1+json") && self.leads_to_image(digest));
        if document["mediaType"] != stated && !is_optional {
            self.fault(
                at,
                format!("mediaType {} in the document", document["mediaType"]),
            );
        }
        if kind == Some("index.v1+json") {
            self.parses::<ImageIndex>(bytes, at);
            self.index(&document, at);
        } else {
            self.parses::<ImageManifest>(bytes, at);
            self.manifest(&document, at);
        }
    }

    fn manifest(&mut self, manifest: &Value, at: &str) {
        self.descriptor(&manifest["config"], &format!("{at}, config"));
        for (number, layer) in list(manifest, "layers").enumerate() {
            self.descriptor(layer, &format!("{at}, layers[{number}]"));
        }
        self.subject(manifest, at);
        if !is_image(self.contents, manifest) {
            return;
        }
        let digest = manifest["config"]["digest"].as_str().unwrap();
        let Some(config) = self.contents.blob(digest) else {
            return;
        };
        self.facts.configs.insert(digest.to_owned());
        let config: Value = serde_json::from_slice(config).unwrap();
        // Configs keep their bytes, and those without layers may have null where a list should be.
        let mut lists = config.clone();
        for list in ["/history", "/rootfs/diff_ids"] {
            if let Some(list) = lists.pointer_mut(list).filter(|list| list.is_null()) {
                *list = json!([]);
            }
        }
        let lists = lists.to_string();
        self.parses::<ImageConfiguration>(lists.as_bytes(), &format!("{at}, config"));
        let diff_ids: Vec<&Value> = list(&config["rootfs"], "diff_ids").collect();
        let layers: Vec<&Value> = list(manifest, "layers").collect();
        if diff_ids.len() != layers.len() && !layers.iter().any(|layer| is_opaque(layer)) {
            self.fault(at, "numbers of layers and diff IDs");
        }
        for (number, (layer, diff_id)) in layers.into_iter().zip(diff_ids).enumerate() {
            self.layer(layer, diff_id, &format!("{at}, layers[{number}]"));
        }
    }

    /// The label is the actual compression, and the content is that of the diff ID.
    fn layer(&mut self, layer: &Value, diff_id: &Value, at: &str) {
        let media_type = &oci_type(layer["mediaType"].as_str().unwrap_or_default());
        if is_opaque(layer) {
            return;
        }
        let Some(bytes) = self
            .contents
            .blob(layer["digest"].as_str().unwrap_or_default())
        else {
            return;
        };
        let label = media_type
            .strip_prefix(OCI)
            .and_then(|rest| rest.strip_prefix("layer."))
            .map(|rest| rest.trim_start_matches("nondistributable."));
        let (expected, plain) = unpack(bytes);
        if label != Some(expected) {
            self.fault(at, format!("is labelled {media_type}, and is {expected}"));
        }
        if *diff_id != format!("sha256:{}", sha256(&plain)) {
            self.fault(at, format!("diff ID {diff_id}"));
        }
    }

    fn names(&mut self) {
        let index = self.contents.json("index.json");
        for (number, entry) in list(&index, "manifests").enumerate() {
            let annotation = |key: &str| entry["annotations"][key].as_str().map(str::to_owned);
            let image = annotation("io.containerd.image.name");
            let reference = annotation("org.opencontainers.image.ref.name");
            let Some(image) = image else { continue };
            let at = format!("index.json, manifests[{number}]");
            if reference.is_none() {
                self.fault(&at, "has an image name and no ref name");
            }
            let digest = entry["digest"].as_str().unwrap_or_default().to_owned();
            self.facts.names.insert(image, digest);
        }
        for name in repeated_names(self.contents) {
            self.fault("the names", format!("{name} is there twice"));
        }
    }

    /// Whether a digest is that of an image, or of an index with one.
    fn leads_to_image(&self, digest: &str) -> bool {
        self.leads_to(digest, &|manifest: &Value| {
            is_image(self.contents, manifest)
        })
    }

    /// Whether a digest is that of such a manifest, or of an index with one.
    fn leads_to(&self, digest: &str, is_such: &dyn Fn(&Value) -> bool) -> bool {
        let Some(bytes) = self.contents.blob(digest) else {
            return false;
        };
        // BuildKit's caches list layers.
        let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let mut children = list(&document, "manifests");
        children.any(|child| self.leads_to(child["digest"].as_str().unwrap_or_default(), is_such))
            || document["config"].is_object() && is_such(&document)
    }

    /// Whether docker does not refuse an image because a layer has no diff ID.
    fn is_loadable(&self, manifest: &Value) -> bool {
        let config = manifest["config"]["digest"].as_str().unwrap_or_default();
        let Some(config) = self
            .contents
            .blob(config)
            .filter(|_| is_image(self.contents, manifest))
        else {
            return false;
        };
        let config: Value = serde_json::from_slice(config).unwrap_or_default();
        list(&config["rootfs"], "diff_ids").count() == list(manifest, "layers").count()
    }

    /// Whether an item has the config and the layers of a manifest. Of a layer that is fetched
    /// elsewhere, the archive may contain a plain tar under its diff ID instead.
    fn describes(&self, item: &Value, manifest: &Value) -> bool {
        let entry = |part: &Value| json!(blob_name(part["digest"].as_str().unwrap()));
        let config = manifest["config"]["digest"].as_str().unwrap();
        let config: Value = self.contents.blob(config).map_or(Value::Null, |bytes| {
            serde_json::from_slice(bytes).unwrap_or_default()
        });
        let is_layer = |(number, layer): (usize, &Value)| {
            let found = &item["Layers"][number];
            let media_type = oci_type(layer["mediaType"].as_str().unwrap_or_default());
            let local = config["rootfs"]["diff_ids"][number].as_str().map(blob_name);
            let has_local = local.is_some_and(|local| self.contents.has(&local) && *found == local);
            *found == entry(layer) || media_type.contains(".nondistributable.") && has_local
        };
        item["Config"] == entry(&manifest["config"])
            && list(item, "Layers").count() == list(manifest, "layers").count()
            && list(manifest, "layers").enumerate().all(is_layer)
    }

    /// Both roots describe the same images under the same names.
    fn docker_manifest(&mut self) {
        let is_present = self.contents.has("manifest.json");
        let index = self.contents.json("index.json");
        let mut entries = list(&index, "manifests");
        let has_images = entries.any(|entry| {
            self.leads_to(entry["digest"].as_str().unwrap_or_default(), &|manifest| {
                self.is_loadable(manifest)
            })
        });
        if is_present != has_images {
            let what = if is_present {
                "is there for no image"
            } else {
                "is absent"
            };
            self.fault("manifest.json", what);
        }
        if !is_present {
            return;
        }
        let manifests = self.contents.manifests();
        let document = self.contents.json("manifest.json");
        let mut described_before: BTreeSet<String> = BTreeSet::new();
        for (number, item) in document.as_array().into_iter().flatten().enumerate() {
            let at = format!("manifest.json[{number}]");
            let described = manifests
                .iter()
                .any(|(_, manifest)| self.describes(item, manifest));
            if !described {
                self.fault(&at, format!("is no image of index.json: {item}"));
            }
            let known = ["Config", "RepoTags", "Layers", "LayerSources"];
            for key in item.as_object().unwrap().keys() {
                if !known.contains(&key.as_str()) {
                    self.fault(&at, key);
                }
            }
            let config = item["Config"].as_str().unwrap_or_default();
            let digest = config.trim_start_matches("blobs/").replacen('/', ":", 1);
            let tags = list(item, "RepoTags").map(|tag| tag.as_str().unwrap().to_owned());
            let tags: BTreeSet<String> = tags.collect();
            if tags.is_empty() && !item["RepoTags"].is_null() {
                self.fault(&at, "RepoTags is empty and not null");
            }
            self.facts.tags.entry(digest).or_default().extend(tags);
            // One config can belong to the same layers in two compressions.
            if !described_before.insert(format!("{} {}", item["Config"], item["Layers"])) {
                self.fault(&at, "describes an image for the second time");
            }
        }
        let tags: BTreeSet<String> = self.facts.tags.values().flatten().cloned().collect();
        let names = self.facts.names.iter();
        let is_loadable = |manifest: &Value| self.is_loadable(manifest);
        let names = names
            .filter(|(name, digest)| !name.contains('@') && self.leads_to(digest, &is_loadable));
        let names: BTreeSet<String> = names.map(|(name, _)| familiar(name)).collect();
        if tags != names {
            self.fault(
                "the names",
                format!("manifest.json {tags:?}, index.json {names:?}"),
            );
        }
    }
}

/// The names that several entries of `index.json` have, and the tags that are in `manifest.json` more than once.
pub(crate) fn repeated_names(contents: &Contents) -> Vec<String> {
    let index = contents.json("index.json");
    let name = |entry: &Value| {
        let annotation = |key: &str| entry["annotations"][key].as_str().map(str::to_owned);
        let keys = [
            "io.containerd.image.name",
            "org.opencontainers.image.ref.name",
        ];
        let mut stated = keys
            .into_iter()
            .filter_map(|key| Some((key, annotation(key)?)));
        let (key, name) = stated.find(|(_, name)| !name.is_empty())?;
        // A tag alone does not name an image.
        let is_tag = key == keys[1] && !name.contains([':', '/']);
        Some(if is_tag {
            format!("the tag {name}")
        } else {
            name
        })
    };
    // In cosign's layouts, evidence has the name of its image.
    let entries = list(&index, "manifests").filter(|entry| entry["annotations"]["kind"].is_null());
    let mut names: Vec<String> = entries.filter_map(name).collect();
    let mut tags = Vec::new();
    if contents.has("manifest.json") {
        let document = contents.json("manifest.json");
        for item in document.as_array().into_iter().flatten() {
            tags.extend(list(item, "RepoTags").map(|tag| tag.to_string()));
        }
    }
    let mut repeated = Vec::new();
    for names in [&mut names, &mut tags] {
        names.sort();
        let pairs = names.windows(2).filter(|pair| pair[0] == pair[1]);
        repeated.extend(pairs.map(|pair| pair[0].clone()));
    }
    repeated
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// Whether a manifest is that of an image. One that states an artifact type is if `manifest.json` lists its config.
fn is_image(contents: &Contents, manifest: &Value) -> bool {
    let config = manifest["config"]["mediaType"].as_str().unwrap_or_default();
    let is_listed = || {
        let digest = manifest["config"]["digest"].as_str().unwrap_or_default();
        let items = contents
            .has("manifest.json")
            .then(|| contents.json("manifest.json"));
        let items = items.iter().flat_map(Value::as_array).flatten();
        items
            .map(|item| &item["Config"])
            .any(|name| *name == *blob_name(digest))
    };
    oci_type(config) == format!("{OCI}config.v1+json")
        && (manifest["artifactType"].is_null() || is_listed())
        && list(manifest, "layers").all(|layer| {
            let media_type = oci_type(layer["mediaType"].as_str().unwrap_or_default());
            media_type.starts_with(&format!("{OCI}layer.")) || is_opaque(layer)
        })
}

/// Whether a layer is not a tar: it is encrypted, or a filesystem image.
fn is_opaque(layer: &Value) -> bool {
    let media_type = layer["mediaType"].as_str().unwrap_or_default();
    media_type.ends_with("+encrypted")
        || media_type.starts_with("application/vnd.erofs")
        || media_type.contains(".nydus.")
}

/// A name as Docker shows it.
pub(crate) fn familiar(name: &str) -> String {
    let short = name.strip_prefix("docker.io/").unwrap_or(name);
    short.strip_prefix("library/").unwrap_or(short).to_owned()
}

/// The end of a layer's media type by its bytes, and the plain tar in it.
pub(crate) fn unpack(bytes: &[u8]) -> (&'static str, Vec<u8>) {
    let mut plain = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
        decoder.read_to_end(&mut plain).unwrap();
        ("v1.tar+gzip", plain)
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || bytes.get(1..4) == Some(b"\x2a\x4d\x18")
    {
        ("v1.tar+zstd", zstd::decode_all(bytes).unwrap())
    } else {
        ("v1.tar", bytes.to_vec())
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        let value = ALPHABET.iter().position(|&known| known == byte).unwrap();
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
