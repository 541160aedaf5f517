//! Hints about registries, in the words of `push`.

use ocify::RegistryHint;

/// The hint with the options of `push`.
pub(super) fn hint_of_registry(hint: &RegistryHint) -> String {
    match hint {
        RegistryHint::LogIn(_) => {
            format!("{hint}; or use --authfile, or --username with --password-stdin")
        }
        RegistryHint::PushLater => {
            "try again later, or for longer with --retries; what the registry has is not sent again"
                .to_owned()
        }
        RegistryHint::TrustCertificate(host) => format!(
            "if you trust {host}, name the certificate of its authority with --ca-file, or save it as /etc/containers/certs.d/{host}/ca.crt"
        ),
        RegistryHint::UsePlainHttp(host) => {
            format!("if {host} is a registry without TLS, use --plain-http")
        }
        RegistryHint::UseHttps => {
            "omit --plain-http; without TLS, credentials go only to a port of this machine, such as one that ssh -L forwards"
                .to_owned()
        }
        RegistryHint::CheckAuthFile => {
            format!("{hint}; or name another file with --authfile")
        }
        RegistryHint::LogInWithRights(_)
        | RegistryHint::CreateRepository
        | RegistryHint::CheckRegistryHost { .. }
        | RegistryHint::CheckProxy
        | RegistryHint::ForwardHttps
        | RegistryHint::GivePem => hint.to_string(),
    }
}
