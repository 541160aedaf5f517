//! `… | ocify fix - | docker load`, and the same for podman and containerd: what passes runs, and what is damaged or cut leaves nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use crate::archive::folder;
use crate::engine::{Column, Loader};
use crate::machine::SHARED;

/// The engines with a pipe to load from.
const LOADERS: [Column; 7] = [
    Column::Docker20,
    Column::Docker26Graph,
    Column::Docker26Containerd,
    Column::Containerd16,
    Column::Containerd17,
    Column::Podman4,
    Column::Podman5,
];

/// Archives that not every engine accepts unchanged: in one pass, and kept in a file first.
const ARCHIVES: [&str; 4] = [
    "buildkit-docker-gzip-ocifalse.tar",
    "buildkit-oci-gzip-ocifalse.tar",
    "buildkit-docker-uncompressed-ocifalse.tar",
    "docker20-save.tar",
];

/// The one that is damaged: its layers are gzip, which every engine reads.
const DAMAGED: &str = "buildkit-docker-gzip-ocifalse.tar";

const BLOCK: usize = 512;

#[test]
fn what_passes_runs_and_what_breaks_off_leaves_nothing() {
    let trixie = match crate::trixie() {
        Ok(root) => root,
        Err(missing) => return crate::skip(&missing),
    };
    let shared = tempfile::Builder::new()
        .prefix("ocify-streams-")
        .tempdir()
        .expect("a temporary folder");
    let broken = prepare(shared.path());
    let problems: Vec<String> = thread::scope(|scope| {
        let (trixie, shared, broken) = (&trixie, shared.path(), &broken);
        let start = |column| scope.spawn(move || try_all(column, trixie, shared, broken));
        let threads = LOADERS.map(start);
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().flat_map(join).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// Puts the command, the archives and the broken ones into the shared folder, and returns the names of these.
fn prepare(shared: &Path) -> Vec<String> {
    let ocify = shared.join("ocify");
    fs::copy(env!("CARGO_BIN_EXE_ocify"), &ocify).expect("the command is there");
    fs::set_permissions(&ocify, fs::Permissions::from_mode(0o755)).expect("it is ours");
    for name in ARCHIVES {
        fs::copy(folder().join(name), shared.join(name)).expect("the fixture is readable");
    }
    let whole = fs::read(folder().join(DAMAGED)).expect("the fixture is readable");
    let places = layers(&whole);
    let (last, len) = *places.last().expect("it has layers");
    let mut damaged = whole.clone();
    // Its last byte, so that all of it goes out before the damage shows.
    damaged[last + len - 1] ^= 1;
    let after_first = places[0].0 + places[0].1.next_multiple_of(BLOCK);
    let broken = [
        ("damaged", &damaged[..]),
        ("cut-inside-a-layer", &whole[..last + len / 2]),
        ("cut-between-entries", &whole[..after_first]),
        ("cut-before-index", &whole[..root(&whole)]),
        ("cut-inside-index", &whole[..root(&whole) + BLOCK + 100]),
        ("empty", b""),
    ];
    let names = broken.map(|(name, bytes)| {
        let name = format!("{name}.tar");
        fs::write(shared.join(&name), bytes).expect("the shared folder is writable");
        name
    });
    names.to_vec()
}

/// Where the bytes of each layer are, and how many.
fn layers(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().expect("a tar");
    let places = entries.map(|entry| {
        let entry = entry.expect("a tar");
        let at = usize::try_from(entry.raw_file_position()).expect("it is small");
        (at, usize::try_from(entry.size()).expect("it is small"))
    });
    let places: Vec<(usize, usize)> = places.collect();
    let is_layer = |&(at, len): &(usize, usize)| len > 2 && bytes[at..].starts_with(b"\x1f\x8b");
    places.into_iter().filter(is_layer).collect()
}

/// Where the header of `index.json` is.
fn root(archive: &[u8]) -> usize {
    let mut blocks = archive.chunks(BLOCK);
    let place = blocks.position(|block| block.starts_with(b"index.json\0"));
    place.expect("it has an index.json") * BLOCK
}

fn try_all(column: Column, trixie: &Path, shared: &Path, broken: &[String]) -> Vec<String> {
    let heading = column.heading();
    let mut engine = match column.start_loader(trixie, shared) {
        Ok(engine) => engine,
        Err(error) => return vec![format!("{heading}: start: {error}")],
    };
    let mut problems = Vec::new();
    // First while nothing is there, then after what is right has come and gone.
    for round in ["first", "then"] {
        for name in broken {
            if let Err(problem) = refuses(engine.as_mut(), name) {
                problems.push(format!("{heading}: {round} {name}: {problem}"));
            }
        }
        if round == "first" {
            for name in ARCHIVES {
                if let Err(problem) = takes(engine.as_mut(), name) {
                    problems.push(format!("{heading}: {name}: {problem}"));
                }
            }
        }
    }
    if !problems.is_empty() {
        problems.push(format!(
            "{heading}: end of the log: {}",
            engine.machine().log()
        ));
    }
    problems
}

fn producer(name: &str) -> String {
    format!("cat {SHARED}/{name} | {SHARED}/ocify fix - 2>/dev/null")
}

fn takes(engine: &mut dyn Loader, name: &str) -> Result<(), String> {
    let names = engine.attempt_pipe(&producer(name))?;
    match names.is_empty() {
        true => Err("it has no name".to_owned()),
        false => Ok(()),
    }
}

fn refuses(engine: &mut dyn Loader, name: &str) -> Result<(), String> {
    let fails = format!("{} >/dev/null && echo no failure", producer(name));
    let said = engine.machine().run(&["sh", "-c", &fails]);
    if said.is_ok() {
        return Err("ocify did not fail".to_owned());
    }
    if let Ok(names) = engine.attempt_pipe(&producer(name)) {
        return Err(format!("it was loaded as {names:?}"));
    }
    let images = engine.images()?;
    match images.trim().is_empty() {
        true => Ok(()),
        false => Err(format!("images were left: {images}")),
    }
}
