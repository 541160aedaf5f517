//! What this machine is.

/// The Go name of this machine's architecture, if Go has one.
pub(super) fn host_architecture() -> Option<&'static str> {
    let name = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        "mips64" if cfg!(target_endian = "little") => "mips64le",
        same @ ("arm" | "riscv64" | "s390x" | "mips64") => same,
        _ => return None,
    };
    Some(name)
}
