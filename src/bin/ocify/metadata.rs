//! The metadata file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ocify::plan::Plan;
use ocify::report::metadata;

/// Writes the metadata beside its final name and moves it there: nobody sees half a file.
pub(crate) fn write(path: &Path, plan: &Plan) -> io::Result<()> {
    let (temporary, mut file) = create_beside(path)?;
    let written = serde_json::to_writer_pretty(&mut file, &metadata::value(plan))
        .map_err(io::Error::from)
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What went wrong first is what is reported.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)?;
    Ok((temporary, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty_plan() -> Plan {
        Plan {
            transcodes: Vec::new(),
            changes: Vec::new(),
            findings: Vec::new(),
            digests: Vec::new(),
            images: Vec::new(),
            entries: Vec::new(),
        }
    }

    #[test]
    fn metadata_replaces_the_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.json");
        fs::write(&path, "old").unwrap();
        write(&path, &empty_plan()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn failed_metadata_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, &empty_plan()).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
