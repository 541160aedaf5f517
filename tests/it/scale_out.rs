//! Runs the examples of docs/scale-out.md verbatim, with the variables that each engine documents, on a tree with a damaged archive. The
//! shards together must write what a single run writes.

mod actions;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use crate::common::batch::{outputs, parsed, put, put_fixture};
use crate::common::pages::{block, blocks};
use crate::common::runner::{Run, Sandbox, run, write_program};
use crate::common::{fixture, fixtures, repository, skip, tree};
use actions::{Actions, Job, assert_disjoint, copy, text, yaml};

const PAGE: &str = include_str!("../../docs/scale-out.md");
const CI: &str = include_str!("../../docs/ci.md");
const OCIFY: &str = env!("CARGO_BIN_EXE_ocify");
const DAMAGED: &str = "images/first/damaged.tar";

/// What stands in for ssh: `ssh HOST -- COMMAND`.
const SSH: &str = "#!/bin/sh\necho \"$1\" >>\"$HOME/hosts\"\nshift 2\nexec sh -c \"$*\"\n";

/// A tree, and what a single run writes for it.
struct Site {
    sandbox: Sandbox,
    before: Vec<(PathBuf, Vec<u8>)>,
}

impl Site {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        for folder in ["first", "second/deep"] {
            for name in fixtures() {
                put_fixture(&sandbox, &format!("images/{folder}/{name}"), &name);
            }
        }
        let whole = fs::read(fixture("buildkit-docker-zstd-ocifalse.tar")).unwrap();
        put(&sandbox, DAMAGED, &whole[..7000]);
        put(&sandbox, "images/notes.txt", "no archive");
        fs::create_dir(sandbox.path("bin")).unwrap();
        symlink(OCIFY, sandbox.path("bin/ocify")).unwrap();
        let line = [
            "fix",
            "images",
            "-o",
            "whole",
            "--digest-map",
            "whole.jsonl",
        ];
        sandbox.ocify(&line).exits(1);
        let before = tree(&sandbox.path("images"));
        Site { sandbox, before }
    }

    /// The search path of a worker.
    fn path(&self) -> String {
        format!("{}:/usr/bin:/bin", self.sandbox.path("bin").display())
    }

    /// A command of a worker, with these variables and no others.
    fn worker(&self, directory: &Path, variables: &[(&str, String)]) -> Command {
        let mut command = Command::new("/bin/bash");
        command.current_dir(directory).env_clear();
        command.env("PATH", self.path());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Forgets what was written.
    fn clear(&self, directory: &Path) {
        let mut command = self.worker(directory, &[]);
        command.args(["-c", "rm -rf fixed report-* digests-*"]);
        run(&mut command).exits(0);
    }

    /// The shards did everything once, and what they wrote is what a single run writes. Returns the shard that the damaged archive is
    /// in, counted from 1.
    #[track_caller]
    fn check(&self, directory: &Path, count: usize) -> usize {
        let whole = outputs(&self.sandbox.path("whole"));
        assert!(whole.len() > 2 * 48);
        assert!(outputs(&directory.join("fixed")) == whole, "outputs differ");
        assert!(tree(&self.sandbox.path("images")) == self.before);
        let read = |name: String| fs::read_to_string(directory.join(name)).unwrap();
        let own = format!("{}/images/", self.sandbox.root().display());
        let (mut inputs, mut failed, mut map) = (Vec::new(), Vec::new(), String::new());
        for number in 1..=count {
            let (items, summary) = parsed(&read(format!("report-{number}-of-{count}.jsonl")));
            assert_eq!(summary["shard"], format!("{number}/{count}"));
            assert_eq!(summary["interrupted"], false);
            for (input, item) in items {
                if item["status"] == "failed" {
                    assert!(input.ends_with(DAMAGED), "{item:#}");
                    failed.push(number);
                }
                inputs.push(input.replace(&own, "images/"));
            }
            map.push_str(
                &read(format!("digests-{number}-of-{count}.jsonl")).replace(&own, "images/"),
            );
        }
        let found = inputs.len();
        let inputs: BTreeSet<String> = inputs.into_iter().collect();
        assert_eq!(inputs.len(), found, "an input twice");
        assert_eq!(found, 2 * fixtures().len() + 1);
        let single = self.sandbox.read("whole.jsonl");
        assert_eq!(sorted(&map), sorted(&String::from_utf8(single).unwrap()));
        assert_eq!(failed.len(), 1);
        failed[0]
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert!(lines.len() > 20, "{}", lines.len());
    lines
}

/// Runs all at the same time.
fn together(commands: Vec<Command>) -> Vec<Run> {
    thread::scope(|scope| {
        let runs: Vec<_> = commands
            .into_iter()
            .map(|mut command| scope.spawn(move || run(&mut command)))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    })
}

/// Only the shard with the damaged archive has failed.
#[track_caller]
fn assert_codes(runs: &[Run], failing: usize) {
    for (number, run) in (1..).zip(runs) {
        assert_eq!(run.code, i32::from(number == failing), "{run:#?}");
    }
}

/// Whether a program is there; otherwise says aloud that nothing was tested.
fn has(program: &str) -> bool {
    if ["/usr/bin", "/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(program).exists())
    {
        return true;
    }
    let why = format!("the examples with {program} in docs/scale-out.md need {program}");
    skip(&why, "OCIFY_REQUIRE_ENGINES");
    false
}

#[test]
fn every_example_is_tested() {
    let mut languages: Vec<&str> = blocks(PAGE).iter().map(|(language, _)| *language).collect();
    languages.sort_unstable();
    // In the tests below, by a part of each.
    let expected = [&["bash"; 5][..], &["dockerfile"], &["sh"; 5], &["text"]].concat();
    assert_eq!(languages[..12], expected);
    assert_eq!(languages[12..], ["yaml"; 5]);
}

#[test]
fn kubernetes() {
    let site = Site::new();
    let image = block(PAGE, "FROM scratch");
    let built = block(PAGE, "crt-static");
    for part in ["--release", "--target x86_64-unknown-linux-gnu"] {
        assert!(built.contains(part), "{built}");
    }
    let copied = "COPY target/x86_64-unknown-linux-gnu/release/ocify /ocify\n";
    assert!(image.contains(copied) && image.contains("ENTRYPOINT [\"/ocify\"]\n"));

    let documents = YamlLoader::load_from_str(&block(PAGE, "kind: Job")).unwrap();
    let [claim, job] = &documents[..] else {
        panic!("two documents");
    };
    assert_eq!(claim["kind"].as_str(), Some("PersistentVolumeClaim"));
    assert_eq!(job["apiVersion"].as_str(), Some("batch/v1"));
    let (job, pod) = (&job["spec"], &job["spec"]["template"]["spec"]);
    assert_eq!(job["completionMode"].as_str(), Some("Indexed"));
    // Without it there is no limit for each index.
    assert_eq!(pod["restartPolicy"].as_str(), Some("Never"));
    let container = &pod["containers"][0];
    let rule = &job["podFailurePolicy"]["rules"][1]["onExitCodes"];
    assert_eq!(rule["containerName"], container["name"]);
    assert_eq!(rule["values"], yaml("[2]"));

    // Each mount is a directory here, by the name of its volume.
    let mounts = container["volumeMounts"].as_vec().unwrap();
    let names = |list: &[Yaml]| list.iter().map(|entry| text(&entry["name"])).collect();
    let mounted: BTreeSet<String> = names(mounts);
    let volumes: BTreeSet<String> = names(pod["volumes"].as_vec().unwrap());
    assert_eq!(mounted, volumes);
    let shared = site.sandbox.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::create_dir(site.sandbox.path("tmp")).unwrap();
    let count = job["completions"].as_i64().unwrap();
    let command = |index: i64| {
        let mut command = site.sandbox.command();
        command.env("JOB_COMPLETION_INDEX", index.to_string());
        command.env("TMPDIR", site.sandbox.path("tmp"));
        for argument in container["args"].as_vec().unwrap() {
            let argument = text(argument);
            let here = mounts.iter().find_map(|mount| {
                let path = site.sandbox.path(&text(&mount["name"]));
                let (option, rest) = argument.split_once(&text(&mount["mountPath"]))?;
                let is_path = option.is_empty() || option.ends_with('=');
                is_path.then(|| format!("{option}{}{rest}", path.display()))
            });
            let argument = here.unwrap_or(argument);
            command.arg(argument);
        }
        command
    };
    // A pod is killed as soon as something is finished, and its index starts again with all others.
    let mut first = command(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let state = shared.join(format!("fixed/.ocify-state-1-of-{count}"));
    loop {
        let ended = first.try_wait().unwrap();
        if fs::metadata(&state).is_ok_and(|found| found.len() > 0) {
            break;
        }
        assert!(ended.is_none(), "{ended:?}, and nothing was noted");
        thread::sleep(Duration::from_millis(1));
    }
    first.kill().unwrap();
    let _ended_or_killed = first.wait().unwrap();
    let runs = together((0..count).map(command).collect());
    let failing = site.check(&shared, count as usize);
    assert_codes(&runs, failing);
    let (items, _) =
        parsed(&fs::read_to_string(shared.join(format!("report-1-of-{count}.jsonl"))).unwrap());
    assert!(items.values().any(|item| item["status"] == "kept"));
    // More pods than shards: the Job ends, as its policy says of this code.
    run(&mut command(count)).exits(2);
}

/// Numbers of the tasks of an array.
fn tasks(array: &str) -> Vec<u64> {
    let array = array.split('%').next().unwrap();
    let (range, step) = array.split_once(':').unwrap_or((array, "1"));
    let (first, last) = range.split_once('-').unwrap();
    let numbers = first.parse::<u64>().unwrap()..=last.parse().unwrap();
    numbers.step_by(step.parse().unwrap()).collect()
}

#[test]
fn slurm() {
    let site = Site::new();
    let script = block(PAGE, "#SBATCH");
    let option = |name: &str| {
        let lines = script
            .lines()
            .filter_map(|line| line.strip_prefix("#SBATCH --"));
        let mut pairs = lines.filter_map(|line| line.split_once('='));
        pairs
            .find(|(found, _)| *found == name)
            .unwrap()
            .1
            .to_owned()
    };
    let root = site.sandbox.root();
    site.sandbox.put("ocify.sbatch", &script);
    let submit = |array: &str| {
        let tasks = tasks(array);
        let command = |id: &u64| {
            let step = tasks[1] - tasks[0];
            let variables = [
                ("SLURM_ARRAY_JOB_ID", "7".to_owned()),
                ("SLURM_ARRAY_TASK_ID", id.to_string()),
                ("SLURM_ARRAY_TASK_COUNT", tasks.len().to_string()),
                ("SLURM_ARRAY_TASK_MIN", tasks[0].to_string()),
                ("SLURM_ARRAY_TASK_MAX", tasks[tasks.len() - 1].to_string()),
                ("SLURM_ARRAY_TASK_STEP", step.to_string()),
                ("SLURM_CPUS_PER_TASK", option("cpus-per-task")),
            ];
            let mut command = site.worker(root, &variables);
            command.arg("ocify.sbatch");
            command
        };
        together(tasks.iter().map(command).collect())
    };
    for array in [option("array").as_str(), "0-3", "1-7:2", "1-10%8"] {
        site.clear(root);
        let runs = submit(array);
        let failing = site.check(root, runs.len());
        assert_codes(&runs, failing);
    }
    // The complete array again: everything is kept except what failed.
    let runs = submit("1-10%8");
    let failing = site.check(root, 10);
    assert_codes(&runs, failing);
    for (number, run) in (1..).zip(&runs) {
        let last = run.stdout.lines().last().unwrap();
        assert!(last.contains(" finished earlier"), "{last}");
        assert_eq!(last.contains(", 1 failed"), number == failing, "{last}");
        assert!(!last.contains(" fixed"), "{last}");
    }
    // Another number of shards knows what these have finished.
    let runs = submit("1-3");
    let failing = site.check(root, 3);
    assert_codes(&runs, failing);
    assert!(runs.iter().all(|run| !run.stdout.contains("\nfixed ")));
}

#[test]
fn github_actions() {
    let site = Site::new();
    let script = format!(
        "#!/bin/sh\ncp -a {} \"$1\"\n",
        site.sandbox.path("images").display()
    );
    fs::create_dir_all(site.sandbox.path("repository/tools")).unwrap();
    write_program(&site.sandbox.path("repository/build-images"), &script);
    symlink(OCIFY, site.sandbox.path("repository/tools/ocify")).unwrap();
    let path = "/usr/bin:/bin".to_owned();
    let actions = Actions::new(&site.sandbox, site.sandbox.path("repository"), path);
    let workflow = yaml(&block(PAGE, "strategy.job-total"));
    let jobs = actions.run(&workflow);
    let shards: Vec<&Job> = jobs.iter().filter(|job| job.name == "fix").collect();
    let merge = jobs.last().unwrap();
    assert_eq!((merge.name.as_str(), merge.is_good), ("merge", true));
    let failing = site.check(&merge.workspace.join("out"), shards.len());
    assert!(shards.len() > 1);
    for (number, job) in (1..).zip(shards) {
        assert_eq!(job.value, Some(number.to_string()));
        assert_eq!(job.is_good, number != failing, "{job:?}");
    }
}

#[test]
fn gnu_parallel() {
    if !has("parallel") {
        return;
    }
    let site = Site::new();
    let root = site.sandbox.root();
    write_program(&site.sandbox.path("bin/ssh-here"), SSH);
    let script = block(PAGE, "parallel --jobs");
    let variables = [
        ("HOME", root.display().to_string()),
        ("SHELL", "/bin/bash".to_owned()),
        ("PARALLEL_SSH", "ssh-here".to_owned()),
    ];
    let play = |script: &str| {
        let mut command = site.worker(root, &variables);
        run(command.args(["-c", script]))
    };
    let found = play(&script);
    assert_eq!(found.code, 1, "as many as failed: {found:#?}");
    let failing = site.check(root, 4);
    let hosts = String::from_utf8(site.sandbox.read("hosts")).unwrap();
    let hosts: BTreeSet<&str> = hosts.lines().collect();
    assert_eq!(hosts, BTreeSet::from(["node1", "node2"]));
    // Sequence number and exit code of each run, by the log.
    let ran = || {
        let log = String::from_utf8(site.sandbox.read("ocify.joblog")).unwrap();
        let fields = log.lines().skip(1).map(|line| line.split('\t').collect());
        let mut runs: Vec<(usize, String)> = fields
            .map(|fields: Vec<&str>| (fields[0].parse().unwrap(), fields[6].to_owned()))
            .collect();
        runs.sort();
        runs
    };
    let code = |number: usize| i32::from(number == failing).to_string();
    let mut expected: Vec<_> = (1..=4).map(|number| (number, code(number))).collect();
    assert_eq!(ran(), expected);
    let again = script.replace("--retries 2", "--resume-failed");
    assert_eq!(play(&again).code, 1);
    expected.push((failing, "1".to_owned()));
    expected.sort();
    assert_eq!(ran(), expected, "only the shard that failed");
    site.check(root, 4);
}

#[test]
fn xargs_and_the_reports_together() {
    let site = Site::new();
    let root = site.sandbox.root();
    let play = |script: &str| run(site.worker(root, &[]).args(["-c", script]));
    let found = play(&block(PAGE, "xargs -P"));
    assert_eq!(found.code, 123, "{found:#?}");
    site.check(root, 4);
    if !has("jq") {
        return;
    }
    let found = play(&block(PAGE, "jq -s")).exits(0);
    let (failed, sums) = found.stdout.split_once('\n').unwrap();
    assert!(failed.starts_with(&format!("{DAMAGED}: ")), "{failed}");
    let sums: Value = serde_json::from_str(sums).unwrap();
    assert_eq!(sums["ended"], 4);
    let total = 2 * fixtures().len() + 1;
    let counts = ["total", "failed", "kept", "unfinished"].map(|name| &sums["items"][name]);
    assert_eq!(counts, [&json!(total), &json!(1), &json!(0), &json!(0)]);
    let map = site.sandbox.read("digests.jsonl");
    let whole = site.sandbox.read("whole.jsonl");
    let lines = |bytes: &[u8]| sorted(std::str::from_utf8(bytes).unwrap()).join("\n");
    assert_eq!(lines(&map), lines(&whole));
}

/// A task of an array, from 1, of so many: its variables.
type Variables = fn(usize, usize) -> Vec<(&'static str, String)>;

/// Runs one script as each of four tasks.
#[track_caller]
fn run_tasks(site: &Site, script: &str, variables: Variables) {
    let root = site.sandbox.root();
    site.clear(root);
    let task = |number: usize| {
        let mut command = site.worker(root, &variables(number, 4));
        command.args(["-c", script]);
        command
    };
    let runs = together((1..=4).map(task).collect());
    let failing = site.check(root, 4);
    assert_codes(&runs, failing);
}

#[test]
fn grid_engine_pbs_lsf() {
    let site = Site::new();
    let cases: [(&str, &str, Variables); 3] = [
        ("#$ -t", "#$ -t 1-4", |number, count| {
            vec![
                ("SGE_TASK_ID", number.to_string()),
                ("SGE_TASK_FIRST", "1".to_owned()),
                ("SGE_TASK_LAST", count.to_string()),
                ("SGE_TASK_STEPSIZE", "1".to_owned()),
            ]
        }),
        ("#PBS", "#PBS -J 1-4", |number, _| {
            vec![
                ("PBS_ARRAY_INDEX", number.to_string()),
                ("PBS_O_WORKDIR", ".".to_owned()),
            ]
        }),
        ("#BSUB", "#BSUB -J \"ocify[1-4]\"", |number, count| {
            vec![
                ("LSB_JOBINDEX", number.to_string()),
                ("LSB_JOBINDEX_END", count.to_string()),
                ("LSB_JOBINDEX_STEP", "1".to_owned()),
            ]
        }),
    ];
    for (part, array, variables) in cases {
        let script = block(PAGE, part);
        assert!(script.lines().any(|line| line == array), "{script}");
        run_tasks(&site, &script, variables);
    }
}

#[test]
fn aws_batch_google_batch_cloud_run() {
    let site = Site::new();
    let mut commands = blocks(PAGE);
    commands.retain(|(language, text)| *language == "sh" && text.starts_with("ocify fix images"));
    let [(_, command)] = &commands[..] else {
        panic!("{commands:?}");
    };
    let cases: [Variables; 3] = [
        |number, count| {
            vec![
                ("AWS_BATCH_JOB_ARRAY_INDEX", (number - 1).to_string()),
                ("AWS_BATCH_JOB_ARRAY_SIZE", count.to_string()),
            ]
        },
        |number, count| {
            vec![
                ("BATCH_TASK_INDEX", (number - 1).to_string()),
                ("BATCH_TASK_COUNT", count.to_string()),
            ]
        },
        |number, count| {
            vec![
                ("CLOUD_RUN_TASK_INDEX", (number - 1).to_string()),
                ("CLOUD_RUN_TASK_COUNT", count.to_string()),
            ]
        },
    ];
    for variables in cases {
        run_tasks(&site, command, variables);
    }
}

/// What stands in for aws: `s3 cp -` stores what it reads, and `s3 mv` renames it, in a directory for each bucket.
const AWS: &str = "#!/bin/sh
set -e
to=$(echo \"$4\" | sed 's,^s3://,,')
mkdir -p \"$(dirname \"$to\")\"
case \"$2\" in
  cp) cat >\"$to\" ;;
  mv) mv \"$(echo \"$3\" | sed 's,^s3://,,')\" \"$to\" ;;
esac
";

#[test]
fn an_object_appears_under_its_name_only_if_the_fix_succeeds() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("bin")).unwrap();
    symlink(OCIFY, sandbox.path("bin/ocify")).unwrap();
    write_program(&sandbox.path("bin/aws"), AWS);
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    let play = |script: &str| {
        let mut command = Command::new("/bin/bash");
        command.current_dir(sandbox.root()).env_clear();
        run(command.env("PATH", &path).args(["-c", script]))
    };
    let whole = fs::read(fixture("buildkit-docker-zstd-ocifalse.tar")).unwrap();
    let mut damaged = whole.clone();
    // In a layer: it is noticed after the first blobs have been written.
    damaged.truncate(whole.len() - 4000);
    let unsafe_form = block(PAGE, "| aws s3 cp - s3://images/app.tar\n");
    let safe_form = block(PAGE, "aws s3 mv");
    sandbox.put("app.tar", &damaged);
    // The danger is real.
    assert_eq!(play(&unsafe_form).code, 0);
    let published = sandbox.read("images/app.tar");
    assert!(!published.is_empty());
    sandbox.put("published.tar", published);
    sandbox.ocify(&["check", "published.tar"]).exits(1);
    fs::remove_dir_all(sandbox.path("images")).unwrap();
    let failed = play(&safe_form);
    assert_ne!(failed.code, 0, "{failed:#?}");
    assert!(!sandbox.path("images/app.tar").exists());
    sandbox.put("app.tar", &whole);
    play(&safe_form).exits(0);
    let stored = sandbox.path("images/app.tar");
    let line = ["check", stored.to_str().unwrap(), "--for", "containerd@1.7"];
    sandbox.ocify(&line).exits(0);
}

/// An engine whose workers have directories of their own: its scripts, how many workers, the patterns of what is kept, and the
/// variables of one.
struct Ci {
    name: &'static str,
    scripts: Vec<String>,
    count: i64,
    kept: Yaml,
    variables: fn(i64, i64) -> [(&'static str, String); 2],
}

#[test]
fn gitlab_circleci_buildkite() {
    let gitlab = &yaml(&block(PAGE, ".gitlab-ci.yml"))["fix"];
    let circle = &yaml(&block(PAGE, ".circleci/config.yml"))["jobs"]["fix"];
    let buildkite = &yaml(&block(PAGE, ".buildkite/pipeline.yml"))["steps"][0];
    let scripts = gitlab["script"]
        .as_vec()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    assert_eq!(gitlab["artifacts"]["when"].as_str(), Some("always"));
    let steps = &circle["steps"];
    let engines = [
        Ci {
            name: "gitlab",
            scripts,
            count: gitlab["parallel"].as_i64().unwrap(),
            kept: gitlab["artifacts"]["paths"].clone(),
            variables: |number, count| {
                let variable = |name, value: i64| (name, value.to_string());
                [
                    variable("CI_NODE_INDEX", number),
                    variable("CI_NODE_TOTAL", count),
                ]
            },
        },
        Ci {
            name: "circleci",
            scripts: vec![text(&steps[1]["run"])],
            count: circle["parallelism"].as_i64().unwrap(),
            kept: steps[2]["persist_to_workspace"]["paths"].clone(),
            variables: |number, count| {
                let variable = |name, value: i64| (name, value.to_string());
                [
                    variable("CIRCLE_NODE_INDEX", number - 1),
                    variable("CIRCLE_NODE_TOTAL", count),
                ]
            },
        },
        Ci {
            name: "buildkite",
            scripts: vec![text(&buildkite["command"])],
            count: buildkite["parallelism"].as_i64().unwrap(),
            kept: buildkite["artifact_paths"].clone(),
            variables: |number, count| {
                let variable = |name, value: i64| (name, value.to_string());
                [
                    variable("BUILDKITE_PARALLEL_JOB", number - 1),
                    variable("BUILDKITE_PARALLEL_JOB_COUNT", count),
                ]
            },
        },
    ];
    let site = Site::new();
    for engine in &engines {
        let merged = site.sandbox.path(&format!("{}/merged", engine.name));
        fs::create_dir_all(&merged).unwrap();
        let mut runs = Vec::new();
        for number in 1..=engine.count {
            let own = site.sandbox.path(&format!("{}/{number}", engine.name));
            copy(&site.sandbox.path("images"), &own.join("images"));
            let variables = (engine.variables)(number, engine.count);
            let mut command = site.worker(&own, &variables);
            command.args(["-ec", &engine.scripts.join("\n")]);
            runs.push(run(&mut command));
            fs::remove_dir_all(own.join("images")).unwrap();
            for entry in fs::read_dir(&own).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let mut patterns = engine.kept.as_vec().unwrap().iter().map(text);
                assert!(patterns.any(|pattern| is_kept(&pattern, &name)), "{name}");
            }
            assert_disjoint(&own, &merged);
            copy(&own, &merged);
        }
        let failing = site.check(&merged, runs.len());
        assert!(runs.len() > 1);
        assert_codes(&runs, failing);
    }
}

/// Whether a pattern keeps what is in the working directory by this name.
fn is_kept(pattern: &str, name: &str) -> bool {
    let first = pattern.split('/').next().unwrap();
    match first.split_once('*') {
        Some((start, end)) => name.starts_with(start) && name.ends_with(end),
        None => first == name,
    }
}

#[test]
fn the_cache_of_github_actions() {
    let sandbox = Sandbox::new();
    let names = ["buildkit-docker-zstd-ocifalse.tar", "docker26c-save.tar"];
    for name in names {
        put_fixture(&sandbox, &format!("seed/images/{name}"), name);
    }
    put(
        &sandbox,
        "seed/images/list.txt",
        "docker.io/library/app:v1\n",
    );
    fs::create_dir_all(sandbox.path("runner/caches")).unwrap();
    let script = format!(
        "tar --posix -C {} -cf {} images",
        sandbox.path("seed").display(),
        sandbox.path("runner/caches/images-0").display()
    );
    run(Command::new("/bin/sh").args(["-c", &script])).exits(0);
    fs::create_dir(sandbox.path("bin")).unwrap();
    symlink(OCIFY, sandbox.path("bin/ocify")).unwrap();
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    let actions = Actions::new(&sandbox, repository("docs"), path);
    let workflow = yaml(&block(CI, "actions/cache/restore"));
    let mut logs = Vec::new();
    for _ in 0..2 {
        let [job] = &actions.run(&workflow)[..] else {
            panic!("one job");
        };
        assert!(job.is_good);
        logs.push(fs::read_to_string(job.workspace.with_file_name("log")).unwrap());
        for name in names {
            sandbox.fix(fixture(name), "single.tar").exits(0);
            let fixed = fs::read(job.workspace.join("fixed").join(name)).unwrap();
            assert!(fixed == sandbox.read("single.tar"), "{name}");
            fs::remove_file(sandbox.path("single.tar")).unwrap();
        }
    }
    assert!(
        logs[0].contains(" 1 fixed") || logs[0].contains(" 2 fixed"),
        "{}",
        logs[0]
    );
    assert!(
        logs[1].contains("2 inputs in ") && logs[1].contains(": 2 finished earlier"),
        "{}",
        logs[1]
    );
}
