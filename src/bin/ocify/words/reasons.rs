//! Why a rule changes something, in the words of `fix`.

use ocify::Rule;

/// The reason, with the options that request it.
pub(super) fn reason_of_fix(rule: Rule) -> &'static str {
    match rule {
        Rule::DockerType => "requested with --oci-mediatypes=false",
        Rule::Recompressed => "requested with --compression or --for; the tar inside is the same",
        Rule::AbsentPruned => {
            "content that it needs is not in the archive, and --missing prune was requested, or --for an engine that needs it"
        }
        Rule::ImageChoice => "another image was requested with --image",
        Rule::PlatformChoice => "other platforms were requested with --platform",
        Rule::Unwrapped => "requested with --unwrap",
        Rule::IndexReplaced => "its images are in the index of --index",
        Rule::Superseded => "requested with --on-conflict",
        Rule::AttestationDropped => {
            "requested with --attestations drop, or --for an engine that fails on it"
        }
        Rule::OrphanDropped => "requested with --orphans drop",
        _ => rule.reason(),
    }
}
