//! The options of `man`.

use std::io;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, roman};
use ocify::command::escape;

use super::Cli;

pub(super) const ABOUT: &str = "Print the man page of ocify or of one of its commands";

const EXAMPLES: &str = "\
Examples:
  # Read a page
  ocify man fix | man -l -

  # Install the pages
  for command in \"\" fix check inspect merge split push engines; do
      ocify man $command > /usr/local/share/man/man1/ocify${command:+-$command}.1
  done

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// The options of `man`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Man {
    /// Command that the page describes; by default, ocify as a whole
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

/// The command with its options and their help.
pub(super) fn defined(command: Command) -> Command {
    let command = Man::augment_args(command);
    command.about(ABOUT).long_about(None).after_help(EXAMPLES)
}

impl Man {
    /// The page, for `man`.
    ///
    /// # Errors
    /// The command does not exist. The message is for the user.
    pub(crate) fn page(&self) -> Result<io::Result<Vec<u8>>, String> {
        let mut all = Cli::command().disable_help_subcommand(true);
        // Subcommands define their options when they are called, or built.
        all.build();
        let described = match &self.command {
            None => &all,
            Some(name) => all
                .find_subcommand(name)
                .ok_or_else(|| format!("unrecognized command {}", escape(name)))?,
        };
        let mut page = Vec::new();
        Ok(render(described, &mut page).map(|()| page))
    }
}

/// A page with the usage that the help has: clap_mangen's own synopsis lists all options.
fn render(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let man = Page::new(command.clone()).source(concat!("ocify ", env!("CARGO_PKG_VERSION")));
    man.render_title(page)?;
    man.render_name_section(page)?;
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let lines: Vec<&str> = usage.lines().map(str::trim_start).collect();
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.control("nf", []);
    synopsis.text([roman(lines.join("\n"))]);
    synopsis.control("fi", []);
    synopsis.to_writer(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    let mut notes = Roff::new();
    notes.control("SH", ["NOTES"]);
    let after = command.get_after_long_help();
    let after = after.or(command.get_after_help()).map(ToString::to_string);
    for part in after.unwrap_or_default().split("\n\n") {
        // Examples and tables keep their lines.
        let fill = match part.lines().any(|line| line.starts_with(' ')) {
            true => "nf",
            false => "fi",
        };
        notes.control("PP", []);
        notes.control(fill, []);
        notes.text([roman(part)]);
    }
    notes.control("fi", []);
    notes.to_writer(page)
}
