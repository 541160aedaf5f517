//! When a request is repeated.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::broken::BrokenKind;
use super::http::Reply;
use super::options::TimeLimits;
use super::reply::retry_after;

/// The waits between the repetitions of one request.
#[derive(Debug)]
pub(super) struct Attempts {
    left: u32,
    all: u32,
    limits: TimeLimits,
}

impl Attempts {
    pub(super) fn new(retries: u32, limits: TimeLimits) -> Self {
        Attempts {
            left: retries,
            all: retries,
            limits,
        }
    }

    /// Starts counting again, after progress.
    pub(super) fn reset(&mut self) {
        self.left = self.all;
    }

    /// How long to wait before the next repetition; `None` if this was the last one, or if the registry asks for a
    /// longer wait than is allowed.
    pub(super) fn next(&mut self, requested: Option<Duration>) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let done = self.all - self.left - 1;
        let doubled = self.limits.first_wait.saturating_mul(1 << done.min(16));
        let wait = doubled.min(self.limits.longest_wait);
        // Clients that failed together do not come back together.
        let jitter = wait.mul_f64(0.5 + random() / 2.0);
        match requested {
            Some(requested) if requested > self.limits.longest_requested_wait => None,
            Some(requested) => Some(requested.max(jitter)),
            None => Some(jitter),
        }
    }
}

/// A number from 0 to 1. The keys of hash maps are random.
fn random() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

/// Whether a status may be another one soon.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Whether a request without a reply may have one the next time.
pub(super) fn may_pass(kind: BrokenKind) -> bool {
    match kind {
        BrokenKind::Unreachable | BrokenKind::Connection | BrokenKind::NotHttp => true,
        BrokenKind::NoHost | BrokenKind::Proxy | BrokenKind::Untrusted | BrokenKind::NotTls => {
            false
        }
    }
}

/// The wait that a reply asks for.
pub(super) fn requested_wait(reply: &Reply) -> Option<Duration> {
    retry_after(reply.header("retry-after")?, SystemTime::now())
}

/// Waits, unless `stop` ends it. Whether the wait was complete.
pub(super) fn wait(duration: Duration, stop: &dyn Fn() -> bool) -> bool {
    let Some(end) = Instant::now().checked_add(duration) else {
        return false;
    };
    loop {
        if stop() {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_limited() {
        let limits = TimeLimits::default();
        let mut attempts = Attempts::new(9, limits);
        for expected in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let wait = attempts.next(None).unwrap().as_millis();
            assert!(
                (expected / 2..=expected).contains(&wait),
                "{wait} {expected}"
            );
        }
        let minute = Duration::from_secs(60);
        assert_eq!(attempts.next(Some(minute)), Some(minute));
        assert_eq!(attempts.next(None), None);
        attempts.reset();
        assert_eq!(attempts.next(Some(Duration::from_secs(301))), None);
    }

    #[test]
    fn a_wait_can_be_stopped() {
        assert!(wait(Duration::ZERO, &|| false));
        assert!(!wait(Duration::from_secs(1000), &|| true));
        assert!(!wait(Duration::MAX, &|| false));
    }
}
