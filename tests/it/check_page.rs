//! The page of `ocify check --format html`.

use std::collections::BTreeMap;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ocify::command::check::{CheckReport, HtmlPage};
use ocify::{Check, Checked, Fix, Input};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::common::advice::{are_installed, shell};
use crate::common::batch::{put, put_fixture};
use crate::common::builder::{DOCKER_ZSTD, Image, Layer, Layout};
use crate::common::fixture;
use crate::common::piped::pipe;
use crate::common::runner::{Sandbox, run};
use crate::common::schema::{parse_check, parse_checks};

const GOOD: &str = "docker26g-save.tar";
const BAD: &str = "buildkit-docker-zstd-ocifalse.tar";
const SAVED: &str = "buildkit-oci-gzip-ocitrue.tar";
const HOSTILE: &str =
    "in/<img src=x onerror=\"document.title='forged'\"><!--<script> ' \u{202e}&amp;.tar";

/// A tree with an input of each kind.
fn tree() -> Sandbox {
    let sandbox = Sandbox::new();
    put_fixture(&sandbox, "in/good.tar", GOOD);
    put_fixture(&sandbox, "in/bad.tar", BAD);
    put_fixture(&sandbox, "in/saved.tar", SAVED);
    put_fixture(&sandbox, "in/cache", "buildkit-cache-list-ocitrue");
    put_fixture(&sandbox, HOSTILE, BAD);
    put_fixture(
        &sandbox,
        "in/</script><script>document.title='forged'</script>.tar",
        BAD,
    );
    let cut = fs::read(fixture(GOOD)).unwrap();
    put(&sandbox, "in/cut.tar", &cut[..cut.len() / 2]);
    std::os::unix::fs::symlink("good.tar", sandbox.path("in/link.tar")).unwrap();
    sandbox
}

/// The page of a check.
#[track_caller]
fn page(sandbox: &Sandbox, line: &[&str], code: i32) -> String {
    let mut command = sandbox.command();
    command.args(["check", "--format", "html"]).args(line);
    let run = run(&mut command).exits(code);
    run.stdout
}

/// What is between the first of these and what follows it.
#[track_caller]
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end}")).0
}

fn data(page: &str) -> Value {
    let json = between(page, "<script id=\"data\" type=\"text/json\">", "</script>");
    serde_json::from_str(json).unwrap()
}

/// Checks that elements are closed in order, that nothing is loaded, and that only its own script and style may be used.
#[track_caller]
fn is_self_contained(page: &str) {
    const VOID: [&str; 3] = ["meta", "input", "br"];
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    let mut open = Vec::new();
    while let Some((text, tag)) = rest.split_once('<') {
        assert!(!text.contains('>'), "{text}");
        let (tag, after) = tag.split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let name = tag.split(' ').next().unwrap();
        for attribute in [" src=", " href=", " style=", " on", " action="] {
            assert!(!tag.contains(attribute), "{tag}");
        }
        if name == "script" || name == "style" {
            let (raw, after) = rest.split_once(&format!("</{name}>")).unwrap();
            assert!(!raw.contains("<!--") && !raw.contains("</script"), "{name}");
            rest = after;
        } else if !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert_eq!((open.as_slice(), rest), (&[][..], "\n"));
    for outside in ["http:", "https:", "url(", "@import", "innerHTML", "eval("] {
        let own = page.replace(between(page, "type=\"text/json\">", "</script>"), "");
        assert!(!own.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<script").count(), 2);
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
        hash(between(page, "<script>", "</script>")),
        hash(between(page, "<style>", "</style>"))
    );
    let meta = "<meta http-equiv=\"Content-Security-Policy\" content=\"";
    assert_eq!(between(page, meta, "\""), policy);
}

#[test]
fn a_page_is_self_contained_and_escaped() {
    let sandbox = tree();
    let many = page(&sandbox, &["in"], 1);
    is_self_contained(&many);
    let texts = data(&many)["texts"].to_string();
    assert!(texts.contains(r"\\u{202e}&amp;.tar"), "{texts}");
    assert_eq!(data(&many)["rows"].as_array().unwrap().len(), 8);
    for (input, code) in [
        ("in/good.tar", 0),
        (HOSTILE, 0),
        ("in/cut.tar", 1),
        ("in/cache", 0),
    ] {
        let one = page(&sandbox, &[input], code);
        is_self_contained(&one);
        assert_eq!(data(&one)["rows"].as_array().unwrap().len(), 1);
    }
    let mut command = sandbox.command();
    command.args(["check", "-", "--format", "html"]);
    let piped = pipe(&mut command, &fs::read(fixture(GOOD)).unwrap()).exits(0);
    let piped = String::from_utf8(piped.out).unwrap();
    is_self_contained(&piped);
    assert!(
        data(&piped)["texts"]
            .to_string()
            .contains("\"standard input\"")
    );
}

/// For each input its status, and for each column the worst verdict that counts before and after a fix, and the worst of
/// the others, as the JSON report has them.
fn expected(report: &Value) -> (String, BTreeMap<String, [String; 3]>) {
    const ORDER: [&str; 6] = ["yes", "untagged", "choose", "unknown", "partly", "no"];
    let code = |value: &Value| ORDER.iter().position(|name| value == name).unwrap();
    let mut columns: BTreeMap<String, [Option<usize>; 3]> = BTreeMap::new();
    for verdict in report["verdicts"].as_array().unwrap() {
        let engine = verdict["engine"].as_str().unwrap();
        let reader = match verdict["store"].as_str() {
            Some(store) => format!("{engine}/{store}"),
            None => engine.to_owned(),
        };
        let column = verdict["asked"].as_str().map_or(reader, str::to_owned);
        let worst = columns.entry(column).or_default();
        let (before, after) = (code(&verdict["loads"]), code(&verdict["after"]["loads"]));
        if verdict["supported"] == true || verdict["asked"].is_string() {
            worst[0] = worst[0].max(Some(before));
            worst[1] = worst[1].max(Some(after));
        } else {
            worst[2] = worst[2].max(Some(before));
        }
    }
    let text = |worst: Option<usize>| worst.map_or("-".to_owned(), |code| code.to_string());
    let columns = columns.into_iter();
    let columns = columns.map(|(column, worst)| (column, worst.map(text)));
    (
        report["status"].as_str().unwrap().to_owned(),
        columns.collect(),
    )
}

#[test]
fn the_table_has_what_the_json_report_has() {
    const STATUS: [&str; 4] = ["passed", "skipped", "rejected", "failed"];
    let sandbox = tree();
    let engines = [
        "--for",
        "containerd@1.6.24",
        "--for",
        "docker@26.1",
        "--for",
        "podman",
    ];
    for more in [&[][..], &engines] {
        let line = [&["in"], more].concat();
        let page = data(&page(&sandbox, &line, 1));
        let mut command = sandbox.command();
        command.args(["check", "--format", "json"]).args(&line);
        let (items, _) = parse_checks(&run(&mut command).exits(1).stdout);
        let text = |number: &Value| {
            let text = page["texts"][number.as_u64().unwrap() as usize].as_str();
            text.unwrap().to_owned()
        };
        let columns: Vec<&str> = page["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        assert_eq!(
            columns.len(),
            if more.is_empty() { 8 } else { 3 },
            "{columns:?}"
        );
        let mut found = Vec::new();
        for row in page["rows"].as_array().unwrap() {
            let status = STATUS[row[1].as_u64().unwrap() as usize];
            let cells: Vec<char> = row[3].as_str().unwrap().chars().collect();
            let cells = columns.iter().zip(cells.chunks(3));
            let cells = cells.map(|(column, cell)| {
                (
                    (*column).to_owned(),
                    [0, 1, 2].map(|at: usize| cell[at].to_string()),
                )
            });
            found.push((
                text(&row[0]),
                (status.to_owned(), cells.collect::<BTreeMap<_, _>>()),
            ));
        }
        let shown = |input: &String| input.replace('\u{202e}', "\\u{202e}");
        let expected: Vec<_> = items
            .iter()
            .map(|(input, item)| (shown(input), expected(item)))
            .collect();
        let mut sorted = expected.clone();
        sorted.sort();
        assert_eq!(found, sorted, "{more:?}");
    }
    // A command that helps is that of a check of the input alone, into a directory.
    let page = data(&page(&sandbox, &["in", "--for", "containerd@1.6.24"], 1));
    let commands = page["texts"].to_string();
    assert!(
        commands.contains("\"ocify fix in/bad.tar -o fixed/\""),
        "{commands}"
    );
    let alone = sandbox.ocify(&[
        "check",
        "in/bad.tar",
        "--format",
        "json",
        "--for",
        "containerd@1.6.24",
    ]);
    let alone = parse_check(&alone.exits(3).stdout);
    let reason = &alone["verdicts"][0]["because"][0];
    let rule = [&reason["rule"], &reason["message"]];
    assert!(
        page["rules"]
            .as_array()
            .unwrap()
            .iter()
            .any(|known| [&known[0], &known[1]] == rule)
    );
}

/// An archive with a reason that names one of its digests.
fn archive(number: usize) -> Checked {
    let name = format!("registry.example.com/team/service-{number}:2026.11.{number}");
    let image = Image::docker(vec![
        Layer::zstd(DOCKER_ZSTD, &format!("layer {number}")),
        Layer::zstd(DOCKER_ZSTD, &format!("other layer {number}")),
    ]);
    let mut layout = Layout::of(&image, &name);
    let manifest = layout.manifest(&image);
    layout.docker(&manifest, &[&name]);
    let sandbox = Sandbox::new();
    let path = sandbox.put("in.tar", layout.tar());
    Check::new(Fix::new())
        .run(Input::open(path).unwrap())
        .unwrap()
}

fn page_of(archives: &[Checked], rows: usize) -> String {
    let mut page = HtmlPage::default();
    for number in 0..rows {
        let input = format!(
            "images/team-{}/service-{number}-linux-amd64.tar",
            number % 100
        );
        let fix = format!("ocify fix {input} -o fixed/");
        let checked = &archives[number % archives.len()];
        let mut report = CheckReport::new(&input, checked);
        report.fix = Some(&fix);
        page.add(&report);
    }
    let mut out = Vec::new();
    page.write(None, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const MAX_LEN: usize = 5_000_000;

#[test]
fn a_page_of_ten_thousand_archives_is_small() {
    const DISTINCT: usize = 100;
    let archives: Vec<Checked> = (0..DISTINCT).map(archive).collect();
    // All of them differ: as many times what each adds.
    let one = page_of(&archives, 1).len();
    let each = (page_of(&archives, DISTINCT).len() - one).div_ceil(DISTINCT - 1);
    assert!(one < 40_000, "{one}");
    assert!(one + 10_000 * each < MAX_LEN, "{each} bytes each");
    let page = page_of(&archives, 10_000);
    assert!(page.len() < MAX_LEN, "{}", page.len());
    assert_eq!(data(&page)["rows"].as_array().unwrap().len(), 10_000);
}

/// Runs the page in a browser, with a script that uses it, whose last expression is shown. `None` if there is no browser.
fn browsed(page: &str, script: &str) -> Option<String> {
    if !are_installed(&["chromium", "timeout"]) {
        return None;
    }
    let sandbox = Sandbox::new();
    let probe = format!(
        "const result = (() => {{ {script} }})(); document.body.replaceChildren(`result[${{result}}]`);"
    );
    let hash = STANDARD.encode(Sha256::digest(&probe));
    let page = page.replacen("script-src ", &format!("script-src 'sha256-{hash}' "), 1);
    let page = page.replacen("</body>", &format!("<script>{probe}</script></body>"), 1);
    sandbox.put("page.html", page);
    let line = "timeout 50 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --user-data-dir=\"$PWD/profile\" \
        --dump-dom \"file://$PWD/page.html\" 2>/dev/null";
    shell(&sandbox, line).exits(0);
    let shown = String::from_utf8(sandbox.read("piped.tar")).unwrap();
    Some(between(&shown, "result[", "]").to_owned())
}

#[test]
fn a_browser_shows_names_as_text_and_filters() {
    let sandbox = tree();
    let page = page(
        &sandbox,
        &["in", "--for", "containerd@1.6.24", "--for", "docker"],
        1,
    );
    let script = r#"
        const seen = [];
        const count = () => seen.push(document.querySelectorAll("tbody tr").length);
        const set = (id, value) => {
            const field = document.getElementById(id);
            const options = [...(field.options || [])];
            field.value = options.length ? options.find((option) => option.text === value).value : value;
            field.dispatchEvent(new Event("input", { bubbles: true }));
            count();
        };
        count();
        set("verdict", "no"); set("engine", "docker"); set("engine", "containerd@1.6.24"); set("rule", "layer-type");
        set("rule", "any"); set("engine", "any"); set("verdict", "any"); set("status", "failed"); set("status", "any");
        set("words", "BAD");
        const button = document.querySelector("tbody button");
        button.click();
        const details = document.querySelector(".details").textContent;
        seen.push(button.getAttribute("aria-expanded"), details.includes("ocify fix in/bad.tar -o fixed/"), details.includes("no processor for media-type"));
        button.click();
        set("words", "<img");
        seen.push(document.querySelectorAll("img").length, document.title.startsWith("ocify check: 8 inputs"));
        return seen.join(" ");
    "#;
    let Some(result) = browsed(&page, script) else {
        return;
    };
    // All; "no" somewhere, in docker, in containerd, there because of the rule; and so on.
    assert_eq!(result, "8 4 1 3 3 3 4 8 1 8 1 true true true 1 0 true");
}

/// A busy machine may need several attempts.
#[test]
fn a_browser_is_ready_for_ten_thousand_archives_within_a_second() {
    let archives: Vec<Checked> = (0..20).map(archive).collect();
    let page = page_of(&archives, 10_000);
    // Since the page began to load, and how long a filter takes.
    let script = r#"
        const ready = performance.now();
        document.getElementById("words").value = "service-9";
        document.getElementById("filter").dispatchEvent(new Event("input"));
        return [Math.round(ready), Math.round(performance.now() - ready), document.getElementById("found").textContent].join(" ");
    "#;
    let mut results = Vec::new();
    for _ in 0..5 {
        let Some(result) = browsed(&page, script) else {
            return;
        };
        let mut parts = result.splitn(3, ' ');
        let mut time = || parts.next().unwrap().parse::<u64>().unwrap();
        let (ready, filtered) = (time(), time());
        assert_eq!(
            parts.next().unwrap(),
            "1111 of 10000 inputs, the first 250 shown"
        );
        results.push(result);
        if ready < 1000 && filtered < 500 {
            return;
        }
    }
    panic!("{results:?}");
}

/// What a browser has to show does not grow with the number of archives.
#[test]
fn a_browser_shows_as_many_elements_for_ten_thousand_archives_as_for_three() {
    let archives: Vec<Checked> = (0..20).map(archive).collect();
    // With everything, and with a filter that many match.
    let script = r#"
        const before = document.getElementsByTagName("*").length;
        document.getElementById("words").value = "service-1";
        document.getElementById("filter").dispatchEvent(new Event("input"));
        const after = document.getElementsByTagName("*").length;
        return [before, after, document.getElementById("found").textContent].join("; ");
    "#;
    let shown = |count| browsed(&page_of(&archives, count), script);
    let (Some(fewer), Some(many)) = (shown(3_000), shown(10_000)) else {
        return;
    };
    let elements = |result: &str| -> Vec<u64> {
        let counts = result.splitn(3, "; ").take(2);
        counts.map(|count| count.parse().unwrap()).collect()
    };
    assert_eq!(elements(&fewer), elements(&many));
    let found = many.splitn(3, "; ").nth(2).unwrap();
    assert_eq!(found, "1111 of 10000 inputs, the first 250 shown");
}
