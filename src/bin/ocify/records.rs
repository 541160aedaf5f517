//! The files of `--report` and `--digest-map`. Their lines are the same for one input as for many.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ocify::{Error, Result, command::batch, command::batch::Item};

use crate::args::{Fix, is_standard};
use crate::batch::Shard;
use crate::digest_map::DigestMap;
use crate::files;
use crate::interrupt::Interrupt;

/// The files, as far as they were asked for.
#[derive(Default)]
pub(crate) struct Records {
    report: Option<(PathBuf, Box<dyn Write + Send>)>,
    map: Option<(PathBuf, DigestMap)>,
    /// What went wrong first with one of them.
    trouble: Option<Error>,
}

impl Records {
    /// Opens the report, which grows during the run. The map is written at its end.
    ///
    /// # Errors
    /// The report cannot be opened, or a temporary file for the map cannot be created.
    pub(crate) fn open(args: &Fix, shard: Option<Shard>, interrupt: &Interrupt) -> Result<Self> {
        let report = match &args.many.report {
            None => None,
            Some(path) => {
                let path = of_shard(path, shard);
                let file = files::open(&path, "create the report", interrupt)?;
                Some((path, file))
            }
        };
        let map = match &args.many.digest_map {
            None => None,
            Some(path) => {
                let directory = args.spool_dir.clone().unwrap_or_else(std::env::temp_dir);
                let map = DigestMap::new(&directory).map_err(|error| {
                    Error::io("create a temporary file in", &directory, error)
                        .with_hint("choose another directory with --spool-dir or TMPDIR")
                })?;
                Some((of_shard(path, shard), map))
            }
        };
        Ok(Records {
            report,
            map,
            trouble: None,
        })
    }

    /// Whether no file was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.report.is_none() && self.map.is_none()
    }

    /// Whether there is a report, which takes the lines as JSON.
    pub(crate) fn has_report(&self) -> bool {
        self.report.is_some()
    }

    /// Adds an input with this number that has ended: its line for the report, and those for the map.
    pub(crate) fn add(&mut self, number: u64, json: Option<&[u8]>, map_lines: &[u8]) {
        if let Some(json) = json {
            self.write(json);
        }
        if let Some((path, map)) = &mut self.map
            && let Err(error) = map.add(number, map_lines)
        {
            let error = Error::io("write the digest map", path, error);
            self.trouble.get_or_insert(error);
        }
    }

    fn write(&mut self, json: &[u8]) {
        if let Some((path, file)) = &mut self.report
            && let Err(error) = file.write_all(json)
        {
            let error = Error::io("write the report", path, error);
            self.trouble.get_or_insert(error);
        }
    }

    /// Writes the map. The error is the first of all that concerned these files.
    pub(crate) fn write_map(&mut self, interrupt: &Interrupt) -> Option<Error> {
        if let Some((path, map)) = self.map.take()
            && let Err(error) = files::write(&path, "write the digest map", interrupt, |out| {
                map.write_to(out)
            })
        {
            self.trouble.get_or_insert(error);
        }
        self.trouble.take()
    }

    /// Writes the summary, the last line of the report.
    pub(crate) fn finish(mut self, json: &[u8]) -> Option<Error> {
        self.write(json);
        self.trouble
    }
}

/// The lines of an input for the map.
pub(crate) fn map_lines(item: &Item<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    let planned = item.report.plan.map(batch::digests);
    if let Some(digests) = planned.as_ref().or(item.kept.map(|kept| kept.digests)) {
        // Writing to memory cannot fail.
        let _ = batch::map_lines(item.report.input, digests, &mut lines);
    }
    lines
}

/// The line of an input for the report.
pub(crate) fn report_line(item: &Item<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    // Writing to memory cannot fail.
    let _ = batch::item_json(item, &mut line);
    line
}

/// The file of one shard, so that no two shards write the same: `report.jsonl` is
/// `report-2-of-8.jsonl` then. Standard output, a device or a FIFO is what it is.
pub(crate) fn of_shard(path: &Path, shard: Option<Shard>) -> PathBuf {
    let is_special = || fs::metadata(path).is_ok_and(|found| !found.is_file());
    let Some(shard) = shard.filter(|_| !is_standard(path) && !is_special()) else {
        return path.to_owned();
    };
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(format!("-{}-of-{}", shard.number, shard.count));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_has_files_of_its_own() {
        let shard = Some(Shard {
            number: 2,
            count: 8,
        });
        for (path, expected) in [
            ("report.jsonl", "report-2-of-8.jsonl"),
            ("out/report", "out/report-2-of-8"),
            ("a.b.json", "a.b-2-of-8.json"),
            (".hidden", ".hidden-2-of-8"),
        ] {
            assert_eq!(of_shard(Path::new(path), shard), Path::new(expected));
            assert_eq!(of_shard(Path::new(path), None), Path::new(path));
        }
        for path in ["-", "/dev/null"] {
            assert_eq!(of_shard(Path::new(path), shard), Path::new(path));
        }
    }
}
