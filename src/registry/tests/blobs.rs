//! Blobs: looked up, mounted, sent, and sent on after failures.

use std::io;
use std::time::Instant;

use super::random::Random;
use super::server::{Answer, Manner};
use super::*;

fn key(name: &str, bytes: &[u8]) -> (String, String) {
    (name.to_owned(), digest(bytes).to_string())
}

#[test]
fn a_blob_is_sent_in_one_request() {
    let registry = Registry::start();
    let client = client(&registry);
    let repository = client.repository("team/app");
    for len in [0, 1, 5, 3_000_000] {
        let bytes = content(len);
        let digest = digest(&bytes);
        assert!(!repository.has_blob(&digest, len as u64).unwrap());
        assert_eq!(upload(&repository, &bytes).unwrap(), len as u64);
        assert!(repository.has_blob(&digest, len as u64).unwrap());
        // The same name with another length is not this blob.
        assert!(!repository.has_blob(&digest, len as u64 + 1).unwrap() || len == 0);
        assert_eq!(registry.stored().blobs[&key("team/app", &bytes)], bytes);
    }
    let stored = registry.stored();
    assert_eq!(
        ["POST", "PUT", "PATCH"].map(|method| stored.count(method)),
        [4, 4, 0]
    );
    assert_eq!(stored.received, 3_000_006);
    assert!(stored.uploads.is_empty());
}

#[test]
fn an_upload_that_is_cut_off_goes_on_where_the_registry_is() {
    let bytes = content(1_000_000);
    for cuts in [
        vec![1],
        vec![2],
        vec![999_999],
        vec![500_000, 3],
        vec![400_000, 0, 0, 0, 0, 1, 70_000],
    ] {
        let registry = Registry::start();
        registry.stored().cuts = cuts.clone().into();
        let client = client(&registry);
        let sent = upload(&client.repository("app"), &bytes).unwrap();
        assert_eq!(sent, bytes.len() as u64, "{cuts:?}");
        let stored = registry.stored();
        assert_eq!(stored.blobs[&key("app", &bytes)], bytes, "{cuts:?}");
        assert!(stored.uploads.is_empty(), "{cuts:?}");
        // `0-0` may mean one byte or none, so nothing can go on from it.
        let kept: usize = cuts.iter().sum();
        let again = if kept > 1 { 0 } else { kept as u64 };
        assert_eq!(stored.received, bytes.len() as u64 + again, "{cuts:?}");
    }
}

/// The first byte, the last ones and any between: what the registry gets is the blob.
#[test]
fn an_upload_that_is_cut_off_anywhere_is_complete() {
    let bytes = content(300_000);
    let mut random = Random(7);
    for _ in 0..60 {
        let count = random.index(7);
        let cuts: Vec<usize> = (0..count).map(|_| random.index(bytes.len() + 1)).collect();
        let registry = Registry::start();
        registry.stored().cuts = cuts.clone().into();
        let sent = upload(&client(&registry).repository("app"), &bytes);
        assert_eq!(sent.unwrap(), bytes.len() as u64, "{cuts:?}");
        let stored = registry.stored();
        assert_eq!(stored.blobs[&key("app", &bytes)], bytes, "{cuts:?}");
        assert!(stored.uploads.is_empty(), "{cuts:?}");
    }
}

#[test]
fn an_upload_ends_after_failures_without_progress() {
    let bytes = content(10_000);
    let registry = Registry::start();
    registry.stored().cuts = vec![100; 1].into_iter().chain([0; 40]).collect();
    let client = client(&registry);
    let error = upload(&client.repository("app"), &bytes).unwrap_err();
    assert_eq!(error.code(), Code::RegistryUnreachable);
    let message = format!(
        "cannot upload blob {} in {}/app: ",
        digest(&bytes),
        registry.host()
    );
    assert!(error.to_string().starts_with(&message), "{error}");
    // The first request, and five repetitions after the last progress.
    let stored = registry.stored();
    assert_eq!(stored.count("PUT") + stored.count("PATCH"), 7);
    assert!(stored.uploads.is_empty(), "the upload was not canceled");
}

#[test]
fn an_upload_whose_last_reply_is_lost_is_complete() {
    let registry = Registry::with(|request, stored| {
        if request.method != "PUT" || stored.count("PUT") > 1 {
            return None;
        }
        stored.answer(request);
        Some(Answer::new(0).sent(Manner::Silence(Duration::ZERO)))
    });
    let client = client(&registry);
    let bytes = content(1000);
    assert_eq!(upload(&client.repository("app"), &bytes).unwrap(), 1000);
    let stored = registry.stored();
    assert_eq!((stored.count("PUT"), stored.received), (1, 1000));
}

#[test]
fn ranges_that_cannot_be_right_lead_to_a_new_upload() {
    let bytes = content(50_000);
    for range in [
        "0-50000",
        "0-49999",
        "5-100",
        "x",
        "0-18446744073709551615",
        "",
        "0-0",
    ] {
        let registry = Registry::with(move |request, stored| {
            let is_state = request.method == "GET" && request.is_of_upload();
            is_state.then(|| {
                let answer = stored.answer(request);
                let headers = answer
                    .headers
                    .into_iter()
                    .filter(|(name, _)| name != "Range");
                let headers = headers.chain([("Range".to_owned(), range.to_owned())]);
                Answer {
                    headers: headers.collect(),
                    ..answer
                }
            })
        });
        registry.stored().cuts = vec![20_000].into();
        let client = client(&registry);
        assert_eq!(
            upload(&client.repository("app"), &bytes).unwrap(),
            50_000,
            "{range}"
        );
        let stored = registry.stored();
        assert_eq!(stored.blobs[&key("app", &bytes)], bytes, "{range}");
        assert!(stored.uploads.is_empty(), "{range}");
        assert_eq!(stored.count("POST"), 2, "{range}");
    }
}

/// Some registries have the state of an upload in its address.
#[test]
fn an_upload_continues_at_the_address_in_the_last_reply() {
    let registry = Registry::with(|request, stored| {
        let len = |path: &str, uploads: &std::collections::BTreeMap<String, Vec<u8>>| {
            let id = path.rsplit('/').next().unwrap_or_default();
            uploads.get(id).map_or(0, Vec::len).to_string()
        };
        let is_sent = ["PUT", "PATCH"].contains(&request.method.as_str());
        let state = request.parameter("state");
        if is_sent && state.as_ref() != Some(&len(&request.path, &stored.uploads)) {
            return Some(Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "another state"));
        }
        let mut answer = stored.answer(request);
        for (name, value) in &mut answer.headers {
            if name == "Location" {
                let path = value.split('?').next().unwrap_or_default();
                *value = format!("{path}?state={}", len(path, &stored.uploads));
            }
        }
        Some(answer)
    });
    registry.stored().cuts = vec![20_000].into();
    let bytes = content(50_000);
    upload(&client(&registry).repository("app"), &bytes).unwrap();
    let stored = registry.stored();
    assert_eq!(stored.blobs[&key("app", &bytes)], bytes);
    let counts = ["POST", "PUT", "PATCH"].map(|method| stored.count(method));
    assert_eq!(counts, [1, 2, 1]);
}

#[test]
fn an_upload_whose_state_is_not_known_is_canceled() {
    for status in [400, 405, 500] {
        let registry = Registry::with(move |request, _| {
            let is_state = request.method == "GET" && request.is_of_upload();
            is_state.then(|| Answer::error(status, "UNSUPPORTED", "not supported"))
        });
        registry.stored().cuts = vec![20_000].into();
        let bytes = content(50_000);
        let sent = upload(&client(&registry).repository("app"), &bytes).unwrap();
        let stored = registry.stored();
        assert_eq!((sent, stored.count("POST")), (50_000, 2), "{status}");
        assert!(stored.uploads.is_empty(), "{status}");
    }
}

#[test]
fn canceling_an_upload_does_not_hold_up_the_error() {
    let registry = Registry::with(|request, _| match request.method.as_str() {
        "PUT" => Some(Answer::error(403, "DENIED", "no")),
        "DELETE" => Some(Answer::new(204).sent(Manner::Silence(Duration::from_secs(60)))),
        _ => None,
    });
    let start = Instant::now();
    let mut options = options();
    options.limits.reply = Duration::from_secs(30);
    options.limits.stall = Duration::from_secs(30);
    let client = Client::new(&registry.host(), &options).unwrap();
    let error = upload(&client.repository("app"), b"bytes").unwrap_err();
    assert_eq!(error.code(), Code::RegistryDenied);
    assert_eq!(registry.stored().count("DELETE"), 1);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn chunks_without_progress_end() {
    // It accepts every chunk and states that it has what it had before.
    let registry = Registry::with(|request, stored| {
        let is_chunk = request.method == "PATCH";
        is_chunk.then(|| stored.answer(&request_of_state(request)))
    });
    registry.stored().cuts = vec![20_000].into();
    let client = client(&registry);
    let error = upload(&client.repository("app"), &content(50_000)).unwrap_err();
    assert_eq!(error.code(), Code::RegistryReply);
}

fn request_of_state(request: &server::Request) -> server::Request {
    server::Request {
        method: "PATCH".to_owned(),
        body: Vec::new(),
        ..request.clone()
    }
}

#[test]
fn bytes_with_another_digest_never_become_a_blob() {
    let registry = Registry::start();
    let client = client(&registry);
    let repository = client.repository("app");
    for len in [0, 1, 100_000] {
        let bytes = content(len);
        let wrong = digest(b"other");
        let error = upload_as(&repository, &wrong, &bytes).unwrap_err();
        assert_eq!(error.code(), Code::DigestMismatch);
        assert_eq!(error.found(), Some(&*digest(&bytes).to_string()));
    }
    let stored = registry.stored();
    assert!(stored.blobs.is_empty() && stored.uploads.is_empty());
    // The last byte was not sent, and the failure is not one that is repeated.
    assert!(stored.received < 100_001);
    assert_eq!(stored.count("POST"), 3);
}

#[test]
fn failures_of_the_input_are_its_errors() {
    let registry = Registry::start();
    let client = client(&registry);
    let repository = client.repository("app");
    struct Failing(fn() -> io::Error);
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err((self.0)())
        }
    }
    let failing = |fail: fn() -> io::Error| {
        move |_| -> Result<Box<dyn Read + Send>> { Ok(Box::new(Failing(fail))) }
    };
    let own = failing(|| io::Error::other(crate::error::Error::new(Code::NoSpace, "own")));
    let system = failing(|| io::ErrorKind::InvalidData.into());
    let short = |_| -> Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(vec![0; 9]))) };
    let closed = |_| -> Result<Box<dyn Read + Send>> {
        Err(crate::error::Error::new(Code::NotAnImage, "closed"))
    };
    let digest = digest(b"ten bytes!");
    type Open<'a> = &'a dyn Fn(u64) -> Result<Box<dyn Read + Send>>;
    let rows: [(Open<'_>, Code); 4] = [
        (&own, Code::NoSpace),
        (&system, Code::Io),
        (&short, Code::SourceChanged),
        (&closed, Code::NotAnImage),
    ];
    for (open, code) in rows {
        let error = repository
            .upload_into(None, &digest, 10, open, &|_| {}, &|| false)
            .unwrap_err();
        assert_eq!(error.code(), code);
    }
    let open = |_| -> Result<Box<dyn Read + Send>> { Ok(Box::new(io::repeat(0))) };
    let sent = AtomicU64::new(0);
    let count = |more| {
        sent.fetch_add(more, Ordering::Relaxed);
    };
    let stop = || sent.load(Ordering::Relaxed) > 0;
    let error = repository
        .upload_into(None, &digest, 1 << 40, &open, &count, &stop)
        .unwrap_err();
    assert_eq!(error.code(), Code::Interrupted);
    let stored = registry.stored();
    assert!(stored.blobs.is_empty() && stored.uploads.is_empty());
}

#[test]
fn blobs_are_mounted_from_where_they_are() {
    let registry = Registry::start();
    let client = client(&registry);
    let bytes = content(100);
    let digest = digest(&bytes);
    upload(&client.repository("base"), &bytes).unwrap();
    let repository = client.repository("app");
    assert!(matches!(
        repository.mount(&digest, "base").unwrap(),
        Mounted::Yes
    ));
    assert_eq!(registry.stored().blobs[&key("app", &bytes)], bytes);

    // Another registry opens an upload instead, which is used.
    let other = content(200);
    let Mounted::No(Some(opened)) = repository.mount(&super::digest(&other), "base").unwrap()
    else {
        panic!("it was mounted");
    };
    let posts = registry.stored().count("POST");
    let open = |_| -> Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(other.clone()))) };
    let other_digest = super::digest(&other);
    repository
        .upload_into(Some(opened), &other_digest, 200, &open, &|_| {}, &|| false)
        .unwrap();
    assert_eq!(registry.stored().count("POST"), posts);
    assert_eq!(registry.stored().blobs[&key("app", &other)], other);
}

#[test]
fn a_registry_that_does_not_mount_is_no_error() {
    for status in [400, 403, 404, 405] {
        let registry = Registry::with(move |request, _| {
            let is_mount = request.parameter("mount").is_some();
            is_mount.then(|| Answer::error(status, "UNSUPPORTED", "no mounts"))
        });
        let client = client(&registry);
        let mounted = client
            .repository("app")
            .mount(&digest(b""), "base")
            .unwrap();
        assert!(matches!(mounted, Mounted::No(None)), "{status}");
    }
}

#[test]
fn a_registry_without_head_is_asked_with_get() {
    for status in [400, 403, 405, 501] {
        let registry = Registry::with(move |request, stored| match request.method.as_str() {
            "HEAD" => Some(Answer::new(status)),
            "GET" if request.path.contains("/denied/") => {
                Some(Answer::error(403, "DENIED", "not yours"))
            }
            "GET" => {
                assert!(
                    request.header("range") == Some("bytes=0-0")
                        || request.path.contains("/manifests/")
                );
                Some(stored.answer(request))
            }
            _ => None,
        });
        let client = client(&registry);
        let repository = client.repository("app");
        // Longer than what is read of a reply.
        let bytes = content(300_000);
        let digest = digest(&bytes);
        assert!(!repository.has_blob(&digest, 300_000).unwrap());
        upload(&repository, &bytes).unwrap();
        assert!(repository.has_blob(&digest, 300_000).unwrap());
        assert_eq!(repository.manifest_digest("1.0").unwrap(), None);
        let put = repository.put_manifest("1.0", "a/b", b"{}").unwrap();
        assert_eq!(repository.manifest_digest("1.0").unwrap(), put.digest);
        let error = client
            .repository("denied")
            .has_blob(&digest, 5)
            .unwrap_err();
        assert_eq!(error.code(), Code::RegistryDenied);
        assert!(
            error
                .to_string()
                .ends_with("403 Forbidden: DENIED: not yours"),
            "{error}"
        );
    }
}
