use ureq::http::HeaderMap;

use super::http::{Broken, BrokenKind, Reply};
use super::*;
use crate::error::{Code, Hint, RegistryHint};

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
            RegistryHint::CheckRegistryHost(host()),
        ),
        (
            BrokenKind::Connection,
            Code::RegistryUnreachable,
            RegistryHint::PushLater,
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
            RegistryHint::CheckRegistryHost(host()),
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
