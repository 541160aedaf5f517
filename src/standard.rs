//! Standard input and output as files that nothing buffers.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::pipe::fcntl_setpipe_size;

use crate::error::{Code, Error, Hint, IoContext, Result};

/// What messages call standard input.
pub const INPUT: &str = "standard input";
/// What messages call standard output.
pub const OUTPUT: &str = "standard output";
/// What a pipe is made to hold: fewer switches between its two ends than with the usual 64 KiB.
const PIPE_LEN: usize = 1 << 20;

/// Standard input.
///
/// # Errors
/// It is closed, or a terminal, which has no archive to give.
pub fn input() -> Result<File> {
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
/// It is closed, or a terminal, which an archive would only confuse.
pub fn output() -> Result<File> {
    let file = file(io::stdout(), OUTPUT)?;
    if file.is_terminal() {
        return Err(Error::new(
            Code::OutputIsTerminal,
            format!("{OUTPUT} is a terminal, and an archive is binary"),
        )
        .with_path(OUTPUT)
        .with_hint(Hint::PipeOutput));
    }
    Ok(file)
}

fn file(standard: impl AsFd, name: &str) -> Result<File> {
    let own = standard.as_fd().try_clone_to_owned();
    let file = File::from(own.context("use", Path::new(name))?);
    // It may be no pipe, and the system may allow no more.
    let _ = fcntl_setpipe_size(&file, PIPE_LEN);
    Ok(file)
}
