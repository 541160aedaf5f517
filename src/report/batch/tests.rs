use super::super::samples;
use super::super::samples::{BLOBS, without_styles};
use super::*;
use crate::error::{Code, Hint};
use crate::plan::rules::Rule;
use crate::report::Neutral;
use serde_json::json;

fn item(report: Report<'_>) -> Item<'_> {
    Item {
        report,
        bytes: 4096,
        seconds: 0.123_456,
        kept: None,
        verified_again: None,
    }
}

#[test]
fn lines_for_people() {
    let (full, empty) = (samples::full(), samples::empty());
    let cosmetic = plan::Summary {
        changes: vec![samples::cosmetic_change(Rule::ArchiveForm)],
        ..samples::empty()
    };
    let error = Error::new(Code::MissingBlob, "a \x07 is missing").with_hint("export again");
    let link = Error::new(Code::LinkEntry, "a.tar is a symbolic link to b.tar")
        .with_hint(Hint::AllowLinks);
    for (report, expected) in [
        (
            Report::written("a\n.tar", "b.tar", &full, BLOBS),
            "fixed     a\\u{a}.tar: 2 kinds of changes, 6 blobs (4.0 kB), 1 finding\n",
        ),
        (
            Report::written("a.tar", "b.tar", &empty, BLOBS),
            "unchanged a.tar: nothing to fix, 6 blobs (4.0 kB)\n",
        ),
        (
            Report::dry_run("a.tar", &full),
            "would-fix a.tar: 2 kinds of changes, 1 finding\n",
        ),
        (
            Report::dry_run("a.tar", &cosmetic),
            "unchanged a.tar: nothing to fix, 1 kind of optional change\n",
        ),
        (Report::kept("a.tar", "b.tar"), ""),
        (
            Report::skipped("a.tar", &error),
            "skipped   a.tar: not an image archive\n",
        ),
        (
            Report::skipped("a.tar", &link),
            "skipped   a.tar: a symbolic link; if you trust what the link leads to, follow links\n",
        ),
        (
            Report::failed("a.tar", &error),
            "failed    a.tar: a \\u{7} is missing [missing-blob]\n",
        ),
    ] {
        let mut out = Vec::new();
        item_text(&item(report), Detail::Short, &mut out).unwrap();
        assert_eq!(without_styles(out), expected);
    }
}

#[test]
fn summaries_for_people() {
    let text = |summary: &Summary| {
        let mut out = Vec::new();
        summary_text(summary, &Neutral, Detail::Short, &mut out).unwrap();
        without_styles(out)
    };
    let mut summary = Summary::default();
    summary.end.seconds = 2.04;
    assert_eq!(text(&summary), "0 inputs in 2.0 s\n");
    for (status, times) in [
        (Status::Fixed, 1200),
        (Status::Unchanged, 3),
        (Status::Kept, 4),
        (Status::Skipped, 1),
        (Status::Failed, 2),
    ] {
        for _ in 0..times {
            let report = Report {
                status,
                ..Report::kept("a", "b")
            };
            summary.count(&Item {
                bytes: 10,
                ..item(report)
            });
        }
    }
    let link = Error::new(Code::LinkEntry, "a is a symbolic link to b");
    for _ in 0..2 {
        summary.count(&Item {
            bytes: 0,
            ..item(Report::skipped("a", &link))
        });
    }
    summary.count(&Item {
        verified_again: Some("full"),
        ..item(Report::kept("a", "b"))
    });
    summary.bytes_written = 999;
    summary.others_left = 1;
    summary.others_copied = 12;
    assert_eq!(
        text(&summary),
        "1,213 inputs in 2.0 s: 1,200 fixed, 3 with nothing to fix, 4 finished earlier, 1 finished earlier and verified again, 1 not an image archive, 2 symbolic links skipped, 2 failed; 12.0 kB read, 999 B written; 12 other files copied; 1 other file left unchanged\n"
    );
    let mut stopped = Summary {
        fixed: 1,
        unfinished: 2,
        ..Summary::default()
    };
    stopped.end.is_interrupted = true;
    assert_eq!(
        text(&stopped),
        "stopped after 1 input in 0.0 s: 1 fixed, 2 unfinished\n"
    );
}

#[test]
fn a_summary_counts_findings_and_says_how_to_see_them() {
    #[derive(Debug)]
    struct Words;
    impl Wording for Words {
        fn full_report(&self) -> Option<&'static str> {
            Some("more shows each")
        }
    }
    let (full, digests) = (samples::full(), json!([]));
    let mut summary = Summary::default();
    summary.count(&item(Report::written("a", "b", &full, BLOBS)));
    let text = |summary: &Summary, detail| {
        let mut out = Vec::new();
        summary_text(summary, &Words, detail, &mut out).unwrap();
        without_styles(out)
    };
    assert_eq!(
        text(&summary, Detail::Short),
        "1 input in 0.0 s: 1 fixed; 1 finding (more shows each); 4.0 kB read\n"
    );
    let findings = [json!({}), json!({})];
    summary.count(&Item {
        kept: Some(Kept {
            findings: &findings,
            findings_omitted: Some(3),
            ..Kept::of(&digests)
        }),
        ..item(Report::kept("c", "d"))
    });
    assert_eq!(
        text(&summary, Detail::Full),
        "2 inputs in 0.0 s: 1 fixed, 1 finished earlier; 6 findings; 4.0 kB read\n"
    );
}

#[test]
fn objects_for_programs() {
    let value = |item: &Item<'_>| serde_json::to_value(ItemData::from(item)).unwrap();
    let full = samples::full();
    let found = value(&item(Report::written("a", "b", &full, BLOBS)));
    let keys: Vec<&str> = found
        .as_object()
        .unwrap()
        .keys()
        .map(|key| &**key)
        .collect();
    assert_eq!(
        keys.join(" "),
        "version status input output severity changes findings digests images blobs dropped error type bytes seconds verified_again findings_omitted"
    );
    assert_eq!(found["type"], "item");
    assert_eq!(found["seconds"], 0.123);
    assert_eq!(found["status"], "fixed");
    assert_eq!(found["digests"], digests(&full));
    let digests = digests(&full);
    let kept = Item {
        kept: Some(Kept::of(&digests)),
        ..item(Report::kept("a", "b"))
    };
    let found = value(&kept);
    assert_eq!(
        (&found["status"], &found["digests"]),
        (&"kept".into(), &digests)
    );
    assert_eq!(found["verified_again"], Value::Null);
    let verified = Item {
        report: Report::kept("a", "b").with_blobs(BLOBS),
        verified_again: Some("digests"),
        ..kept
    };
    let found = value(&verified);
    assert_eq!(found["verified_again"], "digests");
    assert_eq!(found["blobs"]["verified"]["layers"], 3);
    let mut lines = Vec::new();
    map_lines("a.tar", &digests, &mut lines).unwrap();
    let line: Value = serde_json::from_slice(&lines).unwrap();
    assert_eq!(line["input"], "a.tar");
    assert_eq!(line["before"], samples::digest("before").to_string());
    assert_eq!(line["after"], samples::digest("after").to_string());
}

#[test]
fn numbers_and_times() {
    for (number, expected) in [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (1_234_567, "1,234,567"),
    ] {
        assert_eq!(grouped(number), expected);
    }
    for (seconds, expected) in [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.9, "59 s"),
        (61.0, "1 min 01 s"),
        (3700.0, "1 h 01 min"),
    ] {
        assert_eq!(duration(seconds), expected);
    }
}
