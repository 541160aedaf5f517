mod auth;
mod blobs;
mod hostile;
mod manifests;
#[path = "../../tests/common/random.rs"]
mod random;
mod refused_uploads;
#[path = "../../tests/it/common/registry.rs"]
mod server;
mod tls;

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ureq::http::HeaderMap;

use self::server::Registry;
use super::broken::{Broken, BrokenKind};
use super::http::Reply;
use super::options::TimeLimits;
use super::*;
use crate::error::{Code, Hint, RegistryHint};
use crate::image::{Algorithm, Digest};

/// No credentials of this machine, and short waits.
fn options() -> RegistryOptions {
    let milliseconds = Duration::from_millis;
    RegistryOptions {
        limits: TimeLimits {
            connect: Duration::from_secs(5),
            reply: milliseconds(1500),
            stall: milliseconds(1000),
            first_wait: milliseconds(1),
            longest_wait: milliseconds(4),
            longest_requested_wait: Duration::from_secs(2),
            probe: Duration::from_secs(5),
            cancel: milliseconds(300),
            helper: Duration::from_secs(5),
        },
        certificate_directories: Some(Vec::new()),
        ..RegistryOptions::new().authfile("/dev/null")
    }
}

fn client(registry: &Registry) -> Client {
    Client::new(&registry.host(), &options()).unwrap()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// Bytes that are not the same at two places.
fn content(len: usize) -> Vec<u8> {
    let numbers = (0..len as u32 / 4 + 1).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes());
    numbers.take(len).collect()
}

/// Uploads bytes under a digest. How many were reported as sent.
fn upload_as(repository: &Repository<'_>, digest: &Digest, bytes: &[u8]) -> Result<u64> {
    let open = |offset: u64| -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(bytes[offset as usize..].to_vec())))
    };
    let sent = AtomicU64::new(0);
    let count = |more| {
        sent.fetch_add(more, Ordering::Relaxed);
    };
    repository.upload_into(None, digest, bytes.len() as u64, &open, &count, &|| false)?;
    Ok(sent.into_inner())
}

fn upload(repository: &Repository<'_>, bytes: &[u8]) -> Result<u64> {
    upload_as(repository, &digest(bytes), bytes)
}

#[test]
fn errors_say_who_refused_what_and_what_to_do_next() {
    let client = Client::new("R.example:5000", &RegistryOptions::new()).unwrap();
    let repository = client.repository("team/app");
    let host = || "r.example:5000".to_owned();
    let body = r#"{"errors":[{"code":"SOME","message":"the words"}]}"#;
    for (status, text, code, hint) in [
        (
            401,
            "401 Unauthorized",
            Code::RegistryUnauthorized,
            Some(RegistryHint::LogIn(host())),
        ),
        (
            403,
            "403 Forbidden",
            Code::RegistryDenied,
            Some(RegistryHint::LogInWithRights(host())),
        ),
        (
            404,
            "404 Not Found",
            Code::RegistryNotFound,
            Some(RegistryHint::CreateRepository),
        ),
        (
            429,
            "429 Too Many Requests",
            Code::RegistryBusy,
            Some(RegistryHint::PushLater),
        ),
        (
            503,
            "503 Service Unavailable",
            Code::RegistryBusy,
            Some(RegistryHint::PushLater),
        ),
        (400, "400 Bad Request", Code::RegistryRefused, None),
        (799, "799", Code::RegistryRefused, None),
    ] {
        let reply = Reply {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            is_cut: false,
            url: client.host.base.clone(),
        };
        let error = repository.refused("store manifest 1.0", &reply);
        let expected = format!(
            "cannot store manifest 1.0 in r.example:5000/team/app: {text}: SOME: the words"
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(
            (error.code(), error.found()),
            (code, Some(&*status.to_string()))
        );
        assert_eq!(error.hint(), hint.map(Hint::from).as_ref());
    }
    for (kind, code, hint) in [
        (
            BrokenKind::Unreachable,
            Code::RegistryUnreachable,
            RegistryHint::CheckRegistryHost {
                host: host(),
                url: format!("https://{}/v2/", host()),
            },
        ),
        (
            BrokenKind::Connection,
            Code::RegistryUnreachable,
            RegistryHint::PushLater,
        ),
        (
            BrokenKind::NoHost,
            Code::RegistryUnreachable,
            RegistryHint::CheckRegistryHost {
                host: host(),
                url: format!("https://{}/v2/", host()),
            },
        ),
        (
            BrokenKind::Proxy,
            Code::RegistryUnreachable,
            RegistryHint::CheckProxy,
        ),
        (
            BrokenKind::Untrusted,
            Code::RegistryUntrusted,
            RegistryHint::TrustCertificate(host()),
        ),
        (
            BrokenKind::NotTls,
            Code::RegistryUntrusted,
            RegistryHint::UsePlainHttp(host()),
        ),
        (
            BrokenKind::NotHttp,
            Code::RegistryReply,
            RegistryHint::CheckRegistryHost {
                host: host(),
                url: format!("https://{}/v2/", host()),
            },
        ),
    ] {
        let text = "why".to_owned();
        let error = repository.broken("look up x", &Broken { kind, text });
        assert_eq!(
            error.to_string(),
            "cannot look up x in r.example:5000/team/app: why"
        );
        assert_eq!((error.code(), error.hint()), (code, Some(&hint.into())));
    }
}
