//! What the command prints about itself and the engines it knows.

use std::io::{self, IsTerminal};
use std::path::Path;

use ocify::{Error, command::engines as table};

use crate::args::{Completions, Engines, Format, Man};
use crate::check::width;
use crate::run::{DONE, FAILED, show_error, write_at_once};
use crate::standard;
use crate::styles::styled_memory;
use crate::words::Words;

/// Prints the table of what engines read. Returns the exit code.
pub(crate) fn engines(args: &Engines) -> u8 {
    let is_terminal = io::stdout().is_terminal();
    let mut shown = styled_memory(is_terminal);
    let written = match args.format {
        Format::Text => table::text(width(is_terminal), &mut shown),
        Format::Json => table::json(&mut shown),
    };
    print("write the table to", written.map(|()| shown.into_inner()))
}

/// Prints a shell's completions. Returns the exit code.
pub(crate) fn completions(args: &Completions) -> u8 {
    print("write the completions to", Ok(args.script()))
}

/// Prints a man page. Returns the exit code.
///
/// # Errors
/// The command does not exist. The message is for the user.
pub(crate) fn man(args: &Man) -> Result<u8, String> {
    let page = args.page()?;
    Ok(print("write the page to", page))
}

fn print(what: &'static str, made: io::Result<Vec<u8>>) -> u8 {
    match made.and_then(|made| write_at_once(io::stdout().lock(), &made)) {
        // The reader may have seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let path = Path::new(standard::OUTPUT);
            show_error(&Error::io(what, path, error), &Words::FIX);
            FAILED
        }
        _ => DONE,
    }
}
