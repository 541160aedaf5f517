//! Where in an archive something is wrong.

use std::fmt;

/// Where in the archive or layout an error was found: in which document, in which entry, at which
/// byte. At least one of the three is known.
///
/// Names and places are as the input has them; text that goes to a terminal is escaped first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    document: Option<String>,
    entry: Option<String>,
    byte: Option<u64>,
}

impl Place {
    /// The path from a root document to the part that is meant, such as
    /// `index.json, manifests[0], layers[2]`.
    pub fn document(&self) -> Option<&str> {
        self.document.as_deref()
    }

    /// The name of an entry of the archive, or of a file in the layout.
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }

    /// The offset in bytes from the start of the archive.
    pub fn byte(&self) -> Option<u64> {
        self.byte
    }

    pub(super) fn set_document(&mut self, document: String) {
        self.document = Some(document);
    }

    pub(super) fn set_entry(&mut self, entry: String) {
        self.entry = Some(entry);
    }

    pub(super) fn set_byte(&mut self, byte: u64) {
        self.byte = Some(byte);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for name in [&self.document, &self.entry].into_iter().flatten() {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        match self.byte {
            Some(byte) => write!(f, "{separator}byte {byte}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_parts_are_shown_in_order() {
        let mut place = Place::default();
        place.set_byte(512);
        assert_eq!(place.to_string(), "byte 512");
        place.set_entry("oci-layout".to_owned());
        assert_eq!(place.to_string(), "oci-layout, byte 512");
        let mut place = Place::default();
        place.set_document("index.json, manifests[0]".to_owned());
        assert_eq!(place.to_string(), "index.json, manifests[0]");
    }
}
