use std::collections::BTreeSet;

use clap::CommandFactory;
use ocify::{Lenient, RegistryHint};

use super::*;
use crate::args::Cli;

/// All hints without values, and some with. A new variant is an error here until it is listed.
macro_rules! hints {
    (units: [$($unit:ident),* $(,)?], others: [$($pattern:pat => $hint:expr),* $(,)?], of_library: [$($rest:pat),* $(,)?]) => {
        fn hints() -> Vec<Hint> {
            let all = vec![$(Hint::$unit),*, $($hint),*];
            for hint in &all {
                match hint {
                    $(Hint::$unit)|* => {}
                    $($pattern => {})*
                    $($rest => {})*
                }
            }
            all
        }
    };
}

hints! {
    units: [
        ReadAsStream,
        GiveFile,
        GiveArchive,
        GiveImage,
        GiveWholeArchive,
        FetchLfs,
        DownloadFile,
        SaveInBinary,
        CopyInBinary,
        SaveNothingAgain,
        ImportFilesystem,
        SaveWithOldDocker,
        CorrectDockerManifest,
        GiveImageDirectory,
        GiveRegularFile,
        WriteNewDirectory,
        GiveNamedFile,
        GiveOwnName,
        PipeInput,
        PipeOutput,
        DownloadAgain,
        CopyAgain,
        CopyCutShort,
        SaveAgain,
        SaveEmptyAgain,
        SaveWrongAgain,
        BuildAgain,
        BuildRefusedAgain,
        ReplaceDamaged,
        RemoveKey,
        RemoveIndex,
        SaveFromTrusted,
        ShrinkDocument,
        KeepDigests,
        SaveApart,
        ConvertSchema1,
        InstallPlugin,
        FollowLinks,
        AllowLinks,
        ReplaceLink,
        StoreWithoutHoles,
        UseSupportedDigest,
        CompareLength,
        SaveFewer,
        RetryWhenIdle,
        RetryAfterChange,
        RetryWhenFree,
        WriteToFile,
        RaiseMaxWindow,
        WriteElsewhere,
        WriteNewFile,
        ChooseOutput,
        RemoveLink,
        Force,
        ChooseEmptyDirectory,
        ChooseDirectoryBelow,
        ChooseOutputOutside,
        GiveOutputName,
        ChooseSuffix,
        CreateDirectory,
        RedirectElsewhere,
        FreeSpace,
        ChooseSpoolDirectory,
        RemoveJournal,
        RecoverOriginal,
        RecoverWithNewer,
        OutputComplete,
        RunAgain,
        ReportFault,
        InspectJournal,
        ChooseImage,
        ResolveConflict,
        ChoosePlatform,
        ChooseImageBy,
        GiveRepository,
        PushApart,
        BuildVerifiable,
        PushComplete,
        KeepAll,
        ChooseOtherPlatform,
        OmitName,
        ChooseName,
        ChooseOtherName,
        RenameOtherFirst,
        ChooseOtherImages,
        LeaveOutDamaged,
        ChooseMissing,
        DropOrphans,
        DropYoungOrphans,
        FixAfterBuild,
        KeepAttestations,
        DropAttestations,
        ChooseImageOrOciTypes,
        UseOciTypes,
        AllowNewDigests,
        KeepCompression,
        CompressWithGzip,
        DecompressTwice,
        CompressForDocker,
        CompressOtherwise,
        CompressForOldDocker,
        FixForPodman,
        NameImage,
        ChooseEngine,
        CorrectName,
        SaveAllPlatforms,
        AttestAgain,
        SignAgain,
        IndexLayersAgain
    ],
    others: [
        Hint::GiveInner(_) => Hint::GiveInner("inner.tar".to_owned()),
        Hint::GiveDirectory { .. } => Hint::GiveDirectory {
            path: "a.tar".into(),
            directory: "inner".to_owned(),
        },
        Hint::GiveDirectories { .. } => Hint::GiveDirectories { path: "a.tar".into() },
        Hint::Unpack(_) => Hint::Unpack("unzip"),
        Hint::Decrypt(_) => Hint::Decrypt("gpg -d"),
        Hint::UseLenient(Lenient::LastKey) => Hint::UseLenient(Lenient::LastKey),
        Hint::UseLenient(Lenient::LastEntry) => Hint::UseLenient(Lenient::LastEntry),
        Hint::UseLenient(Lenient::Config) => Hint::UseLenient(Lenient::Config),
        Hint::UseLenient(Lenient::Layer) => Hint::UseLenient(Lenient::Layer),
        Hint::UseLenientOrLeaveOut(_) => Hint::UseLenientOrLeaveOut(Lenient::Config),
        Hint::RaiseMaxRatio(_) => Hint::RaiseMaxRatio("image"),
        Hint::RaiseMaxSize(_) => Hint::RaiseMaxSize("image"),
        Hint::Recover(_) => Hint::Recover("a\n.tar".into()),
        Hint::CompleteLayout(_) => Hint::CompleteLayout("a\n".into()),
        Hint::UseIntactCopy(_) => Hint::UseIntactCopy("a.tar".into()),
        Hint::ReplaceMixed(_) => Hint::ReplaceMixed("a.tar".into()),
        Hint::NameOneImage(_) => Hint::NameOneImage("sha256:00".to_owned()),
        Hint::UseName(_) => Hint::UseName("app:v1".to_owned()),
        Hint::ChooseImageToPush { .. } => Hint::ChooseImageToPush {
            target: "example.com/app:v1".to_owned(),
            image: Some("app:v1".to_owned()),
            repository: Some("example.com/app".to_owned()),
        },
        Hint::PushVerifiable { .. } => Hint::PushVerifiable {
            target: Some("example.com/app".to_owned()),
            image: Some("app:v1".to_owned()),
        },
        Hint::PushImageApart { .. } => Hint::PushImageApart {
            repository: "example.com/app".to_owned(),
            image: "app:v1".to_owned(),
        },
        Hint::SaveWithName(_) => Hint::SaveWithName("app:v1".to_owned()),
    ],
    // Only the library makes these; their commands end with `ocify fix`.
    of_library: [
        Hint::ConvertBack(_),
        Hint::Decompress(_),
        Hint::SplitArchives { .. },
        Hint::CutOff(_),
        Hint::Registry(_),
        Hint::Text(_),
    ]
}

/// The options that a command has, and those of any command.
fn options(of: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut all = Cli::command();
    all.build();
    let commands = all
        .get_subcommands()
        .filter(|command| of(command.get_name()));
    let options = commands.flat_map(|command| {
        let shown = command
            .get_arguments()
            .filter(|option| !option.is_hide_set());
        let names = shown.flat_map(|option| {
            let long = option.get_long().map(|long| format!("--{long}"));
            long.into_iter()
                .chain(option.get_short().map(|short| format!("-{short}")))
        });
        names.collect::<Vec<_>>()
    });
    options.collect()
}

/// The options in a text, without those of other commands that it names.
fn named(text: &str) -> Vec<&str> {
    let others = ["ocify ", "docker save ", "docker buildx ", "tar -"];
    let ends = others.into_iter().filter_map(|other| text.find(other));
    let own = &text[..ends.min().unwrap_or(text.len())];
    let words = own.split(|c: char| c.is_whitespace() || ",;:=/()".contains(c));
    words
        .filter(|word| word.starts_with('-') && word.len() > 1)
        .collect()
}

#[test]
fn hints_name_only_options_that_the_command_has() {
    let any = options(|_| true);
    let mut checked = 0;
    for (name, words) in [
        ("fix", Words::FIX),
        ("merge", Words::MERGE),
        ("split", Words::SPLIT),
        ("push", Words::PUSH),
        ("check", Words::CHECK),
        ("inspect", Words::INSPECT),
    ] {
        let known = options(|command| command == name);
        for hint in hints() {
            let text = words.hint(&hint);
            for option in named(&text)
                .into_iter()
                .filter(|option| any.contains(*option))
            {
                assert!(known.contains(option), "{name} has no {option}: {text}");
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "only {checked} options were found in hints");
}

#[test]
fn hints_name_the_options() {
    for (words, hint, expected) in [
        (Words::FIX, Hint::Force, "--force"),
        (Words::FIX, Hint::UseLenient(Lenient::LastKey), "--lenient"),
        (
            Words::FIX,
            Hint::RaiseMaxRatio("image"),
            "you trust the image, allow more with --max-ratio",
        ),
        (
            Words::FIX,
            Hint::Recover("a\n.tar".into()),
            "ocify fix --recover $'a\\n.tar'",
        ),
        (
            Words::FIX,
            Hint::CompleteLayout("a\n".into()),
            "complete it: ocify fix --in-place $'a\\n'",
        ),
        (
            Words::FIX,
            Hint::UseName("app:v1".to_owned()),
            "app:v1 is valid: give it with --name",
        ),
        (
            Words::MERGE,
            Hint::UseName("app:v1".to_owned()),
            "app:v1 is valid: give it with ocify fix FILE --name app:v1 -o NEW",
        ),
        (
            Words::PUSH,
            RegistryHint::LogIn("r.example".to_owned()).into(),
            "podman login r.example; or use --authfile, or --username with --password-stdin",
        ),
        (Words::PUSH, RegistryHint::PushLater.into(), "--retries"),
        (
            Words::PUSH,
            RegistryHint::TrustCertificate("r.example".to_owned()).into(),
            "with --ca-file, or save it as /etc/containers/certs.d/r.example/ca.crt",
        ),
        (
            Words::PUSH,
            RegistryHint::UsePlainHttp("r.example".to_owned()).into(),
            "use --plain-http",
        ),
        (
            Words::PUSH,
            RegistryHint::UseHttps.into(),
            "omit --plain-http",
        ),
        (
            Words::PUSH,
            RegistryHint::CheckAuthFile.into(),
            "--authfile",
        ),
        (Words::FIX, Hint::SignAgain, "sign the fixed image again"),
        (Words::SPLIT, Hint::ChoosePlatform, "--by platform"),
        (
            Words::MERGE,
            Hint::ChoosePlatform,
            "keep one platform with --platform",
        ),
        (Words::MERGE, Hint::ResolveConflict, "--index NAME"),
        (
            Words::CHECK,
            Hint::CompressWithGzip,
            "with ocify fix: recompress it with --compression gzip",
        ),
        (Words::CHECK, Hint::ChooseEngine, "with ocify fix: "),
    ] {
        let text = words.hint(&hint);
        assert!(text.contains(expected), "{hint:?}: {text}");
    }
}
