//! Shapes that tools left behind in the field and that no available tool writes any more, built from the layers of a fixture.

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    DOCKER_CONFIG, DOCKER_MANIFEST, IMAGE_NAME, Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX,
    OCI_MANIFEST, OCI_TAR, OCI_ZSTD, REF_NAME, annotated, bzip2, docker_item, gzip, index, named,
    xz, zstd,
};
use crate::common::contents::{Contents, blob_name};
use crate::common::{fixture, sha256};

// The integration tests include this file from another folder.
#[path = "shapes/appended.rs"]
pub(crate) mod appended;

pub(crate) const NAME: &str = "example.com/app:v1";
/// A frame that zstd's readers skip.
const SKIPPABLE: &[u8] = b"\x53\x2a\x4d\x18\x05\0\0\0hello";

/// An archive that some engine refuses.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// What is wrong with it.
    pub(crate) what: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// An image that runs: its config, and its layers as plain tars.
pub(crate) struct Real {
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
}

impl Real {
    pub(crate) fn read() -> Self {
        let contents = Contents::read(&fixture("docker26g-save.tar"));
        let manifest = contents.json("manifest.json");
        let file = |name: &Value| {
            let name = name.as_str().expect("a name");
            contents.file(name).to_vec()
        };
        let layers = manifest[0]["Layers"].as_array().expect("a list of layers");
        Real {
            config: file(&manifest[0]["Config"]),
            layers: layers.iter().map(file).collect(),
        }
    }

    /// The same image with its first layer once more at the end.
    fn with_repeated_layer(&self) -> Self {
        let mut config: Value = serde_json::from_slice(&self.config).expect("a config");
        let diff_ids = config["rootfs"]["diff_ids"].as_array_mut();
        let diff_ids = diff_ids.expect("a list of diff IDs");
        diff_ids.push(diff_ids[0].clone());
        config["history"] = json!([]);
        let mut layers = self.layers.clone();
        layers.push(self.layers[0].clone());
        Real {
            config: config.to_string().into_bytes(),
            layers,
        }
    }

    pub(crate) fn layers(
        &self,
        media_type: &str,
        form: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Vec<(String, Vec<u8>)> {
        let layer = |plain: &Vec<u8>| (media_type.to_owned(), form(plain));
        self.layers.iter().map(layer).collect()
    }

    /// An archive with both roots, whose manifest is then changed. `manifest.json` describes it as it was.
    pub(crate) fn dual(
        &self,
        types: (&str, &str),
        layers: &[(String, Vec<u8>)],
        change: impl FnOnce(&mut Value),
    ) -> Layout {
        let mut layout = Layout::new();
        let config = layout.blob(types.1, &self.config);
        let layers: Vec<Value> = layers
            .iter()
            .map(|(media_type, bytes)| layout.blob(media_type, bytes))
            .collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": types.0,
            "config": config,
            "layers": layers,
        });
        layout.docker(&manifest, &[NAME]);
        change(&mut manifest);
        let descriptor = layout.document(types.0, &manifest);
        layout.root(vec![named(descriptor, NAME)]);
        layout
    }

    /// An archive that is right.
    pub(crate) fn right(&self) -> Layout {
        self.dual(OCI, &self.layers(OCI_GZIP, gzip), |_| ())
    }

    /// What Docker 29 saves: `index.json` lists the signature of an attestation beside the image, without a name.
    fn with_flat_referrer(&self) -> Layout {
        let mut layout = self.right();
        let root = layout.index.as_deref().expect("an index");
        let root: Value = serde_json::from_slice(root).expect("an index");
        let mut image = root["manifests"][0].clone();
        image
            .as_object_mut()
            .expect("a descriptor")
            .remove("annotations");
        let mut about = |layer: &str, kind: &str, subject: &Value| {
            let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
            let layer = layout.blob(layer, json!({"about": kind}).to_string());
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "artifactType": kind,
                "config": config,
                "layers": [layer],
                "subject": subject,
            });
            layout.document(OCI_MANIFEST, &manifest)
        };
        let attestation = "application/vnd.docker.attestation.manifest.v1+json";
        let attestation = about("application/vnd.in-toto+json", attestation, &image);
        let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let bundle = about(bundle, bundle, &attestation);
        let digest =
            |descriptor: &Value| descriptor["digest"].as_str().expect("a digest").to_owned();
        let subject = digest(&attestation);
        let bundle = annotated(bundle, &[("io.containerd.manifest.subject", &subject)]);
        let links = [
            ("vnd.docker.reference.type", "attestation-manifest"),
            ("vnd.docker.reference.digest", &digest(&image)),
        ];
        let mut attestation = annotated(attestation, &links);
        attestation["platform"] = json!({"architecture": "unknown", "os": "unknown"});
        image["platform"] = json!({"architecture": "amd64", "os": "linux"});
        let list = layout.document(OCI_INDEX, &index(OCI_INDEX, vec![image, attestation]));
        layout.root(vec![named(list, NAME), bundle]);
        layout
    }

    /// What Docker 25 saves of two IDs: `index.json` lists only the first.
    pub(crate) fn with_unlisted_image(&self) -> Layout {
        let (mut layout, other) = (self.right(), self.smaller().right());
        layout.blobs.extend(other.blobs);
        let items = other.docker_manifest.expect("manifest.json");
        let mut items: Value = serde_json::from_slice(&items).expect("JSON");
        items[0]["RepoTags"] = json!(["example.com/small:v2"]);
        layout.edit_docker(|all| all.as_array_mut().expect("images").push(items[0].take()));
        layout
    }

    /// What containerd exports: `manifest.json` lists every manifest, also that of an artifact.
    fn with_artifact(&self) -> Layout {
        const ARTIFACT: &str = "example.com/module:v1";
        let mut layout = self.right();
        let config = layout.blob("application/vnd.wasm.config.v0+json", "{}");
        let module = layout.blob("application/wasm", b"\0asm\x01\0\0\0");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/vnd.wasm.config.v0+json",
            "config": config,
            "layers": [module],
        });
        let descriptor = named(layout.document(OCI_MANIFEST, &manifest), ARTIFACT);
        layout.edit_root(|root| {
            let manifests = root["manifests"].as_array_mut().expect("manifests");
            manifests.push(descriptor);
        });
        let item = docker_item(&manifest, &[ARTIFACT]);
        layout.edit_docker(|items| items.as_array_mut().expect("images").push(item));
        layout
    }

    /// What Docker 25 saves, with a fault in the manifest.
    fn docker25(&self, change: impl FnOnce(&mut Value)) -> Layout {
        self.dual(OCI, &self.layers(OCI_TAR, <[u8]>::to_vec), change)
    }

    /// What Docker before 25 saves: the entries, and the item of `manifest.json`. A layer can be a link to another file.
    pub(crate) fn docker20(&self, tag: &str, link: Option<(usize, Entry)>) -> (Vec<Entry>, Value) {
        let mut entries = Vec::new();
        let mut names = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let name = layer_name(tag, number);
            let folder = name.trim_end_matches("layer.tar");
            entries.push(Entry::dir(folder));
            let of_link = link.as_ref().filter(|(position, _)| *position == number);
            entries.push(match of_link {
                Some((_, link)) => Entry {
                    name: name.clone().into_bytes(),
                    ..link.clone()
                },
                None => Entry::file(&name, layer),
            });
            names.push(name);
        }
        let config = format!("{}.json", sha256(&self.config));
        entries.push(Entry::file(&config, &self.config));
        let item = json!({"Config": config, "RepoTags": [tag], "Layers": names});
        (entries, item)
    }

    /// Another image: its first layer and its last.
    fn smaller(&self) -> Self {
        let mut config: Value = serde_json::from_slice(&self.config).expect("a config");
        let diff_ids = &config["rootfs"]["diff_ids"];
        let last = self.layers.len() - 1;
        config["rootfs"]["diff_ids"] = json!([diff_ids[0], diff_ids[last]]);
        config["history"] = json!([]);
        Real {
            config: config.to_string().into_bytes(),
            layers: vec![self.layers[0].clone(), self.layers[last].clone()],
        }
    }
}

/// The name of a layer's file in what Docker before 25 saves.
fn layer_name(tag: &str, number: usize) -> String {
    format!("{}/layer.tar", sha256(format!("{tag} {number}").as_bytes()))
}

/// The complete archive of these images.
pub(crate) fn saved(images: Vec<(Vec<Entry>, Value)>) -> Vec<Entry> {
    let (entries, items): (Vec<_>, Vec<_>) = images.into_iter().unzip();
    let mut entries = entries.concat();
    entries.push(Entry::file("manifest.json", json!(items).to_string()));
    entries
}

/// Two images that share a layer, which one of them has as a symbolic link that comes before its target.
fn symlinked(real: &Real) -> Vec<u8> {
    let target = format!("../{}", layer_name(NAME, 0));
    let link = Entry::link("", b'2', &target);
    let small = real
        .smaller()
        .docker20("example.com/small:v2", Some((0, link)));
    tar(&saved(vec![small, real.docker20(NAME, None)]))
}

/// An image that has a layer twice, the second time as a hard link.
fn hardlinked(real: &Real) -> Vec<u8> {
    let repeated = real.with_repeated_layer();
    let link = Entry::link("", b'1', &layer_name(NAME, 0));
    let last = repeated.layers.len() - 1;
    tar(&saved(vec![repeated.docker20(NAME, Some((last, link)))]))
}

/// An archive whose first layer is a hard link to a file before it.
fn with_linked_blob(real: &Real) -> Vec<u8> {
    const TARGET: &str = "build/layer.tar.gz";
    let layer = gzip(&real.layers[0]);
    let name = blob_name(&format!("sha256:{}", sha256(&layer)));
    let mut entries = vec![Entry::dir("build/"), Entry::file(TARGET, layer)];
    entries.extend(real.right().entries().into_iter().map(|entry| {
        if entry.name == name.as_bytes() {
            Entry::link(&name, b'1', TARGET)
        } else {
            entry
        }
    }));
    tar(&entries)
}

/// The entries with extended attributes, as bsdtar on macOS writes them.
fn with_xattrs(entries: &[Entry]) -> Vec<u8> {
    let xattrs = Entry::pax(&[
        ("LIBARCHIVE.xattr.com.apple.provenance", "AQAB"),
        ("SCHILY.xattr.com.apple.provenance", "\u{1}\0\u{1}"),
    ]);
    let pairs = entries.iter().map(|entry| [xattrs.clone(), entry.clone()]);
    tar(&pairs.flatten().collect::<Vec<_>>())
}

/// The entries under names with something before them.
fn prefixed(prefix: &str, entries: Vec<Entry>) -> Vec<u8> {
    let prefixed = entries.into_iter().map(|entry| Entry {
        name: [prefix.as_bytes(), &entry.name[..]].concat(),
        ..entry
    });
    tar(&prefixed.collect::<Vec<_>>())
}

pub(crate) const OCI: (&str, &str) = (OCI_MANIFEST, OCI_CONFIG);

/// All shapes, in the order of the table.
pub(crate) fn shapes() -> Vec<Shape> {
    let real = Real::read();
    let shape = |name, what, bytes| Shape { name, what, bytes };
    let labelled = |media_type: &str, form: &dyn Fn(&[u8]) -> Vec<u8>| {
        real.dual(OCI, &real.layers(media_type, form), |_| ())
    };
    let skippable = |plain: &[u8]| [SKIPPABLE, &zstd(plain)].concat();
    let mixed = (DOCKER_MANIFEST, DOCKER_CONFIG);
    let mixed = real.dual(mixed, &real.layers(OCI_GZIP, gzip), |_| ());
    let no_layers = real.docker25(|manifest| manifest["layers"] = json!([]));
    let wrong_order = real.docker25(|manifest| {
        manifest["layers"].as_array_mut().expect("layers").reverse();
    });
    let mut null = real.docker25(|_| ());
    null.edit_root(|root| root["manifests"] = Value::Null);
    let mut version = real.right();
    version.oci_layout = Some(br#"{"imageLayoutVersion":"1.1.0"}"#.to_vec());
    let mut bare = real.right();
    bare.oci_layout = None;
    bare.docker_manifest = None;
    let mut dots = real.right();
    dots.oci_layout = None;
    dots.index = None;
    dots.docker_manifest = dots.docker_manifest.map(|bytes| {
        let text = String::from_utf8(bytes).expect("JSON");
        text.replace("\"blobs/", "\"./blobs/").into_bytes()
    });
    let mut short_name = real.right();
    short_name.edit_root(|root| {
        root["manifests"][0]["annotations"] = json!({IMAGE_NAME: "app:v1", REF_NAME: "v1"})
    });
    short_name.docker_manifest = short_name.docker_manifest.map(|bytes| {
        let text = String::from_utf8(bytes).expect("JSON");
        text.replace(NAME, "app:v1").into_bytes()
    });
    let mut foreign = real.right();
    let of_imgpkg = json!([{"Image": {"Refs": [NAME], "Tag": "v1"}}]);
    foreign.docker_manifest = Some(of_imgpkg.to_string().into_bytes());
    #[rustfmt::skip]
    let shapes = vec![
        shape("oci-gzip-called-tar", "gzip layers with the media type of a plain tar", labelled(OCI_TAR, &gzip).tar()),
        shape("oci-zstd-called-gzip", "zstd layers with the media type of gzip", labelled(OCI_GZIP, &|plain| zstd(plain)).tar()),
        shape("oci-zstd-skippable-frame", "zstd layers that begin with a skippable frame", labelled(OCI_ZSTD, &skippable).tar()),
        shape("mixed-oci-layers", "a Docker manifest of OCI layers", mixed.tar()),
        shape("oci-flat-referrer", "a signature of an attestation beside the image in `index.json`, without a name", real.with_flat_referrer().tar()),
        shape("oci-listed-artifact", "an artifact that `manifest.json` lists as an image", real.with_artifact().tar()),
        shape("oci-short-name", "a name without a registry in `io.containerd.image.name`", short_name.tar()),
        shape("docker25-unlisted-image", "`index.json` lists one image and `manifest.json` another one too", real.with_unlisted_image().tar()),
        shape("oci-hardlinked-blob", "a layer of an image layout that is a hard link", with_linked_blob(&real)),
        shape("oci-macos-xattrs", "extended attributes of macOS on every entry", with_xattrs(&real.right().entries())),
        shape("layout-foreign-manifest", "another tool's `manifest.json` beside a valid `index.json`", foreign.tar()),
        shape("docker25-no-layers", "a manifest without layers", no_layers.tar()),
        shape("docker25-wrong-order", "layers in the wrong order", wrong_order.tar()),
        shape("docker25-manifests-null", "`\"manifests\": null` in `index.json`", null.tar()),
        shape("layout-other-version", "a different version in `oci-layout`", version.tar()),
        shape("layout-no-version", "no `oci-layout` and no `manifest.json`", bare.tar()),
        shape("layout-wrapped", "a directory around the entire image", prefixed("app/", real.right().entries())),
        shape("docker-symlinked-layer", "a layer that is a symbolic link to one of another image", symlinked(&real)),
        shape("docker-hardlinked-layer", "a layer that is a hard link", hardlinked(&real)),
        shape("docker-absolute-names", "entries with absolute names", prefixed("/", saved(vec![real.docker20(NAME, None)]))),
        shape("docker-dotted-paths", "paths in `manifest.json` that begin with `./`", dots.tar()),
        shape("crane-zstd-layers", "a Docker archive of zstd layers", appended::compressed(&real, zstd)),
        shape("crane-append", "two layers appended to an image that already has one of them", appended::twice(&real)),
        shape("crane-append-zstd", "a zstd layer appended to gzip layers", appended::with_zstd(&real)),
        shape("crane-append-no-base", "a config that states no platform", appended::without_base(&real)),
        shape("outer-gzip", "the archive compressed with gzip", gzip(&real.right().tar())),
        shape("outer-zstd", "the archive compressed with zstd", zstd(&real.right().tar())),
        shape("outer-bzip2", "the archive compressed with bzip2", bzip2(&real.right().tar())),
        shape("outer-xz", "the archive compressed with xz", xz(&real.right().tar())),
    ];
    shapes
}
