//! Where compressed archives are decompressed, and the limits on that.

use std::fs;
use std::path::Path;

use crate::common::builder::{DOCKER_GZIP, Image, Layer, Layout, gzip, zstd};
use crate::common::checker::check_output;
use crate::common::failure::{expect, fails_with};
use crate::common::judged::fixed;
use crate::common::runner::{Sandbox, run};

/// A tar that needs every kind of change.
fn sample() -> Vec<u8> {
    let app = Image::docker(vec![
        Layer::gzip(DOCKER_GZIP, "a"),
        Layer::zstd(DOCKER_GZIP, "b"),
    ]);
    Layout::of(&app, "docker.io/library/app:v1").tar()
}

#[test]
fn the_ratio_is_bounded() {
    // Zeros may follow an archive, so only the ratio is at fault here.
    let zeros = vec![0; 1 << 20];
    let after = |compress: fn(&[u8]) -> Vec<u8>| {
        [compress(&sample()), compress(&zeros).repeat(66)].concat()
    };
    let whole = after(zstd);
    let ratio = (66 << 20) / whole.len();
    let (less, more) = ((ratio / 2).to_string(), (ratio * 2).to_string());
    for bytes in [&whole, &after(gzip)] {
        let parts = ["in.tar", "decompresses from", "to more than 67108864"];
        fails_with(
            "less",
            bytes,
            &["--max-ratio", "2"],
            "compression-ratio",
            &parts,
        );
    }
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", &whole);
    let run = sandbox
        .fix_with("in.tar", "out.tar", &["--max-ratio", &less])
        .exits(1);
    assert!(
        run.stderr.contains("hint: ") && run.stderr.contains("--max-ratio"),
        "{}",
        run.stderr
    );
    sandbox
        .fix_with("in.tar", "out.tar", &["--max-ratio", &more])
        .exits(0);
    check_output(&sandbox.path("out.tar"));
    // Small archives may become 64 MiB whatever the ratio.
    fixed(&gzip(&sample()), &["--max-ratio", "1"]);
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).unwrap().next().is_none()
}

#[test]
fn the_spool_directory_is_used_and_left_empty() {
    let sandbox = Sandbox::new();
    sandbox.put("in.tar", gzip(&sample()));
    sandbox.put("plain.tar", sample());
    fs::create_dir(sandbox.path("spool")).unwrap();
    sandbox
        .fix_with("in.tar", "out.tar", &["--spool-dir", "spool"])
        .exits(0);
    assert!(is_empty(&sandbox.path("spool")));
    let options = ["--spool-dir", "missing"];
    let absent = sandbox.fix_with("in.tar", "no.tar", &options);
    expect(
        "missing",
        &absent,
        "io",
        &["cannot create a temporary file in missing"],
    );
    assert!(absent.stderr.contains("--spool-dir"), "{}", absent.stderr);
    assert!(!sandbox.path("no.tar").exists());
    // A plain archive needs none.
    sandbox
        .fix_with("plain.tar", "plain-out.tar", &options)
        .exits(0);
    // TMPDIR is used, and --spool-dir takes precedence.
    let tmpdir = |value: &str, more: &[&str]| {
        let mut command = sandbox.command();
        command
            .env("TMPDIR", value)
            .args(["fix", "in.tar", "--dry-run", "--format", "json"]);
        run(command.args(more))
    };
    assert_eq!(tmpdir("missing", &[]).code, 1);
    assert_eq!(tmpdir("spool", &[]).code, 3);
    assert_eq!(tmpdir("missing", &["--spool-dir", "spool"]).code, 3);
    // Damage leaves nothing there either.
    let whole = gzip(&sample());
    sandbox.put("cut.tar", &whole[..whole.len() / 2]);
    sandbox
        .fix_with("cut.tar", "no.tar", &["--spool-dir", "spool"])
        .exits(1);
    assert!(is_empty(&sandbox.path("spool")));
}
