//! What crane writes, to the byte of every file: `crane.rs` compares it with what the crane that is installed writes.

use serde_json::{Map, Value, json};

use super::{NAME, Real};
use crate::common::archive::{Entry, tar};
use crate::common::builder::{gzip, zstd};
use crate::common::sha256;

/// The time at which nothing was created.
const ZERO: &str = "0001-01-01T00:00:00Z";

/// An archive: the config is `sha256:<hex>`, the layers are `<hex>.tar.gz`, whatever their compression is. Each file is there once.
fn archive(config: &[u8], layers: &[Vec<u8>]) -> Vec<u8> {
    let config_name = format!("sha256:{}", sha256(config));
    let mut entries = vec![Entry::file(&config_name, config)];
    let mut names: Vec<String> = Vec::new();
    for layer in layers {
        let name = format!("{}.tar.gz", sha256(layer));
        if !names.contains(&name) {
            entries.push(Entry::file(&name, layer));
        }
        names.push(name);
    }
    let items = json!([{"Config": config_name, "RepoTags": [NAME], "Layers": names}]);
    entries.push(Entry::file("manifest.json", items.to_string()));
    tar(&entries)
}

/// An archive whose layers are all compressed in one way.
pub(crate) fn compressed(real: &Real, form: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    archive(&real.config, &layers(real, form))
}

fn layers(real: &Real, form: fn(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    real.layers.iter().map(|plain| form(plain)).collect()
}

/// A layer that no fixture has. It is longer than a block of a tar, also with zstd.
pub(crate) fn new_layer() -> Vec<u8> {
    let text: String = (0..64u8).map(|number| sha256(&[number])).collect();
    tar(&[Entry::dir("etc/"), Entry::file("etc/appended", text)])
}

/// What `crane append --base` writes, with gzip layers in the base. Each appended layer is given plain and compressed.
fn append(real: &Real, appended: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    let mut config: Value = serde_json::from_slice(&real.config).expect("a config");
    for (plain, _) in appended {
        extend(&mut config, plain);
    }
    let keys = ["Cmd", "Env", "Labels", "User", "WorkingDir", "ArgsEscaped"];
    config["config"] = in_order(&config["config"], &keys);
    let mut all = layers(real, gzip);
    all.extend(appended.iter().map(|(_, compressed)| compressed.clone()));
    archive(&written(&config), &all)
}

/// A new layer, and after it one that the base has already.
pub(crate) fn twice(real: &Real) -> Vec<u8> {
    let (new, old) = (new_layer(), &real.layers[0]);
    append(real, &[(&new, gzip(&new)), (old, gzip(old))])
}

/// A zstd layer after gzip layers.
pub(crate) fn with_zstd(real: &Real) -> Vec<u8> {
    let new = new_layer();
    append(real, &[(&new, zstd(&new))])
}

/// What `crane append` writes without a base, with the command that `crane mutate` adds: the config states no platform.
pub(crate) fn without_base(real: &Real) -> Vec<u8> {
    let mut config = json!({
        "architecture": "",
        "created": ZERO,
        "history": [],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Cmd": ["/bin/hello"]},
    });
    for plain in &real.layers {
        extend(&mut config, plain);
    }
    archive(&written(&config), &layers(real, gzip))
}

/// Adds a layer to a config.
fn extend(config: &mut Value, plain: &[u8]) {
    let mut push = |place: &str, value: Value| {
        let list = config.pointer_mut(place).and_then(Value::as_array_mut);
        list.expect("a list").push(value);
    };
    let diff_id = format!("sha256:{}", sha256(plain));
    push("/rootfs/diff_ids", diff_id.into());
    push("/history", json!({"created": ZERO}));
}

/// A config as Go writes it.
fn written(config: &Value) -> Vec<u8> {
    let keys = [
        "architecture",
        "created",
        "history",
        "os",
        "rootfs",
        "config",
    ];
    let text = in_order(config, &keys).to_string();
    let text = text.replace('<', "\\u003c").replace('>', "\\u003e");
    text.replace('&', "\\u0026").into_bytes()
}

fn in_order(object: &Value, keys: &[&str]) -> Value {
    let pair = |key: &&str| ((*key).to_owned(), object[*key].clone());
    Value::Object(keys.iter().map(pair).collect::<Map<_, _>>())
}
