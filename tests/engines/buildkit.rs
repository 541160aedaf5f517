//! BuildKit, as it is inside Docker: `docker buildx build` with a cache in a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::docker::{Docker, Store};
use crate::engine::{Engine, expect_greeting};
use crate::machine::{Machine, SHARED};

/// The name of what is built.
const IMAGE: &str = "example.com/built:v1";

/// A builder, started and empty.
#[derive(Debug)]
pub(crate) struct BuildKit {
    docker: Docker,
    store: Store,
}

/// What a build was.
#[derive(Debug)]
pub(crate) struct Build {
    /// The steps of the Dockerfile, by stage and place (`build 1/2`), and whether each came out of a cache.
    pub(crate) steps: BTreeMap<String, bool>,
    /// All that the builder said.
    pub(crate) said: String,
}

impl Build {
    /// Reads what the builder says: `#5 [build 1/2] COPY root /`, and later `#5 CACHED` or `#5 DONE 0.1s`. When it reads the layers of a
    /// cached step, it reports that step again without saying that it is cached, and sometimes only this is printed. Steps that run read
    /// no layers under their own number, so one that does comes out of a cache.
    fn read(said: String) -> Self {
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        let mut steps: BTreeMap<String, bool> = BTreeMap::new();
        let mut read = BTreeSet::new();
        for line in said.lines() {
            let Some((number, rest)) = line.split_once(' ') else {
                continue;
            };
            let name = rest.strip_prefix('[').and_then(|r| r.split_once(']'));
            if let Some((name, _)) = name.filter(|(name, _)| *name != "internal") {
                names.insert(number, name);
            } else if let Some(name) = names.get(number) {
                if rest.starts_with("extracting sha256:") {
                    read.insert(*name);
                } else if rest == "CACHED" || rest.starts_with("DONE") {
                    steps.insert((*name).to_owned(), rest == "CACHED");
                }
            }
        }
        for (name, is_cached) in &mut steps {
            *is_cached |= read.contains(&name[..]);
        }
        Self { steps, said }
    }

    /// Fails unless just these steps were taken, and came out of a cache or did not.
    pub(crate) fn expect(&self, steps: &[(&str, bool)]) -> Result<(), String> {
        let found = self
            .steps
            .iter()
            .map(|(name, is_cached)| (&name[..], *is_cached));
        let found: BTreeMap<&str, bool> = found.collect();
        let expected: BTreeMap<&str, bool> = steps.iter().copied().collect();
        if found == expected {
            return Ok(());
        }
        Err(format!(
            "of these steps those with true should be cached: {expected:?}, not {found:?}\n{}",
            self.said
        ))
    }
}

impl BuildKit {
    /// Starts Docker with this store in a machine of its own.
    pub(crate) fn start(trixie: &Path, shared: &Path, store: Store) -> Result<Self, String> {
        let machine = Machine::start(trixie, shared, &format!("BuildKit{store:?}"))?;
        let docker = Docker::start(machine, store)?;
        Ok(Self { docker, store })
    }

    /// The version of the Docker that it is part of.
    pub(crate) fn version(&self) -> Result<String, String> {
        self.docker.version()
    }

    /// Where that keeps images.
    pub(crate) fn store(&self) -> Store {
        self.store
    }

    /// Builds the context of this name in the shared folder.
    pub(crate) fn build(&self, context: &str, options: &[&str]) -> Result<Build, String> {
        let context = format!("{SHARED}/{context}");
        let line = [
            "build",
            "--progress=plain",
            "--network=none",
            "--tag",
            IMAGE,
        ];
        let line = [&["buildx"], &line[..], options, &[&context[..]]].concat();
        self.docker.run_saying_all(&line).map(Build::read)
    }

    /// The diff IDs of the image that was built last, which must run.
    pub(crate) fn built(&self) -> Result<Vec<String>, String> {
        let run = ["run", "--rm", "--pull=never", "--network=none", IMAGE];
        expect_greeting(IMAGE, || self.docker.run(&run))?;
        let inspect = ["image", "inspect", "--format", "{{json .RootFS.Layers}}"];
        let layers = self.docker.run(&[&inspect[..], &[IMAGE]].concat())?;
        serde_json::from_str(&layers).map_err(|e| format!("{layers}: {e}"))
    }

    /// Removes all images, and all that the builder keeps.
    pub(crate) fn prune(&self) -> Result<(), String> {
        self.docker.prune()
    }

    /// The end of the daemon's log.
    pub(crate) fn log(&self) -> String {
        self.docker.machine().log()
    }
}

#[test]
fn a_step_that_reads_the_layers_of_a_cache_is_cached() {
    let layer = "sha256:df80b545d9b1f888a0f4382db21250db812ce3c44f3361cf35c9366558101015";
    let said = format!(
        "#3 [build 1/2] COPY root /\n#3 CACHED\n\n#4 [build 2/2] RUN [\"true\"]\n#4 DONE 0.1s\n\n\
         #5 [stage-1 1/1] COPY --from=build /bin /bin\n#5 {layer} 479B / 479B done\n#5 extracting {layer} done\n#5 DONE 0.0s\n\n\
         #6 [internal] load build context\n#6 DONE 0.0s\n\n#7 exporting to image\n#7 DONE 0.1s\n"
    );
    let build = Build::read(said);
    let steps = [
        ("build 1/2", true),
        ("build 2/2", false),
        ("stage-1 1/1", true),
    ];
    assert_eq!(build.expect(&steps), Ok(()));
}
