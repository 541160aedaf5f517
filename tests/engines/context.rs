//! What the builders build: an image of two stages, and the same with an edit in the middle.

use std::fs;
use std::path::Path;

use crate::common::contents::Contents;
use crate::common::fixture;

/// The folders of both in the shared one.
pub(crate) const CONTEXT: &str = "context";
pub(crate) const EDITED: &str = "edited";

/// The image shares no layer with the first stage, so this stage's layers are in caches of `mode=max` alone.
const DOCKERFILE: &str = r#"FROM scratch AS build
COPY root /
RUN ["/bin/hello", "rm", "/etc/removed"]

FROM scratch
COPY --from=build /bin /bin
COPY Dockerfile /usr/share/
WORKDIR /empty
CMD ["/bin/hello"]
"#;

/// How many layers the image has.
pub(crate) const LAYERS: usize = 3;

/// The line after which the edit adds a step. That one needs the layers of its stage themselves, not only their digests.
const PLACE: &str = "RUN [\"/bin/hello\", \"rm\", \"/etc/removed\"]\n";
const STEP: &str = "RUN [\"/bin/hello\", \"rm\", \"/etc/issue\"]\n";

/// All steps, as the builder calls them.
pub(crate) const STEPS: [&str; 5] = [
    "build 1/2",
    "build 2/2",
    "stage-1 1/3",
    "stage-1 2/3",
    "stage-1 3/3",
];

/// The steps of the edited one, and whether a cache of the other has them. The Dockerfile is copied, and so are the same programs.
pub(crate) const STEPS_EDITED: [(&str, bool); 6] = [
    ("build 1/3", true),
    ("build 2/3", true),
    ("build 3/3", false),
    ("stage-1 1/3", true),
    ("stage-1 2/3", false),
    ("stage-1 3/3", false),
];

/// Puts both into the shared folder. The program is that of a fixture.
pub(crate) fn write(shared: &Path) {
    let image = Contents::read(&fixture("docker26g-save.tar"));
    let layer = image.json("manifest.json")[0]["Layers"][0].clone();
    let layer = image.file(layer.as_str().expect("a path"));
    let edited = DOCKERFILE.replacen(PLACE, &[PLACE, STEP].concat(), 1);
    assert_ne!(edited, DOCKERFILE);
    for (name, dockerfile) in [(CONTEXT, DOCKERFILE), (EDITED, &edited)] {
        let context = shared.join(name);
        let mut root = tar::Archive::new(layer);
        root.set_preserve_permissions(true);
        root.unpack(context.join("root"))
            .expect("the layer is a tar");
        fs::write(context.join("Dockerfile"), dockerfile).expect("the shared folder is writable");
    }
}
