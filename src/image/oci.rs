//! Conversions between ocify's types and oci-spec's, and helpers for building documents.
//!
//! ocify uses oci-spec to build documents that the source lacks and to give callers typed views, but never to
//! rewrite a document: oci-spec's types drop unknown fields, change the order of keys, and keep annotations
//! in a hash map.
//!
//! oci-spec 0.10 does not preserve:
//!
//! - `os.version` and `os.features` of a descriptor's platform: it reads and writes `os_version` and
//!   `os_features`, so parsing an index loses them and serializing a converted platform misspells them.
//!   In an image config both are right.
//! - The architecture `armbe`, which it parses as `arm64be`. The conversions here keep it.
//! - The media type of a descriptor, which it spells `application/vnd.oci.descriptor`, without `.v1+json`.
//! - Docker's media types: all of them are `MediaType::Other`, and its `to_docker_v2s2` supports four of the
//!   seven OCI types that have an equivalent. [`media_type::docker_form`] supports all seven.

use std::fmt;

use oci_spec::image::{self as spec, MediaType};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Code, Error, Result, escape};
use crate::image::media_type::{self, Kind};
use crate::image::{Digest, Platform};

/// A value has no equivalent in the other library's types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionError {
    what: String,
}

impl fmt::Display for ConversionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for ConversionError {}

fn no_counterpart(what: impl Into<String>) -> ConversionError {
    ConversionError { what: what.into() }
}

/// Goes through the digest's text, because oci-spec has no other constructor. Its grammar accepts every
/// SHA-256 and SHA-512 digest.
impl TryFrom<&Digest> for spec::Digest {
    type Error = Error;

    fn try_from(digest: &Digest) -> Result<Self> {
        spec::Digest::try_from(digest.to_string()).map_err(|error| {
            Error::new(
                Code::InvalidDigest,
                format!("oci-spec refuses the digest {digest}: {}", reason(&error)),
            )
            .with_found(digest)
        })
    }
}

/// Fails for algorithms that ocify cannot verify, such as sha384.
impl TryFrom<&spec::Digest> for Digest {
    type Error = Error;

    fn try_from(digest: &spec::Digest) -> Result<Self> {
        digest.as_ref().parse()
    }
}

/// Do not serialize the result: oci-spec writes a platform's `os.version` as `os_version`.
impl From<&Platform> for spec::Platform {
    fn from(platform: &Platform) -> Self {
        let architecture = match platform.architecture.as_str() {
            // oci-spec parses this one as arm64be.
            "armbe" => spec::Arch::ARMbe,
            other => spec::Arch::from(other),
        };
        let mut converted = spec::Platform::default();
        converted
            .set_os(spec::Os::from(platform.os.as_str()))
            .set_architecture(architecture)
            .set_os_version(platform.os_version.clone())
            .set_variant(platform.variant.clone());
        if !platform.os_features.is_empty() {
            let features = platform.os_features.iter().cloned().collect();
            converted.set_os_features(Some(features));
        }
        converted
    }
}

/// Fails for a platform without an operating system or architecture, and for one with CPU features, which
/// [`Platform`] cannot represent.
impl TryFrom<&spec::Platform> for Platform {
    type Error = ConversionError;

    fn try_from(platform: &spec::Platform) -> std::result::Result<Self, ConversionError> {
        let (os, architecture) = (
            platform.os().to_string(),
            platform.architecture().to_string(),
        );
        let empty = [("os", &os), ("architecture", &architecture)];
        if let Some((name, _)) = empty.iter().find(|(_, value)| value.is_empty()) {
            return Err(no_counterpart(format!("the platform has an empty {name}")));
        }
        let features = platform.features().as_ref();
        if let Some(features) = features.filter(|features| !features.is_empty()) {
            return Err(no_counterpart(format!(
                "the platform {os}/{architecture} requires the features {}",
                escape(&features.join(", "))
            )));
        }
        let os_features = platform.os_features().iter().flatten();
        let stated = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        Ok(Platform {
            os,
            architecture,
            variant: stated(platform.variant()),
            os_version: stated(platform.os_version()),
            os_features: os_features.cloned().collect(),
        })
    }
}

/// What an oci-spec media type describes, including Docker's types.
impl From<&MediaType> for Kind {
    fn from(media_type: &MediaType) -> Self {
        match media_type {
            // Misspelled by oci-spec.
            MediaType::Descriptor => Kind::Artifact,
            other => media_type::kind(other.as_ref()),
        }
    }
}

/// The OCI media type for a kind. Fails for kinds that have no OCI type or more than one.
impl TryFrom<Kind> for MediaType {
    type Error = ConversionError;

    fn try_from(kind: Kind) -> std::result::Result<Self, ConversionError> {
        let what = match kind {
            Kind::Index => return Ok(MediaType::ImageIndex),
            Kind::Manifest => return Ok(MediaType::ImageManifest),
            Kind::Config | Kind::OctetStream => return Ok(MediaType::ImageConfig),
            Kind::Layer {
                compression,
                distributable,
            } => return Ok(media_type::oci_layer(compression, distributable).into()),
            Kind::Schema1 => "a Docker schema 1 manifest",
            Kind::Plugin => "the config of a Docker plugin",
            Kind::OpaqueLayer => "a layer that is encrypted or not a tar archive",
            Kind::CacheConfig => "a BuildKit cache config",
            Kind::InToto => "an in-toto statement",
            Kind::Attestation => "an attestation",
            Kind::Signature => "a signature",
            Kind::Artifact => "the content of an artifact",
            Kind::Unknown => "content of an unknown type",
        };
        Err(no_counterpart(format!(
            "OCI has no single media type for {what}"
        )))
    }
}

/// Creates a descriptor. `len` is the length of the content in bytes.
///
/// # Errors
/// oci-spec refuses the digest.
pub(crate) fn descriptor(media_type: &str, digest: &Digest, len: u64) -> Result<spec::Descriptor> {
    let digest = spec::Digest::try_from(digest)?;
    Ok(spec::Descriptor::new(media_type.into(), len, digest))
}

/// Serializes a document that a builder returned, without white space. Sorts annotations, which oci-spec
/// keeps in a hash map, so that the output is deterministic.
///
/// # Errors
/// The builder lacks a property, or the document cannot be serialized.
pub(crate) fn text<T: Serialize>(document: oci_spec::Result<T>) -> Result<Vec<u8>> {
    let written = document.and_then(|document| {
        let mut value = serde_json::to_value(document)?;
        sort_annotations(&mut value);
        Ok(serde_json::to_vec(&value)?)
    });
    written.map_err(|error| {
        Error::new(
            Code::InvalidDocument,
            format!("cannot build an OCI document: {}", reason(&error)),
        )
    })
}

/// The message of an oci-spec error. If it has a cause, this is the cause's message, because the error's own
/// can be as vague as `serde failed`.
pub(crate) fn reason(error: &oci_spec::OciSpecError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    }
}

fn sort_annotations(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort_annotations),
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::Object(annotations) if key == "annotations" => annotations.sort_keys(),
                    other => sort_annotations(other),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
