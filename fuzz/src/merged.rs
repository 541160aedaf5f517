//! Merges of two archives, and archives of which some platforms are kept.

use std::fs;
use std::path::{Path, PathBuf};

use ocify::{Fix, Input, Merge, OnConflict, Output, Platform, Result, Strictness, Verify};

use crate::{edited, fix_of, folder};

const PLATFORMS: [&str; 8] = [
    "linux/amd64",
    "linux/arm64",
    "linux/arm64/v8",
    "linux/386",
    "windows/amd64",
    "unknown/unknown",
    "linux/arm",
    "linux/s390x",
];

/// Merges two archives, or keeps platforms of one. The first bytes are choices: what is done about names, which platforms are kept, and where the
/// edits of the second archive begin. Both archives are edited images, as in [`edited`].
///
/// # Panics
/// An output is not accepted, would be changed again, or is another one when it is written again.
pub fn merged(input: &[u8]) {
    let mut choices = [0; 3];
    let count = input.len().min(choices.len());
    choices[..count].copy_from_slice(&input[..count]);
    let edits = &input[count..];
    let (first, second) = edits.split_at(usize::from(choices[2]).min(edits.len()));
    let paths = [
        write("first.tar", &edited(first)),
        write("second.tar", &edited(second)),
    ];
    let fix = chosen(fix_of(Strictness::Strict), choices[0], choices[1]);
    if choices[0] & 1 == 0 {
        let one = |name: &str| written(&fix, &paths[0], name);
        check(&fix, one("selected.tar"), || one("again.tar"));
        return;
    }
    let mut merge = Merge::new(fix.clone());
    match choices[0] >> 1 & 3 {
        0 => {}
        1 => merge = merge.on_conflict(OnConflict::First),
        2 => merge = merge.on_conflict(OnConflict::Last),
        _ => merge = merge.on_conflict(OnConflict::Rename),
    }
    if choices[0] & 8 != 0 {
        merge = merge.index("example.com/all:v1".parse().expect("a name"));
    }
    let both = |name: &str| {
        let inputs = paths.iter().map(Input::open).collect::<Result<Vec<_>>>()?;
        let output = folder().join(name);
        merge.run(inputs, Output::archive(&output).overwrite(true))?;
        Ok(output)
    };
    check(&fix, both("merged.tar"), || both("again.tar"));
}

/// With the platforms of a byte, and without their index if the other says so.
fn chosen(fix: Fix, other: u8, platforms: u8) -> Fix {
    let platform = |number: u8| -> Platform {
        let text = PLATFORMS[usize::from(number) % PLATFORMS.len()];
        text.parse().expect("a platform")
    };
    let mut fix = fix.unwrap(other & 16 != 0).verify(Verify::Digests);
    if platforms & 1 != 0 {
        fix = fix.platform(platform(platforms >> 1));
    }
    if platforms & 0x10 != 0 {
        fix = fix.platform(platform(platforms >> 5));
    }
    fix.drop_attestations(other & 32 != 0)
}

/// An output is the same each time, is right, and stays the same if the same is chosen from it.
fn check(fix: &Fix, output: Result<PathBuf>, again: impl FnOnce() -> Result<PathBuf>) {
    let Ok(output) = output else {
        let error = again().err();
        assert!(
            error.is_some(),
            "the second run did not fail as the first one did"
        );
        return;
    };
    let bytes = read(&output);
    let again = again().expect("it was written once");
    assert!(bytes == read(&again), "the output is another one each time");
    let plain = fix_of(Strictness::Strict);
    for fix in [&plain, fix] {
        let kept = written(fix, &output, "kept.tar").expect("an output is accepted");
        assert!(bytes == read(&kept), "the output would be changed again");
    }
}

fn written(fix: &Fix, input: &Path, name: &str) -> Result<PathBuf> {
    let output = folder().join(name);
    fix.run(
        Input::open(input)?,
        Output::archive(&output).overwrite(true),
    )?;
    Ok(output)
}

fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("memory takes everything");
    path
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("it was written")
}
