//! What a version of a reader does in its own way, whatever the facts about obstacles say.

use crate::engines::{Reader, Version};

/// A way in which versions of readers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Habit {
    /// It reads a Docker archive where others try the image layout first (podman, `libpod/runtime_img.go`).
    TriesDockerFirst,
    /// It reads the documents of all platforms.
    ReadsAllPlatforms,
    /// It reads the variant of the architecture in a config (containerd, `images/image.go`, `ConfigPlatform`).
    ReadsVariants,
    /// It unpacks the images of all platforms.
    UnpacksAllPlatforms,
    /// It runs an image for another platform if there is none for the machine (moby, `daemon/containerd/platform_matchers.go`).
    RunsOtherPlatforms,
    /// It chooses among the platforms that the archive contains, and not among all that it lists (moby,
    /// `getBestPresentImageManifest` in `daemon/containerd/image.go`).
    ChoosesPresent,
    /// It compares layers with the config's diff IDs (container-libs, `image/storage/storage_dest.go`, since 5.34; go-containerregistry,
    /// `pkg/v1/validate`).
    VerifiesDiffIds,
    /// It decompresses a layer of a Docker archive twice (container-libs, `image/storage/storage_dest.go`, before 5.34).
    DecompressesTwice,
    /// It takes no string for a list in a config (moby, `api/types/container/config.go`).
    DecodesLists,
    /// It reads what docker-image-spec adds to a config, such as a health check (moby, `daemon/containerd/image.go`).
    DecodesHealthchecks,
    /// It reads archives with go-containerregistry, and not with container-libs (apptainer, `internal/pkg/ociimage`).
    UsesGoContainerregistry,
}

impl Habit {
    /// All of them.
    pub(super) const ALL: [Self; 11] = [
        Habit::TriesDockerFirst,
        Habit::ReadsAllPlatforms,
        Habit::ReadsVariants,
        Habit::UnpacksAllPlatforms,
        Habit::RunsOtherPlatforms,
        Habit::ChoosesPresent,
        Habit::VerifiesDiffIds,
        Habit::DecompressesTwice,
        Habit::DecodesLists,
        Habit::DecodesHealthchecks,
        Habit::UsesGoContainerregistry,
    ];
}

impl Reader {
    /// Whether a version of it has this habit.
    pub(crate) fn has(self, habit: Habit, version: Version) -> bool {
        let since = |major, minor| version >= Version(major, minor, 0);
        match (habit, self) {
            (Habit::TriesDockerFirst, Reader::Podman) => !since(3, 2),
            (Habit::ReadsAllPlatforms, Reader::DockerContainerd | Reader::K3s | Reader::K3d) => {
                true
            }
            // kind, pkg/cluster/nodeutils/util.go.
            (Habit::ReadsAllPlatforms, Reader::Kind) => since(0, 17),
            (Habit::ReadsVariants, Reader::Containerd | Reader::Nerdctl) => since(2, 0),
            // moby, daemon/containerd/image_exporter.go.
            (Habit::UnpacksAllPlatforms, Reader::DockerContainerd) => !since(27, 2),
            // containerd, plugins/transfer/plugin.go, since 2.1.
            (Habit::UnpacksAllPlatforms, Reader::Kind) => since(0, 28),
            (Habit::RunsOtherPlatforms, Reader::DockerContainerd) => true,
            (Habit::ChoosesPresent, Reader::DockerContainerd) => since(28, 0),
            (Habit::VerifiesDiffIds, Reader::Podman) => since(5, 4),
            (Habit::VerifiesDiffIds, Reader::Crane | Reader::Trivy) => true,
            (Habit::VerifiesDiffIds, Reader::BuildahOci) => since(1, 39),
            (Habit::DecompressesTwice, Reader::Podman) => !since(5, 4),
            (Habit::DecompressesTwice, Reader::BuildahDocker) => !since(1, 39),
            (Habit::DecodesLists, Reader::DockerGraphDriver) => since(29, 0),
            (Habit::DecodesHealthchecks, Reader::DockerContainerd) => since(25, 0),
            (Habit::UsesGoContainerregistry, Reader::ApptainerOci | Reader::ApptainerDocker) => {
                since(1, 4)
            }
            _ => false,
        }
    }
}
