//! Progress on standard error. Nothing here can make a run fail: what cannot be shown is not shown.

mod bars;
mod many;
mod moment;
mod single;
mod terminal;

pub(crate) use many::{Lines, Overview, Running};
pub(crate) use single::Shown;
