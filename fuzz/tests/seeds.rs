//! What must hold for any input holds for the seeds.

use std::fs;
use std::path::Path;

/// The bytes of the files in a directory of the repository whose names end so, by name.
fn files(directory: &str, suffix: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(directory).expect("the directory is there");
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.expect("it can be listed");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(suffix) {
            files.push((name, fs::read(entry.path()).expect("it can be read")));
        }
    }
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn archives() {
    for (name, archive) in files("../fixtures", ".tar") {
        println!("{name}");
        ocify_fuzz::hold(&archive);
    }
}

#[test]
fn documents() {
    for (name, input) in files("seeds/documents", "") {
        println!("{name}");
        ocify_fuzz::hold(&ocify_fuzz::archive_of(&input));
    }
}

#[test]
fn references() {
    for (name, text) in files("seeds/reference", "") {
        println!("{name}");
        ocify_fuzz::reference(&String::from_utf8(text).expect("a seed is a text"));
    }
}

#[test]
fn edits() {
    // Any numbers would do: Knuth's multiplier takes a different way through them for each seed.
    for start in 0..150_u32 {
        let mut edits = vec![start as u8];
        let mut number = start;
        for _ in 0..=start % 3 {
            number = (number + 1).wrapping_mul(2_654_435_761);
            edits.extend(number.to_be_bytes());
        }
        println!("{edits:?}");
        ocify_fuzz::hold(&ocify_fuzz::edited(&edits));
    }
}
