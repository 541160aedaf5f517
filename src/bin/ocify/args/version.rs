//! What `--version` says about the program: where its source is from, and which code does the most work.

use std::sync::OnceLock;

/// The text after the program's name. It depends on the build and on this machine's processor, and never on the time of the build.
pub(super) fn long() -> &'static str {
    static LONG: OnceLock<String> = OnceLock::new();
    LONG.get_or_init(|| {
        format!(
            "{}\ncommit: {}\nfeatures: {}\nSHA-2: {}\nzlib: zlib-rs decompresses, libdeflate compresses",
            env!("CARGO_PKG_VERSION"),
            option_env!("OCIFY_COMMIT").unwrap_or("not recorded"),
            FEATURES.join(", "),
            sha2()
        )
    })
}

/// The features of the package that the command is built with.
const FEATURES: [&str; 2] = ["cli", "push"];

/// The instructions that SHA-256 uses on this processor.
#[cfg(target_arch = "x86_64")]
fn sha2() -> &'static str {
    match is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") {
        true => "SHA extensions of x86",
        false => "portable code",
    }
}

/// The instructions that SHA-256 uses on this processor.
#[cfg(target_arch = "aarch64")]
fn sha2() -> &'static str {
    match std::arch::is_aarch64_feature_detected!("sha2") {
        true => "SHA-2 instructions of Armv8",
        false => "portable code",
    }
}

/// The instructions that SHA-256 uses on this processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn sha2() -> &'static str {
    "portable code"
}
