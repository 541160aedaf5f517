//! Malicious archives cause an error quickly and within memory limits.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::archive::{Entry, tar};
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, REF_NAME, annotated, docker_item, named, on,
    right_image, right_layout,
};
use crate::common::checker::check_output;
use crate::common::contents::Contents;
use crate::common::failure::{expect, fails};
use crate::common::runner::{Run, Sandbox, run};
use crate::common::trace::may_trace;
use crate::common::{sha256, tree};

const NAME: &str = "docker.io/library/app:v1";
/// The address space limit in KiB (512 MiB), enough for every input here, whatever it claims.
const MEMORY_KIB: u64 = 512 * 1024;
/// The time limit, far more than any input here needs in a debug build on a busy machine.
const SOON: Duration = Duration::from_secs(50);

/// Fixes within bounded memory and time.
#[track_caller]
fn bounded(sandbox: &Sandbox, bytes: &[u8]) -> Run {
    sandbox.put("in.tar", bytes);
    let line = [
        "fix", "in.tar", "-o", "out.tar", "--format", "json", "--jobs", "2",
    ];
    let run = run(sandbox.limited("-v", MEMORY_KIB).args(line));
    assert!(run.time < SOON, "took {:?}", run.time);
    run
}

#[track_caller]
fn bounded_failure(name: &str, bytes: &[u8], code: &str, parts: &[&str]) {
    let sandbox = Sandbox::new();
    let run = bounded(&sandbox, bytes);
    expect(name, &run, code, parts);
    assert_eq!(sandbox.names(), ["in.tar"], "{name}");
}

/// The right archive with these entries before the others.
fn before(entries: Vec<Entry>) -> Vec<u8> {
    tar(&[entries, right_layout().entries()].concat())
}

/// The right archive with these entries after the others.
fn after(entries: Vec<Entry>) -> Vec<u8> {
    tar(&[right_layout().entries(), entries].concat())
}

#[test]
fn names_outside_the_archive_are_refused() {
    for name in [
        "../evil",
        "a/../../evil",
        "/../evil",
        "blobs/sha256/../../index.json",
        "..",
        "blobs/..",
    ] {
        let parts = ["in.tar is not valid", name, "leads outside the archive"];
        fails(
            name,
            &before(vec![Entry::file(name, "x")]),
            "invalid-archive",
            &parts,
        );
    }
    let nul = vec![
        Entry::pax(&[("path", "evil\0.json")]),
        Entry::file("x", "x"),
    ];
    fails(
        "NUL",
        &before(nul),
        "invalid-archive",
        &["contains a NUL byte"],
    );
}

#[test]
fn unusual_names_are_not_used_as_paths() {
    let long = "n".repeat(4096);
    let names = [
        "/etc/passwd",
        "C:\\evil",
        "..\\..\\evil",
        "evil\n",
        "\u{1b}[2J",
        "blobs/md5/00",
        "blobs/sha256/short",
        "-rf",
    ];
    for name in names {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", before(vec![Entry::file(name, "x")]));
        let report = sandbox.fix("in.tar", "out/").exits(0).json();
        check_output(&sandbox.path("out"));
        assert_eq!(sandbox.names(), ["in.tar", "out"], "{name:?}");
        let rules: Vec<&Value> = report["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| &c["rule"])
            .collect();
        assert!(
            rules.contains(&&json!("extra-entry")),
            "{name:?}: {rules:?}"
        );
    }
    for entries in [
        vec![Entry::gnu_name(&long), Entry::file("n", "x")],
        vec![Entry::pax(&[("path", &long)]), Entry::file("n", "x")],
        vec![Entry::file(b"\xff\xfe", "x")],
    ] {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", before(entries));
        sandbox.fix("in.tar", "out/").exits(0);
        check_output(&sandbox.path("out"));
    }
}

#[test]
fn links_out_of_the_archive_and_devices_are_never_content() {
    let right = right_layout();
    let blob = right.find(&["\"rootfs\""]);
    for entry in [blob.as_str(), "index.json", "manifest.json", "oci-layout"] {
        let kinds = [
            ("symbolic link", b'2', "../../../index.json"),
            ("symbolic link", b'2', "/etc/passwd"),
            ("symbolic link", b'2', "/index.json"),
            ("symbolic link", b'2', entry),
            ("hard link", b'1', "/etc/passwd"),
            ("special file", b'3', ""),
            ("special file", b'4', ""),
            ("special file", b'6', ""),
            ("directory", b'5', ""),
        ];
        for (what, flag, target) in kinds {
            let mut entries = right.entries();
            entries.retain(|other| other.name != entry.as_bytes());
            entries.push(Entry::link(entry, flag, target));
            let expected = format!("{entry} in in.tar is a {what}");
            fails(
                &format!("{entry} {what} {target}"),
                &tar(&entries),
                "link-entry",
                &[&expected, target],
            );
        }
    }
    // Links to later entries are ignored, and other links are extra entries.
    let sandbox = Sandbox::new();
    sandbox.put(
        "in.tar",
        before(vec![
            Entry::link("repositories", b'2', "/etc/passwd"),
            Entry::link("fifo", b'6', ""),
        ]),
    );
    sandbox.fix("in.tar", "out/").exits(0);
    assert!(!sandbox.path("out/repositories").exists());
}

#[test]
fn links_in_a_layout_directory_are_not_followed() {
    let layout = right_layout();
    let blob = layout.find(&["\"rootfs\""]);
    for name in [
        blob.as_str(),
        "index.json",
        "oci-layout",
        "blobs/sha256",
        "blobs",
    ] {
        let sandbox = Sandbox::new();
        layout.write_to(&sandbox.path("in"));
        fs::rename(sandbox.path(&format!("in/{name}")), sandbox.path("secret")).unwrap();
        symlink(sandbox.path("secret"), sandbox.path(&format!("in/{name}"))).unwrap();
        let before = tree(sandbox.root());
        let run = sandbox.fix("in", "out.tar");
        expect(name, &run, "link-entry", &[name, "symbolic link"]);
        assert!(tree(sandbox.root()) == before, "{name}");
    }
    // The layout itself may be reached through a link.
    let sandbox = Sandbox::new();
    layout.write_to(&sandbox.path("in"));
    symlink("in", sandbox.path("way")).unwrap();
    sandbox.fix("way", "out.tar").exits(0);
}

#[test]
fn claimed_sizes_do_not_allocate_memory() {
    let claims: [(&str, &[u8]); 4] = [
        ("8 GiB", b"77777777777\0"),
        ("base 256", b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (
            "more than 2^63",
            b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        (
            "negative",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
    ];
    for (name, field) in claims {
        for entry in ["big", "index.json"] {
            let mut entries = right_layout().entries();
            entries.retain(|other| other.name != entry.as_bytes());
            entries.push(Entry::file(entry, "x").size(field));
            let sandbox = Sandbox::new();
            let run = bounded(&sandbox, &tar(&entries));
            let code = run.json()["error"]["code"].as_str().unwrap().to_owned();
            assert!(
                matches!(code.as_str(), "truncated-archive" | "invalid-archive"),
                "{name}: {code}"
            );
            expect(name, &run, &code, &["in.tar"]);
        }
    }
    let pax = vec![
        Entry::pax(&[("size", "9223372036854775807")]),
        Entry::file("big", "x"),
    ];
    bounded_failure("PAX size", &before(pax), "truncated-archive", &["big"]);
}

#[test]
fn false_headers_are_refused() {
    let mut checksum = right_layout().entries();
    checksum[1].checksum = Some(b"000000\0 ".to_vec());
    bounded_failure(
        "checksum",
        &tar(&checksum),
        "invalid-archive",
        &["in.tar is not valid: bad header at byte 512"],
    );
    let mut size = right_layout().entries();
    size[1].size = Some(b"not a size\0\0".to_vec());
    bounded_failure(
        "size",
        &tar(&size),
        "invalid-archive",
        &["bad header at byte 512"],
    );
    let mut dir = right_layout().entries();
    dir[1].data = b"hidden entry".to_vec();
    bounded_failure(
        "directory with bytes",
        &tar(&dir),
        "invalid-archive",
        &["blobs/sha256/ has 12 bytes but is not a file"],
    );
}

#[test]
fn long_headers_are_not_read_completely() {
    let bomb = "x".repeat(8 << 20);
    for (name, entry) in [
        ("PAX path", Entry::pax(&[("path", &bomb)])),
        ("PAX comment", Entry::pax(&[("comment", &bomb)])),
        ("GNU name", Entry::gnu_name(&bomb)),
        ("GNU link", Entry::new("././@LongLink", b'K', &bomb)),
    ] {
        let bytes = after(vec![entry, Entry::file("x", "x")]);
        bounded_failure(
            name,
            &bytes,
            "invalid-archive",
            &["the headers of one entry are too long"],
        );
    }
    let mut many: Vec<Entry> = (0..10_000)
        .map(|_| Entry::pax(&[("comment", "y")]))
        .collect();
    many.push(Entry::file("x", "x"));
    bounded_failure(
        "PAX headers without end",
        &after(many),
        "invalid-archive",
        &["in.tar"],
    );
}

/// An index in an index, `depth` times, around the right image.
fn nested(depth: usize) -> Vec<u8> {
    let mut layout = Layout::new();
    let mut inner = layout.image(&right_image());
    for _ in 0..depth {
        inner = layout.index_of(OCI_INDEX, vec![inner]);
    }
    layout.root(vec![named(inner, NAME)]);
    layout.tar()
}

#[test]
fn nesting_is_limited() {
    bounded_failure(
        "index in index",
        &nested(1000),
        "document-too-deep",
        &["is nested deeper than 32 documents"],
    );
    let sandbox = Sandbox::new();
    assert_eq!(bounded(&sandbox, &nested(20)).code, 0);
    check_output(&sandbox.path("out.tar"));
    for text in ["[".repeat(1_000_000), "{\"a\":".repeat(500_000)] {
        let mut layout = right_layout();
        layout.index = Some(text.clone().into_bytes());
        bounded_failure(
            "index.json",
            &layout.tar(),
            "invalid-document",
            &["index.json is not valid JSON"],
        );
        let mut layout = right_layout();
        layout.docker_manifest = Some(text.clone().into_bytes());
        layout.index = None;
        bounded_failure(
            "manifest.json",
            &layout.tar(),
            "invalid-document",
            &["manifest.json is not valid JSON"],
        );
        // Beside a valid index.json it does not matter.
        layout.index = right_layout().index;
        let sandbox = Sandbox::new();
        bounded(&sandbox, &layout.tar()).exits(0);
        assert!(sandbox.read("out.tar") == right_layout().tar());
    }
}

#[test]
fn shared_children_are_visited_once() {
    // Thirty levels of two pointers to the same child are 2^30 paths.
    let mut layout = Layout::new();
    let mut inner = layout.image(&right_image());
    for level in 0..30 {
        let twice = vec![
            annotated(inner.clone(), &[("level", &level.to_string())]),
            inner,
        ];
        inner = layout.index_of(OCI_INDEX, twice);
    }
    layout.root(vec![named(inner, NAME)]);
    let sandbox = Sandbox::new();
    let run = bounded(&sandbox, &layout.tar()).exits(0);
    assert_eq!(run.json()["images"].as_array().unwrap().len(), 1);
    check_output(&sandbox.path("out.tar"));
}

#[test]
fn a_document_that_claims_to_be_its_own_child_is_damaged() {
    // A real cycle would require a digest that cannot be computed, so the digest is false.
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let digest = format!("sha256:{}", sha256(b"cycle"));
    let own = json!({"mediaType": OCI_INDEX, "digest": digest, "size": 400});
    let mut text = crate::common::builder::index(OCI_INDEX, vec![own.clone(), image]).to_string();
    text.push_str(&" ".repeat(400 - text.len().min(400)));
    let mut own = own;
    own["size"] = json!(text.len());
    layout
        .blobs
        .insert(format!("blobs/sha256/{}", &digest[7..]), text.into_bytes());
    layout.root(vec![own]);
    bounded_failure(
        "cycle",
        &layout.tar(),
        "digest-mismatch",
        &["index.json, manifests[0] is damaged", &digest[7..]],
    );
}

#[test]
fn many_entries_need_little_memory() {
    let many = (0..40_000).map(|n| Entry::file(format!("extra/{n}"), ""));
    let entries: Vec<Entry> = right_layout().entries().into_iter().chain(many).collect();
    let sandbox = Sandbox::new();
    let report = bounded(&sandbox, &tar(&entries)).exits(0).json();
    assert!(report["changes"].as_array().unwrap().len() > 40_000);
    check_output(&sandbox.path("out.tar"));
}

/// All of them unnamed, so that nothing but the number of descriptors counts.
#[test]
fn many_descriptors_of_one_blob_need_little_memory() {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    layout.root(vec![image; 20_000]);
    let sandbox = Sandbox::new();
    bounded(&sandbox, &layout.tar()).exits(0);
}

#[test]
fn many_names_need_little_memory() {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    layout.root(vec![image]);
    let manifest = layout.manifest(&right_image());
    let tags: Vec<String> = (0..10_000).map(|n| format!("app:v{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    layout.docker_manifest = Some(
        json!([docker_item(&manifest, &tags)])
            .to_string()
            .into_bytes(),
    );
    let sandbox = Sandbox::new();
    bounded(&sandbox, &layout.tar()).exits(0);
}

#[test]
fn many_added_annotations_need_little_memory() {
    let mut layout = Layout::new();
    let image = layout.image(&right_image());
    let entry = |n: usize| annotated(image.clone(), &[(REF_NAME, &format!("app:v{n}"))]);
    layout.root((0..10_000).map(entry).collect());
    let sandbox = Sandbox::new();
    bounded(&sandbox, &layout.tar()).exits(0);
}

#[test]
fn many_names_of_many_images_need_little_memory() {
    let mut layout = Layout::new();
    let layer = Layer::gzip(OCI_GZIP, "shared");
    let images: Vec<Value> = (0..2_000)
        .map(|n| {
            let image = Image::oci(vec![layer.clone()]).architecture(&format!("a{n}"));
            on(layout.image(&image), "linux", &format!("a{n}"))
        })
        .collect();
    let index = layout.index_of(OCI_INDEX, images);
    let entry = |n: usize| named(index.clone(), &format!("docker.io/library/app:v{n}"));
    layout.root((0..2_000).map(entry).collect());
    let sandbox = Sandbox::new();
    bounded(&sandbox, &layout.tar()).exits(0);
}

#[test]
fn many_shared_names_need_little_memory() {
    let mut layout = Layout::new();
    let images = ["amd64", "arm64"].map(|architecture| {
        let layer = Layer::gzip(OCI_GZIP, architecture);
        let image = Image::oci(vec![layer]).architecture(architecture);
        on(layout.image(&image), "linux", architecture)
    });
    let other = layout.image(&right_image());
    let about = (0..2_000).map(|n| {
        let about = layout.document(
            OCI_INDEX,
            &json!({"schemaVersion": 2, "manifests": [], "n": n}),
        );
        annotated(
            about,
            &[(
                "vnd.docker.reference.digest",
                images[0]["digest"].as_str().unwrap(),
            )],
        )
    });
    let mut entries: Vec<Value> = about.collect();
    for n in 0..2_000 {
        let name = format!("docker.io/library/app:v{n}");
        entries.extend(images.iter().map(|image| named(image.clone(), &name)));
        let name = format!("docker.io/library/other:v{n}");
        entries.extend([&images[0], &other].map(|image| named(image.clone(), &name)));
    }
    layout.root(entries);
    let sandbox = Sandbox::new();
    bounded(&sandbox, &layout.tar()).exits(0);
}

#[test]
fn many_images_need_little_memory() {
    let mut layout = Layout::new();
    let layer = Layer::gzip("application/vnd.docker.image.rootfs.diff.tar.gzip", "one");
    let mut items = Vec::new();
    let images = (0..8_000).map(|n| {
        let image = Image::oci(vec![layer.clone()]).architecture(&format!("a{n}"));
        let tag = format!("app{n}:v1");
        items.push(docker_item(&layout.manifest(&image), &[&tag]));
        named(
            layout.image(&image),
            &format!("docker.io/library/app{n}:v1"),
        )
    });
    let images = images.collect();
    layout.root(images);
    layout.docker_manifest = Some(Value::Array(items).to_string().into_bytes());
    let sandbox = Sandbox::new();
    bounded(&sandbox, &layout.tar()).exits(0);
}

#[test]
fn escapes_in_names_do_not_reach_the_terminal() {
    let evil = "evil\u{1b}[31m\u{202e}\u{7}\r\n";
    let mut layout = right_layout();
    layout.edit_root(|root| {
        root["manifests"][0]["annotations"][evil] = json!(evil);
        let unknown =
            json!({"mediaType": evil, "digest": format!("sha256:{}", sha256(b"x")), "size": 1});
        root["manifests"].as_array_mut().unwrap().push(unknown);
    });
    layout.more.push(Entry::file(evil, "x"));
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", layout.tar());
    let good = sandbox.ocify(&["fix", "in.tar", "-o", "out.tar"]).exits(0);
    let mut twice = right_layout();
    let text = String::from_utf8(twice.index.unwrap()).unwrap();
    let key = serde_json::to_string(evil).unwrap();
    twice.index = Some(
        text.replacen('{', &format!("{{{key}:1,{key}:2,"), 1)
            .into_bytes(),
    );
    sandbox.put("twice.tar", twice.tar());
    let bad = sandbox
        .ocify(&["fix", "twice.tar", "-o", "bad.tar"])
        .exits(1);
    sandbox.put(
        "odd.tar",
        before(vec![Entry::file(format!("../{evil}"), "x")]),
    );
    let odd = sandbox.ocify(&["fix", "odd.tar", "-o", "bad.tar"]).exits(1);
    let name = sandbox.put(&format!("{evil}.tar"), "");
    let input = sandbox
        .ocify(&["fix", name.to_str().unwrap(), "-o", "bad.tar"])
        .exits(1);
    for run in [&good, &bad, &odd, &input] {
        for text in [&run.stdout, &run.stderr] {
            let is_plain =
                |c: char| (c == '\n' || !c.is_control()) && !('\u{202a}'..='\u{202e}').contains(&c);
            assert!(text.chars().all(is_plain), "{text:?}");
        }
        let shown = format!("{}{}", run.stdout, run.stderr);
        assert!(
            shown.contains("evil\\u{1b}[31m\\u{202e}\\u{7}\\u{d}\\u{a}"),
            "{shown}"
        );
    }
    // JSON has its own escapes.
    let report = sandbox.fix("in.tar", "json.tar").exits(0);
    assert!(!report.stdout.contains('\u{1b}'));
}

#[test]
fn no_program_is_started() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("bin")).unwrap();
    for name in ["tar", "gzip", "unpigz", "zstd", "xz", "bzip2", "sh"] {
        let path = sandbox.put(&format!("bin/{name}"), "#!/bin/sh\n: > \"$0.started\"\n");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    sandbox.put("in.tar", right_layout().tar());
    let mut command = sandbox.command();
    command.env("PATH", sandbox.path("bin"));
    run(command.args(["fix", "in.tar", "-o", "out.tar"])).exits(0);
    for name in ["check", "inspect"] {
        let mut command = sandbox.command();
        command.env("PATH", sandbox.path("bin"));
        run(command.args([name, "in.tar"])).exits(0);
    }
    assert_eq!(fs::read_dir(sandbox.path("bin")).unwrap().count(), 7);
    assert!(Contents::read(&sandbox.path("out.tar")).has("index.json"));
}

/// Whatever an archive, the environment and configuration files say.
#[test]
fn no_socket_is_opened() {
    if !may_trace() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", right_layout().tar());
    let config = r#"{"credsStore": "x", "auths": {"docker.io": {}}}"#;
    sandbox.put("config.json", config);
    for (number, line) in [
        "fix in.tar -o fixed.tar --compression gzip",
        "fix in.tar -o - --dry-run",
        "check in.tar",
        "inspect in.tar",
        "merge in.tar fixed.tar -o merged.tar",
        "split in.tar -o parts/",
    ]
    .into_iter()
    .enumerate()
    {
        let log = sandbox.path(&format!("log{number}"));
        let mut command = Command::new("strace");
        // Signals are passed on by a pair of sockets, which lead nowhere else.
        let calls = "trace=socket,connect,bind,accept,accept4,execve,execveat";
        command.args(["-f", "-qq", "-e", calls, "-o"]).arg(&log);
        command.arg(env!("CARGO_BIN_EXE_ocify"));
        command.args(line.split(' ')).current_dir(sandbox.root());
        command
            .env("DOCKER_CONFIG", sandbox.root())
            .env("HTTPS_PROXY", "http://127.0.0.1:1");
        let output = command.output().unwrap();
        assert!(
            [0, 3].contains(&output.status.code().unwrap()),
            "{line}: {output:?}"
        );
        let text = fs::read_to_string(log).unwrap();
        // The command's own start, signals, and the ends of processes.
        let calls: Vec<&str> = text.lines().filter(|call| call.contains('(')).collect();
        assert_eq!(calls.len(), 1, "{line}: {text}");
        assert!(calls[0].contains("execve("), "{line}: {text}");
    }
}
