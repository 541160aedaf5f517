//! Runs that find no images: a warning, or a failure with `--fail-if-empty`.

use ocify::{Code, Error, command::batch::Skipped, command::batch::Summary};

use super::shard::Shard;
use crate::args::Fix;
use crate::interrupt::Interrupt;

/// How many inputs were found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(super) total: u64,
    /// How many of them were skipped.
    pub(super) skipped: Skipped,
}

impl From<&Summary> for Found {
    fn from(summary: &Summary) -> Self {
        Found {
            total: summary.total(),
            skipped: summary.skipped,
        }
    }
}

impl Found {
    /// The warning if no image was found. An archive without one was reported, but whoever reads only the end may take links
    /// for what they lead to.
    pub(crate) fn warning(self, args: &Fix) -> Option<String> {
        if self.total == 0 {
            return Some("no image archives found".to_owned());
        }
        (self.skipped.links > 0 && self.is_all_skipped()).then(|| {
            format!(
                "no image archives found: symbolic links were skipped; {}",
                way_to_links(args)
            )
        })
    }

    /// The error of a run that must have found images and found none. A shard may have none.
    pub(super) fn error(
        self,
        args: &Fix,
        shard: Option<Shard>,
        interrupt: &Interrupt,
    ) -> Option<Error> {
        let is_empty = self.is_all_skipped() && shard.is_none() && !interrupt.is_asked();
        (args.many.fail_if_empty && is_empty).then(|| match self.skipped.links {
            0 => nothing_found(),
            _ => error(way_to_links(args)),
        })
    }

    fn is_all_skipped(self) -> bool {
        self.total == self.skipped.total()
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
