//! The options that outputs depend on, as one digest.

use ocify::{Algorithm, Code, Digest, Error, Platform, Result};
use serde::Serialize;

use crate::args::{
    Attestations, Fix, LayerCompression, Linking, Members, Missing, Orphans, Verification,
};
use crate::destination::ImageKind;

/// Everything that an output depends on besides its input.
#[derive(Serialize)]
struct OutputOptions {
    /// Another version may write another output.
    version: &'static str,
    /// `manifest.json` describes an image for this machine's architecture.
    architecture: &'static str,
    docker_platform: Option<String>,
    attestations: Attestations,
    orphans: Orphans,
    compression: LayerCompression,
    compression_level: Option<i32>,
    gzip_members: Members,
    oci_mediatypes: bool,
    preserve_digests: bool,
    engines: Vec<String>,
    rename: Vec<[String; 2]>,
    image: Vec<String>,
    platform: Vec<String>,
    unwrap: bool,
    kind: Option<ImageKind>,
    missing: Missing,
    verify: Option<Verification>,
    link: Linking,
    lenient: bool,
    max_ratio: u64,
    max_size: u64,
    max_window: u64,
}

impl OutputOptions {
    /// Every option is named here, so that a new one is not forgotten.
    fn of(args: &Fix) -> Self {
        let Fix {
            docker_platform,
            attestations,
            orphans,
            compression,
            compression_level,
            gzip_members,
            oci_mediatypes,
            preserve_digests,
            engines,
            rename,
            image,
            platform,
            unwrap,
            missing,
            verify,
            link,
            lenient,
            max_ratio,
            max_size,
            max_window,
            // See `output_kind`.
            layout: _,
            archive: _,
            // These say what is read and written, and how.
            inputs: _,
            output: _,
            many: _,
            spool_dir: _,
            jobs: _,
            sync: _,
            force: _,
            // What links lead to counts as the source.
            follow: _,
            // These are for people and programs that watch.
            format: _,
            verbose: _,
            quiet: _,
            metadata_file: _,
            progress: _,
            // These modes write no output directory.
            in_place: _,
            orphans_older_than: _,
            recover: _,
            dry_run: _,
            strict: _,
            // Not supported with many inputs.
            name: _,
        } = args;
        OutputOptions {
            version: env!("CARGO_PKG_VERSION"),
            architecture: std::env::consts::ARCH,
            docker_platform: docker_platform.as_ref().map(Platform::specifier),
            attestations: attestations.unwrap_or(Attestations::Keep),
            orphans: *orphans,
            compression: *compression,
            compression_level: *compression_level,
            gzip_members: gzip_members.unwrap_or(Members::Multi),
            oci_mediatypes: *oci_mediatypes,
            preserve_digests: *preserve_digests,
            engines: engines.iter().map(ToString::to_string).collect(),
            rename: rename
                .iter()
                .map(|(old, new)| [old.full(), new.full()])
                .collect(),
            image: image.iter().map(ToString::to_string).collect(),
            platform: platform.iter().map(Platform::specifier).collect(),
            unwrap: *unwrap,
            kind: args.output_kind(),
            missing: *missing,
            // The other levels write the same outputs.
            verify: verify.filter(|level| *level == Verification::Documents),
            link: link.unwrap_or(Linking::Auto),
            lenient: *lenient,
            max_ratio: *max_ratio,
            max_size: *max_size,
            max_window: *max_window,
        }
    }
}

/// The SHA-256 of the options as canonical JSON: without white space, keys sorted.
///
/// # Errors
/// The options cannot be written as JSON.
pub(crate) fn options_key(args: &Fix) -> Result<Digest> {
    let text = canonical(args).map_err(|error| {
        Error::new(Code::Io, "the options cannot be written as JSON").with_source(error)
    })?;
    Ok(Digest::of(Algorithm::Sha256, text.as_bytes()))
}

fn canonical(args: &Fix) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(OutputOptions::of(args))?;
    value.sort_all_objects();
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn args(line: &[&str]) -> Fix {
        let line = ["ocify", "fix", "in", "-o", "out/"].iter().chain(line);
        let Command::Fix(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command");
        };
        args
    }

    #[test]
    fn the_text_is_canonical() {
        let line = [
            "--for",
            "docker@20.10",
            "--rename",
            "a=b:1",
            "--image",
            "2",
            "--compression-level",
            "9",
            "--docker-platform",
            "linux/arm64",
        ];
        let expected = format!(
            r#"{{"architecture":"{}","attestations":"keep","compression":"keep","compression_level":9,"docker_platform":"linux/arm64","engines":["docker@20.10"],"gzip_members":"multi","image":["number 2"],"kind":null,"lenient":false,"link":"auto","max_ratio":1100,"max_size":137438953472,"max_window":128,"missing":"keep","oci_mediatypes":true,"orphans":"keep","platform":[],"preserve_digests":false,"rename":[["docker.io/library/a:latest","docker.io/library/b:1"]],"unwrap":false,"verify":null,"version":"{}"}}"#,
            std::env::consts::ARCH,
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(canonical(&args(&line)).unwrap(), expected);
    }

    #[test]
    fn options_that_change_outputs_change_the_key() {
        let key = |line: &[&str]| options_key(&args(line)).unwrap();
        let none = key(&[]);
        let lines: [&[&str]; 22] = [
            &["--docker-platform", "linux/arm64"],
            &["--attestations", "drop"],
            &["--orphans", "drop"],
            &["--compression", "gzip"],
            &["--compression-level", "1"],
            &["--gzip-members", "single"],
            &["--oci-mediatypes=false"],
            &["--preserve-digests"],
            &["--for", "podman"],
            &["--rename", "a=b"],
            &["--image", "1"],
            &["--platform", "windows/amd64"],
            &["--platform", "windows(10.0.17763)/amd64"],
            &["--unwrap"],
            &["--missing", "prune"],
            &["--verify", "documents"],
            &["--link", "never"],
            &["--layout"],
            &["--archive"],
            &["--lenient"],
            &["--max-ratio", "7"],
            &["--max-size", "7M"],
        ];
        let mut keys: Vec<Digest> = lines.iter().map(|line| key(line)).collect();
        keys.push(none.clone());
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), lines.len() + 1);
        for line in [
            &["--jobs", "3"][..],
            &["--force", "--sync"],
            &["--spool-dir", "/tmp", "--format", "json"],
            &["--shard", "1/2", "--report", "r.jsonl"],
        ] {
            assert_eq!(key(line), none, "{line:?}");
        }
    }
}
