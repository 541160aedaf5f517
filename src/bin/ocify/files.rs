//! Files that options ask for beside the output; `-` is standard output.

mod conflicts;

use std::io::{self, BufWriter, Write};
use std::path::Path;

use ocify::{Error, Result, command::publish};

pub(crate) use self::conflicts::{Outputs, below_output, conflict};
use crate::args::is_standard;
use crate::interrupt::Interrupt;
use crate::standard;

/// Writes a complete file; `doing` says what for in an error.
pub(crate) fn write(
    path: &Path,
    doing: &str,
    interrupt: &Interrupt,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    if !is_standard(path) {
        return publish::write_file(path, doing, &|| interrupt.is_asked_in_a_wait(), content);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    match content(&mut out).and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Error::io(doing, Path::new(standard::OUTPUT), error)),
    }
}

/// Opens a file that grows during the run.
pub(crate) fn open(
    path: &Path,
    doing: &str,
    interrupt: &Interrupt,
) -> Result<Box<dyn Write + Send>> {
    if is_standard(path) {
        return Ok(Box::new(io::stdout()));
    }
    let interrupt = interrupt.clone();
    publish::open_log(path, doing, move || interrupt.is_asked_in_a_wait())
}
