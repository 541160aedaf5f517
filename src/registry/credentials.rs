//! Credentials from the configuration files of docker and podman.
//!
//! Own code, because docker_credential 1.4 knows no entries for parts of a registry, prefers stale entries to the
//! store, waits for a helper without a limit, and puts what a failing helper wrote, which may be a secret, into its
//! errors.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::helper;
use super::options::{RegistryOptions, Secret};
use super::tls::read;
use crate::error::{Code, Error, RegistryHint, Result, show_path};

/// What a registry or its token server may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    Password {
        username: String,
        password: Secret,
    },
    /// A refresh token.
    IdentityToken(Secret),
}

/// How docker's files name its own registry.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The credential for a repository: the one in `options`, or the first one that a configuration file has for it.
pub(super) fn find(
    options: &RegistryOptions,
    host: &str,
    repository: &str,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<Credential>> {
    if let Some((username, password)) = &options.login {
        return Ok(Some(Credential::Password {
            username: username.clone(),
            password: password.clone(),
        }));
    }
    let keys = keys(host, repository);
    let look = |config: &Config| config.find(host, &keys, options);
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let chosen = options.authfile.clone();
    // Only this file, which has to be there.
    let only = |path: &Path| look(&Config::read(path)?);
    if let Some(path) = chosen {
        return only(&path);
    }
    if let Some(text) = variable("DOCKER_AUTH_CONFIG") {
        let config = Config::parse(text.as_encoded_bytes(), "DOCKER_AUTH_CONFIG")?;
        if let Some(found) = look(&config)? {
            return Ok(Some(found));
        }
    }
    if let Some(path) = variable("REGISTRY_AUTH_FILE") {
        return only(Path::new(&path));
    }
    for path in default_files(&variable) {
        if !path.exists() {
            continue;
        }
        if let Some(found) = look(&Config::read(&path)?)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The files of podman, then docker's. A directory that the user chose for docker comes first.
fn default_files(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let path = |name: &str| variable(name).map(PathBuf::from);
    let home = path("HOME");
    let docker = path("DOCKER_CONFIG").map(|directory| directory.join("config.json"));
    files.extend(docker.clone());
    if let Some(runtime) = path("XDG_RUNTIME_DIR") {
        files.push(runtime.join("containers/auth.json"));
    }
    let config = path("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
    files.extend(config.map(|config| config.join("containers/auth.json")));
    if docker.is_none() {
        files.extend(home.map(|home| home.join(".docker/config.json")));
    }
    files
}

/// The keys that an entry for a repository may have, the longest first: the repository, what it is in, the host.
fn keys(host: &str, repository: &str) -> Vec<String> {
    let whole = format!("{host}/{repository}");
    let ends = whole.match_indices('/').map(|(at, _)| at);
    let mut keys: Vec<String> = ends.map(|end| whole[..end].to_owned()).collect();
    keys.push(whole);
    keys.reverse();
    keys
}

/// A key as [`keys`] spells it. Old versions of docker wrote addresses.
fn normalized(key: &str) -> String {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let (rest, is_address) = match rest {
        Some(rest) => (rest, true),
        None => (key, false),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match host.to_ascii_lowercase().as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    };
    let path = path.trim_end_matches('/');
    match is_address || path.is_empty() || path == "v1" || path == "v2" {
        true => host,
        false => format!("{host}/{path}"),
    }
}

/// What a configuration file has about credentials.
struct Config {
    /// What messages call it.
    name: String,
    fields: Map<String, Value>,
}

impl Config {
    fn read(path: &Path) -> Result<Self> {
        let bytes = read(path).map_err(|error| error.with_hint(RegistryHint::CheckAuthFile))?;
        Self::parse(&bytes, &show_path(path))
    }

    fn parse(bytes: &[u8], name: &str) -> Result<Self> {
        // An empty file is one that has nothing.
        if bytes.trim_ascii().is_empty() {
            return Ok(Config {
                name: name.to_owned(),
                fields: Map::new(),
            });
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Config {
                name: name.to_owned(),
                fields,
            }),
            _ => Err(unusable(name, "it is not a JSON object")),
        }
    }

    /// The first entry of an object in the file, in the order of the keys, that `read` takes.
    fn entry<'a, T>(
        &'a self,
        object: &str,
        keys: &[String],
        read: impl Fn(&'a Value) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let Some(Value::Object(entries)) = self.fields.get(object) else {
            return Ok(None);
        };
        for key in keys {
            for (name, value) in entries {
                if normalized(name) == *key
                    && let Some(found) = read(value)?
                {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    fn find(
        &self,
        host: &str,
        keys: &[String],
        options: &RegistryOptions,
    ) -> Result<Option<Credential>> {
        let own = self.entry("credHelpers", keys, |value| Ok(value.as_str()))?;
        let store = self.fields.get("credsStore").and_then(Value::as_str);
        let programs = [own, store].into_iter().flatten();
        for program in programs.filter(|program| !program.is_empty()).take(1) {
            let server = match host {
                "docker.io" => DOCKER_HUB_KEY,
                other => other,
            };
            let limit = options.limits.helper;
            if let Some(found) = helper::get(program, server, limit)? {
                return Ok(Some(found));
            }
        }
        self.entry("auths", keys, |value| self.credential(value))
    }

    /// The credential in an entry of `auths`; `None` for those that only say that a store has it.
    fn credential(&self, entry: &Value) -> Result<Option<Credential>> {
        let text = |key: &str| {
            let text = entry.get(key).and_then(Value::as_str);
            text.filter(|text| !text.is_empty())
        };
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credential::IdentityToken(Secret::new(token))));
        }
        if let Some(auth) = text("auth") {
            let pair = decode_pair(auth);
            let (username, password) =
                pair.ok_or_else(|| unusable(&self.name, "an entry has an invalid \"auth\""))?;
            return Ok(Some(Credential::Password { username, password }));
        }
        Ok(match (text("username"), text("password")) {
            (Some(username), Some(password)) => Some(Credential::Password {
                username: username.to_owned(),
                password: Secret::new(password),
            }),
            _ => None,
        })
    }
}

/// The user and the password in base64.
fn decode_pair(auth: &str) -> Option<(String, Secret)> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&alphabet::STANDARD, config);
    let pair = String::from_utf8(engine.decode(auth.trim()).ok()?).ok()?;
    let (username, password) = pair.split_once(':')?;
    // docker once padded passwords.
    let password = password.trim_matches('\0');
    Some((username.to_owned(), Secret::new(password)))
}

/// The error of a source of credentials that cannot be used, without its content.
pub(super) fn unusable(name: &str, reason: &str) -> Error {
    let message = format!("cannot use the credentials of {name}: {reason}");
    Error::new(Code::Credentials, message).with_hint(RegistryHint::CheckAuthFile)
}

#[cfg(test)]
mod tests;
