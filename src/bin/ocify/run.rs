//! One run: the stages in order, then the report and the exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::error::ErrorKind;
use ocify::apply::{ApplyOptions, RecompressOptions, Target, apply, recompress};
use ocify::error::{Error, Result};
use ocify::graph::resolve;
use ocify::plan::{Plan, PlanOptions};
use ocify::read::{ScanOptions, Source, SpoolOptions, scan};
use ocify::report::{Blobs, Report, Status, json, metadata, text};

use crate::args::{Attestations, Cli, Command, Fix, Format};
use crate::progress::Shown;

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const WOULD_FIX: u8 = 3;

/// Runs the command line and returns the exit code that the help documents.
pub(crate) fn run(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let code = match Cli::try_parse_from(line) {
        Ok(cli) => match cli.command {
            Command::Fix(args) => match args.contradiction() {
                Some(what) => {
                    let error = Cli::command().error(ErrorKind::ArgumentConflict, what);
                    let _ = error.print();
                    USAGE
                }
                None => fix(&args),
            },
        },
        Err(error) => {
            // Help and version come this way, too, and go to standard output with code 0.
            let _ = error.print();
            if error.use_stderr() { USAGE } else { DONE }
        }
    };
    ExitCode::from(code)
}

fn fix(args: &Fix) -> u8 {
    let input = args.input.to_string_lossy();
    let output = args.output.as_deref().map(Path::to_string_lossy);
    let result = stages(args);
    let report = match (&result, &output) {
        (Ok((plan, Some(blobs))), Some(output)) => Report::written(&input, output, plan, *blobs),
        (Ok((plan, _)), _) => Report::dry_run(&input, plan),
        (Err(error), _) => Report::failed(&input, error),
    };
    let code = match report.status {
        Status::Fixed | Status::Unchanged => DONE,
        Status::WouldFix => WOULD_FIX,
        Status::Failed => FAILED,
    };
    if let Some(error) = report.error {
        show_error(error);
    }
    match show(&report, args.format) {
        Ok(()) => code,
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => {
            show_error(&Error::io(
                "write the report to",
                Path::new("standard output"),
                error,
            ));
            FAILED
        }
    }
}

/// The plan, and the copied blobs unless this is a dry run.
fn stages(args: &Fix) -> Result<(Plan, Option<Blobs>)> {
    let source = Source::open(&args.input)?;
    // Everything that can refuse an output does so before the input is read.
    let target = match &args.output {
        Some(output) if !args.dry_run => Some(Target::prepare(&source, output, args.force)?),
        _ => None,
    };
    let mut source = decompressed(source, args)?;
    let mut inventory = scan(
        &source,
        ScanOptions {
            lenient: args.lenient,
        },
    )?;
    let graph = resolve(&mut inventory, &source, args.lenient)?;
    let mut options = PlanOptions {
        platform: args.platform.clone(),
        host_architecture: host_architecture().map(str::to_owned),
        drop_attestations: args.attestations == Attestations::Drop,
        images: args.image.clone(),
        missing: args.missing.policy(),
        names: args.name.clone(),
        renames: args.rename.clone(),
        compression: args.compression(),
        avoid: args.avoided(),
        layers: BTreeMap::new(),
    };
    let mut plan = ocify::plan(&graph, &inventory, &options)?;
    let Some(target) = target else {
        return Ok((plan, None));
    };
    if !plan.transcodes.is_empty() {
        let work = RecompressOptions {
            level: args.compression_level,
            members: args.members(),
            jobs: args.jobs(),
            max_ratio: args.max_ratio,
            directory: target.parent(),
        };
        let progress = Shown::new(args.progress, "compressing");
        options.layers = recompress(&plan.transcodes, &mut source, work, &progress)?;
        plan = ocify::plan(&graph, &inventory, &options)?;
    }
    let options = ApplyOptions {
        force: args.force,
        sync: args.sync,
        jobs: args.jobs().get(),
    };
    let outcome = apply(
        &plan,
        &source,
        target,
        &options,
        &Shown::new(args.progress, "writing"),
    )?;
    if let Some(path) = &args.metadata_file {
        write_metadata(path, &plan).map_err(|error| {
            Error::io("write metadata file", path, error).with_hint("the output itself is complete")
        })?;
    }
    let blobs = Blobs {
        count: outcome.blob_count,
        bytes: outcome.blob_bytes,
    };
    Ok((plan, Some(blobs)))
}

/// The source itself, or the archive that it is compressed from.
fn decompressed(source: Source, args: &Fix) -> Result<Source> {
    let Some(content) = source.outer_compression()? else {
        return Ok(source);
    };
    let default;
    let directory = match &args.spool_dir {
        Some(directory) => directory,
        None => {
            default = std::env::temp_dir();
            &default
        }
    };
    let options = SpoolOptions {
        directory,
        max_ratio: args.max_ratio,
    };
    let progress = Shown::new(args.progress, "decompressing");
    source.decompress(content, options, &progress)
}

/// The Go name of this machine's architecture, where Go has one.
fn host_architecture() -> Option<&'static str> {
    let name = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        "mips64" if cfg!(target_endian = "little") => "mips64le",
        same @ ("arm" | "riscv64" | "s390x" | "mips64") => same,
        _ => return None,
    };
    Some(name)
}

/// Writes the metadata beside its final name and moves it there: nobody sees half a file.
fn write_metadata(path: &Path, plan: &Plan) -> io::Result<()> {
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

fn show(report: &Report<'_>, format: Format) -> io::Result<()> {
    let stdout = io::stdout();
    let color = stdout.is_terminal() && color_wanted();
    let mut out = io::BufWriter::new(stdout.lock());
    match format {
        Format::Text => text::render(report, color, &mut out)?,
        Format::Json => json::render(report, &mut out)?,
    }
    out.flush()
}

fn show_error(error: &Error) {
    let stderr = io::stderr();
    let color = stderr.is_terminal() && color_wanted();
    let _ = text::error(error, color, &mut stderr.lock());
}

/// By no-color.org, and not on a terminal that cannot.
fn color_wanted() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
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
        write_metadata(&path, &empty_plan()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn failed_metadata_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write_metadata(&path, &empty_plan()).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
