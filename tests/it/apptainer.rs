//! apptainer since 1.4, which unpacks archives in a simple loop and reads them with go-containerregistry. `tests/engines/further.rs` compares what is
//! predicted with what apptainer does.

use ocify::Loads::{self, No, Yes};
use ocify::{Check, Code, Fix, Input, Output};
use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, OCI_TAR, OCI_ZSTD, docker_item, gzip,
    index, layer_tar, named, on, right_image, right_layout, zstd,
};
use crate::common::runner::Sandbox;
use crate::obstacles::check;

const NAME: &str = "example.com/app:v1";
const OCI: &str = "apptainer@1.4.5/oci-archive";
const DOCKER: &str = "apptainer@1.4.5/docker-archive";

/// An archive, what both transports do with it, and the rules of their reasons.
type Row = (
    &'static str,
    Vec<u8>,
    (Loads, &'static str),
    (Loads, &'static str),
);

fn check_all(rows: Vec<Row>) {
    for (what, archive, oci, docker) in rows {
        check(
            what,
            &archive,
            &[(OCI, oci.0, oci.1), (DOCKER, docker.0, docker.1)],
        );
    }
}

/// The same, where both do the same.
fn check_both(rows: Vec<(&'static str, Vec<u8>, Loads, &'static str)>) {
    let rows = rows.into_iter();
    let rows =
        rows.map(|(what, archive, loads, rule)| (what, archive, (loads, rule), (loads, rule)));
    check_all(rows.collect());
}

/// An image layout of one image, which `manifest.json` lists, too.
fn dual(image: &Image) -> Layout {
    let mut layout = Layout::of(image, NAME);
    let manifest = layout.manifest(image);
    layout.docker(&manifest, &[NAME]);
    layout
}

fn of_layers(layers: Vec<Layer>) -> Layout {
    dual(&Image::oci(layers))
}

/// An archive that only `manifest.json` describes.
fn saved(layers: Vec<Layer>, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut layout = of_layers(layers);
    layout.edit_docker(|items| edit(&mut items[0]));
    layout.index = None;
    layout.oci_layout = None;
    layout.tar()
}

fn gzipped(text: &str) -> Layer {
    Layer::gzip(OCI_GZIP, text)
}

fn prefixed(prefix: &str, entries: Vec<Entry>) -> Vec<Entry> {
    let entries = entries.into_iter().map(|entry| Entry {
        name: [prefix.as_bytes(), &entry.name[..]].concat(),
        ..entry
    });
    entries.collect()
}

#[test]
fn the_loop_that_unpacks_archives() {
    let right = || right_layout().entries();
    let without_directories = || {
        let entries = right().into_iter().filter(|entry| entry.flag != b'5');
        entries.collect::<Vec<Entry>>()
    };
    let mut late = right();
    late.rotate_left(2);
    let mut rooted = prefixed("./", right());
    rooted.insert(0, Entry::dir("./"));
    // A directory brings those above it, and whatever is not a file or directory is left out.
    let mut deep = without_directories();
    deep.insert(0, Entry::dir("blobs/sha256/"));
    deep.push(Entry::new("more/other", b'6', b""));
    let old = right().into_iter().map(|entry| match entry.flag {
        b'5' => Entry { flag: 0, ..entry },
        _ => entry,
    });
    let old: Vec<Entry> = old.collect();
    check_both(vec![
        ("a valid archive", tar(&right()), Yes, ""),
        (
            "no directories",
            tar(&without_directories()),
            No,
            "no-directory",
        ),
        (
            "a directory after its files",
            tar(&late),
            No,
            "no-directory",
        ),
        ("the lowest directory", tar(&deep), Yes, ""),
        ("directories of old archives", tar(&old), Yes, ""),
        ("gzip outside", gzip(&tar(&right())), No, "outer-gzip"),
        ("zstd outside", zstd(&tar(&right())), No, "outer-zstd"),
    ]);
    let mut unlisted = right_layout();
    unlisted.docker_manifest = Some(b"[]".to_vec());
    check_all(vec![
        (
            "names with ./, and an empty list",
            tar(&prefixed("./", unlisted.entries())),
            (Yes, ""),
            (No, "unclean-path"),
        ),
        (
            "names with ./",
            tar(&prefixed("./", right())),
            (Yes, ""),
            (No, "unclean-path"),
        ),
        (
            "an entry for the root",
            tar(&rooted),
            (No, "root-entry"),
            (No, "unclean-path"),
        ),
    ]);
}

#[test]
fn an_image_layout_has_one_entry() {
    let mut two = Layout::new();
    let one = named(two.image(&right_image()), "example.com/one:1");
    let other = named(
        two.image(&Image::oci(vec![gzipped("other")])),
        "example.com/two:2",
    );
    two.root(vec![one.clone(), other]);
    let mut names = Layout::new();
    names.image(&right_image());
    names.root(vec![one.clone(), named(one, "example.com/two:2")]);
    let mut nothing = right_layout();
    nothing.edit_root(|root| root["manifests"] = json!([]));
    check_both(vec![
        ("two images", two.tar(), No, "several-images"),
        ("two names", names.tar(), No, "several-names"),
        ("nothing", nothing.tar(), No, "nothing-listed"),
    ]);
    let sandbox = Sandbox::new();
    // Only the user can give up a name.
    let archive = names.tar();
    let fix = || Fix::new().engine("apptainer@1.4".parse().unwrap());
    let run = |fix: Fix| {
        let input = Input::stream(std::io::Cursor::new(archive.clone()));
        fix.run(input, Output::archive(sandbox.path("fixed.tar")))
    };
    let error = run(fix()).unwrap_err();
    assert_eq!(error.code(), Code::EngineRefuses);
    assert!(error.hint().unwrap().to_string().contains("give it a name"));
    run(fix().name(NAME.parse().unwrap())).unwrap();
    let check = Check::new(Fix::new()).engine("apptainer@1.4".parse().unwrap());
    let checked = check
        .run(Input::open(sandbox.path("fixed.tar")).unwrap())
        .unwrap();
    assert!(
        checked
            .verdicts
            .iter()
            .all(|judged| judged.as_it_is.loads == Yes)
    );
}

#[test]
fn an_index_is_searched_for_the_machine() {
    let of = |platforms: &dyn Fn(Value) -> Vec<Value>| {
        let mut layout = Layout::new();
        let manifest = layout.image(&right_image());
        let list = layout.document(OCI_INDEX, &index(OCI_INDEX, platforms(manifest)));
        layout.root(vec![named(list, NAME)]);
        layout
    };
    let own = of(&|manifest| {
        vec![
            on(manifest.clone(), "unknown", "unknown"),
            on(manifest, "linux", "amd64"),
        ]
    });
    let other = of(&|manifest| vec![on(manifest, "linux", "arm64")]);
    let unstated = of(&|manifest| vec![manifest.clone(), on(manifest, "linux", "amd64")]);
    let later = of(&|manifest| vec![on(manifest.clone(), "linux", "amd64"), manifest]);
    let variant = of(&|manifest| {
        let mut manifest = on(manifest, "linux", "amd64");
        manifest["platform"]["variant"] = json!("v3");
        vec![manifest]
    });
    check_both(vec![
        ("its platform", own.tar(), Yes, ""),
        ("another platform", other.tar(), No, "no-platform"),
        (
            "no platform before its own",
            unstated.tar(),
            No,
            "unstated-platform",
        ),
        ("no platform after its own", later.tar(), Yes, ""),
        ("any variant", variant.tar(), Yes, ""),
    ]);
    // A fix unwraps the index.
    let mut fixed = Vec::new();
    let fix = Fix::new().engine("apptainer@1.4".parse().unwrap());
    let single = of(&|manifest| vec![manifest]).tar();
    let input = Input::stream(std::io::Cursor::new(single));
    fix.run(input, Output::stream(&mut fixed)).unwrap();
    check_both(vec![("unwrapped", fixed, Yes, "")]);
}

#[test]
fn layers_of_an_image_layout() {
    let skippable = [
        b"\x53\x2a\x4d\x18\x05\0\0\0hello",
        &zstd(&layer_tar("a"))[..],
    ]
    .concat();
    let sized = |part: &str| {
        let mut layout = Layout::of(&right_image(), NAME);
        let mut manifest = layout.manifest(&right_image());
        *manifest.pointer_mut(part).unwrap() = json!(1);
        let descriptor = layout.document(OCI_MANIFEST, &manifest);
        layout.root(vec![named(descriptor, NAME)]);
        layout.tar()
    };
    let unordered = |layers: Vec<Layer>| {
        let mut layout = of_layers(layers);
        layout.docker_manifest = None;
        layout.tar()
    };
    check_both(vec![
        (
            "the size of a layer",
            sized("/layers/0/size"),
            No,
            "wrong-size",
        ),
        ("the size of the config", sized("/config/size"), Yes, ""),
        (
            "zstd",
            of_layers(vec![Layer::zstd(OCI_ZSTD, "a")]).tar(),
            Yes,
            "",
        ),
        (
            "zstd called gzip",
            of_layers(vec![Layer::zstd(OCI_GZIP, "a")]).tar(),
            Yes,
            "",
        ),
        (
            "gzip called tar",
            of_layers(vec![Layer::gzip(OCI_TAR, "a")]).tar(),
            Yes,
            "",
        ),
        (
            "a skippable frame",
            of_layers(vec![Layer::new(OCI_ZSTD, skippable, &layer_tar("a"))]).tar(),
            No,
            "skippable-frame",
        ),
        ("no layers", unordered(vec![]), No, "no-layers"),
        (
            "gzip and plain layers",
            of_layers(vec![Layer::plain(OCI_TAR, "a"), gzipped("b")]).tar(),
            Yes,
            "",
        ),
    ]);
}

#[test]
fn docker_archives_are_read_like_crane_reads_them() {
    let layers = || vec![gzipped("a"), gzipped("b")];
    let plain = |text: &str| Layer::plain(OCI_TAR, text);
    let swap = |item: &mut Value| item["Layers"].as_array_mut().unwrap().swap(0, 1);
    for (what, archive, loads, rule) in [
        ("gzip", saved(layers(), |_| ()), Yes, ""),
        ("swapped", saved(layers(), swap), Yes, ""),
        (
            "gzip, then plain",
            saved(vec![gzipped("a"), plain("b")], |_| ()),
            Yes,
            "",
        ),
        (
            "plain, then gzip",
            saved(vec![plain("a"), gzipped("b")], |_| ()),
            No,
            "mixed-compression",
        ),
    ] {
        let expected = [(OCI, No, "no-index"), (DOCKER, loads, rule)];
        check(what, &archive, &expected);
    }
    check(
        "no layers",
        &saved(vec![], |_| ()),
        &[(DOCKER, No, "no-layers")],
    );
    let mut two = of_layers(layers());
    let manifest = two.manifest(&right_image());
    two.image(&right_image());
    let item = docker_item(&manifest, &["example.com/two:2"]);
    two.edit_docker(|items| items.as_array_mut().unwrap().push(item));
    two.index = None;
    check("two items", &two.tar(), &[(DOCKER, No, "several-images")]);
}
