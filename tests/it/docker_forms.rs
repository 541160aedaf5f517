//! Docker archives in every form: written by real tools, unpacked, and with the same entries under other
//! headers and names and in other orders.

use std::fs;

use serde_json::json;

use crate::common::archive::{Entry, tar};
use crate::common::contents::Contents;
use crate::common::forms::every_form;
use crate::common::judged::{fixed, fixed_path};
use crate::common::runner::Sandbox;
use crate::common::saved::{Saved, holds, image, linked};
use crate::common::{fixture, fixtures};

fn docker_fixtures() -> Vec<String> {
    let mut names = fixtures();
    names.retain(|name| !Contents::read(&fixture(name)).has("index.json"));
    names
}

#[test]
fn fixtures_of_one_image_give_the_same_output() {
    let names = docker_fixtures();
    assert_eq!(
        names,
        [
            "docker20-save-byid.tar",
            "docker20-save-names.tar",
            "docker20-save.tar",
            "podman-docker.tar",
            "podman-dockerdir",
            "podman-multi.tar",
            "skopeo19-docker.tar"
        ]
    );
    let docker26 = fixed_path(&fixture("docker26g-save.tar"), &[]);
    let digest = &docker26.report["images"][0]["digest"];
    for name in names {
        let fixed = fixed_path(&fixture(&name), &[]);
        assert_eq!(fixed.contents.parts(), docker26.contents.parts(), "{name}");
        let image = &fixed.report["images"][0];
        assert_eq!(
            image["config_digest"], docker26.report["images"][0]["config_digest"],
            "{name}"
        );
        assert!(fixed.facts.unreferenced.is_empty(), "{name}");
        // skopeo's directory has a manifest of its own, whose text is kept in its style.
        assert_eq!(
            image["digest"] == *digest,
            name != "podman-dockerdir",
            "{name}"
        );
        let names: &[&str] = match name.as_str() {
            "docker20-save-byid.tar" | "podman-dockerdir" => &[],
            "docker20-save-names.tar" => &["example.com/app:v1", "other:2", "third:latest"],
            "podman-multi.tar" => &["example.com/app:v1", "localhost/other:2"],
            _ => &["example.com/app:v1"],
        };
        assert_eq!(fixed.names(), names, "{name}");
        assert_eq!(
            fixed.findings(),
            if names.is_empty() {
                vec!["unnamed-image"]
            } else {
                vec![]
            },
            "{name}"
        );
    }
}

/// Writes entries below a directory, links included.
fn unpack(entries: &[Entry], sandbox: &Sandbox) {
    for entry in entries {
        let path = sandbox
            .path("unpacked")
            .join(std::str::from_utf8(&entry.name).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match entry.flag {
            b'5' => fs::create_dir_all(path).unwrap(),
            b'2' => std::os::unix::fs::symlink(&entry.link, path).unwrap(),
            b'1' => fs::hard_link(sandbox.path("unpacked").join(&entry.link), path).unwrap(),
            _ => fs::write(path, &entry.data).unwrap(),
        }
    }
}

#[track_caller]
fn unpacked_is_the_same(saved: &Saved) {
    let sandbox = Sandbox::new();
    unpack(&saved.all(), &sandbox);
    let unpacked = fixed_path(&sandbox.path("unpacked"), &[]);
    assert!(unpacked.bytes == fixed(&saved.tar(), &[]).bytes);
}

#[test]
fn an_archive_and_its_unpacked_form_give_the_same_output() {
    let app = image(&["a", "b"]);
    let mut flat = Saved::new();
    flat.named(&app, "config.json", &["a.tar", "b.tar"], json!(["app:v1"]));
    unpacked_is_the_same(&flat);
    flat.entries.push(Entry::link("link.tar", b'2', "a.tar"));
    flat.items[0]["Layers"][0] = json!("link.tar");
    unpacked_is_the_same(&flat);
}

#[test]
fn an_unpacked_archive_with_directories_gives_the_same_output() {
    let mut docker = Saved::new();
    docker.docker(&image(&["a", "b"]), json!(["app:v1"]));
    unpacked_is_the_same(&docker);
    unpacked_is_the_same(&linked(b'2').0);
    unpacked_is_the_same(&linked(b'1').0);
}

#[test]
fn equivalent_archives_give_the_same_output() {
    let (saved, one, two) = linked(b'2');
    let expected = holds(&saved.tar(), &[&one, &two]).bytes;
    for (name, bytes) in every_form(&saved.all(), "manifest.json") {
        let found = fixed(&bytes, &[]);
        assert!(found.bytes == expected, "{name}");
    }
}

#[test]
fn hard_links_in_a_top_level_directory_are_followed() {
    let (saved, one, two) = linked(b'1');
    let mut wrapped = saved.all();
    for entry in &mut wrapped {
        entry.name = [b"app/", &entry.name[..]].concat();
        if entry.flag == b'1' {
            entry.link.insert_str(0, "app/");
        }
    }
    holds(&tar(&wrapped), &[&one, &two]);
}
