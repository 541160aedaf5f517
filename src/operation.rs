//! What the operations have in common: their input, who watches them, and the steps from an input to a
//! graph.

mod input;
mod observer;
mod open;

pub use input::Input;
pub(crate) use input::{Kind, Stream};
pub(crate) use observer::Unobserved;
pub use observer::{Notice, Observer, SpoolReason, Stage};
pub(crate) use open::Opener;
