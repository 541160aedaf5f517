//! The action for GitHub, the component for GitLab, and the recipes in `docs/` for systemd, Kubernetes, make and Bazel: their scripts run.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use yaml_rust2::{Yaml, YamlLoader};

use crate::common::batch::put;
use crate::common::pages::{block, text};
use crate::common::runner::{Run, Sandbox, run, write_program};
use crate::common::{fixture, repository, skip};

const OCIFY: &str = env!("CARGO_BIN_EXE_ocify");
const ZSTD: &str = "buildkit-docker-zstd-ocifalse.tar";
const ENGINES: &str = "docker@28/graphdriver,containerd@1.7";

/// What stands in for `cargo install`: it installs the command at the root that it is given.
const CARGO: &str = "#!/bin/sh
echo \"cargo $*\" >>\"$LOG\"
while [ $# -gt 0 ]; do
  [ \"$1\" = --root ] && root=$2
  shift
done
mkdir -p \"$root/bin\" && ln -s \"$OCIFY\" \"$root/bin/ocify\"
";

/// A directory with archives in `images`, one of which most engines do not load, and programs in `bin`.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let archive = |name: &str| fs::read(fixture(name)).unwrap();
    put(&sandbox, "images/app.tar", archive(ZSTD));
    put(&sandbox, "images/tools.tar", archive("skopeo19-docker.tar"));
    fs::create_dir(sandbox.path("bin")).unwrap();
    sandbox
}

fn documents(text: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(text).unwrap()
}

fn string(value: &Yaml) -> String {
    match value {
        Yaml::String(text) => text.clone(),
        other => panic!("not a string: {other:?}"),
    }
}

/// A shell as runners start it.
fn bash(sandbox: &Sandbox, script: &str, variables: &BTreeMap<String, String>) -> Run {
    let mut command = Command::new("/bin/bash");
    command.current_dir(sandbox.root()).env_clear();
    let bin = sandbox.path("bin");
    let installed = sandbox.path("temp/ocify/bin");
    let path = format!("{}:{}:/usr/bin:/bin", installed.display(), bin.display());
    command.env("PATH", path).envs(variables);
    let options = ["--noprofile", "--norc", "-eo", "pipefail", "-c"];
    run(command.args(options).arg(script))
}

/// What runs the steps of action.yml with some inputs. Returns the last one that ran.
fn act(sandbox: &Sandbox, given: &[(&str, &str)]) -> Run {
    let action = &documents(&text("action.yml"))[0];
    assert_eq!(action["runs"]["using"].as_str(), Some("composite"));
    let mut inputs: BTreeMap<String, String> = BTreeMap::new();
    for (name, input) in action["inputs"].as_hash().unwrap() {
        let name = string(name);
        assert!(input["description"].as_str().is_some(), "{name}");
        if let Some(default) = input["default"].as_str() {
            inputs.insert(name, default.replace("${{ github.action_ref }}", "v1"));
        }
    }
    inputs.extend(
        given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let value = |text: &str| {
        let name = text
            .strip_prefix("${{ inputs.")
            .and_then(|rest| rest.strip_suffix(" }}"));
        inputs[name.unwrap_or_else(|| panic!("an expression: {text}"))].clone()
    };
    let mut last = None;
    for step in action["runs"]["steps"].as_vec().unwrap() {
        assert_eq!(step["shell"].as_str(), Some("bash"), "{step:?}");
        if let Some(condition) = step["if"].as_str() {
            assert_eq!(condition, "${{ inputs.command == 'fix' }}");
            if inputs["command"] != "fix" {
                continue;
            }
        }
        let script = string(&step["run"]);
        // Inputs reach a script only as variables, so that no input is a command.
        assert!(!script.contains("${{"), "{script}");
        let mut variables = BTreeMap::new();
        for (name, text) in step["env"].as_hash().unwrap() {
            variables.insert(string(name), value(&string(text)));
        }
        for (name, path) in [
            ("GITHUB_ACTION_PATH", repository("")),
            ("GITHUB_PATH", sandbox.path("path")),
            ("GITHUB_STEP_SUMMARY", sandbox.path("summary.md")),
            ("LOG", sandbox.path("log")),
            ("OCIFY", OCIFY.into()),
            ("RUNNER_TEMP", sandbox.path("temp")),
        ] {
            variables.insert(name.to_owned(), path.display().to_string());
        }
        let done = bash(sandbox, &script, &variables);
        let is_failed = done.code != 0;
        last = Some(done);
        if is_failed {
            break;
        }
    }
    last.unwrap()
}

#[test]
fn the_action_installs_checks_and_fixes() {
    let sandbox = sandbox();
    write_program(&sandbox.path("bin/cargo"), CARGO);
    let checked = act(&sandbox, &[("path", "images"), ("for", ENGINES)]).exits(3);
    assert!(checked.stdout.contains("::error"), "{checked:#?}");
    let summary = String::from_utf8(sandbox.read("summary.md")).unwrap();
    assert!(
        summary.contains("| `images/app.tar` |") || summary.contains("images/app.tar"),
        "{summary}"
    );
    let installed = String::from_utf8(sandbox.read("log")).unwrap();
    let source = repository("");
    let expected = format!(
        "cargo install --quiet --locked --path {} --root {}\n",
        source.display(),
        sandbox.path("temp/ocify").display()
    );
    assert_eq!(installed, expected);
    let path = String::from_utf8(sandbox.read("path")).unwrap();
    assert_eq!(
        path,
        format!("{}\n", sandbox.path("temp/ocify/bin").display())
    );

    let inputs = [("path", "images"), ("command", "fix"), ("for", ENGINES)];
    let fixed = act(&sandbox, &[&inputs[..], &[("output", "fixed")]].concat()).exits(0);
    assert!(!fixed.stdout.contains("::error"), "{fixed:#?}");
    // It is there now.
    assert_eq!(String::from_utf8(sandbox.read("log")).unwrap(), expected);
    let engines: Vec<&str> = ENGINES
        .split(',')
        .flat_map(|engine| ["--for", engine])
        .collect();
    sandbox
        .ocify(&[&["check", "fixed"], &engines[..]].concat())
        .exits(0);
    let before = fs::read(fixture(ZSTD)).unwrap();
    assert!(sandbox.read("images/app.tar") == before);

    fs::remove_file(sandbox.path("images/tools.tar")).unwrap();
    act(&sandbox, &inputs).exits(0);
    assert!(sandbox.read("images/app.tar") != before);
    // A path that looks like an option is a path, and an unknown command is an error.
    act(&sandbox, &[("path", "--version")]).exits(1);
    act(&sandbox, &[("path", "images"), ("command", "merge")]).exits(2);
}

#[test]
fn the_component_reports_to_gitlab() {
    let sandbox = sandbox();
    symlink(OCIFY, sandbox.path("bin/ocify")).unwrap();
    let template = text("templates/check.yml");
    let [head, jobs] = &documents(&template)[..] else {
        panic!("a header and jobs");
    };
    let inputs = head["spec"]["inputs"].as_hash().unwrap();
    let value = |name: &str, given: &[(&str, &str)]| {
        let given = given.iter().find(|(found, _)| *found == name);
        let input = &inputs[&Yaml::String(name.to_owned())];
        given.map_or_else(
            || string(&input["default"]),
            |(_, value)| (*value).to_owned(),
        )
    };
    let interpolated = |text: &str, given: &[(&str, &str)]| {
        let name = text
            .strip_prefix("$[[ inputs.")
            .and_then(|rest| rest.strip_suffix(" ]]"));
        name.map_or(text.to_owned(), |name| value(name, given))
    };
    let (name, job) = jobs.as_hash().unwrap().front().unwrap();
    assert_eq!(interpolated(&string(name), &[]), "ocify check");
    assert_eq!(interpolated(&string(&job["stage"]), &[]), "test");
    assert_eq!(job["artifacts"]["when"].as_str(), Some("always"));
    assert_eq!(
        job["artifacts"]["reports"]["junit"].as_str(),
        Some("ocify.xml")
    );
    let lines = ["before_script", "script"].map(|key| job[key].as_vec().unwrap().clone());
    let script: Vec<String> = lines.concat().iter().map(string).collect();
    let play = |given: &[(&str, &str)]| {
        let variables = job["variables"].as_hash().unwrap().iter();
        let variables =
            variables.map(|(name, text)| (string(name), interpolated(&string(text), given)));
        let run = bash(&sandbox, &script.join("\n"), &variables.collect());
        (run.code, sandbox.read("ocify.xml"))
    };
    let (code, report) = play(&[("path", "images/"), ("for", ENGINES)]);
    assert_eq!(code, 3);
    let report = String::from_utf8(report).unwrap();
    let report = roxmltree::Document::parse(&report).unwrap();
    let suites = report
        .descendants()
        .filter(|node| node.has_tag_name("testsuite"));
    assert_eq!(suites.count(), 2);
    sandbox.ocify(&["fix", "images", "-o", "fixed"]).exits(0);
    let (code, _) = play(&[("path", "fixed"), ("for", ENGINES)]);
    assert_eq!(code, 0);
}

/// The examples in docs/ci.md use inputs that exist.
#[test]
fn examples_give_inputs_that_exist() {
    let page = text("docs/ci.md");
    let action = &documents(&text("action.yml"))[0];
    let workflow = &documents(&block(&page, "uses: OWNER/ocify"))[0];
    let steps = workflow["jobs"]["images"]["steps"].as_vec().unwrap();
    let with = steps.last().unwrap()["with"].as_hash().unwrap();
    let component = documents(&text("templates/check.yml"));
    let include = &documents(&block(&page, "component:"))[0];
    let inputs = include["include"][0]["inputs"].as_hash().unwrap();
    for (given, known) in [
        (with, &action["inputs"]),
        (inputs, &component[0]["spec"]["inputs"]),
    ] {
        assert!(given.len() > 2);
        for name in given.keys() {
            assert!(!known[string(name).as_str()].is_badvalue(), "{name:?}");
        }
    }
}

/// Arguments in which absolute paths are directories of the sandbox.
fn here(sandbox: &Sandbox, arguments: &[String]) -> Vec<String> {
    let local = arguments
        .iter()
        .map(|argument| match argument.strip_prefix('/') {
            Some(path) => sandbox.path(path).display().to_string(),
            None => argument.clone(),
        });
    local.collect()
}

#[test]
fn k3s_gets_fixed_archives_before_it_starts() {
    let page = text("docs/recipes.md");
    let unit = block(&page, "ExecStartPre=");
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStartPre=-"));
    let words: Vec<String> = line.unwrap().split(' ').map(str::to_owned).collect();
    assert_eq!(words[0], "/usr/local/bin/ocify");
    let daemon = &documents(&block(&page, "kind: DaemonSet"))[0];
    let pod = &daemon["spec"]["template"]["spec"];
    let selected = &daemon["spec"]["selector"]["matchLabels"];
    assert_eq!(*selected, daemon["spec"]["template"]["metadata"]["labels"]);
    let container = &pod["initContainers"][1];
    let arguments: Vec<String> = container["args"]
        .as_vec()
        .unwrap()
        .iter()
        .map(string)
        .collect();
    for container in pod["initContainers"].as_vec().unwrap() {
        for mount in container["volumeMounts"].as_vec().unwrap() {
            let mut volumes = pod["volumes"].as_vec().unwrap().iter();
            assert!(
                volumes.any(|volume| volume["name"] == mount["name"]),
                "{mount:?}"
            );
        }
    }
    let host = &pod["volumes"][1]["hostPath"]["path"];
    let directory = "/var/lib/rancher/k3s/agent/images";
    assert_eq!(
        (host.as_str(), words[4].as_str()),
        (Some(directory), directory)
    );
    for (arguments, input, output) in [
        (
            &words[1..],
            "var/lib/images",
            "var/lib/rancher/k3s/agent/images",
        ),
        (&arguments[..], "shared", "agent-images"),
    ] {
        let sandbox = sandbox();
        for name in [input, output] {
            fs::create_dir_all(sandbox.path(name)).unwrap();
        }
        for name in ["app.tar", "tools.tar"] {
            let from = sandbox.path("images").join(name);
            fs::rename(from, sandbox.path(input).join(name)).unwrap();
        }
        put(&sandbox, &format!("{input}/pull.txt"), "busybox:1.36\n");
        let line = here(&sandbox, arguments);
        run(sandbox.command().args(&line)).exits(0);
        for name in ["app.tar", "tools.tar"] {
            let fixed = sandbox.path(output).join(name);
            let line = ["check", fixed.to_str().unwrap(), "--for", "k3s"];
            sandbox.ocify(&line).exits(0);
        }
        assert!(sandbox.path(output).join("pull.txt").exists());
        // At the next start, there is nothing to do.
        let again = run(sandbox.command().args(&line)).exits(0);
        assert!(again.stdout.contains("finished earlier"), "{again:#?}");
    }
}

#[test]
fn make_writes_what_is_out_of_date() {
    if !Path::new("/usr/bin/make").exists() {
        skip(
            "the Makefile in docs/recipes.md needs make",
            "OCIFY_REQUIRE_ENGINES",
        );
        return;
    }
    let sandbox = sandbox();
    symlink(OCIFY, sandbox.path("bin/ocify")).unwrap();
    sandbox.put("Makefile", block(&text("docs/recipes.md"), "%.fixed.tar"));
    let make = || bash(&sandbox, "make images/app.fixed.tar", &BTreeMap::new());
    make().exits(0);
    sandbox
        .ocify(&["check", "images/app.fixed.tar", "--for", "containerd@1.7"])
        .exits(0);
    let again = make().exits(0);
    assert!(again.stdout.contains("up to date"), "{again:#?}");
    // A failure leaves no target behind.
    sandbox.put("images/bad.tar", "bad");
    bash(&sandbox, "make images/bad.fixed.tar", &BTreeMap::new()).exits(2);
    assert!(!sandbox.path("images/bad.fixed.tar").exists());
}

#[test]
fn the_bazel_rule_runs_the_fix() {
    let sandbox = sandbox();
    symlink(OCIFY, sandbox.path("bin/ocify")).unwrap();
    let rule = block(&text("docs/recipes.md"), "genrule(");
    let field = |name: &str| {
        let start = format!("    {name} = ");
        let line = rule
            .lines()
            .find_map(|line| line.strip_prefix(start.as_str()));
        line.unwrap()
            .trim_matches(|c| "[],\"".contains(c))
            .to_owned()
    };
    let (source, output) = (field("srcs"), field("outs"));
    let tool = format!("$(execpath {})", field("tools"));
    let script = field("cmd");
    assert!(script.contains(&tool), "{script}");
    let script = script
        .replace(&tool, "ocify")
        .replace("$<", &source)
        .replace("$@", &output);
    fs::rename(sandbox.path("images/app.tar"), sandbox.path(&source)).unwrap();
    bash(&sandbox, &script, &BTreeMap::new()).exits(0);
    sandbox
        .ocify(&["check", &output, "--for", "containerd@1.7"])
        .exits(0);
}
