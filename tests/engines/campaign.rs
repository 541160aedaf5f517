//! Predictions and behavior: archives with random changes, put through every engine.
//!
//! `OCIFY_ENGINE_MUTANTS=COUNT` tries more of them in each engine, `OCIFY_SEED=N` begins with that one, and
//! `OCIFY_ENGINE_COLUMNS=NAME,...` leaves out the other engines. `OCIFY_ENGINE_MUTANTS_KEPT=DIR` keeps those that did something else.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Debug;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use ocify::{Check, Fix, Input, Loads, Obstacle, Verdict, Verify};

use crate::archive::Archive;
use crate::configs;
use crate::engine::{Column, Engine};
use crate::machine::SHARED;
use crate::mutants::{Case, Sources};
use crate::predicted;

/// The seeds of archives that were predicted wrongly before the models knew what is special about them.
pub(crate) const HARD: &[u64] = &[
    3, 13, 16, 18, 19, 29, 34, 39, 47, 51, 54, 60, 69, 72, 768, 1055, 1073, 1081, 1086, 1090, 1109,
    1136, 1142, 1184, 1191, 1207, 1226, 1578, 2104, 5336, 7527, 9001, 9027, 9043, 9098, 9099, 9120,
    20036, 20069, 20157, 20217, 20268, 20275, 30139, 30212, 40187, 40205, 40224, 40257, 50019,
    50143, 50173, 50229, 50391, 50423, 50543, 50613, 51149, 51238, 51260, 51311, 51458, 51538,
    52540, 53121, 61020, 61761, 80427,
];

/// How many more archives skopeo gets by default. It is the fastest, since it runs nothing.
const MORE: u64 = 60;

/// What an engine did with an archive, as far as it can be compared.
enum Comparison {
    Same,
    /// Nobody knows what the engine does.
    Unknown,
    Different(String),
}

#[test]
fn mutants_do_what_is_predicted() {
    let trixie = match crate::trixie() {
        Ok(root) => root,
        Err(missing) => return crate::skip(&missing),
    };
    let seeds = |column: Column| -> Vec<u64> {
        let hard = HARD.iter().copied();
        match chosen_seeds() {
            Some(seeds) => seeds,
            None if column.has_names() => hard.collect(),
            None => hard.chain(0..MORE).collect(),
        }
    };
    let columns: Vec<Column> = Column::ALL.into_iter().filter(is_chosen).collect();
    let shared = tempfile::Builder::new()
        .prefix("ocify-mutants-")
        .tempdir()
        .expect("a temporary folder");
    let sources = Sources::read();
    let shared = shared.path();
    each_agrees(columns, |column| {
        campaign(column, &trixie, shared, &sources, &seeds(column))
    });
}

/// Tries all of these at the same time, and fails with what was not predicted.
pub(crate) fn each_agrees<T: Send>(
    tried: impl IntoIterator<Item = T>,
    problems: impl Fn(T) -> Vec<String> + Sync,
) {
    let reports: Vec<String> = thread::scope(|scope| {
        let problems = &problems;
        let start = |one| scope.spawn(move || problems(one));
        let threads: Vec<_> = tried.into_iter().map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().flat_map(join).collect()
    });
    assert!(
        reports.is_empty(),
        "{} wrong predictions:\n\n{}",
        reports.len(),
        reports.join("\n\n")
    );
}

/// The seeds that are requested by variables of the environment.
pub(crate) fn chosen_seeds() -> Option<Vec<u64>> {
    let number = |name: &str| {
        let value = env::var(name).ok()?;
        Some(value.parse::<u64>().expect("a number"))
    };
    let first = number("OCIFY_SEED").unwrap_or(0);
    let count = number("OCIFY_ENGINE_MUTANTS")?;
    Some((first..first + count).collect())
}

/// Where to keep archives with which something else was done, if that is requested.
pub(crate) fn kept() -> Option<PathBuf> {
    env::var_os("OCIFY_ENGINE_MUTANTS_KEPT").map(PathBuf::from)
}

/// Whether a column or tool is requested, by a variable of the environment, or all are.
pub(crate) fn is_chosen(column: &impl Debug) -> bool {
    let name = format!("{column:?}");
    let chosen = env::var("OCIFY_ENGINE_COLUMNS");
    chosen.map_or(true, |chosen| chosen.split(',').any(|other| other == name))
}

/// Tries that many archives in an engine, and returns what was not predicted.
fn campaign(
    column: Column,
    trixie: &Path,
    shared: &Path,
    sources: &Sources,
    seeds: &[u64],
) -> Vec<String> {
    let engine = match column.start(trixie, shared) {
        Ok(engine) => engine,
        Err(error) => return vec![format!("{}: {error}", column.heading())],
    };
    let compared = Compared {
        heading: column.heading().to_owned(),
        file: format!("{column:?}"),
        engine,
        asked: predicted::engine(column),
        copes: &[],
    };
    let configs = configs::cases();
    let mutants = seeds.iter().map(|seed| sources.case(*seed));
    compared.try_all(shared, configs.into_iter().chain(mutants))
}

/// An engine that is compared with what is predicted for it.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) heading: String,
    /// What the names of its files begin with.
    pub(crate) file: String,
    pub(crate) engine: Box<dyn Engine>,
    /// As `--for` names it.
    pub(crate) asked: ocify::Engine,
    /// What it copes with because it is built or packaged in another way than by its makers.
    pub(crate) copes: &'static [Obstacle],
}

impl Compared {
    /// Tries all cases, and returns what was not predicted.
    pub(crate) fn try_all(
        mut self,
        shared: &Path,
        cases: impl IntoIterator<Item = Case>,
    ) -> Vec<String> {
        let heading = self.heading.clone();
        let kept = kept();
        let mut problems = Vec::new();
        let mut figures: BTreeMap<&str, u64> = BTreeMap::new();
        for (number, case) in cases.into_iter().enumerate() {
            let mut count = |what| *figures.entry(what).or_insert(0) += 1;
            let Some(predicted) = prediction(&case, self.asked) else {
                count("refused");
                continue;
            };
            count("tried");
            let name = format!("{}-{number}-{}.tar", self.file, case.seed);
            let path = shared.join(&name);
            fs::write(&path, &case.bytes).expect("the shared folder is writable");
            match self.compare(&predicted, &case, &name) {
                Comparison::Same => count(if predicted.loads.is_good() {
                    "loaded"
                } else {
                    "failed"
                }),
                Comparison::Unknown => count("unknown"),
                Comparison::Different(how) => {
                    count("different");
                    if let Some(kept) = &kept {
                        fs::copy(&path, kept.join(&name)).expect("the folder is writable");
                    }
                    problems.push(format!("{heading}: {}: {}: {how}", case.seed, case.what));
                }
            }
            fs::remove_file(&path).expect("it is there");
        }
        // Past the test harness, which captures output.
        let figures = format!("\n{heading}: {figures:?}\n");
        std::io::stderr()
            .write_all(figures.as_bytes())
            .expect("it is open");
        problems
    }
}

/// What is predicted for an archive; nothing if `ocify check` refuses it, or it contains no image.
pub(crate) fn prediction(case: &Case, asked: ocify::Engine) -> Option<Verdict> {
    // Otherwise the layers are not read, and what is wrong in them is not known.
    let fix = Fix::new().verify(Verify::Full);
    let check = Check::new(fix).engine(asked);
    let check = check.platform(predicted::machine());
    let temporary = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(temporary.path(), &case.bytes).expect("it is writable");
    let checked = check.run(Input::open(temporary.path()).ok()?).ok()?;
    let judged = checked.verdicts.into_iter().next()?;
    Some(judged.as_it_is)
}

impl Compared {
    fn compare(&mut self, verdict: &Verdict, case: &Case, name: &str) -> Comparison {
        if verdict.loads == Loads::Unknown {
            return Comparison::Unknown;
        }
        let mut archive = Archive {
            path: format!("{SHARED}/{name}"),
            ask_for: Vec::new(),
            tags: Vec::new(),
        };
        let mut observed = self.engine.attempt(&archive);
        if verdict.loads == Loads::Choose {
            // Without a name it fails; with each of the names it does not.
            if let Err(message) = &observed
                && predicted::is_told(verdict, message)
            {
                [archive.ask_for, archive.tags] = case.names.clone();
                archive.ask_for.retain(|name| !name.is_empty());
                let is_nameless = |names: &Vec<String>| names.is_empty();
                if [&archive.ask_for, &archive.tags]
                    .into_iter()
                    .all(is_nameless)
                {
                    return Comparison::Same;
                }
                observed = self.engine.attempt(&archive);
            } else {
                return Comparison::Different(format!(
                    "predicted {verdict:?}, observed {observed:?}"
                ));
            }
        }
        let is_same = match &observed {
            Ok(_) => {
                let mut because = verdict.because.iter();
                predicted::is_loaded(verdict)
                    || because.all(|reason| self.copes.contains(&reason.obstacle))
            }
            Err(message) if predicted::is_not_started(message) => predicted::is_loaded(verdict),
            Err(message) => !verdict.loads.is_good() && predicted::is_told(verdict, message),
        };
        match is_same {
            true => Comparison::Same,
            false => {
                Comparison::Different(format!("predicted {verdict:#?}, observed {observed:#?}"))
            }
        }
    }
}
