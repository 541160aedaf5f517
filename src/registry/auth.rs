//! What a registry's challenges are answered with, kept for all requests to it.

use std::collections::HashMap;
use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Repository;
use super::credentials::{self, Credential};
use super::http::Reply;
use super::options::Secret;
use super::reply::{Bearer, Challenge, challenge};
use super::token::Token;
use crate::error::Result;

/// The challenge that a registry made, and the answers to it.
#[derive(Debug, Default)]
pub(super) struct Auth {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    challenge: Option<Challenge>,
    /// By repository: files of podman may have others for parts of a registry.
    credentials: HashMap<String, Option<Credential>>,
    /// By scopes.
    tokens: HashMap<Vec<String>, Token>,
}

impl Repository<'_> {
    /// Threads wait while one of them gets a token, which is then for all of them.
    fn auth_state(&self) -> MutexGuard<'_, State> {
        let state = self.client.auth.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to the registry's challenge; `None` as long as it has made none, or without credentials.
    pub(super) fn known_authorization(&self, mount_from: Option<&str>) -> Result<Option<Secret>> {
        let mut state = self.auth_state();
        match state.challenge.clone() {
            None => Ok(None),
            Some(Challenge::Basic) => self.basic(&mut state),
            Some(Challenge::Bearer(bearer)) => {
                self.bearer(&mut state, &bearer, mount_from).map(Some)
            }
        }
    }

    /// Another answer after a reply with the status 401 to a request with the answer `used`; `None` if there is none.
    pub(super) fn reauthorize(
        &self,
        reply: &Reply,
        used: Option<&Secret>,
        mount_from: Option<&str>,
    ) -> Result<Option<Secret>> {
        let Some(challenge) =
            stated(reply).map_or_else(|| self.first_challenge(), |one| Ok(Some(one)))?
        else {
            return Ok(None);
        };
        let mut state = self.auth_state();
        state.challenge = Some(challenge.clone());
        let answer = match &challenge {
            Challenge::Basic => self.basic(&mut state)?,
            Challenge::Bearer(bearer) => {
                // Another thread may have a new one by now.
                let scopes = self.scopes(bearer, mount_from);
                let is_used = |token: &Token| used == Some(&token.header);
                if state.tokens.get(&scopes).is_some_and(is_used) {
                    state.tokens.remove(&scopes);
                }
                Some(self.bearer(&mut state, bearer, mount_from)?)
            }
        };
        Ok(answer.filter(|answer| used != Some(answer)))
    }

    /// The challenge at the address that docker asks first. Some registries make it only there.
    fn first_challenge(&self) -> Result<Option<Challenge>> {
        let client = &self.client;
        let reply = client.http.ask_root(client.options.limits.reply)?;
        Ok(reply
            .ok()
            .filter(|reply| reply.status == 401)
            .and_then(|reply| stated(&reply)))
    }

    fn basic(&self, state: &mut State) -> Result<Option<Secret>> {
        Ok(match self.credential(state)? {
            Some(Credential::Password { username, password }) => Some(basic(&username, &password)),
            Some(Credential::IdentityToken(_)) | None => None,
        })
    }

    fn bearer(
        &self,
        state: &mut State,
        bearer: &Bearer,
        mount_from: Option<&str>,
    ) -> Result<Secret> {
        let scopes = self.scopes(bearer, mount_from);
        if let Some(token) = state.tokens.get(&scopes)
            && Instant::now() < token.expires
        {
            return Ok(token.header.clone());
        }
        let credential = self.credential(state)?;
        let token = self.fetch_token(bearer, credential.as_ref(), &scopes)?;
        let header = token.header.clone();
        state.tokens.insert(scopes, token);
        Ok(header)
    }

    /// What a token has to be for.
    fn scopes(&self, bearer: &Bearer, mount_from: Option<&str>) -> Vec<String> {
        let mut scopes = vec![format!("repository:{}:pull,push", self.name)];
        if let Some(from) = mount_from {
            scopes.push(format!("repository:{from}:pull"));
        }
        // Some registries have a scope of their own.
        if let Some(scope) = &bearer.scope
            && !scope.starts_with("repository:")
        {
            scopes.push(scope.clone());
        }
        scopes
    }

    fn credential(&self, state: &mut State) -> Result<Option<Credential>> {
        let host = &self.client.host;
        let credential = match state.credentials.get(&self.name) {
            Some(credential) => credential.clone(),
            None => {
                let environment = |name: &str| env::var_os(name);
                let options = &self.client.options;
                let found = credentials::find(options, &host.name, &self.name, &environment)?;
                state.credentials.insert(self.name.clone(), found.clone());
                found
            }
        };
        if credential.is_some() && !host.base.is_https() && !host.is_local {
            return Err(self.exposed("the registry asks for them over plain HTTP"));
        }
        Ok(credential)
    }
}

/// The challenge that a reply states.
fn stated(reply: &Reply) -> Option<Challenge> {
    let values = reply.headers.get_all("www-authenticate");
    challenge(values.iter().filter_map(|value| value.to_str().ok()))
}

/// The answer to a challenge of the scheme Basic.
pub(super) fn basic(username: &str, password: &Secret) -> Secret {
    let pair = format!("{username}:{}", password.reveal());
    Secret::new(format!("Basic {}", STANDARD.encode(pair)))
}
