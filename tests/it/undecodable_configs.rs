//! Configs that only some engines can decode. The engine tests try the same values in engines.

use ocify::Loads;
use serde_json::{Value, json};

use crate::common::judged::written;
use crate::obstacles;
use crate::undecodable::{Part, one};

#[test]
fn what_only_some_engines_decode_is_reported() {
    let list = "a string, expected a list of strings";
    for (text, value, what) in [
        ("config/Cmd", json!("run"), format!("config, Cmd of the config is {list}")),
        ("config/Entrypoint", json!("run"), format!("config, Entrypoint of the config is {list}")),
        ("config/Shell", json!("sh"), format!("config, Shell of the config is {list}")),
        ("config/Healthcheck/Retries", json!("3"), "config, Healthcheck, Retries of the config is a string, expected an integer of at most 64 bits".to_owned()),
        ("config/OnBuild", json!("RUN x"), "config, OnBuild of the config is a string, expected a list".to_owned()),
        ("container_config", json!([]), "container_config of the config is a list, expected an object".to_owned()),
        ("docker_version", json!(29), "docker_version of the config is a number, expected a string".to_owned()),
    ] {
        let found = written(&one(Part::Config, text, value).tar(), &[]);
        let finding = &found.report["findings"][0];
        assert_eq!(finding["rule"], "undecodable-config", "{text}");
        assert_eq!(finding["severity"], "breaks", "{text}");
        let message = format!("{what}; some engines cannot decode it");
        assert_eq!(finding["message"], message, "{text}");
        let location = "index.json, manifests[0], manifests[0], config";
        assert_eq!(finding["location"], location, "{text}");
        assert_eq!(found.report["findings"][1], Value::Null, "{text}");
    }
}

/// The engines, each with the Go type that it decodes a config into.
const ENGINES: [&str; 14] = [
    "docker@26.1.5/graphdriver",
    "docker@29.0.0/graphdriver",
    "docker@24.0.0/containerd",
    "docker@26.1.5/containerd",
    "containerd@1.7.24",
    "kind@0.26.0",
    "podman@5.4.2",
    "skopeo@1.18.0/oci-archive",
    "skopeo@1.18.0/docker-archive",
    "buildah@1.39.3/oci-archive",
    "apptainer@1.4.5/oci-archive",
    "crane@0.20.7",
    "umoci@0.4.7",
    "oras@1.2.0",
];

#[test]
fn a_check_says_which_engines_cannot_decode_a_config() {
    // A cross stands for an engine that refuses the image, in the order above.
    for (text, value, refusals) in [
        ("config/Cmd", json!("run"), ".xxxxxx..xxxx."),
        ("config/Entrypoint", json!("run"), ".xxxxxx..xxxx."),
        ("config/Shell", json!("sh"), ".x.x......xx.."),
        ("config/Hostname", json!(5), "xx....x.xxxx.."),
        ("config/MacAddress", json!(5), "x.....x.xxxx.."),
        ("config/StopTimeout", json!("5"), "xx....x.xx...."),
        ("config/OnBuild", json!("RUN x"), "xx.x..x.xxxx.."),
        (
            "config/Healthcheck",
            json!({"Interval": "30s"}),
            "xx.x..x.xxxx..",
        ),
        ("container_config", json!({"Tty": 1}), "xx....x.xx...."),
        ("container_config", json!({"Cmd": "x"}), ".x............"),
        ("docker_version", json!(5), "xx....x.xxxx.."),
        ("id", json!(5), "xx....x.xx...."),
        ("size", json!("5"), "xx....x.xx...."),
        // What nobody decodes is in nobody's way.
        ("config/Memory", json!("5"), ".............."),
    ] {
        let archive = one(Part::Config, text, value).tar();
        assert_eq!(refusals.len(), ENGINES.len());
        for (engine, mark) in ENGINES.into_iter().zip(refusals.chars()) {
            let expected = match mark {
                'x' => (engine, Loads::No, "undecodable-config"),
                _ => (engine, Loads::Yes, ""),
            };
            obstacles::check(text, &archive, &[expected]);
        }
    }
}
