//! Builds tar archives entry by entry, with headers that only these tests need.

pub(crate) use super::shared::archive::{Entry, open_tar, tar};

impl Entry {
    pub(crate) fn size(mut self, field: impl AsRef<[u8]>) -> Self {
        self.size = Some(field.as_ref().to_vec());
        self
    }

    /// A PAX header with these records, for the entry that follows.
    pub(crate) fn pax(records: &[(&str, &str)]) -> Self {
        let text: String = records
            .iter()
            .map(|(key, value)| {
                let rest = format!(" {key}={value}\n");
                let mut len = rest.len() + 1;
                while len != rest.len() + len.to_string().len() {
                    len = rest.len() + len.to_string().len();
                }
                format!("{len}{rest}")
            })
            .collect();
        Entry::new("PaxHeaders.0/x", b'x', text)
    }

    /// A GNU long name, for the entry that follows.
    pub(crate) fn gnu_name(name: impl AsRef<[u8]>) -> Self {
        let mut data = name.as_ref().to_vec();
        data.push(0);
        Entry::new("././@LongLink", b'L', data)
    }
}
