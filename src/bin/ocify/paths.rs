//! Where a path leads.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// The absolute path without links and `..`, also of what does not exist yet, and of links that lead to it.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut parts: VecDeque<OsString> = VecDeque::new();
    prepend(&mut parts, &path);
    let mut real = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = parts.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => {
                real.pop();
            }
            Some(Component::Normal(name)) => {
                let next = real.join(name);
                match fs::read_link(&next) {
                    Ok(target) if links < MAX_LINKS => {
                        links += 1;
                        if target.is_absolute() {
                            real = PathBuf::from("/");
                        }
                        prepend(&mut parts, &target);
                    }
                    _ => real = next,
                }
            }
            Some(Component::RootDir | Component::CurDir | Component::Prefix(_)) | None => {}
        }
    }
    real
}

/// Puts the components of a path in front.
fn prepend(parts: &mut VecDeque<OsString>, path: &Path) {
    for part in path.components().rev() {
        parts.push_front(part.as_os_str().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_dots_are_resolved_whether_or_not_the_file_exists() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "").unwrap();
        for (link, target) in [
            ("to-b", "a/b"),
            ("to-new", "a/new"),
            ("a/b/up", "../../to-new"),
            ("loop", "loop"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(root.join("a/b/file"), root.join("absolute")).unwrap();
        for (path, expected) in [
            ("a/b/file", "a/b/file"),
            ("./a//b/../b/file", "a/b/file"),
            ("to-b/file", "a/b/file"),
            // The parent of the directory that the link leads to.
            ("to-b/../x", "a/x"),
            ("absolute", "a/b/file"),
            ("to-new", "a/new"),
            ("a/b/up", "a/new"),
            ("none/../a/b/file", "a/b/file"),
            ("none/deep", "none/deep"),
            ("loop", "loop"),
        ] {
            assert_eq!(resolved(&root.join(path)), root.join(expected), "{path}");
        }
        assert_eq!(resolved(Path::new("/..")), Path::new("/"));
    }
}
