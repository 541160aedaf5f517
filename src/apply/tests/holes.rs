//! Holes in a sparse input, and gaps between neighbors.

use super::*;

/// Neighbors of the input are read at once, and the bytes between them must not be copied.
#[test]
fn neighbors_bring_nothing_of_what_is_between_them() {
    let mut job = Job::new(&[700; 600]);
    let input = fs::read(job.path("in.tar")).unwrap();
    let mut archive = vec![0xff; 1024];
    for (number, entry) in job.blobs().enumerate() {
        // Headers and padding of another kind, and sometimes a gap.
        archive.extend([0xff; 512]);
        if number % 50 == 0 {
            archive.extend([0xff; 512]);
        }
        let start = archive.len() as u64;
        archive.extend(&input[number * 700..][..700]);
        archive.extend([0xff; 1024 - 700]);
        if let Body::Blob { data, .. } = &mut entry.body {
            *data = DataLocation::Offset(start);
        }
    }
    fs::write(job.path("in.tar"), archive).unwrap();
    for verify in [Verify::Digests, Verify::Documents] {
        let options = ApplyOptions { verify, ..jobs(2) };
        job.replace(&job.path("out.tar"), options).unwrap();
        let mut expected = Vec::new();
        let mut number = 0;
        for entry in &job.plan.entries {
            expected.extend(canonical(
                &entry.name,
                entry.body == Body::Directory,
                entry.len,
            ));
            match &entry.body {
                Body::Directory => {}
                Body::Bytes(bytes) => expected.extend(bytes),
                Body::Blob { .. } => {
                    expected.extend(&input[number * 700..][..700]);
                    number += 1;
                }
            }
            expected.resize(expected.len() + padding(entry.len) as usize, 0);
        }
        expected.resize(expected.len() + END_LEN as usize, 0);
        assert!(
            fs::read(job.path("out.tar")).unwrap() == expected,
            "{verify:?}"
        );
    }
}

/// Replaces the input by a file of one blob whose middle is a hole of 4 MiB.
fn with_a_hole(job: &mut Job) -> u64 {
    const MIB: usize = 1 << 20;
    let mut bytes = vec![0; 6 * MIB + 1];
    bytes[..MIB].fill(1);
    bytes[5 * MIB..].fill(2);
    // Not at the start of a page, as in every archive.
    let start = 512;
    let file = fs::File::create(job.path("in.tar")).unwrap();
    file.write_all_at(&bytes[..MIB], start).unwrap();
    file.write_all_at(&bytes[5 * MIB..], start + 5 * MIB as u64)
        .unwrap();
    let new = Digest::of(Algorithm::Sha256, &bytes);
    let entry = job.blobs().next().unwrap();
    entry.name = new.blob_name();
    entry.len = bytes.len() as u64;
    entry.body = Body::Blob {
        digest: new,
        data: DataLocation::Offset(start),
    };
    bytes.len() as u64
}

#[test]
fn holes_stay_holes() {
    let mut job = Job::new(&[1]);
    let len = with_a_hole(&mut job);
    for verify in [Verify::Digests, Verify::Documents] {
        for (name, threads) in [("one.tar", 1), ("two.tar", 2), ("one/", 1), ("two/", 2)] {
            let recorder = Recorder::default();
            let options = ApplyOptions {
                verify,
                ..jobs(threads)
            };
            let source = job.source();
            let target = Target::prepare(at(&job.path(name)).overwrite(true), &source).unwrap();
            apply(&job.plan, &source, target, &options, &recorder).unwrap();
            assert_eq!(recorder.0.into_inner().unwrap(), (vec![len], len, 1));
            let mut path = job.path(name);
            if name.ends_with('/') {
                path = path.join(&job.blobs().next().unwrap().name);
            }
            let found = fs::metadata(&path).unwrap();
            assert!(found.blocks() * 512 < 3 << 20, "{name} {}", found.blocks());
            let bytes = fs::read(&path).unwrap();
            let start = if name.ends_with('/') { 0 } else { 3 * 512 };
            let found = Digest::of(Algorithm::Sha256, &bytes[start..][..len as usize]);
            assert_eq!(
                found.blob_name(),
                job.blobs().next().unwrap().name,
                "{name}"
            );
            if name.ends_with('/') {
                fs::remove_dir_all(job.path(name)).unwrap();
            }
        }
    }
}

#[test]
fn a_hole_is_verified_and_must_be_there() {
    let mut job = Job::new(&[1]);
    let len = with_a_hole(&mut job);
    let input = fs::OpenOptions::new().write(true).open(job.path("in.tar"));
    let input = input.unwrap();
    // It ends in the middle of the hole.
    let source = job.source();
    input.set_len(3 << 20).unwrap();
    for verify in [Verify::Digests, Verify::Documents] {
        let options = ApplyOptions { verify, ..jobs(2) };
        let target = Target::prepare(at(&job.path("out.tar")), &source).unwrap();
        let error = apply(&job.plan, &source, target, &options, &Hidden).unwrap_err();
        assert_eq!(error.code(), Code::TruncatedArchive, "{error}");
    }
    // It is all hole.
    input.set_len(0).unwrap();
    input.set_len(len + 512).unwrap();
    let error = job.apply(&job.path("out.tar"), jobs(2)).unwrap_err();
    assert_eq!(error.code(), Code::DigestMismatch);
}
