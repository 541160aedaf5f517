//! Whether an engine loads an archive.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;

use serde::{Serialize, Serializer};

use crate::engines::habit::Habit;
use crate::engines::judge::{Answers, Judge};
use crate::engines::{
    Archive, Reader, Reason, Version, apptainer, containerd, containers, crane, docker, layout,
    regctl,
};
use crate::image::{Digest, StatedDiffId};

/// Whether an engine loads an archive, from the best to the worst: what is known to fail is worse than what is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Loads {
    /// All its images, under their names.
    Yes,
    /// An image without a name.
    Untagged,
    /// The engine has to be told which of several images to load.
    Choose,
    /// Nobody has seen what this version does, or read it in its source.
    Unknown,
    /// Some of its images, an image without all its layers, or more than its images.
    Partly,
    /// No image.
    No,
}

impl Loads {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Loads::Yes => "yes",
            Loads::Untagged => "untagged",
            Loads::Choose => "choose",
            Loads::Partly => "partly",
            Loads::No => "no",
            Loads::Unknown => "unknown",
        }
    }

    /// Whether all images can be loaded and run.
    pub fn is_good(self) -> bool {
        matches!(self, Loads::Yes | Loads::Untagged | Loads::Choose)
    }
}

/// By its name.
impl Serialize for Loads {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What an engine does with an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether it loads it.
    pub loads: Loads,
    /// The names under which images are loaded, as the engine shows them.
    pub names: BTreeSet<String>,
    /// What is in its way, in the order in which it meets it.
    pub because: Vec<Reason>,
}

impl Verdict {
    /// The verdict of a version that nobody knows.
    pub(crate) fn unknown() -> Self {
        Verdict {
            loads: Loads::Unknown,
            names: BTreeSet::new(),
            because: Vec::new(),
        }
    }
}

/// What a reader made of an archive.
#[derive(Debug, Default)]
pub(crate) struct Tally<'a> {
    /// The configs of images that are loaded.
    pub(crate) configs: BTreeSet<&'a Digest>,
    /// The names of loaded images.
    pub(crate) names: BTreeSet<String>,
    /// Whether an image is loaded without a name.
    pub(crate) has_unnamed: bool,
    /// Whether the engine has to be told which image to load.
    pub(crate) must_choose: bool,
    /// Whether no other reader is tried, though not everything was loaded.
    pub(crate) is_final: bool,
    /// The diff IDs of layers that are in the engine's store although their image is not.
    pub(crate) stored: HashSet<&'a StatedDiffId>,
    /// Whether an image is not loaded, or something is loaded that is not an image.
    pub(crate) has_failed: bool,
}

impl Tally<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.configs.is_empty()
    }

    fn loads(&self) -> Loads {
        if self.is_empty() {
            Loads::No
        } else if self.has_failed {
            Loads::Partly
        } else if self.must_choose {
            Loads::Choose
        } else if self.has_unnamed {
            Loads::Untagged
        } else {
            Loads::Yes
        }
    }
}

/// The verdicts of known versions of readers on one archive. Versions that differ in nothing that the archive depends on are
/// judged once.
#[derive(Debug)]
pub(crate) struct Verdicts<'a> {
    archive: &'a Archive<'a>,
    known: RefCell<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    model: Reader,
    answers: Answers,
    verdict: Rc<Verdict>,
}

impl<'a> Verdicts<'a> {
    pub(crate) fn new(archive: &'a Archive<'a>) -> Self {
        Verdicts {
            archive,
            known: RefCell::default(),
        }
    }

    /// What a known version of a reader does with the archive.
    pub(crate) fn of(&self, reader: Reader, version: Version) -> Rc<Verdict> {
        let model = reader.model();
        let mut known = self.known.borrow_mut();
        let mut same = known.iter();
        let same =
            same.find(|known| known.model == model && known.answers.are_given_by(reader, version));
        if let Some(same) = same {
            return Rc::clone(&same.verdict);
        }
        let (verdict, answers) = judged(self.archive, reader, version);
        let verdict = Rc::new(verdict);
        known.push(Known {
            model,
            answers,
            verdict: Rc::clone(&verdict),
        });
        verdict
    }
}

/// What a known version of a reader does with an archive, and what about the version decided.
fn judged(archive: &Archive<'_>, reader: Reader, version: Version) -> (Verdict, Answers) {
    // Only Docker's graph driver unpacks every entry; what others do depends on what they look for.
    let is_misread = archive.misread.is_some() && reader != Reader::DockerGraphDriver;
    if is_misread || !archive.machine.is_known() {
        return (Verdict::unknown(), Answers::default());
    }
    let mut judge = Judge::new(archive, reader, version);
    let tally = match reader {
        Reader::DockerGraphDriver => docker::load(&mut judge),
        Reader::DockerContainerd
        | Reader::Containerd
        | Reader::K3s
        | Reader::Kind
        | Reader::Nerdctl
        | Reader::K3d => containerd::import(&mut judge),
        Reader::Podman => containers::podman_load(&mut judge),
        Reader::ApptainerOci if judge.has(Habit::UsesGoContainerregistry) => {
            apptainer::oci_archive(&mut judge)
        }
        Reader::ApptainerDocker if judge.has(Habit::UsesGoContainerregistry) => {
            apptainer::docker_archive(&mut judge)
        }
        Reader::SkopeoOci | Reader::BuildahOci | Reader::ApptainerOci => {
            containers::oci_archive(&mut judge)
        }
        Reader::SkopeoDocker | Reader::BuildahDocker | Reader::ApptainerDocker => {
            containers::docker_archive(&mut judge, &HashSet::new())
        }
        Reader::Crane | Reader::Trivy => crane::tarball(&mut judge),
        Reader::Umoci => layout::umoci(&mut judge),
        Reader::Oras => layout::oras(&mut judge),
        Reader::Regctl => regctl::import(&mut judge),
    };
    let loads = tally.loads();
    let verdict = Verdict {
        loads,
        names: tally.names,
        because: judge.take_reasons(),
    };
    (verdict, judge.into_answers())
}
