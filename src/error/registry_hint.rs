//! What a user can do next about a registry.

use std::fmt;

/// The next step after an error of a registry. `Display` says it in words that fit every program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegistryHint {
    /// This registry asks for credentials, or does not accept those that it got.
    LogIn(String),
    /// The credentials for this registry do not allow what was asked for.
    LogInWithRights(String),
    /// The registry has no such repository.
    CreateRepository,
    /// The registry is overloaded or out of service.
    PushLater,
    /// A registry cannot be reached, or what answers is none.
    CheckRegistryHost {
        /// As image names name it.
        host: String,
        /// Where it was expected to answer.
        url: String,
    },
    /// The proxy that the environment names cannot be used, or does not connect to the registry.
    CheckProxy,
    /// The certificate of this registry is not trusted.
    TrustCertificate(String),
    /// This registry does not speak TLS.
    UsePlainHttp(String),
    /// A registry expects TLS, or would get credentials without it.
    UseHttps,
    /// A registry that was asked with TLS names addresses without it.
    ForwardHttps,
    /// A configuration file with credentials cannot be used, or a credential helper failed.
    CheckAuthFile,
    /// A file of certificates or keys is not PEM.
    GivePem,
}

impl fmt::Display for RegistryHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            RegistryHint::LogIn(host) => {
                return write!(
                    f,
                    "log in first: docker login {host}, or podman login {host}"
                );
            }
            RegistryHint::LogInWithRights(host) => {
                return write!(
                    f,
                    "log in to {host} as a user who may push to this repository, or choose another repository"
                );
            }
            RegistryHint::CreateRepository => {
                "check the name of the repository; some registries expect it to be created first"
            }
            RegistryHint::PushLater => "try again later; what the registry has is not sent again",
            RegistryHint::CheckRegistryHost { host, url } => {
                return write!(
                    f,
                    "check that {host} is the registry's name, and that it can be reached: curl -v {url}"
                );
            }
            RegistryHint::CheckProxy => {
                "check the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names, or list the registry in NO_PROXY to reach it directly"
            }
            RegistryHint::TrustCertificate(host) => {
                return write!(
                    f,
                    "if you trust {host}, save the certificate of its authority as /etc/containers/certs.d/{host}/ca.crt"
                );
            }
            RegistryHint::UsePlainHttp(host) => {
                return write!(f, "if {host} is a registry without TLS, choose plain HTTP");
            }
            RegistryHint::UseHttps => {
                "reach the registry with HTTPS, or through a port of this machine"
            }
            RegistryHint::ForwardHttps => {
                "if a proxy in front of the registry speaks TLS for it, have the proxy send X-Forwarded-Proto: https, or set the registry's own address to https"
            }
            RegistryHint::CheckAuthFile => {
                "check the file and the helper that it names, or log in again with docker login or podman login"
            }
            RegistryHint::GivePem => {
                "convert it to PEM, such as with openssl x509 -in FILE -out FILE.crt, and store keys without a passphrase"
            }
        };
        f.write_str(text)
    }
}
