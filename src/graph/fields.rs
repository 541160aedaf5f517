//! What engines decode the fields of each document as. This is the one list of the fields that are known.
//!
//! containerd decodes documents into the Go types of the image specification, docker into these and its own, which have
//! more fields. Both use `encoding/json`, so a value of another type makes the document unreadable, wherever it is.
//!
//! Evidence, in Go: image-spec 1.1 `specs-go/v1` (`index.go`, `manifest.go`, `descriptor.go`, `config.go`); moby 20.10 to 28
//! `image/image.go` (`Image`, `V1Image`), `image/rootfs.go`, `api/types/container/config.go`,
//! `image/tarexport/tarexport.go` (`manifestItem`).

use crate::json::{Keys, Type};

/// An index or a manifest: `Index` and `Manifest`, and what tells other documents apart.
pub(crate) const DOCUMENT: Type = Type::Object(&Keys(&[
    ("schemaVersion", Type::Integer),
    ("mediaType", Type::Text),
    ("artifactType", Type::Text),
    ("manifests", Type::List(&DESCRIPTOR)),
    ("config", DESCRIPTOR),
    ("layers", Type::List(&DESCRIPTOR)),
    ("blobs", Type::List(&DESCRIPTOR)),
    ("subject", DESCRIPTOR),
    ("annotations", Type::Map(&Type::Text)),
    ("fsLayers", Type::Any),
    ("history", Type::Any),
    ("signatures", Type::Any),
]));

/// `Descriptor`. A digest is a string until it is used, and embedded data is one in base64.
const DESCRIPTOR: Type = Type::Object(&Keys(&[
    ("mediaType", Type::Text),
    ("digest", Type::Text),
    ("size", Type::Integer),
    ("urls", Type::List(&Type::Text)),
    ("data", Type::Text),
    ("annotations", Type::Map(&Type::Text)),
    ("artifactType", Type::Text),
    ("platform", PLATFORM),
]));

/// `Platform`.
const PLATFORM: Type = Type::Object(&Keys(&[
    ("architecture", Type::Text),
    ("os", Type::Text),
    ("os.version", Type::Text),
    ("os.features", Type::List(&Type::Text)),
    ("variant", Type::Text),
]));

/// An image config: `Image`, and what docker's type of that name has besides.
pub(crate) const IMAGE_CONFIG: Type = Type::Object(&Keys(&[
    ("architecture", Type::Text),
    ("os", Type::Text),
    ("os.version", Type::Text),
    ("os.features", Type::List(&Type::Text)),
    ("variant", Type::Text),
    ("created", Type::Time),
    ("author", Type::Text),
    ("config", CONTAINER),
    ("rootfs", ROOTFS),
    ("history", Type::List(&HISTORY)),
    ("id", Type::Partly(&Type::Text)),
    ("parent", Type::Partly(&Type::Text)),
    ("comment", Type::Partly(&Type::Text)),
    ("container", Type::Partly(&Type::Text)),
    ("container_config", Type::Partly(&CONTAINER)),
    ("docker_version", Type::Partly(&Type::Text)),
    ("size", Type::Partly(&Type::Integer)),
]));

/// `RootFS`.
const ROOTFS: Type = Type::Object(&Keys(&[
    ("type", Type::Text),
    ("diff_ids", Type::List(&Type::Text)),
]));

/// `History`.
const HISTORY: Type = Type::Object(&Keys(&[
    ("created", Type::Time),
    ("created_by", Type::Text),
    ("author", Type::Text),
    ("comment", Type::Text),
    ("empty_layer", Type::Flag),
]));

/// `ImageConfig`, and what docker's `container.Config` has besides.
const CONTAINER: Type = Type::Object(&Keys(&[
    ("User", Type::Text),
    ("ExposedPorts", SET),
    ("Env", Type::List(&Type::Text)),
    ("Entrypoint", Type::Words),
    ("Cmd", Type::Words),
    ("Volumes", SET),
    ("WorkingDir", Type::Text),
    ("Labels", Type::Map(&Type::Text)),
    ("StopSignal", Type::Text),
    ("ArgsEscaped", Type::Flag),
    ("Hostname", Type::Partly(&Type::Text)),
    ("Domainname", Type::Partly(&Type::Text)),
    ("AttachStdin", Type::Partly(&Type::Flag)),
    ("AttachStdout", Type::Partly(&Type::Flag)),
    ("AttachStderr", Type::Partly(&Type::Flag)),
    ("Tty", Type::Partly(&Type::Flag)),
    ("OpenStdin", Type::Partly(&Type::Flag)),
    ("StdinOnce", Type::Partly(&Type::Flag)),
    ("Healthcheck", Type::Partly(&HEALTHCHECK)),
    ("Image", Type::Partly(&Type::Text)),
    ("NetworkDisabled", Type::Partly(&Type::Flag)),
    ("MacAddress", Type::Partly(&Type::Text)),
    ("OnBuild", Type::Partly(&Type::List(&Type::Text))),
    ("StopTimeout", Type::Partly(&Type::Integer)),
    ("Shell", Type::Partly(&Type::Words)),
]));

/// A set of strings: the keys of a map whose values are empty structures.
pub(super) const SET: Type = Type::Map(&Type::Object(&Keys(&[])));

/// `HealthConfig`, whose times are nanoseconds.
pub(super) const HEALTHCHECK: Type = Type::Object(&Keys(&[
    ("Test", Type::List(&Type::Text)),
    ("Interval", Type::Integer),
    ("Timeout", Type::Integer),
    ("StartPeriod", Type::Integer),
    ("StartInterval", Type::Integer),
    ("Retries", Type::Integer),
]));

/// `manifest.json`: a list of `manifestItem`.
pub(crate) const DOCKER_ARCHIVE: Type = Type::List(&Type::Object(&Keys(&[
    ("Config", Type::Text),
    ("RepoTags", Type::List(&Type::Text)),
    ("Layers", Type::List(&Type::Text)),
    ("LayerSources", Type::Map(&DESCRIPTOR)),
    ("Parent", Type::Text),
])));

/// `oci-layout`: `ImageLayout`.
pub(crate) const LAYOUT: Type = Type::Object(&Keys(&[("imageLayoutVersion", Type::Text)]));
