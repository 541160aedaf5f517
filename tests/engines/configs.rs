//! Images whose config has a value that only some engines can decode.

use serde_json::{Value, json};

use crate::common::builder::{OCI_GZIP, gzip};
use crate::mutants::Case;
use crate::shapes::{OCI, Real};

/// Where the value is, and the value.
#[rustfmt::skip]
fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("/config/Cmd", json!("/bin/hello")),
        ("/config/Entrypoint", json!("/bin/hello")),
        ("/config/Shell", json!("/bin/sh")),
        ("/config/Hostname", json!(5)),
        ("/config/StopTimeout", json!("10")),
        ("/config/OnBuild", json!("RUN true")),
        ("/config/Healthcheck", json!({"Test": ["CMD", "true"], "Interval": "30s"})),
        ("/container_config", json!({"Tty": 1})),
        ("/docker_version", json!(5)),
        ("/id", json!(5)),
        ("/parent", json!(5)),
        ("/comment", json!(5)),
        ("/container", json!(5)),
        ("/size", json!("5")),
    ]
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let case = |(pointer, value): (&str, Value)| {
        let mut real = Real::read();
        let mut config: Value = serde_json::from_slice(&real.config).expect("a config");
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = config.pointer_mut(parent).expect("an object");
        parent[key] = value;
        real.config = config.to_string().into_bytes();
        let layers = real.layers(OCI_GZIP, gzip);
        let archive = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(&archive, real.dual(OCI, &layers, |_| ()).tar()).expect("it is writable");
        Case::of(
            format!("another type of {pointer} in the config"),
            archive.path(),
        )
    };
    values().into_iter().map(case).collect()
}
