//! ocify and the readers that engines use find the same entries in an archive that ocify accepts. So do other readers, except for differences that
//! `docs/tar-readers.md` lists.
#![expect(clippy::print_stdout, reason = "figures are part of the result")]

mod mutations;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ocify::{
    DataLocation, ExtraKind, Fix, Form, Input, Inventory, Rule, Severity, Source, Strictness, scan,
};

use crate::common::archive::Entry;
use crate::common::builder::right_layout;
use crate::common::checker::check_output;
use crate::common::piped::stream;
use crate::common::random::Random;
use crate::common::readers::{Listing, Reader, View, cleaned, is_large, random_cases};
use crate::common::runner::Sandbox;
use crate::common::sha256;
use mutations::{Archive, all, random};

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
    is_breaking && in_place.is_err() && fs::read(path).unwrap() == before
}

/// What other readers are known to read differently in archives that engines and ocify read alike. `docs/tar-readers.md` says why.
const RECORDED: [(Reader, &str); 5] = [
    (Reader::Python, "magic: GNU, time as prefix"),
    (Reader::Python, "magic: GNU, spaces as prefix"),
    (Reader::Gnu, "end: cut in padding"),
    (Reader::Gnu, "type: 1 with no data"),
    (Reader::Bsd, "type: 1 with no data"),
];

fn is_recorded(reader: Reader, mutations: &[String]) -> bool {
    let mut recorded = RECORDED.iter().filter(|(found, _)| *found == reader);
    recorded.any(|(_, start)| mutations.iter().any(|name| name.starts_with(start)))
}

/// Archives, with the names of what was changed in each.
struct Batch {
    folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
    mutations: Vec<Vec<String>>,
}

impl Batch {
    fn new() -> Self {
        Batch {
            folder: tempfile::tempdir().unwrap(),
            paths: Vec::new(),
            mutations: Vec::new(),
        }
    }

    fn add(&mut self, archive: &Archive, mutations: Vec<String>) {
        let path = self.folder.path().join(format!("{}.tar", self.paths.len()));
        fs::write(&path, archive.bytes()).unwrap();
        self.paths.push(path);
        self.mutations.push(mutations);
    }
}

#[derive(Default)]
struct Counts {
    archives: usize,
    accepted: usize,
    /// Those that ocify accepts and another reader reads differently, by reader and kind of change.
    recorded: BTreeMap<(String, String), usize>,
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
                self.judge(
                    *reader,
                    ocify,
                    &listing,
                    &batch.paths[*number],
                    &batch.mutations[*number],
                );
            }
        }
    }

    fn judge(
        &mut self,
        reader: Reader,
        ocify: &View,
        listing: &Listing,
        path: &Path,
        mutations: &[String],
    ) {
        let other = listing.view();
        // Other readers complain about owners and times, and list the entry all the same.
        let is_complete = listing.error.is_none() || reader != Reader::Go;
        if is_complete && is_same(ocify, &other) {
            return;
        }
        // A new archive is without it, so that only what belongs to images matters.
        let is_same_image = !is_complete || is_same(&of_images(ocify), &of_images(&other));
        let is_known = is_recorded(reader, mutations);
        if is_known || (is_same_image || reader != Reader::Go) && is_reported(path) {
            let key = (format!("{reader:?}"), mutations.join(" + "));
            *self.recorded.entry(key).or_default() += 1;
            return;
        }
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
            mutations.join(" + "),
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

/// A blob, `index.json`, a directory and a file that belongs to no image.
fn targets(archive: &Archive) -> [usize; 4] {
    let last = archive.len() - 1;
    [2, last - 4, 1, last]
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
        let mut batch = Batch::new();
        for mutation in all() {
            let mut archive = seed.clone();
            mutation.apply(&mut archive, target);
            batch.add(&archive, vec![mutation.name]);
        }
        counts.compare(&batch, readers);
    }
    counts.check("single changes", 800);
}

#[test]
fn random_changes_of_headers_are_read_as_other_readers_do_or_refused() {
    let readers = Reader::installed();
    let (seed, all) = (seed(), all());
    let mut numbers = Random(11);
    let mut counts = Counts::default();
    let mut left = random_cases(300);
    while left > 0 {
        let mut batch = Batch::new();
        for _ in 0..left.min(BATCH) {
            let mut archive = seed.clone();
            let names = random(&mut archive, &all, &mut numbers);
            batch.add(&archive, names);
        }
        left -= batch.paths.len();
        counts.compare(&batch, &readers);
    }
    counts.check("random changes", 30);
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
