//! Whether a finished output still is what its record says, for `--verify` on a later run.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use ocify::{
    Algorithm, Blobs, Code, Digest, Input, Observer, Result, Summary, Wording, command::HeldPath,
    command::InputPath, command::show_path,
};

use super::state::Recorded;
use crate::args::{Fix, Verification};
use crate::destination::ImageKind;
use crate::fix::Done;
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

/// Reads an output again, verifies it at a level, and returns what was verified. `None` if it is damaged; a note says how.
///
/// # Errors
/// The run was stopped.
pub(super) fn verified(
    args: &Fix,
    level: Verification,
    kind: ImageKind,
    place: &HeldPath,
    recorded: &Recorded,
    observer: &dyn Observer,
) -> Result<Option<Blobs>> {
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
            let done = Done::from(preview);
            if content_of(&done.plan) == recorded.content {
                return Ok(Some(done.blobs));
            }
            "it contains other images".to_owned()
        }
        Err(error) if error.code() == Code::Interrupted => return Err(error),
        Err(error) => Words::FIX.error(&error),
    };
    let shown = place.path();
    let shown = show_path(&shown);
    let _ = writeln!(
        io::stderr(),
        "note: {shown} is not what an earlier run wrote, so ocify will write it again: {why}"
    );
    Ok(None)
}
