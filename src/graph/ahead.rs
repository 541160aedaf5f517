//! Manifests that several threads read and parse before the walk comes to them.
//!
//! The walk takes each of them when it would have read it, with the error that it would have met. So
//! what it finds does not depend on the number of threads.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::graph::document::{Document, DocumentReader, RepeatedKey, Shape, read_verified};
use crate::graph::image::{self, Config, Role as ManifestRole};
use crate::graph::pointer::Pointer;
use crate::image::Digest;
use crate::image::media_type::Kind;
use crate::inventory::{BlobEntry, BlobSource, Inventory, Strictness};
use crate::location::{DocumentPath, Location, Role};
use crate::threads::Workers;

/// How many pointers are followed at once. This and [`MAX_LEN`] limit what is held in memory ahead of
/// the walk.
pub(super) const BATCH: usize = 256;
/// Larger documents are read by the walk.
const MAX_LEN: u64 = 64 << 10;
/// Fewer manifests take less time than starting a thread.
const MIN_COUNT: usize = 16;

/// Reads manifests ahead of the walk.
pub(super) struct Ahead<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) blobs: &'a (dyn BlobSource + Sync),
    pub(super) strictness: Strictness,
    pub(super) workers: Workers<'a>,
    manifests: BTreeMap<Digest, Manifest>,
}

/// A manifest, and its config if it is an image's.
pub(super) struct Manifest {
    pub(super) document: Parsed<Document>,
    pub(super) config: Option<Parsed<Config>>,
}

/// A document that was parsed ahead.
pub(super) struct Parsed<T> {
    value: Result<T>,
    repeated_keys: Vec<RepeatedKey>,
}

impl<T> Parsed<T> {
    /// The document, as if `reader` had parsed it now.
    pub(super) fn take(self, reader: &mut DocumentReader) -> Result<T> {
        reader.add_repeated_keys(self.repeated_keys)?;
        self.value
    }
}

/// A manifest to read.
struct Task<'a> {
    pointer: &'a Pointer,
    blob: &'a BlobEntry,
}

impl<'a> Ahead<'a> {
    /// `None` if only one thread may read the blobs.
    pub(super) fn new(
        inventory: &'a Inventory,
        blobs: &'a dyn BlobSource,
        strictness: Strictness,
        workers: Workers<'a>,
    ) -> Option<Self> {
        let blobs = blobs.shared()?;
        Some(Ahead {
            inventory,
            blobs,
            strictness,
            workers,
            manifests: BTreeMap::new(),
        })
    }

    /// Reads the manifests that these pointers of a document lead to, except known ones.
    pub(super) fn read(
        &mut self,
        parent: &DocumentPath,
        pointers: &[Pointer],
        is_known: impl Fn(&Digest) -> bool,
    ) {
        if pointers.len() < MIN_COUNT || !self.workers.are_several() {
            return;
        }
        let mut seen = BTreeSet::new();
        let mut tasks = Vec::new();
        for pointer in pointers {
            let digest = &pointer.digest;
            if pointer.kind != Kind::Manifest || !digest.is_verifiable() || is_known(digest) {
                continue;
            }
            // Of two pointers to one manifest, the walk follows the first.
            if let Some(blob) = self.small_blob(digest)
                && seen.insert(digest)
            {
                tasks.push(Task { pointer, blob });
            }
        }
        if tasks.len() < MIN_COUNT {
            return;
        }
        let manifests = self.workers.map(&tasks, |task| self.manifest(parent, task));
        let digests = tasks.iter().map(|task| task.pointer.digest.clone());
        self.manifests = digests.zip(manifests).collect();
    }

    /// Takes a manifest that was read ahead.
    pub(super) fn take(&mut self, digest: &Digest) -> Option<Manifest> {
        self.manifests.remove(digest)
    }

    fn small_blob(&self, digest: &Digest) -> Option<&'a BlobEntry> {
        let blob = self.inventory.blobs.get(digest)?;
        (blob.len <= MAX_LEN).then_some(blob)
    }

    fn manifest(&self, parent: &DocumentPath, task: &Task<'_>) -> Manifest {
        let Task { pointer, blob } = task;
        let document = self.parsed(|reader| {
            let digest = &pointer.digest;
            let location = Location::of(parent, pointer.step());
            let bytes = read_verified(self.blobs, digest, blob, &location)?;
            let path = parent.child(pointer.step());
            Document::parse(bytes, digest.clone(), Shape::Manifest, path, reader)
        });
        let config = match &document.value {
            Ok(document) => self.config(document, pointer),
            Err(_) => None,
        };
        Manifest { document, config }
    }

    fn config(&self, document: &Document, parent: &Pointer) -> Option<Parsed<Config>> {
        let pointer = document.config()?;
        let blob = self.small_blob(&pointer.digest)?;
        // What only manifest.json calls an image is read later.
        if image::role(document, parent, false) != ManifestRole::Image {
            return None;
        }
        Some(self.parsed(|reader| {
            let location = document.location_of(pointer);
            let bytes = read_verified(self.blobs, &pointer.digest, blob, &location)?;
            let layers = document.pointers_in(Role::Layers).count();
            image::config(bytes, &location, layers, reader)
        }))
    }

    fn parsed<T>(&self, parse: impl FnOnce(&mut DocumentReader) -> Result<T>) -> Parsed<T> {
        let mut reader = DocumentReader::new(self.strictness);
        let value = parse(&mut reader);
        Parsed {
            value,
            repeated_keys: reader.into_repeated_keys(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::error::{Code, Error};
    use crate::graph::{Graph, resolve_with};
    use crate::image::{Algorithm, Content};
    use crate::inventory::{DataLocation, RootFile};

    /// Blobs in memory, by offset.
    #[derive(Default)]
    struct Memory {
        bytes: Vec<u8>,
        inventory: Inventory,
        descriptors: Vec<String>,
    }

    impl BlobSource for Memory {
        fn read_blob(&self, blob: &BlobEntry, _max_len: u64) -> Result<Vec<u8>> {
            let DataLocation::Offset(at) = blob.data else {
                return Err(Error::new(Code::Io, "not an offset"));
            };
            Ok(self.bytes[at as usize..][..blob.len as usize].to_vec())
        }

        fn shared(&self) -> Option<&(dyn BlobSource + Sync)> {
            Some(self)
        }

        fn identify(&self, _data: &DataLocation, _len: u64) -> Result<BlobEntry> {
            Err(Error::new(Code::Io, "not a blob"))
        }

        fn digest_of(&self, _blob: &BlobEntry, _algorithm: Algorithm) -> Result<Digest> {
            Err(Error::new(Code::Io, "not a blob"))
        }
    }

    impl Memory {
        fn add(&mut self, media_type: &str, text: &str) -> String {
            let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
            let len = text.len();
            let blob = BlobEntry {
                len: len as u64,
                data: DataLocation::Offset(self.bytes.len() as u64),
                content: Content::Other,
            };
            self.bytes.extend_from_slice(text.as_bytes());
            let descriptor =
                format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{len}}}"#);
            self.inventory.blobs.insert(digest, blob);
            descriptor
        }

        /// An image without layers; `more` is added to its manifest.
        fn add_image(&mut self, number: usize, more: &str) {
            let config = format!(
                r#"{{"os":"linux","architecture":"{number}","x":1,"x":2,"rootfs":{{"diff_ids":[]}}}}"#
            );
            let config = self.add("application/vnd.oci.image.config.v1+json", &config);
            let manifest = format!(
                r#"{{"schemaVersion":2,"config":{config},"layers":[],"y":{number}{more}}}"#
            );
            let descriptor = self.add("application/vnd.oci.image.manifest.v1+json", &manifest);
            self.descriptors.push(descriptor);
        }

        fn resolve(&self, jobs: usize) -> Result<Graph> {
            let index = format!(r#"{{"manifests":[{}]}}"#, self.descriptors.join(","));
            let inventory = Inventory {
                root_index: Some(RootFile {
                    bytes: index.into_bytes(),
                    data: DataLocation::Offset(0),
                }),
                ..self.inventory.clone()
            };
            let workers = Workers {
                jobs: NonZeroUsize::new(jobs).into(),
                idle_threads: None,
            };
            resolve_with(inventory, self, Strictness::Lenient, workers)
        }
    }

    #[test]
    fn the_graph_does_not_depend_on_the_number_of_threads() {
        let mut memory = Memory::default();
        for number in 0..2 * BATCH + MIN_COUNT {
            // Some manifests are listed again, and some have a key twice.
            memory.add_image(number, [r#","z":0,"z":0"#, "", ""][number % 3]);
            if number % 50 == 0 {
                memory
                    .descriptors
                    .push(memory.descriptors[number / 2].clone());
            }
        }
        let one = memory.resolve(1).unwrap();
        assert_eq!(one.manifests.len(), 2 * BATCH + MIN_COUNT);
        for jobs in [2, 5] {
            let several = memory.resolve(jobs).unwrap();
            assert!(format!("{one:?}") == format!("{several:?}"), "{jobs}");
        }
        // One thread reads nothing ahead.
        let ahead = Ahead::new(&one.inventory, &memory, Strictness::Strict, Workers::ONE);
        let mut ahead = ahead.unwrap();
        ahead.read(&one.root.path, &one.root.pointers, |_| false);
        assert!(ahead.manifests.is_empty());
    }

    #[test]
    fn faults_do_not_depend_on_the_number_of_threads() {
        let mut memory = Memory::default();
        for number in 0..3 * MIN_COUNT {
            let more = match number {
                20 => r#","manifests":[]"#,
                30 => r#","fsLayers":[]"#,
                _ => "",
            };
            memory.add_image(number, more);
        }
        let faults = |graph: &Graph| -> Vec<(String, Code)> {
            let faults = graph.faults.iter();
            faults
                .map(|(_, error)| (error.to_string(), error.code()))
                .collect()
        };
        let expected = faults(&memory.resolve(1).unwrap());
        let codes: Vec<Code> = expected.iter().map(|(_, code)| *code).collect();
        assert_eq!(codes, [Code::AmbiguousDocument, Code::Schema1]);
        assert!(expected[0].0.contains("manifests[20]"), "{expected:?}");
        assert_eq!(faults(&memory.resolve(3).unwrap()), expected);
    }
}
