//! The table of facts about engines, for people and programs. `docs/engines.schema.json` is the schema of the form for
//! programs, and `docs/engines.json` has the table in that form.

use std::io::{self, Write};

use serde::Serialize;

use super::check::{range, wrapped};
use super::text::{BOLD, DIM};
use crate::engines::{Evidence, KnownReader, Obstacle, Problem, Version, table};
use crate::text::json_pretty;

/// The version of the schema.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Data {
    version: u32,
    engines: Vec<EngineData>,
    rules: Vec<RuleData>,
}

#[derive(Serialize)]
struct EngineData {
    engine: &'static str,
    store: Option<&'static str>,
    versions: Vec<Version>,
    supported: Vec<Version>,
    problems: Vec<ProblemData>,
}

#[derive(Serialize)]
struct ProblemData {
    rule: Obstacle,
    from: Version,
    to: Version,
    says: &'static [&'static str],
    evidence: Evidence,
}

#[derive(Serialize)]
struct RuleData {
    rule: Obstacle,
    message: &'static str,
}

impl From<KnownReader> for EngineData {
    fn from(known: KnownReader) -> Self {
        let problem = |problem: &Problem| ProblemData {
            rule: problem.obstacle,
            from: problem.from,
            to: problem.to,
            says: problem.says,
            evidence: problem.evidence,
        };
        EngineData {
            engine: known.reader.engine(),
            store: known.reader.store(),
            problems: known.problems.iter().map(problem).collect(),
            versions: known.versions,
            supported: known.supported,
        }
    }
}

/// Writes the table as JSON, pretty-printed and with a final newline.
pub fn json(out: &mut dyn Write) -> io::Result<()> {
    let rule = |rule: Obstacle| RuleData {
        rule,
        message: rule.meaning(),
    };
    let data = Data {
        version: VERSION,
        engines: table().into_iter().map(EngineData::from).collect(),
        rules: Obstacle::ALL.map(rule).into(),
    };
    json_pretty(&data, out)
}

/// Writes the table for people, with escape sequences for styles, in lines of at most this width if no word is longer.
pub fn text(width: usize, out: &mut dyn Write) -> io::Result<()> {
    for known in table() {
        let reader = known.reader;
        let name = match reader.store() {
            Some(store) => format!("{}/{store}", reader.engine()),
            None => reader.engine().to_owned(),
        };
        writeln!(out, "{BOLD}{name}{BOLD:#}")?;
        let versions = list(&known.versions);
        writeln!(out, "  known: {}", wrapped(&versions, 9, 4, width))?;
        let supported = match known.supported.is_empty() {
            true => "none of them".to_owned(),
            false => list(&known.supported),
        };
        writeln!(out, "  supported: {}", wrapped(&supported, 13, 4, width))?;
        let names = known.problems.iter();
        let names = names.map(|problem| problem.obstacle.name().len());
        let name_width = names.max().unwrap_or(0);
        for problem in &known.problems {
            let Problem {
                obstacle, evidence, ..
            } = problem;
            let is_all = known.versions.first() == Some(&problem.from)
                && known.versions.last() == Some(&problem.to);
            let versions = match is_all {
                true => "all".to_owned(),
                false => range(problem.from, problem.to),
            };
            let line = format!("{versions} ({evidence})");
            let name = obstacle.name();
            let indent = name_width + 4;
            let line = wrapped(&line, indent, indent, width);
            writeln!(out, "  {name:name_width$}  {DIM}{line}{DIM:#}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{BOLD}What is in their way{BOLD:#}")?;
    for obstacle in Obstacle::ALL {
        let line = format!("{}: {}", obstacle.name(), obstacle.meaning());
        writeln!(out, "  {}", wrapped(&line, 2, 4, width))?;
    }
    Ok(())
}

fn list(versions: &[Version]) -> String {
    let versions: Vec<String> = versions.iter().map(Version::to_string).collect();
    versions.join(", ")
}
