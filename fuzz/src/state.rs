//! State files of batches that nobody wrote.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ocify::command::HeldPath;
use ocify::{Algorithm, Digest};
use serde_json::json;

use crate::batch::{Fingerprint, OutputState, State, StateOptions, finish};
use crate::folder;

/// Opens a state file. The first byte says whether the rest is the file, or lines that get right checksums.
///
/// # Panics
/// An output that no line is about counts as finished, a file that was opened is not read again as it was, or a line that is added is not there.
pub fn state(input: &[u8]) {
    let (kind, text) = input.split_first().unwrap_or((&0, &[]));
    let directory = folder().join("state");
    fs::create_dir_all(&directory).expect("memory takes everything");
    let text = match kind % 2 {
        0 => text.to_owned(),
        _ => sealed(text, &directory),
    };
    let path = directory.join(".ocify-state");
    fs::write(&path, &text).expect("memory takes everything");
    let output = directory.join("a.tar");
    fs::write(&output, "output").expect("memory takes everything");
    check(&directory, &text);
    fs::remove_dir_all(&directory).expect("it was made");
}

fn check(directory: &Path, text: &[u8]) {
    let options = Digest::of(Algorithm::Sha256, b"options");
    let open = || {
        State::open(
            directory,
            StateOptions {
                shard: None,
                options: &options,
                syncs: false,
            },
        )
    };
    let Ok(state) = open() else {
        let left = fs::read(directory.join(".ocify-state")).expect("it is still there");
        assert!(left == text, "a state that is refused was changed");
        return;
    };
    let output = HeldPath::of(&directory.join("a.tar")).expect("the directory is there");
    let source = Fingerprint::default();
    let found = state
        .known()
        .output_state(Path::new("a.tar"), Some(source), Some(&output));
    if let OutputState::Finished(_) = found {
        let has_line = text.windows(5).any(|part| part == b"\"sum\"");
        assert!(has_line, "an output is finished without a line");
    }
    drop(state);
    let first = fs::read(directory.join(".ocify-state")).expect("it is still there");
    let state = open().expect("a state that was opened is opened again");
    let again = state
        .known()
        .output_state(Path::new("a.tar"), Some(source), Some(&output));
    assert!(
        again == found,
        "a state says something else when it is opened again"
    );
    let second = fs::read(directory.join(".ocify-state")).expect("it is still there");
    assert!(first == second, "opening a state again changes it");

    let note = json!({"note": ["\n", "\u{0}"]});
    let written = Fingerprint::of(&directory.join("a.tar")).expect("it was written");
    finish(&state, Path::new("a.tar"), written, &note);
    drop(state);
    let state = open().expect("a state that was written is opened");
    let found = state
        .known()
        .output_state(Path::new("a.tar"), Some(source), Some(&output));
    let OutputState::Finished(recorded) = found else {
        panic!("an output that was recorded is not finished: {found:?}");
    };
    assert!(recorded.note == note && recorded.content.as_deref() == Some("content"));
    state.close();
}

/// Gives each line that begins with `{"` the right checksum, and fills in what a line about the output has to say: `$K` is the key of its path, `$O`
/// that of the options, and `$F` its length and time.
fn sealed(text: &[u8], directory: &Path) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let key = Digest::of(Algorithm::Sha256, b"a.tar");
    let options = Digest::of(Algorithm::Sha256, b"options");
    let output = fs::metadata(directory.join("a.tar"));
    let found = output.map_or_else(
        |_| "[6,0]".to_owned(),
        |found| format!("[{},{}]", found.len(), found.mtime_nsec()),
    );
    let mut sealed = String::new();
    for line in text.split_inclusive('\n') {
        let line = line
            .replace("$K", &key.hex()[..32])
            .replace("$O", &options.hex())
            .replace("$F", &found);
        match line.strip_prefix('{').zip(line.strip_suffix('\n')) {
            Some((_, whole)) if whole.starts_with("{\"") => {
                let rest = &whole[1..];
                let sum = Digest::of(Algorithm::Sha256, rest.as_bytes());
                let sum = &sum.hex()[..16];
                sealed.push_str(&format!("{{\"sum\":\"{sum}\",{rest}\n"));
            }
            _ => sealed.push_str(&line),
        }
    }
    sealed.into_bytes()
}
