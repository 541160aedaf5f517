//! What is expected of each engine: for every archive before it is fixed, and of what `ocify fix` wrote.

use crate::engine::Column;

/// What an engine says if nothing in the archive had a name.
pub(crate) const NOTHING_NAMED: &str = "nothing was imported: the image has no name";

/// What is said of an engine that loaded fewer images than of the fixed archive.
pub(crate) const NOT_ALL: &str = "only some of the images were loaded";

/// The shapes whose names have no registry. Engines keep such a name as it is, or supply another registry, until it is complete.
pub(crate) const COMPLETED: &[&str] = &["oci-short-name"];

/// Why an archive does not load. The letters are those of the table in docs/engines.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
    K,
    L,
    M,
    N,
    O,
    P,
    Q,
    R,
    S,
    T,
    U,
    V,
    W,
    X,
    Y,
    Z,
    AA,
    AB,
}

impl Reason {
    /// In the order in which a message is searched for them: the most specific phrase first.
    pub(crate) const ALL: [Self; 28] = [
        Self::W,
        Self::X,
        Self::A,
        Self::B,
        Self::C,
        Self::D,
        Self::E,
        Self::F,
        Self::G,
        Self::K,
        Self::H,
        Self::I,
        Self::J,
        Self::L,
        Self::M,
        Self::N,
        Self::O,
        Self::P,
        Self::Q,
        Self::R,
        Self::S,
        Self::T,
        Self::U,
        Self::V,
        Self::Y,
        Self::Z,
        Self::AA,
        Self::AB,
    ];

    /// What the engine's message contains; `…` stands for anything in between.
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Self::A => "invalid tar header",
            Self::B => "open …/blobs/json: no such file or directory",
            Self::C => "no processor for media-type",
            Self::D => "mismatched image rootfs and manifest layers",
            Self::E => "unsupported docker v2s2 media type",
            Self::F => "loading tar component …: file does not exist",
            Self::G => "open …/index.json: no such file or directory",
            Self::H => "more than one image in oci, choose an image",
            Self::I => NOTHING_NAMED,
            Self::J => "No such image",
            Self::K => "invalid image …rootFS",
            Self::L => "unknown image config media type",
            Self::M => "determining manifest MIME type …: no such file or directory",
            Self::N => "unrecognized image format",
            Self::O => "unsupported OCI version",
            Self::P => "image might be filtered out",
            Self::Q => "wrong diff id calculated on extraction",
            Self::R => "failed to resolve layers: layer …/layer.tar\" not found",
            Self::S => "image config …./blobs/…not found",
            Self::T => "open …/app/json: no such file or directory",
            Self::U => "executable file …not found",
            Self::V => "Digest did not match, expected",
            Self::X => "size mismatch",
            Self::Y => "no command specified",
            Self::Z => NOT_ALL,
            Self::AA => "docker-import-…: is a directory",
            Self::AB => "lsetxattr …: operation not supported",
            Self::W => "supported image formats…invalid tar header",
        }
    }

    /// What it means.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::A => {
                "The engine treats compressed data as a plain tar: zstd, which Docker before version 23 cannot read; an archive compressed as a whole, which containerd does not check for; or a compressed layer with another media type."
            }
            Self::B => {
                "There is no `manifest.json`, the only list of images that this image store reads."
            }
            Self::C => {
                "The layers have the nonstandard media type `application/vnd.docker.image.rootfs.diff.tar.zstd`."
            }
            Self::D => {
                "The same media type, an artifact with a name, or a manifest without layers. The archive is imported or appears to be, but the layers are not unpacked, and the image does not run."
            }
            Self::E => {
                "The layers of a Docker manifest have that media type or an OCI media type, which the message names."
            }
            Self::F => {
                "There is no `manifest.json` under exactly that name, or it is not a list of images."
            }
            Self::G => "There is no `index.json` under exactly that name.",
            Self::H => {
                "`index.json` has several entries and none was requested, or it has no entries."
            }
            Self::I => {
                "The image has no name, so it cannot be referred to. Imported under its digest, with `--digests`, it runs."
            }
            Self::J => {
                "`io.containerd.image.name` has no registry. The engine lists the image, but looks for the full name to run it."
            }
            Self::K => "`manifest.json` lists an artifact, which has no image config.",
            Self::L => "`index.json` lists an artifact under a name. The image itself runs.",
            Self::M => {
                "`index.json` refers to a manifest for another platform, which is not in the archive."
            }
            Self::N => {
                "There is neither an `oci-layout` nor a `manifest.json` under exactly that name."
            }
            Self::O => "`oci-layout` has a version other than 1.0.0.",
            Self::P => {
                "`index.json` lists nothing, and the engine does not read `manifest.json`; or it is a Docker archive whose config states no platform."
            }
            Self::Q => "The layers are not in the order of the diff IDs.",
            Self::R => "The layer is a hard link.",
            Self::S => "The paths in `manifest.json` begin with `./`.",
            Self::T => "`manifest.json` is not at the top.",
            Self::U => "The manifest lists no layers, so the image is empty.",
            Self::V => {
                "The layer begins with a skippable frame, so the engine treats it as a plain tar; or it is a hard link, which the engine reads as empty."
            }
            Self::W => "The layer begins with a skippable frame, as for V.",
            Self::X => {
                "The layer is a symbolic link, and the engine uses the link's length as the layer's."
            }
            Self::Y => {
                "`index.json` lists a referrer without a name, which the engine loads as an image without a name, or an artifact with a name. The image itself runs."
            }
            Self::Z => "The engine loads only the images that `index.json` lists.",
            Self::AA => "`manifest.json` is another tool's file, not a list of images.",
            Self::AB => {
                "The archive's own entries have extended attributes of macOS, which the engine tries to set on Linux."
            }
        }
    }

    /// The reason that a message shows.
    pub(crate) fn of(message: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.is_told_by(message))
    }

    fn is_told_by(self, message: &str) -> bool {
        contains_phrase(message, self.phrase())
    }
}

/// Whether a message contains a phrase, in which `…` stands for anything in between.
pub(crate) fn contains_phrase(message: &str, phrase: &str) -> bool {
    // The same engine begins it in either case.
    let (message, phrase) = (message.to_lowercase(), phrase.to_lowercase());
    let mut rest = Some(&message[..]);
    for part in phrase.split('…') {
        rest = rest
            .and_then(|rest| rest.split_once(part))
            .map(|(_, rest)| rest);
    }
    rest.is_some()
}

/// An archive that an engine does not load even though it was fixed.
#[derive(Debug)]
pub(crate) struct Exception {
    pub(crate) reason: Reason,
    pub(crate) columns: &'static [Column],
    pub(crate) archives: &'static [&'static str],
    /// Why fixing does not change it.
    pub(crate) why: &'static str,
    /// The options of `ocify fix` with which it loads.
    pub(crate) mended_by: &'static [&'static str],
}

/// All exceptions: every other cell is expected to be fine once the archive is fixed.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        reason: Reason::A,
        columns: &[Column::Docker20],
        archives: &[
            "buildkit-docker-names-zstd-ocifalse.tar",
            "buildkit-docker-names-zstd-ocitrue.tar",
            "buildkit-docker-noname-zstd-ocifalse.tar",
            "buildkit-docker-noname-zstd-ocitrue.tar",
            "buildkit-docker-zstd-ocifalse.tar",
            "buildkit-docker-zstd-ocitrue.tar",
            "buildkit-oci-attest-zstd-ocifalse.tar",
            "buildkit-oci-attest-zstd-ocitrue.tar",
            "buildkit-oci-multi-attest-zstd-ocifalse.tar",
            "buildkit-oci-multi-attest-zstd-ocitrue.tar",
            "buildkit-oci-multi-zstd-ocifalse.tar",
            "buildkit-oci-multi-zstd-ocitrue.tar",
            "buildkit-oci-zstd-ocifalse.tar",
            "buildkit-oci-zstd-ocitrue.tar",
            "containerd17-export-multi.tar",
            "docker26c-save-multi.tar",
            "docker26c-save-pulledmulti.tar",
            "skopeo19-oci.tar",
            "oci-zstd-called-gzip",
            "oci-zstd-skippable-frame",
            "crane-zstd-layers",
            "crane-append-zstd",
        ],
        why: "Layers keep their bytes, and therefore their compression, unless you request another.",
        mended_by: &["--for", "docker@20.10"],
    },
    Exception {
        reason: Reason::I,
        columns: &[Column::Containerd16, Column::Containerd17],
        archives: &[
            "buildkit-docker-noname-zstd-ocifalse.tar",
            "buildkit-docker-noname-zstd-ocitrue.tar",
            "docker20-save-byid.tar",
            "docker26c-save-byid.tar",
            "docker26g-save-byid.tar",
            "podman-dockerdir",
        ],
        why: "ocify does not invent a name. Imported under its digest, as above, the image runs.",
        mended_by: &["--name", "example.com/named:v1"],
    },
    Exception {
        reason: Reason::M,
        columns: &[Column::SkopeoOci],
        archives: &[
            "containerd17-export-multi.tar",
            "docker26c-save-pulledmulti.tar",
        ],
        why: "An index that lists platforms whose blobs are elsewhere is valid and is left unchanged. Without `--all`, skopeo copies the platform that is in the archive.",
        mended_by: &["--missing", "prune"],
    },
    Exception {
        reason: Reason::Y,
        columns: &[Column::Docker26Containerd],
        archives: &["oci-flat-referrer"],
        why: "The referrer belongs to the image and stays where Docker 29 and containerd look for it.",
        mended_by: &["--attestations", "drop"],
    },
    Exception {
        reason: Reason::W,
        columns: &[Column::Podman4],
        archives: &["oci-zstd-skippable-frame"],
        why: SKIPPABLE,
        mended_by: &["--for", "podman"],
    },
    Exception {
        reason: Reason::V,
        columns: &[Column::Podman5, Column::SkopeoDocker],
        archives: &["oci-zstd-skippable-frame"],
        why: SKIPPABLE,
        mended_by: &["--for", "podman"],
    },
    Exception {
        reason: Reason::D,
        columns: &[Column::Containerd16],
        archives: &["oci-listed-artifact"],
        why: ARTIFACT,
        mended_by: &["--image", "example.com/app:v1"],
    },
    Exception {
        reason: Reason::L,
        columns: &[Column::Containerd17],
        archives: &["oci-listed-artifact"],
        why: ARTIFACT,
        mended_by: &["--image", "example.com/app:v1"],
    },
    Exception {
        reason: Reason::Y,
        columns: &[Column::Docker26Containerd],
        archives: &["oci-listed-artifact"],
        why: ARTIFACT,
        mended_by: &["--image", "example.com/app:v1"],
    },
];

const ARTIFACT: &str =
    "An artifact in `index.json` is valid and stays there, but no engine can run it.";
const SKIPPABLE: &str = "The layers keep their bytes. Their media type is correct, but this engine decides by their first bytes.";

/// The exceptions that concern an archive.
pub(crate) fn exceptions(archive: &str) -> impl Iterator<Item = &'static Exception> {
    EXCEPTIONS
        .iter()
        .filter(move |e| e.archives.contains(&archive))
}

/// What is expected of an engine with an archive that was fixed.
pub(crate) fn after(archive: &str, column: Column) -> Option<Reason> {
    EXCEPTIONS
        .iter()
        .find(|e| e.columns.contains(&column) && e.archives.contains(&archive))
        .map(|e| e.reason)
}

/// What is expected of an engine with a fixture as it is; nothing if the table does not have it.
pub(crate) fn before(archive: &str, column: Column) -> Option<Option<Reason>> {
    let (_, row) = BEFORE
        .iter()
        .chain(SHAPES)
        .find(|(name, _)| *name == archive)?;
    let position = Column::ALL.iter().position(|c| *c == column)?;
    let cell = row.split(' ').nth(position)?;
    match Reason::ALL.into_iter().find(|r| format!("{r:?}") == cell) {
        Some(reason) => Some(Some(reason)),
        None => (cell == ".").then_some(None),
    }
}

/// The same for each shape.
#[rustfmt::skip]
pub(crate) const SHAPES: &[(&str, &str)] = &[
    // Docker 20.10, 26 graph driver, 26 containerd; containerd 1.6, 1.7; podman 4, 5; skopeo oci-, docker-archive
    ("oci-gzip-called-tar",      ". . A A A . . . ."),
    ("oci-zstd-called-gzip",     "A . . . . . . . ."),
    ("oci-zstd-skippable-frame", "A . . . . W V . V"),
    ("mixed-oci-layers",         ". . . . . . . E ."),
    ("oci-flat-referrer",        ". . Y . . . . H ."),
    ("oci-listed-artifact",      "K K Y D L K K H K"),
    ("oci-short-name",           ". . J . . . . . ."),
    ("docker25-unlisted-image",  ". . Z Z Z Z Z . ."),
    ("oci-hardlinked-blob",      ". . . . . . . . V"),
    ("oci-macos-xattrs",         ". AB . . . . . . ."),
    ("layout-foreign-manifest",  "AA AA . . . . . . F"),
    ("docker25-no-layers",       ". . D D D U U . ."),
    ("docker25-wrong-order",     ". . Q Q Q . . . ."),
    ("docker25-manifests-null",  ". . P P P . . H ."),
    ("layout-other-version",     ". . O O O . . . ."),
    ("layout-no-version",        "B B N N N . . . F"),
    ("layout-wrapped",           "T T N N N F F G F"),
    ("docker-symlinked-layer",   ". . . . . X X G X"),
    ("docker-hardlinked-layer",  ". . R R R . . G ."),
    ("docker-absolute-names",    ". . N N N F F G F"),
    ("docker-dotted-paths",      ". . S S S . . G ."),
    ("crane-zstd-layers",        "A . . . . . . G ."),
    ("crane-append",             ". . . . . . . G ."),
    ("crane-append-zstd",        "A . . . . . . G ."),
    ("crane-append-no-base",     ". . . P P . . G ."),
    ("outer-gzip",               ". . . A A . . . ."),
    ("outer-zstd",               "A . . A A . . . ."),
    ("outer-bzip2",              ". . . A A . . . ."),
    ("outer-xz",                 ". . . A A . . . ."),
];

/// For each fixture a cell for each column, in their order: `.` is fine, or else the reason.
#[rustfmt::skip]
pub(crate) const BEFORE: &[(&str, &str)] = &[
    // Docker 20.10, 26 graph driver, 26 containerd; containerd 1.6, 1.7; podman 4, 5; skopeo oci-, docker-archive
    ("buildkit-docker-estargz-ocifalse.tar",        ". . . . . . . . ."),
    ("buildkit-docker-estargz-ocitrue.tar",         ". . . . . . . . ."),
    ("buildkit-docker-gzip-ocifalse.tar",           ". . . . . . . . ."),
    ("buildkit-docker-gzip-ocitrue.tar",            ". . . . . . . . ."),
    ("buildkit-docker-names-zstd-ocifalse.tar",     "A . D C D . . H ."),
    ("buildkit-docker-names-zstd-ocitrue.tar",      "A . . . . . . H ."),
    ("buildkit-docker-noname-zstd-ocifalse.tar",    "A . D C D . . E ."),
    ("buildkit-docker-noname-zstd-ocitrue.tar",     "A . . I I . . . ."),
    ("buildkit-docker-uncompressed-ocifalse.tar",   ". . . . . . . . ."),
    ("buildkit-docker-uncompressed-ocitrue.tar",    ". . . . . . . . ."),
    ("buildkit-docker-zstd-ocifalse.tar",           "A . D C D . . E ."),
    ("buildkit-docker-zstd-ocitrue.tar",            "A . . . . . . . ."),
    ("buildkit-oci-attest-zstd-ocifalse.tar",       "B B . . . . . . F"),
    ("buildkit-oci-attest-zstd-ocitrue.tar",        "B B . . . . . . F"),
    ("buildkit-oci-estargz-ocifalse.tar",           "B B . . . . . . F"),
    ("buildkit-oci-estargz-ocitrue.tar",            "B B . . . . . . F"),
    ("buildkit-oci-gzip-ocifalse.tar",              "B B . . . . . . F"),
    ("buildkit-oci-gzip-ocitrue.tar",               "B B . . . . . . F"),
    ("buildkit-oci-multi-attest-zstd-ocifalse.tar", "B B . . . . . . F"),
    ("buildkit-oci-multi-attest-zstd-ocitrue.tar",  "B B . . . . . . F"),
    ("buildkit-oci-multi-zstd-ocifalse.tar",        "B B D C D E E E F"),
    ("buildkit-oci-multi-zstd-ocitrue.tar",         "B B . . . . . . F"),
    ("buildkit-oci-uncompressed-ocifalse.tar",      "B B . . . . . . F"),
    ("buildkit-oci-uncompressed-ocitrue.tar",       "B B . . . . . . F"),
    ("buildkit-oci-zstd-ocifalse.tar",              "B B D C D E E E F"),
    ("buildkit-oci-zstd-ocitrue.tar",               "B B . . . . . . F"),
    ("containerd17-export-multi.tar",               "A . . . . . . M ."),
    ("docker20-save-byid.tar",                      ". . . I I . . G ."),
    ("docker20-save-names.tar",                     ". . . . . . . G ."),
    ("docker20-save.tar",                           ". . . . . . . G ."),
    ("docker26c-save-byid.tar",                     ". . . I I . . . ."),
    ("docker26c-save-multi.tar",                    "A . . . . . . . ."),
    ("docker26c-save-names.tar",                    ". . . . . . . H ."),
    ("docker26c-save-pulledmulti.tar",              "A . . . . . . M ."),
    ("docker26c-save.tar",                          ". . . . . . . . ."),
    ("docker26g-save-byid.tar",                     ". . . I I . . . ."),
    ("docker26g-save-names.tar",                    ". . . . . . . H ."),
    ("docker26g-save.tar",                          ". . . . . . . . ."),
    ("podman-docker.tar",                           ". . . . . . . G ."),
    ("podman-multi.tar",                            ". . . . . . . G ."),
    ("podman-oci.tar",                              "B B . . . . . . F"),
    ("skopeo19-docker.tar",                         ". . . . . . . G ."),
    ("skopeo19-oci.tar",                            "B B . . . . . . F"),
];
