//! The report of checks as one page of HTML, which people can look at and pass on: inputs by engines, with filters.
//!
//! The page contains its data as JSON and a script that shows them. It loads nothing from elsewhere, and no other script
//! can run in it.

mod interned;

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use self::interned::Interned;
use super::closing::closing;
use super::many::{CheckSummary, in_short, summary_line};
use super::reasons::{place_of, says, with_short_digests};
use super::table::{column_of, label_of_one, word};
use super::text::{contents, meaning};
use super::{CheckReport, CheckStatus};
use crate::check::{Checked, Judged};
use crate::engines::{Loads, Reason, Verdict};
use crate::error::escape;
use crate::plan::Finding;
use crate::report::text::count;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// Every verdict, in the order of the script's list.
const LOADS: [Loads; 6] = [
    Loads::Yes,
    Loads::Untagged,
    Loads::Choose,
    Loads::Unknown,
    Loads::Partly,
    Loads::No,
];

/// A page about inputs that were checked.
#[derive(Clone, Debug, Default)]
pub struct HtmlPage {
    columns: Interned<String>,
    rules: Interned<(&'static str, &'static str)>,
    texts: Interned<String>,
    reasons: Interned<ReasonData>,
    verdicts: Interned<VerdictData>,
    lists: Interned<Vec<usize>>,
    /// Each input, and its row.
    rows: Vec<(String, RowData)>,
}

/// Its rule, place, and what the engine says.
type ReasonData = (usize, usize, usize);

/// Its name, whether it counts, the verdict and reasons on the archive as it is and once it is fixed, and its column.
type VerdictData = (usize, u8, usize, Vec<usize>, usize, Vec<usize>, usize);

/// The input, its status, the result, the cells, the verdicts, the contents, the commands that help, and findings.
type RowData = (
    usize,
    usize,
    usize,
    String,
    usize,
    Option<usize>,
    Vec<(usize, usize)>,
    Vec<usize>,
);

impl HtmlPage {
    /// Adds a row for one input.
    pub fn add(&mut self, report: &CheckReport<'_>) {
        let status = match report.status {
            CheckStatus::Passed => 0,
            CheckStatus::Skipped => 1,
            CheckStatus::Rejected => 2,
            CheckStatus::Failed => 3,
        };
        let input = escape(report.input);
        let mut result = in_short(report);
        if let Some(hint) = report.error.and_then(|error| error.hint()) {
            result += &format!("; hint: {}", escape(&report.wording.hint(hint)));
        }
        let checked = report.checked;
        let commands = checked.map(|checked| closing(report, checked));
        let commands = commands.into_iter().flatten().filter_map(|line| {
            let command = line.command?;
            Some((self.texts.number(line.text), self.texts.number(command)))
        });
        let commands = commands.collect();
        let findings = checked.map_or(&[][..], |checked| &checked.summary.findings);
        let findings = findings.iter().map(|found| {
            let text = finding(found, report);
            self.texts.number(text)
        });
        let findings = findings.collect();
        let verdicts = checked.map_or(&[][..], |checked| &checked.verdicts);
        let numbers: Vec<usize> = verdicts.iter().map(|judged| self.verdict(judged)).collect();
        let row = (
            self.texts.number(input.clone()),
            status,
            self.texts.number(result),
            self.cells(verdicts),
            self.lists.number(numbers),
            checked.map(|checked: &Checked| self.texts.number(contents(checked))),
            commands,
            findings,
        );
        self.rows.push((input, row));
    }

    fn verdict(&mut self, judged: &Judged) -> usize {
        let reasons = |page: &mut Self, verdict: &Verdict| -> Vec<usize> {
            let reasons = match verdict.loads {
                Loads::Yes => &[][..],
                _ => &verdict.because,
            };
            reasons.iter().map(|reason| page.reason(reason)).collect()
        };
        let data = (
            self.texts.number(label_of_one(judged)),
            u8::from(judged.counts()),
            code(judged.as_it_is.loads),
            reasons(self, &judged.as_it_is),
            code(judged.fixed.loads),
            reasons(self, &judged.fixed),
            self.columns.number(column_of(judged)),
        );
        self.verdicts.number(data)
    }

    fn reason(&mut self, reason: &Reason) -> usize {
        let rule = (reason.obstacle.name(), reason.obstacle.meaning());
        let place = with_short_digests(&place_of(reason));
        let says = format!("{} ({})", says(reason), reason.evidence);
        let data = (
            self.rules.number(rule),
            self.texts.number(place),
            self.texts.number(says),
        );
        self.reasons.number(data)
    }

    /// For each column the worst verdict that counts, before and after a fix, and the worst one that does not count; one
    /// character each.
    fn cells(&mut self, verdicts: &[Judged]) -> String {
        if verdicts.is_empty() {
            return String::new();
        }
        let mut worst: Vec<[Option<Loads>; 3]> = Vec::new();
        for judged in verdicts {
            let column = self.columns.number(column_of(judged));
            if worst.len() <= column {
                worst.resize(column + 1, [None; 3]);
            }
            let found = match judged.counts() {
                true => [Some(judged.as_it_is.loads), Some(judged.fixed.loads), None],
                false => [None, None, Some(judged.as_it_is.loads)],
            };
            for (worst, found) in worst[column].iter_mut().zip(found) {
                *worst = found.max(*worst);
            }
        }
        let cell =
            |loads: Option<Loads>| loads.map_or("-".to_owned(), |loads| code(loads).to_string());
        worst.into_iter().flatten().map(cell).collect()
    }

    /// Writes the page, with what became of all inputs if there are several.
    pub fn write(&self, summary: Option<&CheckSummary>, out: &mut dyn Write) -> io::Result<()> {
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
            hash(SCRIPT),
            hash(STYLE)
        );
        let line = match summary.map(summary_line) {
            Some((start, rest)) => format!("{start}{rest}"),
            None => count(self.rows.len() as u64, "input", "inputs"),
        };
        let failure = summary.and_then(|summary| summary.end.error.as_ref());
        let failure = failure.map(|failure| escape(&failure.message));
        let select = |id: &str, label: &str| {
            html! { label { (label) select id=(id) { option value="" { "any" } } } }
        };
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    title { "ocify check: " (line) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    main {
                        h1 { "ocify check" }
                        p { (line) }
                        @if let Some(failure) = failure { p.bad role="alert" { "✗ " (failure) } }
                        noscript { p.bad { "This page needs JavaScript to show its table." } }
                        form id="filter" role="search" aria-label="Filter" {
                            label { "Name contains" input id="words" type="search" autocomplete="off"; }
                            (select("status", "Status"))
                            (select("engine", "Engine"))
                            (select("verdict", "Verdict"))
                            (select("rule", "Rule"))
                            button type="reset" { "Clear" }
                        }
                        div.matrix tabindex="0" role="region" aria-label="Inputs by engines" {
                            table id="table" {
                                caption id="found" aria-live="polite" {}
                                thead { tr id="head" { th scope="col" { "Input" } th scope="col" { "Status" } } }
                            }
                        }
                        p { button id="more" type="button" hidden { "Show more" } }
                        h2 { "What the words mean" }
                        ul.legend {
                            li { "✓ loads: as it is, under its names" }
                            @for loads in LOADS {
                                @if let Some(meaning) = meaning(loads) { li { (word(loads)) ": " (meaning) } }
                            }
                            li { "✗ no: the engine does not load it" }
                            li { "→: what the engine does after " code { "ocify fix" } }
                            li { "°: a version that its makers no longer support does not load it" }
                        }
                        p.note { "Written by ocify " (env!("CARGO_PKG_VERSION")) }
                    }
                    script id="data" type="text/json" { (PreEscaped(self.json()?)) }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        writeln!(out, "{}", page.into_string())
    }

    /// The data as JSON in which nothing is markup.
    fn json(&self) -> io::Result<String> {
        let mut rows: Vec<&(String, RowData)> = self.rows.iter().collect();
        rows.sort();
        let rows: Vec<&RowData> = rows.into_iter().map(|(_, row)| row).collect();
        let data = serde_json::json!({
            "columns": self.columns.values(),
            "rules": self.rules.values(),
            "texts": self.texts.values(),
            "reasons": self.reasons.values(),
            "verdicts": self.verdicts.values(),
            "lists": self.lists.values(),
            "rows": rows,
        });
        // All these are in strings.
        let json = serde_json::to_string(&data)?;
        Ok(json.replace('<', "\\u003c").replace('>', "\\u003e"))
    }
}

/// The place of a verdict in the list of all.
fn code(loads: Loads) -> usize {
    let place = LOADS.iter().position(|known| *known == loads);
    place.unwrap_or(LOADS.len() - 1)
}

/// The source of a script or style, for a content security policy.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn finding(found: &Finding, report: &CheckReport<'_>) -> String {
    let mut text = format!("{}: {}", found.severity.name(), escape(&found.message));
    if let Some(location) = &found.location {
        text += &format!(" ({})", with_short_digests(&escape(&location.to_string())));
    }
    if let Some(hint) = &found.hint {
        text += &format!("; hint: {}", escape(&report.wording.hint(hint)));
    }
    format!("{text} [{}]", found.rule.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_in_the_order_of_the_script() {
        let list = SCRIPT.split_once("const LOADS = [").unwrap().1;
        let list = list.split_once("];").unwrap().0;
        let names: Vec<&str> = list.split('"').skip(3).step_by(6).collect();
        assert_eq!(names, LOADS.map(word));
    }
}
