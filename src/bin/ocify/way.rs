//! What a command line asks for, once options that contradict each other are refused.

use crate::args::{Check, CommandName, Fix, Merge, is_standard};
use crate::batch::{self, Shard};
use crate::destination::Destination;
use crate::files::{Outputs, conflict};
use crate::standard;

/// What is to be done.
pub(crate) enum Way {
    /// Of a single input, the output goes here, unless it has no name.
    Single(Option<Destination>),
    /// Of many inputs this shard.
    Batch(Option<Shard>),
}

/// Refuses options that contradict each other, which clap cannot see.
pub(crate) fn checked(args: &Fix) -> Result<Way, String> {
    if let Some(what) = args
        .contradiction(CommandName::Fix)
        .or_else(|| standard::without_own_name(args))
    {
        return Err(what);
    }
    if !batch::is_batch(args) {
        if let given @ [_, ..] = args.many.only_for_many().as_slice() {
            return Err(requires_many(given));
        }
        let destination = Destination::of(args)?;
        let outputs = Outputs::Single(destination.as_ref());
        let conflict = args
            .without_effect_on(destination.as_ref())
            .or_else(|| conflict(args, outputs));
        return conflict.map_or(Ok(Way::Single(destination)), Err);
    }
    if let Some(what) = batch::contradiction(args) {
        return Err(what);
    }
    let shard = shard(args)?;
    let conflict = conflict(args, Outputs::Many(shard));
    conflict.map_or(Ok(Way::Batch(shard)), Err)
}

/// The same for a merge.
pub(crate) fn checked_merge(args: &Merge) -> Result<Option<Destination>, String> {
    if let Some(what) = args.contradiction() {
        return Err(what);
    }
    let destination = Destination::of_merge(&args.fix)?;
    let outputs = Outputs::Single(destination.as_ref());
    conflict(&args.fix, outputs).map_or(Ok(destination), Err)
}

/// The same for a check.
pub(crate) fn checked_check(args: &Check) -> Result<Way, String> {
    let dry_run = args.dry_run();
    let contradiction = dry_run.contradiction(CommandName::Check);
    match contradiction.or_else(|| args.format_contradiction()) {
        Some(what) => Err(what),
        None => checked_reads(&dry_run, CommandName::Check),
    }
}

/// The same for a command that only reads, as this dry run of `fix` does.
pub(crate) fn checked_reads(dry_run: &Fix, command: CommandName) -> Result<Way, String> {
    if let Some(what) = dry_run.contradiction(command) {
        return Err(what);
    }
    if !batch::is_batch(dry_run) {
        if let given @ [_, ..] = dry_run.many.only_for_many().as_slice() {
            return Err(requires_many(given));
        }
        let conflict = dry_run.without_effect_on(None);
        return conflict.map_or(Ok(Way::Single(None)), Err);
    }
    if dry_run.inputs.iter().any(|input| is_standard(input)) {
        return Err("standard input must be the only INPUT".to_owned());
    }
    if let Some(what) = batch::contradiction(dry_run) {
        return Err(what);
    }
    shard(dry_run).map(Way::Batch)
}

/// The shard of the inputs that was requested.
pub(crate) fn shard(args: &Fix) -> Result<Option<Shard>, String> {
    let variable = |name: &str| std::env::var(name).ok();
    let shard = args.many.shard.map(|choice| choice.resolve(&variable));
    shard.transpose()
}

/// Why options that are only for many inputs are refused.
pub(crate) fn requires_many(given: &[&str]) -> String {
    format!(
        "{} requires many inputs: a directory that is not an image layout, several INPUTs or --files-from",
        given.join(", ")
    )
}
