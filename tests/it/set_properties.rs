//! What holds for every input of `--platform`, `merge` and `split`: all platforms are everything, what is kept and what is dropped
//! are everything too, the order of inputs does not matter, and nothing changes twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::contents::Contents;
use crate::common::random::Random;
use crate::common::runner::Sandbox;
use crate::common::schema::{parse_merge, parse_report, parse_split};
use crate::common::{fixture, fixtures, recent_fixtures};
use crate::gate::shapes::shapes;
use crate::merge::merge;
use crate::split::{strings, text};
use crate::split_nested::random_nested;
use crate::split_property::random_layout;

/// Archives and layouts with images: every fixture, the shapes of the engine tests, and random ones.
fn each_input(check: impl Fn(&str, &Sandbox)) -> usize {
    let mut count = 0;
    for name in fixtures().into_iter().chain(recent_fixtures()) {
        if !name.starts_with("buildkit-cache") {
            let path = fixture(&name);
            check(path.to_str().unwrap(), &Sandbox::new());
            count += 1;
        }
    }
    let shapes = shapes().into_iter().map(|shape| shape.bytes);
    let random = (0..6).map(|seed| random_layout(&mut Random(seed + 1)).tar());
    let nested = (0..4).map(|seed| random_nested(&mut Random(seed + 1)).tar());
    for bytes in shapes.chain(random).chain(nested) {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", bytes);
        check("in.tar", &sandbox);
        count += 1;
    }
    count
}

fn blobs(path: &Path) -> BTreeSet<String> {
    Contents::read(path).digests().into_iter().collect()
}

/// The platforms of all images, once each; `None` if one is not known.
fn platforms(sandbox: &Sandbox, input: &str) -> Option<BTreeSet<String>> {
    let line = [
        "split",
        input,
        "--dry-run",
        "--by",
        "platform",
        "--format",
        "json",
    ];
    let run = sandbox.ocify(&line);
    if run.code != 0 {
        return None;
    }
    let report = parse_split(&run.stdout);
    let outputs = report["outputs"].as_array().unwrap().iter();
    let platforms = outputs.filter_map(|output| output["platforms"].as_array());
    let mut found = BTreeSet::new();
    for platforms in platforms {
        let [platform] = &platforms[..] else {
            return None;
        };
        found.insert(platform.as_str().unwrap().to_owned());
    }
    Some(found)
}

#[test]
fn all_platforms_are_everything_and_each_with_what_it_drops_is_too() {
    let several = std::cell::Cell::new(0);
    let count = each_input(|input, sandbox| {
        // What nothing refers to is kept whatever the platform, and what is absent has none.
        let all = ["--orphans", "drop", "--missing", "prune"];
        if sandbox.fix_with(input, "all.tar", &all).code != 0 {
            return;
        }
        let Some(platforms) = platforms(sandbox, input) else {
            return;
        };
        let platforms: Vec<&str> = platforms.iter().map(String::as_str).collect();
        let joined = platforms.join(",");
        if joined.is_empty() {
            return;
        }
        let line = [&all[..], &["--platform", &joined]].concat();
        sandbox.fix_with(input, "same.tar", &line).exits(0);
        assert!(
            sandbox.read("same.tar") == sandbox.read("all.tar"),
            "{input}"
        );
        let whole = blobs(&sandbox.path("all.tar"));
        if platforms.len() > 1 {
            several.set(several.get() + 1);
        }
        for platform in platforms {
            let line = [&["--platform", platform][..], &["--force"]].concat();
            let run = sandbox.fix_with("all.tar", "kept.tar", &line).exits(0);
            let kept = blobs(&sandbox.path("kept.tar"));
            let report = parse_report(&run.stdout);
            let rewritten = report["digests"].as_array().unwrap().iter();
            let rewritten: BTreeSet<String> = rewritten.map(|item| text(&item["before"])).collect();
            let gone = whole.difference(&kept);
            let gone = gone.filter(|digest| !rewritten.contains(*digest));
            let dropped = report["dropped"]["blobs"].as_u64().unwrap_or(0);
            assert_eq!(dropped, gone.count() as u64, "{input} {platform}");
            // Once more changes nothing.
            let again = sandbox.fix_with("kept.tar", "again.tar", &line).exits(0);
            assert_eq!(again.json()["status"], "unchanged", "{input} {platform}");
        }
    });
    assert!(count > 70 && several.get() > 15, "{count} {several:?}");
}

fn images(report: &Value) -> BTreeSet<String> {
    let images = report["images"].as_array().unwrap().iter();
    let facts = images.map(|image| format!("{:?} {}", strings(&image["names"]), image["digest"]));
    facts.collect()
}

#[test]
fn merging_adds_nothing_to_itself_and_does_not_depend_on_the_order() {
    let count = each_input(|input, sandbox| {
        let fixed = sandbox.fix(input, "fixed.tar");
        if fixed.code != 0 {
            return;
        }
        // One input is itself, once or twice.
        let run = merge(sandbox, &[input], "one.tar", &[]).exits(0);
        let found = images(&parse_merge(&run.stdout)["merged"]);
        assert_eq!(found, images(&fixed.json()), "{input}");
        let fixed = blobs(&sandbox.path("fixed.tar"));
        assert_eq!(blobs(&sandbox.path("one.tar")), fixed, "{input}");
        merge(sandbox, &[input, input], "twice.tar", &[]).exits(0);
        let one = sandbox.read("one.tar");
        assert!(sandbox.read("twice.tar") == one, "{input}");
        // With another, in both orders.
        let other = random_layout(&mut Random(99)).tar();
        sandbox.put("other.tar", other);
        let run = merge(sandbox, &[input, "other.tar"], "both.tar", &[]);
        let reverse = merge(sandbox, &["other.tar", input], "reverse.tar", &[]);
        assert_eq!(run.code, reverse.code, "{input}");
        if run.code != 0 {
            let error = &parse_merge(&run.stdout)["merged"]["error"]["code"];
            assert_eq!(error, "name-taken", "{input}");
            return;
        }
        let both = sandbox.read("both.tar");
        assert!(sandbox.read("reverse.tar") == both, "{input}");
        // They contain it.
        merge(sandbox, &["both.tar", input], "again.tar", &[]).exits(0);
        assert!(sandbox.read("again.tar") == both, "{input}");
        for name in [
            "one.tar",
            "twice.tar",
            "both.tar",
            "reverse.tar",
            "again.tar",
        ] {
            fs::remove_file(sandbox.path(name)).unwrap();
        }
    });
    assert!(count > 70, "{count}");
}
