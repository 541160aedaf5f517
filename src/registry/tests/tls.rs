//! Certificates of registries and of the client.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::url::Url;
use super::*;

fn file(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/common/certificates");
    directory.join(name)
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    let all = CertificateDer::pem_file_iter(file(name)).unwrap();
    all.map(|one| one.unwrap()).collect()
}

/// A server with TLS that answers every request with `reply`. Its port.
fn serve(wants_certificate: bool, reply: impl Into<String>) -> u16 {
    let reply: Arc<str> = reply.into().into();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificates("ca.crt").remove(0)).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    let builder = match wants_certificate {
        true => builder.with_client_cert_verifier(verifier.build().unwrap()),
        false => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = builder
        .with_single_cert(certificates("server.crt"), key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let reply = Arc::clone(&reply);
            thread::spawn(move || answer(StreamOwned::new(connection, stream.unwrap()), &reply));
        }
    });
    port
}

fn answer(mut stream: StreamOwned<ServerConnection, TcpStream>, reply: &str) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|count| count > 0) {
        seen.push(byte[0]);
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            if stream
                .write_all(reply.as_bytes())
                .and_then(|()| stream.flush())
                .is_err()
            {
                return;
            }
        }
    }
}

const FOUND: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A client that speaks TLS to this machine.
fn client_of(host: &str, port: u16, options: &RegistryOptions) -> Result<Client> {
    let name = format!("{host}:{port}");
    let host = Host {
        base: Url::parse(&format!("https://{name}/v2/")).unwrap(),
        name,
        is_local: true,
    };
    Ok(Client {
        http: Http::new(&host, options)?,
        host,
        options: options.clone(),
        auth: Auth::default(),
        fallback_tags: Mutex::default(),
    })
}

fn has_blob(host: &str, port: u16, options: &RegistryOptions) -> Result<bool> {
    client_of(host, port, options)?
        .repository("app")
        .has_blob(&digest(b""), 0)
}

#[test]
fn an_authority_is_trusted_if_the_user_names_it() {
    let port = serve(false, FOUND);
    let error = has_blob("localhost", port, &options()).unwrap_err();
    assert_eq!(error.code(), Code::RegistryUntrusted, "{error}");
    let name = format!("localhost:{port}");
    assert_eq!(
        error.hint(),
        Some(&RegistryHint::TrustCertificate(name).into())
    );
    let trusting = options().ca_file(file("ca.crt"));
    assert!(has_blob("localhost", port, &trusting).unwrap());
    // The certificate is for another name.
    let error = has_blob("127.0.0.1", port, &trusting).unwrap_err();
    assert_eq!(error.code(), Code::RegistryUntrusted, "{error}");
    assert!(has_blob("127.0.0.1", port, &options().insecure_skip_verify(true)).unwrap());
}

#[test]
fn the_directory_of_a_registry_has_its_authorities_and_the_clients_certificate() {
    let port = serve(true, FOUND);
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join(format!("localhost:{port}"));
    fs::create_dir(&own).unwrap();
    let mut options = options();
    options.certificate_directories = Some(vec![
        directory.path().join("absent"),
        directory.path().to_owned(),
    ]);
    fs::copy(file("ca.crt"), own.join("ca.crt")).unwrap();
    let error = has_blob("localhost", port, &options).unwrap_err();
    assert_eq!(
        error.code(),
        Code::RegistryUnreachable,
        "a certificate is required: {error}"
    );
    fs::copy(file("client.crt"), own.join("client.cert")).unwrap();
    let error = has_blob("localhost", port, &options).unwrap_err();
    assert_eq!(error.path(), Some(&*own.join("client.key")));
    fs::copy(file("client.key"), own.join("client.key")).unwrap();
    assert!(has_blob("localhost", port, &options).unwrap());
    // A key of another certificate.
    fs::copy(file("server.key"), own.join("client.key")).unwrap();
    let error = has_blob("localhost", port, &options).unwrap_err();
    assert_eq!(
        (error.code(), error.hint()),
        (Code::Credentials, Some(&RegistryHint::GivePem.into()))
    );
}

/// The token server of a registry often has a certificate of the same authority, and never gets the client's.
#[test]
fn hosts_that_a_registry_leads_to_have_its_authorities_and_not_the_clients_certificate() {
    for (wants_certificate, is_reached) in [(false, true), (true, false)] {
        let other = serve(wants_certificate, FOUND);
        let port = serve(
            false,
            format!(
                "HTTP/1.1 307 X\r\nLocation: https://localhost:{other}/\r\nContent-Length: 0\r\n\r\n"
            ),
        );
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join(format!("localhost:{port}"));
        fs::create_dir(&own).unwrap();
        for (from, to) in [
            ("ca.crt", "ca.crt"),
            ("client.crt", "client.cert"),
            ("client.key", "client.key"),
        ] {
            fs::copy(file(from), own.join(to)).unwrap();
        }
        let mut options = options().retries(0);
        options.certificate_directories = Some(vec![directory.path().to_owned()]);
        let found = has_blob("localhost", port, &options);
        match is_reached {
            true => assert!(found.unwrap()),
            false => assert_eq!(found.unwrap_err().code(), Code::RegistryUnreachable),
        }
    }
}

#[test]
fn a_registry_on_this_machine_is_asked_whether_it_speaks_tls() {
    let scheme = |registry: &str, options: &RegistryOptions| {
        let client = Client::reaching(registry, options).unwrap();
        client.host.base.is_https()
    };
    let login = options().login("me", Secret::new("hunter2"));
    let local = format!("localhost:{}", serve(false, FOUND));
    let trusting = login.clone().ca_file(file("ca.crt"));
    let client = Client::reaching(&local, &trusting).unwrap();
    assert!(client.repository("app").has_blob(&digest(b""), 0).unwrap());
    // It speaks TLS although its certificate is not trusted.
    assert!(scheme(&local, &login));
    assert!(!scheme(&local, &login.clone().plain_http(true)));

    for words in [
        "Client sent an HTTP request to an HTTPS server.\n",
        "<center>The plain HTTP request was sent to HTTPS port</center>",
        "You're speaking plain HTTP to an SSL-enabled server port.",
    ] {
        let registry = Registry::with(move |_, _| Some(server::Answer::new(400).body(words)));
        assert!(scheme(&registry.host(), &login), "{words}");
        let stored = registry.stored();
        assert_eq!(stored.log(), ["GET /v2/"]);
        assert_eq!(stored.requests[0].header("authorization"), None);
    }
    for status in [200, 400, 401, 404, 503] {
        let registry = Registry::with(move |_, _| Some(server::Answer::new(status).body("no")));
        assert!(!scheme(&registry.host(), &login), "{status}");
        assert_eq!(registry.stored().requests.len(), 1, "{status}");
    }
    // Nothing listens there, or what does never replies.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let mut impatient = login.clone();
    impatient.limits.probe = Duration::from_millis(500);
    assert!(!scheme(&silent, &impatient));
    drop(listener);
    assert!(!scheme(&silent, &login));
    // No other host is asked.
    assert!(scheme("registry.invalid", &login));
}

#[test]
fn files_that_are_not_pem_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.crt");
    for text in [
        "",
        "text",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    ] {
        fs::write(&path, text).unwrap();
        let error = client_of("localhost", 1, &options().ca_file(&path)).unwrap_err();
        assert_eq!(
            (error.code(), error.path()),
            (Code::Credentials, Some(&*path))
        );
    }
    let error = client_of("localhost", 1, &options().ca_file("absent.crt")).unwrap_err();
    assert_eq!(error.code(), Code::Credentials);
}

#[test]
fn a_registry_without_tls_is_not_asked_without_it() {
    let registry = Registry::start();
    let port = registry.host().rsplit(':').next().unwrap().parse().unwrap();
    let error = has_blob("localhost", port, &options()).unwrap_err();
    assert_eq!(error.code(), Code::RegistryUntrusted, "{error}");
    let name = format!("localhost:{port}");
    assert_eq!(error.hint(), Some(&RegistryHint::UsePlainHttp(name).into()));
    assert!(registry.stored().blobs.is_empty());
}

#[test]
fn no_redirect_leads_from_tls_to_plain_http() {
    let port = serve(
        false,
        "HTTP/1.1 307 X\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n",
    );
    let error = has_blob("localhost", port, &options().ca_file(file("ca.crt"))).unwrap_err();
    assert_eq!(error.code(), Code::RegistryReply);
    assert!(
        error
            .to_string()
            .ends_with("it redirects from HTTPS to plain HTTP"),
        "{error}"
    );
    assert_eq!(error.hint(), Some(&RegistryHint::ForwardHttps.into()));
    // Nor does an upload that is opened there.
    let opened = "HTTP/1.1 202 X\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n";
    let port = serve(false, opened);
    let client = client_of("localhost", port, &options().ca_file(file("ca.crt"))).unwrap();
    let error = upload(&client.repository("app"), b"bytes").unwrap_err();
    assert_eq!(error.code(), Code::RegistryReply, "{error}");
    assert!(
        error
            .to_string()
            .ends_with("it moves the upload from HTTPS to plain HTTP"),
        "{error}"
    );
    assert_eq!(error.hint(), Some(&RegistryHint::ForwardHttps.into()));
}
