//! Pushes through a proxy. The registry has a name that only the proxy can look up.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::image;
use crate::common::builder::Layout;
use crate::common::registry::Registry;
use crate::common::runner::Sandbox;

/// `me:secret`.
const LOGIN: &str = "Basic bWU6c2VjcmV0";

/// A proxy that connects everyone who has the password to one registry, whatever they ask for.
struct Proxy {
    address: String,
    /// The first lines of requests.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(registry: &Registry) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy {
            address: listener.local_addr().unwrap().to_string(),
            asked: Arc::default(),
        };
        let (asked, target) = (Arc::clone(&proxy.asked), registry.host());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (asked, target) = (Arc::clone(&asked), target.clone());
                thread::spawn(move || serve(client.unwrap(), &asked, &target));
            }
        });
        proxy
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.dedup();
        asked
    }
}

fn serve(mut client: TcpStream, asked: &Mutex<Vec<String>>, target: &str) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    asked.lock().unwrap().push(head[0].clone());
    let is_right = |line: &String| line.ends_with(LOGIN);
    if !head[0].starts_with("CONNECT ") || !head.iter().any(is_right) {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(refusal.as_bytes());
    }
    let registry = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from_registry, mut to_client) = (registry.try_clone()?, client.try_clone()?);
    thread::spawn(move || pass(&mut from_registry, &mut to_client));
    let mut to_registry = registry;
    pass(&mut reader, &mut to_registry);
    Ok(())
}

fn pass(from: &mut impl Read, to: &mut TcpStream) {
    drop(io::copy(from, to));
    drop(to.shutdown(Shutdown::Both));
}

/// An archive to push, a registry, and a proxy that leads to it.
fn started() -> (Sandbox, Registry, Proxy) {
    let (sandbox, registry) = (Sandbox::new(), Registry::strict());
    let proxy = Proxy::start(&registry);
    let layout = Layout::of(&image("app"), "example.com/app:v1");
    sandbox.put("app.tar", layout.tar());
    (sandbox, registry, proxy)
}

/// Pushes with these variables. The exit code and the messages.
fn push(sandbox: &Sandbox, args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = sandbox.command();
    command.args(["push", "app.tar"]).args(args);
    command.args(["--retries", "0"]);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        !stderr.contains("secret") && !stderr.contains("c2VjcmV0"),
        "{stderr}"
    );
    (output.status.code(), stderr)
}

#[test]
fn a_push_goes_through_the_proxy() {
    let (sandbox, registry, proxy) = started();
    let address = format!("http://me:secret@{}", proxy.address);
    let plain = ["registry.test/app:v1", "--plain-http"];
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let (code, stderr) = push(&sandbox, &plain, &[(name, &address)]);
        assert_eq!(code, Some(0), "{name}: {stderr}");
        assert_eq!(
            proxy.asked(),
            ["CONNECT registry.test:80 HTTP/1.1"],
            "{name}"
        );
    }
    assert_eq!(registry.tags("app").len(), 1);
    registry.check_complete();

    // TLS is spoken inside of the connection, which this registry does not.
    let (code, stderr) = push(&sandbox, &plain[..1], &[("HTTPS_PROXY", &address)]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("use --plain-http"), "{stderr}");
    assert_eq!(proxy.asked(), ["CONNECT registry.test:443 HTTP/1.1"]);
}

#[test]
fn hosts_that_need_no_proxy_are_reached_directly() {
    let (sandbox, registry, proxy) = started();
    let address = format!("http://me:secret@{}", proxy.address);
    // On Linux, this is another name of this machine, but not one that is always reached directly.
    let port = registry.host().rsplit(':').next().unwrap().to_owned();
    let name = format!("0.0.0.0:{port}/app:v1");
    for list in [
        "0.0.0.0",
        "example.com, 0.0.0.0/8",
        &format!("0.0.0.0:{port}"),
        "*",
    ] {
        let variables = [("ALL_PROXY", address.as_str()), ("NO_PROXY", list)];
        let (code, stderr) = push(&sandbox, &[&name, "--plain-http"], &variables);
        assert_eq!(code, Some(0), "{list}: {stderr}");
        assert_eq!(proxy.asked(), [""; 0], "{list}");
    }
    let own = format!("{}/app:v1", registry.host());
    let (code, stderr) = push(&sandbox, &[&own], &[("ALL_PROXY", &address)]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(proxy.asked(), [""; 0]);
    let (code, stderr) = push(
        &sandbox,
        &[&name, "--plain-http"],
        &[("ALL_PROXY", &address)],
    );
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(proxy.asked().len(), 1);
}

#[test]
fn a_proxy_that_does_not_connect_is_an_error_that_names_it() {
    let (sandbox, registry, proxy) = started();
    let refused = format!("http://other:secret@{}", proxy.address);
    let target = ["registry.test/app:v1", "--plain-http"];
    for (value, expected) in [
        (refused.as_str(), "the proxy did not connect to it: 407"),
        (
            "ftp://me:secret@proxy",
            "cannot use the proxy in HTTP_PROXY",
        ),
    ] {
        let (code, stderr) = push(&sandbox, &target, &[("HTTP_PROXY", value)]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
        assert!(
            stderr.contains("hint: ") && stderr.contains("NO_PROXY"),
            "{stderr}"
        );
    }
    assert!(registry.stored().requests.is_empty());
}
