//! The Go types that engines decode an image config into. They have different fields, and some take one string for a list.
//!
//! Every config has passed [`IMAGE_CONFIG`](super::fields::IMAGE_CONFIG), so what all of them know is not repeated here.

use std::collections::BTreeSet;

use super::fields::{HEALTHCHECK, SET};
use crate::json::{Keys, Mismatch, Type, check};

/// A Go type of image configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Decoder {
    /// image-spec, `specs-go/v1`, `Image`.
    ImageSpec,
    /// docker-image-spec, `specs-go/v1`, `DockerOCIImage`, which has more fields.
    DockerImageSpec,
    /// moby before 29, `image/image.go`, `Image`; container-libs, `image/manifest/docker_schema2.go`, `Schema2Image`.
    Docker,
    /// moby since 29, `daemon/internal/image/image.go`, `Image`, with lists in `api/types/container/config.go`.
    Docker29,
    /// go-containerregistry, `pkg/v1/config.go`, `ConfigFile`.
    GoContainerregistry,
}

/// What is wrong in a config that some engines cannot decode.
#[derive(Clone, Debug)]
pub(crate) struct Undecodable {
    /// The first value.
    pub(crate) first: Mismatch,
    /// Those that cannot decode it.
    pub(crate) by: BTreeSet<Decoder>,
}

impl Undecodable {
    /// Which types cannot hold a config, in which this is the first value that some cannot.
    pub(crate) fn of(text: &str, first: Mismatch) -> Self {
        let fails = |decoder: &Decoder| {
            let checked = check(text, decoder.fields(), true);
            checked.is_ok_and(|checked| checked.mismatch.is_some())
        };
        Undecodable {
            first,
            by: Decoder::ALL.into_iter().filter(fails).collect(),
        }
    }
}

impl Decoder {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Decoder::ImageSpec,
        Decoder::DockerImageSpec,
        Decoder::Docker,
        Decoder::Docker29,
        Decoder::GoContainerregistry,
    ];

    fn fields(self) -> Type {
        match self {
            Decoder::ImageSpec => IMAGE_SPEC,
            Decoder::DockerImageSpec => DOCKER_IMAGE_SPEC,
            Decoder::Docker => DOCKER,
            Decoder::Docker29 => DOCKER_29,
            Decoder::GoContainerregistry => GO_CONTAINERREGISTRY,
        }
    }
}

const LIST: Type = Type::List(&Type::Text);

const IMAGE_SPEC: Type = Type::Object(&Keys(&[(
    "config",
    Type::Object(&Keys(&[("Entrypoint", LIST), ("Cmd", LIST)])),
)]));

const DOCKER_IMAGE_SPEC: Type = Type::Object(&Keys(&[(
    "config",
    Type::Object(&Keys(&[
        ("Entrypoint", LIST),
        ("Cmd", LIST),
        ("Healthcheck", HEALTHCHECK),
        ("OnBuild", LIST),
        ("Shell", LIST),
    ])),
)]));

const DOCKER: Type = Type::Object(&Keys(&docker(&DOCKER_CONTAINER)));
const DOCKER_CONTAINER: Type = Type::Object(&Keys(&docker_container(Type::Words, Type::Text)));

/// It takes lists only, and has no MAC address.
const DOCKER_29: Type = Type::Object(&Keys(&docker(&DOCKER_29_CONTAINER)));
const DOCKER_29_CONTAINER: Type = Type::Object(&Keys(&docker_container(LIST, Type::Any)));

const fn docker(container: &Type) -> [(&'static str, Type); 8] {
    [
        ("id", Type::Text),
        ("parent", Type::Text),
        ("comment", Type::Text),
        ("container", Type::Text),
        ("container_config", *container),
        ("docker_version", Type::Text),
        ("config", *container),
        ("size", Type::Integer),
    ]
}

const fn docker_container(words: Type, mac_address: Type) -> [(&'static str, Type); 25] {
    [
        ("Hostname", Type::Text),
        ("Domainname", Type::Text),
        ("User", Type::Text),
        ("AttachStdin", Type::Flag),
        ("AttachStdout", Type::Flag),
        ("AttachStderr", Type::Flag),
        ("ExposedPorts", SET),
        ("Tty", Type::Flag),
        ("OpenStdin", Type::Flag),
        ("StdinOnce", Type::Flag),
        ("Env", LIST),
        ("Cmd", words),
        ("Healthcheck", HEALTHCHECK),
        ("ArgsEscaped", Type::Flag),
        ("Image", Type::Text),
        ("Volumes", SET),
        ("WorkingDir", Type::Text),
        ("Entrypoint", words),
        ("NetworkDisabled", Type::Flag),
        ("MacAddress", mac_address),
        ("OnBuild", LIST),
        ("Labels", Type::Map(&Type::Text)),
        ("StopSignal", Type::Text),
        ("StopTimeout", Type::Integer),
        ("Shell", words),
    ]
}

const GO_CONTAINERREGISTRY: Type = Type::Object(&Keys(&[
    ("container", Type::Text),
    ("docker_version", Type::Text),
    (
        "config",
        Type::Object(&Keys(&[
            ("AttachStderr", Type::Flag),
            ("AttachStdin", Type::Flag),
            ("AttachStdout", Type::Flag),
            ("Cmd", LIST),
            ("Healthcheck", HEALTHCHECK),
            ("Domainname", Type::Text),
            ("Entrypoint", LIST),
            ("Hostname", Type::Text),
            ("Image", Type::Text),
            ("OnBuild", LIST),
            ("OpenStdin", Type::Flag),
            ("StdinOnce", Type::Flag),
            ("Tty", Type::Flag),
            ("NetworkDisabled", Type::Flag),
            ("MacAddress", Type::Text),
            ("Shell", LIST),
        ])),
    ),
]));
