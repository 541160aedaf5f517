//! Fixtures with random changes: of documents, layers, entries and the complete archive.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::archive::{folder, names_if_several, tags_if_several};
use crate::common::archive::{Entry, open_tar, tar};
use crate::common::builder::{
    DOCKER_GZIP, DOCKER_TAR, DOCKER_ZSTD, OCI_GZIP, OCI_TAR, OCI_ZSTD, REF_NAME, bzip2, gzip, xz,
    zstd,
};
use crate::common::contents::{Contents, blob_name};
use crate::common::mutations::Mutant;
use crate::common::random::Random;
use crate::common::{mutations::Place, sha256};

/// A frame that zstd's readers skip.
const SKIPPABLE: &[u8] = b"\x53\x2a\x4d\x18\x05\0\0\0hello";

/// A form of compression.
type Form = fn(&[u8]) -> Vec<u8>;

/// An archive with random changes.
#[derive(Debug)]
pub(crate) struct Case {
    /// What the changes follow from; 0 if there are none.
    pub(crate) seed: u64,
    /// The fixture and the changes, in order.
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
    /// The names to request of several, in `index.json` and in `manifest.json`.
    pub(crate) names: [Vec<String>; 2],
}

impl Case {
    /// An archive without changes.
    pub(crate) fn of(what: String, path: &Path) -> Self {
        Case {
            seed: 0,
            what,
            bytes: fs::read(path).expect("the archive is readable"),
            names: [names_if_several(path), tags_if_several(path)],
        }
    }
}

/// The fixtures that are changed.
#[derive(Debug)]
pub(crate) struct Sources(Vec<(String, Contents)>);

impl Sources {
    /// All fixtures that are archives of images.
    pub(crate) fn read() -> Self {
        let mut sources = Vec::new();
        for place in ["", "2026/"] {
            let entries = fs::read_dir(folder().join(place)).expect("the fixtures are readable");
            for entry in entries {
                let name = entry.expect("the fixtures are readable").file_name();
                let name = name.into_string().expect("names are UTF-8");
                if name.ends_with(".tar") {
                    let contents = Contents::read(&folder().join(place).join(&name));
                    sources.push((format!("{place}{name}"), contents));
                }
            }
        }
        sources.sort_by(|one, other| one.0.cmp(&other.0));
        Sources(sources)
    }

    /// The archive that follows from a seed. It has no entries for directories.
    pub(crate) fn case(&self, seed: u64) -> Case {
        self.case_with(seed, |_| ())
    }

    /// The same with entries for all directories before the files.
    pub(crate) fn case_with_directories(&self, seed: u64) -> Case {
        let case = self.case_with(seed, |entries| {
            let has_root = seed.is_multiple_of(2);
            add_directories(entries, has_root);
        });
        let what = format!("{}, with directories", case.what);
        Case { what, ..case }
    }

    fn case_with(&self, seed: u64, change: impl FnOnce(&mut Vec<Entry>)) -> Case {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (name, contents) = random.pick(&self.0).expect("there are fixtures");
        let mut what = vec![name.as_str()];
        let mut mutant = Mutant::of(contents);
        let of_documents = random.index(3);
        let of_layers = random.index(3).saturating_sub(1);
        let of_config = random.index(6) / 5;
        for _ in 0..of_documents {
            what.push(mutant.mutate(&mut random));
        }
        for _ in 0..of_layers {
            what.push(change_layer(&mut mutant, &mut random));
        }
        for _ in 0..of_config {
            what.push(change_image(&mut mutant, &mut random));
        }
        rename_configs(&mut mutant, contents);
        let names = [ref_names(&mutant), tags(&mutant)];
        let files = mutant.files.iter();
        let mut entries: Vec<Entry> = files
            .map(|(name, bytes)| Entry::file(name, bytes))
            .collect();
        let changes = of_documents + of_layers + of_config;
        let of_entries = random.index(3).max(usize::from(changes == 0));
        for _ in 0..of_entries {
            what.push(change_entries(&mut entries, &mut random));
        }
        change(&mut entries);
        let mut bytes = match random.index(20) {
            0 => open_tar(&entries),
            _ => tar(&entries),
        };
        if random.index(25) == 0 {
            let (name, form): (_, Form) = match random.index(5) {
                0 => ("compress the archive with gzip", gzip),
                1 => ("compress the archive with zstd", zstd),
                2 => ("compress the archive with bzip2", bzip2),
                3 => ("compress the archive with xz", xz),
                _ => ("compress the archive with zstd after a frame", skippable),
            };
            what.push(name);
            bytes = form(&bytes);
        }
        Case {
            seed,
            what: what.join(", "),
            bytes,
            names,
        }
    }
}

/// Names the configs of a Docker archive by their new digests. Under the old ones, they are damaged.
fn rename_configs(mutant: &mut Mutant, original: &Contents) {
    for (name, old) in &original.files {
        let digest = sha256(old);
        let is_named_by_digest = !name.starts_with("blobs/") && name.contains(&digest);
        let new = mutant.files.get(name).filter(|new| *new != old);
        let Some(new) = new.filter(|new| is_named_by_digest && new.starts_with(b"{")) else {
            continue;
        };
        let renamed = name.replace(&digest, &sha256(new));
        if let Some(new) = mutant.files.remove(name) {
            mutant.files.insert(renamed.clone(), new);
        }
        if let Some(list) = mutant.files.get_mut("manifest.json") {
            let text = String::from_utf8_lossy(list).replace(name, &renamed);
            *list = text.into_bytes();
        }
    }
}

/// The ref names of the entries of `index.json`.
fn ref_names(mutant: &Mutant) -> Vec<String> {
    let index = mutant.json("index.json").unwrap_or_default();
    let entries = index["manifests"].as_array().into_iter().flatten();
    let names = entries.filter_map(|entry| entry["annotations"][REF_NAME].as_str());
    let names: BTreeSet<&str> = names.collect();
    names.into_iter().map(str::to_owned).collect()
}

/// A tag of each image of `manifest.json`.
fn tags(mutant: &Mutant) -> Vec<String> {
    let items = mutant.json("manifest.json").unwrap_or_default();
    let items = items.as_array().into_iter().flatten();
    let tags = items.filter_map(|item| item["RepoTags"][0].as_str());
    tags.map(str::to_owned).collect()
}

fn skippable(bytes: &[u8]) -> Vec<u8> {
    [SKIPPABLE, &zstd(bytes)].concat()
}

/// The descriptors of layers.
fn layers(mutant: &Mutant) -> Vec<Place> {
    let mut places = mutant.descriptors();
    places.retain(|(_, at)| at.starts_with("/layers/"));
    places
}

/// The names of the entries that are layers.
fn layer_entries(mutant: &Mutant) -> Vec<String> {
    let of_descriptors = layers(mutant).into_iter().filter_map(|(name, at)| {
        let document = mutant.json(&name)?;
        let digest = document.pointer(&at)?["digest"].as_str()?;
        Some(blob_name(digest))
    });
    let items = mutant.json("manifest.json").unwrap_or_default();
    let items = items.as_array().into_iter().flatten();
    let names = items.flat_map(|item| item["Layers"].as_array().into_iter().flatten());
    let names = names.filter_map(Value::as_str).map(str::to_owned);
    let mut all: Vec<String> = of_descriptors.chain(names).collect();
    all.retain(|name| mutant.files.contains_key(name));
    all.sort();
    all.dedup();
    all
}

/// The plain tar of a layer.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let decoded = match bytes {
        [0x1f, 0x8b, ..] => {
            let mut plain = Vec::new();
            let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
            std::io::copy(&mut decoder, &mut plain).ok().map(|_| plain)
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::decode_all(bytes).ok(),
        _ => None,
    };
    decoded.unwrap_or_else(|| bytes.to_vec())
}

/// Compresses a layer in another way, or replaces what it contains.
fn change_layer(mutant: &mut Mutant, random: &mut Random) -> &'static str {
    let names = layer_entries(mutant);
    let Some(name) = random.pick(&names).cloned() else {
        return "change no layer";
    };
    let old = mutant.files[&name].clone();
    let tar = plain(&old);
    let (what, types, new): (_, [&str; 2], _) = match random.index(9) {
        0 => ("decompress a layer", [OCI_TAR, DOCKER_TAR], tar),
        1 | 2 => (
            "compress a layer with gzip",
            [OCI_GZIP, DOCKER_GZIP],
            gzip(&tar),
        ),
        3 => (
            "compress a layer with zstd",
            [OCI_ZSTD, DOCKER_ZSTD],
            zstd(&tar),
        ),
        4 => (
            "compress a layer with zstd after a frame",
            [OCI_ZSTD, DOCKER_GZIP],
            skippable(&tar),
        ),
        5 => ("compress a layer with bzip2", ["", ""], bzip2(&tar)),
        6 => ("compress a layer with xz", ["", ""], xz(&tar)),
        7 => ("compress a layer twice", ["", ""], gzip(&gzip(&tar))),
        _ => {
            let text = b"this is not a tar archive".repeat(40);
            let new = [text.clone(), gzip(&text), zstd(&text)][random.index(3)].clone();
            ("replace a layer with a text", ["", ""], new)
        }
    };
    let follows = random.index(2) == 0;
    put(mutant, &name, &old, new);
    if random.index(2) == 0 {
        return what;
    }
    // The type follows.
    let hex = layer_entries(mutant);
    for place in layers(mutant) {
        let digest = mutant.json(&place.0).and_then(|document| {
            let digest = document.pointer(&place.1)?["digest"].as_str()?;
            Some(digest.to_owned())
        });
        let is_it = digest.is_some_and(|digest| {
            let name = blob_name(&digest);
            hex.contains(&name) && !names.contains(&name)
        });
        let media_type = types[usize::from(!follows)];
        if is_it && !media_type.is_empty() {
            mutant.edit(&place, |layer| {
                layer.insert("mediaType".to_owned(), json!(media_type));
            });
        }
    }
    what
}

/// Replaces a layer. What refers to it follows, and so do the diff IDs if what it decompresses to is another.
fn put(mutant: &mut Mutant, name: &str, old: &[u8], new: Vec<u8>) {
    let inside = |bytes: &[u8]| sha256(&plain(bytes));
    let (before, after) = (inside(old), inside(&new));
    mutant.put_bytes(name, new);
    let mut documents = mutant.documents();
    documents.retain(|(_, document)| document["rootfs"].is_object());
    for (name, document) in documents {
        let text = document.to_string();
        if before != after && text.contains(&before) {
            let text = text.replace(&before, &after);
            mutant.put_bytes(&name, text.into_bytes());
        }
    }
}

/// Changes a config, or the layers of a manifest.
fn change_image(mutant: &mut Mutant, random: &mut Random) -> &'static str {
    let choice = random.index(10);
    let is_config = choice < 5;
    let mut documents = mutant.documents();
    documents.retain(|(_, document)| match is_config {
        true => document["rootfs"].is_object(),
        false => document["layers"].is_array() || document.is_array(),
    });
    let Some((name, mut document)) = random.pick(&documents).cloned() else {
        return "change no image";
    };
    if is_config {
        let what = change_config(&mut document, choice, random);
        mutant.put(&name, &document);
        return what;
    }
    let list = match document.as_array_mut() {
        Some(items) => items
            .first_mut()
            .and_then(|item| item["Layers"].as_array_mut()),
        None => document["layers"].as_array_mut(),
    };
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        return "change no layers";
    };
    let (one, other) = (random.index(list.len()), random.index(list.len()));
    let what = match choice {
        5 | 6 => {
            list.swap(one, other);
            "swap layers"
        }
        7 => {
            list.remove(one);
            "leave out a layer"
        }
        8 => {
            let layer = list[one].clone();
            list.insert(other, layer);
            "repeat a layer"
        }
        _ => {
            list.clear();
            "leave out all layers"
        }
    };
    mutant.put(&name, &document);
    what
}

fn change_config(config: &mut Value, choice: usize, random: &mut Random) -> &'static str {
    let ids = config["rootfs"]["diff_ids"].as_array_mut();
    match (choice, ids) {
        (0, _) => {
            let systems = ["windows", "freebsd", "", "linux"];
            config["os"] = json!(systems[random.index(systems.len())]);
            "set an operating system"
        }
        (1, _) => {
            let all = ["arm64", "amd64", "", "unknown"];
            config["architecture"] = json!(all[random.index(all.len())]);
            "set an architecture"
        }
        (2, _) => {
            let keys = ["os", "architecture", "rootfs", "history", "created"];
            let key = keys[random.index(keys.len())];
            if let Some(config) = config.as_object_mut() {
                config.shift_remove(key);
            }
            "remove a key of a config"
        }
        (3, Some(ids)) if !ids.is_empty() => {
            let (one, other) = (random.index(ids.len()), random.index(ids.len()));
            ids.swap(one, other);
            "swap diff IDs"
        }
        (_, Some(ids)) if !ids.is_empty() => {
            ids.remove(random.index(ids.len()));
            "remove a diff ID"
        }
        _ => "change no config",
    }
}

/// Changes the entries of an archive.
fn change_entries(entries: &mut Vec<Entry>, random: &mut Random) -> &'static str {
    if entries.is_empty() {
        return "change no entry";
    }
    let (one, other) = (random.index(entries.len()), random.index(entries.len()));
    match random.index(16) {
        0 | 1 => {
            for at in 0..entries.len() {
                let to = random.index(entries.len());
                entries.swap(at, to);
            }
            "shuffle entries"
        }
        2 => {
            let copy = entries[one].clone();
            entries.insert(other, copy);
            "duplicate an entry of the archive"
        }
        3 => {
            prefix(entries, b"./");
            "begin all names with ./"
        }
        4 => {
            prefix(&mut entries[one..=one], b"./");
            "begin a name with ./"
        }
        5 => {
            prefix(entries, b"/");
            "begin all names with /"
        }
        6 => {
            prefix(&mut entries[one..=one], b"/");
            "begin a name with /"
        }
        7 => {
            prefix(entries, b"app/");
            "put everything into a directory"
        }
        8 | 9 => link(entries, random),
        10 => {
            entries.insert(one, Entry::pax(&[("comment", "a"), ("mtime", "1.5")]));
            "add a PAX header"
        }
        11 => {
            let keys = [
                "SCHILY.xattr.com.apple.provenance",
                "SCHILY.xattr.user.note",
            ];
            entries.insert(one, Entry::pax(&[(keys[random.index(2)], "a")]));
            "add an extended attribute"
        }
        12 => {
            let flags = [b'7', b'6', b'5', b'2', b'1', b'V', b'S'];
            let flag = flags[random.index(flags.len())];
            let mut entry = Entry::link("more/other", flag, "index.json");
            if flag == b'S' || flag == b'7' {
                entry = Entry::new("more/other", flag, b"text");
            }
            entries.insert(one, entry);
            "add an entry of another type"
        }
        13 => {
            entries.push(Entry::file("../outside", b"text"));
            "add a name outside of the archive"
        }
        14 => {
            for entry in entries.iter_mut() {
                if entry.name == b"manifest.json" {
                    let text = String::from_utf8_lossy(&entry.data);
                    entry.data = text.replace("\"blobs/", "\"./blobs/").into_bytes();
                }
            }
            "begin paths with ./"
        }
        _ => {
            let versions = ["{\"imageLayoutVersion\":\"1.1.0\"}", "{}", "[]", "no JSON"];
            let version = versions[random.index(versions.len())];
            for entry in entries.iter_mut() {
                if entry.name == b"oci-layout" {
                    entry.data = version.as_bytes().to_vec();
                }
            }
            "change oci-layout"
        }
    }
}

/// Adds an entry for each directory, and one for `./` if names begin with it and it is wanted.
fn add_directories(entries: &mut Vec<Entry>, has_root: bool) {
    let mut directories = BTreeSet::new();
    for entry in entries.iter() {
        let name = String::from_utf8_lossy(&entry.name);
        let ends = name.match_indices('/').map(|(end, _)| end);
        let parents = ends.map(|end| format!("{}/", &name[..end]));
        directories.extend(parents.filter(|name| name != "/" && (has_root || name != "./")));
    }
    let directories = directories.iter().map(Entry::dir);
    entries.splice(0..0, directories);
}

fn prefix(entries: &mut [Entry], prefix: &[u8]) {
    for entry in entries {
        entry.name = [prefix, &entry.name[..]].concat();
    }
}

/// Replaces a file that is not JSON with a link to a file with its bytes.
fn link(entries: &mut Vec<Entry>, random: &mut Random) -> &'static str {
    let is_layer = |entry: &&Entry| {
        entry.flag == b'0' && !entry.name.ends_with(b".json") && !entry.data.starts_with(b"{")
    };
    let layers: Vec<Entry> = entries.iter().filter(is_layer).cloned().collect();
    let Some(layer) = random.pick(&layers).cloned() else {
        return "link nothing";
    };
    let Some(at) = entries.iter().position(|entry| *entry == layer) else {
        return "link nothing";
    };
    let name = String::from_utf8_lossy(&layer.name).into_owned();
    let (flag, what) = match random.index(2) {
        0 => (b'1', "replace a layer with a hard link"),
        _ => (b'2', "replace a layer with a symbolic link"),
    };
    let up = "../".repeat(name.matches('/').count());
    let target = match flag {
        b'1' => "files/layer".to_owned(),
        _ => format!("{up}files/layer"),
    };
    entries[at] = Entry::link(&name, flag, &target);
    let place = match random.index(4) {
        0 => entries.len(),
        _ => 0,
    };
    entries.insert(place, Entry::file("files/layer", layer.data));
    what
}
