//! Hints lead to commands that work: each is run as it is written.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::common::advice::{are_installed, command_after, hint, shell, stream_hint, writes};
use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    DOCKER_GZIP, Image, Layer, Layout, OCI_INDEX, bzip2, gzip, right_layout, with_manifest, xz,
    zstd,
};
use crate::common::checker::check_output;
use crate::common::judged::fixed;
use crate::common::measured::measured;
use crate::common::runner::{Sandbox, run};
use crate::common::saved::{Saved, image};

type Compress = fn(&[u8]) -> Vec<u8>;
const FORMS: [(&str, Compress); 4] = [("gzip", gzip), ("zstd", zstd), ("bzip2", bzip2), ("xz", xz)];

fn unchanged(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// An archive that needs fixes.
fn sample() -> Vec<u8> {
    let app = Image::docker(vec![Layer::gzip(DOCKER_GZIP, "a")]);
    Layout::of(&app, "docker.io/library/app:v1").tar()
}

#[test]
fn archives_that_are_compressed_twice_can_be_fixed() {
    let plain = sample();
    for (outer, compress) in FORMS {
        for (inner, first) in FORMS {
            let bytes = compress(&first(&plain));
            let sandbox = Sandbox::new();
            sandbox.put("my app.tar", &bytes);
            let parts = [
                "my app.tar is compressed twice",
                &format!("inside its {outer} data is {inner} data"),
            ];
            let hint = hint(&sandbox, "my app.tar", "compressed-archive", &parts);
            let line = command_after(&hint, "decompress it first: ");
            assert_eq!(line, format!("{outer} -dc 'my app.tar' | ocify fix -"));
            let piped = stream_hint(&bytes, "compressed-archive");
            let piped = command_after(&piped, "decompress it first: ");
            assert_eq!(piped, format!("… | {outer} -dc | ocify fix -"));
            if are_installed(&[outer]) {
                writes(&sandbox, line, &plain);
                writes(&sandbox, &piped.replace('…', "cat 'my app.tar'"), &plain);
            }
        }
    }
    // Within both, something else.
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", gzip(b"PK\x03\x04 and so on"));
    let parts = ["in.tar, decompressed as gzip, is a zip file"];
    hint(&sandbox, "in.tar", "not-an-image", &parts);
    let base64 = "H4sIAAAAAAAAA+zTMQ6DMAwF0Byl3KBxEpLzIDVSl0pV0vsXVamYWBhaEf+32IMX/2\n".repeat(4);
    sandbox.put("in.tar", gzip(base64.as_bytes()));
    let parts = ["in.tar, decompressed as gzip, is base64 text"];
    let hint = hint(&sandbox, "in.tar", "not-an-image", &parts);
    assert!(
        hint.ends_with("gzip -dc in.tar | base64 -d | ocify fix -"),
        "{hint}"
    );
}

/// The text of bytes in base64, in lines.
fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(76);
    lines
        .map(|line| format!("{}\n", std::str::from_utf8(line).unwrap()))
        .collect()
}

#[test]
fn archives_in_other_encodings_can_be_fixed() {
    let plain = sample();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", base64(&plain));
    let hint = hint(&sandbox, "in.tar", "not-an-image", &["is base64 text"]);
    let line = command_after(&hint, "decompress it first: ");
    if are_installed(&["base64"]) {
        writes(&sandbox, line, &plain);
    }
}

#[test]
fn what_follows_an_archive_can_be_cut_off() {
    let plain = sample();
    let other = right_layout().tar();
    for (form, compress) in [
        ("plain", unchanged as Compress),
        ("gzip", gzip),
        ("zstd", zstd),
    ] {
        for garbage in [&b"garbage"[..], &[&[0; 700][..], b"x"].concat(), &[1; 9000]] {
            let bytes = compress(&[&plain, garbage].concat());
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let hint = hint(&sandbox, "in.tar", "trailing-archive", &["continues after"]);
            let line = command_after(&hint, "cut it off: ");
            let piped = stream_hint(&bytes, "trailing-archive");
            let piped = command_after(&piped, "cut it off: ");
            if form == "plain" || are_installed(&[form]) {
                writes(&sandbox, line, &plain);
                writes(&sandbox, &piped.replace('…', "cat in.tar"), &plain);
            }
        }
        for second in [other.clone(), gzip(&other)] {
            let bytes = compress(&[&plain[..], &second].concat());
            let sandbox = Sandbox::new();
            sandbox.put("in.tar", &bytes);
            let hint = hint(&sandbox, "in.tar", "trailing-archive", &["continues after"]);
            let both = command_after(&hint, "different readers; the first is ");
            let (first, second) = both.split_once(", and the second ").unwrap();
            if form == "plain" || are_installed(&[form]) {
                writes(&sandbox, first, &plain);
                writes(&sandbox, second, &other);
            }
        }
    }
}

/// gzip says that it ignores what follows, and ocify refuses it until somebody says so.
#[test]
fn what_follows_gzip_data_can_be_cut_off() {
    let plain = sample();
    let bytes = [&gzip(&plain)[..], b"garbage"].concat();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar.gz", &bytes);
    let parts = ["trailing data after the last gzip member"];
    let hint = hint(&sandbox, "in.tar.gz", "invalid-archive", &parts);
    let line = command_after(&hint, "cut it off: ");
    let piped = stream_hint(&bytes, "invalid-archive");
    let piped = command_after(&piped, "cut it off: ");
    if are_installed(&["gzip"]) {
        writes(&sandbox, line, &plain);
        writes(&sandbox, &piped.replace('…', "cat in.tar.gz"), &plain);
    }
}

/// The entries of an image in a directory.
fn below(directory: &str, entries: Vec<Entry>) -> Vec<Entry> {
    let below = |mut entry: Entry| {
        entry.name = [directory.as_bytes(), &entry.name].concat();
        entry
    };
    entries.into_iter().map(below).collect()
}

#[test]
fn images_deep_in_an_archive_can_be_fixed() {
    let app = image(&["a", "b"]);
    let mut saved = Saved::new();
    saved.docker(&app, json!(["app:v1"]));
    for (form, entries) in [
        ("layout", right_layout().entries()),
        ("docker", saved.all()),
    ] {
        let expected = tar(&entries);
        for (directory, more) in [
            ("my dir/sub/", vec![]),
            ("dir/", vec![Entry::file("README", "beside it")]),
        ] {
            let bytes = tar(&[below(directory, entries.clone()), more].concat());
            for (name, bytes) in [("in.tar", bytes.clone()), ("in.tar.gz", gzip(&bytes))] {
                let sandbox = Sandbox::new();
                sandbox.put(name, &bytes);
                let place = directory.trim_end_matches('/');
                let parts = [&*format!("{name} has an image in the directory {place}:")];
                let hint = hint(&sandbox, name, "not-an-image", &parts);
                let line = command_after(&hint, "fix that: ").replace("OUTPUT", "out.tar");
                if are_installed(&["tar", "gzip"]) {
                    shell(&sandbox, &line).exits(0);
                    let found = fixed(&sandbox.read("out.tar"), &[]);
                    assert!(found.bytes == fixed(&expected, &[]).bytes, "{form}: {line}");
                }
                let piped = stream_hint(&bytes, "not-an-image");
                assert!(piped.contains("… | tar -x && ocify fix "), "{piped}");
            }
        }
    }
    // Several of them.
    let entries = right_layout().entries();
    let both = [below("a/x/", entries.clone()), below("b/y/", entries)].concat();
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", tar(&both));
    let hint = hint(&sandbox, "in.tar", "not-an-image", &["directory a/x:"]);
    let line = command_after(&hint, "fix them: ").replace("NEW", "new");
    if are_installed(&["tar"]) {
        shell(&sandbox, &line.replace("OUTPUT", "out")).exits(0);
        for directory in ["a/x", "b/y"] {
            check_output(&sandbox.path(&format!("out/{directory}")));
        }
    }
    // What has no image in it is not taken for one.
    let web = tar(&[
        Entry::file("app/index.json", "{}"),
        Entry::file("app/manifest.json", "{}"),
        Entry::file("README", "x"),
    ]);
    sandbox.put("web.tar", web);
    let parts = ["contains neither index.json nor manifest.json"];
    self::hint(&sandbox, "web.tar", "not-an-image", &parts);
}

/// Names that a shell or tar does not take as they are.
const UNUSUAL: [&[u8]; 8] = [
    b"my app.tar",
    b"it's $(x).tar",
    b"-x.tar",
    b"host:app.tar",
    b"a\nb\t\x1b[1m.tar",
    "\u{202e}rat.tar".as_bytes(),
    b"a\\x\xff1.tar",
    b"-\xe9'\xff.tar",
];

#[test]
fn commands_work_for_paths_of_any_bytes() {
    let plain = sample();
    let inner = below("dir/", right_layout().entries());
    let deep = tar(&[inner, vec![Entry::file("README", "x")]].concat());
    if !are_installed(&["bash", "tar", "gzip"]) {
        return;
    }
    for name in UNUSUAL {
        let name = OsStr::from_bytes(name);
        let sandbox = Sandbox::new();
        let advice = |bytes: &[u8], words: &str| {
            fs::write(sandbox.path("").join(name), bytes).unwrap();
            let mut command = sandbox.command();
            command.args(["fix", "--dry-run", "--format", "json", "--"]);
            let report = run(command.arg(name)).exits(1).json();
            let hint = report["error"]["hint"].as_str().unwrap().to_owned();
            command_after(&hint, words).to_owned()
        };
        let line = advice(&gzip(&gzip(&plain)), "decompress it first: ");
        writes(&sandbox, &line, &plain);
        let line = advice(&deep, "fix that: ").replace("OUTPUT", "out.tar");
        shell(&sandbox, &line).exits(0);
        check_output(&sandbox.path("out.tar"));
    }
    // The name of the directory is not known as it is.
    for name in [&b"a\xff/"[..], b"a\\xff/"] {
        let entries = right_layout().entries().into_iter().map(|mut entry| {
            entry.name = [name, &entry.name].concat();
            entry
        });
        let mut entries: Vec<Entry> = entries.collect();
        entries.push(Entry::file("README", "x"));
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", tar(&entries));
        let hint = hint(&sandbox, "in.tar", "not-an-image", &["directory a\\xff:"]);
        let line = command_after(&hint, "fix them: ").replace("NEW", "new");
        shell(&sandbox, &line.replace("OUTPUT", "out")).exits(0);
        let name = OsStr::from_bytes(name);
        check_output(&sandbox.path("out").join(name));
    }
}

/// How many directories lead to a name does not matter.
#[test]
fn images_are_searched_for_in_proportion_to_the_length_of_names() {
    let time = |file: &str| {
        let names = (1..1_500).map(|depth| format!("{}{file}", "d/".repeat(depth)));
        let entries = names.flat_map(|name| {
            let path = Entry::pax(&[("path", &name)]);
            [path, Entry::file("x", "{}")]
        });
        let mut entries: Vec<Entry> = entries.collect();
        entries.push(Entry::file("README", "x"));
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", tar(&entries));
        let times = (0..2).map(|_| {
            let mut command = sandbox.command();
            let run = measured(command.args(["fix", "in.tar", "--dry-run"]));
            assert!(
                run.stderr.contains("contains neither index.json"),
                "{run:?}"
            );
            run.processor
        });
        times.min().unwrap()
    };
    let (roots, others) = (time("index.json"), time("other.json"));
    assert!(roots < 3 * others, "{roots:?}, {others:?}");
}

#[test]
fn archives_that_were_converted_to_utf_8_are_recognized() {
    let plain = sample();
    let widened = |bytes: &[u8]| -> Vec<u8> {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        text.into_bytes()
    };
    let replaced = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_bytes();
    for (form, compress) in [
        ("plain", unchanged as Compress),
        ("gzip", gzip),
        ("zstd", zstd),
        ("xz", xz),
    ] {
        let bytes = compress(&plain);
        let code = match form {
            "plain" => "invalid-archive",
            _ => "not-an-image",
        };
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", widened(&bytes));
        let parts = ["converted from ISO-8859-1 to UTF-8"];
        let line = hint(&sandbox, "in.tar", code, &parts);
        let line = command_after(&line, "convert it back: ");
        let piped = stream_hint(&widened(&bytes), code);
        let piped = command_after(&piped, "convert it back: ");
        if are_installed(&["iconv"]) {
            writes(&sandbox, line, &plain);
            writes(&sandbox, &piped.replace('…', "cat in.tar"), &plain);
        }
        // What was replaced is lost.
        let parts = ["UTF-8 text: bytes in it were replaced with U+FFFD"];
        sandbox.put("in.tar", replaced(&bytes));
        let found = hint(&sandbox, "in.tar", code, &parts);
        assert!(found.contains("binary mode"), "{form}: {found}");
        let found = stream_hint(&replaced(&bytes), code);
        assert!(found.contains("binary mode"), "{form}: {found}");
    }
}

/// The right image with its layer outside, and what a link to it says.
fn linked(sandbox: &Sandbox, target: &str) -> String {
    let layout = right_layout();
    layout.write_to(&sandbox.path("made"));
    let mut blobs = layout.blobs.iter();
    let name = blobs.find(|(_, bytes)| bytes[0] == 0x1f).unwrap().0.clone();
    let place = sandbox.path(&format!("made/{name}"));
    let outside = sandbox.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::rename(&place, outside.join("blob")).unwrap();
    symlink(target.replace('@', outside.to_str().unwrap()), &place).unwrap();
    name
}

#[test]
fn links_out_of_an_archive_can_be_followed_where_it_was_made() {
    let right = right_layout().tar();
    for (target, why) in [
        ("@/blob", "an absolute path"),
        ("../../../outside/blob", "which leads out of it"),
    ] {
        let sandbox = Sandbox::new();
        let name = linked(&sandbox, target);
        let target = target.replace('@', sandbox.path("outside").to_str().unwrap());
        // The layout itself.
        let part = format!("{name} in made is a symbolic link to \"{target}\", {why}");
        let hint = hint(&sandbox, "made", "link-entry", &[&part]);
        assert!(hint.ends_with("follow links with --follow"), "{hint}");
        writes(&sandbox, "ocify fix made --follow -o -", &right);
        // An archive made from it.
        let mut entries = right_layout().entries();
        entries.retain(|entry| entry.name != name.as_bytes());
        entries.push(Entry::link(&name, b'2', &target));
        sandbox.put("in.tar", tar(&entries));
        let part = format!("{name} in in.tar is a symbolic link to \"{target}\", {why}");
        let hint = self::hint(&sandbox, "in.tar", "link-entry", &[&part]);
        let line = command_after(&hint, "instead of links: ");
        if are_installed(&["tar"]) {
            writes(&sandbox, &line.replace("DIRECTORY", "made"), &right);
        }
    }
}

#[test]
fn each_link_that_cannot_be_followed_says_why() {
    let right = right_layout();
    let names: Vec<&String> = right.blobs.keys().collect();
    let name = names[0].as_str();
    let own = name.rsplit('/').next().unwrap();
    let follow = "tar -C DIRECTORY --dereference";
    let replace = "replace the link";
    #[rustfmt::skip]
    let cases: [(&str, u8, &str, &str, &str); 10] = [
        ("itself", b'2', own, "which leads back to the link", replace),
        ("itself", b'1', name, "which leads back to the link", replace),
        ("a loop", b'2', "../../loop/a", "which leads back to the link", replace),
        ("a loop elsewhere", b'2', "../../other/a", "the first of too many links", replace),
        ("nothing", b'2', "../../none", "which it does not contain", follow),
        ("nothing", b'1', "none", "which it does not contain", follow),
        ("a directory", b'2', "../../real", "which is a directory", follow),
        ("a device", b'2', "../../device", "which is a special file", follow),
        ("another blob", b'1', names[1], "which is another blob", follow),
        ("root", b'2', "/etc/blob", "an absolute path", follow),
    ];
    for (what, flag, target, why, expected) in cases {
        let mut entries = right.entries();
        entries.retain(|other| other.name != name.as_bytes());
        entries.push(Entry::dir("real/"));
        entries.push(Entry::link("device", b'3', ""));
        entries.push(Entry::link("loop/a", b'1', "loop/b"));
        entries.push(Entry::link("loop/b", b'2', &format!("../{name}")));
        entries.push(Entry::link("other/a", b'2', "b"));
        entries.push(Entry::link("other/b", b'2', "a"));
        entries.push(Entry::link(name, flag, target));
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", tar(&entries));
        let part = format!("\"{target}\", {why}; expected a regular file");
        let found = hint(&sandbox, "in.tar", "link-entry", &[name, &part]);
        assert!(found.contains(expected), "{what}: {found}");
        let found = stream_hint(&tar(&entries), "link-entry");
        assert!(found.contains(expected), "{what}: {found}");
    }
    // Not a link at all.
    for entry in [Entry::dir("index.json/"), Entry::new("blobs", b'3', "")] {
        let mut entries = right.entries();
        let name = String::from_utf8(entry.name.clone()).unwrap();
        let name = name.trim_end_matches('/');
        entries.retain(|other| other.name != name.as_bytes() && other.flag != b'5');
        entries.insert(0, entry);
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", tar(&entries));
        let run = sandbox.fix("in.tar", "out.tar").exits(1);
        let hint = run.json()["error"]["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("save the image again"), "{name}: {hint}");
    }
}

/// The bytes are not damaged.
#[test]
fn layers_in_another_order_are_not_called_damaged() {
    let app = image(&["a", "b", "c"]);
    let mut saved = Saved::new();
    let names = ["b.tar", "a.tar", "c.tar"];
    saved.file("config.json", app.config().to_string());
    for (layer, name) in app.layers.iter().zip(["a.tar", "b.tar", "c.tar"]) {
        saved.file(name, &layer.bytes);
    }
    saved.item("config.json", &names, json!(["app:v1"]));
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", saved.tar());
    let parts = [
        "manifest.json[0], Layers[",
        ".tar has the diff ID",
        "which the config states for layer ",
    ];
    let hint = hint(&sandbox, "in.tar", "diff-id-mismatch", &parts);
    assert!(hint.contains("save the image again"), "{hint}");
    assert_eq!(stream_hint(&saved.tar(), "diff-id-mismatch"), hint);
    // In the right order it is an image.
    saved.items.clear();
    saved.item(
        "config.json",
        &["a.tar", "b.tar", "c.tar"],
        json!(["app:v1"]),
    );
    fixed(&saved.tar(), &[]);
    // A layer that is none of them is damaged.
    saved.entry("b.tar").data[520] ^= 1;
    sandbox.put("in.tar", saved.tar());
    let parts = ["b.tar does not match its digest"];
    self::hint(&sandbox, "in.tar", "digest-mismatch", &parts);
}

#[test]
fn an_empty_index_is_called_by_its_own_place() {
    let mut layout = Layout::new();
    let empty = layout.index_of(OCI_INDEX, vec![]);
    layout.root(vec![empty.clone()]);
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let parts = ["index.json, manifests[0] is an index that does not list any image"];
    hint(&sandbox, "in.tar", "not-an-image", &parts);
    let nested = layout.index_of(OCI_INDEX, vec![empty]);
    layout.root(vec![nested]);
    sandbox.put("in.tar", layout.tar());
    let parts = ["index.json, manifests[0], manifests[0] is an index that does not list any image"];
    hint(&sandbox, "in.tar", "not-an-image", &parts);
    layout.root(vec![]);
    sandbox.put("in.tar", layout.tar());
    hint(
        &sandbox,
        "in.tar",
        "not-an-image",
        &["index.json does not list any image"],
    );
}

/// Whatever is wrong with a document or an entry, there is a next step.
#[test]
fn damaged_documents_have_a_next_step() {
    let config = |bytes: &[u8]| {
        let mut saved = Saved::new();
        saved.file("config.json", bytes);
        saved.file("layer.tar", &image(&["a"]).layers[0].bytes);
        saved.item("config.json", &["layer.tar"], json!(["app:v1"]));
        saved.tar()
    };
    let mut below = right_layout();
    let blob = below.blobs.keys().next().unwrap().clone();
    below.more.push(Entry::file(format!("{blob}/x"), "x"));
    let mut below_index = right_layout();
    below_index.more.push(Entry::file("index.json/x", "x"));
    let root = |text: &str| {
        let mut layout = right_layout();
        layout.docker_manifest = None;
        layout.index = Some(text.as_bytes().to_vec());
        layout.tar()
    };
    let mut climbing = right_layout();
    climbing.more.push(Entry::file("../x", "x"));
    let mut header = right_layout().tar();
    header[512 + 150] ^= 1;
    let embedded = |data: &str| {
        let layout = with_manifest(|manifest| manifest["config"]["data"] = json!(data));
        layout.tar()
    };
    let again = "save the image again";
    let build = "build or save the image again";
    for (name, bytes, code, expected) in [
        ("empty config", config(b""), "invalid-document", again),
        (
            "config not text",
            config(b"\xff\xfe{}"),
            "invalid-document",
            again,
        ),
        ("config cut", config(b"{\"os\":"), "invalid-document", again),
        ("blob and below", below.tar(), "invalid-archive", again),
        (
            "index and below",
            below_index.tar(),
            "invalid-archive",
            again,
        ),
        ("climbing", climbing.tar(), "invalid-archive", again),
        ("header", header, "invalid-archive", "copy or save it again"),
        (
            "index cut",
            root("{\"manifests\":["),
            "invalid-document",
            again,
        ),
        (
            "index of numbers",
            root("{\"manifests\":[1]}"),
            "invalid-document",
            build,
        ),
        ("embedded", embedded("?"), "invalid-document", build),
        (
            "embedded of another",
            embedded("e30="),
            "digest-mismatch",
            build,
        ),
    ] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", bytes);
        let found = hint(&sandbox, "in.tar", code, &[]);
        assert!(found.contains(expected), "{name}: {found}");
    }
}
