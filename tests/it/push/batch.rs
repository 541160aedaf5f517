//! Pushes of many inputs in one run.

use std::fs;

use serde_json::json;

use super::image;
use crate::common::builder::{Layout, named};
use crate::common::registry::{Registry, sha256};
use crate::common::runner::Sandbox;
use crate::common::schema::parse_pushes;

/// A directory with archives of these images, each under its own tag.
fn tree(sandbox: &Sandbox, texts: &[&str]) {
    fs::create_dir_all(sandbox.path("in/deep")).unwrap();
    for (number, text) in texts.iter().enumerate() {
        let folder = if number % 2 == 0 { "in" } else { "in/deep" };
        let name = format!("example.com/app:{text}");
        sandbox.put(
            &format!("{folder}/{text}.tar"),
            Layout::of(&image(text), &name).tar(),
        );
    }
}

#[test]
fn each_input_has_a_line_and_a_bad_one_does_not_stop_the_others() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    tree(&sandbox, &["one", "two", "three"]);
    let whole = sandbox.read("in/one.tar");
    sandbox.put("in/bad.tar", &whole[..whole.len() / 2]);
    sandbox.put("in/notes.txt", "notes");
    let target = format!("{}/app", registry.host());
    let run = sandbox
        .ocify(&["push", "in", &target, "--format", "json"])
        .exits(1);
    let (items, summary) = parse_pushes(&run.stdout);
    assert_eq!(items.len(), 4, "{}", run.stdout);
    assert_eq!(items["in/bad.tar"]["status"], "failed");
    let expected = json!({"total": 4, "pushed": 3, "would_push": 0, "skipped": 0, "failed": 1, "unfinished": 0});
    assert_eq!(
        (&summary["items"], &summary["others"]),
        (&expected, &json!(1))
    );
    assert!(run.stderr.contains("in/bad.tar"), "{}", run.stderr);
    assert_eq!(
        registry.tags("app").into_keys().collect::<Vec<_>>(),
        ["one", "three", "two"]
    );
    // The layer that all share is sent once.
    let log = registry.changes();
    let sent = log.iter().filter(|line| line.starts_with("BLOB")).count();
    assert_eq!(sent, 3 * 2 + 1, "{log:#?}");
    // Nor is the registry asked for it again.
    let shared = sha256(&image("one").layers[0].bytes);
    let asked = registry.stored().log();
    let asked = asked.iter().filter(|line| line.ends_with(&shared)).count();
    assert_eq!(asked, 1);
    registry.check_complete();

    // Again, nothing is sent.
    fs::remove_file(sandbox.path("in/bad.tar")).unwrap();
    let run = sandbox.ocify(&["push", "in", &target]).exits(0);
    assert_eq!(registry.changes(), [""; 0]);
    let last = run.stdout.lines().last().unwrap();
    assert!(
        last.contains(": 3 pushed; 0 B sent, 0 B mounted, "),
        "{last}"
    );
    assert!(
        run.stdout.contains(&format!("in/one.tar: {target}:one, ")),
        "{}",
        run.stdout
    );
}

#[test]
fn inputs_that_would_have_one_name_are_refused() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    for text in ["one", "two"] {
        sandbox.put(
            &format!("{text}.tar"),
            Layout::of(&image(text), "example.com/app:v1").tar(),
        );
    }
    let target = format!("{}/app", registry.host());
    let args = ["push", "one.tar", "two.tar", &target, "--format", "json"];
    let (items, _) = parse_pushes(&sandbox.ocify(&args).exits(1).stdout);
    let failed: Vec<_> = items
        .values()
        .filter(|item| item["status"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["error"]["code"], "name-taken");
    registry.check_complete();
}

#[test]
fn a_list_and_a_dry_run_of_many() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    tree(&sandbox, &["one", "two"]);
    sandbox.put("list", "in/one.tar\nin/deep/two.tar\n");
    let target = format!("{}/app", registry.host());
    let args = ["push", "--files-from", "list", &target, "--format", "json"];
    let dry = sandbox
        .ocify(&[&args[..], &["--dry-run"]].concat())
        .exits(0);
    let (items, summary) = parse_pushes(&dry.stdout);
    assert_eq!(
        (items.len(), &summary["items"]["would_push"]),
        (2, &json!(2))
    );
    assert_eq!(registry.stored().requests.len(), 0);
    let (_, summary) = parse_pushes(&sandbox.ocify(&args).exits(0).stdout);
    assert_eq!(summary["items"]["pushed"], 2);
}

#[test]
fn layouts_in_a_tree_are_pushed_under_their_own_names() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    for text in ["one", "two"] {
        let mut layout = Layout::new();
        let image = layout.image(&image(text));
        layout.root(vec![named(
            image,
            &format!("{}/{text}:v1", registry.host()),
        )]);
        layout.write_to(&sandbox.path(&format!("in/{text}")));
    }
    // A folder may have the name of a file that layouts have.
    fs::rename(sandbox.path("in/two"), sandbox.path("in/oci-layout")).unwrap();
    sandbox.ocify(&["push", "in/", "--jobs", "1"]).exits(0);
    for text in ["one", "two"] {
        assert_eq!(registry.tags(text).len(), 1);
    }
    // The second repository got what they share from the first.
    let mounts = registry
        .changes()
        .iter()
        .filter(|line| line.starts_with("MOUNT"))
        .count();
    assert_eq!(mounts, 1);
}

/// As the help says: 0 if everything can be pushed, whatever would be fixed, and 1 if something cannot.
#[test]
fn a_dry_run_of_a_tree_ends_as_the_push_would() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    tree(&sandbox, &["one", "two"]);
    sandbox.put("in/notes.txt", "notes");
    let target = format!("{}/app", registry.host());
    let dry = |target: &[&str], code: i32| {
        let args = [&["push", "in", "--dry-run", "--format", "json"], target].concat();
        let run = sandbox.ocify(&args).exits(code);
        let (items, summary) = parse_pushes(&run.stdout);
        assert_eq!(registry.stored().requests.len(), 0);
        (items, summary["items"].clone(), run.stderr)
    };
    let (items, summary, stderr) = dry(&[&target], 0);
    assert_eq!(
        (summary["would_push"].as_u64(), stderr.as_str()),
        (Some(2), "")
    );
    assert!(items.values().all(|item| item["changes"] != json!([])));

    // An archive that is cut off, and one without a name.
    let whole = sandbox.read("in/one.tar");
    sandbox.put("in/bad.tar", &whole[..whole.len() / 2]);
    let (items, summary, stderr) = dry(&[&target], 1);
    assert_eq!(
        (summary["would_push"].as_u64(), summary["failed"].as_u64()),
        (Some(2), Some(1))
    );
    assert!(items["in/bad.tar"]["error"]["code"].is_string());
    assert!(stderr.contains("in/bad.tar"), "{stderr}");
    std::fs::remove_file(sandbox.path("in/bad.tar")).unwrap();
    let mut layout = Layout::new();
    let unnamed = layout.image(&image("unnamed"));
    layout.root(vec![unnamed]);
    sandbox.put("in/unnamed.tar", layout.tar());
    let (items, ..) = dry(&[], 1);
    assert_eq!(items["in/unnamed.tar"]["error"]["code"], "name-missing");
    // With a target, it gets the tag latest.
    let (items, ..) = dry(&[&target], 0);
    let tags = &items["in/unnamed.tar"]["images"][0]["tags"];
    assert_eq!(*tags, json!(["latest"]));
}
