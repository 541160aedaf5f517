//! Where in an archive something is wrong.

use std::fmt;

use crate::location::Location;
use crate::text::escape;

/// Where in the archive or layout an error was found: at which location in its documents, in which
/// entry, at which byte. At least one of the three is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    location: Option<Location>,
    entry: Option<String>,
    byte: Option<u64>,
}

impl Place {
    /// The location in the documents of the archive, such as `index.json, manifests[0], layers[2]`.
    pub fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }

    /// The name of an entry of the archive, or of a file in the layout, as it is there: invisible
    /// characters are not escaped. Bytes that are not UTF-8 are, as `\xff`.
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }

    /// The offset in bytes from the start of the archive.
    pub fn byte(&self) -> Option<u64> {
        self.byte
    }

    pub(super) fn set_location(&mut self, location: Location) {
        self.location = Some(location);
    }

    pub(super) fn set_entry(&mut self, entry: String) {
        self.entry = Some(entry);
    }

    pub(super) fn set_byte(&mut self, byte: u64) {
        self.byte = Some(byte);
    }
}

/// The parts that are known, with the entry's name escaped for a terminal.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(location) = &self.location {
            write!(f, "{location}")?;
            separator = ", ";
        }
        if let Some(entry) = &self.entry {
            write!(f, "{separator}{}", escape(entry))?;
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
    use crate::location::RootName;

    #[test]
    fn the_known_parts_are_shown_in_order() {
        let mut place = Place::default();
        place.set_byte(512);
        assert_eq!(place.to_string(), "byte 512");
        place.set_entry("a\nb".to_owned());
        assert_eq!(place.to_string(), "a\\u{a}b, byte 512");
        place.set_location(RootName::Index.into());
        assert_eq!(place.to_string(), "index.json, a\\u{a}b, byte 512");
    }
}
