//! Manifests, and the fallback tags of referrers.

use serde_json::{Value, json};

use super::random::Random;
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
    assert_eq!(repository.manifest_digest("1.0").unwrap(), None);
    for reference in ["1.0", &digest.to_string()] {
        let put = repository.put_manifest(reference, INDEX, bytes).unwrap();
        assert_eq!((put.subject, put.digest), (false, Some(digest.clone())));
        let stored = repository.manifest(reference).unwrap().unwrap();
        assert_eq!(
            (stored.digest, stored.bytes.as_slice()),
            (digest.clone(), &bytes[..])
        );
        assert_eq!(
            repository.manifest_digest(reference).unwrap(),
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

/// Whatever a list became: it is extended and what was in it stays, or it is refused and not written.
#[test]
fn any_list_is_extended_or_left_as_it_is() {
    const BYTES: &[u8] = b"{}[]\",:0e-\\ \nntf\xff";
    let registry = Registry::start();
    let client = client(&registry);
    let repository = client.repository("app");
    let tag = digest(b"subject").referrers_tag();
    let key = ("app".to_owned(), tag.clone());
    let text = r#"{ "schemaVersion" : 2, "mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"sha256:00","x":[1.0,{"y":null}]},
        {"digest":"sha256:01"}],"annotations":{"manifests":"[]"}}"#;
    let mut random = Random(9);
    let (mut extended, mut refused) = (0, 0);
    for _ in 0..400 {
        let values = ["null", "0", "\"x\"", "{}", "[]", "[[]]", "[1,null]"];
        let (start, rest) = text.split_once(":[{").unwrap();
        let end = rest.split_once("}],").unwrap().1;
        let mut bytes = match values.get(random.index(3 * values.len())) {
            Some(value) => format!("{start}:{value},{end}").into_bytes(),
            None => text.as_bytes().to_vec(),
        };
        for _ in 0..random.index(3) {
            let at = random.index(bytes.len());
            let byte = *random.pick(BYTES).unwrap();
            match random.index(3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let stored = (INDEX.to_owned(), bytes.clone());
        registry.stored().manifests.insert(key.clone(), stored);
        let added = repository.add_listed(&tag, &descriptor(1));
        let after = registry.stored().manifests[&key].1.clone();
        if added.is_err() {
            assert_eq!(after, bytes, "{shown}");
            refused += 1;
            continue;
        }
        let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect(&shown);
        let is_cut_off = serde_json::from_slice::<Value>(&bytes).is_err_and(|error| error.is_eof());
        let empty = json!({"schemaVersion": 2, "mediaType": INDEX});
        let mut expected = if is_cut_off { empty } else { parsed(&bytes) };
        let members = expected.as_object_mut().expect(&shown);
        let listed = members.entry("manifests").or_insert(json!([]));
        // As programs in Go write an empty list.
        if listed.is_null() {
            *listed = json!([]);
        }
        listed.as_array_mut().expect(&shown).push(descriptor(1));
        assert_eq!(parsed(&after), expected, "{shown}");
        extended += 1;
    }
    assert!(extended > 50 && refused > 50, "{extended} {refused}");
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
    for number in 0..12 {
        assert!(listed.contains(&descriptor(number)), "{number}");
    }
    assert_eq!(listed.len(), 12);
}

#[test]
fn threads_of_one_client_add_referrers_one_after_the_other() {
    let registry = Registry::slow_and_unconditional();
    let (client, subject) = (client(&registry), digest(b"subject"));
    std::thread::scope(|scope| {
        for number in 0..3 {
            let (client, subject) = (&client, &subject);
            scope.spawn(move || {
                let repository = client.repository("app");
                repository.add_referrer(subject, &descriptor(number))
            });
        }
    });
    let index = fallback(&registry, &format!("sha256-{}", subject.hex()));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
    assert_eq!(registry.stored().count("PUT"), 3);
}

/// One thread stores the list of an archive, and others add what other archives list there.
#[test]
fn threads_of_one_client_create_and_extend_a_list_one_after_the_other() {
    for _ in 0..3 {
        let registry = Registry::slow_and_unconditional();
        let client = client(&registry);
        let tag = digest(b"subject").referrers_tag();
        let own = list(0).1;
        std::thread::scope(|scope| {
            for number in 0..3 {
                let (client, tag, own) = (&client, &tag, &own);
                scope.spawn(move || {
                    let repository = client.repository("app");
                    if number > 0 || !repository.create_list(tag, INDEX, own).unwrap() {
                        repository.add_listed(tag, &descriptor(number)).unwrap();
                    }
                });
            }
        });
        let index = fallback(&registry, &tag);
        assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
        // Each writing is followed by a reading before the next thread reads.
        let requests = registry.stored().requests.clone();
        let methods: Vec<&str> = requests.iter().map(|one| one.method.as_str()).collect();
        let first = methods.iter().position(|method| *method == "PUT");
        assert_eq!(first, Some(1), "{methods:?}");
        assert_eq!(registry.stored().count("PUT"), 3, "{methods:?}");
    }
}

/// What a registry does with conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conditions {
    Kept,
    Ignored,
    /// With this status.
    Refused(u16),
}

/// A list of one referrer, as the registry stores it.
fn list(number: u32) -> (String, Vec<u8>) {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(number)]});
    (INDEX.to_owned(), index.to_string().into_bytes())
}

/// A registry where another client writes a list just before or after the first writing of one.
fn raced(conditions: Conditions, is_before: bool) -> Registry {
    let other = std::sync::atomic::AtomicBool::new(false);
    Registry::with(move |request, stored| {
        let is_write = request.method == "PUT" && request.path.contains("/manifests/");
        if !is_write {
            return None;
        }
        let has_condition = ["if-match", "if-none-match"]
            .iter()
            .any(|name| request.header(name).is_some());
        if let (Conditions::Refused(status), true) = (conditions, has_condition) {
            return Some(Answer::error(status, "UNSUPPORTED", "no conditions"));
        }
        let is_first = !other.swap(true, Ordering::Relaxed);
        let tag = request.path.rsplit('/').next().unwrap().to_owned();
        let write = |stored: &mut super::server::Stored| {
            let key = ("app".to_owned(), tag.clone());
            stored.manifests.insert(key, list(9));
        };
        if is_first && is_before {
            write(stored);
        }
        let answer = match conditions {
            Conditions::Kept => stored.answer(request),
            _ => stored.answer(&request.without_conditions()),
        };
        if is_first && !is_before {
            write(stored);
        }
        Some(answer)
    })
}

/// Without conditions, the list that another client wrote before is lost, and the one that it writes after is extended.
#[test]
fn a_list_that_another_client_writes_at_the_same_time_is_not_lost() {
    use Conditions::{Ignored, Kept, Refused};
    let subject = digest(b"subject");
    let tag = format!("sha256-{}", subject.hex());
    for (conditions, is_before, is_there, expected) in [
        // It creates the list, or changes one.
        (Kept, true, false, &[9, 1][..]),
        (Kept, true, true, &[9, 1]),
        (Kept, false, false, &[9, 1]),
        (Kept, false, true, &[9, 1]),
        (Ignored, true, false, &[1]),
        (Ignored, true, true, &[8, 1]),
        (Ignored, false, false, &[9, 1]),
        (Ignored, false, true, &[9, 1]),
        (Refused(400), false, false, &[9, 1]),
        (Refused(400), false, true, &[9, 1]),
        (Refused(501), false, false, &[9, 1]),
        (Refused(501), false, true, &[9, 1]),
    ] {
        let shown = format!("{conditions:?}, before: {is_before}, there: {is_there}");
        let registry = raced(conditions, is_before);
        if is_there {
            let key = ("app".to_owned(), tag.clone());
            registry.stored().manifests.insert(key, list(8));
        }
        let client = client(&registry);
        let repository = client.repository("app");
        repository.add_referrer(&subject, &descriptor(1)).unwrap();
        let expected: Vec<Value> = expected.iter().map(|one| descriptor(*one)).collect();
        assert_eq!(
            fallback(&registry, &tag)["manifests"],
            json!(expected),
            "{shown}"
        );
        let stored = registry.stored();
        let mut puts = stored.requests.iter().filter(|one| one.method == "PUT");
        let first = puts.next().unwrap();
        let sent = ["if-match", "if-none-match"].map(|name| first.header(name).is_some());
        assert_eq!(sent, [is_there, !is_there], "{shown}");
    }
}

/// An index that the archive has a list of.
#[test]
fn a_list_is_stored_as_it_is_only_if_nothing_is_there() {
    use Conditions::{Ignored, Kept, Refused};
    for (conditions, is_before, expected) in [
        (Kept, true, false),
        (Kept, false, false),
        (Ignored, false, false),
        (Ignored, true, true),
        (Refused(400), true, true),
        (Refused(501), false, false),
    ] {
        let registry = raced(conditions, is_before);
        let client = client(&registry);
        let (media_type, bytes) = list(1);
        let created = client
            .repository("app")
            .create_list("sha256-00", &media_type, &bytes);
        assert_eq!(created.unwrap(), expected, "{conditions:?} {is_before}");
    }
    // Nobody else, and then the list of somebody else.
    let registry = Registry::start();
    let client = client(&registry);
    for (number, expected) in [(1, true), (2, false)] {
        let (media_type, bytes) = list(number);
        let created = client
            .repository("app")
            .create_list("sha256-00", &media_type, &bytes);
        assert_eq!(created.unwrap(), expected);
    }
    assert_eq!(registry.stored().count("PUT"), 1);
}

/// A proxy that compresses makes tags weak, and with these no condition holds.
#[test]
fn weak_tags_are_not_conditions() {
    let registry = Registry::with(|request, stored| {
        let condition = request.header("if-match");
        if condition.is_some_and(|tag| tag.starts_with("W/")) {
            return Some(Answer::error(412, "PRECONDITION_FAILED", "it is weak"));
        }
        let mut answer = stored.answer(request);
        let etags = answer.headers.iter_mut().filter(|(name, _)| name == "ETag");
        etags.for_each(|(_, value)| *value = format!("W/{value}"));
        Some(answer)
    });
    let client = client(&registry);
    let subject = digest(b"subject");
    for number in 1..=2 {
        let repository = client.repository("app");
        repository
            .add_referrer(&subject, &descriptor(number))
            .unwrap();
    }
    let index = fallback(&registry, &format!("sha256-{}", subject.hex()));
    assert_eq!(index["manifests"], json!([descriptor(1), descriptor(2)]));
    assert_eq!(registry.stored().count("PUT"), 2);
}

/// The repetition finds what the first request has created.
#[test]
fn a_list_whose_reply_is_lost_is_complete() {
    let registry = Registry::with(|request, stored| {
        if request.method != "PUT" || stored.count("PUT") > 1 {
            return None;
        }
        stored.answer(request);
        Some(Answer::new(0).sent(super::server::Manner::Silence(Duration::ZERO)))
    });
    let client = client(&registry);
    let subject = digest(b"subject");
    let repository = client.repository("app");
    repository.add_referrer(&subject, &descriptor(1)).unwrap();
    let index = fallback(&registry, &format!("sha256-{}", subject.hex()));
    assert_eq!(index["manifests"], json!([descriptor(1)]));
    assert_eq!(registry.stored().count("PUT"), 2);
}

#[test]
fn a_tag_of_something_else_is_not_overwritten() {
    let subject = digest(b"subject");
    let tag = format!("sha256-{}", subject.hex());
    for text in [
        "x",
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
