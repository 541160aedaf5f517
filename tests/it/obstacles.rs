//! What is in the way of which reader: archives that engines treat differently. `tests/engines/campaign.rs` tried archives like
//! these in real engines, where it found each of the kinds.

use std::io::Cursor;

use ocify::{Check, Code, Engine, Fix, Form, Input, Loads, Output};
use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    DOCKER_CONFIG, DOCKER_LIST, DOCKER_ZSTD, Image, Layer, Layout, OCI_GZIP, OCI_INDEX,
    OCI_MANIFEST, OCI_TAR, OCI_ZSTD, annotated, docker_item, gzip, index, layer_tar, named, on,
    right_image, right_layout, with_manifest, zstd,
};
use crate::common::contents::blob_name;
use crate::common::saved::Saved;
use crate::common::sha256;

const NAME: &str = "example.com/app:v1";
const SKIPPABLE: &[u8] = b"\x53\x2a\x4d\x18\x05\0\0\0hello";

/// A reader, what it does, and the rule of the only reason; empty if there is none.
type Expected = (&'static str, Loads, &'static str);

pub(crate) fn check(what: &str, archive: &[u8], expected: &[Expected]) {
    for (text, loads, rule) in expected {
        let check = Check::new(Fix::new()).engine(text.parse::<Engine>().unwrap());
        let check = check.platform("linux/amd64".parse().unwrap());
        let checked = check.run(Input::stream(Cursor::new(archive.to_vec())));
        let checked = checked.unwrap_or_else(|error| panic!("{what}: {error}"));
        let [judged] = &checked.verdicts[..] else {
            panic!("{what}: {:?}", checked.verdicts);
        };
        let because = &judged.as_it_is.because;
        let found: Vec<&str> = because
            .iter()
            .map(|reason| reason.obstacle.name())
            .collect();
        let expected: &[&str] = if rule.is_empty() { &[] } else { &[rule] };
        assert_eq!(
            judged.as_it_is.loads, *loads,
            "{what} in {text}: {because:#?}"
        );
        assert_eq!(found, expected, "{what} in {text}");
        assert!(
            because
                .iter()
                .all(|reason| !reason.evidence.to_string().is_empty())
        );
    }
}

/// Both roots, for an image of one layer with these bytes and what they decompress to.
fn dual(media_type: &str, bytes: Vec<u8>, plain: &[u8]) -> Layout {
    let image = Image::oci(vec![Layer::new(media_type, bytes, plain)]);
    let mut layout = Layout::of(&image, NAME);
    let manifest = layout.manifest(&image);
    layout.docker(&manifest, &[NAME]);
    layout
}

/// The entries with the layer replaced by a link to a file that is added.
fn linked(flag: u8, target: &str, file: &str, is_first: bool) -> Vec<u8> {
    tar(&link(
        right_layout().entries(),
        flag,
        target,
        file,
        is_first,
    ))
}

fn link(mut entries: Vec<Entry>, flag: u8, target: &str, file: &str, is_first: bool) -> Vec<Entry> {
    let layer = Layer::gzip(OCI_GZIP, "right");
    let name = blob_name(&format!("sha256:{}", sha256(&layer.bytes)));
    for entry in &mut entries {
        if entry.name == name.as_bytes() {
            *entry = Entry::link(&name, flag, target);
        }
    }
    let place = if is_first { 0 } else { entries.len() };
    entries.insert(place, Entry::file(file, &layer.bytes));
    entries
}

#[test]
fn layers_that_are_not_tars() {
    let text = b"this is not a tar archive".repeat(40);
    for (media_type, bytes) in [
        (OCI_TAR, text.clone()),
        (OCI_GZIP, gzip(&text)),
        (OCI_ZSTD, zstd(&text)),
    ] {
        check(
            "a text",
            &dual(media_type, bytes, &text).tar(),
            &[
                ("docker@26.1.5/graphdriver", Loads::No, "layer-not-tar"),
                ("docker@26.1.5/containerd", Loads::No, "layer-not-tar"),
                ("containerd@1.6.20", Loads::No, "layer-not-tar"),
                ("kind", Loads::No, "layer-not-tar"),
                ("podman@5.4.2", Loads::No, "layer-not-tar"),
                ("buildah@1.39.3/oci-archive", Loads::No, "layer-not-tar"),
                // They copy it.
                ("skopeo@1.18.0/oci-archive", Loads::Yes, ""),
                ("skopeo@1.18.0/docker-archive", Loads::Yes, ""),
                ("oras", Loads::Yes, ""),
            ],
        );
    }
    let inner = gzip(&layer_tar("twice"));
    check(
        "gzip in gzip",
        &dual(OCI_GZIP, gzip(&inner), &inner).tar(),
        &[
            ("docker@20.10.24", Loads::No, "layer-compressed-twice"),
            ("containerd@1.7.24", Loads::No, "layer-compressed-twice"),
            ("podman@5.4.2", Loads::No, "layer-compressed-twice"),
            // It falls back to manifest.json, and decompresses twice.
            ("podman@4.3.1", Loads::Yes, ""),
            ("skopeo@1.18.0/oci-archive", Loads::Yes, ""),
            ("crane", Loads::No, "layer-compressed-twice"),
        ],
    );
}

/// crane finds layers that are not compressed by their diff IDs, so a repeated one is not read.
#[test]
fn layers_that_are_there_twice() {
    let plain = || Layer::plain(OCI_TAR, "a");
    let squeezed = || Layer::gzip(OCI_GZIP, "a");
    let saved = |layers: [Layer; 2], is_linked: bool| {
        let image = Image::oci(layers.to_vec());
        let mut saved = Saved::new();
        let names = ["one/layer.tar", "two/layer.tar"];
        saved.named(&image, "config.json", &names, json!([NAME]));
        if is_linked {
            *saved.entry(names[1]) = Entry::link(names[1], b'1', names[0]);
        }
        saved.tar()
    };
    let is_read = |what: &str, archive: &[u8]| {
        check(
            what,
            archive,
            &[("crane", Loads::Yes, ""), ("trivy", Loads::Yes, "")],
        );
    };
    is_read("a hard link", &saved([plain(), plain()], true));
    is_read(
        "only the second is gzip",
        &saved([plain(), squeezed()], false),
    );
    let linked = [
        ("crane", Loads::No, "hard-link"),
        ("trivy", Loads::No, "hard-link"),
    ];
    check(
        "a hard link to gzip",
        &saved([squeezed(), squeezed()], true),
        &linked,
    );
    let mixed = [
        ("crane", Loads::No, "mixed-compression"),
        ("trivy", Loads::Yes, ""),
    ];
    check(
        "only the first is gzip",
        &saved([squeezed(), plain()], false),
        &mixed,
    );
}

#[test]
fn entries_that_only_some_readers_unpack() {
    let with = |entry: Entry| {
        let mut entries = right_layout().entries();
        entries.push(entry);
        tar(&entries)
    };
    check(
        "a contiguous file",
        &with(Entry::new("more/other", b'7', "text")),
        &[
            ("docker@26.1.5/graphdriver", Loads::No, "entry-type"),
            ("docker@26.1.5/containerd", Loads::Yes, ""),
            ("containerd@1.6.20", Loads::Yes, ""),
            ("skopeo@1.18.0/oci-archive", Loads::No, "entry-type"),
            ("skopeo@1.18.0/docker-archive", Loads::Yes, ""),
            ("podman@5.4.2", Loads::Yes, ""),
        ],
    );
    let unpacked: [Expected; 4] = [
        ("docker@20.10.24", Loads::No, "early-hard-link"),
        ("skopeo@1.18.0/oci-archive", Loads::No, "early-hard-link"),
        ("containerd@1.7.24", Loads::Yes, ""),
        ("podman@4.3.1", Loads::Yes, ""),
    ];
    let absent = Entry::link("more/other", b'1', "absent");
    check("a hard link to nothing", &with(absent), &unpacked);
    let found = Entry::link("more/other", b'1', "index.json");
    check(
        "a hard link to a file before it",
        &with(found),
        &unpacked.map(|(text, ..)| (text, Loads::Yes, "")),
    );
    check(
        "a layer that is a hard link before its target",
        &linked(b'1', "files/layer", "files/layer", false),
        &[
            ("docker@26.1.5/graphdriver", Loads::No, "early-hard-link"),
            ("containerd@1.7.24", Loads::Yes, ""),
            ("oras", Loads::No, "hard-link"),
            ("crane", Loads::No, "hard-link"),
            ("regctl@0.4.8", Loads::No, "hard-link"),
            ("regctl", Loads::Yes, ""),
        ],
    );
    let mut docker = right_layout();
    docker.index = None;
    docker.oci_layout = None;
    docker.more.push(Entry::link("more/other", b'2', "absent"));
    check(
        "a symbolic link to nothing",
        &docker.tar(),
        &[
            ("containerd@1.6.20", Loads::No, "dangling-link"),
            ("docker@26.1.5/containerd", Loads::No, "dangling-link"),
            ("docker@26.1.5/graphdriver", Loads::Yes, ""),
            ("podman@5.4.2", Loads::Yes, ""),
        ],
    );
}

#[test]
fn a_hard_link_in_a_directory_states_the_complete_path() {
    for (target, rule) in [
        ("files/layer", "early-hard-link"),
        ("app/files/layer", "no-docker-manifest"),
    ] {
        let mut entries = link(right_layout().entries(), b'1', target, "files/layer", true);
        for entry in &mut entries {
            entry.name = [b"app/", &entry.name[..]].concat();
        }
        check(
            target,
            &tar(&entries),
            &[
                ("docker@20.10.24", Loads::No, rule),
                ("docker@26.1.5/graphdriver", Loads::No, rule),
            ],
        );
    }
}

#[test]
fn names_that_only_some_readers_find() {
    let prefixed = |prefix: &str, only: &str| {
        let mut layout = right_layout();
        layout.index = None;
        layout.oci_layout = None;
        let mut entries = layout.entries();
        for entry in &mut entries {
            if String::from_utf8_lossy(&entry.name).contains(only) && entry.flag == b'0' {
                entry.name = [prefix.as_bytes(), &entry.name[..]].concat();
            }
        }
        tar(&entries)
    };
    check(
        "absolute names of blobs",
        &prefixed("/", "blobs/sha256/"),
        &[
            ("docker@26.1.5/graphdriver", Loads::Yes, ""),
            ("containerd@1.6.20", Loads::No, "unclean-name"),
            ("skopeo@1.18.0/docker-archive", Loads::No, "unclean-name"),
            ("podman@4.3.1", Loads::No, "unclean-name"),
            ("crane", Loads::No, "unclean-name"),
        ],
    );
    check(
        "names that begin with ./",
        &prefixed("./", ""),
        &[
            ("containerd@1.6.20", Loads::Yes, ""),
            ("skopeo@1.18.0/docker-archive", Loads::Yes, ""),
            ("crane@0.20.8", Loads::No, "unclean-path"),
            ("crane@0.21.7", Loads::Yes, ""),
            ("trivy@0.70.0", Loads::No, "unclean-path"),
        ],
    );
}

#[test]
fn indexes_and_names_of_entries() {
    let mut nested = Layout::new();
    let image = nested.image(&right_image());
    let inner = nested.index_of(OCI_INDEX, vec![on(image, "linux", "amd64")]);
    let outer = nested.index_of(OCI_INDEX, vec![inner]);
    nested.root(vec![named(outer, NAME)]);
    check(
        "an index in an index",
        &nested.tar(),
        &[
            ("docker@26.1.5/containerd", Loads::No, "nested-index"),
            ("docker@27.5.1/containerd", Loads::No, "nested-index"),
            ("docker@28.0.0/containerd", Loads::Yes, ""),
            ("containerd@1.7.24", Loads::Yes, ""),
            ("podman@5.4.2", Loads::No, "nested-index"),
            ("skopeo@1.18.0/oci-archive", Loads::No, "nested-index"),
            ("oras", Loads::Yes, ""),
        ],
    );
    let mut repeated = Layout::new();
    let one = repeated.image(&right_image());
    let other = repeated.image(&Image::oci(vec![Layer::gzip(OCI_GZIP, "other")]));
    repeated.root(vec![named(one, NAME), named(other, NAME)]);
    check(
        "two entries with one name",
        &repeated.tar(),
        &[
            ("containerd@1.6.20", Loads::Partly, "repeated-name"),
            ("docker@26.1.5/containerd", Loads::Partly, "repeated-name"),
            ("umoci@0.4.7", Loads::No, "ambiguous-tag"),
        ],
    );
    let mut invalid = Layout::new();
    let image = invalid.image(&right_image());
    invalid.root(vec![annotated(
        image,
        &[
            ("io.containerd.image.name", "App:v1"),
            ("org.opencontainers.image.ref.name", "v1"),
        ],
    )]);
    check(
        "a name in upper case",
        &invalid.tar(),
        &[
            ("podman@5.4.2", Loads::No, "invalid-name"),
            ("docker@26.1.5/containerd", Loads::No, "invalid-name"),
            ("containerd@1.7.24", Loads::Yes, ""),
            ("skopeo@1.18.0/oci-archive", Loads::Yes, ""),
        ],
    );
}

/// Which of two platforms under one name is loaded decides the last entry, whatever the machine is.
#[test]
fn platforms_side_by_side_under_one_name() {
    let mut layout = Layout::new();
    let one = on(layout.image(&right_image()), "linux", "amd64");
    let other = right_image().architecture("arm64");
    let other = on(layout.image(&other), "linux", "arm64");
    layout.root(vec![named(one, NAME), named(other, NAME)]);
    for (platform, loads) in [("linux/amd64", Loads::No), ("linux/arm64", Loads::Partly)] {
        let check = Check::new(Fix::new()).engine("containerd@1.7.24".parse().unwrap());
        let check = check.platform(platform.parse().unwrap());
        let checked = check.run(Input::stream(Cursor::new(layout.tar()))).unwrap();
        let verdict = &checked.verdicts[0].as_it_is;
        assert_eq!(verdict.loads, loads, "{platform}: {verdict:#?}");
        assert_eq!(checked.verdicts[0].fixed.loads, Loads::Yes, "{platform}");
    }
}

/// Some versions lose the beginning of what gzip decompresses to, if they read `manifest.json`.
#[test]
fn docker_archives_that_are_compressed() {
    let mut docker = dual(OCI_GZIP, gzip(&layer_tar("gzip")), &layer_tar("gzip"));
    let both = gzip(&docker.tar());
    (docker.index, docker.oci_layout) = (None, None);
    let docker = gzip(&docker.tar());
    check(
        "a Docker archive",
        &docker,
        &[
            ("podman@4.1.1", Loads::Yes, ""),
            ("podman@4.2.1", Loads::No, "outer-gzip-docker"),
            ("podman@4.3.1", Loads::No, "outer-gzip-docker"),
            ("podman@4.4.4", Loads::Yes, ""),
            (
                "skopeo@1.9.3/docker-archive",
                Loads::No,
                "outer-gzip-docker",
            ),
            ("skopeo@1.18.0/docker-archive", Loads::Yes, ""),
        ],
    );
    check(
        "an image layout",
        &both,
        &[("podman@4.3.1", Loads::Yes, "")],
    );
}

/// The digest proves that the content is right, and the fix corrects the size.
#[test]
fn sizes_that_descriptors_state() {
    for (at, loads, rule) in [
        ("/config", Loads::No, "wrong-size"),
        ("/layers/0", Loads::Yes, ""),
    ] {
        let layout = with_manifest(|manifest| {
            let size = manifest.pointer_mut(at).unwrap().get_mut("size").unwrap();
            *size = json!(size.as_u64().unwrap() + 1);
        });
        check(
            at,
            &layout.tar(),
            &[
                ("skopeo@1.18.0/oci-archive", loads, rule),
                ("podman@5.4.2", loads, rule),
                // It compares every size.
                ("oras@1.2.0", Loads::No, "wrong-size"),
                ("containerd@1.7.24", Loads::Yes, ""),
                ("docker@26.1.5/containerd", Loads::Yes, ""),
            ],
        );
    }
}

/// An image with both roots, whose manifest is changed, beside one for another platform.
fn with_both(image: &Image, change: impl FnOnce(&mut Value)) -> Layout {
    let mut layout = Layout::new();
    let mut manifest = layout.manifest(image);
    layout.docker(&manifest, &[NAME]);
    change(&mut manifest);
    let here = layout.document(OCI_MANIFEST, &manifest);
    let other = layout.image(&right_image());
    let both = vec![on(here, "linux", "amd64"), on(other, "linux", "arm64")];
    let both = layout.document(OCI_INDEX, &index(OCI_INDEX, both));
    layout.root(vec![named(both, NAME)]);
    layout
}

#[test]
fn podman_loads_an_image_without_layers_that_its_manifest_lacks() {
    let plain = |text| Layer::new(OCI_TAR, layer_tar(text), &layer_tar(text));
    let gzip = |text| Layer::gzip(OCI_GZIP, text);
    let plain = Image::oci(vec![plain("1"), plain("2")]);
    let gzip = Image::oci(vec![gzip("1"), gzip("2")]);
    for image in [&plain, &gzip] {
        for (left_out, podman_5) in [
            (1, (Loads::Partly, "fewer-layers")),
            // The other is not the first, so podman uses manifest.json.
            (0, (Loads::Yes, "")),
        ] {
            let layout = with_both(image, |manifest| {
                manifest["layers"].as_array_mut().unwrap().remove(left_out);
            });
            check(
                &format!("without layer {left_out}"),
                &layout.tar(),
                &[
                    ("podman@4.3.1", Loads::Partly, "fewer-layers"),
                    ("podman@5.4.2", podman_5.0, podman_5.1),
                    ("containerd@1.7.24", Loads::No, "wrong-layers"),
                    ("docker@26.1.5/graphdriver", Loads::Yes, ""),
                ],
            );
        }
    }
    let layout = with_both(&gzip, |manifest| manifest["layers"] = json!([]));
    check(
        "without layers",
        &layout.tar(),
        &[
            ("podman@4.3.1", Loads::No, "fewer-layers"),
            ("podman@5.4.2", Loads::No, "fewer-layers"),
        ],
    );
}

#[test]
fn podman_reads_a_docker_archive_without_the_layers_that_it_stored() {
    let wrong_size = |manifest: &mut Value| {
        let size = &mut manifest["config"]["size"];
        *size = json!(size.as_u64().unwrap() + 1);
    };
    let linked = |layout: &Layout| {
        let entries = layout.entries();
        tar(&link(
            entries,
            b'2',
            "../../files/layer",
            "files/layer",
            true,
        ))
    };
    let copied = linked(&with_both(&right_image(), wrong_size));
    check(
        "a wrong size of a config",
        &copied,
        &[
            ("podman@4.3.1", Loads::Yes, ""),
            ("podman@5.4.2", Loads::Yes, ""),
            ("skopeo@1.18.0/oci-archive", Loads::No, "wrong-size"),
            ("skopeo@1.18.0/docker-archive", Loads::No, "symbolic-link"),
        ],
    );
    // It fails before it copies anything.
    let mut not_copied = with_both(&right_image(), wrong_size);
    not_copied.index = None;
    check(
        "no index",
        &linked(&not_copied),
        &[("podman@5.4.2", Loads::No, "symbolic-link")],
    );
}

#[test]
fn lists_that_do_not_state_platforms() {
    for (media_type, loads, rule) in [
        (OCI_INDEX, Loads::Yes, ""),
        (DOCKER_LIST, Loads::No, "no-platform"),
    ] {
        let mut layout = Layout::new();
        let image = layout.image(&right_image());
        let list = layout.document(media_type, &index(media_type, vec![image]));
        layout.root(vec![named(list, NAME)]);
        check(media_type, &layout.tar(), &[("podman@5.4.2", loads, rule)]);
    }
}

#[test]
fn types_and_urls_of_documents() {
    let config = |media_type: &'static str| {
        with_manifest(move |manifest| manifest["config"]["mediaType"] = json!(media_type)).tar()
    };
    check(
        "a config of Docker",
        &config(DOCKER_CONFIG),
        &[
            ("podman@4.3.1", Loads::No, "mixed-config"),
            ("skopeo@1.18.0/oci-archive", Loads::Yes, ""),
            ("containerd@1.6.20", Loads::Yes, ""),
            ("umoci@0.6.0", Loads::No, "docker-types"),
        ],
    );
    let urls = |at: &'static str| {
        with_manifest(move |manifest| {
            let place = manifest.pointer_mut(at).unwrap();
            place["urls"] = json!(["https://example.com/a"]);
        })
    };
    for at in ["/config", "/layers/0"] {
        check(
            "URLs",
            &urls(at).tar(),
            &[
                ("podman@5.4.2", Loads::No, "layer-urls"),
                ("skopeo@1.18.0/oci-archive", Loads::No, "layer-urls"),
                ("containerd@1.7.24", Loads::Yes, ""),
            ],
        );
    }
    let zstd = Layer::zstd(DOCKER_ZSTD, "zstd");
    let layout = Layout::of(&Image::oci(vec![zstd]), NAME);
    check(
        "the nonstandard type in an OCI manifest",
        &layout.tar(),
        &[
            ("skopeo@1.18.0/oci-archive", Loads::Yes, ""),
            ("podman@4.3.1", Loads::Yes, ""),
            ("containerd@1.7.24", Loads::No, "layer-type"),
        ],
    );
}

#[test]
fn an_archive_that_begins_with_a_skippable_frame() {
    let bytes = [SKIPPABLE, &zstd(&right_layout().tar())].concat();
    check(
        "outer zstd",
        &bytes,
        &[
            ("docker@20.10.24", Loads::No, "outer-skippable-frame"),
            ("docker@26.1.5/graphdriver", Loads::Yes, ""),
            ("containerd@1.7.24", Loads::No, "outer-skippable-frame"),
            ("podman@5.4.2", Loads::No, "outer-skippable-frame"),
            (
                "skopeo@1.18.0/oci-archive",
                Loads::No,
                "outer-skippable-frame",
            ),
            ("nerdctl@2.2.2", Loads::Yes, ""),
        ],
    );
}

/// An image of these layers, with both roots.
fn of_layers(layers: Vec<Layer>) -> Layout {
    let image = Image::oci(layers);
    let mut layout = Layout::of(&image, NAME);
    let manifest = layout.manifest(&image);
    layout.docker(&manifest, &[NAME]);
    layout
}

#[test]
fn further_readers_have_facts_of_their_own() {
    check(
        "a valid image",
        &of_layers(vec![Layer::gzip(OCI_GZIP, "a")]).tar(),
        &[
            ("nerdctl", Loads::Yes, ""),
            ("k3d", Loads::Yes, ""),
            ("buildah/oci-archive", Loads::Yes, ""),
            ("buildah/docker-archive", Loads::Yes, ""),
            ("apptainer/oci-archive", Loads::Yes, ""),
            ("apptainer/docker-archive", Loads::Yes, ""),
            ("crane", Loads::Yes, ""),
            ("trivy", Loads::Yes, ""),
            ("umoci", Loads::Yes, ""),
            ("oras", Loads::Yes, ""),
            ("regctl", Loads::Yes, ""),
            // Nobody read these.
            ("crane@0.20.9", Loads::Unknown, ""),
            ("umoci@0.7.0", Loads::Unknown, ""),
            ("oras@1.4", Loads::Unknown, ""),
        ],
    );
    check(
        "zstd",
        &of_layers(vec![Layer::zstd(OCI_ZSTD, "a")]).tar(),
        &[
            ("crane@0.12.1", Loads::No, "zstd-layers"),
            ("crane", Loads::No, "zstd-layers"),
            ("trivy", Loads::Yes, ""),
            ("umoci@0.4.7", Loads::No, "zstd-layers"),
            ("umoci@0.6.0", Loads::Yes, ""),
            ("apptainer@1.3.6/oci-archive", Loads::No, "zstd-layers"),
            ("apptainer@1.3.6/docker-archive", Loads::Yes, ""),
            ("apptainer@1.4.0/oci-archive", Loads::Unknown, ""),
            ("apptainer@1.4.5/oci-archive", Loads::Yes, ""),
            ("nerdctl", Loads::Yes, ""),
        ],
    );
    let mixed = vec![Layer::gzip(OCI_GZIP, "a"), Layer::plain(OCI_TAR, "b")];
    check(
        "gzip and plain layers",
        &of_layers(mixed).tar(),
        &[
            ("crane", Loads::No, "mixed-compression"),
            ("trivy", Loads::Yes, ""),
            ("containerd", Loads::Yes, ""),
        ],
    );
    let labelled = vec![Layer::zstd(OCI_GZIP, "a")];
    check(
        "zstd called gzip",
        &of_layers(labelled).tar(),
        &[
            ("umoci@0.6.0", Loads::No, "other-label"),
            ("containerd", Loads::Yes, ""),
        ],
    );
    let mut unnamed = Layout::new();
    let image = unnamed.image(&right_image());
    unnamed.root(vec![image]);
    check(
        "no name",
        &unnamed.tar(),
        &[
            ("nerdctl", Loads::Untagged, ""),
            ("kind@0.13.0", Loads::No, "no-name"),
            ("kind", Loads::Untagged, ""),
            ("umoci", Loads::No, "no-name"),
            ("oras", Loads::Untagged, ""),
        ],
    );
    let mut two = Layout::new();
    let one = named(two.image(&right_image()), "example.com/one:1");
    let other = Image::oci(vec![Layer::gzip(OCI_GZIP, "other")]);
    let manifests = [two.manifest(&right_image()), two.manifest(&other)];
    let other = named(two.image(&other), "example.com/two:2");
    two.root(vec![one, other]);
    two.docker(&manifests[0], &["example.com/one:1"]);
    let item = docker_item(&manifests[1], &["example.com/two:2"]);
    two.edit_docker(|items| items.as_array_mut().unwrap().push(item));
    check(
        "two images",
        &two.tar(),
        &[
            ("crane", Loads::No, "several-images"),
            ("buildah/docker-archive", Loads::Choose, "several-images"),
            ("buildah/oci-archive", Loads::Choose, "several-images"),
            ("oras", Loads::Choose, "several-images"),
            ("regctl", Loads::Choose, "several-images"),
            ("umoci", Loads::Choose, ""),
        ],
    );
}

/// What a fix for a reader removes, recompresses or unwraps.
#[test]
fn a_fix_for_a_further_reader_loads_there() {
    let mut attested = Layout::new();
    let image = on(attested.image(&right_image()), "linux", "amd64");
    let config = attested.blob("application/vnd.oci.empty.v1+json", "{}");
    let layer = attested.blob("application/vnd.in-toto+json", "about the image");
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
    let attestation = attested.document(OCI_MANIFEST, &manifest);
    let digest = image["digest"].as_str().unwrap().to_owned();
    let links = [
        ("vnd.docker.reference.type", "attestation-manifest"),
        ("vnd.docker.reference.digest", &digest),
    ];
    let attestation = on(annotated(attestation, &links), "unknown", "unknown");
    let both = attested.document(OCI_INDEX, &index(OCI_INDEX, vec![image, attestation]));
    attested.root(vec![named(both, NAME)]);
    let mixed = vec![Layer::gzip(OCI_GZIP, "a"), Layer::plain(OCI_TAR, "b")];
    for (what, layout, text, rule) in [
        ("an attestation", attested, "umoci@0.6.0", "unwrapped"),
        (
            "gzip and plain layers",
            of_layers(mixed),
            "crane",
            "recompressed",
        ),
    ] {
        let engine: Engine = text.parse().unwrap();
        let input = || Input::stream(Cursor::new(layout.tar()));
        let fix = Fix::new().engine(engine);
        let preview = fix.plan_only(input(), Form::default()).unwrap();
        let changes = preview.summary.changes.iter();
        let rules: Vec<&str> = changes.map(|change| change.rule.name()).collect();
        let mut output = Vec::new();
        fix.run(input(), Output::stream(&mut output)).unwrap();
        assert!(rules.contains(&rule), "{what}: {rules:?}");
        check(what, &output, &[(text, Loads::Yes, "")]);
    }
    // Without a platform to keep, nobody knows which one.
    let mut platforms = Layout::new();
    let one = on(platforms.image(&right_image()), "linux", "amd64");
    let other = right_image().architecture("arm64");
    let other = on(platforms.image(&other), "linux", "arm64");
    let both = platforms.index_of(OCI_INDEX, vec![one, other]);
    platforms.root(vec![named(both, NAME)]);
    let fix = Fix::new().engine("umoci".parse().unwrap());
    let input = || Input::stream(Cursor::new(platforms.tar()));
    let mut output = Vec::new();
    let error = fix.run(input(), Output::stream(&mut output)).unwrap_err();
    assert_eq!(error.code(), Code::EngineRefuses, "{error}");
    assert!(
        error.hint().unwrap().to_string().contains("platform"),
        "{error:?}"
    );
    let mut output = Vec::new();
    let fix = fix.platform("linux/amd64".parse().unwrap());
    fix.run(input(), Output::stream(&mut output)).unwrap();
    check("one platform", &output, &[("umoci", Loads::Yes, "")]);
}
