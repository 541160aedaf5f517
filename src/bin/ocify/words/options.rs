//! The options of `fix` that hints name.

use ocify::Hint;

use crate::args::CommandName;

/// Whether a hint, as `fix` words it, is about options that this command does not have.
pub(super) fn is_of_fix(hint: &Hint, command: CommandName) -> bool {
    // To a check, `--for` is a question.
    let is_request = matches!(hint, Hint::FixForPodman | Hint::ChooseEngine);
    is_request && matches!(command, CommandName::Check | CommandName::Inspect)
        || options(hint).iter().any(|option| command.lacks(option))
}

/// The options, by their ids, that not every command has.
fn options(hint: &Hint) -> &'static [&'static str] {
    match hint {
        Hint::GiveRegularFile
        | Hint::GiveNamedFile
        | Hint::PipeOutput
        | Hint::UseIntactCopy(_)
        | Hint::WriteElsewhere
        | Hint::WriteNewFile => &["output"],
        Hint::WriteNewDirectory => &["output", "in_place"],
        Hint::Force => &["output", "force"],
        Hint::ChooseImage | Hint::PushApart => &["image", "rename"],
        Hint::ChoosePlatform | Hint::LeaveOutDamaged => &["platform", "image"],
        Hint::UseLenientOrLeaveOut(_)
        | Hint::ChooseOtherImages
        | Hint::ChooseImageBy
        | Hint::ChooseImageToPush { .. }
        | Hint::PushImageApart { .. }
        | Hint::PushVerifiable { .. }
        | Hint::KeepAll => &["image"],
        Hint::NameOneImage(_) => &["image", "name"],
        Hint::OmitName | Hint::NameImage | Hint::UseName(_) => &["name"],
        Hint::ChooseName => &["rename", "name"],
        Hint::RenameOtherFirst => &["rename"],
        Hint::KeepDigests | Hint::AllowNewDigests => &["preserve_digests"],
        Hint::ChooseMissing | Hint::PushComplete | Hint::SaveAllPlatforms => &["missing"],
        Hint::KeepAttestations | Hint::DropAttestations => &["attestations"],
        Hint::DropOrphans => &["orphans"],
        Hint::DropYoungOrphans => &["orphans_older_than"],
        Hint::ChooseImageOrOciTypes => &["image", "oci_mediatypes"],
        Hint::UseOciTypes => &["oci_mediatypes"],
        Hint::KeepCompression
        | Hint::CompressWithGzip
        | Hint::DecompressTwice
        | Hint::CompressForDocker
        | Hint::CompressOtherwise
        | Hint::CompressForOldDocker => &["compression"],
        _ => &[],
    }
}
