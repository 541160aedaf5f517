//! Refuses files of options that the run reads, or writes as something else: writing one would destroy the other.
//!
//! A file may be new, or it replaces a file outside all inputs and outputs, as with `cp`. In a directory of inputs
//! or outputs it replaces only what an earlier run wrote for one of these options.

mod place;

use std::path::{Path, PathBuf};

use ocify::{command::is_image_layout, command::publish::is_link_to_file, command::show_path};

use self::place::Place;
use crate::args::{Fix, is_standard};
use crate::batch::{Shard, find_file, is_own, listed_paths, planned_source};
use crate::destination::{Destination, ImageKind};
use crate::paths::resolved;
use crate::records::of_shard;

const NOT_A_RECORD: &str = "it was not written by --report, --digest-map or --metadata-file";

/// Where the outputs of a run go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outputs<'a> {
    /// The output of a single input, if it has a name.
    Single(Option<&'a Destination>),
    /// Those of many inputs, or of a shard of them.
    Many(Option<Shard>),
}

/// Says which file of an option would destroy something, for the user.
pub(crate) fn conflict(args: &Fix, outputs: Outputs<'_>) -> Option<String> {
    let mut files = args.files().peekable();
    files.peek()?;
    let run = Run { args, outputs };
    let mut seen = run.named();
    for (option, path) in files {
        let path = match outputs {
            Outputs::Single(_) => path.to_owned(),
            Outputs::Many(shard) => of_shard(path, shard),
        };
        let shown = show_path(&path);
        // Anything else, such as a device, stays what it is.
        let place = Place::of(&path);
        let is_place = |other: &Place| place.as_ref().is_some_and(|place| place.is(other));
        if let Some((other, _)) = seen.iter().find(|(_, other)| is_place(other)) {
            return Some(format!("{option} and {other} are the same file: {shown}"));
        }
        let why = place.as_ref().and_then(|place| run.reason(place));
        if let Some(why) = why.or_else(|| is_link(&path)) {
            return Some(format!("{option} cannot write to {shown}: {why}"));
        }
        seen.extend(place.map(|place| (option, place)));
    }
    None
}

/// No output is written through a link, except to a file that is open, such as `/dev/stdout`.
fn is_link(path: &Path) -> Option<String> {
    let is_link = !is_standard(path) && is_link_to_file(path).unwrap_or(false);
    is_link.then(|| "it is a symbolic link; give the path that it leads to".to_owned())
}

struct Run<'a> {
    args: &'a Fix,
    outputs: Outputs<'a>,
}

impl Run<'_> {
    /// What the command line names besides the files in question.
    fn named(&self) -> Vec<(&'static str, Place)> {
        let args = self.args;
        let inputs = args.inputs.iter().map(|input| ("INPUT", input.as_path()));
        let list = args.many.files_from.as_deref();
        let output = match self.outputs {
            Outputs::Single(destination) => destination.map(Destination::path),
            Outputs::Many(_) => args.output(),
        };
        // A dry run of many inputs writes no output, but an existing one is not a report.
        let is_single = matches!(self.outputs, Outputs::Single(_));
        let output = output.filter(|output| is_single || !args.dry_run || output.exists());
        inputs
            .chain(list.map(|list| ("--files-from", list)))
            .chain(output.map(|output| ("OUTPUT", output)))
            .filter_map(|(what, path)| Some((what, Place::of(path)?)))
            .collect()
    }

    /// Why the file must not be written, if there is a reason.
    fn reason(&self, place: &Place) -> Option<String> {
        let name = place.path().file_name().unwrap_or_default();
        if is_own(Path::new(name)) {
            return Some("ocify uses this name for its own files".to_owned());
        }
        self.in_layout(place)
            .or_else(|| self.in_output(place))
            .or_else(|| self.in_input(place))
            .or_else(|| self.in_list(place))
            .or_else(|| self.linked_from_input(place))
    }

    /// Everything in an image layout belongs to it, and a new file does not.
    fn in_layout(&self, place: &Place) -> Option<String> {
        let above = || place.path().ancestors().skip(1);
        let found = above().find(|above| is_image_layout(above));
        if let Some(layout) = found {
            let layout = show_path(layout);
            return Some(format!("it is inside the image layout {layout}"));
        }
        let Outputs::Single(destination) = self.outputs else {
            return None;
        };
        let is_inside = |path: &Path| above().any(|above| *above == resolved(path));
        if !is_standard(self.args.input()) && is_inside(self.args.input()) {
            return Some("it is inside INPUT".to_owned());
        }
        let layout = destination.filter(|destination| destination.kind() == ImageKind::Layout)?;
        is_inside(layout.path()).then(|| "it is inside OUTPUT".to_owned())
    }

    /// In the directory for outputs, where it must not be one of them.
    fn in_output(&self, place: &Place) -> Option<String> {
        let (output, is_many) = match self.outputs {
            Outputs::Single(destination) => (destination?.directory()?, false),
            Outputs::Many(_) => (self.args.output()?, true),
        };
        let below = place.path().strip_prefix(resolved(output)).ok()?;
        if place.has_other_content() {
            return Some(format!("it exists in OUTPUT, and {NOT_A_RECORD}"));
        }
        if !is_many || self.args.dry_run {
            return None;
        }
        let input = planned_source(self.args, below)?;
        Some(format!("the output of {} goes there", show_path(&input)))
    }

    /// In a directory of inputs.
    fn in_input(&self, place: &Place) -> Option<String> {
        let Outputs::Many(_) = self.outputs else {
            return None;
        };
        let mut inputs = self.args.inputs.iter();
        let input = inputs.find(|input| place.is_below(input))?;
        if place.has_other_content() {
            return Some(format!("it exists in INPUT, and {NOT_A_RECORD}"));
        }
        let copies = self.args.many.copy_others && !self.args.dry_run;
        copies.then(|| format!("--copy-others would copy it from {}", show_path(input)))
    }

    /// A file that may be on the list of inputs. Only what has another's content can be.
    fn in_list(&self, place: &Place) -> Option<String> {
        let list = self.args.many.files_from.as_deref()?;
        if !place.has_other_content() {
            return None;
        }
        let Some(mut listed) = listed_paths(self.args) else {
            return Some(format!(
                "it exists and may be listed in {}, and {NOT_A_RECORD}",
                show_path(list)
            ));
        };
        let found = listed.find(|path| {
            Place::of(path).is_some_and(|listed| listed.is(place)) || place.is_below(path)
        })?;
        let (found, list) = (show_path(&found), show_path(list));
        Some(format!("it is the input {found}, listed in {list}"))
    }

    /// A file that has another name, which may be in a directory of inputs or outputs.
    fn linked_from_input(&self, place: &Place) -> Option<String> {
        if !place.has_other_content() {
            return None;
        }
        for directory in self.directories() {
            // Files of a layout may be links to files outside of it.
            let follows = self.args.follow || is_image_layout(&directory);
            if !follows && !place.has_other_names() {
                continue;
            }
            let found = find_file(&directory, follows, &|found| place.is_file(found));
            if let Some(found) = found {
                let found = show_path(&found);
                return Some(format!("it is the same file as {found}"));
            }
        }
        None
    }

    /// The directories that are named.
    fn directories(&self) -> Vec<PathBuf> {
        let output = match self.outputs {
            Outputs::Single(destination) => destination.and_then(Destination::directory),
            Outputs::Many(_) => self.args.output(),
        };
        let named = self.args.inputs.iter().map(PathBuf::as_path).chain(output);
        let named = named.filter(|path| !is_standard(path) && path.is_dir());
        named.map(Path::to_owned).collect()
    }
}

/// The files of options that are below the output directory of a batch, by their paths there.
pub(crate) fn below_output(args: &Fix, shard: Option<Shard>) -> Vec<PathBuf> {
    let Some(output) = args.output().filter(|_| !args.dry_run).map(resolved) else {
        return Vec::new();
    };
    let files = args.files().filter(|(_, path)| !is_standard(path));
    let files = files.map(|(_, path)| resolved(&of_shard(path, shard)));
    let below = files.filter_map(|path| Some(path.strip_prefix(&output).ok()?.to_owned()));
    below.collect()
}
