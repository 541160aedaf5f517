//! Manifests, and the fallback tags of referrers.

use serde_json::{Value, json};

use super::server::{Answer, sha256};
use super::*;

const INDEX: &str = crate::image::media_type::OCI_INDEX;

#[test]
fn manifests_are_stored_and_read() {
    let registry = Registry::start();
    let client = client(&registry);
    let repository = client.repository("app");
    let bytes = br#"{"a":1}"#;
    let digest = digest(bytes);
    assert!(repository.manifest("1.0").unwrap().is_none());
    assert_eq!(repository.has_manifest("1.0").unwrap(), None);
    for reference in ["1.0", &digest.to_string()] {
        let put = repository.put_manifest(reference, INDEX, bytes).unwrap();
        assert_eq!((put.subject, put.digest), (false, Some(digest.clone())));
        let stored = repository.manifest(reference).unwrap().unwrap();
        assert_eq!(
            (stored.digest, stored.bytes.as_slice()),
            (digest.clone(), &bytes[..])
        );
        assert_eq!(
            repository.has_manifest(reference).unwrap(),
            Some(digest.clone())
        );
    }
    let bytes = format!(r#"{{"subject":{{"digest":"{digest}"}}}}"#);
    assert!(
        !repository
            .put_manifest("2.0", INDEX, bytes.as_bytes())
            .unwrap()
            .subject
    );
    registry.stored().has_referrers = true;
    assert!(
        repository
            .put_manifest("2.0", INDEX, bytes.as_bytes())
            .unwrap()
            .subject
    );
    let own = sha256(bytes.as_bytes());
    for (referrer, is_listed) in [(own.as_str(), true), (&digest.to_string(), false)] {
        let found = repository.lists_referrer(&digest, referrer).unwrap();
        assert_eq!(found, Some(is_listed));
    }
}

#[test]
fn a_registry_that_refuses_a_manifest_is_quoted() {
    let registry = Registry::start();
    let client = client(&registry);
    let document = json!({"config": {"digest": sha256(b"x")}}).to_string();
    let error = client
        .repository("app")
        .put_manifest("1.0", "a/b", document.as_bytes())
        .unwrap_err();
    let expected = format!(
        "cannot store manifest 1.0 in {}/app: 400 Bad Request: MANIFEST_BLOB_UNKNOWN: a blob is missing",
        registry.host()
    );
    assert_eq!(
        (error.code(), error.to_string()),
        (Code::RegistryRefused, expected)
    );
}

fn descriptor(number: u32) -> Value {
    let digest = sha256(&number.to_be_bytes());
    json!({"mediaType": "a/b", "digest": digest, "size": number, "artifactType": "c/d", "annotations": {"e": "f"}})
}

fn fallback(registry: &Registry, tag: &str) -> Value {
    let key = ("app".to_owned(), tag.to_owned());
    serde_json::from_slice(&registry.stored().manifests[&key].1).unwrap()
}

#[test]
fn referrers_are_added_to_the_fallback_tag_once() {
    let registry = Registry::start();
    let client = client(&registry);
    let repository = client.repository("app");
    let subject = digest(b"subject");
    let tag = format!("sha256-{}", subject.hex());
    repository.add_referrer(&subject, &descriptor(1)).unwrap();
    let first = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(1)]});
    assert_eq!(fallback(&registry, &tag), first);
    repository.add_referrer(&subject, &descriptor(2)).unwrap();
    let puts = registry.stored().count("PUT");
    repository.add_referrer(&subject, &descriptor(1)).unwrap();
    assert_eq!(
        registry.stored().count("PUT"),
        puts,
        "nothing was to be added"
    );
    let both = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(1), descriptor(2)]});
    assert_eq!(fallback(&registry, &tag), both);
    let found = repository.lists_referrer(&subject, "sha256:00").unwrap();
    assert_eq!(found, None, "the registry has no such interface");

    // What others wrote stays as it is.
    let text = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","x":[1.0],"manifests":[{"digest":"sha256:00","y":2}],"annotations":{"z":"1"}}"#;
    let key = ("app".to_owned(), tag.clone());
    let stored = (INDEX.to_owned(), text.into());
    registry.stored().manifests.insert(key, stored);
    repository.add_referrer(&subject, &descriptor(3)).unwrap();
    let key = ("app".to_owned(), tag);
    let written = String::from_utf8(registry.stored().manifests[&key].1.clone()).unwrap();
    let added = format!(r#""y":2}},{}]"#, descriptor(3));
    assert_eq!(written, text.replace(r#""y":2}]"#, &added));
}

#[test]
fn a_registry_that_lists_a_referrer_without_saying_so_needs_no_tag() {
    let registry = Registry::start();
    let client = client(&registry);
    let repository = client.repository("app");
    let subject = digest(b"subject");
    let bytes = format!(r#"{{"subject":{{"digest":"{subject}"}}}}"#);
    let own = digest(bytes.as_bytes()).to_string();
    repository
        .put_manifest(&own, "a/b", bytes.as_bytes())
        .unwrap();
    registry.stored().has_referrers = true;
    repository
        .add_referrer(&subject, &json!({"digest": own}))
        .unwrap();
    assert_eq!(registry.stored().count("PUT"), 1);
    repository.add_referrer(&subject, &descriptor(1)).unwrap();
    assert_eq!(registry.stored().count("PUT"), 2);
}

#[test]
fn threads_that_add_referrers_lose_none() {
    let registry = Registry::start();
    let subject = digest(b"subject");
    // Two clients, as of two processes, and threads of each. The registry has conditions. The waits become long enough
    // for clients on a busy machine to let each other through.
    let mut options = options();
    options.limits.longest_wait = Duration::from_secs(1);
    let clients = [(); 2].map(|()| Client::new(&registry.host(), &options).unwrap());
    // Two clients that create the list at the same moment can lose an entry: nothing is there yet that a condition could name.
    clients[0]
        .repository("app")
        .add_referrer(&subject, &descriptor(12))
        .unwrap();
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (client, subject) = (&clients[number as usize % 2], &subject);
            scope.spawn(move || {
                client
                    .repository("app")
                    .add_referrer(subject, &descriptor(number))
                    .unwrap()
            });
        }
    });
    let index = fallback(&registry, &format!("sha256-{}", subject.hex()));
    let listed = index["manifests"].as_array().unwrap();
    for number in 0..=12 {
        assert!(listed.contains(&descriptor(number)), "{number}");
    }
    assert_eq!(listed.len(), 13);
}

#[test]
fn a_change_that_another_client_undoes_is_repeated() {
    // Without conditions; another client overwrites the first change.
    let registry = Registry::with(|request, stored| {
        let is_own = request.method == "PUT" && request.path.contains("/manifests/");
        let answer = is_own.then(|| {
            let mut plain = request.clone();
            plain.headers.retain(|(name, _)| name != "if-match");
            stored.answer(&plain)
        });
        if is_own && stored.count("PUT") == 1 {
            let other =
                json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(9)]});
            let tag = request.path.rsplit('/').next().unwrap().to_owned();
            let value = (INDEX.to_owned(), other.to_string().into_bytes());
            stored.manifests.insert(("app".to_owned(), tag), value);
        }
        answer
    });
    let client = client(&registry);
    let subject = digest(b"subject");
    client
        .repository("app")
        .add_referrer(&subject, &descriptor(1))
        .unwrap();
    let index = fallback(&registry, &format!("sha256-{}", subject.hex()));
    assert_eq!(index["manifests"], json!([descriptor(9), descriptor(1)]));
}

/// Another client writes between the reading and the writing of the list.
#[test]
fn a_change_of_another_client_is_not_overwritten() {
    let registry = Registry::with(|request, stored| {
        if request.method == "PUT" && stored.count("PUT") == 1 {
            let other =
                json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(9)]});
            let tag = request.path.rsplit('/').next().unwrap().to_owned();
            let value = (INDEX.to_owned(), other.to_string().into_bytes());
            stored.manifests.insert(("app".to_owned(), tag), value);
        }
        None
    });
    let subject = digest(b"subject");
    let tag = format!("sha256-{}", subject.hex());
    let first = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(8)]});
    let value = (INDEX.to_owned(), first.to_string().into_bytes());
    let key = ("app".to_owned(), tag.clone());
    registry.stored().manifests.insert(key, value);
    let client = client(&registry);
    let repository = client.repository("app");
    repository.add_referrer(&subject, &descriptor(1)).unwrap();
    let index = fallback(&registry, &tag);
    assert_eq!(index["manifests"], json!([descriptor(9), descriptor(1)]));
    let stored = registry.stored();
    let puts = stored.requests.iter().filter(|one| one.method == "PUT");
    assert!(puts.clone().all(|put| put.header("if-match").is_some()));
    assert_eq!(puts.count(), 2);
}

#[test]
fn a_tag_of_something_else_is_not_overwritten() {
    let subject = digest(b"subject");
    let tag = format!("sha256-{}", subject.hex());
    for text in [
        "{",
        "[]",
        r#"{"layers":[]}"#,
        r#"{"mediaType":"a/b"}"#,
        r#"{"manifests":{}}"#,
    ] {
        let registry = Registry::start();
        let value = (INDEX.to_owned(), text.as_bytes().to_vec());
        registry
            .stored()
            .manifests
            .insert(("app".to_owned(), tag.clone()), value);
        let client = client(&registry);
        let error = client
            .repository("app")
            .add_referrer(&subject, &descriptor(1))
            .unwrap_err();
        assert_eq!(error.code(), Code::RegistryRefused, "{text}");
        assert_eq!(registry.stored().count("PUT"), 0, "{text}");
    }
}

#[test]
fn pages_of_referrers_are_followed_on_the_same_host() {
    let subject = digest(b"subject");
    let page = |number: u32| {
        let index =
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(number)]});
        Answer::new(200).body(index.to_string())
    };
    let other = Registry::start();
    let elsewhere = format!("<http://{}/v2/x>; rel=next", other.host());
    for (link, expected) in [
        ("</v2/next?page=2>; rel=\"next\"", Some(true)),
        ("<?page=1>; rel=\"next\"", None),
        (elsewhere.as_str(), None),
        ("<ftp://x>; rel=next", None),
    ] {
        let link = link.to_owned();
        let registry = Registry::with(move |request, _| match request.path.as_str() {
            "/v2/next" => Some(page(2)),
            _ => Some(page(1).with("Link", link.clone())),
        });
        let client = client(&registry);
        let wanted = descriptor(2)["digest"].as_str().unwrap().to_owned();
        let listed = client.repository("app").lists_referrer(&subject, &wanted);
        match expected {
            Some(is_listed) => assert_eq!(listed.unwrap(), Some(is_listed)),
            None => assert_eq!(listed.unwrap_err().code(), Code::RegistryReply),
        }
    }
    assert!(other.stored().requests.is_empty());
}
