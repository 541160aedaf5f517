//! Which streams show the styles of reports and errors.

use std::env;

use anstream::{AutoStream, ColorChoice};

/// Memory for text that is then written to a terminal or to something else. It removes styles unless that is a terminal that shows them.
pub(crate) fn styled_memory(is_for_terminal: bool) -> AutoStream<Vec<u8>> {
    AutoStream::new(Vec::new(), choice(is_for_terminal))
}

/// Follows no-color.org. anstream's own choice would also let CLICOLOR_FORCE and CI put escape sequences into files and on dumb terminals.
fn choice(is_terminal: bool) -> ColorChoice {
    let is_refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    match is_terminal && !is_refused && !is_dumb {
        true => ColorChoice::AlwaysAnsi,
        false => ColorChoice::Never,
    }
}
