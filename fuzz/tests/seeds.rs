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
fn replies() {
    for (name, text) in files("seeds/replies", "") {
        println!("{name}");
        let text = String::from_utf8(text).expect("a seed is a text");
        ocify_fuzz::replies(&text);
        // With each byte replaced by others that mean something.
        for (at, _) in text.char_indices() {
            for byte in ["", "\"", "<", "-", "0", "\u{1b}", ":", "@", "/", "\u{e4}"] {
                ocify_fuzz::replies(&format!("{}{byte}{}", &text[..at], &text[at + 1..]));
            }
        }
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

/// Inputs that look random, the same every time: Knuth's multiplier takes a different way through them for each number.
fn numbers(start: u32, len: u32) -> Vec<u8> {
    let mut number = start;
    let mut bytes = Vec::new();
    for _ in 0..len {
        number = (number + 1).wrapping_mul(2_654_435_761);
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

#[test]
fn headers() {
    for start in 0..150 {
        let mut edits = vec![start as u8];
        edits.extend(numbers(start, 1 + start % 3));
        println!("{edits:?}");
        ocify_fuzz::headers(&edits);
    }
    for (name, edits) in files("seeds/headers", "") {
        println!("{name}");
        ocify_fuzz::headers(&edits);
    }
}

#[test]
fn merges() {
    for start in 0..150 {
        let mut input = vec![start as u8, (start / 3) as u8, 5, start as u8];
        input.extend(numbers(start, start % 3));
        println!("{input:?}");
        ocify_fuzz::merged(&input);
    }
    for (name, input) in files("seeds/merge", "") {
        println!("{name}");
        ocify_fuzz::merged(&input);
    }
}

#[test]
fn journals() {
    for start in 0..2000 {
        let mut input = vec![start as u8];
        // Usual values, but for a few.
        let changes = numbers(start, 2);
        let mut numbers = [0; 24];
        for change in changes.chunks_exact(2).take(1 + start as usize % 4) {
            numbers[usize::from(change[0]) % 24] = change[1];
        }
        input.extend(numbers);
        println!("{input:?}");
        ocify_fuzz::journal(&input);
    }
}

#[test]
fn states() {
    for (name, input) in files("seeds/state", "") {
        println!("{name}");
        ocify_fuzz::state(&input);
    }
}

#[test]
fn compressed_data() {
    for (name, input) in files("seeds/codec", "") {
        println!("{name}");
        // As a layer, as an archive, and as the content of a layer.
        for kind in 0..4 {
            let mut input = input.clone();
            input[0] = kind;
            ocify_fuzz::codec(&input);
        }
        for place in (1..input.len()).step_by(17) {
            let mut input = input.clone();
            input[place] ^= 1 << (place % 8);
            ocify_fuzz::codec(&input);
        }
    }
}
