//! Archives with two roots, one of which is wrong: they are fixed if the other root proves the fault, and
//! refused otherwise.

use serde_json::{Value, json};

use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_GZIP, OCI_MANIFEST, OCI_TAR, docker_item, gzip,
    layer_tar, named, on,
};
use crate::common::contents::{Contents, blob_name};
use crate::common::failure::{fails, fails_with};
use crate::common::judged::fixed;
use crate::common::runner::Sandbox;
use crate::common::saved::image;
use crate::common::{fixture, sha256};

const NAME: &str = "docker.io/library/app:v1";
const AT: &str = "index.json, manifests[0]";

/// An image of plain layers whose manifest has a change, beside a correct `manifest.json`.
fn with_fault(image: &Image, change: impl FnOnce(&mut Value)) -> Layout {
    let mut layout = Layout::new();
    let right = layout.manifest(image);
    layout.docker(&right, &["app:v1"]);
    let mut wrong = right;
    change(&mut wrong);
    let descriptor = layout.document(OCI_MANIFEST, &wrong);
    layout.root(vec![named(descriptor, NAME)]);
    layout
}

fn right(image: &Image) -> Layout {
    with_fault(image, |_| ())
}

#[test]
fn layers_that_docker_25_lost_are_restored() {
    let app = image(&["a", "b", "c"]);
    let expected = fixed(&right(&app).tar(), &[]);
    assert_eq!(expected.report["status"], "unchanged");
    let resize =
        |manifest: &mut Value, number: usize| manifest["layers"][number]["size"] = json!(7);
    type Change<'a> = Box<dyn Fn(&mut Value) + 'a>;
    #[rustfmt::skip]
    let cases: [(&str, Change<'_>); 9] = [
        ("empty", Box::new(|m| m["layers"] = json!([]))),
        ("null", Box::new(|m| m["layers"] = Value::Null)),
        ("absent", Box::new(|m| drop(m.as_object_mut().unwrap().remove("layers")))),
        ("order", Box::new(|m| m["layers"].as_array_mut().unwrap().reverse())),
        ("size", Box::new(|m| resize(m, 1))),
        ("sizes", Box::new(|m| (0..3).for_each(|n| resize(m, n)))),
        ("fewer", Box::new(|m| drop(m["layers"].as_array_mut().unwrap().remove(1)))),
        ("one twice", Box::new(|m| m["layers"][1] = m["layers"][0].clone())),
        ("more", Box::new(|m| { let layer = m["layers"][0].clone(); m["layers"].as_array_mut().unwrap().push(layer); })),
    ];
    for (name, change) in cases {
        let layout = with_fault(&app, change);
        let found = fixed(&layout.tar(), &[]);
        let restored = ["layers-restored", &format!("{AT}, layers"), "-", "-"].map(str::to_owned);
        assert_eq!(found.changes(&["layers-restored"]), [restored], "{name}");
        assert_eq!(found.contents.parts(), expected.contents.parts(), "{name}");
        assert!(found.bytes == expected.bytes || name == "absent", "{name}");
        let digest = &found.report["digests"][0];
        assert_eq!(
            digest["after"], found.report["images"][0]["digest"],
            "{name}"
        );
        let before = digest["before"].as_str().unwrap();
        assert!(layout.blobs.contains_key(&blob_name(before)), "{name}");
        assert_eq!(found.contents.blob(before), None, "{name}");
    }
}

#[test]
fn layers_without_proof_are_not_restored() {
    let app = image(&["a", "b"]);
    let empty = |manifest: &mut Value| manifest["layers"] = json!([]);
    let mut alone = with_fault(&app, empty);
    alone.docker_manifest = None;
    let squeezed = Image::oci(vec![Layer::gzip(OCI_GZIP, "a"), Layer::gzip(OCI_GZIP, "b")]);
    let docker = |change: fn(&mut Value)| {
        let mut layout = with_fault(&app, empty);
        let mut items: Value =
            serde_json::from_slice(layout.docker_manifest.as_ref().unwrap()).unwrap();
        change(&mut items[0]);
        layout.docker_manifest = Some(items.to_string().into_bytes());
        layout
    };
    let swapped = docker(|item| item["Layers"].as_array_mut().unwrap().reverse());
    let fewer = docker(|item| drop(item["Layers"].as_array_mut().unwrap().pop()));
    let none = docker(|item| item["Layers"] = Value::Null);
    let mut absent = with_fault(&app, empty);
    absent
        .blobs
        .remove(&format!("blobs/sha256/{}", sha256(&layer_tar("b"))));
    for (name, layout) in [
        ("no manifest.json", alone),
        ("compressed", with_fault(&squeezed, empty)),
        ("swapped", swapped),
        ("fewer", fewer),
        ("none", none),
        ("absent layer", absent),
    ] {
        fails(
            name,
            &layout.tar(),
            "layer-count-mismatch",
            &[AT, "lists 0 layers", "2 diff IDs"],
        );
        fails_with(
            name,
            &layout.tar(),
            &["--lenient"],
            "layer-count-mismatch",
            &[AT],
        );
    }
    // What the plan assumes is verified during the copy.
    let mut damaged = with_fault(&app, empty);
    let layer = format!("blobs/sha256/{}", sha256(&layer_tar("b")));
    damaged.blobs.insert(layer.clone(), layer_tar("c"));
    fails("damaged", &damaged.tar(), "digest-mismatch", &[&layer]);
}

#[test]
fn an_empty_index_is_rewritten() {
    let app = image(&["a"]);
    let expected = fixed(&right(&app).tar(), &[]);
    for empty in [json!([]), Value::Null] {
        let mut layout = Layout::new();
        let manifest = layout.manifest(&app);
        layout.docker(&manifest, &["app:v1"]);
        layout.root(vec![]);
        layout.edit_root(|root| root["manifests"] = empty.clone());
        let found = fixed(&layout.tar(), &[]);
        let rules = found.changes(&["index-added", "manifest-added"]);
        assert_eq!(
            rules[0],
            ["index-added", "index.json", "-", "1 image"].map(str::to_owned)
        );
        assert_eq!(rules[1][..2], ["manifest-added".to_owned(), AT.to_owned()]);
        assert_eq!(found.contents.parts(), expected.contents.parts());
        assert_eq!(found.names(), ["app:v1"]);
        assert!(found.bytes == expected.bytes, "{empty}");
    }
}

#[test]
fn the_old_documents_of_docker_26_are_kept() {
    let found = crate::common::judged::fixed_path(&fixture("docker26g-save.tar"), &[]);
    assert_eq!(found.facts.unreferenced.len(), 4, "{:?}", found.facts);
    for digest in &found.facts.unreferenced {
        assert!(found.contents.document(digest)["created"].is_string());
    }
}

#[test]
fn mislabeled_layers_are_corrected_when_manifest_json_proves_them() {
    let twice = [gzip(&layer_tar("a")[..512]), gzip(&layer_tar("a")[512..])].concat();
    let cases = [
        Layer::zstd(OCI_GZIP, "a"),
        Layer::zstd(DOCKER_GZIP, "a"),
        Layer::plain(OCI_GZIP, "a"),
        Layer::gzip(OCI_TAR, "a"),
        Layer::new(OCI_TAR, twice, &layer_tar("a")),
    ];
    for layer in cases {
        let app = Image::oci(vec![layer.clone()]);
        let found = fixed(&right(&app).tar(), &[]);
        let changes = found.changes(&["layer-type"]);
        assert_eq!(changes.len(), 1, "{layer:?}");
        assert_eq!(changes[0][2], layer.media_type);
        assert_eq!(found.contents.parts(), [crate::common::saved::parts(&app)]);
    }
}

#[test]
fn layers_without_an_oci_type_are_refused_in_docker_archives_too() {
    let compress = |name: &str| -> Vec<u8> {
        let plain = layer_tar("a");
        let mut bytes = Vec::new();
        if name == "bzip2" {
            let mut encoder = bzip2::read::BzEncoder::new(&plain[..], bzip2::Compression::fast());
            std::io::Read::read_to_end(&mut encoder, &mut bytes).unwrap();
        } else {
            let mut encoder = liblzma::read::XzEncoder::new(&plain[..], 0);
            std::io::Read::read_to_end(&mut encoder, &mut bytes).unwrap();
        }
        bytes
    };
    for name in ["bzip2", "xz"] {
        let app = Image::oci(vec![Layer::new(OCI_GZIP, compress(name), &layer_tar("a"))]);
        let mut saved = crate::common::saved::Saved::new();
        saved.docker(&app, json!(["app:v1"]));
        let layer = format!("{AT}, layers[0]");
        for (bytes, place) in [
            (saved.tar(), "manifest.json[0], Layers[0]"),
            (right(&app).tar(), layer.as_str()),
        ] {
            let parts = [place, "is compressed with", name];
            fails(name, &bytes, "unsupported-compression", &parts);
        }
        let sandbox = crate::common::runner::Sandbox::new();
        sandbox.put("in.tar", saved.tar());
        let run = sandbox.fix("in.tar", "out.tar").exits(1);
        assert!(
            run.stderr
                .contains("hint: recompress it with --compression gzip"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn a_missing_or_outdated_layout_file_is_written() {
    let app = image(&["a"]);
    for version in [None, Some("{\"imageLayoutVersion\":\"2.0.0\"}")] {
        let mut layout = with_fault(&app, |manifest| manifest["layers"] = json!([]));
        layout.oci_layout = version.map(|text| text.as_bytes().to_vec());
        let found = fixed(&layout.tar(), &[]);
        assert_eq!(found.changes(&["oci-layout"]).len(), 1);
        assert!(found.bytes == right(&app).tar());
    }
}

#[test]
fn faults_in_nested_indexes_are_fixed() {
    let app = image(&["a", "b"]);
    let mut layout = with_fault(&app, |manifest| manifest["layers"] = json!([]));
    let root: Value = serde_json::from_slice(layout.index.as_ref().unwrap()).unwrap();
    let mut child = root["manifests"][0].clone();
    child.as_object_mut().unwrap().remove("annotations");
    let inner = layout.index_of(
        crate::common::builder::OCI_INDEX,
        vec![on(child, "linux", "amd64")],
    );
    let outer = layout.index_of(crate::common::builder::DOCKER_LIST, vec![inner]);
    layout.root(vec![named(outer, NAME)]);
    let found = fixed(&layout.tar(), &[]);
    let place = format!("{AT}, manifests[0], manifests[0], layers");
    assert_eq!(found.changes(&["layers-restored"])[0][1], place);
    assert_eq!(found.report["digests"].as_array().unwrap().len(), 3);
    assert_eq!(found.contents.parts(), [crate::common::saved::parts(&app)]);
}

/// One image in two compressions, so that one config belongs to two manifests.
fn in_two_compressions() -> Layout {
    let squeezed = Image::oci(vec![Layer::gzip(OCI_GZIP, "a")]);
    let mut layout = Layout::new();
    let manifests = [layout.manifest(&image(&["a"])), layout.manifest(&squeezed)];
    let names = ["plain:1", "gzip:1"];
    let [plain, gzip] = manifests
        .clone()
        .map(|manifest| layout.document(OCI_MANIFEST, &manifest));
    layout.root(vec![
        named(plain, "docker.io/library/plain:1"),
        named(gzip, "docker.io/library/gzip:1"),
    ]);
    let items: Vec<Value> = manifests
        .iter()
        .zip(names)
        .map(|(manifest, name)| docker_item(manifest, &[name]))
        .collect();
    layout.docker_manifest = Some(json!(items).to_string().into_bytes());
    layout
}

#[test]
fn one_config_may_belong_to_two_manifests() {
    let layout = in_two_compressions();
    let mut alone = layout.clone();
    alone.docker_manifest = None;
    for layout in [layout, alone] {
        let found = fixed(&layout.tar(), &[]);
        assert_eq!(found.names(), ["gzip:1", "plain:1"]);
        assert_eq!(found.contents.manifests().len(), 2);
    }
}

#[test]
fn one_layer_may_be_present_in_two_compressions() {
    let both = Image::oci(vec![Layer::plain(OCI_TAR, "a"), Layer::gzip(OCI_GZIP, "a")]);
    assert!(fixed(&right(&both).tar(), &[]).bytes == right(&both).tar());
}

/// docker ignores trailing data after a gzip layer, and skopeo refuses it. Only recompression removes it.
#[test]
fn trailing_data_after_a_gzip_layer_is_kept() {
    let plain = layer_tar("a");
    let bytes = [&gzip(&plain)[..], b"trailing"].concat();
    let image = Image::oci(vec![Layer::new(OCI_TAR, bytes.clone(), &plain)]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right(&image).tar());
    sandbox.fix("in.tar", "out.tar").exits(0);
    let contents = Contents::read(&sandbox.path("out.tar"));
    let layer = contents.manifests()[0].1["layers"][0].clone();
    assert_eq!(layer["mediaType"], OCI_GZIP);
    let digest = layer["digest"].as_str().unwrap();
    assert_eq!(contents.blob(digest), Some(&bytes[..]));
    let again = sandbox.fix("out.tar", "again.tar").exits(0).json();
    assert_eq!(again["status"], "unchanged");
    let anew = fixed(&right(&image).tar(), &["--compression", "uncompressed"]);
    assert_eq!(
        anew.contents.parts(),
        [crate::common::saved::parts(&crate::common::saved::image(
            &["a"]
        ))]
    );
}
