//! Generates image archives from this machine's files. Their media types are Docker's, so that there is something to fix, or OCI's, so that
//! there is not.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::{MIB, Result};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Supplies the contents of all files below a directory, cyclically.
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    next: usize,
}

impl Files {
    pub(crate) fn new(root: &Path) -> Self {
        let entries = WalkDir::new(root).sort_by_file_name().into_iter().flatten();
        let paths = entries
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .collect();
        Files { paths, next: 0 }
    }

    /// Writes a tar with at least `len` bytes of files. A unique `prefix` makes its digest unique.
    pub(crate) fn write_tar(&mut self, prefix: &str, len: u64, out: impl Write) -> Result<()> {
        let mut tar = tar::Builder::new(out);
        let mut written = 0;
        while written < len {
            let path = self.paths.get(self.next % self.paths.len().max(1));
            let path = path.ok_or_else(|| io::Error::other("/usr has no files"))?;
            self.next += 1;
            let mut bytes = Vec::new();
            // Skip files that have vanished or are not readable.
            if File::open(path)
                .and_then(|mut file| file.read_to_end(&mut bytes))
                .is_err()
            {
                continue;
            }
            // Truncate huge files, so that layers have similar sizes.
            bytes.truncate(usize::try_from((len - written).min(64 * MIB)).unwrap_or(usize::MAX));
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            written += 1024 + bytes.len() as u64;
            tar.append_data(
                &mut header,
                format!("{prefix}/{}", self.next),
                bytes.as_slice(),
            )?;
        }
        tar.into_inner()?.flush()
    }
}

/// Hashes everything that is written to the inner writer.
pub(crate) struct Hashing<W> {
    inner: W,
    hasher: Sha256,
    len: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Hashing {
            inner,
            hasher: Sha256::new(),
            len: 0,
        }
    }

    pub(crate) fn descriptor(self, media_type: &str) -> (W, Descriptor) {
        let hex: String = self
            .hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        (
            self.inner,
            Descriptor {
                media_type: media_type.to_owned(),
                hex,
                len: self.len,
            },
        )
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

#[derive(Clone)]
pub(crate) struct Descriptor {
    media_type: String,
    pub(crate) hex: String,
    pub(crate) len: u64,
}

impl Descriptor {
    pub(crate) fn of(bytes: &[u8], media_type: &str) -> Result<Self> {
        let mut hashing = Hashing::new(io::sink());
        hashing.write_all(bytes)?;
        Ok(hashing.descriptor(media_type).1)
    }

    pub(crate) fn json(&self, more: &str) -> String {
        format!(
            r#"{{"mediaType":"{}","digest":"sha256:{}","size":{}{more}}}"#,
            self.media_type, self.hex, self.len
        )
    }
}

#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: String,
}

/// Writes a layer to a file. The suffix of its media type selects the compression: `.zstd` and `.gzip`, Docker's suffixes, use the fastest
/// level; `+zstd` and `+gzip`, OCI's, use the levels that builders use.
pub(crate) fn make_layer(
    files: &mut Files,
    prefix: &str,
    len: u64,
    suffix: &str,
    path: &Path,
) -> Result<Layer> {
    let file = Hashing::new(BufWriter::new(File::create(path)?));
    let is_oci = suffix.starts_with('+');
    let base = if is_oci { OCI_LAYER } else { DOCKER_LAYER };
    let media_type = format!("{base}{suffix}");
    let (file, diff_id) = match suffix {
        ".zstd" | "+zstd" => {
            let level = if is_oci { 3 } else { 1 };
            let mut tar = Hashing::new(zstd::Encoder::new(file, level)?);
            files.write_tar(prefix, len, &mut tar)?;
            let (encoder, tar) = tar.descriptor("");
            (encoder.finish()?, Some(tar.hex))
        }
        ".gzip" | "+gzip" => {
            let level = flate2::Compression::new(if is_oci { 6 } else { 1 });
            let mut tar = Hashing::new(flate2::write::GzEncoder::new(file, level));
            files.write_tar(prefix, len, &mut tar)?;
            let (encoder, tar) = tar.descriptor("");
            (encoder.finish()?, Some(tar.hex))
        }
        _ => {
            let mut file = file;
            files.write_tar(prefix, len, &mut file)?;
            (file, None)
        }
    };
    let (mut inner, descriptor) = file.descriptor(&media_type);
    inner.flush()?;
    let diff_id = diff_id.unwrap_or_else(|| descriptor.hex.clone());
    Ok(Layer {
        descriptor,
        diff_id,
    })
}

/// Writes an archive.
pub(crate) struct Archive {
    tar: tar::Builder<BufWriter<File>>,
    entries: Vec<String>,
    count: u64,
    manifest_type: &'static str,
    config_type: &'static str,
    /// The architecture of the images.
    pub(crate) architecture: &'static str,
}

impl Archive {
    /// Creates an archive with Docker's media types.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Ok(Archive {
            tar: tar::Builder::new(BufWriter::new(File::create(path)?)),
            entries: Vec::new(),
            count: 0,
            manifest_type: DOCKER_MANIFEST,
            config_type: DOCKER_CONFIG,
            architecture: "amd64",
        })
    }

    /// Creates an archive with OCI's media types.
    pub(crate) fn create_oci(path: &Path) -> Result<Self> {
        Ok(Archive {
            manifest_type: OCI_MANIFEST,
            config_type: OCI_CONFIG,
            ..Archive::create(path)?
        })
    }

    pub(crate) fn add(&mut self, name: &str, len: u64, bytes: impl Read) -> Result<()> {
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

    /// Adds the documents of an image whose layers have been added.
    pub(crate) fn add_image(&mut self, name: &str, layers: &[Layer]) -> Result<()> {
        let list = |items: Vec<String>| items.join(",");
        let diff_ids = list(
            layers
                .iter()
                .map(|layer| format!(r#""sha256:{}""#, layer.diff_id))
                .collect(),
        );
        let architecture = self.architecture;
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{{"Labels":{{"name":"{name}"}}}},"rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#
        );
        let config_descriptor = Descriptor::of(config.as_bytes(), self.config_type)?;
        self.add_blob(&config_descriptor, config.as_bytes())?;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
            self.manifest_type,
            config_descriptor.json(""),
            list(
                layers
                    .iter()
                    .map(|layer| layer.descriptor.json(""))
                    .collect()
            )
        );
        let descriptor = Descriptor::of(manifest.as_bytes(), self.manifest_type)?;
        self.add_blob(&descriptor, manifest.as_bytes())?;
        self.entries.push(descriptor.json(&format!(
            r#","annotations":{{"io.containerd.image.name":"example.com/{name}:v1","org.opencontainers.image.ref.name":"v1"}}"#
        )));
        Ok(())
    }

    /// Writes the index, and returns the number of blobs.
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

/// The contents of an archive.
pub(crate) struct Shape {
    pub(crate) images: usize,
    /// The number of layers of each image.
    pub(crate) layers: usize,
    /// The uncompressed length of each layer in bytes.
    pub(crate) len: u64,
    /// The suffixes that the layers use in turn: `.zstd`, `.gzip` or none.
    pub(crate) suffixes: &'static [&'static str],
    /// The number of additional blobs that no image refers to.
    pub(crate) loose: usize,
}

/// Writes an archive with this shape and returns the number of its blobs.
pub(crate) fn make(shape: &Shape, files: &mut Files, folder: &Path, path: &Path) -> Result<u64> {
    let mut archive = Archive::create(path)?;
    let scratch = folder.join("layer");
    for image in 0..shape.images {
        let mut made = Vec::new();
        for layer in 0..shape.layers {
            let suffix = shape.suffixes[layer % shape.suffixes.len()];
            let prefix = format!("{image}/{layer}");
            let layer = make_layer(files, &prefix, shape.len, suffix, &scratch)?;
            archive.add_blob(&layer.descriptor, File::open(&scratch)?)?;
            made.push(layer);
        }
        archive.add_image(&format!("app{image}"), &made)?;
    }
    for blob in 0..shape.loose {
        let layer = make_layer(files, &format!("loose/{blob}"), shape.len, "", &scratch)?;
        archive.add_blob(&layer.descriptor, File::open(&scratch)?)?;
    }
    fs::remove_file(&scratch)?;
    archive.finish()
}

/// Writes an archive with one image that has one layer of `gib` GiB, nearly all of it holes.
pub(crate) fn make_sparse(gib: u64, path: &Path) -> Result<()> {
    const FILE_LEN: u64 = 1 << 30;
    let mut headers = Vec::new();
    for number in 0..gib {
        let mut header = tar::Header::new_ustar();
        header.set_path(format!("zeros/{number}"))?;
        header.set_mode(0o644);
        header.set_size(FILE_LEN);
        header.set_cksum();
        headers.push(header);
    }
    let zeros = vec![0; 1 << 20];
    let mut hashing = Hashing::new(io::sink());
    for header in &headers {
        hashing.write_all(header.as_bytes())?;
        for _ in 0..FILE_LEN >> 20 {
            hashing.write_all(&zeros)?;
        }
    }
    hashing.write_all(&zeros[..1024])?;
    let descriptor = hashing.descriptor(DOCKER_LAYER).1;

    let mut archive = Archive::create(path)?;
    archive.count += 1;
    let mut header = tar::Header::new_gnu();
    header.set_path(format!("blobs/sha256/{}", descriptor.hex))?;
    header.set_mode(0o644);
    header.set_size(descriptor.len);
    header.set_cksum();
    let out = archive.tar.get_mut();
    out.write_all(header.as_bytes())?;
    for header in &headers {
        out.write_all(header.as_bytes())?;
        out.seek(SeekFrom::Current(FILE_LEN.cast_signed()))?;
    }
    out.write_all(&zeros[..1024])?;
    let diff_id = descriptor.hex.clone();
    let layer = Layer {
        descriptor,
        diff_id,
    };
    archive.add_image("sparse", &[layer])?;
    archive.finish().map(drop)
}
