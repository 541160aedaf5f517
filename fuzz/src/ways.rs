//! The same archive by every way out, and what must hold between them.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use ocify::apply::{ApplyOptions, Output, StreamSink, Target, Verify, apply};
use ocify::apply::{apply_in_place, apply_patched, patch};
use ocify::codec::Limits;
use ocify::error::{Code, Error, Result};
use ocify::image::Digest;
use ocify::input::{SpoolOptions, Stream};
use ocify::plan::{Form, NewLayers, PlanOptions};
use ocify::progress::Hidden;
use ocify::{Source, Strictness, plan, resolve, scan};

use crate::{HOST, folder, planned, resolved};

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
    written(&input, strictness)
}

/// A new archive of an archive or a layout directory.
fn written(input: &Path, strictness: Strictness) -> Result<Vec<u8>> {
    let output = folder().join("whole.tar");
    let source = Source::open(input)?;
    let target = Target::prepare(Output::path(&output).overwrite(true), &source)?;
    let plan = planned(&source, strictness, target.form())?;
    apply(&plan, &source, target, &options(Verify::Full), &Hidden)?;
    Ok(fs::read(&output).expect("it was written"))
}

fn options<'a>(verify: Verify) -> ApplyOptions<'a> {
    ApplyOptions {
        verify,
        ..ApplyOptions::default()
    }
}

/// A layout directory holds what a new archive does.
fn check_layout(archive: &[u8], strictness: Strictness, whole: &[u8]) {
    let (input, layout) = (folder().join("ways.tar"), folder().join("layout"));
    fs::write(&input, archive).expect("memory takes everything");
    let source = Source::open(&input).expect("the file is there");
    let plan = planned(&source, strictness, Form::Layout).expect("it was read before");
    let target = Target::prepare(Output::layout(&layout), &source).expect("nothing is there");
    let done = apply(&plan, &source, target, &options(Verify::Full), &Hidden);
    done.expect("an archive could be written");
    let again = written(&layout, strictness).expect("a layout can be fixed");
    fs::remove_dir_all(&layout).expect("it was made");
    assert!(again == whole, "a layout holds something else");
}

/// A stream that ends well is the new archive in another order; one that does not is no image.
fn check_stream(archive: &[u8], strictness: Strictness, whole: &Result<Vec<u8>>) {
    let mut output = Vec::new();
    let Some(result) = stream(archive, strictness, &mut output) else {
        return;
    };
    match (result, whole) {
        (Ok(()), Ok(whole)) => {
            let sorted = new_archive(&output, strictness).expect("a stream can be fixed");
            assert!(sorted == *whole, "a stream holds something else");
            let mut again = Vec::new();
            let result = stream(&output, strictness, &mut again).expect("it needs no file");
            result.expect("a stream can be streamed");
            assert!(again == output, "a stream would be changed again");
        }
        (Ok(()), Err(error)) => assert_eq!(
            error.code(),
            Code::CompressedArchive,
            "a stream lets pass what a file does not: {error}"
        ),
        (Err(error), whole) => {
            assert!(
                whole.is_err() || error.code() == Code::NeedsFile,
                "a stream refuses what a file does not: {error}"
            );
            refuse_root(&output);
        }
    }
}

/// Sends the archive through in one pass; `None` if that cannot be.
fn stream(archive: &[u8], strictness: Strictness, output: &mut Vec<u8>) -> Option<Result<()>> {
    let spool = SpoolOptions {
        directory: &folder(),
        limits: Limits {
            max_ratio: 100,
            max_window: 128 << 20,
        },
    };
    let input = Cursor::new(archive.to_vec());
    let mut stream = match Stream::open(input, Path::new("in"), spool) {
        Ok(stream) => stream,
        Err(error) => return Some(Err(error)),
    };
    match stream.obstacle() {
        Ok(None) => Some(one_pass(&mut stream, strictness, output)),
        Ok(Some(_)) => None,
        Err(error) => Some(Err(error)),
    }
}

fn one_pass(stream: &mut Stream, strictness: Strictness, output: &mut Vec<u8>) -> Result<()> {
    let options = options(Verify::Full);
    let mut sink = StreamSink::new(output, Path::new("out"), &options, &Hidden);
    let inventory = stream.scan(strictness, &mut sink)?;
    let graph = resolve(inventory, stream, strictness)?;
    let plan_options = PlanOptions::default();
    let draft = plan(&graph, &plan_options, Form::Stream, HOST)?;
    let plan = draft.complete(&NewLayers::default())?;
    sink.finish(&plan, stream)?;
    Ok(())
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
    let Ok(copied) = patched(&path, strictness, false) else {
        let left = fs::read(&path).expect("it is still there");
        assert!(left == archive, "a file was changed that cannot be fixed");
        return;
    };
    fs::write(&path, archive).expect("memory takes everything");
    let fixed = patched(&path, strictness, true).expect("a copy could be patched");
    assert!(fixed == copied, "in place gives another file than a copy");
    let names = fs::read_dir(folder()).expect("the folder is there");
    let journals = names.flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().contains("journal")
    });
    assert_eq!(journals.count(), 0, "a journal is left");

    let again = patched(&path, strictness, true).expect("what was fixed can be fixed");
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

/// The bytes of the archive once it is patched, in its own file or in a copy.
fn patched(path: &Path, strictness: Strictness, is_in_place: bool) -> Result<Vec<u8>> {
    let source = match is_in_place {
        true => Source::open_in_place(path)?,
        false => Source::open(path)?,
    };
    let graph = resolved(&source, strictness)?;
    let plan_options = PlanOptions::default();
    let draft = plan(&graph, &plan_options, Form::Patch, HOST)?;
    let patch = patch(&draft, &source).inspect_err(refuse_other_codes)?;
    let plan = draft.complete(&NewLayers::default())?;
    let options = options(Verify::Documents);
    if is_in_place {
        apply_in_place(&patch, &plan, &source, &options, &Hidden)?;
        return Ok(fs::read(path).expect("it is still there"));
    }
    let output = folder().join("copied.tar");
    let target = Target::prepare(Output::path(&output).overwrite(true), &source)?;
    apply_patched(&patch, &source, &target, &options, &Hidden)?;
    Ok(fs::read(&output).expect("it was written"))
}

fn refuse_other_codes(error: &Error) {
    assert_eq!(error.code(), Code::InPlaceRefused, "{error}");
}

/// The digests of layers, configs and all else that is not rewritten. An old document that found no
/// place stays in place as a blob that nothing refers to.
fn blobs(archive: &[u8]) -> Vec<Digest> {
    let path = folder().join("blobs.tar");
    fs::write(&path, archive).expect("memory takes everything");
    let source = Source::open(&path).expect("the file is there");
    let inventory = scan(&source, Strictness::Strict).expect("it was read before");
    let graph = resolve(inventory, &source, Strictness::Lenient).expect("it was read before");
    let is_copied = |digest: &Digest| graph.document(digest).is_none();
    let digests = graph.reachable().into_iter();
    digests
        .filter(|digest| is_copied(digest))
        .cloned()
        .collect()
}
