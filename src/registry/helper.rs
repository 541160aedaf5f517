//! Credential helpers: `docker-credential-NAME get`, the only programs that ocify starts.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::credentials::{Credential, unusable};
use super::options::Secret;
use crate::error::{Result, escape};

/// How much of what a helper writes is read, in bytes.
const MAX_OUTPUT: u64 = 64 * 1024;

/// What helpers write if they have nothing for a registry.
const NOT_FOUND: &str = "credentials not found";

/// The name of the user with which a helper says that the secret is a refresh token.
const TOKEN_USER: &str = "<token>";

/// Asks the helper of this name for the credential of a registry. The registry's name goes to its standard input, and
/// nothing secret goes to its arguments.
pub(super) fn get(name: &str, server: &str, limit: Duration) -> Result<Option<Credential>> {
    let program = format!("docker-credential-{name}");
    let fail = |reason: &str| unusable(&format!("the helper {}", escape(&program)), reason);
    // The name is a part of a program's name in PATH and nothing else.
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(fail("its name is not valid"));
    }
    ask(&mut Command::new(&program), &program, server, limit)
}

fn ask(
    command: &mut Command,
    program: &str,
    server: &str,
    limit: Duration,
) -> Result<Option<Credential>> {
    let fail = |reason: &str| unusable(&format!("the helper {}", escape(program)), reason);
    let mut child = command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| fail("it cannot be started").with_source(error))?;
    let output = run(&mut child, server, limit);
    let Some((output, is_success)) = output else {
        // Whatever it still does, nobody waits for it.
        let _ = child.kill();
        let _ = child.wait();
        return Err(fail("it did not answer within the time limit"));
    };
    if !is_success {
        // What it wrote may be secret, except this.
        return match String::from_utf8_lossy(&output).contains(NOT_FOUND) {
            true => Ok(None),
            false => Err(fail("it failed")),
        };
    }
    parse(&output).ok_or_else(|| fail("what it wrote is not a credential"))
}

/// What the helper wrote, and whether it succeeded; `None` if it takes too long.
fn run(child: &mut Child, server: &str, limit: Duration) -> Option<(Vec<u8>, bool)> {
    let end = Instant::now() + limit;
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not read it says so by its answer.
        let _ = input.write_all(server.as_bytes());
    }
    let output = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    // It ends when the helper, and whatever that started, have closed their output.
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.take(MAX_OUTPUT).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    let bytes = receiver.recv_timeout(limit).ok()?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some((bytes, status.success())),
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
}

/// The credential that a helper wrote; the inner `None` if it has an empty one.
fn parse(output: &[u8]) -> Option<Option<Credential>> {
    let fields: Value = serde_json::from_slice(output).ok()?;
    let username = fields.get("Username")?.as_str()?;
    let secret = fields.get("Secret")?.as_str()?;
    Some(match (username, secret) {
        (_, "") => None,
        (TOKEN_USER, secret) => Some(Credential::IdentityToken(Secret::new(secret))),
        (username, secret) => Some(Credential::Password {
            username: username.to_owned(),
            password: Secret::new(secret),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn what_helpers_write_is_parsed() {
        let one = |text: &str| parse(text.as_bytes());
        let password = |username: &str, password: &str| Credential::Password {
            username: username.to_owned(),
            password: Secret::new(password),
        };
        assert_eq!(
            one(r#"{"ServerURL":"x","Username":"me","Secret":"pass"}"#),
            Some(Some(password("me", "pass")))
        );
        let token = Credential::IdentityToken(Secret::new("t"));
        assert_eq!(
            one(r#"{"Username":"<token>","Secret":"t"}"#),
            Some(Some(token))
        );
        assert_eq!(one(r#"{"Username":"","Secret":""}"#), Some(None));
        for text in [
            "",
            "{}",
            "secret",
            r#"{"Username":"me"}"#,
            r#"{"Username":1,"Secret":2}"#,
        ] {
            assert_eq!(one(text), None, "{text}");
        }
    }

    /// What comes of a helper that is this script.
    fn from_script(script: &str) -> Result<Option<Credential>> {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let limit = Duration::from_millis(1500);
        // Another test's process may still have the script open for writing.
        loop {
            let asked = ask(
                &mut Command::new(&path),
                "docker-credential-test",
                "r.example",
                limit,
            );
            let is_busy =
                |error: &crate::error::Error| error.message_with_causes().contains("busy");
            if !asked.as_ref().is_err_and(is_busy) {
                return asked;
            }
        }
    }

    #[test]
    fn a_helper_is_asked_on_standard_input() {
        let script = r#"test "$*" = get && printf '{"Username":"me","Secret":"%s"}' "$(cat)""#;
        let expected = Credential::Password {
            username: "me".to_owned(),
            password: Secret::new("r.example"),
        };
        assert_eq!(from_script(script).unwrap(), Some(expected));
        let script = "echo 'credentials not found in native keychain'; exit 1";
        assert_eq!(from_script(script).unwrap(), None);
        for script in ["echo secret; exit 1", "echo secret", "exit 7", "kill -9 $$"] {
            let error = from_script(script).unwrap_err();
            assert_eq!(error.code(), Code::Credentials);
            let message = error.message_with_causes();
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_helper_that_does_not_answer_is_stopped() {
        for script in [
            "exec sleep 9",
            "sleep 9 & echo '{'",
            "exec >&-; exec sleep 9",
        ] {
            let start = Instant::now();
            let error = from_script(script).unwrap_err();
            assert!(
                error.to_string().ends_with("within the time limit"),
                "{error}"
            );
            assert!(start.elapsed() < Duration::from_secs(20));
        }
    }

    #[test]
    fn names_of_helpers_are_no_paths() {
        for name in ["", "../x", "a/b", "a b", "a;b", "\u{e4}", "a\0b"] {
            let error = get(name, "r.example", Duration::from_secs(1)).unwrap_err();
            assert_eq!(error.code(), Code::Credentials);
            assert!(error.to_string().contains("name is not valid"), "{error}");
        }
        let error = get("that-nobody-has", "r.example", Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("cannot be started"), "{error}");
    }
}
