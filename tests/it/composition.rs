//! Options that choose what an output contains: several in one run do what they do one after the other, whatever the kind of
//! input and output.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_INDEX, digest_of, named, on};
use crate::common::contents::Contents;
use crate::common::evidence::{attestation, evidence};
use crate::common::piped::pipe;
use crate::common::random::Random;
use crate::common::runner::Sandbox;
use crate::common::{fixture, fixtures, recent_fixtures};

/// The options of one run: each with its value.
type Options = Vec<Vec<String>>;

fn option(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// Options for an archive with these images, as a report lists them.
fn options(random: &mut Random, images: &[Value], platforms: &[String]) -> Options {
    let mut all = Options::new();
    let names: Vec<&str> = images
        .iter()
        .flat_map(|image| image["names"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    for candidate in [
        option(&["--attestations", "drop"]),
        option(&["--orphans", "drop"]),
        option(&["--missing", "prune"]),
        option(&["--unwrap"]),
    ] {
        if random.index(2) == 0 {
            all.push(candidate);
        }
    }
    if !platforms.is_empty() && random.index(2) == 0 {
        let platform = &platforms[random.index(platforms.len())];
        all.push(option(&["--platform", platform]));
    }
    if !names.is_empty() && random.index(3) == 0 {
        let name = names[random.index(names.len())];
        let pair = format!("{name}=example.com/renamed:1");
        all.push(option(&["--rename", &pair]));
    } else if random.index(3) == 0 {
        all.push(option(&["--name", "example.com/named:1"]));
    }
    for last in (1..all.len()).rev() {
        all.swap(last, random.index(last + 1));
    }
    // A number is that of the image in the input, and names are still those of the input.
    if !images.is_empty() && random.index(2) == 0 {
        let number = random.index(images.len());
        let first = images[number]["names"][0].as_str();
        let choice = match first.filter(|_| random.index(2) == 0) {
            Some(name) => name.to_owned(),
            None => (number + 1).to_string(),
        };
        all.insert(0, option(&["--image", &choice]));
    }
    all
}

/// The platforms that the configs of an archive's images state.
fn platforms(contents: &Contents) -> Vec<String> {
    let manifests = contents.manifests().into_iter();
    let mut platforms: Vec<String> = manifests
        .filter_map(|(_, manifest)| {
            let config = contents.blob(manifest["config"]["digest"].as_str()?)?;
            let config: Value = serde_json::from_slice(config).ok()?;
            let (os, architecture) = (config["os"].as_str()?, config["architecture"].as_str()?);
            (os != "unknown").then(|| format!("{os}/{architecture}"))
        })
        .collect();
    platforms.sort();
    platforms.dedup();
    platforms
}

/// Runs these options at once and one after the other. Returns whether both are defined, after which the outputs are equal.
#[track_caller]
fn check(sandbox: &Sandbox, input: &str, options: &Options) -> bool {
    let at_once: Vec<&str> = options.iter().flatten().map(String::as_str).collect();
    let fix = |input: &str, output: &str, options: &[&str]| {
        let line = [&["fix", input, "-o", output, "--force"], options].concat();
        sandbox.ocify(&line)
    };
    let what = format!("{input} {at_once:?}");
    let once = fix(input, "once.tar", &at_once);
    assert!(matches!(once.code, 0..=2), "{what}: {}", once.stderr);
    every_way(sandbox, input, &at_once, once.code, &what);
    if once.code != 0 {
        return false;
    }
    fs::copy(sandbox.path("once.tar"), sandbox.path("kept.tar")).unwrap();
    let mut from = input.to_owned();
    for (number, option) in options.iter().enumerate() {
        let option: Vec<&str> = option.iter().map(String::as_str).collect();
        let to = format!("step{}.tar", number % 2);
        if fix(&from, &to, &option).code != 0 {
            // Such as a name for an archive in which no platform was chosen yet.
            return false;
        }
        from = to;
    }
    if options.is_empty() {
        return false;
    }
    let one_by_one = sandbox.read(&from);
    if sandbox.read("kept.tar") != one_by_one {
        let one = Contents::read(&sandbox.path("kept.tar"));
        let other = Contents::from_tar(&one_by_one);
        let [one, other] = [&one, &other].map(|contents| {
            let names: Vec<&String> = contents.files.keys().collect();
            format!("{}\n{names:#?}", contents.text("index.json"))
        });
        panic!("{what}\nat once: {one}\none by one: {other}");
    }
    true
}

/// The same options for a stream, to a stream and in a batch.
#[track_caller]
fn every_way(sandbox: &Sandbox, input: &str, options: &[&str], code: i32, what: &str) {
    let bytes = sandbox.read(input);
    for output in ["piped.tar", "-"] {
        let mut command = sandbox.command();
        command.args(["fix", "-", "-o", output]).args(options);
        if output != "-" {
            command.arg("--force");
        }
        let run = pipe(&mut command, &bytes);
        assert_eq!(run.code, code, "{what}: {}", run.err);
        if code != 0 {
            continue;
        }
        match output {
            // Blobs have the order of the input.
            "-" => {
                let expected = Contents::read(&sandbox.path("once.tar"));
                assert!(
                    Contents::from_tar(&run.out).files == expected.files,
                    "{what}"
                );
            }
            _ => assert!(sandbox.read(output) == sandbox.read("once.tar"), "{what}"),
        }
    }
    let _ = fs::remove_dir_all(sandbox.path("batch"));
    fs::create_dir(sandbox.path("batch")).unwrap();
    fs::copy(sandbox.path(input), sandbox.path("batch/in.tar")).unwrap();
    let line = [&["fix", "batch", "-o", "outputs/", "--force"], options].concat();
    let run = sandbox.ocify(&line);
    // Some options are about a single input.
    if run.code == 2 {
        return;
    }
    assert_eq!(run.code, code, "{what}: {}", run.stderr);
    if code == 0 {
        assert!(
            sandbox.read("outputs/in.tar") == sandbox.read("once.tar"),
            "{what}"
        );
    }
}

/// Checks some sets of options. Returns how many are defined in both ways.
#[track_caller]
fn check_some(random: &mut Random, bytes: &[u8], sets: usize) -> usize {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", bytes);
    let report = sandbox.fix("in.tar", "plain.tar").exits(0).json();
    let images = report["images"].as_array().unwrap();
    let platforms = platforms(&Contents::read(&sandbox.path("plain.tar")));
    let mut defined = 0;
    for _ in 0..sets {
        let options = options(random, images, &platforms);
        defined += usize::from(check(&sandbox, "in.tar", &options));
    }
    defined
}

/// Images for several platforms with evidence of all kinds, one that lacks a layer, an orphan, and a name of several images.
fn rich() -> Vec<u8> {
    let mut layout = Layout::new();
    let mut listed = Vec::new();
    let mut about = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let layers = vec![Layer::gzip(OCI_GZIP, architecture)];
        let image = layout.image(&Image::docker(layers).architecture(architecture));
        about.extend(evidence(&mut layout, &image));
        let note = attestation(&mut layout, &image);
        listed.extend([on(image, "linux", architecture), note]);
    }
    let index = layout.index_of(OCI_INDEX, listed);
    about.extend(evidence(&mut layout, &index));
    let [whole, broken] = ["whole", "broken"].map(|text| {
        let image = Image::oci(vec![Layer::gzip(OCI_GZIP, text)]);
        (layout.image(&image), layout.manifest(&image))
    });
    layout.blob("text/plain", "an orphan");
    let gone = digest_of(&broken.1["layers"][0]);
    layout
        .blobs
        .remove(&crate::common::contents::blob_name(&gone));
    let mut root = vec![
        named(index.clone(), "docker.io/library/multi:1"),
        named(index, "docker.io/library/multi:latest"),
        named(whole.0, "docker.io/library/whole:1"),
        named(broken.0, "docker.io/library/broken:1"),
    ];
    root.extend(about);
    layout.root(root);
    layout.tar()
}

#[test]
fn options_at_once_do_what_they_do_one_after_the_other() {
    let mut random = Random(7);
    let mut defined = 0;
    for name in fixtures().into_iter().chain(recent_fixtures()) {
        let path = fixture(&name);
        if Path::new(&path).is_file() && !name.contains("cache") {
            defined += check_some(&mut random, &fs::read(path).unwrap(), 1);
        }
    }
    defined += check_some(&mut random, &rich(), 24);
    assert!(defined > 25, "{defined}");
}
