//! Some registries store what they got of a manifest whose request broke off, under the reference of the request. The next push
//! replaces it.

use super::{push, run, two_platforms};
use crate::common::builder::{Image, Layer, Layout, OCI_GZIP, OCI_INDEX, digest_of, named, on};
use crate::common::evidence::referrer;
use crate::common::registry::{Answer, Registry};
use crate::common::runner::Sandbox;
use crate::common::schema::parse_push;

/// An index of two images under a name, with a note about it.
fn archive(sandbox: &Sandbox) {
    let mut layout = Layout::new();
    let images = two_platforms(&mut layout);
    let app = layout.index_of(OCI_INDEX, images.to_vec());
    let note = referrer(&mut layout, "application/x-note", "note", &app);
    layout.root(vec![named(app, "example.com/app:v1"), note]);
    sandbox.put("app.tar", layout.tar());
}

#[test]
fn what_is_stored_of_a_request_that_broke_off_is_replaced() {
    for (has_head, has_referrers) in [(true, false), (true, true), (false, false)] {
        let registry = Registry::strict_with(move |request, _| {
            let is_refused = !has_head && request.method == "HEAD";
            (is_refused && request.path.contains("/manifests/")).then(|| Answer::new(405))
        });
        registry.stored().has_referrers = has_referrers;
        let sandbox = Sandbox::new();
        archive(&sandbox);
        let target = format!("{}/app", registry.host());
        push(&sandbox, &["app.tar", &target]);
        let whole = registry.stored().manifests.clone();
        let tags: Vec<_> = whole.keys().filter(|(_, tag)| !tag.contains(':')).collect();
        assert_eq!(tags.len(), if has_referrers { 1 } else { 2 }, "{tags:?}");
        // Nobody asks for a list of referrers by its digest.
        let list = whole
            .iter()
            .find(|((_, tag), _)| tag.starts_with("sha256-"));
        let list = list.map(|(_, stored)| stored);
        let asked = whole
            .iter()
            .filter(|((_, reference), stored)| !reference.contains(':') || Some(*stored) != list);
        for (key, (media_type, bytes)) in asked {
            for len in [0, bytes.len() / 2] {
                let cut = (media_type.clone(), bytes[..len].to_vec());
                registry.stored().manifests.insert(key.clone(), cut);
                push(&sandbox, &["app.tar", &target]);
                let is_whole = registry.stored().manifests == whole;
                assert!(is_whole, "{key:?}, {len} bytes");
            }
        }
        // All of them at once.
        for (_, bytes) in registry.stored().manifests.values_mut() {
            bytes.truncate(10);
        }
        push(&sandbox, &["app.tar", &target]);
        assert!(registry.stored().manifests == whole);
        registry.check_complete();
    }
}

/// It takes the manifest, and still has the other one.
#[test]
fn a_registry_that_keeps_another_manifest_under_a_digest_is_an_error() {
    let other = "sha256:".to_owned() + &"0".repeat(64);
    let stated = other.clone();
    let registry = Registry::with(move |request, stored| {
        let mut answer = stored.answer(request);
        let is_look = request.method == "HEAD" && request.path.contains("/manifests/sha256");
        if is_look && answer.status == 200 {
            answer
                .headers
                .retain(|(name, _)| name != "Docker-Content-Digest");
            answer = answer.with("Docker-Content-Digest", stated.clone());
        }
        Some(answer)
    });
    let sandbox = Sandbox::new();
    archive(&sandbox);
    let target = format!("{}/app", registry.host());
    push(&sandbox, &["app.tar", &target]);
    let run = run(&sandbox, &["app.tar", &target]).exits(1);
    let report = parse_push(&run.stdout);
    assert_eq!(report["error"]["code"], "registry-reply", "{report:#}");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains(&other), "{message}");
}

/// An absent manifest that the registry has only in part does not count as there.
#[test]
fn what_is_absent_has_to_be_whole_in_the_registry() {
    let registry = Registry::start();
    let sandbox = Sandbox::new();
    let mut layout = Layout::new();
    let image = |text| Image::oci(vec![Layer::gzip(OCI_GZIP, text)]);
    let first = on(layout.image(&image("one")), "linux", "amd64");
    let second = on(layout.image(&image("two")), "linux", "arm64");
    let app = layout.index_of(OCI_INDEX, vec![first, second.clone()]);
    layout.root(vec![named(app, "example.com/app:v1")]);
    sandbox.put("whole.tar", layout.tar());
    let target = format!("{}/app", registry.host());
    push(&sandbox, &["whole.tar", &target]);
    registry
        .stored()
        .manifests
        .retain(|(_, reference), _| reference.contains(':'));

    let second = digest_of(&second);
    let absent = second.replace(':', "/");
    layout.blobs.retain(|name, _| !name.ends_with(&absent));
    sandbox.put("part.tar", layout.tar());
    push(&sandbox, &["part.tar", &target]);
    let mut stored = registry.stored();
    let key = ("app".to_owned(), second);
    stored.manifests.get_mut(&key).unwrap().1.truncate(10);
    drop(stored);
    let run = run(&sandbox, &["part.tar", &target]).exits(1);
    let report = parse_push(&run.stdout);
    assert_eq!(report["error"]["code"], "missing-blob", "{report:#}");
}
