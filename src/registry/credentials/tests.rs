use std::fs;

use super::*;

fn password(username: &str, password: &str) -> Option<Credential> {
    Some(Credential::Password {
        username: username.to_owned(),
        password: Secret::new(password),
    })
}

/// `user:PASSWORD` in base64.
const USER_A: &str = "dXNlcjphOmI=";
const USER_B: &str = "dXNlcjpi";

fn in_file(text: &str, host: &str, repository: &str) -> Result<Option<Credential>> {
    let config = Config::parse(text.as_bytes(), "a.json")?;
    config.find(host, &keys(host, repository), &RegistryOptions::new())
}

#[test]
fn the_entry_with_the_longest_key_is_used() {
    let text = format!(
        r#"{{"auths": {{
            "r.example/team/app": {{"auth": "{USER_A}"}},
            "r.example/team": {{"username": "team", "password": "p"}},
            "https://R.example/v2/": {{"auth": "{USER_B}"}},
            "r.example:5000": {{"identitytoken": "t", "auth": "{USER_A}"}},
            "https://index.docker.io/v1/": {{"username": "hub", "password": "h"}},
            "docker.io/team": {{"username": "hub-team", "password": "h"}},
            "empty.example": {{}}
        }}}}"#
    );
    let find = |host: &str, repository: &str| in_file(&text, host, repository).unwrap();
    assert_eq!(find("r.example", "team/app"), password("user", "a:b"));
    assert_eq!(find("r.example", "team/app/web"), password("user", "a:b"));
    assert_eq!(find("r.example", "team/application"), password("team", "p"));
    assert_eq!(find("r.example", "teams/app"), password("user", "b"));
    assert_eq!(find("docker.io", "library/debian"), password("hub", "h"));
    assert_eq!(find("docker.io", "team/x"), password("hub-team", "h"));
    assert_eq!(find("empty.example", "a"), None);
    assert_eq!(find("other.example", "r.example/team"), None);
    let token = Some(Credential::IdentityToken(Secret::new("t")));
    assert_eq!(find("r.example:5000", "a"), token);
}

#[test]
fn files_that_cannot_be_used_are_errors_without_their_content() {
    for text in [
        "secret",
        "[\"secret\"]",
        r#"{"auths":{"r.example":{"auth":"secret!"}}}"#,
        r#"{"auths":{"r.example":{"auth":"c2VjcmV0"}}}"#,
        r#"{"credsStore":"../secret"}"#,
    ] {
        let error = in_file(text, "r.example", "a").unwrap_err();
        assert_eq!(error.code(), Code::Credentials);
        let name = error.to_string().replace("docker-credential-../secret", "");
        assert!(!name.contains("secret"), "{error}");
    }
    for text in [
        "",
        " \n",
        "{}",
        r#"{"auths":7,"credHelpers":[],"credsStore":null}"#,
    ] {
        assert_eq!(in_file(text, "r.example", "a").unwrap(), None, "{text}");
    }
}

#[test]
fn sources_are_asked_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, user: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = format!(r#"{{"auths":{{"r.example":{{"username":"{user}","password":"p"}}}}}}"#);
        fs::write(&path, &text).unwrap();
        (path.into_os_string(), text)
    };
    let home = directory.path().join("home");
    file("home/.docker/config.json", "home-docker");
    file("home/.config/containers/auth.json", "home-podman");
    file("run/containers/auth.json", "runtime");
    file("docker/config.json", "docker");
    let (auth, text) = file("auth.json", "environment-file");
    let text = text.replace("environment-file", "environment");
    let variables: [(&str, OsString); 5] = [
        ("HOME", home.into()),
        ("XDG_RUNTIME_DIR", directory.path().join("run").into()),
        ("DOCKER_CONFIG", directory.path().join("docker").into()),
        ("REGISTRY_AUTH_FILE", auth.clone()),
        ("DOCKER_AUTH_CONFIG", text.into()),
    ];
    let users = [
        "home-podman",
        "runtime",
        "docker",
        "environment-file",
        "environment",
    ];
    for (count, user) in (1..).zip(users) {
        let environment = |name: &str| {
            let found = variables[..count].iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        };
        let found = find(&RegistryOptions::new(), "r.example", "a", &environment).unwrap();
        assert_eq!(found, password(user, "p"));
        let options = RegistryOptions::new().authfile(&auth);
        let found = find(&options, "r.example", "a", &environment).unwrap();
        assert_eq!(found, password("environment-file", "p"));
        let options = options.login("me", Secret::new("mine"));
        let found = find(&options, "r.example", "a", &environment).unwrap();
        assert_eq!(found, password("me", "mine"));
    }
    fs::remove_dir_all(directory.path().join("home/.config")).unwrap();
    let environment = |name: &str| (name == "HOME").then(|| variables[0].1.clone());
    let options = RegistryOptions::new();
    let found = find(&options, "r.example", "a", &environment).unwrap();
    assert_eq!(found, password("home-docker", "p"));
    // A file that the user names has to be there.
    let options = options.authfile(directory.path().join("absent.json"));
    let error = find(&options, "r.example", "a", &environment).unwrap_err();
    assert_eq!(
        (error.code(), error.hint()),
        (Code::Credentials, Some(&RegistryHint::CheckAuthFile.into()))
    );
}

#[test]
fn secrets_are_not_shown() {
    let options = RegistryOptions::new().login("me", Secret::new("hunter2"));
    let credential = password("me", "hunter2");
    let shown = format!("{options:?} {credential:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
