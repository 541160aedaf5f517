//! Registries that take blobs only in one of the ways of the specification.

use std::cell::RefCell;

use super::server::{Answer, Request};
use super::*;

const MIB: usize = 1 << 20;

fn methods(registry: &Registry) -> Vec<String> {
    let stored = registry.stored();
    let own = stored.requests.iter();
    let own = own.filter(|request| ["PUT", "PATCH"].contains(&request.method.as_str()));
    own.map(|request| request.method.clone()).collect()
}

/// The blob is there, and no upload is left open.
#[track_caller]
fn check(registry: &Registry, bytes: &[u8]) {
    let stored = registry.stored();
    let key = ("app".to_owned(), digest(bytes).to_string());
    assert_eq!(stored.blobs[&key], bytes);
    assert!(stored.uploads.is_empty());
    // The rest of a blob goes in chunks, never with the request that ends the upload.
    let mut puts = stored.requests.iter().filter(|one| one.method == "PUT");
    assert!(puts.all(|put| put.header("content-range").is_none()));
}

#[test]
fn a_registry_that_takes_only_chunks_gets_chunks() {
    let bytes = content(1_000_000);
    for status in [405, 411, 413, 415, 501] {
        let registry = Registry::with(move |request, _| {
            let is_refused = request.method == "PUT" && !request.body.is_empty();
            is_refused.then(|| Answer::error(status, "UNSUPPORTED", "send chunks"))
        });
        let client = client(&registry);
        let sent = upload(&client.repository("app"), &bytes).unwrap();
        assert_eq!(sent, bytes.len() as u64, "{status}");
        assert_eq!(methods(&registry), ["PUT", "PATCH", "PUT"], "{status}");
        check(&registry, &bytes);
        let stored = registry.stored();
        let chunk = stored.requests.iter().find(|one| one.method == "PATCH");
        assert_eq!(chunk.unwrap().header("content-range"), Some("0-999999"));
    }
}

/// Proxies limit the length of requests.
#[test]
fn chunks_become_shorter_until_they_are_accepted() {
    let registry = Registry::with(|request, _| {
        let is_too_long = request.is_of_upload() && request.body.len() > 5 * MIB;
        is_too_long.then(|| Answer::new(413))
    });
    let client = client(&registry);
    let bytes = content(12 * MIB);
    let opened = RefCell::new(Vec::new());
    let open = |offset: u64| -> Result<Box<dyn Read + Send>> {
        opened.borrow_mut().push(offset as usize / MIB);
        let mut reader = Cursor::new(bytes.clone());
        reader.set_position(offset);
        Ok(Box::new(reader))
    };
    let repository = client.repository("app");
    let len = bytes.len() as u64;
    repository
        .upload_into(None, &digest(&bytes), len, &open, &|_| (), &|| false)
        .unwrap();
    check(&registry, &bytes);
    let expected = ["PUT", "PATCH", "PATCH", "PATCH", "PATCH", "PATCH", "PUT"];
    assert_eq!(methods(&registry), expected);
    // Each chunk continues where the one before it ended: nothing is read and hashed again.
    assert_eq!(*opened.borrow(), [0, 0, 0, 0, 4, 8, 12]);
}

/// A registry may state how long they have to be, also with a reply to a chunk.
#[test]
fn chunks_are_as_long_as_the_registry_requires() {
    for (method, expected) in [("POST", [6, 6, 4]), ("PATCH", [4, 6, 6])] {
        let registry = Registry::with(move |request, stored| {
            if request.is_of_upload() && request.body.len() > 7 * MIB {
                return Some(Answer::new(413));
            }
            let is_stated = request.method == method;
            is_stated.then(|| {
                let answer = stored.answer(request);
                answer.with("OCI-Chunk-Min-Length", (6 * MIB).to_string())
            })
        });
        let client = client(&registry);
        let bytes = content(16 * MIB);
        upload(&client.repository("app"), &bytes).unwrap();
        check(&registry, &bytes);
        let stored = registry.stored();
        let chunks = stored.requests.iter().filter(|one| one.method == "PATCH");
        let lens = chunks.map(|one| one.header("content-length").unwrap().parse::<usize>());
        let lens: Vec<usize> = lens.map(|len| len.unwrap() / MIB).collect();
        assert!(lens.ends_with(&expected), "{method}: {lens:?}");
    }
}

/// Some of them end the connection instead.
#[test]
fn requests_that_break_before_anything_is_kept_become_chunks() {
    let bytes = content(100_000);
    let registry = Registry::start();
    registry.stored().cuts = vec![0, 0].into();
    let client = client(&registry);
    upload(&client.repository("app"), &bytes).unwrap();
    assert_eq!(methods(&registry), ["PUT", "PUT", "PATCH", "PUT"]);
    check(&registry, &bytes);
}

#[test]
fn an_upload_that_a_registry_does_not_continue_begins_again() {
    let bytes = content(100_000);
    for status in [400, 405, 411, 415, 416, 501] {
        let registry = Registry::with(move |request, stored| {
            let is_refused = request.method == "PATCH";
            let mut state = stored.answer(&Request {
                method: "GET".to_owned(),
                ..request.clone()
            });
            state.status = status;
            is_refused.then_some(state)
        });
        registry.stored().cuts = vec![20_000].into();
        let client = client(&registry);
        let sent = upload(&client.repository("app"), &bytes).unwrap();
        assert_eq!(sent, bytes.len() as u64, "{status}");
        assert_eq!(methods(&registry), ["PUT", "PATCH", "PUT"], "{status}");
        check(&registry, &bytes);
    }
}

#[test]
fn a_registry_that_takes_nothing_is_an_error() {
    for status in [405, 413, 501] {
        let registry = Registry::with(move |request, _| {
            request.is_of_upload().then_some(())?;
            let is_upload = ["PUT", "PATCH"].contains(&request.method.as_str());
            is_upload.then(|| Answer::error(status, "UNSUPPORTED", "no"))
        });
        let client = client(&registry);
        let error = upload(&client.repository("app"), &content(100_000)).unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert!(methods(&registry).len() <= 6, "{:?}", methods(&registry));
        assert!(registry.stored().uploads.is_empty());
    }
}
