//! `ocify merge --index`: the indexes whose images are in the new one.

use serde_json::{Value, json};

use crate::common::builder::{Layout, OCI_INDEX, digest_of, named, on};
use crate::common::evidence::{attestation, referrer};
use crate::common::runner::Sandbox;
use crate::merge::{merged, names, of};

/// An index of one image and its attestation, with the digests of the index and of the image.
fn index(layout: &mut Layout, architecture: &str) -> (Value, Value) {
    let image = layout.image(&of(architecture));
    let note = attestation(layout, &image);
    let image = on(image, "linux", architecture);
    let index = layout.index_of(OCI_INDEX, vec![image.clone(), note]);
    (index, image)
}

fn replaced(report: &Value) -> Vec<String> {
    let changes = report["merged"]["changes"].as_array().unwrap().iter();
    let changes = changes.filter(|change| change["rule"] == "index-replaced");
    let mut digests: Vec<String> = changes
        .map(|change| change["before"].as_str().unwrap().to_owned())
        .collect();
    digests.sort();
    digests
}

#[test]
fn what_only_a_replaced_index_held_is_left_out() {
    let sandbox = Sandbox::new();
    let mut old = Vec::new();
    let mut len = 0;
    for architecture in ["amd64", "arm64"] {
        let mut layout = Layout::new();
        let (index, _) = index(&mut layout, architecture);
        len += index["size"].as_u64().unwrap();
        old.push(digest_of(&index));
        layout.root(vec![named(index, &format!("example.com/{architecture}:1"))]);
        sandbox.put(&format!("{architecture}.tar"), layout.tar());
    }
    old.sort();
    let inputs = ["amd64.tar", "arm64.tar"];
    let options = ["--index", "example.com/app:1"];
    let found = merged(&sandbox, &inputs, &options);
    assert_eq!(names(&found.facts), ["example.com/app:1"]);
    assert!(found.facts.unreferenced.is_empty());
    for digest in &old {
        assert!(found.contents.blob(digest).is_none(), "{digest}");
    }
    assert_eq!(replaced(&found.report), old);
    let dropped = json!({"blobs": 2, "bytes": len});
    assert_eq!(found.report["merged"]["dropped"], dropped);
    // A dry run says the same, and so does one for another form and with recompressed layers.
    for more in [
        &["--dry-run"][..],
        &["-o", "new.tar", "--compression", "zstd"],
    ] {
        let line = [&["merge", "--format", "json"][..], &inputs, &options, more].concat();
        let run = sandbox.ocify(&line).exits(0);
        let report = crate::common::schema::parse_merge(&run.stdout);
        assert_eq!(replaced(&report), old, "{more:?}");
        assert_eq!(report["merged"]["dropped"], dropped, "{more:?}");
    }
    let checked = crate::common::checker::check_output(&sandbox.path("new.tar"));
    assert!(checked.unreferenced.is_empty());
    // Each keeps its own index without --index.
    let both = merged(&sandbox, &inputs, &[]);
    assert_eq!(replaced(&both.report), [""; 0]);
    assert!(
        old.iter()
            .all(|digest| both.contents.blob(digest).is_some())
    );
}

#[test]
fn what_others_name_and_what_was_an_orphan_before_stays() {
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let (amd64, _) = index(&mut layout, "amd64");
    let note = referrer(&mut layout, "application/x.note", "about an index", &amd64);
    let orphan = layout.blob("text/plain", "nothing refers to this");
    layout.root(vec![
        named(amd64.clone(), "example.com/amd64:1"),
        note.clone(),
    ]);
    sandbox.put("amd64.tar", layout.tar());
    let mut layout = Layout::new();
    let (arm64, _) = index(&mut layout, "arm64");
    layout.root(vec![named(arm64.clone(), "example.com/arm64:1")]);
    sandbox.put("arm64.tar", layout.tar());
    let options = ["--index", "example.com/app:1"];
    let found = merged(&sandbox, &["amd64.tar", "arm64.tar"], &options);
    for kept in [&amd64, &note, &orphan] {
        assert!(found.contents.blob(&digest_of(kept)).is_some(), "{kept}");
    }
    assert!(found.contents.blob(&digest_of(&arm64)).is_none());
    assert_eq!(replaced(&found.report), [digest_of(&arm64)]);
}
