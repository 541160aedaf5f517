//! Whether a finished output still is what its record says, for `--verify` on a later run.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use ocify::{
    Algorithm, Code, Digest, Input, Observer, Result, Summary, Wording, command::HeldPath,
    command::InputPath, command::show_path,
};

use super::state::Recorded;
use crate::args::{Fix, Verification};
use crate::destination::ImageKind;
use crate::words::Words;

/// A digest of the images of an output: their names, and the digests of their manifests and configs, which fix all of
/// their content. `None` if it has no images.
pub(super) fn content_of(plan: &Summary) -> Option<String> {
    let images = plan.images.as_slice();
    let text = serde_json::to_vec(images)
        .ok()
        .filter(|_| !images.is_empty())?;
    Some(Digest::of(Algorithm::Sha256, &text).hex()[..32].to_owned())
}

/// Reads an output again and verifies it at a level. A note says what is wrong with it.
///
/// # Errors
/// The run was stopped.
pub(super) fn is_intact(
    args: &Fix,
    level: Verification,
    kind: ImageKind,
    place: &HeldPath,
    recorded: &Recorded,
    observer: &dyn Observer,
) -> Result<bool> {
    let read = ocify::Fix::new()
        // The images are what they are.
        .preserve_digests(true)
        .verify(level.verify())
        .limits(args.limits())
        .jobs(NonZeroUsize::MIN)
        .recover(false)
        .plan_only_observed(
            Input::at(InputPath::Held(place.clone())),
            kind.form(),
            observer,
        );
    let why = match read {
        Ok(preview) => {
            let expected = recorded.content.as_deref();
            let found = content_of(&preview.summary);
            if expected.is_none_or(|expected| found.as_deref() == Some(expected)) {
                return Ok(true);
            }
            "it contains other images".to_owned()
        }
        Err(error) if error.code() == Code::Interrupted => return Err(error),
        Err(error) => Words.error(&error),
    };
    let shown = place.path();
    let shown = show_path(&shown);
    let _ = writeln!(
        io::stderr(),
        "note: {shown} is not what an earlier run wrote, so ocify will write it again: {why}"
    );
    Ok(false)
}
