//! A machine of its own for each engine: one process tree with a root folder that it cannot change, and without a network.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Where the shared folder is inside every machine.
pub(crate) const SHARED: &str = "/run/ocify";

/// Where an engine keeps what it loads: in memory, and seen by this machine alone. Stores sync often, which takes its time on a disk.
pub(crate) const DATA: &str = "/run/data";

/// The longest that one command may take. On a busy machine the slowest take five seconds.
const COMMAND_SECONDS: &str = "60";

/// The longest that a daemon may take until it answers.
const READY: Duration = Duration::from_secs(60);

const INIT: &str = include_str!("machine.sh");

/// Namespaces of mounts, processes and network that end, with all that runs and is mounted in them, when this is dropped, or when
/// the test process ends, however it ends: the first process reads from a pipe that only this process keeps open.
#[derive(Debug)]
pub(crate) struct Machine {
    init: Child,
    pid: String,
    daemons: Vec<Child>,
    own: PathBuf,
    name: String,
    network: Network,
}

/// What a machine can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Nothing,
    /// What the test process can reach: a registry on its loopback interface.
    Shared,
}

impl Network {
    fn option(self) -> &'static [&'static str] {
        match self {
            Network::Nothing => &["--net"],
            Network::Shared => &[],
        }
    }
}

impl Machine {
    /// Starts a machine with `root` as its root folder and `shared` visible as [`SHARED`].
    pub(crate) fn start(root: &Path, shared: &Path, name: &str) -> Result<Self, String> {
        Self::start_with(root, shared, name, Network::Nothing)
    }

    /// The same with a network.
    pub(crate) fn start_with(
        root: &Path,
        shared: &Path,
        name: &str,
        network: Network,
    ) -> Result<Self, String> {
        let own = shared.join(name);
        let scratch = own.join("root");
        fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
        let mut init = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--pid"])
            .args(network.option())
            .args(["--fork", "--kill-child", "--", "sh", "-c", INIT, "sh"])
            .args([root, shared, &scratch])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("unshare: {e}"))?;
        let mut pid = String::new();
        if let Some(stdout) = init.stdout.take() {
            // An error here leaves the number empty.
            let _ = BufReader::new(stdout).read_line(&mut pid);
        }
        let machine = Self {
            init,
            pid: pid.trim().to_owned(),
            daemons: Vec::new(),
            own,
            name: name.to_owned(),
            network,
        };
        if machine.pid.is_empty() {
            return Err(format!(
                "machine {name} did not start; its message is above"
            ));
        }
        Ok(machine)
    }

    /// What the names of all control groups begin with that are made here. Those stay visible from outside.
    pub(crate) fn group(&self) -> String {
        format!("ocify-{}-{}", process::id(), self.name)
    }

    /// Writes a file into the folder of this machine, and returns its path as seen from inside.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<String, String> {
        let path = self.own.join(name);
        fs::write(&path, content).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(format!("{SHARED}/{}/{name}", self.name))
    }

    /// Runs a command to its end, and returns what it says on standard output, or all it says if it fails.
    pub(crate) fn run(&self, line: &[&str]) -> Result<String, String> {
        let output = self
            .command()
            .args(["timeout", "--kill-after=5", COMMAND_SECONDS])
            .args(line)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("nsenter: {e}"))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Ok(stdout);
        }
        Err(format!(
            "{}: {}\n{stdout}{stderr}",
            line.join(" "),
            match output.status.code() {
                Some(124 | 137) => format!("not done in {COMMAND_SECONDS} seconds"),
                _ => output.status.to_string(),
            }
        ))
    }

    /// Starts a daemon, with its output in the log, and waits until `probe` succeeds.
    pub(crate) fn start_daemon(&mut self, line: &[&str], probe: &[&str]) -> Result<(), String> {
        let log = File::create(self.log_file()).map_err(|e| format!("log: {e}"))?;
        let log_again = log.try_clone().map_err(|e| format!("log: {e}"))?;
        let daemon = self
            .command()
            .args(line)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_again)
            .spawn()
            .map_err(|e| format!("nsenter: {e}"))?;
        self.daemons.push(daemon);
        let deadline = Instant::now() + READY;
        loop {
            match self.run(probe) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(format!("{} does not answer: {error}", self.name));
                }
                Err(_) => thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// The end of the daemon's log, for a message about a failure.
    pub(crate) fn log(&self) -> String {
        const LINES: usize = 40;
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.own.join("daemon.log")
    }

    /// A command inside; the program and its arguments follow.
    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.pid, "--mount", "--pid"])
            // The root of its mounts is another one than that of its processes if the tests run below chroot.
            .args(["--root", "--wd"])
            .args(self.network.option())
            .arg("--")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1");
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The end of its input ends the first process, and the kernel then kills all others in the machine.
        drop(self.init.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.init.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        // For one that did not end: the death of unshare kills its child. Otherwise this fails, as it should.
        let _ = self.init.kill();
        let _ = self.init.wait();
        for daemon in &mut self.daemons {
            let _ = daemon.wait();
        }
        let group = self.group();
        let versions = Path::new("/sys/fs/cgroup");
        remove_groups(versions, &group);
        for controller in folders(versions) {
            remove_groups(&controller, &group);
        }
    }
}

/// Removes the control groups in this folder that have a name with this beginning. Only empty ones can be removed.
fn remove_groups(folder: &Path, beginning: &str) {
    for group in folders(folder) {
        let name = group.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(beginning) {
            remove_groups(&group, "");
            let _ = fs::remove_dir(&group);
        }
    }
}

/// The folders in a folder.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths.filter(|path| path.is_dir()).collect()
}
