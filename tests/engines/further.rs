//! Readers that are not engines but can be named with `--for`: buildah, oras, umoci and crane. What they do with fixtures, shapes and archives with
//! random changes is compared with what is predicted, and what is fixed for them has to load.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use ocify::{Check, Code, Fix, Input, Loads, Output, Verdict, Verify};

use crate::Attempt;
use crate::archive::{fixtures, folder, root_file};
use crate::campaign::HARD;
use crate::common::builder::REF_NAME;
use crate::machine::{DATA, Machine, SHARED};
use crate::mutants::Sources;
use crate::predicted;
use crate::shapes::shapes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    BuildahOci,
    BuildahDocker,
    Oras,
    Umoci,
    Crane,
}

impl Tool {
    const ALL: [Self; 5] = [
        Self::BuildahOci,
        Self::BuildahDocker,
        Self::Oras,
        Self::Umoci,
        Self::Crane,
    ];

    /// As `--for` names it. The versions are those of trixie, and crane's is the installed one.
    fn engine(self) -> ocify::Engine {
        let text = match self {
            Self::BuildahOci => "buildah@1.39.3/oci-archive",
            Self::BuildahDocker => "buildah@1.39.3/docker-archive",
            Self::Oras => "oras@1.2.0",
            Self::Umoci => "umoci@0.4.7",
            Self::Crane => &format!("crane@{}", crate::crane_version()),
        };
        text.parse().expect("a reader")
    }

    /// Asks for its version, which must be that one. crane of Debian does not know it.
    fn version(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::BuildahOci | Self::BuildahDocker => (&["buildah", "--version"], " 1.39.3"),
            Self::Oras => (&["oras", "version"], " 1.2.0"),
            Self::Umoci => (&["umoci", "--version"], " 0.4.7"),
            Self::Crane => (&[CRANE, "--help"], "crane [command]"),
        }
    }

    /// Reads an archive: what each of these names leads to, or what is read without a name.
    fn attempt(self, machine: &Machine, archive: &str, names: &[String]) -> Attempt {
        let empty = [String::new()];
        let names = match names.is_empty() {
            true => &empty[..],
            false => names,
        };
        let attempt = names.iter().try_for_each(|name| {
            let script = match self {
                Self::BuildahOci => PULL_OCI,
                Self::BuildahDocker => PULL_DOCKER,
                Self::Oras => COPY,
                Self::Umoci => UNPACK,
                Self::Crane => VALIDATE,
            };
            let line = ["sh", "-euc", script, "sh", archive, name, DATA];
            let mut observed = machine.run(&line);
            for _ in 1..ATTEMPTS {
                match &observed {
                    Err(message) if message.contains(CRASH) => observed = machine.run(&line),
                    _ => break,
                }
            }
            observed.map(drop)
        });
        attempt.map(|()| BTreeSet::new())
    }
}

/// What oras 1.2 sometimes says instead of what is wrong: two blobs fail at the same time, with errors of different types.
const CRASH: &str = "compare and swap of inconsistently typed value";
/// How often a reader is run until it says what is wrong.
const ATTEMPTS: usize = 5;

const PULL_OCI: &str = "rm -rf \"$3\"/*
exec buildah --root \"$3\" --runroot /run/buildah --storage-driver vfs pull -q \"oci-archive:$1${2:+:$2}\"";
const PULL_DOCKER: &str = "rm -rf \"$3\"/*
exec buildah --root \"$3\" --runroot /run/buildah --storage-driver vfs pull -q \"docker-archive:$1\"";
const COPY: &str = "rm -rf /tmp/layout
exec oras copy --from-oci-layout \"$1${2:-:latest}\" --to-oci-layout /tmp/layout:copy";
const UNPACK: &str = "rm -rf /tmp/layout /tmp/bundle
mkdir /tmp/layout
tar -xf \"$1\" -C /tmp/layout || { echo cannot be unpacked; exit 1; }
exec umoci unpack --image \"/tmp/layout:${2:-latest}\" /tmp/bundle 2>&1";

/// crane, in the machine.
const CRANE: &str = "/run/ocify/crane";
const VALIDATE: &str = "exec /run/ocify/crane validate --tarball \"$1\"";

/// An archive, in the shared folder.
struct Sample {
    what: String,
    file: PathBuf,
    /// Whether its layers are to be read for the prediction.
    is_mutant: bool,
    /// The ref names, and the digests of the entries.
    names: Vec<String>,
    digests: Vec<String>,
}

impl Sample {
    fn new(shared: &Path, what: String, bytes: &[u8], is_mutant: bool) -> Self {
        let number = fs::read_dir(shared).map_or(0, Iterator::count);
        let file = shared.join(format!("{number}.tar"));
        fs::write(&file, bytes).expect("the shared folder is writable");
        let index = root_file(&file, b"index.json").unwrap_or_default();
        let entries = index["manifests"].as_array().into_iter().flatten();
        let names = entries.clone().filter_map(|entry| {
            let name = entry["annotations"][REF_NAME].as_str()?;
            Some(name.to_owned())
        });
        let names: BTreeSet<String> = names.collect();
        let digests = entries.filter_map(|entry| entry["digest"].as_str());
        Sample {
            what,
            is_mutant,
            names: names.into_iter().collect(),
            digests: digests.map(str::to_owned).collect(),
            file,
        }
    }

    fn verdict(&self, tool: Tool) -> Option<Verdict> {
        let fix = match self.is_mutant {
            true => Fix::new().verify(Verify::Full),
            false => Fix::new(),
        };
        let check = Check::new(fix).engine(tool.engine());
        let check = check.platform(predicted::machine());
        let checked = check.run(Input::open(&self.file).ok()?).ok()?;
        let mut verdicts = checked.verdicts.into_iter();
        Some(verdicts.next()?.as_it_is)
    }

    /// What to request. oras takes a name for a path if it contains a colon, so it is given digests.
    fn requested(&self, tool: Tool, verdict: &Verdict) -> Vec<String> {
        match tool {
            Tool::BuildahDocker | Tool::Crane => Vec::new(),
            Tool::BuildahOci if verdict.loads != Loads::Choose => Vec::new(),
            Tool::Oras => self
                .digests
                .iter()
                .map(|digest| format!("@{digest}"))
                .collect(),
            _ => self.names.clone(),
        }
    }
}

#[test]
fn further_readers_do_what_is_predicted() {
    let trixie = match crate::trixie() {
        Ok(root) => root,
        Err(missing) => return crate::skip(&missing),
    };
    let programs = ["buildah", "oras", "umoci"].map(|name| trixie.join("usr/bin").join(name));
    let mut programs = programs.into_iter().chain([crate::crane()]);
    if let Some(missing) = programs.find(|path| !path.exists()) {
        return crate::skip(&missing.display().to_string());
    }
    let shared = tempfile::Builder::new()
        .prefix("ocify-further-")
        .tempdir()
        .expect("a temporary folder");
    let problems: Vec<String> = thread::scope(|scope| {
        let (trixie, shared) = (&trixie, shared.path());
        let start = |tool: Tool| {
            let shared = shared.join(format!("{tool:?}"));
            fs::create_dir(&shared).expect("the shared folder is writable");
            if tool == Tool::Crane {
                fs::copy(crate::crane(), shared.join("crane")).expect("the folder is writable");
            }
            scope.spawn(move || try_all(tool, trixie, &shared))
        };
        let threads = Tool::ALL.map(start);
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().flat_map(join).collect()
    });
    assert!(
        problems.is_empty(),
        "{} wrong predictions:\n\n{}",
        problems.len(),
        problems.join("\n\n")
    );
}

fn samples(shared: &Path) -> Vec<Sample> {
    let mut samples = Vec::new();
    let archives = fixtures().into_iter().filter(|name| name.ends_with(".tar"));
    for name in archives {
        let bytes = fs::read(folder().join(&name)).expect("the fixtures are readable");
        samples.push(Sample::new(shared, name, &bytes, false));
    }
    for shape in shapes() {
        samples.push(Sample::new(
            shared,
            shape.name.to_owned(),
            &shape.bytes,
            false,
        ));
    }
    let sources = Sources::read();
    for seed in HARD {
        let case = sources.case(*seed);
        let what = format!("{seed}: {}", case.what);
        samples.push(Sample::new(shared, what, &case.bytes, true));
    }
    samples
}

fn try_all(tool: Tool, trixie: &Path, shared: &Path) -> Vec<String> {
    let machine = match Machine::start(trixie, shared, &format!("{tool:?}")) {
        Ok(machine) => machine,
        Err(error) => return vec![error],
    };
    let (line, version) = tool.version();
    match machine.run(line) {
        Ok(found) if found.contains(version) => {}
        found => return vec![format!("{tool:?}: {found:?} is not{version}")],
    }
    let mut problems = Vec::new();
    let mut tried = 0;
    for sample in samples(shared) {
        let Some(verdict) = sample.verdict(tool) else {
            continue;
        };
        if let Some(how) = compare(tool, &machine, &sample, &verdict) {
            problems.push(format!("{tool:?}: {}: {how}", sample.what));
        }
        tried += 1;
        if sample.is_mutant {
            continue;
        }
        // What is fixed for the reader loads there.
        let mut fixed = Vec::new();
        let fix = Fix::new().engine(tool.engine());
        let input = Input::open(&sample.file).expect("it was opened before");
        match fix.run(input, Output::stream(&mut fixed)) {
            Ok(_) => {
                let what = format!("{}, fixed", sample.what);
                let sample = Sample::new(shared, what, &fixed, false);
                let verdict = sample.verdict(tool).expect("it was written");
                if let Some(how) = compare(tool, &machine, &sample, &verdict) {
                    problems.push(format!("{tool:?}: {}: {how}", sample.what));
                }
            }
            Err(error) if error.code() == Code::EngineRefuses => {}
            Err(error) => problems.push(format!("{tool:?}: {}: {error}", sample.what)),
        }
    }
    if tried < 70 {
        problems.push(format!("{tool:?}: only {tried} archives were tried"));
    }
    problems
}

fn compare(tool: Tool, machine: &Machine, sample: &Sample, verdict: &Verdict) -> Option<String> {
    if verdict.loads == Loads::Unknown {
        return None;
    }
    let name = sample.file.file_name()?.to_str()?;
    let archive = format!("{SHARED}/{name}");
    let names = sample.requested(tool, verdict);
    let observed = tool.attempt(machine, &archive, &names);
    match &observed {
        // It is no directory then.
        Err(message) if message.contains("cannot be unpacked") => return None,
        Ok(_) if verdict.loads == Loads::Choose => return None,
        // Only one of several names leads to what is wrong, and the others were copied.
        Err(message) if verdict.loads == Loads::Partly && predicted::is_told(verdict, message) => {
            return None;
        }
        _ => {}
    }
    predicted::disagreement(verdict, &observed)
}
