//! Runs the workflows of docs/ci.md that publish: the scripts as they are, with a registry of this process, and programs that stand in for docker
//! and cosign.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use yaml_rust2::{Yaml, YamlLoader};

use super::image;
use crate::common::builder::Layout;
use crate::common::pages::{block, text};
use crate::common::registry::{Answer, Registry};
use crate::common::runner::{Sandbox, write_program};

const OCIFY: &str = env!("CARGO_BIN_EXE_ocify");
/// `me:secret-token`.
const LOGIN: &str = "Basic bWU6c2VjcmV0LXRva2Vu";
/// What stands in for docker writes what buildx would.
const DOCKER: &str = "#!/bin/sh\n[ \"$*\" = 'buildx build --output type=oci,dest=app.tar .' ] && cp built.tar app.tar\n";
const COSIGN: &str = "#!/bin/sh\necho \"$*\" >>signed\n";

/// A runner with the programs of the workflows, and a registry that wants the password.
struct Runner {
    sandbox: Sandbox,
    registry: Registry,
    variables: BTreeMap<String, String>,
}

impl Runner {
    fn new() -> Self {
        let registry = Registry::strict_with(|request, _| {
            let is_right = request.header("authorization") == Some(LOGIN);
            let asks = Answer::new(401).with("WWW-Authenticate", "Basic realm=x");
            (!is_right).then_some(asks)
        });
        let sandbox = Sandbox::new();
        let built = Layout::of(&image("app"), "docker.io/library/app:latest").tar();
        sandbox.put("built.tar", built);
        fs::create_dir(sandbox.path("bin")).unwrap();
        symlink(OCIFY, sandbox.path("bin/ocify")).unwrap();
        write_program(&sandbox.path("bin/docker"), DOCKER);
        write_program(&sandbox.path("bin/cosign"), COSIGN);
        let path = env::var("PATH").unwrap();
        let path = format!("{}:{path}", sandbox.path("bin").display());
        Runner {
            variables: [("PATH".to_owned(), path)].into(),
            sandbox,
            registry,
        }
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    /// Runs a script as both services do, and returns what it wrote to the log.
    #[track_caller]
    fn run(&self, script: &str, more: &[(String, String)]) -> String {
        let mut command = Command::new("bash");
        command.args(["-eo", "pipefail", "-c", script]);
        command.current_dir(self.sandbox.root()).env_clear();
        command.envs(&self.variables);
        let output = command.envs(more.iter().cloned()).output().unwrap();
        let log = [output.stdout, output.stderr].concat();
        let log = String::from_utf8(log).unwrap();
        assert!(output.status.success(), "{script}\n{log}");
        assert!(!log.contains("secret-token"), "{log}");
        log
    }

    /// What was signed is what the tag leads to.
    #[track_caller]
    fn check(&self, repository: &str) {
        let digest = self.registry.tags(repository)["v1"].clone();
        let expected = format!(
            "sign --yes {}/{repository}@{digest}\n",
            self.registry.host()
        );
        let signed = fs::read_to_string(self.sandbox.path("signed")).unwrap();
        assert_eq!(signed, expected);
        self.registry.check_complete();
    }
}

/// The values of a file of `NAME=VALUE` lines.
fn lines(runner: &Runner, file: &str) -> BTreeMap<String, String> {
    let text = String::from_utf8(runner.sandbox.read(file)).unwrap();
    let pairs = text.lines().map(|line| line.split_once('=').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn workflow(part: &str) -> Yaml {
    let page = text("docs/ci.md");
    YamlLoader::load_from_str(&block(&page, part))
        .unwrap()
        .remove(0)
}

#[test]
fn the_workflow_for_github_publishes_and_signs() {
    let mut runner = Runner::new();
    let host = runner.registry.host();
    for (name, value) in [
        ("GITHUB_REPOSITORY", "Team/App"),
        ("GITHUB_REF_NAME", "v1"),
        ("GITHUB_ACTOR", "me"),
        ("GITHUB_OUTPUT", "output"),
    ] {
        runner.set(name, value);
    }
    let workflow = workflow("# .github/workflows/publish.yml");
    let steps = workflow["jobs"]["publish"]["steps"].as_vec().unwrap();
    let mut ran = 0;
    for step in steps {
        let Some(script) = step["run"].as_str() else {
            continue;
        };
        let given = step["env"].as_hash().into_iter().flatten();
        let given: Vec<(String, String)> = given
            .map(|(name, value)| {
                let value = match value.as_str().unwrap() {
                    "${{ secrets.GITHUB_TOKEN }}" => "secret-token".to_owned(),
                    "${{ steps.publish.outputs.image }}" => {
                        lines(&runner, "output")["image"].clone()
                    }
                    other => panic!("{other}"),
                };
                (name.as_str().unwrap().to_owned(), value)
            })
            .collect();
        runner.run(&script.replace("ghcr.io", &host), &given);
        ran += 1;
    }
    assert_eq!(ran, 3);
    runner.check("team/app");
}

#[test]
fn the_jobs_for_gitlab_publish_and_sign() {
    let mut runner = Runner::new();
    let image = format!("{}/team/app", runner.registry.host());
    for (name, value) in [
        ("CI_REGISTRY_IMAGE", image.as_str()),
        ("CI_COMMIT_TAG", "v1"),
        ("CI_REGISTRY_USER", "me"),
        ("CI_REGISTRY_PASSWORD", "secret-token"),
    ] {
        runner.set(name, value);
    }
    let jobs = workflow("needs: [publish]");
    let script = |job: &str| {
        let lines = jobs[job]["script"].as_vec().unwrap().iter();
        let lines: Vec<&str> = lines.map(|line| line.as_str().unwrap()).collect();
        lines.join("\n")
    };
    runner.run(&script("publish"), &[]);
    let dotenv = jobs["publish"]["artifacts"]["reports"]["dotenv"].as_str();
    let given: Vec<(String, String)> = lines(&runner, dotenv.unwrap()).into_iter().collect();
    runner.run(&script("sign"), &given);
    runner.check("team/app");
}
