//! Readers that are not engines but can be named with `--for`: buildah, oras, umoci, crane, apptainer and regctl. What they do with fixtures, shapes and archives with
//! random changes is compared with what is predicted, and what is fixed for them has to load.
//! `OCIFY_REGCTL_VERSION` is the version of a regctl that does not state its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ocify::{Check, Code, Fix, Input, Loads, Output, Verdict, Verify};

use crate::Attempt;
use crate::archive::{fixtures, folder, root_file};
use crate::campaign::{self, HARD};
use crate::common;
use crate::common::builder::REF_NAME;
use crate::configs;
use crate::machine::{DATA, Machine, Network, SHARED};
use crate::mutants::Sources;
use crate::newer;
use crate::predicted;
use crate::registry::server::Registry;
use crate::shapes::shapes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    BuildahOci,
    BuildahDocker,
    Oras,
    Umoci,
    ApptainerOci,
    ApptainerDocker,
    CraneValidate,
    CranePush,
    Regctl,
}

impl Tool {
    /// Those of trixie, and crane.
    const OF_TRIXIE: [Self; 6] = [
        Self::BuildahOci,
        Self::BuildahDocker,
        Self::Oras,
        Self::Umoci,
        Self::CraneValidate,
        Self::CranePush,
    ];
    /// Newer ones.
    const NEWER: [Self; 6] = [
        Self::BuildahOci,
        Self::BuildahDocker,
        Self::Oras,
        Self::Umoci,
        Self::ApptainerOci,
        Self::ApptainerDocker,
    ];

    /// The program that is copied into its machine: nothing else installs it there.
    fn program(self) -> Option<(&'static str, PathBuf)> {
        match self {
            Self::CraneValidate | Self::CranePush => Some(("crane", crate::crane())),
            Self::Regctl => Some(("regctl", regctl()?)),
            _ => None,
        }
    }

    /// How `--for` names this version of it.
    fn engine(self, version: &str) -> String {
        match self {
            Self::BuildahOci => format!("buildah@{version}/oci-archive"),
            Self::BuildahDocker => format!("buildah@{version}/docker-archive"),
            Self::Oras => format!("oras@{version}"),
            Self::Umoci => format!("umoci@{version}"),
            Self::ApptainerOci => format!("apptainer@{version}/oci-archive"),
            Self::ApptainerDocker => format!("apptainer@{version}/docker-archive"),
            Self::CraneValidate | Self::CranePush => format!("crane@{version}"),
            Self::Regctl => format!("regctl@{version}"),
        }
    }

    /// The version, as the tool states it. crane of Debian does not know its own.
    fn version(self, machine: &Machine) -> Result<String, String> {
        let line: &[&str] = match self {
            Self::BuildahOci | Self::BuildahDocker => &["buildah", "--version"],
            Self::Oras => &["oras", "version"],
            Self::Umoci => &["umoci", "--version"],
            Self::ApptainerOci | Self::ApptainerDocker => &["apptainer", "--version"],
            Self::CraneValidate | Self::CranePush => {
                return machine
                    .run(&[CRANE, "--help"])
                    .map(|_| crate::crane_version());
            }
            Self::Regctl => &["sh", "-c", REGCTL_VERSION],
        };
        let output = machine.run(line)?;
        // That of regctl is known only to what its makers built.
        let stated = std::env::var("OCIFY_REGCTL_VERSION").ok();
        let stated = stated.filter(|_| self == Self::Regctl);
        let mut words = output.split_whitespace().chain(stated.as_deref());
        let version = words.find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        let version = version.ok_or_else(|| format!("no version in {output:?}"))?;
        Ok(version.to_owned())
    }

    /// Reads an archive: what each of these names leads to, or what is read without a name.
    fn attempt(
        self,
        machine: &Machine,
        archive: &str,
        names: &[String],
        registry: &str,
    ) -> Attempt {
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
                Self::ApptainerOci => BUILD_OCI,
                Self::ApptainerDocker => BUILD_DOCKER,
                Self::CraneValidate => VALIDATE,
                Self::CranePush => PUSH,
                Self::Regctl => IMPORT,
            };
            let line = ["sh", "-euc", script, "sh", archive, name, DATA, registry];
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

/// Builds a directory, since a file takes longer and needs no other reader. What it read before would be found in its cache.
const BUILD_OCI: &str = "mkdir -p \"$3\"
rm -rf \"$3\"/*
export APPTAINER_CACHEDIR=\"$3/cache\"
exec apptainer build --sandbox \"$3/image\" \"oci-archive:$1${2:+:$2}\" 2>&1";
const BUILD_DOCKER: &str = "mkdir -p \"$3\"
rm -rf \"$3\"/*
export APPTAINER_CACHEDIR=\"$3/cache\"
exec apptainer build --sandbox \"$3/image\" \"docker-archive:$1\" 2>&1";

/// crane, in the machine.
const CRANE: &str = "/run/ocify/crane";
const VALIDATE: &str = "exec /run/ocify/crane validate --tarball \"$1\"";
/// What was pushed has to be what the archive said: crane compares nothing while it pushes.
const PUSH: &str = "/run/ocify/crane push --insecure \"$1\" \"$4/app:v1\" 2>&1
exec /run/ocify/crane validate --insecure --remote \"$4/app:v1\"";

const REGCTL_VERSION: &str = "/run/ocify/regctl version | sed -n 's/^VCSTag: *v//p'";
/// What was imported has to be complete, which a copy of it shows.
const IMPORT: &str = "mkdir -p \"$3\"
rm -rf \"$3\"/*
/run/ocify/regctl image import \"ocidir://$3/imported:read\" \"$1\" ${2:+--name \"$2\"} 2>&1
exec /run/ocify/regctl image copy \"ocidir://$3/imported:read\" \"ocidir://$3/copy:read\" 2>&1";

/// regctl, which no package contains, if it is installed.
fn regctl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|folder| folder.join("regctl"));
    places.find(|place| place.exists())
}

/// An archive, in the shared folder.
struct Sample {
    what: String,
    file: PathBuf,
    /// Whether its layers are to be read for the prediction.
    is_mutant: bool,
    /// The ref names, and the digests of the entries.
    names: Vec<String>,
    digests: Vec<String>,
    /// The names that `manifest.json` lists.
    tags: Vec<String>,
}

impl Sample {
    fn new(shared: &Path, what: String, bytes: &[u8], is_mutant: bool) -> Self {
        let number = fs::read_dir(shared).map_or(0, Iterator::count);
        let file = shared.join(format!("{number}.tar"));
        fs::write(&file, bytes).expect("the shared folder is writable");
        let index = root_file(&file, b"index.json").or_else(|| root_file(&file, b"./index.json"));
        let index = index.unwrap_or_default();
        let entries = index["manifests"].as_array().into_iter().flatten();
        let names = entries.clone().filter_map(|entry| {
            let name = entry["annotations"][REF_NAME].as_str()?;
            Some(name.to_owned())
        });
        let names: BTreeSet<String> = names.collect();
        let digests = entries.filter_map(|entry| entry["digest"].as_str());
        let docker = root_file(&file, b"manifest.json").unwrap_or_default();
        let items = docker.as_array().into_iter().flatten();
        let tags = items.flat_map(|item| item["RepoTags"].as_array().into_iter().flatten());
        let tags = tags.filter_map(|tag| Some(tag.as_str()?.to_owned()));
        Sample {
            tags: tags.collect(),
            what,
            is_mutant,
            names: names.into_iter().collect(),
            digests: digests.map(str::to_owned).collect(),
            file,
        }
    }

    fn verdict(&self, engine: ocify::Engine) -> Option<Verdict> {
        let fix = match self.is_mutant {
            true => Fix::new().verify(Verify::Full),
            false => Fix::new(),
        };
        let check = Check::new(fix).engine(engine);
        let check = check.platform(predicted::machine());
        let checked = check.run(Input::open(&self.file).ok()?).ok()?;
        let mut verdicts = checked.verdicts.into_iter();
        Some(verdicts.next()?.as_it_is)
    }

    /// What to request. oras takes a name for a path if it contains a colon, so it is given digests.
    fn requested(&self, tool: Tool, verdict: &Verdict) -> Vec<String> {
        match tool {
            Tool::BuildahDocker | Tool::ApptainerDocker | Tool::CraneValidate | Tool::CranePush => {
                Vec::new()
            }
            Tool::BuildahOci | Tool::ApptainerOci if verdict.loads != Loads::Choose => Vec::new(),
            Tool::Regctl if !matches!(verdict.loads, Loads::Choose | Loads::Partly) => Vec::new(),
            // It falls back to manifest.json.
            Tool::Regctl if !verdict.names.iter().all(|name| self.names.contains(name)) => {
                self.tags.clone()
            }
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
    compare_all(&trixie, &Tool::OF_TRIXIE);
}

#[test]
#[ignore = "needs .ci/engines --newer; .ci/full runs it"]
fn newer_readers_do_what_is_predicted() {
    if let Some(root) = newer::root() {
        compare_all(&root, &Tool::NEWER);
    }
}

#[test]
#[ignore = "needs regctl, which no package contains"]
fn regctl_does_what_is_predicted() {
    let trixie = match crate::trixie() {
        Ok(root) => root,
        Err(missing) => return crate::skip(&missing),
    };
    if regctl().is_none() {
        return common::skip("regctl is not in PATH", "OCIFY_REQUIRE_REGCTL");
    }
    compare_all(&trixie, &[Tool::Regctl]);
}

/// Compares readers whose programs are in a root directory.
fn compare_all(root: &Path, tools: &[Tool]) {
    let shared = tempfile::Builder::new()
        .prefix("ocify-further-")
        .tempdir()
        .expect("a temporary folder");
    let chosen = tools.iter().copied().filter(campaign::is_chosen);
    campaign::each_agrees(chosen, |tool| {
        let shared = shared.path().join(format!("{tool:?}"));
        fs::create_dir(&shared).expect("the shared folder is writable");
        if let Some((name, program)) = tool.program() {
            fs::copy(program, shared.join(name)).expect("the folder is writable");
        }
        try_all(tool, root, &shared)
    });
}

fn samples(shared: &Path, tool: Tool) -> Vec<Sample> {
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
    let seeds = campaign::chosen_seeds().unwrap_or_else(|| HARD.to_vec());
    for seed in seeds {
        let mut cases = vec![sources.case(seed)];
        // It cannot read an image layout without them.
        if matches!(tool, Tool::ApptainerOci | Tool::ApptainerDocker) {
            cases.push(sources.case_with_directories(seed));
        }
        for case in cases {
            let what = format!("{seed}: {}", case.what);
            samples.push(Sample::new(shared, what, &case.bytes, true));
        }
    }
    for case in configs::cases() {
        samples.push(Sample::new(shared, case.what, &case.bytes, true));
    }
    samples
}

fn try_all(tool: Tool, root: &Path, shared: &Path) -> Vec<String> {
    let release = root.file_name().unwrap_or_default().to_string_lossy();
    let start = || {
        let network = match tool {
            Tool::CranePush => Network::Shared,
            _ => Network::Nothing,
        };
        let name = format!("{tool:?}-{release}");
        let machine = Machine::start_with(root, shared, &name, network)?;
        let version = tool.version(&machine)?;
        Ok((machine, tool.engine(&version)))
    };
    let (machine, heading) = match start() {
        Ok(started) => started,
        Err::<_, String>(error) => return vec![format!("{tool:?}: {error}")],
    };
    let engine: ocify::Engine = heading.parse().expect("a reader");
    let registry = (tool == Tool::CranePush).then(|| Registry::start(shared, None));
    let host = registry.as_ref().map_or("", |registry| &registry.host);
    let reader = Reader {
        tool,
        machine,
        host,
    };
    let mut problems = Vec::new();
    let (mut tried, mut unknown, mut loaded) = (0, 0, 0);
    for sample in samples(shared, tool) {
        let Some(verdict) = sample.verdict(engine) else {
            continue;
        };
        if verdict.loads == Loads::Unknown {
            unknown += 1;
            continue;
        }
        if let Some(how) = reader.compare(&sample, &verdict) {
            problems.push(format!("{heading}: {}: {how}", sample.what));
            if let Some(kept) = campaign::kept() {
                let name = format!("{tool:?}-{tried}.tar");
                fs::copy(&sample.file, kept.join(name)).expect("the folder is writable");
            }
        }
        tried += 1;
        loaded += usize::from(verdict.loads.is_good());
        if sample.is_mutant {
            continue;
        }
        // What is fixed for the reader loads there.
        let mut fixed = Vec::new();
        let fix = Fix::new().engine(engine);
        let input = Input::open(&sample.file).expect("it was opened before");
        match fix.run(input, Output::stream(&mut fixed)) {
            Ok(_) => {
                let what = format!("{}, fixed", sample.what);
                let sample = Sample::new(shared, what, &fixed, false);
                let verdict = sample.verdict(engine).expect("it was written");
                if let Some(how) = reader.compare(&sample, &verdict) {
                    problems.push(format!("{heading}: {}: {how}", sample.what));
                }
            }
            Err(error) if error.code() == Code::EngineRefuses => {}
            Err(error) => problems.push(format!("{heading}: {}: {error}", sample.what)),
        }
    }
    let figures = format!("\n{heading}: {tried} tried, {loaded} of which load\n");
    // Past the test harness, which captures output.
    std::io::stderr()
        .write_all(figures.as_bytes())
        .expect("it is open");
    if unknown > 0 && release == newer::RELEASE {
        newer::is_unknown(&heading);
    } else if tried < 70 {
        problems.push(format!("{heading}: only {tried} archives were tried"));
    }
    problems
}

/// A reader where it runs.
struct Reader<'a> {
    tool: Tool,
    machine: Machine,
    /// The registry to which it pushes.
    host: &'a str,
}

impl Reader<'_> {
    fn compare(&self, sample: &Sample, verdict: &Verdict) -> Option<String> {
        let name = sample.file.file_name()?.to_str()?;
        let archive = format!("{SHARED}/{name}");
        let names = sample.requested(self.tool, verdict);
        let observed = self
            .tool
            .attempt(&self.machine, &archive, &names, self.host);
        match &observed {
            // The tool reads a directory, which could not be made from this archive.
            Err(message) if message.contains("cannot be unpacked") => return None,
            Ok(_) if verdict.loads == Loads::Choose => return None,
            // Only one of several names leads to what is wrong, and the others were copied.
            Err(message)
                if verdict.loads == Loads::Partly && predicted::is_told(verdict, message) =>
            {
                return None;
            }
            _ => {}
        }
        predicted::disagreement(verdict, &observed)
    }
}
