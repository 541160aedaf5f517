//! What makes engines load an output that they would not load otherwise.

use std::rc::Rc;

use crate::engines::{Archive, Engine, Loads, Obstacle, Reader, Verdict, Verdicts, Version};
use crate::image::{Compression, Digest};
use crate::plan::{MissingPolicy, PlanOptions};

/// A reader that would not load an archive.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) engine: Engine,
    pub(crate) reader: Reader,
    pub(crate) verdict: Rc<Verdict>,
}

/// The readers that would not load an archive, of those that were asked for. Versions that nobody knows are among them.
pub(crate) fn refusals(archive: &Archive<'_>, engines: &[Engine]) -> Vec<Refusal> {
    let readers = engines.iter().flat_map(|engine| {
        let readers = engine.readers();
        readers.map(move |reader| (*engine, reader))
    });
    let verdicts = Verdicts::new(archive);
    let judged = readers.map(|(engine, reader)| Refusal {
        engine,
        reader,
        verdict: worst(&verdicts, engine, reader),
    });
    // An image that no engine can load is reported, and does not keep the others from being written.
    let is_enough = |verdict: &Verdict| {
        verdict.loads.is_good() || verdict.loads == Loads::Partly && archive.has_unloadable_image()
    };
    judged
        .filter(|refusal| !is_enough(&refusal.verdict))
        .collect()
}

/// The worst verdict of the versions that an engine stands for.
pub(crate) fn worst(verdicts: &Verdicts<'_>, engine: Engine, reader: Reader) -> Rc<Verdict> {
    worst_range(verdicts, engine, reader).0
}

/// The same, and the first and the last of the versions in a row that it is the verdict of; `None` if no version is known.
pub(crate) fn worst_range(
    verdicts: &Verdicts<'_>,
    engine: Engine,
    reader: Reader,
) -> (Rc<Verdict>, Option<(Version, Version)>) {
    let mut worst: Option<(Rc<Verdict>, (Version, Version))> = None;
    let mut is_in_row = false;
    for version in engine.versions(reader) {
        let verdict = verdicts.of(reader, version);
        match &mut worst {
            Some((known, (_, to))) if is_in_row && *known == verdict => *to = version,
            Some((known, _)) if known.loads >= verdict.loads => is_in_row = false,
            _ => {
                worst = Some((verdict, (version, version)));
                is_in_row = true;
            }
        }
    }
    match worst {
        Some((verdict, range)) => (verdict, Some(range)),
        None => (Rc::new(Verdict::unknown()), None),
    }
}

/// Adds options that remove something from an output which is in the way of an engine, where it is clear what to
/// remove; returns whether there are any that were not there.
pub(crate) fn improve(options: &mut PlanOptions, refusals: &[Refusal]) -> bool {
    let mut is_improved = false;
    let because = refusals.iter().flat_map(|refusal| {
        let because = refusal.verdict.because.iter();
        because.map(|reason| (refusal.reader, reason.obstacle))
    });
    for (reader, obstacle) in because {
        match obstacle {
            Obstacle::AbsentPlatform | Obstacle::MissingContent
                if options.missing == MissingPolicy::Keep =>
            {
                options.missing = MissingPolicy::Prune;
            }
            // Its only image is then left of an index that also lists an attestation.
            Obstacle::AmbiguousTag | Obstacle::UnstatedPlatform
                if !options.drop_attestations || !options.unwrap =>
            {
                options.drop_attestations = true;
                options.unwrap = true;
            }
            Obstacle::MixedCompression if options.compression != Some(Compression::Gzip) => {
                options.compression = Some(Compression::Gzip);
            }
            // It fails at anything beside an image, and others are only to be told which of several images to take.
            Obstacle::SeveralImages
                if matches!(reader, Reader::ApptainerOci | Reader::ApptainerDocker)
                    && !options.drop_attestations =>
            {
                options.drop_attestations = true;
            }
            Obstacle::Referrer | Obstacle::UnnamedEvidence if !options.drop_attestations => {
                options.drop_attestations = true;
            }
            _ => continue,
        }
        is_improved = true;
    }
    is_improved
}

impl Refusal {
    /// Whether nobody knows what the engine does.
    pub(crate) fn is_unknown(&self) -> bool {
        self.verdict.loads == Loads::Unknown
    }

    /// What is in the way, if something is.
    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        self.verdict.because.first().map(|reason| reason.obstacle)
    }
}

/// What makes engines load an output that they would not load otherwise: a fix with these options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remedy {
    /// Fix the archive for these engines.
    pub engines: Vec<Engine>,
    /// Give the image a name.
    pub needs_name: bool,
    /// Keep only these images; all if there is none.
    pub images: Vec<Digest>,
}

impl Remedy {
    /// Whether it is a fix without options.
    pub fn is_empty(&self) -> bool {
        self.engines.is_empty() && !self.needs_name && self.images.is_empty()
    }
}
