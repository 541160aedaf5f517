//! Archives in which one thing is there many times.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::archive::{Entry, tar};
use super::builder::{
    IMAGE_NAME, Image, Layer, Layout, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, OCI_TAR, REF_NAME,
    annotated, docker_item, index, layer_tar, named, on, right_image,
};
use super::contents::blob_name;
use super::sha256;

/// Something that an archive may have many of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Countable {
    pub(crate) name: &'static str,
    /// The most that documents of 4 MiB have space for, up to 100,000.
    pub(crate) max: usize,
    /// How many documents each is.
    pub(crate) documents: usize,
    /// An archive with so many of them.
    pub(crate) archive: fn(usize) -> Vec<u8>,
}

pub(crate) const COUNTABLES: [Countable; 23] = [
    of("entries", 100_000, entries),
    of("unreferenced blobs", 100_000, unreferenced_blobs),
    of("PAX headers", 100_000, pax_headers),
    of("PAX records of one entry", 30_000, pax_records),
    of("images in indexes", 100_000, images),
    of("entries of index.json", 12_000, root_entries),
    of("names of one image", 12_000, names),
    of("tags in manifest.json", 12_000, tags),
    of("items of manifest.json", 12_000, items),
    of("linked images", 12_000, linked_images),
    of("layers", 18_000, layers),
    of("images for two platforms", 12_000, two_platforms),
    Countable {
        documents: 2,
        ..of("names of an index", 6_000, names_of_index)
    },
    of("absent platforms", 12_000, absent_platforms),
    of("platforms", 12_000, platforms),
    Countable {
        documents: 2,
        ..of("nested platforms", 12_000, nested_platforms)
    },
    Countable {
        documents: 3,
        ..of("names of flat platforms", 6_000, flat_platforms)
    },
    of("referrers", 90_000, referrers),
    of("nested indexes", 100_000, nested_indexes),
    Countable {
        documents: CHAIN,
        ..of("chains of indexes", 4_000, chains)
    },
    of("annotations", 60_000, annotations),
    of("history of a config", 100_000, history),
    of("links to blobs", 50_000, links),
];

const fn of(name: &'static str, max: usize, archive: fn(usize) -> Vec<u8>) -> Countable {
    Countable {
        name,
        max,
        documents: 1,
        archive,
    }
}

fn with(entries: impl Iterator<Item = Entry>) -> Vec<u8> {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    layout.root(vec![image]);
    layout.more = entries.collect();
    layout.tar()
}

fn entries(count: usize) -> Vec<u8> {
    with((0..count).map(|number| Entry::file(format!("extra/{number}"), "x")))
}

fn unreferenced_blobs(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    layout.root(vec![image]);
    for number in 0..count {
        layout.blob("text/plain", number.to_string());
    }
    layout.tar()
}

fn pax_headers(count: usize) -> Vec<u8> {
    let entries = (0..count).flat_map(|number| {
        let record = ("mtime", "1.5");
        let name = format!("extra/{number}");
        [Entry::pax(&[record]), Entry::file(name, "x")]
    });
    with(entries)
}

fn pax_records(count: usize) -> Vec<u8> {
    let keys: Vec<String> = (0..count)
        .map(|number| format!("SCHILY.xattr.{number}"))
        .collect();
    let records: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "x")).collect();
    with([Entry::pax(&records), Entry::file("extra", "x")].into_iter())
}

/// The config and the layer that all images of an archive share.
fn parts(layout: &mut Layout) -> [Value; 2] {
    let image = Image::oci(vec![Layer::plain(OCI_TAR, "shared")]);
    let config = layout.document(OCI_CONFIG, &image.config());
    [config, layout.blob(OCI_TAR, layer_tar("shared"))]
}

/// Descriptors of so many images, which differ in an annotation.
fn manifests(layout: &mut Layout, count: usize, more: &Value) -> Vec<Value> {
    let [config, layer] = parts(layout);
    let manifest = |number: usize| {
        let mut manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer], "annotations": {"number": number.to_string()}});
        if let Value::Object(more) = more {
            manifest.as_object_mut().unwrap().extend(more.clone());
        }
        manifest
    };
    let numbers = 0..count;
    numbers
        .map(|number| layout.document(OCI_MANIFEST, &manifest(number)))
        .collect()
}

/// The descriptors of indexes, of which each lists 1,000 of these.
fn in_indexes(layout: &mut Layout, listed: &[Value]) -> Vec<Value> {
    let indexes = listed.chunks(1_000);
    indexes
        .map(|some| layout.index_of(OCI_INDEX, some.to_vec()))
        .collect()
}

fn images(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let manifests = manifests(&mut layout, count, &Value::Null);
    let indexes = in_indexes(&mut layout, &manifests);
    layout.root(indexes);
    layout.tar()
}

fn root_entries(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let manifests = manifests(&mut layout, count, &Value::Null);
    layout.root(manifests);
    layout.tar()
}

fn name(number: usize) -> String {
    format!("docker.io/library/app:{number}")
}

fn names(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let named = |number: usize| {
        let annotations = [
            (IMAGE_NAME, &*name(number)),
            (REF_NAME, &*number.to_string()),
        ];
        annotated(image.clone(), &annotations)
    };
    layout.root((0..count).map(named).collect());
    layout.tar()
}

fn tags(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let manifest = layout.manifest(&right_image());
    let tags: Vec<String> = (0..count).map(|number| format!("app:{number}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    layout.docker(&manifest, &tags);
    layout.tar()
}

fn items(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let mut items = Vec::with_capacity(count);
    let layer = Layer::plain(OCI_TAR, "shared");
    for number in 0..count {
        let image = Image::oci(vec![layer.clone()]).architecture(&format!("a{number}"));
        let manifest = layout.manifest(&image);
        items.push(docker_item(&manifest, &[&format!("app:{number}")]));
    }
    layout.docker_manifest = Some(Value::from(items).to_string().into_bytes());
    layout.tar()
}

/// As docker before 25 saves images that share a layer: each has a link to the file of the first.
fn linked_images(count: usize) -> Vec<u8> {
    let layer = Layer::plain(OCI_TAR, "shared");
    let mut entries = Vec::new();
    let mut items = Vec::new();
    for number in 0..count {
        let image = Image::oci(vec![layer.clone()]).architecture(&format!("a{number}"));
        let config = image.config().to_string();
        let hex = sha256(config.as_bytes());
        let file = format!("{hex}/layer.tar");
        entries.push(match number {
            0 => Entry::file(&file, &layer.bytes),
            _ => Entry::link(&file, b'2', "../first/layer.tar"),
        });
        entries.push(Entry::file(format!("{hex}.json"), config));
        items.push(json!({"Config": format!("{hex}.json"), "RepoTags": [format!("app:{number}")], "Layers": [file]}));
    }
    entries.push(Entry::file("first/layer.tar", &layer.bytes));
    entries.push(Entry::file("manifest.json", Value::from(items).to_string()));
    tar(&entries)
}

fn layers(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let layers: Vec<Layer> = (0..count)
        .map(|number| Layer::plain(OCI_TAR, &number.to_string()))
        .collect();
    let image = layout.image(&Image::oci(layers));
    layout.root(vec![image]);
    layout.tar()
}

/// An index of so many images, each for the architecture with its number.
fn index_of_platforms(layout: &mut Layout, count: usize) -> Value {
    let manifests = manifests(layout, count, &Value::Null).into_iter();
    let manifests = manifests.enumerate();
    let platforms = manifests.map(|(number, image)| on(image, "linux", &format!("a{number}")));
    let platforms = platforms.collect();
    layout.index_of(OCI_INDEX, platforms)
}

fn platforms(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let index = index_of_platforms(&mut layout, count);
    layout.root(vec![index]);
    layout.tar()
}

/// An index whose images are for one of two platforms.
fn two_platforms(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let manifests = manifests(&mut layout, count, &Value::Null).into_iter();
    let platforms = manifests.enumerate().map(|(number, image)| {
        let architecture = ["amd64", "arm64"][number % 2];
        on(image, "linux", architecture)
    });
    let platforms = platforms.collect();
    let index = layout.index_of(OCI_INDEX, platforms);
    layout.root(vec![index]);
    layout.tar()
}

/// Names of an index with as many images.
fn names_of_index(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let index = index_of_platforms(&mut layout, count);
    let names = (0..count).map(|number| named(index.clone(), &name(number)));
    layout.root(names.collect());
    layout.tar()
}

/// An index whose images are there for half of the platforms.
fn absent_platforms(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let mut manifests = manifests(&mut layout, count, &Value::Null);
    for (number, image) in manifests.iter_mut().enumerate() {
        *image = on(image.clone(), "linux", &format!("a{number}"));
        if number % 2 == 1 {
            let absent = image["digest"].as_str().unwrap().to_owned();
            layout.blobs.remove(&blob_name(&absent));
        }
    }
    let index = layout.index_of(OCI_INDEX, manifests);
    layout.root(vec![index]);
    layout.tar()
}

/// One image for a platform in each of many indexes, which one index lists.
fn nested_platforms(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let manifests = manifests(&mut layout, count, &Value::Null);
    let manifests = manifests.into_iter().enumerate();
    let inner: Vec<Value> = manifests
        .map(|(number, manifest)| {
            let manifest = on(manifest, "linux", &format!("a{number}"));
            layout.index_of(OCI_INDEX, vec![manifest])
        })
        .collect();
    let index = layout.index_of(OCI_INDEX, inner);
    layout.root(vec![index]);
    layout.tar()
}

/// Names that stand for two images side by side, which ocify nests.
fn flat_platforms(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let manifests = manifests(&mut layout, 2 * count, &Value::Null);
    let manifests = manifests.into_iter().enumerate();
    let flat = manifests.map(|(number, manifest)| {
        let architecture = ["amd64", "arm64"][number % 2];
        named(on(manifest, "linux", architecture), &name(number / 2))
    });
    let flat = flat.collect();
    layout.root(flat);
    layout.tar()
}

fn referrers(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let more = json!({"artifactType": "application/x-note", "subject": image});
    let referrers = manifests(&mut layout, count, &more);
    let indexes = in_indexes(&mut layout, &referrers);
    layout.root([vec![image], indexes].concat());
    layout.tar()
}

fn nested_indexes(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let inner: Vec<Value> = (0..count)
        .map(|number| {
            let mut document = index(OCI_INDEX, vec![image.clone()]);
            document["annotations"] = json!({"number": number.to_string()});
            layout.document(OCI_INDEX, &document)
        })
        .collect();
    let indexes = in_indexes(&mut layout, &inner);
    layout.root(indexes);
    layout.tar()
}

/// How many indexes a chain has.
const CHAIN: usize = 25;

fn chains(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let mut tops = Vec::with_capacity(count);
    for number in 0..count {
        let mut below = image.clone();
        for depth in 0..CHAIN {
            let mut document = index(OCI_INDEX, vec![below]);
            document["annotations"] = json!({"chain": format!("{number} {depth}")});
            below = layout.document(OCI_INDEX, &document);
        }
        tops.push(below);
    }
    layout.root(tops);
    layout.tar()
}

fn annotations(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let mut image = layout.image(&right_image());
    for number in 0..count {
        image["annotations"][format!("key.{number}")] = json!(number.to_string());
    }
    layout.root(vec![image]);
    layout.tar()
}

fn history(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let image = Image::oci(vec![Layer::plain(OCI_TAR, "shared")]);
    let mut config = image.config().to_string();
    config.pop();
    config.push_str(",\"history\":[");
    for number in 0..count {
        let comma = if number == 0 { "" } else { "," };
        write!(config, "{comma}{{\"created_by\":\"{number}\"}}").unwrap();
    }
    config.push_str("]}");
    let config = layout.blob(OCI_CONFIG, config);
    let layer = layout.blob(OCI_TAR, layer_tar("shared"));
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
    let image = layout.document(OCI_MANIFEST, &manifest);
    layout.root(vec![image]);
    layout.tar()
}

/// Blobs whose bytes are in other files.
fn links(count: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    layout.root(vec![image]);
    for number in 0..count {
        let bytes = number.to_string();
        let name = blob_name(&format!("sha256:{}", sha256(bytes.as_bytes())));
        layout
            .more
            .push(Entry::file(format!("real/{number}"), bytes));
        let target = format!("../../real/{number}");
        layout.more.push(Entry::link(name, b'2', &target));
    }
    layout.tar()
}
