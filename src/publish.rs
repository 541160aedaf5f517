//! The one place where files get their final names.
//!
//! A file or directory is staged: it is filled without a name, or under a temporary one in the directory that
//! its final name is in. When it is complete it is synced, if that is wanted, and gets its final name, where
//! nothing is, in place of a file, or in exchange for a directory. So what has a final name is complete, and
//! what a run leaves when it is killed has no name or one that the next run knows.

mod acl;
mod destination;
mod file;
mod link;
mod permissions;
mod rename;
mod special;
mod staged;
mod sync;
mod temporary;
mod unnamed;

pub use destination::{is_link_to_file, is_open_file};
pub use file::{open_log, write_file};
pub use rename::{rename_new, replace};
pub use staged::{PublishOptions, Published, StagedDirectory, StagedFile};
pub use sync::{sync_directory, sync_group, sync_held, sync_tree};
pub use temporary::{is_at, is_temporary, remove_unheld, staged_directories};

pub(crate) use link::is_link;
pub(crate) use unnamed::{link_open, linkable, nameless};
