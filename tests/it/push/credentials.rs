//! The command finds the credentials of docker and podman where these keep them, and shows none.

use std::fs::{self, File};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::image;
use crate::common::builder::Layout;
use crate::common::registry::{Answer, Registry, Request};
use crate::common::runner::{Sandbox, run, write_program};
use crate::common::schema::parse_push;

const PASSWORD: &str = "secret-token";
/// `me:secret-token` in base64.
const PAIR: &str = "bWU6c2VjcmV0LXRva2Vu";
/// The password, and what every text that contains it has in base64, wherever in the text it starts.
const FORMS: [&str; 4] = [
    PASSWORD,
    "c2VjcmV0LXRva2Vu",
    "NlY3JldC10b2tlb",
    "zZWNyZXQtdG9rZW",
];

/// A registry that wants the password.
fn with_password() -> Registry {
    Registry::strict_with(|request, _| {
        let is_right = request.header("authorization") == Some(&format!("Basic {PAIR}"));
        let asks = Answer::new(401).with("WWW-Authenticate", "Basic realm=x");
        (!is_right).then_some(asks)
    })
}

/// Whether a request has the password anywhere, also in base64.
fn has_password(request: &Request) -> bool {
    let headers = request.headers.iter();
    let headers = headers.map(|(name, value)| format!("{name}: {value}\n"));
    let head = format!("{} {}\n", request.path, request.query);
    let text = head + &headers.collect::<String>() + &String::from_utf8_lossy(&request.body);
    FORMS.iter().any(|form| text.contains(form))
}

/// A registry whose token server, at the same address, wants a refresh token.
fn with_refresh_token() -> Registry {
    with_refresh_token_noting(Arc::default())
}

/// The same, which notes what else it was sent that has the password.
fn with_refresh_token_noting(leaks: Arc<Mutex<Vec<Request>>>) -> Registry {
    Registry::strict_with(move |request, _| {
        let is_for_token = request.method == "POST" && request.path == "/token";
        if !is_for_token && has_password(request) {
            leaks.lock().unwrap().push(request.clone());
        }
        if request.path == "/token" {
            let body = String::from_utf8_lossy(&request.body);
            let is_right = request.method == "POST" && body.contains("refresh_token=secret-token");
            let token = json!({"access_token": "token", "expires_in": 60}).to_string();
            return Some(match is_right {
                true => Answer::new(200).body(token),
                false => Answer::new(401),
            });
        }
        let host = request.header("host").unwrap();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"x\"");
        let is_right = request.header("authorization") == Some("Bearer token");
        (!is_right).then(|| Answer::new(401).with("WWW-Authenticate", challenge))
    })
}

/// A helper that writes this credential if it is asked right: with one word, and with the registry's name on standard input. It keeps
/// what it was started with.
fn put_helper(sandbox: &Sandbox, username: &str) {
    let program = format!(
        "#!/bin/sh\nhost=$(cat)\necho \"$0 $* $host\" >>asked\nprintf '{{\"Username\":\"{username}\",\"Secret\":\"{PASSWORD}\"}}'\n"
    );
    fs::create_dir(sandbox.path("bin")).unwrap();
    write_program(&sandbox.path("bin/docker-credential-own"), &program);
}

fn prepared() -> Sandbox {
    let sandbox = Sandbox::new();
    let archive = Layout::of(&image("app"), "example.com/app:v1").tar();
    sandbox.put("app.tar", archive);
    sandbox
}

/// Pushes with a file of credentials, in an environment, and returns the report.
#[track_caller]
fn push(
    sandbox: &Sandbox,
    registry: &Registry,
    file: Option<(&str, Value)>,
    variables: &[(&str, &str)],
    more: &[&str],
) -> Value {
    if let Some((path, config)) = file {
        let path = sandbox.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, config.to_string()).unwrap();
    }
    let target = format!("{}/app:v1", registry.host());
    let mut command = sandbox.command();
    command.args(["push", "app.tar", &target, "--format", "json"]);
    command.args(more).envs(variables.iter().copied());
    let run = run(&mut command);
    let shown = format!("{}{}", run.stdout, run.stderr);
    for secret in [PASSWORD, PAIR] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let report = parse_push(&run.stdout);
    assert_eq!(run.code == 0, report["error"].is_null(), "{report:#}");
    report
}

#[test]
fn credentials_are_found_where_docker_and_podman_keep_them() {
    let pair = json!({"auth": PAIR});
    let auths = |registry: &Registry| json!({"auths": {registry.host(): &pair}});
    let home = ("HOME", "home");
    let docker = "home/.docker/config.json";
    for (path, variables, more) in [
        (docker, &[home][..], &[][..]),
        ("home/.config/containers/auth.json", &[home], &[]),
        ("docker/config.json", &[("DOCKER_CONFIG", "docker")], &[]),
        (
            "run/containers/auth.json",
            &[("XDG_RUNTIME_DIR", "run")],
            &[],
        ),
        (
            "config/containers/auth.json",
            &[("XDG_CONFIG_HOME", "config")],
            &[],
        ),
        ("file", &[home, ("REGISTRY_AUTH_FILE", "file")], &[]),
        ("file", &[home], &["--authfile", "file"]),
    ] {
        let (sandbox, registry) = (prepared(), with_password());
        let file = Some((path, auths(&registry)));
        let report = push(&sandbox, &registry, file, variables, more);
        assert_eq!(report["status"], "pushed", "{path}: {report:#}");
        registry.check_complete();
        // Without the file, nothing has them.
        fs::remove_file(sandbox.path(path)).unwrap();
        let report = push(&sandbox, &registry, None, variables, &[]);
        let code = &report["error"]["code"];
        assert!(
            [&json!("registry-unauthorized"), &json!("credentials")].contains(&code),
            "{path}: {report:#}"
        );
    }
    let (sandbox, registry) = (prepared(), with_password());
    let text = auths(&registry).to_string();
    let variables = [("DOCKER_AUTH_CONFIG", text.as_str())];
    let report = push(&sandbox, &registry, None, &variables, &[]);
    assert_eq!(report["status"], "pushed", "{report:#}");
}

#[test]
fn credential_helpers_are_asked() {
    let helpers = |registry: &Registry| json!({"credHelpers": {registry.host(): "own"}});
    let store = |_: &Registry| json!({"credsStore": "own"});
    // What the file has in its own entries counts only if no helper has one.
    let both = |registry: &Registry| {
        json!({
            "credHelpers": {registry.host(): "own"}, "credsStore": "that-nobody-has",
            "auths": {registry.host(): {"auth": "d3Jvbmc6d3Jvbmc="}},
        })
    };
    type Config = fn(&Registry) -> Value;
    for (username, start) in [
        ("me", with_password as fn() -> Registry),
        ("<token>", with_refresh_token),
    ] {
        for config in [helpers as Config, store, both] {
            let (sandbox, registry) = (prepared(), start());
            put_helper(&sandbox, username);
            let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
            let variables = [("HOME", "home"), ("PATH", path.as_str())];
            let file = Some(("home/.docker/config.json", config(&registry)));
            let report = push(&sandbox, &registry, file, &variables, &[]);
            assert_eq!(report["status"], "pushed", "{report:#}");
            registry.check_complete();
            let asked = String::from_utf8(sandbox.read("asked")).unwrap();
            let program = sandbox.path("bin/docker-credential-own");
            let expected = format!("{} get {}\n", program.display(), registry.host());
            assert_eq!(asked, expected, "it is asked once");
        }
    }
}

#[test]
fn an_identity_token_goes_to_the_token_server_only() {
    let leaks: Arc<Mutex<Vec<Request>>> = Arc::default();
    let registry = with_refresh_token_noting(Arc::clone(&leaks));
    let sandbox = prepared();
    let config = json!({"auths": {registry.host(): {"identitytoken": PASSWORD}}});
    let file = Some(("docker/config.json", config));
    let variables = [("DOCKER_CONFIG", "docker")];
    let report = push(&sandbox, &registry, file, &variables, &[]);
    assert_eq!(report["status"], "pushed", "{report:#}");
    let stored = registry.stored();
    let tokens = stored.requests.iter().filter(|one| one.path == "/token");
    assert_eq!(tokens.count(), 1);

    // A registry that wants a password gets nothing.
    let noted = Arc::clone(&leaks);
    let registry = Registry::strict_with(move |request, _| {
        if has_password(request) {
            noted.lock().unwrap().push(request.clone());
        }
        Some(Answer::new(401).with("WWW-Authenticate", "Basic realm=x"))
    });
    let config = json!({"auths": {registry.host(): {"identitytoken": PASSWORD}}});
    let file = Some(("docker/config.json", config));
    let report = push(&sandbox, &registry, file, &variables, &[]);
    assert_eq!(report["error"]["code"], "registry-unauthorized");
    let leaks = leaks.lock().unwrap();
    assert!(leaks.is_empty(), "{leaks:#?}");
}

/// A push of app.tar with a password on standard input.
pub(super) fn with_password_on_stdin(
    sandbox: &Sandbox,
    registry: &Registry,
    password: &str,
) -> Output {
    sandbox.put("password", password);
    let target = format!("{}/app:v1", registry.host());
    let mut command = sandbox.command();
    command.args(["push", "app.tar", &target]);
    command.args(["--username", "me", "--password-stdin"]);
    let stdin = File::open(sandbox.path("password")).unwrap();
    command.stdin(Stdio::from(stdin)).output().unwrap()
}

#[test]
fn a_password_comes_on_standard_input() {
    let (sandbox, registry) = (prepared(), with_password());
    let output = with_password_on_stdin(&sandbox, &registry, &format!("{PASSWORD}\n"));
    assert!(output.status.success(), "{output:?}");
    let shown = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8_lossy(&shown).contains(PASSWORD));
    registry.check_complete();
}
