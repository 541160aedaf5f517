//! Standard input and output as unbuffered files.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::Path;

use ocify::{
    Code, Error, Hint, Result, command::IoContext, command::publish::is_open_file,
    command::show_path,
};
use rustix::pipe::fcntl_setpipe_size;

use crate::args::Fix;
use crate::words;

/// The name of standard input in messages.
pub(crate) const INPUT: &str = words::STANDARD_INPUT;
/// The name of standard output in messages.
pub(crate) const OUTPUT: &str = "standard output";
/// The name of standard error in messages.
pub(crate) const ERROR: &str = "standard error";
/// The pipe capacity in bytes that ocify requests. The default of 64 KiB causes more context switches.
const PIPE_LEN: usize = 1 << 20;

/// Standard input.
///
/// # Errors
/// It is closed, or it is a terminal, which cannot supply an archive.
pub(crate) fn input() -> Result<File> {
    let file = file(io::stdin(), INPUT)?;
    if file.is_terminal() {
        return Err(
            Error::new(Code::NotAnImage, format!("{INPUT} is a terminal"))
                .with_path(INPUT)
                .with_hint(Hint::PipeInput),
        );
    }
    Ok(file)
}

/// Standard output.
///
/// # Errors
/// It is closed, or it is a terminal, which binary data would garble.
pub(crate) fn output() -> Result<File> {
    let file = file(io::stdout(), OUTPUT)?;
    if file.is_terminal() {
        return Err(Error::new(
            Code::OutputIsTerminal,
            format!("{OUTPUT} is a terminal, and an archive is binary data"),
        )
        .with_path(OUTPUT)
        .with_hint(Hint::PipeOutput));
    }
    Ok(file)
}

/// Says which INPUT cannot be fixed in place because its path leads to an open file, such as `/dev/stdin`. What
/// it leads to may be one that the user does not mean.
pub(crate) fn without_own_name(args: &Fix) -> Option<String> {
    if !args.in_place && !args.recover {
        return None;
    }
    let mut inputs = args.inputs.iter();
    let found = inputs.find(|input| input.is_symlink() && is_open_file(input).unwrap_or(false))?;
    Some(format!(
        "{} cannot be fixed in place: it is not the name of a file but leads to an open one; give the file's own name, or pipe it through ocify fix -",
        show_path(found)
    ))
}

fn file(standard: impl AsFd, name: &str) -> Result<File> {
    let own = standard.as_fd().try_clone_to_owned();
    let file = File::from(own.context("use", Path::new(name))?);
    // This fails if it is not a pipe or if the system's limit is lower. The default works too.
    let _ = fcntl_setpipe_size(&file, PIPE_LEN);
    Ok(file)
}
