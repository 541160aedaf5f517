//! Image archives.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use super::Result;
use super::files::{Descriptor, Files, Hashing};

/// The media types of one family.
pub(crate) struct Types {
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
    gzip: &'static str,
    zstd: &'static str,
}

/// Docker's, and the nonstandard one for zstd: everything has to be fixed.
pub(crate) const DOCKER: Types = Types {
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar",
    gzip: ".gzip",
    zstd: ".zstd",
};

/// OCI's: nothing has to be fixed.
pub(crate) const OCI: Types = Types {
    manifest: "application/vnd.oci.image.manifest.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar",
    gzip: "+gzip",
    zstd: "+zstd",
};

/// What a layer is compressed with, and how hard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    Plain,
    Gzip(u32),
    Zstd(i32),
}

pub(crate) struct Layer {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: String,
}

/// Writes a layer of these files to a file of its own.
pub(crate) fn make_layer(
    files: &mut Files,
    prefix: &str,
    len: u64,
    form: Form,
    types: &Types,
    path: &Path,
) -> Result<Layer> {
    let file = Hashing::new(BufWriter::new(File::create(path)?));
    let (file, suffix, diff_id) = match form {
        Form::Zstd(level) => {
            let mut tar = Hashing::new(zstd::Encoder::new(file, level)?);
            files.write_tar(prefix, len, &mut tar)?;
            let (encoder, tar) = tar.descriptor("");
            (encoder.finish()?, types.zstd, Some(tar.hex))
        }
        Form::Gzip(level) => {
            let level = flate2::Compression::new(level);
            let mut tar = Hashing::new(flate2::write::GzEncoder::new(file, level));
            files.write_tar(prefix, len, &mut tar)?;
            let (encoder, tar) = tar.descriptor("");
            (encoder.finish()?, types.gzip, Some(tar.hex))
        }
        Form::Plain => {
            let mut file = file;
            files.write_tar(prefix, len, &mut file)?;
            (file, "", None)
        }
    };
    let media_type = format!("{}{suffix}", types.layer);
    let (mut inner, descriptor) = file.descriptor(&media_type);
    inner.flush()?;
    let diff_id = diff_id.unwrap_or_else(|| descriptor.hex.clone());
    Ok(Layer {
        descriptor,
        diff_id,
    })
}

pub(crate) struct Archive {
    tar: tar::Builder<BufWriter<File>>,
    types: &'static Types,
    entries: Vec<String>,
    count: u64,
}

impl Archive {
    pub(crate) fn create(path: &Path, types: &'static Types) -> Result<Self> {
        Ok(Archive {
            tar: tar::Builder::new(BufWriter::new(File::create(path)?)),
            types,
            entries: Vec::new(),
            count: 0,
        })
    }

    fn add(&mut self, name: &str, len: u64, bytes: impl Read) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(len);
        self.tar.append_data(&mut header, name, bytes)
    }

    pub(crate) fn add_blob(&mut self, descriptor: &Descriptor, bytes: impl Read) -> Result<()> {
        self.count += 1;
        self.add(
            &format!("blobs/sha256/{}", descriptor.hex),
            descriptor.len,
            bytes,
        )
    }

    /// Adds the documents of an image whose layers are there.
    pub(crate) fn add_image(&mut self, name: &str, layers: &[Layer]) -> Result<()> {
        let list = |items: Vec<String>| items.join(",");
        let diff_ids = list(
            layers
                .iter()
                .map(|layer| format!(r#""sha256:{}""#, layer.diff_id))
                .collect(),
        );
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Labels":{{"name":"{name}"}}}},"rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#
        );
        let config_descriptor = Descriptor::of(config.as_bytes(), self.types.config)?;
        self.add_blob(&config_descriptor, config.as_bytes())?;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
            self.types.manifest,
            config_descriptor.json(""),
            list(
                layers
                    .iter()
                    .map(|layer| layer.descriptor.json(""))
                    .collect()
            )
        );
        let descriptor = Descriptor::of(manifest.as_bytes(), self.types.manifest)?;
        self.add_blob(&descriptor, manifest.as_bytes())?;
        self.entries.push(descriptor.json(&format!(
            r#","annotations":{{"io.containerd.image.name":"example.com/{name}:v1","org.opencontainers.image.ref.name":"v1"}}"#
        )));
        Ok(())
    }

    /// Writes what is left, and returns how many blobs there are.
    pub(crate) fn finish(mut self) -> Result<u64> {
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            self.entries.join(",")
        );
        self.add("index.json", index.len() as u64, index.as_bytes())?;
        let layout = r#"{"imageLayoutVersion":"1.0.0"}"#;
        self.add("oci-layout", layout.len() as u64, layout.as_bytes())?;
        self.tar.into_inner()?.flush()?;
        Ok(self.count)
    }
}
