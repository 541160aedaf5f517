//! kind: what `kind load image-archive` runs in each node, with the containerd of nodes. A node needs Docker and images that no package contains.
//!
//! Source: kind, `pkg/cluster/nodeutils/util.go`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::archive::Archive;
use crate::campaign::{self, Compared};
use crate::containerd::Containerd;
use crate::engine::Engine;
use crate::machine::Machine;
use crate::newer;

/// The command, to which kind gives the archive as standard input.
const IMPORT: [&str; 6] = [
    "images",
    "import",
    "--all-platforms",
    "--digests",
    "--snapshotter=overlayfs",
    "-",
];

/// A node.
#[derive(Debug)]
struct Node(Containerd);

impl Engine for Node {
    fn version(&self) -> Result<String, String> {
        self.0.version()
    }

    fn attempt(&mut self, archive: &Archive) -> Result<BTreeSet<String>, String> {
        let producer = format!("cat {}", archive.path);
        let names = self.0.import_and_run(Some(&producer), &IMPORT)?;
        match names.is_empty() {
            true => Err("nothing was imported".to_owned()),
            false => Ok(names),
        }
    }

    fn machine(&self) -> &Machine {
        self.0.machine()
    }
}

#[test]
fn the_command_of_kind_does_what_is_predicted() {
    let trixie = match crate::trixie() {
        Ok(root) => root,
        Err(missing) => return crate::skip(&missing),
    };
    // The releases of kind whose nodes have these versions of containerd, or the nearest ones.
    let nodes = [
        (Path::new("/"), "1.6.", "kind@0.18.0"),
        (&trixie, "1.7.", "kind@0.26.0"),
    ];
    compare_all(&nodes);
}

#[test]
#[ignore = "needs .ci/engines --newer; .ci/full runs it"]
fn newer_nodes_of_kind_do_what_is_predicted() {
    if let Some(root) = newer::root() {
        compare_all(&[(&root, "2.1.", "kind@0.30.0")]);
    }
}

/// Compares root directories, the versions of containerd in them, and those of kind.
fn compare_all(nodes: &[(&Path, &'static str, &'static str)]) {
    let shared = tempfile::Builder::new()
        .prefix("ocify-kind-")
        .tempdir()
        .expect("a temporary folder");
    let archives = newer::prepare(shared.path());
    let shared = shared.path();
    campaign::each_agrees(nodes, |&(root, series, asked)| {
        try_all(root, series, asked, shared, &archives)
    });
}

fn try_all(
    root: &Path,
    series: &str,
    asked: &str,
    shared: &Path,
    archives: &[newer::Named],
) -> Vec<String> {
    let file = asked.replace(['@', '.'], "-");
    let start = || {
        let node = Node(Containerd::start(Machine::start(root, shared, &file)?)?);
        let version = node.version()?.trim().to_owned();
        Ok((node, version))
    };
    let (node, version) = match start() {
        Ok(started) => started,
        Err::<_, String>(error) => return vec![format!("{asked}: {error}")],
    };
    if !version.starts_with(series) {
        newer::is_unknown(&format!("containerd {version} in a node of kind"));
        return Vec::new();
    }
    let engine: ocify::Engine = asked.parse().expect("an engine");
    let cases = match newer::cases(&file, engine, shared, archives) {
        Ok(cases) => cases,
        Err(error) => return vec![error],
    };
    let compared = Compared {
        heading: asked.to_owned(),
        file,
        engine: Box::new(node),
        asked: engine,
        copes: &[],
    };
    compared.try_all(shared, cases)
}
