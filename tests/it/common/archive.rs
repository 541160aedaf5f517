//! Builds tar archives entry by entry, with headers that only these tests need.

pub(crate) use super::shared::archive::{Entry, open_tar, tar};

impl Entry {
    pub(crate) fn size(mut self, field: impl AsRef<[u8]>) -> Self {
        self.size = Some(field.as_ref().to_vec());
        self
    }

    /// A GNU long name, for the entry that follows.
    pub(crate) fn gnu_name(name: impl AsRef<[u8]>) -> Self {
        let mut data = name.as_ref().to_vec();
        data.push(0);
        Entry::new("././@LongLink", b'L', data)
    }
}
