//! Pushes through a real proxy, Debian's tinyproxy, and with TLS.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::server::{Registry, Tls, needs};
use super::{Pushed, ocify};
use crate::common::fixture;

/// A proxy that ends when this is dropped.
struct Proxy {
    address: String,
    log: PathBuf,
    child: Child,
}

impl Proxy {
    fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let (config, log) = (folder.join("tinyproxy.conf"), folder.join("tinyproxy.log"));
        let lines = [
            format!("Port {}", address.port()),
            "Listen 127.0.0.1".to_owned(),
            "Allow 127.0.0.1".to_owned(),
            "BasicAuth proxyuser proxypassword".to_owned(),
            "LogLevel Connect".to_owned(),
        ];
        fs::write(&config, lines.join("\n") + "\n").unwrap();
        let output = File::create(&log).unwrap();
        let child = Command::new("tinyproxy")
            .args(["-d", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let proxy = Proxy {
            address: address.to_string(),
            log,
            child,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&proxy.address).is_err() {
            assert!(Instant::now() < deadline, "the proxy does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        let lines = log.lines().filter(|line| line.contains(": CONNECT "));
        lines.map(str::to_owned).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn certificate(name: &str) -> PathBuf {
    crate::common::repository("tests/it/common/certificates").join(name)
}

fn tls() -> Tls {
    Tls {
        certificate: certificate("server.crt"),
        key: certificate("server.key"),
        clients: None,
    }
}

#[test]
fn pushes_go_through_a_proxy() {
    let Some(directory) = needs(&["tinyproxy"]) else {
        return;
    };
    let home = directory.path();
    let proxy = Proxy::start(home);
    let plain = Registry::start(home, None);
    let with_tls = Registry::start_with(home, None, Some(&tls()));
    let push = |registry: &Registry, option: &str, password: &str, direct: &str| {
        // Another name of this machine, but not one that is always reached directly.
        let port = registry.host.rsplit(':').next().unwrap();
        let address = format!("http://proxyuser:{password}@{}", proxy.address);
        let mut command = ocify(home);
        command
            .arg("push")
            .arg(fixture("docker26g-save.tar"))
            .args([
                &format!("0.0.0.0:{port}/app:v1"),
                option,
                "--format",
                "json",
            ])
            .envs([("HTTP_PROXY", &address), ("HTTPS_PROXY", &address)])
            .env("NO_PROXY", direct);
        let pushed = Pushed::of(&command.output().unwrap());
        assert!(!pushed.stderr.contains(password), "{}", pushed.stderr);
        (pushed, format!("CONNECT 0.0.0.0:{port}"))
    };
    for (registry, option) in [
        (&plain, "--plain-http"),
        (&with_tls, "--insecure-skip-verify"),
    ] {
        let before = proxy.requests().len();
        let (pushed, line) = push(registry, option, "wrong", "");
        assert_eq!(pushed.code, Some(1), "{option}");
        assert!(
            pushed
                .stderr
                .contains("the proxy did not connect to it: 40"),
            "{}",
            pushed.stderr
        );
        let (pushed, _) = push(registry, option, "proxypassword", "example.com,10.0.0.0/8");
        pushed.succeeded();
        let requests = proxy.requests();
        let is_own = |request: &&String| request.contains(&line);
        let own = requests[before..].iter().filter(is_own).count();
        assert!(own > 0 && own == requests.len() - before, "{requests:#?}");
        let before = requests.len();
        let (pushed, _) = push(registry, option, "proxypassword", "0.0.0.0");
        pushed.succeeded();
        assert_eq!(proxy.requests().len(), before, "it is reached directly");
    }
}

#[test]
fn a_registry_on_this_machine_may_speak_tls() {
    let Some(directory) = needs(&[]) else {
        return;
    };
    let home = directory.path();
    let registry = Registry::start_with(home, None, Some(&tls()));
    let port = registry.host.rsplit(':').next().unwrap();
    let push = |more: &[&str]| {
        let mut command = ocify(home);
        command
            .arg("push")
            .arg(fixture("docker26g-save.tar"))
            .args([&format!("localhost:{port}/app:v1"), "--format", "json"]);
        Pushed::of(&command.args(more).output().unwrap())
    };
    let untrusted = push(&[]);
    assert_eq!(untrusted.report["error"]["code"], "registry-untrusted");
    assert!(
        untrusted.stderr.contains("--ca-file"),
        "{}",
        untrusted.stderr
    );
    let authority = certificate("ca.crt").display().to_string();
    push(&["--ca-file", &authority]).succeeded();
}

/// Authorities and the certificate of the client, which the registry requires or not.
#[test]
fn certificates_are_found_where_docker_and_podman_keep_them() {
    let Some(directory) = needs(&[]) else {
        return;
    };
    let home = directory.path();
    let authority = certificate("ca.crt");
    let required = Tls {
        clients: Some(authority.clone()),
        ..tls()
    };
    let [open, closed] = [tls(), required].map(|tls| {
        let registry = Registry::start_with(home, None, Some(&tls));
        let port = registry.host.rsplit(':').next().unwrap();
        (format!("localhost:{port}"), registry)
    });
    let push = |host: &str, variables: &[(&str, &Path)]| {
        let mut command = ocify(home);
        command.arg("push").arg(fixture("docker26g-save.tar"));
        command.args([&format!("{host}/app:v1"), "--format", "json"]);
        command.args(["--retries", "0"]);
        Pushed::of(&command.envs(variables.iter().copied()).output().unwrap())
    };
    let folder = home.join("authorities");
    fs::create_dir(&folder).unwrap();
    fs::copy(&authority, folder.join("own.crt")).unwrap();
    for variable in [("SSL_CERT_FILE", &*authority), ("SSL_CERT_DIR", &folder)] {
        push(&open.0, &[variable]).succeeded();
        // It is trusted, but wants to see another certificate.
        let refused = push(&closed.0, &[variable]);
        assert_eq!(refused.code, Some(1), "{variable:?}");
    }
    for parent in [".config/containers/certs.d", ".config/docker/certs.d"] {
        for ((host, _), files) in [
            (&open, &[("ca.crt", "ca.crt")][..]),
            (
                &closed,
                &[
                    ("ca.crt", "ca.crt"),
                    ("client.crt", "client.cert"),
                    ("client.key", "client.key"),
                ],
            ),
        ] {
            assert_eq!(push(host, &[]).code, Some(1), "{parent} {host}");
            let own = home.join(parent).join(host);
            fs::create_dir_all(&own).unwrap();
            for (from, to) in files {
                fs::copy(certificate(from), own.join(to)).unwrap();
            }
            push(host, &[]).succeeded();
            fs::remove_dir_all(own).unwrap();
        }
    }
}
