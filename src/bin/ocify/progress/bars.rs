//! The bars of a batch on a terminal: one for everything, and a line for each input above it.

use std::cell::RefCell;

use console::{Term, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::moment::Moment;
use super::terminal::target;

/// The bar counts in thousandths.
const FULL: u64 = 1000;
/// The columns of the bar, and of the space after it.
const BAR_WIDTH: usize = 26;

/// What is drawn at the bottom of the terminal.
pub(super) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    inputs: RefCell<Vec<ProgressBar>>,
}

impl Bars {
    pub(super) fn new() -> Self {
        let all = MultiProgress::with_draw_target(target());
        let total = all.add(ProgressBar::new(FULL));
        if let Ok(style) = ProgressStyle::with_template("{bar:25} {msg}") {
            total.set_style(style);
        }
        Bars {
            all,
            total,
            inputs: RefCell::new(Vec::new()),
        }
    }

    /// Draws a moment, with lines for inputs; `between` may print while nothing is drawn.
    pub(super) fn draw(&self, moment: &Moment, note: &str, lines: &[String], between: &dyn Fn()) {
        self.all.suspend(between);
        let mut inputs = self.inputs.borrow_mut();
        while inputs.len() > lines.len() {
            if let Some(bar) = inputs.pop() {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
        }
        while inputs.len() < lines.len() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            inputs.push(self.all.insert_before(&self.total, bar));
        }
        let columns = usize::from(Term::stderr().size().1);
        let fit = |text: &str, taken: usize| {
            truncate_str(text, columns.saturating_sub(taken), "…").into_owned()
        };
        for (bar, line) in inputs.iter().zip(lines) {
            bar.set_message(fit(line, 0));
        }
        self.total
            .set_position((moment.share() * FULL as f64) as u64);
        let text = match note {
            "" => moment.text(),
            note => format!("{note} {}", moment.text()),
        };
        self.total.set_message(fit(&text, BAR_WIDTH));
    }

    /// Leaves the terminal as it was.
    pub(super) fn clear(&self) {
        for bar in self.inputs.borrow().iter() {
            bar.finish_and_clear();
        }
        self.total.finish_and_clear();
        let _ = self.all.clear();
    }
}
