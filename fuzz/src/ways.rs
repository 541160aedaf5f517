//! The same archive by every way out, and what must hold between them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use ocify::{
    Code, Digest, Fixed, Form, Graph, Input, ManifestRole, Output, Result, Source, Strictness,
    Verify, resolve, scan,
};

use crate::{fix_of, folder};

/// The files at the root, without which nothing is an image.
const ROOT: [&str; 3] = ["index.json", "manifest.json", "oci-layout"];

/// Sends an archive through a new file, a layout directory, a stream, its own file and a patched copy.
///
/// # Panics
/// A way panics, or gives something else than another does.
pub fn ways(archive: &[u8]) {
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        let whole = new_archive(archive, strictness);
        if let Ok(whole) = &whole {
            check_layout(archive, strictness, whole);
        }
        check_stream(archive, strictness, &whole);
        check_in_place(archive, strictness, &whole);
    }
}

fn new_archive(archive: &[u8], strictness: Strictness) -> Result<Vec<u8>> {
    let input = folder().join("ways.tar");
    fs::write(&input, archive).expect("memory takes everything");
    let whole = written(&input, strictness, Verify::Digests);
    // Diff IDs may be wrong where digests are right, and not the other way round.
    if let Ok(full) = written(&input, strictness, Verify::Full) {
        assert!(
            whole.as_ref().is_ok_and(|whole| *whole == full),
            "the level changes the output"
        );
    }
    whole
}

/// A new archive of an archive or a layout directory.
fn written(input: &Path, strictness: Strictness, verify: Verify) -> Result<Vec<u8>> {
    let path = folder().join("whole.tar");
    let output = Output::archive(&path).overwrite(true);
    fix_of(strictness)
        .verify(verify)
        .run(Input::open(input)?, output)?;
    Ok(fs::read(&path).expect("it was written"))
}

/// A layout directory holds what a new archive does.
fn check_layout(archive: &[u8], strictness: Strictness, whole: &[u8]) {
    let (input, layout) = (folder().join("ways.tar"), folder().join("layout"));
    fs::write(&input, archive).expect("memory takes everything");
    let input = Input::open(&input).expect("the file is there");
    let done = fix_of(strictness).run(input, Output::layout(&layout));
    done.expect("an archive could be written");
    let again = written(&layout, strictness, Verify::Digests).expect("a layout can be fixed");
    fs::remove_dir_all(&layout).expect("it was made");
    check_same(&again, whole, archive, "layout");
}

/// Two archives of the same content are equal. One without images may have kept its form.
///
/// # Panics
/// They differ in more than that.
fn check_same(again: &[u8], whole: &[u8], kept: &[u8], way: &str) {
    if again == whole {
        return;
    }
    assert!(!has_images(whole), "a {way} holds something else");
    // With nothing else to change, an archive without images keeps its form.
    assert!(
        again == kept || whole == kept,
        "a form of a {way} is neither"
    );
    assert_eq!(
        entries(again),
        entries(whole),
        "a {way} holds something else"
    );
}

/// A stream that ends well is the new archive, in another order if it was processed in one pass; one
/// that does not is no image.
fn check_stream(archive: &[u8], strictness: Strictness, whole: &Result<Vec<u8>>) {
    let (result, output) = stream(archive, strictness);
    match (result, whole) {
        (Ok(fixed), Ok(whole)) if fixed.spooled.is_some() => {
            assert!(output == *whole, "a stream holds something else");
        }
        (Ok(_), Ok(whole)) => {
            let sorted = new_archive(&output, strictness).expect("a stream can be fixed");
            check_same(&sorted, whole, &output, "stream");
            let (result, again) = stream(&output, strictness);
            let fixed = result.expect("a stream can be streamed");
            assert!(fixed.spooled.is_none(), "a stream needs a file");
            assert!(again == output, "a stream would be changed again");
        }
        (Ok(_), Err(error)) => panic!("a stream lets pass what a file does not: {error}"),
        (Err(error), whole) => {
            assert!(
                whole.is_err() || error.code() == Code::NeedsFile,
                "a stream refuses what a file does not: {error}"
            );
            refuse_root(&output);
        }
    }
}

/// Sends the archive through, and what came out.
fn stream(archive: &[u8], strictness: Strictness) -> (Result<Fixed>, Vec<u8>) {
    let mut output = Vec::new();
    let input = Input::stream(Cursor::new(archive.to_vec()));
    let result = fix_of(strictness).run(input, Output::stream(&mut output));
    (result, output)
}

fn refuse_root(output: &[u8]) {
    let mut archive = tar::Archive::new(output);
    let entries = archive.entries().expect("memory can be read");
    for entry in entries.map_while(std::result::Result::ok) {
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        assert!(
            !ROOT.contains(&name.as_str()),
            "{name} is in the output of a stream that failed"
        );
    }
}

/// A file that was fixed in place is right from then on, and holds the blobs of the new archive.
fn check_in_place(archive: &[u8], strictness: Strictness, whole: &Result<Vec<u8>>) {
    let path = folder().join("in-place.tar");
    fs::write(&path, archive).expect("memory takes everything");
    let fixed = match in_place(&path, strictness) {
        Ok(fixed) => fixed,
        Err(error) => {
            let left = fs::read(&path).expect("it is still there");
            assert!(left == archive, "a file was changed that cannot be fixed");
            let input = Input::open(&path).expect("it is still there");
            let preview = fix_of(strictness).plan_only(input, Form::default());
            assert!(
                preview.is_err() || error.code() == Code::InPlaceRefused,
                "in place refuses what a new archive does not: {error}"
            );
            return;
        }
    };
    fs::write(&path, archive).expect("memory takes everything");
    let copied = written(&path, strictness, Verify::Documents).expect("it was patched in place");
    assert!(fixed == copied, "in place gives another file than a copy");
    let names = fs::read_dir(folder()).expect("the folder is there");
    let journals = names.flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().contains("journal")
    });
    assert_eq!(journals.count(), 0, "a journal is left");

    fs::write(&path, &fixed).expect("memory takes everything");
    let again = in_place(&path, strictness).expect("what was fixed can be fixed");
    assert!(again == fixed, "a second fix in place changes the file");
    let Ok(whole) = whole else {
        // Layers are not looked at in place.
        return;
    };
    let sorted = new_archive(&fixed, strictness).expect("what was fixed can be fixed");
    assert_eq!(
        blobs(&sorted),
        blobs(whole),
        "in place gives other images than a new archive"
    );
}

/// The bytes of the archive once it is fixed in its own file.
fn in_place(path: &Path, strictness: Strictness) -> Result<Vec<u8>> {
    fix_of(strictness).run(Input::path(path), Output::in_place())?;
    Ok(fs::read(path).expect("it is still there"))
}

/// Whether it contains an image or a build cache.
fn has_images(archive: &[u8]) -> bool {
    let roles = graph(archive).manifests.into_values();
    let mut roles = roles.map(|manifest| manifest.role);
    roles.any(|role| matches!(role, ManifestRole::Image | ManifestRole::Cache))
}

/// The files of an archive, by name. Its directories are part of its form.
fn entries(archive: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().expect("memory can be read");
    let entries = entries.map(|entry| entry.expect("it was written"));
    let files = entries.filter(|entry| !entry.header().entry_type().is_dir());
    let read = |mut entry: tar::Entry<'_, &[u8]>| {
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("memory can be read");
        (entry.path_bytes().into_owned(), bytes)
    };
    files.map(read).collect()
}

/// The digests of layers, configs and all else that is not rewritten. An old document that found no
/// place stays in place as a blob that nothing refers to.
fn blobs(archive: &[u8]) -> Vec<Digest> {
    let graph = graph(archive);
    let is_copied = |digest: &Digest| graph.document(digest).is_none();
    let digests = graph.reachable().into_iter();
    digests
        .filter(|digest| is_copied(digest))
        .cloned()
        .collect()
}

fn graph(archive: &[u8]) -> Graph {
    let path = folder().join("graph.tar");
    fs::write(&path, archive).expect("memory takes everything");
    let source = Source::open(&path).expect("the file is there");
    let inventory = scan(&source, Strictness::Strict).expect("it was read before");
    resolve(inventory, &source, Strictness::Lenient).expect("it was read before")
}
