//! The public items of the library, as rustdoc shows them, are those of `tests/golden/public-items.txt`: the interface changes only on purpose.
//!
//! After a change that is meant:
//!
//! ```sh
//! OCIFY_WRITE_PUBLIC_ITEMS=1 cargo test --test it public_items::
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::repository;

const LIST: &str = "tests/golden/public-items.txt";

/// The text between the first `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

/// All of these texts, in order.
fn all_between<'a>(mut text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    while let Some((_, rest)) = text.split_once(start) {
        let Some((one, rest)) = rest.split_once(end) else {
            break;
        };
        found.push(one);
        text = rest;
    }
    found
}

/// What a browser shows of HTML.
fn shown(html: &str) -> String {
    let mut text = String::new();
    let mut is_tag = false;
    for c in html.chars() {
        match c {
            '<' => is_tag = true,
            '>' if is_tag => is_tag = false,
            _ if is_tag => {}
            c => text.push(c),
        }
    }
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("\u{a0}", " "),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(text, |text, (entity, c)| text.replace(entity, c))
}

fn in_one_line(html: &str) -> String {
    shown(html).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the page of one item promises.
fn item(page: &str) -> String {
    let mut text = String::new();
    let declaration = between(
        page,
        "<pre class=\"rust item-decl\"><code>",
        "</code></pre>",
    )
    .unwrap();
    // Attributes have lines of their own.
    let declaration = declaration.replace("</div>", "</div>\n");
    for line in shown(&declaration)
        .lines()
        .filter(|line| !line.trim().is_empty())
    {
        writeln!(text, "    {}", line.trim_end()).unwrap();
    }
    // A trait's methods are in its declaration.
    let own = between(
        page,
        "id=\"implementations-list\"",
        "id=\"trait-implementations",
    )
    .unwrap_or_default();
    for method in all_between(own, "<h4 class=\"code-header\">", "</h4>") {
        writeln!(text, "    {}", in_one_line(method)).unwrap();
    }
    let traits = between(
        page,
        "id=\"trait-implementations-list\"",
        "id=\"synthetic-implementations",
    )
    .unwrap_or_default();
    let traits = all_between(traits, "<h3 class=\"code-header\">", "</h3>");
    let traits: BTreeSet<String> = traits.into_iter().map(in_one_line).collect();
    // What the compiler adds to derived equality is of no use to anyone.
    for implementation in traits
        .iter()
        .filter(|text| !text.contains("StructuralPartialEq"))
    {
        writeln!(text, "    {implementation}").unwrap();
    }
    text
}

/// Documents the library, and returns where.
fn documentation() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let done = Command::new(env!("CARGO"))
        .args([
            "doc",
            "--quiet",
            "--locked",
            "--no-deps",
            "--lib",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(repository(""))
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    target.join("doc/ocify")
}

fn list() -> String {
    let folder = documentation();
    let page = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let mut list = String::new();
    let index = page("index.html");
    let other_crates = between(&index, "class=\"item-table reexports\"", "</dl>").unwrap();
    for reexport in all_between(other_crates, "<code>", "</code>") {
        writeln!(list, "{}", in_one_line(reexport)).unwrap();
    }
    for link in all_between(&page("all.html"), "<li><a href=\"", "\">") {
        // Others lead to places in the same page.
        let Some((kind, name)) = link
            .strip_suffix(".html")
            .and_then(|link| link.split_once('.'))
        else {
            continue;
        };
        writeln!(list, "\n{kind} {name}\n{}", item(&page(link)).trim_end()).unwrap();
    }
    list
}

#[test]
fn the_list_is_that_of_the_library() {
    let path = repository(LIST);
    let list = list();
    if std::env::var_os("OCIFY_WRITE_PUBLIC_ITEMS").is_some_and(|value| value == "1") {
        fs::write(path, list).unwrap();
        return;
    }
    let kept = fs::read_to_string(path).unwrap();
    let (kept, list): (Vec<&str>, Vec<&str>) = (kept.lines().collect(), list.lines().collect());
    let gone: Vec<&&str> = kept.iter().filter(|line| !list.contains(line)).collect();
    let new: Vec<&&str> = list.iter().filter(|line| !kept.contains(line)).collect();
    assert!(
        kept == list,
        "the public items differ from {LIST}\ngone: {gone:#?}\nnew: {new:#?}\nOCIFY_WRITE_PUBLIC_ITEMS=1 writes the list again"
    );
}

/// The names at the root of the library.
pub(crate) fn names() -> BTreeSet<String> {
    let list = fs::read_to_string(repository(LIST)).unwrap();
    let items = list.lines().filter(|line| !line.starts_with(' '));
    let names = items.filter_map(|line| line.trim_end_matches(';').rsplit_once(' '));
    names.map(|(_, name)| name.to_owned()).collect()
}

#[test]
fn html_becomes_text() {
    let html = "<a href=\"x\">a</a>&lt;&#39;b&amp;lt;&gt; <i>c\n  d</i>";
    assert_eq!(in_one_line(html), "a<'b&lt;> c d");
    assert_eq!(all_between("(a)(b)(", "(", ")"), ["a", "b"]);
}
