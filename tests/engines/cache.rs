//! BuildKit's caches, as `ocify fix` writes them: BuildKit must import them, and find every step in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::archive::fix;
use crate::buildkit::{Build, BuildKit};
use crate::common::builder::DOCKER_ZSTD;
use crate::common::checker::check_output;
use crate::common::contents::Contents;
use crate::common::{fixture, tree};
use crate::context::{CONTEXT, EDITED, LAYERS, STEPS, STEPS_EDITED, write};
use crate::docker::Store;
use crate::machine::SHARED;

/// A form in which BuildKit writes a cache.
#[derive(Clone, Copy, Debug)]
struct Form {
    name: &'static str,
    options: &'static str,
    /// What is written, for the page.
    what: &'static str,
}

const FORMS: [Form; 3] = [
    Form {
        name: "list-docker",
        options: "image-manifest=false,oci-mediatypes=false",
        what: "index with Docker types",
    },
    Form {
        name: "list-oci",
        options: "image-manifest=false,oci-mediatypes=true",
        what: "index with OCI types",
    },
    Form {
        name: "image-oci",
        options: "image-manifest=true,oci-mediatypes=true",
        what: "image manifest",
    },
];

/// What it refuses to write, and what it says.
const REFUSED: &str = "image-manifest=true,oci-mediatypes=false";
const REFUSAL: &str = "invalid configuration for remote cache";

const COMPRESSIONS: [&str; 4] = ["gzip", "zstd", "uncompressed", "estargz"];

/// What docs/engines.md says of it.
const PAGE: &str = "
## BuildKit caches

The BuildKit of Docker 26 built an image of two stages. It wrote caches with each of these options and
`--cache-to type=local,dest=CACHE,mode=max,force-compression=true`, with layers as gzip, zstd, eStargz and uncompressed. After
`ocify fix CACHE -o FIXED`, all of them have OCI types. `ok` means that an empty builder without a network found every step in the cache
(`--cache-from type=local,src=FIXED`), read every layer of the image from it, and the image ran. With an empty directory as the cache, it found no
steps. BuildKit does the same with each original cache, even if the layers are `application/vnd.docker.image.rootfs.diff.tar.zstd`, which no
specification defines.
";
const WAYS: &str = "
The same is true of caches with several tags, of caches fixed in one tree, and of caches that went through a compressed archive or were written
with `--oci-mediatypes=false`. After an edit in the middle of the Dockerfile, BuildKit finds the steps before the edit and runs the others on
their layers. A build that reads a fixed cache can also write to it, and the result can be fixed again.

Caches that are fixed in their own directory (`ocify fix --in-place CACHE --orphans drop --orphans-older-than 0`) after each of several builds keep
every step of the last build, and later builds write to them.
";

/// The one whose Docker type no specification knows.
const NONSTANDARD: &str = "list-docker-zstd";

/// The tags of the cache that has two. The second is that of an image.
const TAGS: [&str; 2] = ["main", "example.com/app:next"];

/// The caches as BuildKit writes them, and the tree of them and of an archive, fixed at once.
const CACHES: &str = "tree/caches";
const FIXED: &str = "fixed/caches";

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// A cache to import: its directory in the shared folder, and the tag to ask for.
#[derive(Clone, Debug)]
struct Cache {
    folder: String,
    tag: &'static str,
}

impl Cache {
    fn new(folder: impl Into<String>) -> Self {
        let folder = folder.into();
        // The tag that BuildKit uses if none is given.
        let tag = "latest";
        Self { folder, tag }
    }

    /// Builds with it in a builder that has nothing else.
    fn build(&self, builder: &BuildKit, context: &str) -> Result<Build, String> {
        builder.prune()?;
        builder.build(context, &["--cache-from", &self.option()])
    }

    /// The same, where just these steps must come out of it.
    fn build_as(
        &self,
        builder: &BuildKit,
        context: &str,
        steps: &[(&str, bool)],
    ) -> Result<Build, String> {
        let build = self.build(builder, context)?;
        build.expect(steps)?;
        Ok(build)
    }

    fn option(&self) -> String {
        format!("type=local,src={SHARED}/{},tag={}", self.folder, self.tag)
    }

    /// The descriptors of its layers, whatever its form.
    fn layers(&self, shared: &Path) -> Vec<Value> {
        let contents = Contents::read(&shared.join(&self.folder));
        let index = contents.json("index.json");
        let mut roots = index["manifests"].as_array().into_iter().flatten();
        let root = roots.find(|root| root["annotations"][REF_NAME] == self.tag);
        let digest = root.and_then(|root| root["digest"].as_str());
        let manifest = contents.document(digest.expect("it has the tag"));
        let list = ["layers", "manifests"].map(|key| manifest[key].as_array());
        let list = list.into_iter().flatten().flatten();
        list.filter(|item| item["mediaType"] != CACHE_CONFIG)
            .cloned()
            .collect()
    }

    fn layer_types(&self, shared: &Path) -> Vec<Value> {
        let layers = self.layers(shared).into_iter();
        layers.map(|layer| layer["mediaType"].clone()).collect()
    }
}

/// The section of the page.
pub(crate) fn section() -> String {
    let mut section = PAGE.to_owned();
    section
        .push_str("\n| Options | Cache | Graph driver | Containerd store |\n|---|---|---|---|\n");
    for form in FORMS {
        let row = format!("| `{}` | {} | ok | ok |\n", form.options, form.what);
        section.push_str(&row);
    }
    let row = format!("| `{REFUSED}` | none: `{REFUSAL}` | – | – |\n");
    section.push_str(&row);
    section.push_str(WAYS);
    section
}

#[test]
fn buildkit_finds_every_step_in_fixed_caches() {
    let trixie = match crate::trixie() {
        Ok(root) => root,
        Err(missing) => return crate::skip(&missing),
    };
    let shared = tempfile::Builder::new()
        .prefix("ocify-caches-")
        .tempdir()
        .expect("a temporary folder");
    let shared = shared.path();
    write(shared);
    fs::create_dir(shared.join("empty")).expect("the shared folder is writable");
    let builders = thread::scope(|scope| {
        let trixie = &trixie;
        let start = |store| scope.spawn(move || BuildKit::start(trixie, shared, store));
        let threads = [Store::GraphDriver, Store::Containerd].map(start);
        threads.map(|thread| thread.join().expect("no panic").expect("Docker starts"))
    });
    for builder in &builders {
        let version = builder.version().expect("Docker answers");
        assert!(version.starts_with("26."), "{version}");
    }
    // The other one imports caches, but writes none.
    let [_, containerd] = &builders;
    export(containerd).expect("BuildKit writes caches");
    let caches = fix_all(shared);
    let problems: Vec<String> = thread::scope(|scope| {
        let caches = &caches;
        let start = |builder| scope.spawn(move || import_all(builder, shared, caches));
        let threads = builders.each_ref().map(start);
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().flat_map(join).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    go_on(containerd, shared).expect("BuildKit goes on with a fixed cache");
    for form in FORMS {
        let cleaned = clean(containerd, shared, form);
        cleaned.unwrap_or_else(|error| panic!("{} in place: {error}", form.name));
    }
}

/// The names of the caches that BuildKit writes, with the options for each.
fn written() -> Vec<(String, String)> {
    let pairs = COMPRESSIONS
        .iter()
        .flat_map(|c| FORMS.map(|form| (c, form)));
    let pair = |(compression, form): (&&str, Form)| {
        let name = format!("{}-{compression}", form.name);
        (name, format!("{},compression={compression}", form.options))
    };
    pairs.map(pair).collect()
}

/// Writes all of these, and a cache with two tags.
fn export(builder: &BuildKit) -> Result<(), String> {
    let to = |folder: &str, options: &str| {
        let place = format!("type=local,dest={SHARED}/{folder}");
        let option = format!("{place},mode=max,force-compression=true,{options}");
        builder.build(CONTEXT, &["--cache-to", &option])
    };
    match to("refused", REFUSED) {
        Err(error) if error.contains(REFUSAL) => {}
        other => return Err(format!("{REFUSED} is not refused: {other:?}")),
    }
    for (name, options) in written() {
        to(&format!("{CACHES}/{name}"), &options)?;
    }
    let [(_, first), .., (_, last)] = &written()[..] else {
        return Err("there is one cache".to_owned());
    };
    for (tag, options) in TAGS.iter().zip([first, last]) {
        to("tree/tags", &format!("{options},tag={tag}"))?;
    }
    Ok(())
}

/// Fixes all of them in each way that there is, and returns what to import: them, and what became of them.
fn fix_all(shared: &Path) -> Vec<Cache> {
    let archive = fixture("buildkit-docker-zstd-ocifalse.tar");
    fs::copy(archive, shared.join("tree/app.tar")).expect("the fixture is readable");
    fix(&shared.join("tree"), &shared.join("fixed"), &[]);
    for path in ["fixed/app.tar", "fixed/tags"] {
        check_output(&shared.join(path));
    }
    let mut caches = Vec::new();
    for (name, _) in written() {
        let before = Cache::new(format!("{CACHES}/{name}"));
        let after = Cache::new(format!("{FIXED}/{name}"));
        let alone = shared.join(format!("alone-{name}"));
        fix(&shared.join(&before.folder), &alone, &[]);
        let fixed = shared.join(&after.folder);
        check_output(&fixed);
        assert!(tree(&alone) == tree(&fixed), "{name} has another outcome");
        let types = before.layer_types(shared);
        let is_nonstandard = types.iter().any(|t| t == DOCKER_ZSTD);
        assert_eq!(is_nonstandard, name == NONSTANDARD, "{name}: {types:?}");
        caches.extend([before, after]);
    }
    caches.extend(TAGS.map(|tag| Cache {
        folder: "fixed/tags".to_owned(),
        tag,
    }));

    let docker = shared.join("docker");
    let options = ["--oci-mediatypes=false"];
    fix(
        &shared.join(CACHES).join("list-oci-gzip"),
        &docker,
        &options,
    );
    caches.push(Cache::new("docker"));
    let as_written = Cache::new(format!("{CACHES}/list-docker-gzip"));
    let types = |cache: &Cache| cache.layer_types(shared);
    assert_eq!(caches.last().map(types), Some(types(&as_written)));

    let packed = shared.join("packed.tar.zst");
    let unpacked = shared.join("unpacked");
    fix(&shared.join(CACHES).join(NONSTANDARD), &packed, &[]);
    fix(&packed, &unpacked, &["--layout"]);
    let fixed = shared.join(FIXED).join(NONSTANDARD);
    assert!(
        tree(&unpacked) == tree(&fixed),
        "the archive lost something"
    );
    caches
}

/// Imports every cache into an empty builder, and an empty directory before and after them, or the rest would show nothing.
fn import_all(builder: &BuildKit, shared: &Path, caches: &[Cache]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut note = |place: &str, result: Result<(), String>| {
        if let Err(error) = result {
            problems.push(format!("{:?}: {place}: {error}", builder.store()));
        }
    };
    let empty = Cache::new("empty");
    let nothing = || empty.build(builder, CONTEXT)?.expect(&all(false));
    note("nothing at first", nothing());
    for cache in caches {
        note(&format!("{cache:?}"), import(builder, shared, cache));
    }
    for name in [NONSTANDARD, "image-oci-zstd"] {
        let cache = Cache::new(format!("{FIXED}/{name}"));
        let edited = cache.build_as(builder, EDITED, &STEPS_EDITED);
        note(&format!("{cache:?}, edited"), edited.map(drop));
    }
    note("nothing at last", nothing());
    if !problems.is_empty() {
        problems.push(format!("end of the log: {}", builder.log()));
    }
    problems
}

/// All steps, each in a cache or none.
fn all(is_cached: bool) -> [(&'static str, bool); STEPS.len()] {
    STEPS.map(|step| (step, is_cached))
}

/// Every step is in the cache, every layer of the image was read from there, and the image runs.
fn import(builder: &BuildKit, shared: &Path, cache: &Cache) -> Result<(), String> {
    let build = cache.build_as(builder, CONTEXT, &all(true))?;
    let layers = cache.layers(shared);
    let pair = |layer: &Value| {
        let diff_id = layer["annotations"]["containerd.io/uncompressed"].as_str()?;
        Some((diff_id.to_owned(), layer["digest"].as_str()?.to_owned()))
    };
    let digests: BTreeMap<String, String> = layers.iter().filter_map(pair).collect();
    let built = builder.built()?;
    let is_read = |diff_id: &&String| {
        let digest = digests.get(*diff_id);
        digest.is_some_and(|digest| build.said.contains(digest))
    };
    if built.len() == LAYERS && built.iter().filter(is_read).count() == LAYERS {
        return Ok(());
    }
    Err(format!(
        "the image has {built:?}, the cache {digests:?}\n{}",
        build.said
    ))
}

/// A job that reads a fixed cache and writes to it finds its own steps the next time, and once more when that is fixed.
fn go_on(builder: &BuildKit, shared: &Path) -> Result<(), String> {
    let cache = Cache::new(format!("{FIXED}/{NONSTANDARD}"));
    let to = format!("type=local,dest={SHARED}/{},mode=max", cache.folder);
    let options = ["--cache-from", &cache.option(), "--cache-to", &to];
    let all = STEPS_EDITED.map(|(step, _)| (step, true));
    builder.prune()?;
    builder.build(EDITED, &options)?.expect(&STEPS_EDITED)?;
    cache.build_as(builder, EDITED, &all)?;
    let again = shared.join("again");
    fix(&shared.join(&cache.folder), &again, &[]);
    check_output(&again);
    let again = Cache::new("again").build_as(builder, EDITED, &all);
    again.map(drop)
}

/// A cache that grows with every build, and that is fixed and cleaned in its own directory after each.
fn clean(builder: &BuildKit, shared: &Path, form: Form) -> Result<(), String> {
    let cache = Cache::new(format!("in-place-{}", form.name));
    let options = format!(
        "mode=max,force-compression=true,compression=zstd,{}",
        form.options
    );
    let to = format!("type=local,dest={SHARED}/{},{options}", cache.folder);
    let from = cache.option();
    let edited = STEPS_EDITED.map(|(step, _)| (step, true));
    builder.prune()?;
    builder.build(CONTEXT, &["--cache-to", &to])?;
    // The second build replaces the first one's manifest and some of its layers, and removes nothing.
    let (options, whole) = (["--cache-from", &from, "--cache-to", &to], all(true));
    builder.prune()?;
    builder.build(EDITED, &options)?;
    for (context, steps) in [
        (EDITED, &edited[..]),
        (CONTEXT, &whole[..]),
        (EDITED, &edited),
    ] {
        let dropped = in_place(&shared.join(&cache.folder));
        if dropped == 0 {
            return Err(format!("nothing was dropped after {context}"));
        }
        cache.build_as(builder, context, steps)?;
        // The next build writes to the cache that was cleaned.
        let next = if context == EDITED { CONTEXT } else { EDITED };
        builder.prune()?;
        builder.build(next, &options)?;
        let steps = if next == EDITED { &edited[..] } else { &whole };
        cache.build_as(builder, next, steps)?;
    }
    Ok(())
}

/// Fixes a cache in place without its orphans, and returns how many it had. Fixing it again changes nothing.
fn in_place(cache: &Path) -> u64 {
    let run = || -> Value {
        let run = Command::new(env!("CARGO_BIN_EXE_ocify"))
            .args([
                "fix",
                "--in-place",
                "--format",
                "json",
                "--progress",
                "quiet",
            ])
            .args(["--orphans", "drop", "--orphans-older-than", "0"])
            .arg(cache)
            .output()
            .expect("ocify starts");
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{}: {stderr}", cache.display());
        serde_json::from_slice(&run.stdout).expect("a report")
    };
    let report = run();
    let again = run();
    assert_eq!(again["status"], "unchanged", "{again:#}");
    for name in ["index.json.lock", ".ocify-in-place"] {
        assert!(!cache.join(name).exists(), "{name} is left");
    }
    report["dropped"]["blobs"].as_u64().unwrap_or(0)
}
