//! A push that is killed at random moments. The registry never has a tag on something incomplete, and the next push finishes and
//! sends only what is missing.
//!
//! 30 kills by default; `OCIFY_PUSH_KILLS=300` for a campaign.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::server::{Registry, with_each};
use super::{ocify, push};
use crate::common::builder::{
    Layout, OCI_CONFIG, OCI_GZIP, OCI_INDEX, OCI_MANIFEST, gzip, index, named,
};

const KILLS: u32 = 30;
/// The digest of no bytes.
const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The layers of each of the two images, and their length in bytes before they are compressed.
const LAYERS: u32 = 12;
const LEN: usize = 96 << 10;

/// Bytes that do not compress, the same for one seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(len).collect()
    }
}

/// An image for two platforms, and a referrer of its index.
fn archive(random: &mut Random) -> Vec<u8> {
    let mut layout = Layout::new();
    let mut images = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let layers: Vec<Vec<u8>> = (0..LAYERS).map(|_| layer(random)).collect();
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| format!("sha256:{}", crate::common::sha256(layer)))
            .collect();
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = layout.document(OCI_CONFIG, &config);
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| layout.blob(OCI_GZIP, gzip(layer)))
            .collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
        });
        let mut image = layout.document(OCI_MANIFEST, &manifest);
        image["platform"] = serde_json::json!({"architecture": architecture, "os": "linux"});
        images.push(image);
    }
    let both = layout.document(OCI_INDEX, &index(OCI_INDEX, images));
    let config = layout.blob("application/vnd.oci.empty.v1+json", "{}");
    let note = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-note",
        "config": config, "layers": [config], "subject": both,
    });
    let note = layout.document(OCI_MANIFEST, &note);
    layout.root(vec![named(both, "example.com/app:v1"), note]);
    layout.tar()
}

/// A tar with one file that does not compress.
fn layer(random: &mut Random) -> Vec<u8> {
    use crate::common::archive::{Entry, tar};
    tar(&[Entry::file("file", random.bytes(LEN))])
}

#[test]
fn a_killed_push_leaves_no_tag_on_anything_incomplete() {
    with_each(&[], push_and_kill);
}

fn push_and_kill(home: &Path, registry: &Registry) {
    let kills = env::var("OCIFY_PUSH_KILLS")
        .ok()
        .and_then(|text| text.parse().ok());
    let kills = kills.unwrap_or(KILLS);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let input = home.join("app.tar");
    fs::write(&input, archive(&mut random)).unwrap();
    let started = Instant::now();
    let report = push(home, &input, &format!("{}/first:v1", registry.host), &[]).succeeded();
    let mut whole = started.elapsed();
    let count = |report: &Value, state: &str| report["totals"][state]["count"].as_u64().unwrap();
    let all = count(&report, "sent");
    let (mut unfinished, mut tagged) = (0, 0);
    for number in 0..kills {
        // New content, or the registry would have it already.
        fs::write(&input, archive(&mut random)).unwrap();
        let repository = format!("killed{number}");
        let target = format!("{}/{repository}:v1", registry.host);
        let wait = whole.as_micros() as u64 * (random.next() % 1000) / 1000;
        kill_after(home, &input, &target, Duration::from_micros(wait));
        let had_tag = match registry.digest(&repository, "v1") {
            // No client can help that: it was killed between two parts of a request.
            Ok(digest) if registry.stores_incomplete_requests() && digest == EMPTY => false,
            Ok(_) => {
                let stored = registry.manifest(&repository, "v1").unwrap();
                registry.check_complete(&repository, &stored).unwrap();
                true
            }
            Err(_) => false,
        };
        tagged += u32::from(had_tag);
        // Other programs make pushes slower for a while. The kills stay within the push.
        if had_tag {
            whole = whole.mul_f64(0.9);
        }
        let there = blobs(&report_of(home, &input, &target));
        let there = there
            .iter()
            .filter(|digest| registry.has_blob(&repository, digest))
            .count();
        if there == 0 {
            whole = whole.mul_f64(1.1);
        }
        let report = push(home, &input, &target, &[]).succeeded();
        let (sent, exists) = (count(&report, "sent"), count(&report, "exists"));
        assert_eq!(sent + exists, all);
        assert!(exists >= there as u64, "{there} were there, {report:#}");
        unfinished += u32::from(sent > 0 && exists > 0);
        let stored = registry.manifest(&repository, "v1").unwrap();
        registry.check_complete(&repository, &stored).unwrap();
    }
    // The kills hit all parts of a push.
    assert!(
        unfinished > kills / 5,
        "{unfinished} of {kills} were in the middle, {tagged} after the tag"
    );
}

/// What would be pushed.
fn report_of(home: &Path, input: &Path, target: &str) -> Value {
    push(home, input, target, &["--dry-run"]).succeeded()
}

/// The digests of blobs that are not manifests.
fn blobs(report: &Value) -> Vec<String> {
    let all = report["blobs"].as_array().unwrap().iter();
    let blobs = all.filter(|blob| blob["media_type"].is_null());
    blobs
        .map(|blob| blob["digest"].as_str().unwrap().to_owned())
        .collect()
}

fn kill_after(home: &Path, input: &Path, target: &str, wait: Duration) {
    let mut command = ocify(home);
    command.arg("push").arg(input).arg(target);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(wait);
    child.kill().unwrap();
    child.wait().unwrap();
}
