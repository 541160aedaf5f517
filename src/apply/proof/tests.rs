//! Compressed layers and their diff IDs.

use std::fs;
use std::io::Write;

use super::*;
use crate::apply::tests::{Job, Recorder, jobs};
use crate::apply::{Outcome, Output, Target, apply, verify};
use crate::location::Location;
use crate::plan::BlobKind;
use crate::progress::Hidden;
use crate::tar::canonical;

/// Layers that are small, larger than one piece, and worth threads of their own: their tars compress badly.
const LENS: [usize; 4] = [300, 100 << 10, 900 << 10, 2 << 20];

fn noise(len: usize, seed: usize) -> Vec<u8> {
    let mut state = seed as u32 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A plan of compressed layers, each with its right diff ID, and its input.
fn layers() -> Job {
    let mut job = Job::new(&[]);
    let mut input = Vec::new();
    for (number, len) in LENS.into_iter().enumerate() {
        let plain = [
            canonical("a", false, len as u64).as_slice(),
            &noise(len, number),
        ]
        .concat();
        let (content, bytes) = match number % 2 {
            0 => (Content::Gzip, gzip(&plain)),
            _ => (Content::Zstd, zstd::encode_all(&plain[..], 1).unwrap()),
        };
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        job.plan.entries.push(OutputEntry {
            name: digest.blob_name(),
            len: bytes.len() as u64,
            body: Body::Blob {
                digest: digest.clone(),
                data: DataLocation::Offset(input.len() as u64),
            },
            replaces: None,
            kind: BlobKind::Layer,
        });
        job.plan.proofs.push(LayerProof {
            digest,
            diff_id: DiffId(Digest::of(Algorithm::Sha256, &plain)),
            content,
            inside: None,
            is_only_proof: false,
            location: Location::Entry(format!("layer {number}")),
        });
        input.extend(bytes);
    }
    job.plan.proofs.sort_by(|a, b| a.digest.cmp(&b.digest));
    fs::write(job.path("in.tar"), input).unwrap();
    job
}

fn full(threads: usize) -> ApplyOptions<'static> {
    ApplyOptions {
        verify: Verify::Full,
        ..jobs(threads)
    }
}

/// Everything that verifies: new files, a stream, and nothing but verification.
fn every_way(job: &Job, options: &ApplyOptions<'_>) -> Vec<Result<Outcome>> {
    let mut results = Vec::new();
    for output in ["out.tar", "out/"] {
        results.push(job.apply(&job.path(output), *options));
    }
    let source = job.source();
    let mut written = Vec::new();
    let target = Target::prepare(Output::stream(&mut written), &source).unwrap();
    results.push(apply(&job.plan, &source, target, options, &Hidden));
    results.push(verify(&job.plan, &source, options, &Hidden));
    let _ = fs::remove_file(job.path("out.tar"));
    let _ = fs::remove_dir_all(job.path("out"));
    results
}

#[test]
fn right_diff_ids_are_verified() {
    let job = layers();
    for threads in [1, 2, 8] {
        for result in every_way(&job, &full(threads)) {
            let verified = result.unwrap().verified;
            assert_eq!((verified.layers, verified.diff_ids), (4, 4), "{threads}");
        }
        for result in every_way(&job, &jobs(threads)) {
            let verified = result.unwrap().verified;
            assert_eq!((verified.layers, verified.diff_ids), (4, 0), "{threads}");
        }
    }
}

#[test]
fn a_wrong_diff_id_leaves_nothing() {
    for number in 0..LENS.len() {
        for is_only_proof in [false, true] {
            let mut job = layers();
            let name = format!("layer {number}");
            let mut proofs = job.plan.proofs.iter_mut();
            let proof = proofs
                .find(|proof| proof.location.to_string() == name)
                .unwrap();
            proof.diff_id = DiffId(Digest::of(Algorithm::Sha256, b"other"));
            proof.is_only_proof = is_only_proof;
            for threads in [1, 2, 8] {
                for result in every_way(&job, &full(threads)) {
                    let error = result.unwrap_err();
                    assert_eq!(error.code(), Code::DiffIdMismatch, "{name}");
                    assert!(error.to_string().starts_with(&name), "{error}");
                }
                for result in every_way(&job, &jobs(threads)) {
                    assert_eq!(result.is_err(), is_only_proof, "{name}");
                }
                assert_eq!(job.names(), ["in.tar"]);
            }
        }
    }
}

/// The digest says more than what damaged bytes decompress to.
#[test]
fn damage_is_reported_as_another_digest() {
    for number in 0..LENS.len() {
        let mut job = layers();
        let entry = job.blobs().nth(number).unwrap();
        let (name, len) = (entry.name.clone(), entry.len);
        let Body::Blob {
            data: DataLocation::Offset(at),
            ..
        } = entry.body
        else {
            unreachable!("an archive has offsets")
        };
        let mut input = fs::read(job.path("in.tar")).unwrap();
        input[(at + len / 2) as usize] ^= 0xff;
        fs::write(job.path("in.tar"), input).unwrap();
        for threads in [1, 2, 8] {
            for result in every_way(&job, &full(threads)) {
                let error = result.unwrap_err();
                assert_eq!(error.code(), Code::DigestMismatch, "{number} {threads}");
                assert!(error.to_string().starts_with(&name), "{error}");
            }
        }
    }
}

#[test]
fn bytes_that_cannot_be_decompressed_are_reported() {
    for number in 0..LENS.len() {
        let mut job = layers();
        let name = format!("layer {number}");
        let mut proofs = job.plan.proofs.iter_mut();
        let proof = proofs
            .find(|proof| proof.location.to_string() == name)
            .unwrap();
        proof.content = Content::Xz;
        for threads in [1, 2, 8] {
            for result in every_way(&job, &full(threads)) {
                let error = result.unwrap_err();
                assert_eq!(error.code(), Code::DamagedLayer, "{name}");
                assert!(error.to_string().starts_with(&name), "{error}");
            }
        }
    }
}

#[test]
fn progress_counts_decompressed_layers_once() {
    let job = layers();
    let source = job.source();
    let total: u64 = job.plan.entries.iter().map(|entry| entry.len).sum();
    let documents = 2;
    for threads in [1, 2] {
        let recorder = Recorder::default();
        verify(&job.plan, &source, &full(threads), &recorder).unwrap();
        let seen = recorder.0.into_inner().unwrap();
        let total = total - documents;
        assert_eq!(seen, (vec![total], total, 1), "{threads}");
    }
}
