//! Whether engines can decode the config of an image.

use crate::engines::habit::Habit;
use crate::engines::judge::Judge;
use crate::engines::{Obstacle, Reader};
use crate::graph::decoders::Decoder;
use crate::graph::document::Document;
use crate::image::Digest;
use crate::location::Location;

/// Whether the reader can decode a config. If not, that is noted.
pub(crate) fn is_decoded(
    judge: &mut Judge<'_>,
    config: &Digest,
    location: impl FnOnce() -> Location,
) -> bool {
    let facts = judge.archive.config(config);
    let Some(undecodable) = facts.and_then(|facts| facts.undecodable.as_ref()) else {
        return true;
    };
    let mut decoders = decoders(judge).iter();
    let fails = decoders.any(|decoder| undecodable.by.contains(decoder));
    !fails || !judge.fails_at(Obstacle::UndecodableConfig, location)
}

/// The same for the config of a manifest, if it has one.
pub(crate) fn is_config_decoded(judge: &mut Judge<'_>, manifest: &Document) -> bool {
    let config = manifest.config();
    config.is_none_or(|config| is_decoded(judge, &config.digest, || manifest.location_of(config)))
}

/// What the reader, and what runs the image then, decode a config into.
fn decoders(judge: &mut Judge<'_>) -> &'static [Decoder] {
    let reader = judge.reader;
    match reader {
        Reader::DockerGraphDriver if judge.has(Habit::DecodesLists) => &[Decoder::Docker29],
        Reader::DockerGraphDriver | Reader::SkopeoDocker => &[Decoder::Docker],
        Reader::DockerContainerd if judge.has(Habit::DecodesHealthchecks) => {
            &[Decoder::DockerImageSpec]
        }
        Reader::DockerContainerd
        | Reader::Containerd
        | Reader::K3s
        | Reader::Kind
        | Reader::Nerdctl
        | Reader::K3d
        | Reader::Umoci => &[Decoder::ImageSpec],
        // It is copied, and looked at before it runs.
        Reader::Podman | Reader::BuildahOci | Reader::BuildahDocker => {
            &[Decoder::ImageSpec, Decoder::Docker]
        }
        Reader::ApptainerOci | Reader::ApptainerDocker
            if judge.has(Habit::UsesGoContainerregistry) =>
        {
            &[Decoder::ImageSpec, Decoder::GoContainerregistry]
        }
        Reader::ApptainerOci => &[Decoder::ImageSpec],
        Reader::ApptainerDocker => &[Decoder::ImageSpec, Decoder::Docker],
        Reader::Crane | Reader::Trivy => &[Decoder::GoContainerregistry],
        Reader::SkopeoOci | Reader::Oras | Reader::Regctl => &[],
    }
}
