//! Lists of referrers under tags made of digests: what others listed there stays.

use serde_json::{Value, json};

use super::{image, push};
use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, annotated, digest_of, named,
};
use crate::common::evidence::{referrer, referrers_tag, signature, tagged, with_sha512};
use crate::common::registry::{Registry, sha256};
use crate::common::runner::Sandbox;

fn plain() -> Image {
    Image::oci(vec![Layer::gzip(OCI_GZIP, "plain")])
}

/// The digests that a list in the registry has.
fn listed(registry: &Registry, tag: &str) -> Vec<String> {
    let list = registry.manifest("app", tag);
    let listed = list["manifests"].as_array().unwrap().iter();
    listed.map(digest_of).collect()
}

/// Another client's referrer, in the registry and in a list under this tag.
fn list_of_others(registry: &Registry, tag: &str) -> String {
    let bytes = b"{}".to_vec();
    let digest = sha256(&bytes);
    let descriptor = json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 2});
    let list = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]});
    let add = |reference: &str, media_type: &str, bytes: Vec<u8>| {
        let key = ("app".to_owned(), reference.to_owned());
        let manifests = &mut registry.stored().manifests;
        manifests.insert(key, (media_type.to_owned(), bytes));
    };
    add(&digest, OCI_MANIFEST, bytes);
    add(tag, OCI_INDEX, list.to_string().into_bytes());
    digest
}

/// An archive of an image with a note about it, and a list of the note if it `has_list`. The digest of the image.
fn archive(image: &Image, is_sha512: bool, note: &str, has_list: bool) -> (Layout, Value) {
    let mut layout = Layout::new();
    let mut app = layout.image(image);
    if is_sha512 {
        app = with_sha512(&mut layout, &app);
    }
    let note = referrer(&mut layout, "application/x-note", note, &app);
    let mut root = vec![named(app.clone(), "example.com/app:v1"), note.clone()];
    if has_list {
        let list = layout.index_of(OCI_INDEX, vec![note]);
        root.push(tagged(list, &app, ""));
    }
    layout.root(root);
    (layout, app)
}

#[test]
fn lists_are_read_extended_and_read_again() {
    let rows = [false, true].map(|is_sha512| [false, true].map(|listed| (is_sha512, listed)));
    for (is_sha512, has_list) in rows.into_iter().flatten() {
        for is_listed in [false, true] {
            let shown = format!("{is_sha512} {has_list} {is_listed}");
            let (sandbox, registry) = (Sandbox::new(), Registry::strict());
            let (layout, app) = archive(&plain(), is_sha512, "one", has_list);
            layout.write_to(&sandbox.path("one"));
            let target = format!("{}/app", registry.host());
            let tag = referrers_tag(&digest_of(&app));
            let others = is_listed.then(|| list_of_others(&registry, &tag));
            let mut expected = Vec::from_iter(others);
            let of_note = |report: &Value| {
                let mut images = report["images"].as_array().unwrap().iter();
                let note = images.find(|image| image["subject"].is_string());
                digest_of(note.unwrap())
            };
            expected.push(of_note(&push(&sandbox, &["one", &target])));
            assert_eq!(listed(&registry, &tag), expected, "{shown}");

            // The second time, the list stays as it is, and the tags are not set again.
            registry.changes();
            push(&sandbox, &["one", &target]);
            let changes = registry.changes();
            let is_tag = |line: &&String| !line.contains("sha256:");
            let tags: Vec<&String> = changes.iter().filter(is_tag).collect();
            assert_eq!(tags, [""; 0], "{shown}");

            // Another archive has another note.
            let (layout, _) = archive(&plain(), is_sha512, "other", has_list);
            layout.write_to(&sandbox.path("other"));
            expected.push(of_note(&push(&sandbox, &["other", &target])));
            assert_eq!(listed(&registry, &tag), expected, "{shown}");
            registry.check_complete();
        }
    }
}

/// Several threads send the referrers of one image, and list them.
#[test]
fn referrers_of_one_image_in_one_push_are_all_listed() {
    let (sandbox, registry) = (
        Sandbox::new(),
        Registry::slow_and_unconditional().into_strict(),
    );
    let mut layout = Layout::new();
    let app = layout.image(&plain());
    let mut root = vec![named(app.clone(), "example.com/app:v1")];
    for number in 0..8 {
        let note = format!("note {number}");
        root.push(referrer(&mut layout, "application/x-note", &note, &app));
    }
    layout.root(root);
    layout.write_to(&sandbox.path("app"));
    push(
        &sandbox,
        &["app", &format!("{}/app", registry.host()), "--jobs", "4"],
    );
    assert_eq!(listed(&registry, &referrers_tag(&digest_of(&app))).len(), 8);
    registry.check_complete();
}

/// In one run, archives of the same image have different referrers, with lists of them and without.
#[test]
fn referrers_of_one_image_in_several_archives_are_all_listed() {
    for has_list in [true, false] {
        let (sandbox, registry) = (
            Sandbox::new(),
            Registry::slow_and_unconditional().into_strict(),
        );
        let mut tag = String::new();
        for number in 0..4 {
            let note = format!("note {number}");
            let (layout, app) = archive(&plain(), false, &note, has_list && number < 3);
            layout.write_to(&sandbox.path(&format!("in/app{number}")));
            tag = referrers_tag(&digest_of(&app));
        }
        let target = format!("{}/app", registry.host());
        let run = sandbox.ocify(&["push", "in/", &target, "--jobs", "4"]);
        let run = run.exits(0);
        assert_eq!(run.stderr, "");
        assert_eq!(listed(&registry, &tag).len(), 4, "{has_list}");
        registry.check_complete();
    }
}

/// Only the reply to a request that stores it says whether the registry lists it. The list may be lost, or the registry may have been another
/// one, which listed them itself.
#[test]
fn a_referrer_that_is_there_is_listed_again() {
    for has_listed in [false, true] {
        let (sandbox, registry) = (Sandbox::new(), Registry::strict());
        registry.stored().has_referrers = has_listed;
        let (layout, app) = archive(&plain(), false, "note", false);
        layout.write_to(&sandbox.path("app"));
        let target = format!("{}/app:v1", registry.host());
        push(&sandbox, &["app", &target]);
        let tag = referrers_tag(&digest_of(&app));
        let key = ("app".to_owned(), tag.clone());
        let list = registry.stored().manifests.remove(&key);
        assert_eq!(list.is_some(), !has_listed);
        registry.stored().has_referrers = false;
        let report = push(&sandbox, &["app", &target]);
        assert_eq!(super::totals(&report)[0], 0, "it is there");
        assert_eq!(listed(&registry, &tag).len(), 1);
        registry.check_complete();
    }
}

/// Another client creates the list of an archive after ocify has looked for it, in a registry that lists referrers.
#[test]
fn a_list_that_appears_meanwhile_is_extended() {
    let (sandbox, (layout, app)) = (Sandbox::new(), archive(&plain(), false, "note", true));
    layout.write_to(&sandbox.path("app"));
    let tag = referrers_tag(&digest_of(&app));
    let path = format!("/v2/app/manifests/{tag}");
    let others = json!({"mediaType": OCI_MANIFEST, "digest": sha256(b"{}"), "size": 2});
    let list = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [others]});
    for is_listing in [false, true] {
        let (path, list) = (path.clone(), list.to_string().into_bytes());
        let registry = Registry::with(move |request, stored| {
            let requests = stored.requests.iter();
            let looks = requests.filter(|one| one.path == path && one.method != "PUT");
            // After the first request of the list was answered.
            if request.path == path && request.method == "PUT" && looks.count() <= 2 {
                let reference = path.rsplit('/').next().unwrap().to_owned();
                let key = ("app".to_owned(), reference);
                let value = (OCI_INDEX.to_owned(), list.clone());
                stored.manifests.entry(key).or_insert(value);
            }
            None
        });
        registry.stored().has_referrers = is_listing;
        push(&sandbox, &["app", &format!("{}/app", registry.host())]);
        let found = listed(&registry, &tag);
        assert_eq!(found[0], sha256(b"{}"), "{is_listing}");
    }
}

/// The tag is made of the new digest.
#[test]
fn lists_follow_a_rewritten_subject() {
    for is_sha512 in [false, true] {
        let (sandbox, registry) = (Sandbox::new(), Registry::strict());
        let (layout, app) = archive(&image("app"), is_sha512, "note", true);
        layout.write_to(&sandbox.path("app"));
        let target = format!("{}/app:v2", registry.host());
        let report = push(&sandbox, &["app", &target]);
        let images = report["images"].as_array().unwrap();
        let new = |key: &str| images.iter().find(|image| image[key] != json!(null));
        let subject = new("subject").unwrap()["subject"].as_str().unwrap();
        assert_ne!(subject, digest_of(&app));
        let tags: Vec<String> = registry.tags("app").into_keys().collect();
        assert_eq!(tags, [referrers_tag(subject), "v2".to_owned()]);
        assert_eq!(listed(&registry, &tags[0]).len(), 1);
        registry.check_complete();
    }
}

/// The list says of what it is by its tag alone, of which the archive has only half of the hash.
#[test]
fn a_list_of_a_subject_that_only_the_registry_has_is_extended() {
    for has_subject in [true, false] {
        let (sandbox, registry) = (Sandbox::new(), Registry::strict());
        let (layout, app) = archive(&plain(), true, "first", true);
        layout.write_to(&sandbox.path("app"));
        let target = format!("{}/app", registry.host());
        push(&sandbox, &["app", &target]);
        let tag = referrers_tag(&digest_of(&app));
        let before = listed(&registry, &tag);
        let mut layout = Layout::new();
        let second = match has_subject {
            true => referrer(&mut layout, "application/x-note", "second", &app),
            false => layout.image(&plain()),
        };
        let list = layout.index_of(OCI_INDEX, vec![second.clone()]);
        layout.root(vec![tagged(list, &app, "")]);
        layout.write_to(&sandbox.path("list"));
        push(&sandbox, &["list", &target]);
        let expected = [before, vec![digest_of(&second)]].concat();
        assert_eq!(listed(&registry, &tag), expected, "{has_subject}");
        registry.check_complete();
    }
}

/// cosign's layouts have no such tags; those that follow from them are valid.
#[test]
fn the_tag_of_a_signature_is_cut_too() {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let mut layout = Layout::new();
    let app = layout.image(&plain());
    let app = with_sha512(&mut layout, &app);
    let signature = signature(&mut layout, &app);
    let kind = |descriptor: Value, kind: &str| {
        let kind = format!("dev.cosignproject.cosign/{kind}");
        named(
            annotated(descriptor, &[("kind", &kind)]),
            "example.com/app:v1",
        )
    };
    layout.root(vec![kind(app.clone(), "image"), kind(signature, "sigs")]);
    layout.write_to(&sandbox.path("app"));
    push(&sandbox, &["app", &format!("{}/app", registry.host())]);
    let tags: Vec<String> = registry.tags("app").into_keys().collect();
    let signed = format!("{}.sig", referrers_tag(&digest_of(&app)));
    assert_eq!(tags, [signed, "v1".to_owned()]);
}
