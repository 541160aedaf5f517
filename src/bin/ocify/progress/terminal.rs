//! Where bars are drawn: at the bottom of standard error, if that is a terminal that can move its cursor.

use std::io;

use console::{Term, is_dumb};
use indicatif::{ProgressDrawTarget, TermLike};

/// How many times a second bars are drawn at most.
const RATE: u8 = 20;

/// Standard error for bars; if nothing can be drawn there, they are hidden.
pub(super) fn target() -> ProgressDrawTarget {
    let term = Term::buffered_stderr();
    match term.is_term() && !is_dumb() {
        true => ProgressDrawTarget::term_like_with_hz(Box::new(Terminal(term)), RATE),
        false => ProgressDrawTarget::hidden(),
    }
}

/// A terminal whose cursor is at the start of a line whenever something was drawn. indicatif leaves it behind the last column: there, the `^C`
/// that the terminal shows would begin a line, and what is drawn next would be one line too low.
#[derive(Debug)]
struct Terminal(Term);

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        self.0.size().1
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_left(columns)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.write_str("\r")?;
        self.0.flush()
    }
}
