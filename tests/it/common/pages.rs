//! Pages of the documentation, and the code blocks in them.

use std::fs;

use super::repository;

/// The paths of the README and of all pages in `docs/`, sorted.
pub(crate) fn pages() -> Vec<String> {
    let entries = fs::read_dir(repository("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = names
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    pages.push("README.md".to_owned());
    pages.sort();
    assert!(pages.len() > 15, "{pages:?}");
    pages
}

/// The text of a file of the repository.
#[track_caller]
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Part of a page.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    /// A line outside of blocks.
    Line(&'a str),
    /// A code block, with a newline at the end of each line.
    Block { language: &'a str, text: String },
}

/// A page in parts. Blocks in lists are indented, and so are their fences.
pub(crate) fn parts(page: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            parts.push(Part::Line(line));
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text = block.iter().map(|line| format!("{line}\n")).collect();
        parts.push(Part::Block { language, text });
    }
    parts
}

/// Language and text of every code block.
pub(crate) fn blocks(page: &str) -> Vec<(&str, String)> {
    let blocks = parts(page).into_iter().filter_map(|part| match part {
        Part::Block { language, text } => Some((language, text)),
        Part::Line(_) => None,
    });
    blocks.collect()
}

/// The one block with this text in it.
#[track_caller]
pub(crate) fn block(page: &str, part: &str) -> String {
    let mut found: Vec<String> = blocks(page).into_iter().map(|(_, text)| text).collect();
    found.retain(|text| text.contains(part));
    assert_eq!(found.len(), 1, "blocks with {part}");
    found.remove(0)
}

/// The anchors of a page's headings, as GitHub and GitLab form them.
pub(crate) fn anchors(page: &str) -> Vec<String> {
    let headings = parts(page).into_iter().filter_map(|part| match part {
        Part::Line(line) if line.starts_with('#') => Some(line.trim_start_matches('#').trim()),
        _ => None,
    });
    let anchor = |heading: &str| {
        let lower = heading.to_lowercase();
        let kept = lower
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// Where the links of a page lead.
pub(crate) fn links(page: &str) -> Vec<String> {
    let lines = parts(page).into_iter().filter_map(|part| match part {
        Part::Line(line) => Some(line),
        Part::Block { .. } => None,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let ends = text.split("](").skip(1);
    ends.filter_map(|rest| rest.split(')').next())
        .map(str::to_owned)
        .collect()
}
