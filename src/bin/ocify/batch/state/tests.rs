//! Records, damage, other formats, and what is not a state file.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use ocify::{Algorithm, Code, command::HeldPath};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use super::*;
use crate::batch::fingerprint::Fingerprint;

const SOURCE: Fingerprint = Fingerprint {
    len: 7,
    modified: 9,
};

fn open(directory: &Path, options: &str, shard: Option<Shard>) -> Result<State> {
    let options = &Digest::of(Algorithm::Sha256, options.as_bytes());
    let options = StateOptions {
        shard,
        options,
        syncs: false,
    };
    State::open(directory, options)
}

fn opened(directory: &Path, options: &str) -> State {
    open(directory, options, None).unwrap()
}

fn finish(state: &State, relative: &str, output: Fingerprint, note: &Value) -> Result<()> {
    state.finish(&[Finished {
        relative: Path::new(relative),
        source: SOURCE,
        output,
        content: Some("0123"),
        note,
    }])
}

fn finished(note: Value) -> OutputState {
    OutputState::Finished(Recorded {
        note,
        content: Some("0123".to_owned()),
    })
}

/// The path of an output, whose directory is held open.
fn at(path: &Path) -> Option<HeldPath> {
    Some(HeldPath::of(path).unwrap())
}

fn output(directory: &Path, name: &str) -> (PathBuf, Fingerprint) {
    let path = directory.join(name);
    fs::write(&path, name).unwrap();
    let fingerprint = Fingerprint::of(&path).unwrap();
    (path, fingerprint)
}

#[test]
fn standings() {
    let dir = tempfile::tempdir().unwrap();
    let (path, fingerprint) = output(dir.path(), "a.tar");
    let relative = Path::new("a.tar");
    let state = opened(dir.path(), "options");
    assert_eq!(
        state
            .known()
            .output_state(relative, Some(SOURCE), at(&path).as_ref()),
        OutputState::Foreign
    );
    let note = json!(["noted"]);
    finish(&state, "a.tar", fingerprint, &note).unwrap();
    drop(state);

    let state = opened(dir.path(), "options");
    let finished = finished(note);
    assert_eq!(
        state
            .known()
            .output_state(relative, Some(SOURCE), at(&path).as_ref()),
        finished
    );
    let other = Fingerprint {
        modified: 10,
        ..SOURCE
    };
    assert_eq!(
        state
            .known()
            .output_state(relative, Some(other), at(&path).as_ref()),
        OutputState::Outdated
    );
    let gone = dir.path().join("gone");
    assert_eq!(
        state
            .known()
            .output_state(relative, Some(SOURCE), at(&gone).as_ref()),
        OutputState::Absent
    );
    let elsewhere =
        state
            .known()
            .output_state(Path::new("b.tar"), Some(SOURCE), at(&path).as_ref());
    assert_eq!(elsewhere, OutputState::Foreign);
    drop(state);

    let state = opened(dir.path(), "other options");
    assert_eq!(
        state
            .known()
            .output_state(relative, Some(SOURCE), at(&path).as_ref()),
        OutputState::Outdated
    );
    fs::write(&path, "changed").unwrap();
    assert_eq!(
        state
            .known()
            .output_state(relative, Some(SOURCE), at(&path).as_ref()),
        OutputState::Foreign
    );
}

#[test]
fn damage_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (path, fingerprint) = output(dir.path(), "x");
    let names = ["a", "b", "c"];
    let state = opened(dir.path(), "");
    for name in names {
        let note = json!(name);
        finish(&state, name, fingerprint, &note).unwrap();
    }
    drop(state);
    let file = dir.path().join(".ocify-state");
    let whole = fs::read(&file).unwrap();
    let known = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let state = opened(dir.path(), "");
        assert!(!state.is_upgraded());
        let is_known = |name: &&str| {
            let output_state =
                state
                    .known()
                    .output_state(Path::new(name), Some(SOURCE), at(&path).as_ref());
            output_state == finished(json!(name))
        };
        names.into_iter().filter(is_known).collect::<String>()
    };
    assert_eq!(known(&whole), "abc");
    assert_eq!(known(&whole[..whole.len() - 1]), "ab", "the end is torn");
    assert_eq!(known(&whole[5..]), "abc", "the start is missing");
    let first = header().len();
    assert_eq!(known(&whole[first + 5..]), "bc", "a line is cut");
    let mut changed = whole.clone();
    // One digit of a number: the line would still be read.
    let mut ends = (first..whole.len()).filter(|at| whole[*at] == b'\n');
    let digit = changed[..ends.next().unwrap()]
        .iter()
        .rposition(u8::is_ascii_digit);
    changed[digit.unwrap()] ^= 1;
    assert_eq!(known(&changed), "bc", "a digit is another");
    assert_eq!(known(b""), "");
    assert_eq!(known(&[0xff; 300]), "");
    // A torn end does not spoil the line that is written next.
    let torn = [&whole[..20], b"\n", &whole[..]].concat();
    assert_eq!(known(&torn), "abc");
    fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let state = opened(dir.path(), "");
    let note = json!("c");
    finish(&state, "c", fingerprint, &note).unwrap();
    drop(state);
    assert_eq!(known(&fs::read(&file).unwrap()), "abc");
}

#[test]
fn one_run_at_a_time_for_each_shard() {
    let dir = tempfile::tempdir().unwrap();
    let shard = |number| Some(Shard { number, count: 2 });
    let open = |shard| open(dir.path(), "", shard);
    let first = open(shard(1)).unwrap();
    let second = open(shard(2)).unwrap();
    assert_eq!(open(shard(1)).unwrap_err().code(), Code::OutputBusy);
    let (path, fingerprint) = output(dir.path(), "x");
    let relative = Path::new("x");
    finish(&first, "x", fingerprint, &Value::Null).unwrap();
    drop((first, second));
    // What a shard finished is known to every other.
    let whole = open(None).unwrap();
    let finished = finished(Value::Null);
    assert_eq!(
        whole
            .known()
            .output_state(relative, Some(SOURCE), at(&path).as_ref()),
        finished
    );
    whole.close();
    assert!(!dir.path().join(".ocify-state").exists(), "it was empty");
}

#[test]
fn outdated_lines_go() {
    let dir = tempfile::tempdir().unwrap();
    let (path, fingerprint) = output(dir.path(), "x");
    let state = opened(dir.path(), "");
    for number in 0..FREE_LINES + 10 {
        let note = json!(number);
        finish(&state, "x", fingerprint, &note).unwrap();
    }
    drop(state);
    let len = || fs::metadata(dir.path().join(".ocify-state")).unwrap().len();
    let before = len();
    for _ in 0..2 {
        let state = opened(dir.path(), "");
        let last = finished(json!(FREE_LINES + 9));
        assert_eq!(
            state
                .known()
                .output_state(Path::new("x"), Some(SOURCE), at(&path).as_ref()),
            last
        );
        assert!(len() < before / 500);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}

/// A line as format 1 has it, with a shorter key for the options, or format 2.
fn old_line(format: u64, name: &str, output: Fingerprint) -> String {
    let key = Digest::of(Algorithm::Sha256, name.as_bytes()).hex();
    let options = match format {
        1 => "0123456789abcdef".to_owned(),
        // Those that the tests open the state with.
        _ => Digest::of(Algorithm::Sha256, b"").hex(),
    };
    let rest = format!(
        r#""path":"{name}","key":"{}","source":[7,9],"output":[{},{}],"options":"{options}","note":null}}"#,
        &key[..32],
        output.len,
        output.modified
    );
    let sum = Digest::of(Algorithm::Sha256, rest.as_bytes()).hex();
    format!("{{\"sum\":\"{}\",{rest}\n", &sum[..16])
}

#[test]
fn files_of_older_versions_are_upgraded_and_their_outputs_can_be_replaced() {
    for (format, first_line) in [(1, ""), (2, "{\"format\":2}\n")] {
        let dir = tempfile::tempdir().unwrap();
        let (path, fingerprint) = output(dir.path(), "a");
        let file = dir.path().join(".ocify-state");
        let old = old_line(format, "a", fingerprint);
        // The other is only read.
        let shard = dir.path().join(".ocify-state-1-of-2");
        let (other, of_other) = output(dir.path(), "b");
        let of_share = format!("{first_line}{}", old_line(format, "b", of_other));
        fs::write(&shard, &of_share).unwrap();
        fs::write(&file, format!("{first_line}{old}torn")).unwrap();
        let upgraded = format!("{{\"format\":4}}\n{old}");
        // The second time, the file has the current format, but not the line.
        for is_upgraded in [true, false] {
            let state = opened(dir.path(), "");
            assert_eq!(state.is_upgraded(), is_upgraded);
            for (name, path) in [("a", &path), ("b", &other)] {
                let output_state =
                    state
                        .known()
                        .output_state(Path::new(name), Some(SOURCE), at(path).as_ref());
                assert_eq!(output_state, OutputState::Outdated, "{name}");
            }
            assert_eq!(fs::read_to_string(&shard).unwrap(), of_share);
            assert_eq!(fs::read_to_string(&file).unwrap(), upgraded);
        }
        let state = opened(dir.path(), "");
        let relative = Path::new("a");
        let note = json!(1);
        finish(&state, "a", fingerprint, &note).unwrap();
        drop(state);
        let state = opened(dir.path(), "");
        assert!(!state.is_upgraded());
        assert_eq!(
            state
                .known()
                .output_state(relative, Some(SOURCE), at(&path).as_ref()),
            finished(note)
        );
        // What somebody else put there is not replaced.
        fs::write(&other, "changed").unwrap();
        let output_state =
            state
                .known()
                .output_state(Path::new("b"), Some(SOURCE), at(&other).as_ref());
        assert_eq!(output_state, OutputState::Foreign);
    }
}

#[test]
fn only_regular_files_are_state_files_and_no_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("victim"), "precious\n").unwrap();
    let (own, other) = (at(".ocify-state"), at(".ocify-state-1-of-2"));
    let fifo = |path: &Path| {
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap();
    };
    for (what, make) in [
        ("a symbolic link", &|path: &Path| {
            symlink(at("victim"), path).unwrap()
        }),
        ("a symbolic link", &|path: &Path| {
            symlink("/dev/zero", path).unwrap()
        }),
        ("a symbolic link", &|path: &Path| {
            symlink("nowhere", path).unwrap()
        }),
        ("a FIFO", &fifo),
        ("a directory", &|path: &Path| fs::create_dir(path).unwrap()),
        ("a socket", &|path: &Path| {
            drop(UnixListener::bind(path).unwrap())
        }),
    ] as [(&str, &dyn Fn(&Path)); 6]
    {
        make(&own);
        let error = open(dir.path(), "", None).unwrap_err();
        assert_eq!(error.code(), Code::OutputExists, "{what}");
        assert!(
            error.to_string().ends_with(&format!("which is {what}")),
            "{error}"
        );
        // Of another shard it counts as nothing.
        fs::rename(&own, &other).unwrap();
        opened(dir.path(), "").close();
        assert!(open_existing(&other).unwrap().is_none());
        let removed = fs::remove_file(&other).or_else(|_| fs::remove_dir(&other));
        removed.unwrap();
    }
    assert_eq!(fs::read(at("victim")).unwrap(), b"precious\n");
    assert!(!at("nowhere").exists());
    // Another name of the file keeps what it has.
    fs::hard_link(at("victim"), &own).unwrap();
    let state = opened(dir.path(), "");
    let (_, fingerprint) = output(dir.path(), "a");
    finish(&state, "a", fingerprint, &Value::Null).unwrap();
    assert_eq!(fs::read(at("victim")).unwrap(), b"precious\n");
}

#[test]
fn what_is_not_made_of_lines_is_not_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (path, fingerprint) = output(dir.path(), "a");
    let state = opened(dir.path(), "");
    finish(&state, "a", fingerprint, &Value::Null).unwrap();
    drop(state);
    let file = dir.path().join(".ocify-state");
    for name in [".ocify-state", ".ocify-state-1-of-2"] {
        let mut found = fs::read(&file).unwrap();
        found.extend(b"x");
        fs::write(dir.path().join(name), found).unwrap();
        let sparse = fs::File::options().write(true).open(dir.path().join(name));
        sparse.unwrap().set_len(1 << 40).unwrap();
        let state = opened(dir.path(), "");
        let output_state =
            state
                .known()
                .output_state(Path::new("a"), Some(SOURCE), at(&path).as_ref());
        assert_eq!(output_state, finished(Value::Null), "{name}");
        // The file of this shard was written again.
        assert!(fs::metadata(&file).unwrap().len() < 1000);
    }
}

#[test]
fn files_of_newer_versions_are_refused_and_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (path, fingerprint) = output(dir.path(), "a");
    let text = format!("{{\"format\":5}}\n{}torn", old_line(1, "a", fingerprint));
    for name in [".ocify-state", ".ocify-state-1-of-2"] {
        let file = dir.path().join(name);
        fs::write(&file, &text).unwrap();
        let shard = Some(Shard {
            number: 1,
            count: 2,
        });
        let own = if name == ".ocify-state" { None } else { shard };
        let error = open(dir.path(), "", own).unwrap_err();
        assert_eq!(error.code(), Code::OutputExists);
        let expected = "has format 5, and this version of ocify knows formats up to 4";
        assert!(error.to_string().ends_with(expected), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        if own.is_none() {
            fs::remove_file(&file).unwrap();
        }
    }
    // Of another shard it counts as nothing.
    let state = opened(dir.path(), "");
    let output_state = state
        .known()
        .output_state(Path::new("a"), Some(SOURCE), at(&path).as_ref());
    assert_eq!(output_state, OutputState::Foreign);
}

#[test]
fn the_first_line_states_the_format() {
    let dir = tempfile::tempdir().unwrap();
    let (_, fingerprint) = output(dir.path(), "a");
    let file = dir.path().join(".ocify-state");
    let state = opened(dir.path(), "");
    assert_eq!(fs::read(&file).unwrap(), b"");
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let state = &state;
            scope.spawn(move || finish(state, name, fingerprint, &Value::Null));
        }
    });
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("{\"format\":4}\n{\"sum\":\""), "{text}");
    assert_eq!(text.matches("format").count(), 1);
    assert_eq!(text.lines().count(), 5);
    // A crash right at the beginning.
    fs::write(&file, b"{\"for").unwrap();
    drop(state);
    let state = opened(dir.path(), "");
    assert!(!state.is_upgraded());
    assert_eq!(fs::read(&file).unwrap(), b"{\"format\":4}\n");
    state.close();
    assert!(!file.exists());
}
