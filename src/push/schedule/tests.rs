//! What is scheduled of small outputs.

use serde_json::{Value, json};

use super::super::origin::Origin;
use super::*;
use crate::image::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::image::{Algorithm, Reference};
use crate::plan::{BlobKind, Body, OutputEntry, PlanOptions};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
const NAME: &str = "io.containerd.image.name";
const TAG: &str = "org.opencontainers.image.ref.name";

/// An output.
#[derive(Default)]
struct Output {
    entries: Vec<OutputEntry>,
    listed: Vec<Value>,
    options: PlanOptions,
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::of(Algorithm::Sha256, bytes).to_string(),
        "size": bytes.len(),
    })
}

fn digest(descriptor: &Value) -> Digest {
    descriptor["digest"].as_str().unwrap().parse().unwrap()
}

fn with(mut descriptor: Value, key: &str, value: Value) -> Value {
    descriptor[key] = value;
    descriptor
}

impl Output {
    fn file(&mut self, name: String, bytes: Vec<u8>, kind: BlobKind) {
        self.entries.push(OutputEntry {
            name,
            len: bytes.len() as u64,
            body: Body::Bytes(bytes),
            replaces: None,
            kind,
        });
    }

    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let descriptor = descriptor(media_type, bytes);
        let kind = match media_type {
            OCI_CONFIG => BlobKind::Config,
            _ => BlobKind::Other,
        };
        self.file(digest(&descriptor).blob_name(), bytes.to_vec(), kind);
        descriptor
    }

    fn document(&mut self, document: Value) -> Value {
        let media_type = document["mediaType"].as_str().unwrap().to_owned();
        self.blob(&media_type, document.to_string().as_bytes())
    }

    /// An image with these layers.
    fn image(&mut self, config: &str, layers: &[Value]) -> Value {
        let config = self.blob(OCI_CONFIG, config.as_bytes());
        self.document(json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
        }))
    }

    /// Something that refers to a manifest.
    fn referrer(&mut self, subject: &Value, what: &str) -> Value {
        let config = self.blob("application/vnd.oci.empty.v1+json", b"{}");
        self.document(json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [],
            "subject": subject, "annotations": {"what": what},
        }))
    }

    fn index(&mut self, manifests: &[Value]) -> Value {
        self.document(json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests,
        }))
    }

    fn list(&mut self, descriptor: &Value, annotations: Value) {
        let listed = with(descriptor.clone(), "annotations", annotations);
        self.listed.push(listed);
    }

    fn schedule(&self, target: Option<&str>) -> Result<Schedule> {
        let root = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self.listed});
        let mut all = Output {
            entries: self.entries.clone(),
            ..Output::default()
        };
        let bytes = root.to_string().into_bytes();
        all.file("index.json".to_owned(), bytes, BlobKind::Other);
        let read = |entry: &OutputEntry| match &entry.body {
            Body::Bytes(bytes) => Ok(bytes.clone()),
            _ => Ok(Vec::new()),
        };
        let origin = Origin {
            options: &self.options,
            changes: &[],
        };
        let contents = Contents::new(&all.entries, origin, &read)?;
        let target = target.map(|target| target.parse().unwrap());
        Schedule::new(&contents, target.as_ref())
    }
}

/// The names that are set.
fn names(schedule: &Schedule) -> Vec<String> {
    let tags = schedule.tags.iter();
    tags.map(|tag| format!("{}:{}", tag.repository, tag.tag))
        .collect()
}

/// The level of each manifest of the first repository.
fn level(schedule: &Schedule, descriptor: &Value) -> usize {
    let wanted = digest(descriptor);
    let mut levels = schedule.repositories[0].levels.iter();
    let has = |level: &Vec<ManifestStep>| level.iter().any(|step| step.digest == wanted);
    levels.position(has).unwrap()
}

#[test]
fn children_come_before_parents_and_subjects_before_referrers() {
    let mut output = Output::default();
    let layer = output.blob(LAYER, b"layer");
    let one = output.image("one", std::slice::from_ref(&layer));
    let other = output.image("other", &[layer]);
    let index = output.index(&[one.clone(), other.clone()]);
    let signature = output.referrer(&index, "signature");
    let of_signature = output.referrer(&signature, "of the signature");
    let of_child = output.referrer(&one, "bill of materials");
    output.list(&index, json!({NAME: "example.com/app:v1", TAG: "v1"}));
    // They are listed in the worst order.
    for referrer in [&of_signature, &signature, &of_child] {
        output.list(referrer, json!({}));
    }
    let schedule = output.schedule(None).unwrap();
    assert_eq!(names(&schedule), ["example.com/app:v1"]);
    assert_eq!(schedule.tags[0].digest, digest(&index));
    let [work] = schedule.repositories.as_slice() else {
        panic!("{schedule:?}");
    };
    let levels: Vec<usize> = [&one, &other, &index, &of_child, &signature, &of_signature]
        .map(|descriptor| level(&schedule, descriptor))
        .to_vec();
    assert_eq!(levels, [0, 0, 1, 1, 2, 3]);
    let counts: Vec<usize> = work.levels.iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 2, 1, 1]);
    // Three configs and the layer, each once.
    assert_eq!(work.blobs.len(), 4);
    assert!(
        work.blobs
            .is_sorted_by_key(|blob| std::cmp::Reverse(blob.len))
    );
    assert!(work.absent.is_empty());
    let of = |descriptor: &Value| {
        let mut steps = work.levels.iter().flatten();
        let wanted = digest(descriptor);
        steps.find(|step| step.digest == wanted).unwrap()
    };
    assert_eq!(of(&signature).subject, Some(digest(&index)));
    assert_eq!(of(&index).media_type, OCI_INDEX);
}

#[test]
fn images_go_to_their_own_names_or_to_the_target() {
    let mut output = Output::default();
    let one = output.image("one", &[]);
    let other = output.image("other", &[]);
    output.list(&one, json!({NAME: "example.com/a:v1"}));
    output.list(&one, json!({NAME: "localhost:5000/b:v2"}));
    output.list(&other, json!({NAME: "docker.io/library/c:latest"}));
    let all = [
        "example.com/a:v1",
        "localhost:5000/b:v2",
        "docker.io/library/c:latest",
    ];
    assert_eq!(names(&output.schedule(None).unwrap()), all);
    let schedule = output.schedule(Some("r.example/x")).unwrap();
    let tags = ["r.example/x:latest", "r.example/x:v1", "r.example/x:v2"];
    assert_eq!(names(&schedule), tags);
    assert_eq!(schedule.repositories.len(), 1);
    let error = output.schedule(Some("r.example/x:v9")).unwrap_err();
    assert_eq!(error.code(), Code::SeveralImages);
    let hint = |repository: Option<&str>| Hint::ChooseImageToPush {
        target: "r.example/x:v9".to_owned(),
        image: Some("example.com/a:v1".to_owned()),
        repository: repository.map(str::to_owned),
    };
    assert_eq!(error.hint(), Some(&hint(Some("r.example/x"))));
    assert!(error.to_string().contains("a:v1") && error.to_string().contains("c:latest"));
    // Without a tag, it would not work either.
    let unnamed = output.image("unnamed", &[]);
    output.list(&unnamed, json!({}));
    let error = output.schedule(Some("r.example/x:v9")).unwrap_err();
    assert_eq!(error.hint(), Some(&hint(None)));
}

/// A hint names what FILE has.
#[test]
fn a_name_that_an_option_gives_is_not_in_a_hint() {
    let mut output = Output::default();
    let (one, other) = (output.image("one", &[]), output.image("other", &[]));
    output.list(&one, json!({NAME: "example.com/c:v1"}));
    output.list(&other, json!({TAG: "v2"}));
    let new: Reference = "example.com/c:v1".parse().unwrap();
    let old: Reference = "example.com/a:v1".parse().unwrap();
    let hint = |options: PlanOptions| {
        let output = Output {
            options,
            entries: output.entries.clone(),
            listed: output.listed.clone(),
        };
        let error = output.schedule(Some("r.example/x:v9")).unwrap_err();
        match error.hint() {
            Some(Hint::ChooseImageToPush {
                image, repository, ..
            }) => (image.clone().unwrap(), repository.clone()),
            hint => panic!("{hint:?}"),
        }
    };
    let repository = Some("r.example/x".to_owned());
    assert_eq!(hint(PlanOptions::default()), (new.full(), repository));
    for options in [
        PlanOptions {
            names: vec![new.clone()],
            ..PlanOptions::default()
        },
        PlanOptions {
            renames: vec![(old, new)],
            ..PlanOptions::default()
        },
    ] {
        assert_eq!(hint(options), (digest(&one).to_string(), None));
    }
}

#[test]
fn one_tag_for_several_images_is_refused() {
    let mut output = Output::default();
    let (one, other) = (output.image("one", &[]), output.image("other", &[]));
    output.list(&one, json!({NAME: "example.com/a:v1"}));
    output.list(&other, json!({NAME: "example.com/b:v1"}));
    assert!(output.schedule(None).is_ok());
    let error = output.schedule(Some("r.example/x")).unwrap_err();
    assert_eq!(
        (error.code(), error.found()),
        (Code::NameTaken, Some("r.example/x:v1"))
    );
    let hint = Hint::PushImageApart {
        repository: "r.example/x".to_owned(),
        image: "example.com/b:v1".to_owned(),
    };
    assert_eq!(error.hint(), Some(&hint));
}

#[test]
fn an_image_without_a_name_requires_a_target() {
    for annotations in [json!({}), json!({TAG: "v1"})] {
        let mut output = Output::default();
        let image = output.image("one", &[]);
        output.list(&image, annotations.clone());
        let error = output.schedule(None).unwrap_err();
        assert_eq!(error.code(), Code::NameMissing);
        assert_eq!(error.hint(), Some(&Hint::GiveRepository));
        let schedule = output.schedule(Some("r.example/x")).unwrap();
        let tag = annotations[TAG].as_str().unwrap_or("latest");
        assert_eq!(names(&schedule), [format!("r.example/x:{tag}")]);
        let schedule = output.schedule(Some("r.example/x:v7")).unwrap();
        assert_eq!(names(&schedule), ["r.example/x:v7"]);
    }
    // One of several would have no tag.
    let mut output = Output::default();
    let (one, other) = (output.image("one", &[]), output.image("other", &[]));
    output.list(&one, json!({TAG: "v1"}));
    output.list(&other, json!({}));
    let error = output.schedule(Some("r.example/x")).unwrap_err();
    assert_eq!(error.code(), Code::NameMissing);
    // The repository was given.
    let hint = Hint::PushImageApart {
        repository: "r.example/x".to_owned(),
        image: digest(&other).to_string(),
    };
    assert_eq!(error.hint(), Some(&hint));
    assert!(
        error.to_string().contains("no tag in r.example/x: sha256:"),
        "{error}"
    );
}

/// The archive that `docker pull app@sha256:…` and `docker save` leave has such a name.
#[test]
fn an_image_with_a_digest_for_a_tag_is_latest_in_a_target() {
    let mut output = Output::default();
    let image = output.image("one", &[]);
    let name = format!("example.com/a@{}", digest(&image));
    output.list(&image, json!({TAG: name}));
    let schedule = output.schedule(None).unwrap();
    assert_eq!(names(&schedule), [""; 0]);
    assert_eq!(schedule.repositories[0].repository.name, "a");
    let schedule = output.schedule(Some("r.example/x")).unwrap();
    assert_eq!(names(&schedule), ["r.example/x:latest"]);
    let other = output.image("other", &[]);
    output.list(&other, json!({TAG: "v1"}));
    let error = output.schedule(Some("r.example/x")).unwrap_err();
    assert_eq!(error.code(), Code::NameMissing);
}

/// Evidence that does not say what it is about, and other artifacts.
#[test]
fn what_is_not_an_image_needs_no_name_beside_one() {
    let artifact = |output: &mut Output, text: &str| {
        let config = output.blob("application/vnd.oci.empty.v1+json", b"{}");
        output.document(json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [],
            "annotations": {"what": text},
        }))
    };
    let mut output = Output::default();
    let (image, note) = (output.image("one", &[]), artifact(&mut output, "note"));
    output.list(&image, json!({NAME: "example.com/a:v1"}));
    output.list(&note, json!({}));
    for (target, name) in [
        (None, "example.com/a:v1"),
        (Some("r.example/x"), "r.example/x:v1"),
        (Some("r.example/x:v2"), "r.example/x:v2"),
    ] {
        let schedule = output.schedule(target).unwrap();
        assert_eq!(names(&schedule), [name]);
        assert!(schedule.repositories[0].roots.contains(&digest(&note)));
    }
    // With a tag, it is one of two things that could be meant.
    let module = artifact(&mut output, "module");
    output.list(&module, json!({TAG: "v3"}));
    let error = output.schedule(Some("r.example/x:v2")).unwrap_err();
    assert_eq!(error.code(), Code::SeveralImages);

    // Of two repositories, none is the right one; and alone, it is what is pushed.
    let mut output = Output::default();
    let note = artifact(&mut output, "note");
    output.list(&note, json!({}));
    assert!(output.schedule(None).is_err());
    let schedule = output.schedule(Some("r.example/x")).unwrap();
    assert_eq!(names(&schedule), ["r.example/x:latest"]);
    for name in ["example.com/a:v1", "example.com/b:v1"] {
        let image = output.image(name, &[]);
        output.list(&image, json!({NAME: name}));
    }
    let error = output.schedule(None).unwrap_err();
    assert_eq!(error.hint(), Some(&Hint::GiveRepository));

    // What may be an image needs one: its config or the manifest is not there, or the config is in the descriptor.
    let image_with = |output: &mut Output, config: Value| {
        output.document(json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [],
        }))
    };
    for what in [
        "no config",
        "no manifests",
        "no manifest",
        "config in the descriptor",
    ] {
        let mut output = Output::default();
        let image = output.image("one", &[]);
        let config = descriptor(OCI_CONFIG, b"other");
        let other = match what {
            "no config" => image_with(&mut output, config),
            "no manifests" => output.index(&[descriptor(OCI_MANIFEST, b"absent")]),
            "no manifest" => descriptor(OCI_MANIFEST, b"absent"),
            _ => image_with(&mut output, with(config, "data", json!("b3RoZXI="))),
        };
        for listed in [&image, &other] {
            output.list(listed, json!({}));
        }
        for (target, code) in [
            ("r.example/x:v9", Code::SeveralImages),
            ("r.example/x", Code::NameMissing),
        ] {
            let error = output.schedule(Some(target)).expect_err(what);
            assert_eq!(error.code(), code, "{what}");
        }
    }
}

/// Registries take what ocify cannot verify, or refuse it: nothing is sent.
#[test]
fn what_cannot_be_verified_is_refused() {
    let unverifiable = |media_type: &str| json!({"mediaType": media_type, "digest": format!("blake3:{}", "ab".repeat(32)), "size": 1});
    let manifest = unverifiable(OCI_MANIFEST);
    let layer = unverifiable(LAYER);
    for is_present in [true, false] {
        let mut output = Output::default();
        let (image, other) = (
            output.image("one", &[]),
            output.image("two", std::slice::from_ref(&layer)),
        );
        output.list(&image, json!({NAME: "example.com/a:v1"}));
        for (listed, location) in [
            (&manifest, "manifests[1]"),
            (&other, "manifests[1], layers[0]"),
        ] {
            let mut output = Output {
                listed: output.listed.clone(),
                entries: output.entries.clone(),
                ..Output::default()
            };
            output.list(listed, json!({TAG: "v2"}));
            if is_present {
                let name = format!("blobs/blake3/{}", "ab".repeat(32));
                output.file(name, b"x".to_vec(), BlobKind::Other);
            }
            let scheduled = output.schedule(Some("r.example/x"));
            match is_present {
                // The repository may have it.
                false => assert_eq!(scheduled.unwrap().repositories[0].absent.len(), 1),
                true => {
                    let error = scheduled.unwrap_err();
                    assert_eq!(error.code(), Code::UnsupportedDigest);
                    let hint = Hint::PushVerifiable {
                        target: Some("r.example/x".to_owned()),
                        image: Some("example.com/a:v1".to_owned()),
                    };
                    assert_eq!(error.hint(), Some(&hint));
                    assert!(error.to_string().contains(location), "{error}");
                    // It is the only one.
                    output.listed.remove(0);
                    let error = output.schedule(None).unwrap_err();
                    assert_eq!(error.hint(), Some(&Hint::BuildVerifiable));
                }
            }
        }
    }
}

#[test]
fn evidence_goes_with_what_it_is_about() {
    let mut output = Output::default();
    let image = output.image("one", &[]);
    let signature = output.image("signature", &[]);
    let tag = format!("sha256-{}.sig", digest(&image).hex());
    output.list(&image, json!({NAME: "example.com/a:v1"}));
    output.list(&signature, json!({NAME: format!("example.com/a:{tag}")}));
    let schedule = output.schedule(Some("r.example/x:v2")).unwrap();
    assert_eq!(
        names(&schedule),
        [format!("r.example/x:{tag}"), "r.example/x:v2".to_owned()]
    );

    // cosign's layouts give it the name of the image.
    let mut output = Output::default();
    let image = output.image("one", &[]);
    let signature = output.image("signature", &[]);
    let kind = |kind: &str| json!({NAME: "example.com/a:v1", "kind": format!("dev.cosignproject.cosign/{kind}")});
    output.list(&image, kind("image"));
    output.list(&signature, kind("sigs"));
    for (target, repository) in [
        (None, "example.com/a"),
        (Some("r.example/x"), "r.example/x"),
    ] {
        let schedule = output.schedule(target).unwrap();
        let signed = schedule
            .tags
            .iter()
            .find(|tag| tag.tag.ends_with(".sig"))
            .unwrap();
        assert_eq!(signed.tag, format!("sha256-{}.sig", digest(&image).hex()));
        assert_eq!(
            (signed.digest.clone(), signed.repository.to_string()),
            (digest(&signature), repository.to_owned())
        );
        assert!(names(&schedule).contains(&format!("{repository}:v1")));
    }
}

#[test]
fn what_is_absent_is_required_of_the_repository() {
    let mut output = Output::default();
    let absent = descriptor(LAYER, b"absent");
    let foreign = with(
        descriptor(FOREIGN, b"foreign"),
        "urls",
        json!(["https://x.example/"]),
    );
    let sources = json!({
        "containerd.io/distribution.source.r.example": "library/debian,other",
        "containerd.io/distribution.source.docker.io": "library/debian",
    });
    let absent = with(absent, "annotations", sources);
    let image = output.image("one", &[absent.clone(), foreign]);
    let child = descriptor(OCI_MANIFEST, b"absent child");
    let index = output.index(&[image, child.clone()]);
    output.list(&index, json!({NAME: "r.example/a:v1"}));
    let schedule = output.schedule(None).unwrap();
    let found = &schedule.repositories[0].absent;
    let shown = |absent: &Absent| {
        (
            absent.digest.clone(),
            absent.is_manifest,
            absent.sources.clone(),
        )
    };
    let mut found: Vec<_> = found.iter().map(shown).collect();
    found.sort_by_key(|(_, is_manifest, _)| *is_manifest);
    assert_eq!(
        found,
        [
            (
                digest(&absent),
                false,
                vec!["library/debian".to_owned(), "other".to_owned()]
            ),
            (digest(&child), true, Vec::new()),
        ]
    );
    let schedule = output.schedule(Some("docker.io/library/a")).unwrap();
    let absent = schedule.repositories[0]
        .absent
        .iter()
        .find(|absent| !absent.is_manifest);
    assert_eq!(absent.unwrap().sources, ["library/debian"]);
}

#[test]
fn embedded_content_is_pushed_as_a_blob() {
    let mut output = Output::default();
    let config = descriptor("application/vnd.oci.empty.v1+json", b"{}");
    let config = with(config, "data", json!("e30="));
    let artifact = output.document(json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [],
    }));
    output.list(&artifact, json!({NAME: "example.com/a:v1"}));
    let schedule = output.schedule(None).unwrap();
    let work = &schedule.repositories[0];
    assert_eq!((work.blobs.len(), work.absent.len()), (1, 0));
    assert_eq!(work.blobs[0].digest, digest(&config));
}

#[test]
fn what_an_index_lists_that_is_not_a_manifest_is_a_blob() {
    let mut output = Output::default();
    let layer = output.blob(LAYER, b"layer of a cache");
    let cache = output.index(std::slice::from_ref(&layer));
    output.list(&cache, json!({TAG: "latest"}));
    let schedule = output.schedule(Some("r.example/cache")).unwrap();
    let work = &schedule.repositories[0];
    assert_eq!(work.blobs[0].digest, digest(&layer));
    assert_eq!(names(&schedule), ["r.example/cache:latest"]);
}
