//! Predictions and behavior of newer versions: those of forky, the next release of Debian, which changes until it is released.
//!
//! `.ci/engines --newer` installs them, and `.ci/full` runs this. A version that is not known yet is reported as skipped: then its source has to be
//! read, and the version added to `src/engines/known.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use ocify::{Code, Fix, Input, Loads, Obstacle, Output};

use crate::archive::{fixtures, folder};
use crate::campaign::{self, Compared, HARD, prediction};
use crate::common;
use crate::configs;
use crate::engine::Column;
use crate::mutants::{Case, Sources};
use crate::shapes::shapes;

/// The engines, as the columns of the table in which there is an older version.
const COLUMNS: [Column; 6] = [
    Column::Docker26Graph,
    Column::Docker26Containerd,
    Column::Containerd17,
    Column::Podman5,
    Column::SkopeoOci,
    Column::SkopeoDocker,
];

/// The name of the release.
pub(crate) const RELEASE: &str = "forky";

/// The root directory of forky. If it is not there, that is reported.
pub(crate) fn root() -> Option<PathBuf> {
    let marker = crate::separate().join(format!("{RELEASE}.complete"));
    let missing = match crate::trixie() {
        Err(missing) => missing,
        Ok(_) if !marker.exists() => marker.display().to_string(),
        Ok(_) => return Some(crate::separate().join(RELEASE)),
    };
    let why = format!("newer engines need {missing}; run .ci/engines --newer as root");
    common::skip(&why, "OCIFY_REQUIRE_NEWER_ENGINES");
    None
}

/// Reports a version for which nothing is predicted.
pub(crate) fn is_unknown(engine: &str) {
    common::skipped(&format!("{engine}: this version is not known yet"));
}

/// As `--for` names a version of the engine of a column.
fn asked(column: Column, version: &str) -> String {
    match column {
        Column::Docker26Graph => format!("docker@{version}/graphdriver"),
        Column::Docker26Containerd => format!("docker@{version}/containerd"),
        Column::Containerd17 => format!("containerd@{version}"),
        Column::Podman5 => format!("podman@{version}"),
        Column::SkopeoOci => format!("skopeo@{version}/oci-archive"),
        Column::SkopeoDocker => format!("skopeo@{version}/docker-archive"),
        _ => unreachable!("{column:?} is not newer"),
    }
}

/// Debian's Docker 28 is packaged with containerd 2, which knows the media type.
fn copes(column: Column) -> &'static [Obstacle] {
    match column {
        Column::Docker26Containerd => &[Obstacle::LayerType],
        _ => &[],
    }
}

#[test]
#[ignore = "needs .ci/engines --newer; .ci/full runs it"]
fn newer_versions_do_what_is_predicted() {
    let Some(root) = root() else {
        return;
    };
    let shared = tempfile::Builder::new()
        .prefix("ocify-newer-")
        .tempdir()
        .expect("a temporary folder");
    let archives = prepare(shared.path());
    let chosen = COLUMNS.into_iter().filter(campaign::is_chosen);
    campaign::each_agrees(chosen, |column| {
        try_all(column, &root, shared.path(), &archives)
    });
}

/// What an archive is, and its file.
pub(crate) type Named = (String, PathBuf);

/// Every fixture and every shape.
pub(crate) fn prepare(shared: &Path) -> Vec<Named> {
    let recent = folder().join("2026");
    let recent = fs::read_dir(recent).expect("the fixtures are readable");
    let recent = recent.map(|entry| entry.expect("the fixtures are readable").path());
    let fixtures = fixtures().into_iter().map(|name| folder().join(name));
    let mut archives: Vec<Named> = fixtures
        .chain(recent)
        .filter(|path| path.extension().is_some_and(|end| end == "tar"))
        .map(|path| (path.display().to_string(), path))
        .collect();
    for shape in shapes() {
        let path = shared.join(shape.name);
        fs::write(&path, shape.bytes).expect("the shared folder is writable");
        archives.push((shape.name.to_owned(), path));
    }
    archives
}

fn try_all(column: Column, root: &Path, shared: &Path, archives: &[Named]) -> Vec<String> {
    let start = || {
        let engine = column.start_in(root, shared)?;
        let version = engine.version()?.trim().to_owned();
        Ok((engine, version))
    };
    let (engine, version) = match start() {
        Ok(started) => started,
        Err::<_, String>(error) => return vec![format!("{column:?}: {error}")],
    };
    let heading = asked(column, &version);
    let asked: ocify::Engine = heading.parse().expect("an engine");
    let cases = match cases(&format!("{column:?}"), asked, shared, archives) {
        Ok(cases) => cases,
        Err(error) => return vec![error],
    };
    let mut predicted = cases.iter().filter_map(|case| prediction(case, asked));
    if predicted.all(|verdict| verdict.loads == Loads::Unknown) {
        is_unknown(&heading);
        return Vec::new();
    }
    let compared = Compared {
        heading,
        file: format!("{column:?}"),
        engine,
        asked,
        copes: copes(column),
    };
    compared.try_all(shared, cases)
}

/// The archives, each also fixed for the engine, which has to load it then, and archives with random changes.
pub(crate) fn cases(
    file: &str,
    asked: ocify::Engine,
    shared: &Path,
    archives: &[Named],
) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    for (what, path) in archives {
        cases.push(Case::of(what.clone(), path));
        let fixed = shared.join(format!("{file}-fixed.tar"));
        let input = Input::open(path).expect("it opens");
        match Fix::new().engine(asked).run(input, Output::archive(&fixed)) {
            Ok(_) => cases.push(Case::of(format!("{what}, fixed"), &fixed)),
            Err(error) if error.code() == Code::EngineRefuses => continue,
            Err(error) => return Err(format!("{file}: {what}: {error}")),
        }
        fs::remove_file(&fixed).expect("it was written");
    }
    let sources = Sources::read();
    let seeds = campaign::chosen_seeds().unwrap_or_else(|| HARD.to_vec());
    cases.extend(seeds.into_iter().map(|seed| sources.case(seed)));
    cases.extend(configs::cases());
    Ok(cases)
}
