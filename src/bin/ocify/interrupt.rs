//! Stopping when asked to: the first signal lets the run end cleanly, the second ends it at once.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// The signals that ask a run to stop.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
/// How long a run that was asked to stop may do nothing before it is ended: it waits for a pipe.
const IDLE_LIMIT: Duration = Duration::from_secs(2);
/// How long it may work until it is ended. A large piece may be at the highest level of compression.
const LIMIT: Duration = Duration::from_secs(10);
/// How often to look whether it does something.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The thread that waits for signals needs little.
const STACK_LEN: usize = 256 << 10;

/// Whether, and by which signal, the run was asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    /// The signals that the run listens to, once it does.
    signals: Arc<OnceLock<Vec<i32>>>,
    is_asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Listens from now on. If that is not possible, signals do what they always do.
    pub(crate) fn listen(&self) {
        self.register();
    }

    fn register(&self) -> &[i32] {
        self.signals.get_or_init(|| {
            let signals: Vec<i32> = heeded().collect();
            for signal in &signals {
                self.register_one(*signal);
            }
            signals
        })
    }

    fn register_one(&self, signal: i32) {
        let is_asked = || Arc::clone(&self.is_asked);
        let number = usize::try_from(signal).unwrap_or(0);
        // In this order: the second signal finds what the first one left.
        let _ = flag::register_conditional_shutdown(signal, 128 + signal, is_asked())
            .and_then(|_| flag::register_usize(signal, Arc::clone(&self.signal), number))
            .and_then(|_| flag::register(signal, is_asked()));
    }

    /// Listens, and calls `end` in another thread if the run goes on after the first signal.
    pub(crate) fn watch(&self, end: impl FnOnce(u8) + Send + 'static) {
        let signals = self.register();
        let Ok((mut signaled, signal_end)) = UnixStream::pair() else {
            return;
        };
        for signal in signals {
            let registered = signal_end
                .try_clone()
                .and_then(|end| pipe::register(*signal, end));
            if registered.is_err() {
                return;
            }
        }
        let interrupt = self.clone();
        let wait = move || {
            if signaled.read_exact(&mut [0]).is_ok() {
                wait_for_end();
                end(interrupt.exit_code());
            }
        };
        // Without the thread, only a second signal ends a run that waits.
        let _ = thread::Builder::new().stack_size(STACK_LEN).spawn(wait);
    }

    /// Whether the run was asked to stop.
    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// The same, asked while the run waits for another process. It listens if it did not before: in a
    /// container the run is process 1, which signals do not end.
    pub(crate) fn is_asked_in_a_wait(&self) -> bool {
        self.listen();
        self.is_asked()
    }

    /// The exit code by which shells know the signal.
    pub(crate) fn exit_code(&self) -> u8 {
        u8::try_from(128 + self.signal.load(Ordering::Relaxed)).unwrap_or(u8::MAX)
    }
}

/// Waits until this process should have ended: when it has used no processor time for a while, and at last in any case.
fn wait_for_end() {
    let started = Instant::now();
    let mut used = processor_time();
    let mut idle = Duration::ZERO;
    while idle < IDLE_LIMIT && started.elapsed() < LIMIT {
        thread::sleep(LOOK_EVERY);
        let now = processor_time();
        idle = if now == used {
            idle + LOOK_EVERY
        } else {
            Duration::ZERO
        };
        used = now;
    }
}

/// The time that this process has used, in ticks of 10 ms: of the user and of the system. They are fields 14 and 15, and field 2 is
/// a name in parentheses.
fn processor_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some(user + system)
}

/// The signals that whoever started the run lets through: `nohup` ignores SIGHUP, and a shell without job control ignores
/// SIGINT in the background.
fn heeded() -> impl Iterator<Item = i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let ignored = ignored.unwrap_or(0);
    SIGNALS
        .into_iter()
        .filter(move |signal| ignored >> (signal - 1) & 1 == 0)
}
