//! Challenges, tokens, and where credentials go.

use std::sync::Arc;
use std::sync::Mutex;

use serde_json::json;

use super::server::{self, Answer, Request};
use super::*;

const BASIC: &str = "Basic bWU6aHVudGVyMg==";

fn with_login(registry: &Registry) -> Client {
    let options = options().login("me", Secret::new("hunter2"));
    Client::new(&registry.host(), &options).unwrap()
}

/// A registry that wants this in every request.
fn protected(challenge: String, expected: &'static str) -> Registry {
    Registry::with(move |request, _| {
        let is_right = request.header("authorization") == Some(expected);
        let body = Answer::error(401, "UNAUTHORIZED", "authentication required");
        (!is_right).then(|| body.with("WWW-Authenticate", challenge.clone()))
    })
}

#[test]
fn a_password_is_sent_when_it_is_asked_for() {
    let registry = protected("Basic realm=\"x\"".to_owned(), BASIC);
    let client = with_login(&registry);
    let repository = client.repository("app");
    upload(&repository, b"bytes").unwrap();
    repository.put_manifest("1.0", "a/b", b"{}").unwrap();
    let stored = registry.stored();
    let sent: Vec<bool> = stored
        .requests
        .iter()
        .map(|request| request.header("authorization").is_some())
        .collect();
    assert_eq!(sent, [false, true, true, true]);
}

/// Some registries make a challenge only at the address that docker asks first.
#[test]
fn a_challenge_is_looked_for_where_docker_asks_first() {
    let registry = Registry::with(|request, _| {
        let is_right = request.header("authorization") == Some(BASIC);
        let refused = Answer::new(401);
        (!is_right).then(|| match request.path.as_str() {
            "/v2/" => refused.with("WWW-Authenticate", "Basic realm=x"),
            _ => refused,
        })
    });
    let authorized = with_login(&registry);
    upload(&authorized.repository("app"), b"bytes").unwrap();
    let asked = |stored: &server::Stored| {
        let log = stored.log();
        log.iter().filter(|line| *line == "GET /v2/").count()
    };
    assert_eq!(asked(&registry.stored()), 1);
    // Without a challenge there, nothing is sent.
    let silent = Registry::with(|_, _| Some(Answer::new(401)));
    let error = upload(&with_login(&silent).repository("app"), b"bytes").unwrap_err();
    assert_eq!(error.code(), Code::RegistryUnauthorized);
    let stored = silent.stored();
    let mut sent = stored
        .requests
        .iter()
        .map(|request| request.header("authorization"));
    assert!(sent.all(|sent| sent.is_none()));
}

#[test]
fn missing_and_wrong_credentials_are_errors_that_say_how_to_log_in() {
    let registry = protected("Basic realm=\"x\"".to_owned(), "Basic other");
    let host = registry.host();
    for client in [client(&registry), with_login(&registry)] {
        let repository = client.repository("app");
        let digest = digest(b"bytes");
        for error in [
            repository.has_blob(&digest, 5).map(drop).unwrap_err(),
            upload(&repository, b"bytes").map(drop).unwrap_err(),
            repository
                .put_manifest("1.0", "a/b", b"{}")
                .map(drop)
                .unwrap_err(),
            repository.manifest_digest("1.0").map(drop).unwrap_err(),
        ] {
            assert_eq!(error.code(), Code::RegistryUnauthorized, "{error}");
            assert_eq!(
                error.hint(),
                Some(&RegistryHint::LogIn(host.clone()).into())
            );
            let all = format!("{error:?} {}", error.message_with_causes());
            assert!(!all.contains("hunter2") && !all.contains("bWU6"), "{all}");
        }
    }
}

/// A token server whose tokens are numbered, and the registry that accepts the ones in `valid`.
struct WithTokens {
    registry: Registry,
    server: Registry,
    valid: Arc<Mutex<Vec<String>>>,
}

fn with_tokens(life: u64) -> WithTokens {
    let valid = Arc::new(Mutex::new(Vec::<String>::new()));
    let own = Arc::clone(&valid);
    let server = Registry::with(move |request, stored| {
        let is_form = request.method == "POST";
        let is_right = match is_form {
            true => String::from_utf8(request.body.clone())
                .unwrap()
                .ends_with("refresh_token=refresh%3D"),
            false => request
                .header("authorization")
                .is_none_or(|value| value == BASIC),
        };
        if !is_right {
            return Some(Answer::new(401).body(r#"{"details":"incorrect username or password"}"#));
        }
        let token = format!("token{}", stored.requests.len());
        own.lock().unwrap().push(token.clone());
        Some(Answer::new(200).body(json!({"token": token, "expires_in": life}).to_string()))
    });
    let own = Arc::clone(&valid);
    let realm = format!("http://{}/token", server.host());
    let registry = Registry::with(move |request, _| {
        let token = request
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let is_valid =
            token.is_some_and(|token| own.lock().unwrap().iter().any(|one| one == token));
        let challenge = format!(
            "Bearer realm=\"{realm}\",service=\"the registry\",scope=\"repository:app:pull\""
        );
        (!is_valid).then(|| Answer::new(401).with("WWW-Authenticate", challenge))
    });
    WithTokens {
        registry,
        server,
        valid,
    }
}

#[test]
fn a_token_is_fetched_once_for_each_scope_and_renewed_when_it_is_refused() {
    let WithTokens {
        registry,
        server,
        valid,
    } = with_tokens(3600);
    let client = with_login(&registry);
    let repository = client.repository("team/app");
    upload(&repository, b"bytes").unwrap();
    upload(&repository, b"more").unwrap();
    let request = |number: usize| -> Request { server.stored().requests[number].clone() };
    assert_eq!(server.stored().requests.len(), 1);
    assert_eq!(
        request(0).parameter("scope").as_deref(),
        Some("repository:team/app:pull,push")
    );
    assert_eq!(
        request(0).parameter("service").as_deref(),
        Some("the registry")
    );
    assert_eq!(request(0).header("authorization"), Some(BASIC));

    repository.mount(&digest(b"none"), "base").unwrap();
    assert_eq!(request(1).query.matches("scope=").count(), 2);
    assert!(request(1).query.contains("scope=repository:base:pull"));

    valid.lock().unwrap().clear();
    upload(&repository, b"even more").unwrap();
    assert_eq!(server.stored().requests.len(), 3);
    // Refused in the middle of an upload.
    let bytes = content(100_000);
    registry.stored().cuts = vec![50_000].into();
    let cleared = AtomicU64::new(0);
    let open = |offset: u64| -> Result<Box<dyn Read + Send>> {
        if cleared.fetch_add(1, Ordering::Relaxed) == 0 {
            valid.lock().unwrap().clear();
        }
        Ok(Box::new(Cursor::new(bytes[offset as usize..].to_vec())))
    };
    repository
        .upload_into(None, &digest(&bytes), 100_000, &open, &|_| {}, &|| false)
        .unwrap();
    assert_eq!(server.stored().requests.len(), 4);
    // No token went to the token server, and no password to the registry.
    let stored = registry.stored();
    assert!(
        stored
            .requests
            .iter()
            .all(|request| request.header("authorization") != Some(BASIC))
    );
}

#[test]
fn a_token_that_has_expired_is_not_sent() {
    let WithTokens {
        registry, server, ..
    } = with_tokens(0);
    let client = with_login(&registry);
    let repository = client.repository("app");
    for count in 1..4 {
        repository.has_blob(&digest(b""), 0).unwrap();
        assert_eq!(server.stored().requests.len(), count);
    }
    let refused = registry
        .stored()
        .requests
        .iter()
        .filter(|request| request.header("authorization").is_none())
        .count();
    assert_eq!(refused, 1);
}

#[test]
fn anonymous_tokens_and_refresh_tokens_are_used() {
    let WithTokens {
        registry, server, ..
    } = with_tokens(60);
    client(&registry)
        .repository("app")
        .has_blob(&digest(b""), 0)
        .unwrap();
    assert_eq!(server.stored().requests[0].header("authorization"), None);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.json");
    let file = json!({"auths": {registry.host(): {"identitytoken": "refresh="}}});
    std::fs::write(&path, file.to_string()).unwrap();
    let client = Client::new(&registry.host(), &options().authfile(&path)).unwrap();
    client.repository("app").has_blob(&digest(b""), 0).unwrap();
    let stored = server.stored();
    assert_eq!(
        (
            stored.requests[1].method.as_str(),
            stored.requests[1].query.as_str()
        ),
        ("POST", "")
    );
}

#[test]
fn the_token_servers_words_are_in_the_error() {
    let WithTokens {
        registry,
        server: _server,
        ..
    } = with_tokens(60);
    let options = options().login("me", Secret::new("wrong"));
    let client = Client::new(&registry.host(), &options).unwrap();
    let error = client
        .repository("app")
        .has_blob(&digest(b""), 0)
        .unwrap_err();
    assert_eq!(error.code(), Code::RegistryUnauthorized);
    assert!(
        error
            .to_string()
            .ends_with("401 Unauthorized: incorrect username or password"),
        "{error}"
    );
    // A mount is only tried.
    let mounted = client
        .repository("app")
        .mount(&digest(b""), "base")
        .unwrap();
    assert!(matches!(mounted, Mounted::No(None)));
}

/// Some hosts, such as servers for debugging, put the headers that they get into their replies.
#[test]
fn secrets_that_a_host_repeats_are_not_shown() {
    let echo = |request: &Request| {
        let sent = request.header("authorization").unwrap_or_default();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let password = if sent.starts_with("Basic") {
            "hunter2"
        } else {
            ""
        };
        let message = format!("got {sent} {body} {password}");
        Answer::error(403, "DENIED", &message)
    };
    let file = |registry: &Registry, entry: serde_json::Value| {
        let file = json!({"auths": {registry.host(): entry}});
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file.to_string()).unwrap();
        path
    };
    let refused = |registry: &Registry, options: &RegistryOptions| {
        let client = Client::new(&registry.host(), options).unwrap();
        let error = client.repository("app").manifest("1.0").unwrap_err();
        let text = format!("{error:?} {}", error.message_with_causes());
        assert!(text.contains("got"), "{text}");
        for secret in ["hunter2", "bWU6aHVudGVyMg", "refreshing", "token-of-me"] {
            assert!(!text.contains(secret), "{text}");
        }
    };
    let asks = |challenge: String| {
        move |request: &Request| {
            let is_asked = request.header("authorization").is_none();
            let asked = Answer::new(401).with("WWW-Authenticate", challenge.clone());
            Some(if is_asked { asked } else { echo(request) })
        }
    };
    let basic = asks("Basic realm=x".to_owned());
    let registry = Registry::with(move |request, _| basic(request));
    refused(&registry, &options().login("me", Secret::new("hunter2")));
    // The registry repeats a token, and then the token server repeats what it gets.
    let gives = Registry::with(|_, _| Some(Answer::new(200).body(r#"{"token":"token-of-me"}"#)));
    let repeats = Registry::with(move |request, _| Some(echo(request)));
    for (server, entry) in [
        (&gives, json!({"username": "me", "password": "hunter2"})),
        (&repeats, json!({"username": "me", "password": "hunter2"})),
        (&repeats, json!({"identitytoken": "refreshing"})),
    ] {
        let bearer = asks(format!("Bearer realm=\"http://{}/\"", server.host()));
        let registry = Registry::with(move |request, _| {
            let is_given = request.header("authorization") == Some("Bearer token-of-me");
            match is_given {
                true => Some(Answer::error(403, "DENIED", "got token-of-me")),
                false => bearer(request),
            }
        });
        let path = file(&registry, entry);
        refused(&registry, &options().authfile(path.path()));
    }
}

#[test]
fn token_servers_that_must_not_get_credentials_do_not() {
    for realm in [
        "http://auth.example/token",
        "ftp://auth.example/",
        "https://me:x@auth.example/",
        "token",
        "",
    ] {
        let registry = protected(format!("Bearer realm=\"{realm}\""), "");
        let error = with_login(&registry)
            .repository("app")
            .has_blob(&digest(b""), 0)
            .unwrap_err();
        let codes = [Code::RegistryUnauthorized, Code::RegistryReply];
        assert!(codes.contains(&error.code()), "{realm}: {error}");
    }
    for body in ["", "{}", "[]", r#"{"token":"a\nb"}"#, r#"{"token":7}"#] {
        let server = Registry::with(move |_, _| Some(Answer::new(200).body(body)));
        let registry = protected(format!("Bearer realm=\"http://{}/\"", server.host()), "");
        let error = with_login(&registry)
            .repository("app")
            .has_blob(&digest(b""), 0)
            .unwrap_err();
        assert_eq!(error.code(), Code::RegistryReply, "{body}");
    }
}

#[test]
fn a_redirect_gets_no_credentials() {
    let other = Registry::start();
    let elsewhere = other.host();
    let redirecting = Registry::with(move |request, _| {
        if request.header("authorization") != Some(BASIC) {
            return Some(Answer::new(401).with("WWW-Authenticate", "Basic realm=x"));
        }
        let target = format!("http://{elsewhere}{}?{}", request.path, request.query);
        match request.method.as_str() {
            "POST" => Some(Answer::new(202).with(
                "Location",
                format!("http://{elsewhere}/v2/app/blobs/uploads/1"),
            )),
            _ => Some(Answer::new(307).with("Location", target)),
        }
    });
    let client = with_login(&redirecting);
    let repository = client.repository("app");
    other.stored().uploads.insert("1".to_owned(), Vec::new());
    let bytes = content(2_000_000);
    other.stored().cuts = vec![500_000].into();
    upload(&repository, &bytes).unwrap();
    assert!(repository.has_blob(&digest(&bytes), 2_000_000).unwrap());
    repository.put_manifest("1.0", "a/b", b"{}").unwrap();
    assert_eq!(repository.manifest("1.0").unwrap().unwrap().bytes, b"{}");
    let stored = other.stored();
    assert!(stored.requests.len() > 5);
    assert!(
        stored
            .requests
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[test]
fn a_host_that_a_redirect_leads_to_gets_no_answer_to_its_challenge() {
    let other = protected("Basic realm=\"x\"".to_owned(), BASIC);
    let elsewhere = other.host();
    let redirecting = Registry::with(move |request, _| {
        let target = format!("http://{elsewhere}{}", request.path);
        Some(Answer::new(307).with("Location", target))
    });
    let client = with_login(&redirecting);
    let error = client
        .repository("app")
        .put_manifest("1.0", "a/b", b"{}")
        .unwrap_err();
    assert_eq!(error.code(), Code::RegistryUnauthorized);
    let stored = other.stored();
    assert!(
        stored
            .requests
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[test]
fn credentials_go_over_plain_http_only_on_this_machine() {
    let options = options()
        .login("me", Secret::new("hunter2"))
        .plain_http(true);
    let client = Client::new("r.example", &options).unwrap();
    let reply = |challenge: &str| Reply {
        status: 401,
        headers: HeaderMap::from_iter([(
            "www-authenticate".parse().unwrap(),
            challenge.parse().unwrap(),
        )]),
        body: Vec::new(),
        is_cut: false,
        url: client.host.base.clone(),
    };
    for challenge in ["Basic realm=x", "Bearer realm=\"https://auth.example/\""] {
        let answer = client
            .repository("app")
            .reauthorize(&reply(challenge), None, None);
        let error = answer.unwrap_err();
        assert_eq!(error.code(), Code::RegistryUnauthorized);
        assert_eq!(error.hint(), Some(&RegistryHint::UseHttps.into()));
    }
}
