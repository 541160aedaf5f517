//! The modes, owners, access control lists and extended attributes of outputs: what a new one gets, what one that replaces another keeps, and
//! that a fix in place keeps everything.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::common::batch::{has_staging, put};
use crate::common::builder::right_layout;
use crate::common::paused::Paused;
use crate::common::placed::docker_layout;
use crate::common::runner::{Run, Sandbox, run};
use crate::common::skipped;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const USER: &str = "user.ocify";
/// A user that owns nothing.
const NOBODY: u32 = 65534;

/// An access control list of these permissions: those of the owner, of [`NOBODY`], of the group, the mask and those of all others.
fn acl([owner, nobody, group, mask, others]: [u8; 5]) -> Vec<u8> {
    const NONE: u32 = u32::MAX;
    let entries = [
        (1_u16, owner, NONE),
        (2, nobody, NOBODY),
        (4, group, NONE),
        (16, mask, NONE),
        (32, others, NONE),
    ];
    let mut bytes = vec![2, 0, 0, 0];
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend([permissions, 0]);
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    match getxattr(path, name, &mut bytes[..]) {
        Ok(len) => Some(bytes[..len].to_vec()),
        Err(Errno::NODATA | Errno::NOTSUP) => None,
        Err(error) => panic!("{}: {name}: {error}", path.display()),
    }
}

/// Sets an attribute; false if the filesystem has none, which is said.
fn set_xattr(path: &Path, name: &str, value: &[u8]) -> bool {
    match setxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(Errno::NOTSUP) => {
            skipped(&format!(
                "{name}: the filesystem of {} has none",
                path.display()
            ));
            false
        }
        Err(error) => panic!("{}: {name}: {error}", path.display()),
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A way to write an output that may exist.
struct Case {
    line: &'static [&'static str],
    output: &'static str,
    /// Whether the output is a directory.
    is_layout: bool,
}

const CASES: [Case; 7] = [
    Case {
        line: &["in.tar", "-o", "app.tar"],
        output: "app.tar",
        is_layout: false,
    },
    Case {
        line: &["in.tar", "-o", "app.tar.gz"],
        output: "app.tar.gz",
        is_layout: false,
    },
    Case {
        line: &["in.tar", "-o", "app.tar", "--verify", "documents"],
        output: "app.tar",
        is_layout: false,
    },
    Case {
        line: &["in.tar", "--layout", "-o", "app"],
        output: "app",
        is_layout: true,
    },
    Case {
        line: &["in", "-o", "out"],
        output: "out/a.tar",
        is_layout: false,
    },
    Case {
        line: &["in", "--layout", "-o", "out"],
        output: "out/a",
        is_layout: true,
    },
    // Its report is what is looked at.
    Case {
        line: &["in.tar", "-o", "new.tar", "--metadata-file", "report"],
        output: "report",
        is_layout: false,
    },
];

impl Case {
    /// A sandbox with inputs.
    fn sandbox(&self) -> Sandbox {
        let sandbox = Sandbox::new();
        sandbox.put("in.tar", docker_layout().tar());
        put(&sandbox, "in/a.tar", docker_layout().tar());
        sandbox
    }

    /// The same with something that the output replaces, and its path.
    fn existing(&self) -> (Sandbox, std::path::PathBuf) {
        let sandbox = self.sandbox();
        let path = sandbox.path(self.output);
        match self.is_layout {
            true => right_layout().write_to(&path),
            false => put(&sandbox, self.output, "old"),
        }
        (sandbox, path)
    }

    fn replace(&self, sandbox: &Sandbox) {
        let line = [&["fix"], self.line, &["--force"]].concat();
        sandbox.ocify(&line).exits(0);
    }
}

/// Runs the command with a umask.
fn with_umask(sandbox: &Sandbox, umask: &str, line: &[&str]) -> Run {
    let mut command = Command::new("/bin/sh");
    command.current_dir(sandbox.root()).env_clear();
    let script = format!("umask {umask} && exec \"$0\" \"$@\"");
    run(command
        .args(["-c", &script, env!("CARGO_BIN_EXE_ocify")])
        .args(line))
}

#[test]
fn the_umask_decides_about_new_outputs() {
    for (umask, file, directory) in [
        ("022", 0o644, 0o755),
        ("077", 0o600, 0o700),
        ("002", 0o664, 0o775),
        ("000", 0o666, 0o777),
    ] {
        for case in CASES {
            let sandbox = case.sandbox();
            with_umask(&sandbox, umask, &[&["fix"], case.line].concat()).exits(0);
            let path = sandbox.path(case.output);
            let what = format!("{umask} {:?}", case.line);
            assert_eq!(
                mode(&path),
                if case.is_layout { directory } else { file },
                "{what}"
            );
            if case.is_layout {
                assert_eq!(mode(&path.join("blobs/sha256")), directory, "{what}");
                for name in ["index.json", "oci-layout"] {
                    assert_eq!(mode(&path.join(name)), file, "{what}");
                }
                let blob = fs::read_dir(path.join("blobs/sha256")).unwrap().next();
                assert_eq!(mode(&blob.unwrap().unwrap().path()), file, "{what}");
            }
        }
    }
}

#[test]
fn an_output_that_replaces_another_keeps_its_permissions_and_no_more() {
    for case in CASES {
        for (old, expected) in [
            (0o600, 0o600),
            (0o640, 0o640),
            (0o666, 0o666),
            (0o6755, 0o755),
            (0o1777, 0o777),
        ] {
            for umask in ["022", "077"] {
                let (sandbox, path) = case.existing();
                let old = if case.is_layout { old | 0o700 } else { old };
                set_mode(&path, old);
                let line = [&["fix"], case.line, &["--force"]].concat();
                with_umask(&sandbox, umask, &line).exits(0);
                let expected = if case.is_layout {
                    expected | 0o700
                } else {
                    expected
                };
                assert_eq!(mode(&path), expected, "{umask} {old:o} {:?}", case.line);
            }
        }
    }
}

#[test]
fn an_output_that_replaces_another_keeps_its_access_control_list() {
    let kept = acl([7, 4, 0, 6, 0]);
    for case in CASES {
        let (sandbox, path) = case.existing();
        if !set_xattr(&path, ACCESS, &kept) {
            return;
        }
        case.replace(&sandbox);
        assert_eq!(xattr(&path, ACCESS), Some(kept.clone()), "{:?}", case.line);
        assert_eq!(mode(&path), 0o760, "{:?}", case.line);
    }
}

/// Nobody else can read an output of a batch before it has its permissions.
#[test]
fn unfinished_outputs_of_a_batch_are_private() {
    let mut seen = 0;
    for _ in 0..100 {
        let sandbox = Sandbox::new();
        for number in 0..20 {
            put(&sandbox, &format!("in/{number}.tar"), docker_layout().tar());
        }
        let mut command = sandbox.command();
        command.args(["fix", "in", "-o", "out"]);
        let out = sandbox.path("out");
        let reached = || has_staging(&out);
        let log = sandbox.path("log");
        let Some(paused) = Paused::when(&mut command, &log, reached) else {
            continue;
        };
        for entry in fs::read_dir(&out).unwrap() {
            let entry = entry.unwrap();
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(".ocify-work")
            {
                assert_eq!(mode(&entry.path()) & 0o777, 0o700);
                seen += 1;
            }
        }
        assert_eq!(paused.resume(&command), Some(0));
        if seen > 0 {
            return;
        }
    }
    panic!("the run was always faster");
}

/// What a directory gives to new files in it is not what a file had that they replace.
#[test]
fn an_output_that_replaces_another_inherits_nothing() {
    for case in CASES {
        let (sandbox, path) = case.existing();
        set_mode(&path, 0o740);
        let directory = path.parent().unwrap();
        if !set_xattr(directory, DEFAULT, &acl([7, 7, 7, 7, 7])) {
            return;
        }
        case.replace(&sandbox);
        assert_eq!(xattr(&path, ACCESS), None, "{:?}", case.line);
        assert_eq!(mode(&path), 0o740, "{:?}", case.line);
        // A new one does.
        fs::rename(&path, sandbox.path("old")).unwrap();
        case.replace(&sandbox);
        assert!(xattr(&path, ACCESS).is_some(), "{:?}", case.line);
    }
}

/// Its mode shows the mask where that of other files shows what the group may do.
#[test]
fn a_list_of_another_user_gives_the_group_nothing() {
    if !geteuid().is_root() {
        return skipped("owners: only root can change them");
    }
    for case in CASES {
        let (sandbox, path) = case.existing();
        if !set_xattr(&path, ACCESS, &acl([7, 7, 0, 7, 0])) {
            return;
        }
        chown(&path, Some(NOBODY), None).unwrap();
        case.replace(&sandbox);
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.uid(), geteuid().as_raw(), "{:?}", case.line);
        assert_eq!(xattr(&path, ACCESS), None, "{:?}", case.line);
        let expected = if case.is_layout { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{:?}", case.line);
    }
}

#[test]
fn attributes_of_a_replaced_output_are_not_kept() {
    for case in CASES {
        let (sandbox, path) = case.existing();
        if !set_xattr(&path, USER, b"of the old content") {
            return;
        }
        case.replace(&sandbox);
        assert_eq!(xattr(&path, USER), None, "{:?}", case.line);
    }
}

#[test]
fn a_fix_in_place_keeps_everything_but_the_bytes() {
    let broken = docker_layout().tar();
    for line in [&["in.tar", "--in-place"][..], &["in", "--in-place"]] {
        let sandbox = Sandbox::new();
        let path = match line[0] {
            "in" => {
                put(&sandbox, "in/a.tar", &broken);
                sandbox.path("in/a.tar")
            }
            name => sandbox.put(name, &broken),
        };
        fs::hard_link(&path, sandbox.path("link")).unwrap();
        let list = acl([6, 4, 0, 6, 0]);
        let has_acl = set_xattr(&path, ACCESS, &list);
        let has_user = set_xattr(&path, USER, b"kept");
        if geteuid().is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let before = fs::metadata(&path).unwrap();
        with_umask(&sandbox, "077", &[&["fix"], line].concat()).exits(0);
        let after = fs::metadata(&path).unwrap();
        assert!(fs::read(&path).unwrap() != broken);
        let facts = |found: &fs::Metadata| {
            (
                found.ino(),
                found.mode(),
                found.uid(),
                found.gid(),
                found.nlink(),
            )
        };
        assert_eq!(facts(&after), facts(&before), "{line:?}");
        assert_eq!(xattr(&path, ACCESS), has_acl.then_some(list), "{line:?}");
        assert_eq!(
            xattr(&path, USER),
            has_user.then(|| b"kept".to_vec()),
            "{line:?}"
        );
    }
}
