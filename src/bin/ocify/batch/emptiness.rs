//! Runs that find no images: a warning, or a failure with `--fail-if-empty`.

use ocify::{Code, Error, command::batch::Summary};

use super::shard::Shard;
use crate::args::Fix;
use crate::interrupt::Interrupt;

/// How many inputs were found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(super) total: u64,
    /// How many of them were skipped.
    pub(super) skipped: u64,
    /// How many of those are symbolic links.
    pub(super) links: u64,
}

impl From<&Summary> for Found {
    fn from(summary: &Summary) -> Self {
        Found {
            total: summary.total(),
            skipped: summary.skipped,
            links: summary.skipped_links,
        }
    }
}

impl Found {
    /// The warning if no image was found. An archive without one was reported, but whoever reads only the end may take links
    /// for what they lead to.
    pub(crate) fn warning(self, args: &Fix) -> Option<String> {
        match self {
            Found { total: 0, .. } => Some("no image archives found".to_owned()),
            Found { links: 0, .. } => None,
            Found { total, skipped, .. } => (total == skipped).then(|| {
                format!(
                    "no image archives found: symbolic links were skipped; {}",
                    way_to_links(args)
                )
            }),
        }
    }

    /// The error of a run that must have found images and found none. A shard may have none.
    pub(super) fn error(
        self,
        args: &Fix,
        shard: Option<Shard>,
        interrupt: &Interrupt,
    ) -> Option<Error> {
        let is_empty = self.total == self.skipped && shard.is_none() && !interrupt.is_asked();
        (args.many.fail_if_empty && is_empty).then(|| match self.links {
            0 => nothing_found(),
            _ => error(way_to_links(args)),
        })
    }
}

/// The error if there must be inputs and there are none.
pub(super) fn nothing_found() -> Error {
    error("check the paths and patterns")
}

fn error(way: &str) -> Error {
    Error::new(Code::NotAnImage, "no image archives found")
        .with_hint(format!("{way}, or omit --fail-if-empty"))
}

/// How to work on what links lead to.
fn way_to_links(args: &Fix) -> &'static str {
    match args.in_place {
        true => "give the files that they lead to as INPUT",
        false => "if you trust what they lead to, use --follow",
    }
}
