//! Panics, which are faults of ocify: each becomes the error of the input that it happened on.

use std::any::Any;
use std::env;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::path::Path;
use std::sync::{Mutex, Once, PoisonError};

use ocify::{Code, Error, Hint, Result, command::escape, command::show_path};

/// The most panics that are remembered until they are reported.
const MAX_SEEN: usize = 64;

/// What panics said, and where, until they are reported. A panic on a helper thread is reported by the thread
/// that waits for it, which gets only the message.
static SEEN: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// From now on, a panic is not printed but remembered for the error that reports it. It is printed too if
/// `RUST_BACKTRACE` is set. Only the first call has an effect: while a hook is replaced, no panic would be remembered.
pub(crate) fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        let print = panic::take_hook();
        let is_printed = env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
        panic::set_hook(Box::new(move |info| {
            if is_printed {
                print(info);
            }
            remember(info);
        }));
    });
}

fn remember(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.truncate(MAX_SEEN);
    seen.push((message(info.payload()), place.unwrap_or_default()));
}

/// Does work on an input, or on no particular one. A panic is an error.
///
/// # Errors
/// Those of the work; [`Code::Internal`] after a panic.
pub(crate) fn caught<T>(input: Option<&Path>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What a panic leaves half-done belongs to the work, and is dropped with it.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|payload| Err(error(input, &*payload)))
}

fn error(input: Option<&Path>, payload: &(dyn Any + Send)) -> Error {
    let message = message(payload);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let found = seen.iter().rposition(|(said, _)| *said == message);
    let place = found.map(|found| seen.swap_remove(found).1);
    drop(seen);
    let mut text = "internal error".to_owned();
    if let Some(input) = input {
        text.push_str(&format!(" while processing {}", show_path(input)));
    }
    text.push_str(&format!(": {}", escape(&message)));
    if let Some(place) = place {
        text.push_str(&format!(" ({place})"));
    }
    let error = Error::new(Code::Internal, text).with_hint(Hint::ReportFault);
    match input {
        Some(input) => error.with_path(input),
        None => error,
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_place() {
        listen();
        let input = Path::new("a\n.tar");
        let error = caught::<()>(Some(input), || panic!("went\nwrong")).unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert_eq!(error.path(), Some(input));
        assert_eq!(error.hint(), Some(&Hint::ReportFault));
        let text = error.to_string();
        let expected = "internal error while processing a\\u{a}.tar: went\\u{a}wrong (";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("panics.rs:"), "{text}");
        // One on another thread, whose place only the hook knows.
        let error = caught::<()>(None, || {
            let helper = thread::spawn(|| panic!("number {}", 7));
            panic::resume_unwind(helper.join().unwrap_err())
        });
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("internal error: number 7 ("), "{text}");
        assert!(text.contains("panics.rs:"), "{text}");
        assert_eq!(caught(None, || Ok(3)).unwrap(), 3);
    }
}
