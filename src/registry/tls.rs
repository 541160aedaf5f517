//! Certificates: the system's roots, files that the user names, and docker's and podman's directories for each registry.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::options::RegistryOptions;
use crate::error::{Code, Error, RegistryHint, Result, show_path};

/// The largest file of certificates that is read, in bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// How certificates of a registry and of the hosts that it leads to are verified: its token server often has the same
/// authority. `is_own` adds the client's certificate, which is for the registry only.
pub(super) fn config(options: &RegistryOptions, registry: &str, is_own: bool) -> Result<TlsConfig> {
    let mut roots: Vec<Certificate<'static>> = Vec::new();
    // What cannot be read of the system's roots is as if it were not there: a file that the user names is an error.
    for root in rustls_native_certs::load_native_certs().certs {
        roots.push(Certificate::from_der(&root).to_owned());
    }
    for path in &options.ca_files {
        add_roots(path, &mut roots)?;
    }
    let mut client = None;
    for directory in directories(options) {
        let client = is_own.then_some(&mut client);
        add_directory(&directory.join(registry), &mut roots, client)?;
    }
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(roots.into_iter()))
        .client_cert(client)
        .disable_verification(options.insecure_skip_verify)
        .build())
}

/// The directories that have one for each registry, in the order of podman, then docker's.
fn directories(options: &RegistryOptions) -> Vec<PathBuf> {
    if let Some(directories) = &options.certificate_directories {
        return directories.clone();
    }
    let mut directories = Vec::new();
    if let Some(home) = env::var_os("HOME") {
        let config = Path::new(&home).join(".config");
        directories.push(config.join("containers/certs.d"));
        directories.push(config.join("docker/certs.d"));
    }
    directories.push("/etc/containers/certs.d".into());
    directories.push("/etc/docker/certs.d".into());
    directories
}

/// Adds what a directory of certificates for one registry has: `*.crt` are authorities, `*.cert` with `*.key` are for
/// this client.
fn add_directory(
    directory: &Path,
    roots: &mut Vec<Certificate<'static>>,
    mut client: Option<&mut Option<ClientCert>>,
) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(unreadable(directory, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| unreadable(directory, error))?.path());
    }
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => add_roots(&path, roots)?,
            Some("cert") => {
                if let Some(client @ None) = client.as_deref_mut() {
                    *client = Some(client_certificate(&path)?);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Directories of others, such as root's, are as if they were not there.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

fn add_roots(path: &Path, roots: &mut Vec<Certificate<'static>>) -> Result<()> {
    let pem = read(path)?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| not_pem(path, &error.to_string()))?;
        roots.push(Certificate::from_der(&certificate).to_owned());
        count += 1;
    }
    match count {
        0 => Err(not_pem(path, "it has no certificate")),
        _ => Ok(()),
    }
}

/// The certificate at this path with the key beside it.
fn client_certificate(path: &Path) -> Result<ClientCert> {
    let key_path = path.with_extension("key");
    let (pem, key_pem) = (read(path)?, read(&key_path)?);
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| not_pem(path, &error.to_string()))?;
    if chain.is_empty() {
        return Err(not_pem(path, "it has no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| not_pem(&key_path, "it has no private key without a passphrase"))?;
    // ureq panics on a key that does not fit.
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain.clone(), key, &provider)
        .map_err(|error| not_pem(&key_path, &error.to_string()))?;
    let certificates: Vec<Certificate<'static>> = chain
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    let key = PrivateKey::from_pem(&key_pem)
        .map_err(|_| not_pem(&key_path, "it has no private key without a passphrase"))?;
    Ok(ClientCert::new_with_certs(&certificates, key))
}

/// The bytes of a file that is not too large.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| unreadable(path, error))?;
    let mut limited = file.take(MAX_FILE + 1);
    limited
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, error))?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(unreadable(path, io::ErrorKind::FileTooLarge.into())),
        false => Ok(bytes),
    }
}

pub(super) fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::new(
        Code::Credentials,
        format!("cannot read {}", show_path(path)),
    )
    .with_path(path)
    .with_source(error)
}

fn not_pem(path: &Path, reason: &str) -> Error {
    let message = format!("{} cannot be used as PEM: {reason}", show_path(path));
    Error::new(Code::Credentials, message)
        .with_path(path)
        .with_hint(RegistryHint::GivePem)
}
