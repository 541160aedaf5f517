use std::collections::HashMap;

use oci_spec::image::{
    Arch, DescriptorBuilder, ImageIndex, ImageIndexBuilder, ImageManifestBuilder, OciLayoutBuilder,
    Os, PlatformBuilder, ToDockerV2S2,
};

use super::*;
use crate::image::{Algorithm, Compression};

fn spec_digest(text: &str) -> spec::Digest {
    text.parse().unwrap()
}

#[test]
fn digests_convert_in_both_directions() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, b"content");
        let converted = spec::Digest::try_from(&digest).unwrap();
        assert_eq!(converted.as_ref(), digest.to_string());
        assert_eq!(Digest::try_from(&converted).unwrap(), digest);
    }
}

#[test]
fn digests_of_other_algorithms_are_refused() {
    for text in [&format!("sha384:{}", "0".repeat(96)), "blake3:00"] {
        let error = Digest::try_from(&spec_digest(text)).unwrap_err();
        assert_eq!(error.code(), Code::UnsupportedDigest, "{text}");
        let algorithm = text.split_once(':').unwrap().0;
        let expected = format!("digest algorithm \"{algorithm}\" cannot be verified");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn platforms_convert_in_both_directions() {
    let windows = Platform {
        os_version: Some("10.0.17763.1".to_owned()),
        .."windows(+win32k)/amd64".parse().unwrap()
    };
    let names = [
        "linux/amd64",
        "linux/386",
        "linux/arm/v6",
        "linux/armbe",
        "linux/arm64be",
        "linux/loong64",
        "zos/s390x",
        "wasip1/wasm",
        "elsewhere/some-machine/v1",
    ];
    let platforms = names.map(|name| name.parse::<Platform>().unwrap());
    for platform in platforms.into_iter().chain([windows]) {
        let converted = spec::Platform::from(&platform);
        assert_eq!(converted.os().to_string(), platform.os);
        assert_eq!(converted.architecture().to_string(), platform.architecture);
        assert_eq!(Platform::try_from(&converted), Ok(platform));
    }
}

#[test]
fn platforms_without_an_equivalent_are_refused() {
    let builder = || {
        PlatformBuilder::default()
            .os(Os::Windows)
            .architecture(Arch::Amd64)
    };
    let features = || vec!["sse4".to_owned(), "b\u{1b}".to_owned()];
    #[rustfmt::skip]
    let cases = [
        (builder().os(Os::Other(String::new())), "the platform has an empty os"),
        (builder().architecture(""), "the platform has an empty architecture"),
        (builder().features(features()), "the platform windows/amd64 requires the features sse4, b\\u{1b}"),
    ];
    for (platform, expected) in cases {
        let error = Platform::try_from(&platform.build().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let empty = builder().os_features(Vec::new()).variant("").build();
    let converted = Platform::try_from(&empty.unwrap()).unwrap();
    assert_eq!((converted.variant, converted.os_version), (None, None));
}

/// If one of these assertions fails, a new version of oci-spec has fixed something: update the module
/// documentation.
#[test]
fn oci_spec_loses_what_the_documentation_lists() {
    let platform = r#"{"architecture":"armbe","os":"linux","os.version":"1","os.features":["a"]}"#;
    let platform: spec::Platform = serde_json::from_str(platform).unwrap();
    assert_eq!(platform.architecture(), &Arch::ARM64be);
    assert_eq!(platform.os_version(), &None);
    assert_eq!(platform.os_features(), &None);
    let windows = Platform {
        os_version: Some("10".to_owned()),
        ..Platform::try_from(&platform).unwrap()
    };
    let text = serde_json::to_string(&spec::Platform::from(&windows)).unwrap();
    assert!(text.contains("\"os_version\":\"10\""), "{text}");
    let descriptor = "application/vnd.oci.descriptor.v1+json";
    assert_eq!(
        MediaType::from(descriptor),
        MediaType::Other(descriptor.to_owned())
    );
    let oci_types = [
        MediaType::ImageIndex,
        MediaType::ImageManifest,
        MediaType::ImageConfig,
        MediaType::ImageLayer,
        MediaType::ImageLayerGzip,
        MediaType::ImageLayerNonDistributable,
        MediaType::ImageLayerNonDistributableGzip,
    ];
    let known = oci_types.iter().filter(|t| t.to_docker_v2s2().is_ok());
    assert_eq!(known.count(), 4);
    for media_type in &oci_types {
        let docker = media_type::docker_form(media_type.as_ref()).unwrap();
        if let Ok(known) = media_type.to_docker_v2s2() {
            assert_eq!(known, docker);
        }
        assert_eq!(Kind::from(&MediaType::from(docker)), Kind::from(media_type));
    }
}

#[test]
fn media_types_convert_in_both_directions() {
    let layers = [
        Compression::Uncompressed,
        Compression::Gzip,
        Compression::Zstd,
    ];
    let layers = layers.into_iter().flat_map(|compression| {
        [true, false].map(|distributable| Kind::Layer {
            compression,
            distributable,
        })
    });
    let kinds = [Kind::Index, Kind::Manifest, Kind::Config];
    for kind in layers.chain(kinds) {
        let media_type = MediaType::try_from(kind).unwrap();
        assert!(!matches!(media_type, MediaType::Other(_)), "{media_type}");
        assert_eq!(Kind::from(&media_type), kind);
    }
    let artifacts = [
        MediaType::Descriptor,
        MediaType::LayoutHeader,
        MediaType::ArtifactManifest,
        MediaType::EmptyJSON,
    ];
    for media_type in artifacts {
        assert_eq!(Kind::from(&media_type), Kind::Artifact, "{media_type}");
    }
    let unknown = MediaType::Other("text/plain".to_owned());
    assert_eq!(Kind::from(&unknown), Kind::Unknown);
}

#[test]
fn kinds_without_an_oci_media_type_are_refused() {
    let cases = [
        (Kind::Schema1, "a Docker schema 1 manifest"),
        (Kind::Plugin, "the config of a Docker plugin"),
        (
            Kind::OpaqueLayer,
            "a layer that is encrypted or not a tar archive",
        ),
        (Kind::CacheConfig, "a BuildKit cache config"),
        (Kind::InToto, "an in-toto statement"),
        (Kind::Attestation, "an attestation"),
        (Kind::Signature, "a signature"),
        (Kind::Artifact, "the content of an artifact"),
        (Kind::Unknown, "content of an unknown type"),
    ];
    for (kind, what) in cases {
        let error = MediaType::try_from(kind).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("OCI has no single media type for {what}")
        );
    }
}

#[test]
fn annotations_are_sorted_by_key() {
    let keys: Vec<String> = (0..40).map(|number| format!("key-{number:02}")).collect();
    let annotations: HashMap<String, String> =
        keys.iter().map(|key| (key.clone(), key.clone())).collect();
    let digest = Digest::of(Algorithm::Sha256, b"");
    let child = DescriptorBuilder::default()
        .media_type(MediaType::ImageManifest)
        .digest(spec::Digest::try_from(&digest).unwrap())
        .size(0_u64)
        .annotations(annotations.clone())
        .build()
        .unwrap();
    let index = ImageIndexBuilder::default()
        .schema_version(spec::SCHEMA_VERSION)
        .manifests(vec![child])
        .annotations(annotations)
        .build();
    let text = String::from_utf8(text(index).unwrap()).unwrap();
    let members: Vec<String> = keys
        .iter()
        .map(|key| format!("\"{key}\":\"{key}\""))
        .collect();
    let annotations = format!("\"annotations\":{{{}}}", members.join(","));
    let expected = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":0,{annotations}}}],{annotations}}}"#
    );
    assert_eq!(text, expected);
    serde_json::from_str::<ImageIndex>(&text).unwrap();
}

#[test]
fn documents_that_lack_a_property_are_refused() {
    let cases = [
        (
            text(OciLayoutBuilder::default().build()),
            "image_layout_version",
        ),
        (
            text(ImageManifestBuilder::default().build()),
            "schema_version",
        ),
    ];
    for (found, field) in cases {
        let error = found.unwrap_err();
        assert_eq!(error.code(), Code::InvalidDocument);
        let expected = format!("cannot build an OCI document: Field not initialized: {field}");
        assert_eq!(error.to_string(), expected);
    }
}
