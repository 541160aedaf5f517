//! Registries that are overloaded, broken or hostile.

use super::server::{Answer, Manner};
use super::*;

#[test]
fn passing_failures_are_repeated_and_others_are_not() {
    for (status, requests) in [
        (408, 3),
        (425, 3),
        (429, 3),
        (500, 3),
        (502, 3),
        (503, 3),
        (504, 3),
        (400, 1),
        (403, 1),
        (409, 1),
        (501, 1),
    ] {
        let registry = Registry::with(move |_, stored| {
            (stored.requests.len() < 3).then(|| Answer::new(status))
        });
        let client = client(&registry);
        let put = client.repository("app").put_manifest("1.0", "a/b", b"{}");
        assert_eq!(put.is_ok(), requests == 3, "{status}");
        assert_eq!(registry.stored().requests.len(), requests, "{status}");
    }
    let registry = Registry::with(|_, _| Some(Answer::error(503, "BUSY", "later")));
    let error = upload(&client(&registry).repository("app"), b"bytes").unwrap_err();
    assert_eq!(error.code(), Code::RegistryBusy);
    assert!(
        error
            .to_string()
            .ends_with("503 Service Unavailable: BUSY: later"),
        "{error}"
    );
    assert_eq!(registry.stored().requests.len(), 6);
}

/// Nothing is measured but that the second request does not come too early, so that other programs do not matter.
#[test]
fn the_wait_that_a_registry_asks_for_is_kept() {
    use std::time::SystemTime;
    let second = |now: SystemTime| ("1".to_owned(), now + Duration::from_secs(1));
    // A date has no fractions of seconds.
    let date = |now: SystemTime| {
        let text = httpdate::fmt_http_date(now + Duration::from_secs(2));
        let date = httpdate::parse_http_date(&text).unwrap();
        (text, date)
    };
    let nonsense = |now: SystemTime| ("x".to_owned(), now);
    let rows: [fn(SystemTime) -> (String, SystemTime); 3] = [second, date, nonsense];
    for stated in rows {
        for status in [429, 503] {
            let not_before = std::sync::Mutex::new(None);
            let registry = Registry::with(move |_, _| {
                let now = SystemTime::now();
                let mut not_before = not_before.lock().unwrap();
                if let Some(time) = *not_before {
                    let is_early = now + Duration::from_millis(50) < time;
                    return is_early.then(|| Answer::error(400, "EARLY", "not yet"));
                }
                let (value, time) = stated(now);
                *not_before = Some(time);
                Some(Answer::new(status).with("Retry-After", value))
            });
            let client = client(&registry);
            client.repository("app").has_blob(&digest(b""), 0).unwrap();
            assert_eq!(registry.stored().requests.len(), 2);
        }
    }
    // Longer than is allowed: nobody waits.
    let registry = Registry::with(|_, _| Some(Answer::new(429).with("Retry-After", "3600")));
    let error = client(&registry)
        .repository("app")
        .manifest("1.0")
        .unwrap_err();
    assert_eq!(error.code(), Code::RegistryBusy);
    assert_eq!(registry.stored().requests.len(), 1);
}

#[test]
fn a_wait_ends_when_the_run_is_stopped() {
    let registry = Registry::with(|_, _| Some(Answer::new(429).with("Retry-After", "100000")));
    let mut options = options();
    options.limits.longest_requested_wait = Duration::MAX;
    let client = Client::new(&registry.host(), &options).unwrap();
    // It is asked before the request, and again and again in the wait.
    let asked = AtomicU64::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) > 2;
    let error = client
        .repository("app")
        .stopping(&stop)
        .has_blob(&digest(b""), 0)
        .unwrap_err();
    assert_eq!(error.code(), Code::Interrupted);
    assert_eq!(registry.stored().requests.len(), 1);
}

/// Of a request, and of an upload: of its bytes, and of where it continues.
#[test]
fn garbage_and_hosts_that_cannot_be_reached_may_pass() {
    let garbage = || Answer::new(0).sent(Manner::Raw(b"garbage".to_vec()));
    let closed = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Answer::new(307).with("Location", format!("http://{address}/"))
    };
    let rows: [fn() -> Answer; 2] = [garbage, closed];
    for answer in rows {
        let registry = Registry::with(move |_, stored| (stored.requests.len() < 4).then(answer));
        let client = client(&registry);
        let put = client.repository("app").put_manifest("1.0", "a/b", b"{}");
        put.unwrap();
        assert_eq!(registry.stored().requests.len(), 4);

        let registry = Registry::with(move |request, stored| {
            let is_upload = request.method == "PUT" && stored.count("PUT") < 4;
            is_upload.then(answer)
        });
        let client = super::client(&registry);
        let bytes = content(1000);
        assert_eq!(upload(&client.repository("app"), &bytes).unwrap(), 1000);
        let stored = registry.stored();
        assert!(stored.count("PUT") + stored.count("PATCH") >= 4);
        assert!(stored.uploads.is_empty());
    }
}

#[test]
fn a_registry_that_is_too_slow_is_left() {
    for manner in [
        Manner::Silence(Duration::from_secs(100)),
        Manner::Drip(Duration::from_millis(500)),
    ] {
        let slow = manner.clone();
        let registry =
            Registry::with(move |_, _| Some(Answer::new(200).body("{}").sent(slow.clone())));
        let mut options = options().retries(0);
        options.limits.reply = Duration::from_millis(400);
        let client = Client::new(&registry.host(), &options).unwrap();
        let error = client.repository("app").manifest("1.0").unwrap_err();
        assert_eq!(error.code(), Code::RegistryUnreachable, "{manner:?}");
        assert!(
            error
                .to_string()
                .ends_with("nothing was received or sent within the time limit"),
            "{error}"
        );
    }
}

#[test]
fn a_registry_that_takes_no_more_bytes_is_left() {
    // It accepts connections and reads nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let elsewhere = host.clone();
    let registry = Registry::with(move |request, _| {
        let location = format!("http://{elsewhere}/upload");
        (request.method == "POST").then(|| Answer::new(202).with("Location", location))
    });
    let client = Client::new(&registry.host(), &options().retries(0)).unwrap();
    let bytes = content(30_000_000);
    let error = upload(&client.repository("app"), &bytes).unwrap_err();
    assert_eq!(error.code(), Code::RegistryUnreachable);
}

#[test]
fn lying_digests_are_refused() {
    let other = digest(b"other").to_string();
    let lie = other.clone();
    let registry = Registry::with(move |request, stored| {
        let mut answer = stored.answer(request);
        for (name, value) in &mut answer.headers {
            if name == "Docker-Content-Digest" {
                *value = lie.clone();
            }
        }
        Some(answer)
    });
    let client = client(&registry);
    let repository = client.repository("app");
    let own = digest(b"{}");
    {
        let mut stored = registry.stored();
        let value = ("a/b".to_owned(), b"{}".to_vec());
        stored
            .manifests
            .insert(("app".to_owned(), own.to_string()), value.clone());
        stored
            .manifests
            .insert(("app".to_owned(), "1.0".to_owned()), value);
        stored
            .blobs
            .insert(("app".to_owned(), own.to_string()), b"{}".to_vec());
    }
    let reference = own.to_string();
    for error in [
        repository.has_blob(&own, 2).map(drop).unwrap_err(),
        repository.mount(&own, "app").map(drop).unwrap_err(),
        upload(&repository, b"{}").map(drop).unwrap_err(),
        repository.manifest(&reference).map(drop).unwrap_err(),
        repository.manifest("1.0").map(drop).unwrap_err(),
        repository.confirm_manifest(&own).unwrap_err(),
        repository
            .put_manifest("1.0", "a/b", b"{}")
            .map(drop)
            .unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::RegistryReply);
        let both = [error.expected().unwrap(), error.found().unwrap()];
        assert!(
            both.contains(&reference.as_str()) && both.contains(&other.as_str()),
            "{error}"
        );
    }
    // Other bytes than the digest in the request says, and no digest in the reply.
    let registry = Registry::with(|_, _| Some(Answer::new(200).body("other")));
    let client = super::client(&registry);
    let error = client.repository("app").manifest(&reference).unwrap_err();
    assert_eq!(
        (error.code(), error.found()),
        (Code::RegistryReply, Some(&*digest(b"other").to_string()))
    );
    // A digest that its own bytes do not have, from a registry without HEAD.
    let stated = reference.clone();
    let registry = Registry::with(move |request, _| {
        let answer = Answer::new(200).with("Docker-Content-Digest", stated.clone());
        Some(match request.method.as_str() {
            "HEAD" => Answer::new(405),
            _ => answer.body("other"),
        })
    });
    let client = super::client(&registry);
    for asked in ["1.0", &reference] {
        let found = client.repository("app").manifest_digest(asked);
        assert_eq!(found.unwrap_err().code(), Code::RegistryReply, "{asked}");
    }
}

#[test]
fn long_replies_are_read_in_part() {
    let huge = "x".repeat(30_000_000);
    let body = huge.clone();
    let registry = Registry::with(move |request, _| match request.method.as_str() {
        "GET" => Some(Answer::new(200).body(body.clone())),
        _ => Some(Answer::new(400).body(body.clone())),
    });
    let client = client(&registry);
    let repository = client.repository("app");
    let error = repository.put_manifest("1.0", "a/b", b"{}").unwrap_err();
    assert_eq!(error.code(), Code::RegistryRefused);
    assert!(error.to_string().len() < 1000);
    let error = repository.manifest("1.0").unwrap_err();
    assert!(
        error.to_string().ends_with("it has more than 4 MiB"),
        "{error}"
    );
    assert!(
        repository
            .lists_referrer(&digest(b""), "sha256:00")
            .is_err()
    );
    // Bodies without an end.
    let registry = Registry::with(move |_, _| {
        Some(
            Answer::new(404)
                .with("Content-Length", "999999999999")
                .body(huge.clone()),
        )
    });
    let client = super::client(&registry);
    assert_eq!(
        client
            .repository("app")
            .manifest("1.0")
            .unwrap()
            .map(|stored| stored.digest),
        None
    );
}

#[test]
fn garbage_is_an_error_and_never_a_panic() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(20_000));
    for raw in [
        "",
        "\r\n\r\n",
        "garbage",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 99999 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 307 X\r\nLocation: \u{1}\r\n\r\n",
        "HTTP/1.1 307 X\r\nLocation: https://:0:0\r\n\r\n",
        "HTTP/1.1 307 X\r\nLocation: ftp://x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 307 X\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 X\r\nWWW-Authenticate: \u{7f}\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 202 X\r\nLocation: http://[::\r\nContent-Length: 0\r\n\r\n",
        &long,
        &many,
    ] {
        let bytes = raw.as_bytes().to_vec();
        let registry =
            Registry::with(move |_, _| Some(Answer::new(200).sent(Manner::Raw(bytes.clone()))));
        let client = Client::new(&registry.host(), &options().retries(1)).unwrap();
        let repository = client.repository("app");
        let shown: String = raw.chars().take(80).collect();
        let error = upload(&repository, b"bytes").unwrap_err();
        let message = error.message_with_causes();
        assert!(
            message.starts_with("cannot upload blob"),
            "{shown}: {message}"
        );
        assert!(
            !message.contains(|c: char| c.is_control()),
            "{shown}: {message}"
        );
        // Whatever they say, they end.
        drop(repository.manifest("1.0"));
        drop(repository.lists_referrer(&digest(b""), "sha256:00"));
    }
}

#[test]
fn redirects_end() {
    let registry =
        Registry::with(|request, _| Some(Answer::new(307).with("Location", request.path.clone())));
    let client = client(&registry);
    let repository = client.repository("app");
    for error in [
        repository.manifest("1.0").map(drop).unwrap_err(),
        upload(&repository, b"bytes").map(drop).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::RegistryReply);
        assert!(
            error.to_string().ends_with("it redirects too often"),
            "{error}"
        );
    }
    let registry = Registry::with(|request, _| match request.method.as_str() {
        "PUT" => Some(Answer::new(308).with("Location", format!("{}?x", request.path))),
        _ => None,
    });
    let error = upload(&super::client(&registry).repository("app"), b"bytes").unwrap_err();
    assert!(
        error.to_string().ends_with("it redirects too often"),
        "{error}"
    );
    assert!(
        registry.stored().uploads.is_empty(),
        "the upload was not canceled"
    );
}

#[test]
fn nothing_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let client = Client::new(&host, &options()).unwrap();
    let error = client
        .repository("app")
        .has_blob(&digest(b""), 0)
        .unwrap_err();
    assert_eq!(error.code(), Code::RegistryUnreachable);
    assert_eq!(
        error.hint(),
        Some(
            &RegistryHint::CheckRegistryHost {
                url: format!("http://{host}/v2/"),
                host,
            }
            .into()
        )
    );
}
