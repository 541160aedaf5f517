//! Compares `ocify fix` of directory trees with shell loops that run ocify or skopeo for each file, and with a program that only reads the
//! first bytes of all files. Fails if ocify uses too much memory.
//!
//! ```sh
//! OCIFY_BENCH_DIR=/somewhere/with/10/GB cargo bench --bench batch
//! ```
//!
//! `-- many` uses 10,000 small archives, which are copies of the fixtures. `-- walk` uses 100,000 files, ten of which are archives.
//! `-- jobs` recompresses the layers of 48 archives with one thread and with two. The loops would take many minutes, so they process a
//! fiftieth of the archives and their times are multiplied by fifty.
//!
//! `OCIFY_BENCH_BASELINE=/path/to/other/ocify` compares with another build; `common` describes it and the other variables.
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

mod common;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use common::contender::Contender;
use common::images::{Files, Shape, make};
use common::race::Race;
use common::{Bench, MIB, OCIFY, Result, remove};

/// The memory limit of a batch in MiB, whatever the number of inputs.
const MAX_MIB: u64 = 128;
const ARCHIVES: usize = 10_000;
/// The loops process one of this many equal parts.
const PARTS: u32 = 50;
/// The number of files in each directory.
const FILES: usize = 500;

const COMPRESSED: Shape = Shape {
    images: 1,
    layers: 2,
    len: 4 * MIB,
    suffixes: &[".zstd"],
    loose: 0,
};

fn main() -> Result<()> {
    let Some(mut bench) = Bench::start()? else {
        return Ok(());
    };
    if bench.wants("many") {
        println!("\n## {ARCHIVES} archives");
        many(&mut bench)?;
    }
    if bench.wants("walk") {
        println!("\n## 100,000 files, ten of them archives");
        walk(&mut bench)?;
    }
    if bench.wants("jobs") {
        println!("\n## Recompressing the layers of 48 archives");
        jobs(&mut bench)?;
    }
    bench.finish(MAX_MIB)
}

/// Archives that real tools wrote. Each contains a single image, so that skopeo can read it.
fn fixtures() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("buildkit-")
            && name.ends_with("-ocitrue.tar")
            && !name.contains("multi")
            || name == "podman-oci.tar"
            || name == "skopeo19-oci.tar"
        {
            paths.push(path);
        }
    }
    paths.retain(|path| !path.to_string_lossy().contains("-names-"));
    paths.sort();
    match paths.len() {
        10.. => Ok(paths),
        _ => Err(io::Error::other("some of the fixtures are missing")),
    }
}

fn many(bench: &mut Bench) -> Result<()> {
    let (tree, out, part) = (bench.path("tree"), bench.path("out"), bench.path("part"));
    let fixtures = fixtures()?;
    let mut bytes = 0;
    for number in 0..ARCHIVES {
        let from = &fixtures[number % fixtures.len()];
        let folder = tree.join((number / FILES).to_string());
        fs::create_dir_all(&folder)?;
        bytes += fs::copy(from, folder.join(format!("{number}.tar")))?;
    }
    println!("\n{} kB each", bytes / ARCHIVES as u64 / 1000);
    // The loops process every fiftieth archive.
    fs::create_dir(&part)?;
    for number in (0..ARCHIVES).step_by(PARTS as usize) {
        let from = tree.join((number / FILES).to_string());
        let name = format!("{number}.tar");
        fs::hard_link(from.join(&name), part.join(&name))?;
    }
    let (tree, out_text, part) = (tree.display(), out.display(), part.display());
    let lone = |command: &str| {
        format!(
            "mkdir '{out_text}' && for f in '{part}'/*; do {command} >/dev/null 2>&1 || exit; done"
        )
    };
    let ocify = lone(&format!(
        "{OCIFY} fix \"$f\" -o '{out_text}'/\"${{f##*/}}\""
    ));
    let skopeo = lone(&format!(
        "skopeo --insecure-policy copy --quiet oci-archive:\"$f\" oci-archive:'{out_text}'/\"${{f##*/}}\""
    ));
    let whole = |name: &str, more: &[&str]| {
        let (tree, out_text) = (tree.to_string(), out_text.to_string());
        let line = [&[OCIFY, "fix", &tree, "-o", &out_text], more].concat();
        Contender::new(name, &line).makes_and_keeps(&out)
    };
    let mut race = Race::new(whole("`ocify fix TREE -o OUT`", &[]));
    race.add(whole("`ocify fix TREE -o OUT --jobs 1`", &["--jobs", "1"]));
    let line = ["cp", "-r", &tree.to_string(), &out_text.to_string()];
    race.add(Contender::new("`cp -r TREE OUT`", &line).makes_and_keeps(&out));
    let in_loop = |name: &str, line: &str| {
        Contender::shell(name, line)
            .makes_and_keeps(&out)
            .does_one_of(PARTS)
    };
    race.add(in_loop("`ocify fix` in a loop", &ocify));
    if common::exists("skopeo") {
        race.add(in_loop("`skopeo copy` in a loop", &skopeo));
    } else {
        println!("\nskopeo is not installed, so not compared");
    }
    race.run(bench)?;
    remove(&bench.path("tree"))?;
    remove(&bench.path("part"))
}

fn walk(bench: &mut Bench) -> Result<()> {
    const COUNT: usize = 100_000;
    let tree = bench.path("tree");
    let fixtures = fixtures()?;
    for number in 0..COUNT {
        let folder = tree.join((number / FILES).to_string());
        fs::create_dir_all(&folder)?;
        let path = folder.join(number.to_string());
        if number % (COUNT / 10) == 0 {
            fs::copy(&fixtures[0], path)?;
        } else {
            fs::write(path, format!("{number}\n").repeat(100))?;
        }
    }
    let tree = tree.display().to_string();
    let line = format!("find '{tree}' -type f -size +0 -exec head -qc 512 {{}} + >/dev/null");
    let name = "`find DIR -type f -size +0 -exec head -qc 512 {} +`";
    let mut race = Race::new(Contender::shell(name, &line));
    let out = bench.path("out");
    let out_text = out.display().to_string();
    let line = [OCIFY, "fix", &tree, "-o", &out_text];
    race.add(Contender::new("`ocify fix DIR -o OUT`", &line).makes_and_keeps(&out));
    race.run(bench)?;
    remove(&bench.path("tree"))
}

fn jobs(bench: &mut Bench) -> Result<()> {
    const COUNT: usize = 48;
    let (tree, out) = (bench.path("tree"), bench.path("out"));
    fs::create_dir(&tree)?;
    let mut files = Files::new(Path::new("/usr"));
    for number in 0..COUNT {
        let path = tree.join(format!("{number}.tar"));
        make(&COMPRESSED, &mut files, bench.folder(), &path)?;
    }
    let (tree, out_text) = (tree.display().to_string(), out.display().to_string());
    let fix = |jobs: &str| {
        let name = format!("`ocify fix TREE -o OUT --compression gzip --jobs {jobs}`");
        let line = [
            OCIFY,
            "fix",
            &tree,
            "-o",
            &out_text,
            "--compression",
            "gzip",
            "--jobs",
            jobs,
        ];
        Contender::new(&name, &line).makes_and_keeps(&out)
    };
    let mut race = Race::new(fix("1"));
    race.add(fix("2"));
    race.run(bench)?;
    remove(&bench.path("tree"))
}
