//! The table of what engines read.

use std::io::{self, IsTerminal};
use std::path::Path;

use ocify::{Error, command::engines};

use crate::args::{Engines, Format};
use crate::check::width;
use crate::run::{DONE, FAILED, show_error, write_at_once};
use crate::standard;
use crate::styles::styled_memory;
use crate::words::Words;

/// Shows the table. Returns the exit code.
pub(crate) fn engines(args: &Engines) -> u8 {
    let stdout = io::stdout().lock();
    let is_terminal = stdout.is_terminal();
    let mut shown = styled_memory(is_terminal);
    let written = match args.format {
        Format::Text => engines::text(width(is_terminal), &mut shown),
        Format::Json => engines::json(&mut shown),
    };
    match written.and_then(|()| write_at_once(stdout, &shown.into_inner())) {
        // The reader may have seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let path = Path::new(standard::OUTPUT);
            show_error(&Error::io("write the table to", path, error), &Words::FIX);
            FAILED
        }
        _ => DONE,
    }
}
