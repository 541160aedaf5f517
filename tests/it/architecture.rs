//! Which module may use which, and other rules for all sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{repository, tree};
use crate::public_items;

/// A source file, and what it is without its tests and comments.
pub(crate) struct Source {
    /// Relative to `src/`.
    pub(crate) name: String,
    pub(crate) code: String,
    pub(crate) whole: String,
}

/// The code before the tests at the foot of a file, without comments.
pub(crate) fn code(text: &str) -> String {
    let mut lines = Vec::new();
    let mut test_depth = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed == "#[cfg(test)]" {
            test_depth = Some(indent);
        }
        if test_depth.is_none() && !trimmed.starts_with("//") {
            lines.push(line);
        }
        // A test module ends with the bracket at its own depth, or is in another file.
        let ends = trimmed == "}" || trimmed.starts_with("mod ") && trimmed.ends_with(';');
        if test_depth == Some(indent) && ends {
            test_depth = None;
        }
    }
    lines.join("\n")
}

pub(crate) fn sources() -> Vec<Source> {
    let root = repository("src");
    let files: Vec<(PathBuf, Vec<u8>)> = tree(&root);
    let sources: Vec<Source> = files
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|(path, _)| !path.ends_with("tests.rs"))
        .filter(|(path, _)| path.components().all(|part| part.as_os_str() != "tests"))
        .map(|(path, bytes)| {
            let whole = String::from_utf8(bytes).unwrap();
            Source {
                name: path.to_str().unwrap().to_owned(),
                code: code(&whole),
                whole,
            }
        })
        .collect();
    assert!(sources.len() > 30, "the sources are not all there");
    sources
}

/// The files of a module: `name.rs` and everything in `name/`.
fn module(name: &str) -> Vec<Source> {
    let mut files = sources();
    files.retain(|file| {
        file.name == format!("{name}.rs") || file.name.starts_with(&format!("{name}/"))
    });
    assert!(!files.is_empty(), "no module {name}");
    files
}

/// Every line of a module that has one of these words.
fn lines_with(module_name: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in module(module_name) {
        for line in file.code.lines() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}: {}", file.name, line.trim()));
            }
        }
    }
    found
}

const NONE: [&str; 0] = [];

#[test]
fn plan_does_no_io() {
    let words = [
        "std::fs",
        "std::io",
        "std::env",
        "std::time",
        "std::process",
        "std::thread",
        "std::net",
        "File",
        "Instant",
        "SystemTime",
    ];
    assert_eq!(lines_with("plan", &words), NONE);
}

/// What each module may use of the others, in the order of the stages.
const MAY_USE: [(&str, &str); 28] = [
    ("text", ""),
    ("location", "text"),
    ("error", "location text"),
    ("progress", ""),
    ("threads", ""),
    ("beneath", ""),
    ("publish", "beneath error"),
    ("tar", "error"),
    ("image", "error tar"),
    ("json", ""),
    ("codec", "error image threads"),
    ("inventory", "error image location tar"),
    ("engines", "error graph image inventory json location plan"),
    ("journal", "beneath error image publish"),
    (
        "input",
        "beneath codec error image inventory journal location progress tar threads",
    ),
    ("registry", "error image json"),
    ("graph", "error image inventory json location threads"),
    ("plan", "error graph image inventory json location"),
    (
        "apply",
        "beneath codec error image input inventory journal location plan progress publish tar threads",
    ),
    (
        "operation",
        "beneath codec error graph input inventory journal progress threads",
    ),
    (
        "fix",
        "apply beneath codec engines error graph image input inventory operation plan progress",
    ),
    (
        "check",
        "apply engines error fix graph image input location operation plan",
    ),
    (
        "inspect",
        "apply error fix graph image input inventory location operation plan",
    ),
    (
        "merge",
        "apply error fix graph image input inventory json location operation plan progress",
    ),
    (
        "split",
        "apply beneath error fix graph image input operation plan",
    ),
    (
        "push",
        "apply error fix graph image input inventory json location operation plan progress registry threads",
    ),
    (
        "report",
        "apply check engines error image inspect location merge plan push split text",
    ),
    // The list of what users of the library can name.
    (
        "lib",
        "apply beneath check codec engines error fix graph image input inspect inventory journal merge operation plan progress publish push registry report split threads",
    ),
];

/// The modules of the crate that a line of code names.
fn used_in(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn contributing_names_every_module_and_no_other() {
    let text = fs::read_to_string(repository("CONTRIBUTING.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| "));
    // The module is in the first column with backticks: the second one of the stages' table.
    let named: BTreeSet<&str> = rows
        .filter_map(|row| row.split('|').find(|cell| cell.contains('`')))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let in_prose = [
        "check",
        "fix",
        "inspect",
        "merge",
        "push",
        "split",
        "operation",
        "lib",
    ];
    let expected = MAY_USE.iter().map(|(name, _)| *name);
    let expected: BTreeSet<&str> = expected.filter(|name| !in_prose.contains(name)).collect();
    assert_eq!(named, expected);
}

/// CONTRIBUTING.md leads to files and directories that exist.
#[test]
fn contributing_names_paths_that_exist() {
    let text = fs::read_to_string(repository("CONTRIBUTING.md")).unwrap();
    let prose = text.split("```").step_by(2);
    let words = prose.flat_map(|part| part.split('`').skip(1).step_by(2));
    let is_path = |word: &&str| {
        let starts = ["src/", "tests/", "docs/", ".ci/", "fuzz/", "fixtures/"];
        starts.iter().any(|start| word.starts_with(start)) && !word.contains(' ')
    };
    let paths: BTreeSet<&str> = words.filter(is_path).collect();
    assert!(paths.len() > 25, "{paths:?}");
    for path in paths {
        assert!(repository(path).exists(), "CONTRIBUTING.md: {path}");
    }
}

#[test]
fn modules_use_only_allowed_modules() {
    let mut seen = BTreeSet::new();
    for source in sources() {
        if source.name.starts_with("bin/") {
            continue;
        }
        let own = source.name.split(['/', '.']).next().unwrap();
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == own) else {
            panic!("{} belongs to no module of the table", source.name);
        };
        seen.insert(own.to_owned());
        assert!(
            !source.code.contains("crate::{"),
            "{}: one use for each module",
            source.name
        );
        for used in source.code.lines().flat_map(used_in) {
            // A macro or a function at the root is not a module.
            let is_module = MAY_USE.iter().any(|(name, _)| *name == used);
            assert!(
                !is_module || used == own || allowed.split(' ').any(|may| may == used),
                "{} uses {used}",
                source.name
            );
        }
    }
    assert_eq!(
        seen.len(),
        MAY_USE.len(),
        "the table names modules that are gone"
    );
}

#[test]
fn only_one_module_publishes_files() {
    let words = [
        "fs::rename",
        "renameat",
        "hard_link",
        "linkat",
        "persist",
        "TMPFILE",
        "ocify-tmp",
        "process::id",
    ];
    for source in sources() {
        let is_publish = source.name.starts_with("publish");
        // Calls that give nothing that exists another name.
        let others = ["readlinkat", "symlinkat", "unlinkat"];
        let code = others
            .iter()
            .fold(source.code.clone(), |code, other| code.replace(other, ""));
        for word in words {
            let uses = code.contains(word);
            assert!(is_publish || !uses, "{} has {word}", source.name);
        }
    }
}

/// The first names of all paths into the library.
fn library_names(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in code.split("ocify::").skip(1) {
        let mut depth = 0;
        let mut is_first = true;
        let mut name = String::new();
        for c in rest.chars() {
            match c {
                c if c.is_alphanumeric() || c == '_' => name.push(c),
                _ => {
                    if is_first && depth <= 1 && !name.is_empty() {
                        names.insert(std::mem::take(&mut name));
                        is_first = false;
                    }
                    name.clear();
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => is_first = true,
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    names
}

#[test]
fn the_command_uses_the_public_interface() {
    let public = public_items::names();
    for source in sources()
        .iter()
        .filter(|source| source.name.starts_with("bin/"))
    {
        for name in library_names(&source.code) {
            // What only the command uses is in a module of its own.
            assert!(
                public.contains(&name) || name == "command",
                "{} uses ocify::{name}",
                source.name
            );
        }
    }
}

#[test]
fn what_is_kept_for_the_command_is_used_by_it() {
    let library = fs::read_to_string(repository("src/lib.rs")).unwrap();
    let (_, hidden) = library.split_once("pub mod command {").unwrap();
    let code: String = sources()
        .iter()
        .filter(|source| source.name.starts_with("bin/"))
        .map(|source| source.code.as_str())
        .collect();
    let words: BTreeSet<&str> = code
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    for line in hidden
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter(|line| !line.trim_start().starts_with("#["))
    {
        for name in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let is_path = matches!(
                name,
                "" | "pub"
                    | "use"
                    | "mod"
                    | "crate"
                    | "apply"
                    | "beneath"
                    | "error"
                    | "input"
                    | "journal"
                    | "report"
                    | "publish"
            );
            assert!(
                is_path || words.contains(name),
                "the command does not use {name}"
            );
        }
    }
}

#[test]
fn paths_into_the_library_are_found() {
    let code = "use ocify::{A, b::{C, D}, e};\nuse ocify::F;\nlet x = ocify::G::h(I { j });";
    let names = library_names(code);
    assert_eq!(names.into_iter().collect::<String>(), "AFGbe");
}

#[test]
fn media_types_reach_neither_input_nor_apply() {
    for name in ["input", "apply", "tar", "codec", "json"] {
        assert_eq!(lines_with(name, &["media_type"]), NONE, "{name}");
    }
    assert_eq!(lines_with("apply", &["plan::rules"]), NONE);
}

#[test]
fn shapes_decide_and_no_producer_does() {
    let producers = [
        "buildkit",
        "buildx",
        "kaniko",
        "crane",
        "hauler",
        "jib",
        "podman",
        "buildah",
        "skopeo",
        "moby",
        "nerdctl",
        "bazel",
        "umoci",
        "regclient",
        "ggcr",
    ];
    for name in ["graph", "plan", "apply"] {
        for file in module(name) {
            // Rules say whose bug they fix, and findings who reads what; these names decide nothing.
            let names_them = ["plan/rules", "plan/findings/"];
            if names_them.iter().any(|start| file.name.starts_with(start)) {
                continue;
            }
            let code = file.code.to_lowercase();
            for producer in producers {
                assert!(!code.contains(producer), "{} knows {producer}", file.name);
            }
        }
    }
}

#[test]
fn modules_without_io_do_none() {
    for name in [
        "engines",
        "error",
        "graph",
        "image",
        "inventory",
        "json",
        "location",
        "plan",
        "report",
        "tar",
        "text",
    ] {
        let words = [
            "std::fs",
            "std::env",
            "std::process",
            "std::time",
            "std::net",
        ];
        assert_eq!(lines_with(name, &words), NONE, "{name}");
    }
}

#[test]
fn each_dependency_of_the_command_is_used_in_one_module() {
    for (words, file) in [
        ("clap", "bin/ocify/args"),
        ("indicatif", "bin/ocify/progress"),
        ("walkdir", "bin/ocify/batch/walk.rs"),
    ] {
        for source in sources() {
            let may = file
                .split(' ')
                .any(|module| source.name.starts_with(module))
                || (words == "clap" && source.name == "bin/ocify/run.rs");
            let uses = source.code.contains(&format!("{words}::"));
            assert!(may || !uses, "{} uses {words}", source.name);
        }
    }
}

/// Whether a line of code has an option of a command in it, such as `--force` or `-o OUTPUT`.
fn names_an_option(line: &str) -> bool {
    let starts_option = |at: usize, len: usize| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let next = line[at + len..].chars().next();
        !line[..at].ends_with(is_word) && next.is_some_and(|c| c.is_ascii_lowercase())
    };
    line.match_indices("--").any(|(at, _)| starts_option(at, 2)) || line.contains("-o OUTPUT")
}

#[test]
fn the_library_names_no_option_of_the_command() {
    for source in sources() {
        if source.name.starts_with("bin/") {
            continue;
        }
        for line in source.code.lines() {
            // Another tool's option.
            let line = line.replace("ctr drops it without --digests", "");
            assert!(!names_an_option(&line), "{}: {line}", source.name);
            // A hint without a variant has no words of the command.
            for text in [".with_hint(\"", ".with_hint(format!", "Hint::from("] {
                assert!(!line.contains(text), "{}: {line}", source.name);
            }
        }
    }
}

#[test]
fn options_are_found_in_code() {
    for (line, expected) in [
        ("\"--force takes its place\"", true),
        ("\"replace it with --force\"", true),
        ("\"with `--oci-mediatypes=false`\"", true),
        ("\"-o OUTPUT writes a new file\"", true),
        ("\"a__b.c_d--e\"", false),
        ("let x = a - -b;", false),
        ("\"-- \"", false),
    ] {
        assert_eq!(names_an_option(line), expected, "{line}");
    }
}

/// The files that may name oci-spec, in this order: conversions, documents that the source lacks,
/// typed views, the re-export, `oci-layout`. What rewrites a document is not among them: oci-spec's types lose unknown fields.
const OCI_SPEC: [&str; 5] = [
    "image/oci.rs",
    "graph/synthesize.rs",
    "graph/typed.rs",
    "lib.rs",
    "plan/output.rs",
];

#[test]
fn oci_spec_never_rewrites_a_document() {
    let named: BTreeSet<String> = sources()
        .into_iter()
        .filter(|source| source.code.contains("oci_spec") || source.code.contains("oci::"))
        // It names the conversions' module.
        .filter(|source| source.name != "image.rs")
        .map(|source| source.name)
        .collect();
    assert_eq!(named, OCI_SPEC.map(str::to_owned).into());
}

#[test]
fn tar_archives_have_one_reader() {
    for source in sources() {
        let reads = source.code.contains("Archive::new") || source.code.contains("tar::Archive");
        assert!(!reads, "{} reads tar by a library", source.name);
    }
}

#[test]
fn media_types_are_written_in_one_file() {
    for source in sources()
        .iter()
        .filter(|source| source.name != "image/media_type.rs")
    {
        for line in source.code.lines() {
            assert!(!line.contains("application/"), "{}: {line}", source.name);
        }
    }
}

#[test]
fn nothing_is_unsafe_spawned_or_connected() {
    for source in sources() {
        for word in ["unsafe ", "panic!(", ".unwrap()", ".expect("] {
            assert!(!source.code.contains(word), "{} has {word}", source.name);
        }
        // Crates that connect are only named there too.
        for (word, allowed) in [
            ("process::Command", "registry/helper.rs"),
            ("process::{", "registry/helper.rs"),
            ("std::net", "registry/host.rs"),
            ("ureq::", "registry/"),
            ("rustls::", "registry/"),
        ] {
            let is_allowed = source.name.starts_with(allowed);
            assert!(
                is_allowed || !source.code.contains(word),
                "{} has {word}",
                source.name
            );
        }
    }
}

/// A fix or a check cannot open a socket, because nothing that it consists of leads to the module that does.
#[test]
fn only_pushing_reaches_registries() {
    let users: Vec<&str> = MAY_USE
        .iter()
        .filter(|(_, allowed)| allowed.split(' ').any(|module| module == "registry"))
        .map(|(name, _)| *name)
        .collect();
    assert!(
        users.iter().all(|name| ["push", "lib"].contains(name)),
        "{users:?}"
    );
    for source in sources() {
        let module = source.name.split(['/', '.']).next();
        let is_own = [Some("registry"), Some("push")].contains(&module);
        // A report shows what a push did, and does nothing.
        let is_report = source.name.starts_with("report/push");
        // The command has a module of that name.
        let is_command = source.name.starts_with("bin/");
        let names_it = source.code.contains("crate::registry")
            || source.code.contains("crate::push") && !is_report && !is_command;
        assert!(is_own || !names_it, "{} reaches registries", source.name);
    }
}

#[test]
fn files_stay_small() {
    for source in sources() {
        let lines = code(&source.whole).lines().count();
        assert!(lines <= 400, "{} has {lines} lines of code", source.name);
    }
    let main = fs::read_to_string(repository("src/bin/ocify/main.rs")).unwrap();
    assert!(main.lines().count() < 40);
}

#[test]
fn module_files_are_beside_their_directories() {
    for source in sources() {
        assert!(!source.name.ends_with("mod.rs"), "{}", source.name);
        let is_glob = |line: &str| line.starts_with("use ") && line.contains("::*");
        assert!(
            !source.code.lines().any(is_glob),
            "{} has a glob import",
            source.name
        );
    }
}

/// Cargo does not look for tests here, and a file that no program names would be left out silently.
#[test]
fn every_test_file_is_part_of_a_program() {
    let tests = repository("tests");
    let files = |folder: &Path| -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".rs")).collect()
    };
    assert_eq!(files(&tests), [""; 0], "beside the programs");
    for program in ["it", "engines"] {
        let folder = tests.join(program);
        let main = fs::read_to_string(folder.join("main.rs")).unwrap();
        for file in files(&folder) {
            let line = format!("mod {};", file.trim_end_matches(".rs"));
            assert!(
                file == "main.rs" || main.lines().any(|found| found == line),
                "tests/{program}/main.rs lacks {line}"
            );
        }
    }
}

#[test]
fn tests_and_comments_are_not_checked() {
    let text = "//! doc\nuse a;\n#[cfg(test)]\nmod tests {\n    use b;\n}\n#[cfg(test)]\nmod other;\nuse c;";
    assert_eq!(code(text), "use a;\nuse c;");
}
