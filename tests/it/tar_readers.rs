//! ocify and the readers that engines use find the same entries in an archive that ocify accepts. So do other readers, except for differences that
//! `docs/tar-readers.md` lists.
#![expect(clippy::print_stdout, reason = "figures are part of the result")]

mod mutations;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ocify::{
    Code, DataLocation, ExtraKind, Fix, Form, Input, Inventory, Rule, Severity, Source, Strictness,
    scan,
};

use crate::common::archive::Entry;
use crate::common::builder::right_layout;
use crate::common::checker::check_output;
use crate::common::piped::stream;
use crate::common::random::Random;
use crate::common::readers::{Listing, Reader, View, cleaned, is_large, random_cases};
use crate::common::runner::Sandbox;
use crate::common::{repository, sha256};
use mutations::{Archive, Mutation, all, random};

/// The archives that are in one directory at a time.
const BATCH: usize = 2000;

/// What ocify makes of an archive: its entries, or the code of the error.
fn by_ocify(path: &Path) -> Result<View, String> {
    let code = |error: ocify::Error| error.code().name().to_owned();
    let source = Source::open(path).map_err(code)?;
    let inventory = scan(&source, Strictness::Strict).map_err(code)?;
    Ok(view(&inventory, &fs::read(path).unwrap()))
}

fn view(inventory: &Inventory, archive: &[u8]) -> View {
    let file = |data: &DataLocation, len: u64| {
        let DataLocation::Offset(at) = data else {
            panic!("an archive has offsets");
        };
        let bytes = &archive[*at as usize..][..len as usize];
        ("file".to_owned(), sha256(bytes))
    };
    let mut view = View::new();
    for (digest, blob) in &inventory.blobs {
        view.insert(digest.blob_name().into_bytes(), file(&blob.data, blob.len));
    }
    let roots = [
        ("index.json", &inventory.root_index),
        ("manifest.json", &inventory.docker_manifest),
        ("oci-layout", &inventory.oci_layout),
    ];
    for (name, root) in roots {
        if let Some(root) = root {
            let found = file(&root.data, root.bytes.len() as u64);
            assert_eq!(found.1, sha256(&root.bytes), "{name}");
            view.insert(name.as_bytes().to_vec(), found);
        }
    }
    for (name, entry) in &inventory.extra {
        let what = match &entry.kind {
            ExtraKind::File(data) => file(data, entry.len),
            ExtraKind::Symlink(target) => ("symlink".to_owned(), target.clone()),
            ExtraKind::Hardlink(target) => ("hardlink".to_owned(), target.clone()),
            ExtraKind::Directory => continue,
            _ => ("other".to_owned(), String::new()),
        };
        view.insert(name.as_bytes().to_vec(), what);
    }
    // Where these lead is a question of images.
    for name in inventory.links.keys() {
        view.insert(name.as_bytes().to_vec(), ("link".to_owned(), String::new()));
    }
    view
}

/// Whether two views are the same, as far as both say.
fn is_same(ocify: &View, other: &View) -> bool {
    let is_link = |kind: &str| matches!(kind, "symlink" | "hardlink");
    // A name that is not UTF-8 text has this form in ocify.
    let text = |name: &[u8]| -> String {
        let parts = name.utf8_chunks().flat_map(|chunk| {
            let is_text = chunk.valid().len() == name.len();
            let valid = match is_text {
                true => chunk.valid().to_owned(),
                false => chunk.valid().replace('\\', "\\\\"),
            };
            let escaped = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
            std::iter::once(valid).chain(escaped)
        });
        parts.collect()
    };
    let names = |view: &View| -> Vec<String> {
        let mut names: Vec<String> = view.keys().map(|name| text(name)).collect();
        names.sort();
        names
    };
    names(ocify) == names(other)
        && ocify.iter().all(|(name, (kind, what))| {
            let mut others = other.iter().filter(|(found, _)| text(found) == text(name));
            others.any(|(_, (other_kind, other_what))| match kind.as_str() {
                "link" => is_link(other_kind),
                _ => kind == other_kind && what == other_what,
            })
        })
}

/// The blobs and the files at the root.
fn of_images(view: &View) -> View {
    let roots = [&b"index.json"[..], b"manifest.json", b"oci-layout"];
    let is_blob = |name: &[u8]| name.starts_with(b"blobs/sha256/");
    let is_part = |name: &[u8]| is_blob(name) || roots.contains(&name);
    let parts = view.iter().filter(|(name, _)| is_part(name));
    parts
        .map(|(name, what)| (name.clone(), what.clone()))
        .collect()
}

/// Whether ocify says that engines do not load the archive as it is, and that only a new one helps.
fn is_reported(path: &Path) -> bool {
    let plan = |form| Fix::new().plan_only(Input::path(path), form);
    let is_breaking =
        match plan(Form::default()) {
            Err(_) => true,
            Ok(preview) => preview.summary.changes.iter().any(|change| {
                change.rule == Rule::ArchiveForm && change.severity == Severity::Breaks
            }),
        };
    let before = fs::read(path).unwrap();
    let in_place = Fix::new().run(Input::path(path), ocify::Output::in_place());
    let is_kept = fs::read(path).unwrap() == before;
    // Other readers are still to read it.
    fs::write(path, before).unwrap();
    is_breaking && in_place.is_err() && is_kept
}

/// What other readers are known to read differently in archives that engines and ocify read alike. `docs/tar-readers.md` says why.
const RECORDED: [(Reader, &str); 5] = [
    (Reader::Python, "magic: GNU, time as prefix"),
    (Reader::Python, "magic: GNU, spaces as prefix"),
    (Reader::Gnu, "end: cut in padding"),
    (Reader::Gnu, "type: 1 with no data"),
    (Reader::Bsd, "type: 1 with no data"),
];

fn is_recorded(reader: Reader, name: &str) -> bool {
    let mut recorded = RECORDED.iter().filter(|(found, _)| *found == reader);
    recorded.any(|(_, start)| name.starts_with(start))
}

/// A row of the first table of `docs/tar-readers.md`, and the changes that make such archives, with `*` for any text.
type Row = (&'static str, &'static [&'static str]);

/// What ocify refuses although the four readers may list it alike: it depends on the rest of the archive, or other readers differ.
#[rustfmt::skip]
const REFUSED: [Row; 14] = [
    ("A star header whose prefix has all 131 bytes and is followed by a time", &["magic: ustar, prefix of *, star", "magic: ustar, version *, prefix of *, star"]),
    ("A prefix in a V7 header or one of an unknown dialect", &[
        "magic: V7, prefix*", "magic: V7, * as prefix*", "magic: ustarx, prefix*", "magic: ustarx, * as prefix*",
        "magic: upper case, prefix*", "magic: upper case, * as prefix*", "magic: GNU, version 00, prefix*", "magic: GNU, version 00, * as prefix*",
    ]),
    ("A prefix in a GNU header, in place of its times", &["magic: GNU, prefix*"]),
    ("A sparse map in a GNU header of another type than `S`", &[
        "magic: GNU, no prefix, star", "magic: GNU, no prefix, star with *", "magic: GNU, time as prefix, star", "magic: GNU, time as prefix, star with *",
        "magic: GNU, spaces as prefix, star", "magic: GNU, spaces as prefix, star with *",
    ]),
    ("A checksum with other characters than octal digits, spaces and NULs", &["checksum: text at the end"]),
    ("An empty GNU long name or link name", &["before: K, empty", "before: K, NUL", "type: K with *", "type: L with data"]),
    ("GNU long names and PAX records that give different names, or two headers of one kind", &["before: L L", "before: L x, other", "before: x L, other"]),
    ("A PAX record that is malformed or a duplicate, an empty name", &[
        "before: x with \"{size=0}{size=SIZE}\"", "before: x with \"{path=*}{path=*}\"", "before: x with \"{path=}\"",
    ]),
    ("A global PAX header that sets a name or a size, or that stands between", &[
        "before: g with \"{path=*", "before: g with \"{linkpath=*", "before: g with \"{size=*", "before: g path, x path",
        "before: L other, g comment", "before: x path, g comment",
    ]),
    ("Sparse files in any form", &["before: x with \"{GNU.sparse.name*", "before: * with \"{SUN.holesdata*", "before: g with \"{SCHILY.realsize*"]),
    ("A blob or a file at the root with another type", &["type: 3 with *", "type: 4 with *", "type: 5 with no data", "type: 6 with *"]),
    ("A link in place of a blob or a file at the root", &["type: 2 with no data"]),
    ("An entry below a link", &["type: 2 with data"]),
    ("Bytes after the end-of-archive marker", &["end: an entry after two blocks"]),
];

/// What ocify says of the constructs in the first table of `docs/tar-readers.md`, whatever changes led to them.
const SAID: [&str; 10] = [
    "some readers",
    "readers differ",
    "the headers of one entry contradict each other",
    "a global PAX header sets a name or a size",
    "is stored as a sparse file",
    "malformed PAX record",
    "duplicate PAX record",
    "the GNU and PAX headers give different names",
    "is not a directory, but other entries are below it",
    "expected a regular file",
];

/// Why ocify refuses an archive, if it is not for one of these constructs, or because nothing in it is an image.
fn needless(path: &Path) -> Option<String> {
    let scanned = Source::open(path).and_then(|source| scan(&source, Strictness::Strict));
    let error = scanned.err()?;
    let text = error.to_string();
    let is_said = SAID.iter().any(|said| text.contains(said));
    (!is_said && error.code() != Code::NotAnImage).then_some(text)
}

/// The pattern that excuses a change.
fn refused_for(name: &str) -> Option<&'static str> {
    let mut patterns = REFUSED.iter().flat_map(|(_, patterns)| *patterns);
    patterns.find(|pattern| matches(pattern, name)).copied()
}

/// Whether a text is this pattern, in which `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|after| {
            (0..=after.len())
                .filter_map(|at| after.get(at..))
                .any(|after| matches(rest, after))
        }),
    }
}

/// Changes, each with the number of the entry that it changes.
type Changes = Vec<(Mutation, usize)>;

fn names_of(changes: &Changes) -> String {
    let names: Vec<&str> = changes.iter().map(|(change, _)| &*change.name).collect();
    names.join(" + ")
}

/// `None` if a reader lists an archive as ocify does; otherwise, whether ocify reports what the two read differently.
fn compared(reader: Reader, ocify: &View, listing: &Listing, path: &Path) -> Option<bool> {
    let other = listing.view();
    // Other readers complain about owners and times, and list the entry all the same.
    let is_complete = listing.error.is_none() || reader != Reader::Go;
    if is_complete && is_same(ocify, &other) {
        return None;
    }
    // A new archive is without it, so that only what belongs to images matters.
    let is_same_image = !is_complete || is_same(&of_images(ocify), &of_images(&other));
    Some((is_same_image || reader != Reader::Go) && is_reported(path))
}

/// Whether some of the changes are recorded for a reader, and it reads the archive without these as ocify does.
fn is_excused(reader: Reader, seed: &Archive, changes: &Changes) -> bool {
    let (recorded, others): (Changes, Changes) = changes
        .iter()
        .cloned()
        .partition(|(change, _)| is_recorded(reader, &change.name));
    if recorded.is_empty() || others.is_empty() {
        return !recorded.is_empty();
    }
    let mut batch = Batch::new(seed);
    batch.add(others);
    let listing = reader.listings(&batch.paths).remove(0);
    let path = &batch.paths[0];
    by_ocify(path).is_ok_and(|ocify| compared(reader, &ocify, &listing, path).unwrap_or(true))
}

/// Archives, with what was changed in each.
struct Batch {
    seed: Archive,
    folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
    changes: Vec<Changes>,
}

impl Batch {
    fn new(seed: &Archive) -> Self {
        Batch {
            seed: seed.clone(),
            folder: tempfile::tempdir().unwrap(),
            paths: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn add(&mut self, changes: Changes) {
        let mut archive = self.seed.clone();
        for (change, target) in &changes {
            change.apply(&mut archive, *target);
        }
        let path = self.folder.path().join(format!("{}.tar", self.paths.len()));
        fs::write(&path, archive.bytes()).unwrap();
        self.paths.push(path);
        self.changes.push(changes);
    }
}

#[derive(Default)]
struct Counts {
    archives: usize,
    accepted: usize,
    /// Those that ocify accepts and another reader reads differently, by reader and kind of change.
    recorded: BTreeMap<(String, String), usize>,
    /// How many of those that ocify refuses and all readers list alike each pattern excuses.
    excused: BTreeMap<&'static str, usize>,
    unexpected: Vec<String>,
}

impl Counts {
    fn compare(&mut self, batch: &Batch, readers: &[Reader]) {
        let found: Vec<Result<View, String>> =
            batch.paths.iter().map(|path| by_ocify(path)).collect();
        self.archives += found.len();
        self.accepted += found.iter().filter(|found| found.is_ok()).count();
        let accepted: Vec<usize> = (0..found.len())
            .filter(|number| found[*number].is_ok())
            .collect();
        let paths: Vec<PathBuf> = accepted
            .iter()
            .map(|number| batch.paths[*number].clone())
            .collect();
        for reader in readers {
            let listings = reader.listings(&paths);
            for (number, listing) in accepted.iter().zip(listings) {
                let ocify = found[*number].as_ref().unwrap();
                self.judge(*reader, ocify, &listing, batch, *number);
            }
        }
        // With fewer readers, more archives would seem to be read alike.
        if Reader::installed().len() == Reader::ALL.len() {
            let refused = (0..found.len()).filter(|number| found[*number].is_err());
            self.judge_refused(batch, refused.collect());
        }
    }

    /// Archives that every reader lists alike and without an error are refused only for what `docs/tar-readers.md` lists.
    fn judge_refused(&mut self, batch: &Batch, mut refused: Vec<usize>) {
        let mut views: BTreeMap<usize, View> = BTreeMap::new();
        // Each reader lists only those on which the readers before it agree.
        for reader in Reader::ALL {
            let paths: Vec<PathBuf> = refused
                .iter()
                .map(|number| batch.paths[*number].clone())
                .collect();
            let listings = reader.listings(&paths);
            let mut alike = Vec::new();
            for (number, listing) in refused.into_iter().zip(listings) {
                let view = listing.view();
                let is_alike = views.get(&number).is_none_or(|found| *found == view);
                // Duplicate entries are refused whatever readers make of them.
                let has_duplicates = listing.has_duplicates();
                if listing.error.is_none() && is_alike && !has_duplicates {
                    views.insert(number, view);
                    alike.push(number);
                }
            }
            refused = alike;
        }
        for number in refused {
            let changes = &batch.changes[number];
            match changes
                .iter()
                .find_map(|(change, _)| refused_for(&change.name))
            {
                Some(pattern) => *self.excused.entry(pattern).or_default() += 1,
                None => {
                    let said = match changes.len() {
                        1 => by_ocify(&batch.paths[number]).err(),
                        _ => needless(&batch.paths[number]),
                    };
                    self.unexpected.extend(said.map(|said| {
                        format!(
                            "{} of {:?}: refused, but all readers list it alike: {said}",
                            names_of(changes),
                            changes.iter().map(|(_, target)| target).collect::<Vec<_>>(),
                        )
                    }));
                }
            }
        }
    }

    fn judge(
        &mut self,
        reader: Reader,
        ocify: &View,
        listing: &Listing,
        batch: &Batch,
        number: usize,
    ) {
        let (path, changes) = (&batch.paths[number], &batch.changes[number]);
        let Some(is_accepted) = compared(reader, ocify, listing, path) else {
            return;
        };
        // What refuses the whole archive shows nobody anything else.
        let refuses_all = listing.error.is_some() && listing.view().is_empty();
        let is_accepted = is_accepted || refuses_all && reader != Reader::Go;
        if is_accepted || is_excused(reader, &batch.seed, changes) {
            let key = (format!("{reader:?}"), names_of(changes));
            *self.recorded.entry(key).or_default() += 1;
            return;
        }
        let other = listing.view();
        let shown = |view: &View| -> Vec<String> {
            let lines = view.iter();
            lines
                .map(|(name, what)| format!("{} {what:?}", name.escape_ascii()))
                .collect()
        };
        let (ocify, other) = (shown(ocify), shown(&other));
        let only = |a: &[String], b: &[String]| -> Vec<String> {
            a.iter().filter(|line| !b.contains(line)).cloned().collect()
        };
        self.unexpected.push(format!(
            "{reader:?}: {}: error {:?}, only ocify {:?}, only it {:?}",
            names_of(changes),
            listing.error,
            only(&ocify, &other),
            only(&other, &ocify),
        ));
    }

    fn check(&self, what: &str, least_accepted: usize) {
        println!(
            "{what}: {} archives, {} accepted, {} recorded differences",
            self.archives,
            self.accepted,
            self.recorded.values().sum::<usize>()
        );
        assert!(self.accepted >= least_accepted, "{}", self.accepted);
        assert!(
            self.unexpected.is_empty(),
            "{} differences:\n{}",
            self.unexpected.len(),
            self.unexpected.join("\n")
        );
    }
}

/// An archive with an image, a directory and a file that belong to no image.
fn seed() -> Archive {
    let mut entries = right_layout().entries();
    entries.push(Entry::dir("extra/"));
    entries.push(Entry::file("extra/file", "x".repeat(600)));
    Archive::of(&entries)
}

/// A blob, `index.json`, two directories and a file that belongs to no image.
fn targets(archive: &Archive) -> [usize; 5] {
    let last = archive.len() - 1;
    [2, last - 4, 1, last, last - 1]
}

#[test]
fn every_change_of_a_header_is_read_as_other_readers_do_or_refused() {
    let readers = Reader::installed();
    // They list one archive in a run.
    let fast: Vec<Reader> = readers
        .iter()
        .copied()
        .filter(|reader| reader.lists_many())
        .collect();
    let seed = seed();
    let mut counts = Counts::default();
    for (number, target) in targets(&seed).into_iter().enumerate() {
        let readers = if number == 1 || is_large() {
            &readers
        } else {
            &fast
        };
        let mut batch = Batch::new(&seed);
        for mutation in all() {
            batch.add(vec![(mutation, target)]);
        }
        counts.compare(&batch, readers);
    }
    counts.check("single changes", 800);
    if readers.len() == Reader::ALL.len() {
        let mut patterns = REFUSED.iter().flat_map(|(_, patterns)| *patterns);
        let unused = patterns.find(|pattern| !counts.excused.contains_key(**pattern));
        assert_eq!(unused, None, "nothing needs this pattern of REFUSED");
    }
}

#[test]
fn what_is_refused_needlessly_is_documented() {
    let text = fs::read_to_string(repository("docs/tar-readers.md")).unwrap();
    let table = text.split("\n## ").nth(1).unwrap();
    assert!(table.starts_with("What is refused\n"));
    for (construct, _) in REFUSED {
        assert!(table.contains(&format!("\n| {construct}")), "{construct}");
    }
}

#[test]
fn patterns_match_whole_names() {
    assert!(matches("a*c", "abbc") && matches("a*", "a") && matches("*b*", "abc"));
    assert!(!matches("a*c", "abcd") && !matches("a", "ab") && !matches("*d", "abc"));
}

#[test]
fn random_changes_of_headers_are_read_as_other_readers_do_or_refused() {
    let readers = Reader::installed();
    let (seed, all) = (seed(), all());
    let mut numbers = Random(11);
    let mut counts = Counts::default();
    let mut left = random_cases(300);
    while left > 0 {
        let mut batch = Batch::new(&seed);
        for _ in 0..left.min(BATCH) {
            batch.add(random(seed.len(), &all, &mut numbers));
        }
        left -= batch.paths.len();
        counts.compare(&batch, &readers);
    }
    counts.check("random changes", 30);
}

/// A name that an extension gives does not hide what else is in the header.
#[test]
fn dialects_of_entries_with_a_long_name_are_read_as_other_readers_do_or_refused() {
    let readers = Reader::installed();
    let (seed, all) = (seed(), all());
    let chains = ["before: L, other", "before: x with \"{path=other}\""];
    let mut counts = Counts::default();
    let last = seed.len() - 1;
    for name in chains {
        let chain = all.iter().find(|change| change.name == name);
        let chain = chain.unwrap_or_else(|| panic!("no {name}"));
        let mut batch = Batch::new(&seed);
        for dialect in all
            .iter()
            .filter(|change| change.name.starts_with("magic: "))
        {
            batch.add(vec![(chain.clone(), last), (dialect.clone(), last)]);
        }
        counts.compare(&batch, &readers);
    }
    counts.check("dialects", 100);
}

/// Every output that is new is without it, and readers agree on that one.
#[test]
fn what_engines_misread_is_in_no_new_output() {
    let seed = seed();
    let last = seed.len() - 1;
    let cases = [
        ("type: 7 with data", last),
        ("type: Q with data", last),
        ("name: slash at the end", last - 1),
        ("number: mode, letters", 2),
        ("number: gid, digit 8", last - 4),
        ("number: devminor, plus sign", 1),
        ("before: x with \"{mtime=today}\"", 2),
        ("end: one block and a part", 0),
    ];
    for (name, target) in cases {
        let all = all();
        let mutation = all.iter().find(|mutation| mutation.name == name);
        let mut archive = seed.clone();
        mutation
            .unwrap_or_else(|| panic!("no {name}"))
            .apply(&mut archive, target);
        if name.starts_with("name:") {
            // A file without bytes, whose name was a directory's.
            let flag = all
                .iter()
                .find(|mutation| mutation.name == "type: 0 with no data");
            flag.unwrap().apply(&mut archive, target);
        }
        let bytes = archive.bytes();
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        let report = sandbox
            .ocify(&["fix", "in.tar", "--dry-run", "--format", "json"])
            .exits(3)
            .json();
        let changes = report["changes"].as_array().unwrap();
        let form = changes
            .iter()
            .find(|change| change["rule"] == "archive-form")
            .unwrap();
        assert_eq!(form["severity"], "breaks", "{name}");
        for options in [
            &["-o", "out.tar"][..],
            &["-o", "out", "--layout"],
            &["-o", "copy.tar", "--verify", "documents"],
        ] {
            let line = [&["fix", "in.tar"], options].concat();
            sandbox.ocify(&line).exits(0);
            check_output(&sandbox.path(options[1]));
        }
        let piped = stream(&bytes, &[]).exits(0);
        piped.judged();
        sandbox.put("piped.tar", &piped.out);
        for output in ["out.tar", "copy.tar", "piped.tar"] {
            let line = ["fix", output, "--dry-run", "--format", "json"];
            let again = sandbox.ocify(&line).exits(0).json();
            // A stream keeps the order of blobs.
            assert!(
                again["severity"] != "breaks" && again["severity"] != "warns",
                "{name} {output}"
            );
            let view = by_ocify(&sandbox.path(output)).unwrap();
            assert!(
                view.keys().all(|name| !name.starts_with(b"extra")),
                "{name} {output}"
            );
        }
        let line = ["fix", "--in-place", "in.tar", "--format", "json"];
        let error = sandbox.ocify(&line).exits(1).json();
        assert_eq!(error["error"]["code"], "in-place-refused", "{name}");
        assert!(sandbox.read("in.tar") == bytes, "{name}");
    }
}

/// As a file, as a stream and in place.
#[test]
fn what_readers_read_differently_is_refused_everywhere() {
    let seed = seed();
    let index = targets(&seed)[1];
    for name in [
        "magic: ustar, prefix of 155 bytes, star",
        "magic: GNU, prefix a",
        "magic: V7, prefix a",
        "number: size, leading NUL",
        "number: uid, binary with more bits",
        "checksum: binary",
        "before: L, empty",
        "before: K, NUL",
        "before: X with \"{path=other}\"",
        "before: x with \"{GNU.sparse.realsize=5}\"",
        "type: 7 with data",
    ] {
        let all = all();
        let mutation = all.iter().find(|mutation| mutation.name == name);
        let mut archive = seed.clone();
        mutation
            .unwrap_or_else(|| panic!("no {name}"))
            .apply(&mut archive, index);
        let bytes = archive.bytes();
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", &bytes);
        for options in [
            &["-o", "out.tar"][..],
            &["-o", "out", "--layout"],
            &["--in-place"],
            &["--dry-run"],
            &["--lenient", "--dry-run"],
        ] {
            let line = [&["fix", "in.tar"], options].concat();
            sandbox.ocify(&line).exits(1);
        }
        stream(&bytes, &[]).exits(1);
        assert_eq!(sandbox.names(), ["in.tar"], "{name}");
        assert!(sandbox.read("in.tar") == bytes, "{name}");
    }
}

#[test]
fn names_are_compared_without_what_means_nothing() {
    assert_eq!(cleaned(b"./a//b/"), b"a/b");
}
