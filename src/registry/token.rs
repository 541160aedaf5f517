//! Tokens from the server that a registry names.

use std::time::{Duration, Instant};

use ureq::http::Method;

use super::Repository;
use super::auth::basic;
use super::credentials::Credential;
use super::host::is_local;
use super::http::{Exchange, Payload};
use super::options::Secret;
use super::reply::{Bearer, token};
use super::url::{Url, percent_encoded};
use crate::error::{Code, Error, RegistryHint, Result, escape};
use crate::image::media_type::FORM;

/// The longest reply of a token server, in bytes.
const MAX_REPLY: u64 = 256 * 1024;

/// A token, as the value of `Authorization`.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) header: Secret,
    /// From when on a new token is fetched instead.
    pub(super) expires: Instant,
}

impl Repository<'_> {
    /// A new token for these scopes; an anonymous one without credentials.
    pub(super) fn fetch_token(
        &self,
        bearer: &Bearer,
        credential: Option<&Credential>,
        scopes: &[String],
    ) -> Result<Token> {
        let Some(realm) = Url::parse(&bearer.realm) else {
            return Err(self.invalid("log in", "the address of the token server cannot be used"));
        };
        let is_plain = !realm.is_https() && !is_local(realm.host());
        if is_plain && (credential.is_some() || self.client.host.base.is_https()) {
            return Err(self.exposed("the address of the token server is plain HTTP"));
        }
        let what = format!("get a token from {} for pushing", escape(realm.authority()));
        let asked = Instant::now();
        let request = TokenRequest::new(&realm, bearer, credential, scopes);
        let mut reply = self.repeated(&what, || {
            let payload = match &request.form {
                Some(form) => Payload::Bytes(form.reveal().as_bytes()),
                None => Payload::None,
            };
            let exchange = Exchange {
                method: &request.method,
                url: &request.url,
                headers: &request.headers,
                authorization: request.authorization.as_ref(),
                limit: MAX_REPLY,
                patience: Duration::ZERO,
                at_most: None,
            };
            self.client.http.send(&exchange, payload)
        })?;
        if reply.status != 200 {
            if let Some(Credential::IdentityToken(token)) = credential {
                reply.body = token.masked(reply.body);
            }
            let error = self.refused(&what, &reply);
            // Whatever its status, the registry does not accept the credentials.
            return Err(match reply.status {
                400..=403 => self.unauthorized(error),
                _ => error,
            });
        }
        let token = match reply.is_cut {
            true => None,
            false => parse(&reply.body, asked),
        };
        token.ok_or_else(|| self.invalid(&what, "it has no token"))
    }

    fn unauthorized(&self, error: Error) -> Error {
        Error::new(Code::RegistryUnauthorized, error.to_string())
            .with_hint(RegistryHint::LogIn(self.client.host.name.clone()))
    }
}

struct TokenRequest {
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    authorization: Option<Secret>,
    /// With the refresh token.
    form: Option<Secret>,
}

impl TokenRequest {
    fn new(
        realm: &Url,
        bearer: &Bearer,
        credential: Option<&Credential>,
        scopes: &[String],
    ) -> Self {
        let service = bearer.service.as_deref();
        if let Some(Credential::IdentityToken(token)) = credential {
            let form = form(token, service, scopes);
            return TokenRequest {
                method: Method::POST,
                url: realm.clone(),
                headers: vec![("content-type", FORM.to_owned())],
                authorization: None,
                form: Some(form),
            };
        }
        let mut url = realm.clone();
        if let Some(service) = service {
            url = url.with_parameter("service", service);
        }
        for scope in scopes {
            url = url.with_parameter("scope", scope);
        }
        let mut authorization = None;
        if let Some(Credential::Password { username, password }) = credential {
            url = url.with_parameter("account", username);
            authorization = Some(basic(username, password));
        }
        TokenRequest {
            method: Method::GET,
            url,
            headers: Vec::new(),
            authorization,
            form: None,
        }
    }
}

fn form(token: &Secret, service: Option<&str>, scopes: &[String]) -> Secret {
    let mut form = "grant_type=refresh_token&client_id=ocify".to_owned();
    if let Some(service) = service {
        form.push_str("&service=");
        form.push_str(&percent_encoded(service));
    }
    form.push_str("&scope=");
    form.push_str(&percent_encoded(&scopes.join(" ")));
    form.push_str("&refresh_token=");
    form.push_str(&percent_encoded(token.reveal()));
    Secret::new(form)
}

/// The token in a reply to a request that was sent at `asked`.
fn parse(body: &[u8], asked: Instant) -> Option<Token> {
    let (token, life) = token(body)?;
    Some(Token {
        header: Secret::new(format!("Bearer {token}")),
        // Some of its life is left for the request.
        expires: asked + life.mul_f64(0.9),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_two_names_and_a_limited_life() {
        let asked = Instant::now();
        let one = |body: &str| {
            let token = parse(body.as_bytes(), asked)?;
            Some((
                token.header.reveal().to_owned(),
                (token.expires - asked).as_secs(),
            ))
        };
        let bearer = |text: &str, seconds| Some((format!("Bearer {text}"), seconds));
        assert_eq!(one(r#"{"token":"a"}"#), bearer("a", 54));
        assert_eq!(
            one(r#"{"access_token":"b","expires_in":100}"#),
            bearer("b", 90)
        );
        assert_eq!(
            one(r#"{"token":"","access_token":"b","expires_in":1e99}"#),
            bearer("b", 77_760)
        );
        assert_eq!(one(r#"{"token":"a","expires_in":-5}"#), bearer("a", 0));
        for body in [
            "",
            "[]",
            "{}",
            r#"{"token":7}"#,
            r#"{"token":"a\r\nb"}"#,
            r#"{"token":"a b"}"#,
        ] {
            assert_eq!(one(body), None, "{body}");
        }
    }

    #[test]
    fn a_refresh_token_is_sent_in_a_form_only() {
        let realm = Url::parse("https://auth.example/token?x=y").unwrap();
        let bearer = Bearer {
            realm: realm.to_string(),
            service: Some("a b".to_owned()),
            scope: None,
        };
        let scopes = ["repository:a/b:pull,push", "repository:c:pull"].map(str::to_owned);
        let secret = Credential::IdentityToken(Secret::new("s&c=r t"));
        let request = TokenRequest::new(&realm, &bearer, Some(&secret), &scopes);
        assert_eq!((request.method.as_str(), &request.url), ("POST", &realm));
        assert!(request.authorization.is_none());
        let form = "grant_type=refresh_token&client_id=ocify&service=a%20b&scope=repository:a/b:pull%2Cpush%20repository:c:pull&refresh_token=s%26c%3Dr%20t";
        assert_eq!(request.form.unwrap().reveal(), form);

        let password = Credential::Password {
            username: "me".to_owned(),
            password: Secret::new("pass"),
        };
        let request = TokenRequest::new(&realm, &bearer, Some(&password), &scopes);
        let url = "https://auth.example/token?x=y&service=a%20b&scope=repository:a/b:pull%2Cpush&scope=repository:c:pull&account=me";
        assert_eq!(
            (request.method.as_str(), request.url.to_string().as_str()),
            ("GET", url)
        );
        assert_eq!(
            request.authorization.unwrap().reveal(),
            "Basic bWU6cGFzcw=="
        );
        let anonymous = TokenRequest::new(&realm, &bearer, None, &scopes);
        assert!(anonymous.authorization.is_none() && anonymous.form.is_none());
    }
}
