//! The names of a split's outputs, which follow from the names and digests of the images.
//!
//! A name is safe wherever it goes: it consists of lower-case letters, digits, `.`, `_` and `-`, is at most 120 bytes long without
//! a suffix, and means nothing to a shell or to Windows. Different images have different names, whether a filesystem
//! distinguishes upper and lower case or not.

use std::collections::BTreeMap;

use crate::image::{Algorithm, Digest, Platform, Reference};
use crate::plan::Part;

/// The longest name without a suffix, in bytes: some encrypted filesystems allow 143 for the name of a file.
const MAX_LEN: usize = 120;
/// How many hexadecimal digits make a name unique.
const SHORT: usize = 12;
/// What Windows takes for a device, whatever follows a dot.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// What an output is named after.
pub(super) struct Subject<'a> {
    /// The first name of the image.
    name: Option<String>,
    /// The platform, if the output is for one.
    platform: Option<String>,
    digest: &'a Digest,
    /// The image, if the output is for one platform.
    image: Option<&'a Digest>,
}

impl<'a> Subject<'a> {
    pub(super) fn of(part: &'a Part<'_>) -> Self {
        Subject {
            name: part.names.first().map(Reference::familiar),
            platform: part.image.and_then(|_| {
                let platform = part.platforms.first();
                platform.map(Platform::specifier)
            }),
            digest: part.digest,
            image: part.image,
        }
    }

    /// What the output is called if no other is called the same. No two subjects with different names or platforms have the
    /// same plain one.
    fn text(&self) -> String {
        let mut text = match &self.name {
            Some(name) => name.clone(),
            None => self.digest.to_string(),
        };
        if let Some(image) = self.image {
            text.push_str("//");
            match &self.platform {
                Some(platform) => text.push_str(platform),
                None => text.push_str(&image.to_string()),
            }
        }
        text
    }

    /// The same with everything that distinguishes it from others.
    fn identity(&self) -> String {
        let image = self.image.map(Digest::to_string).unwrap_or_default();
        format!("{} {} {image}", self.text(), self.digest)
    }

    fn stem(&self, uniqueness: Uniqueness) -> String {
        let text = self.text();
        let (hashed, digits) = match uniqueness {
            Uniqueness::Text => match plain(&text, self.name.is_some()) {
                Some(plain) => return plain,
                None => (text.clone(), SHORT),
            },
            Uniqueness::Identity => (self.identity(), SHORT),
            Uniqueness::WholeDigest => (self.identity(), usize::MAX),
        };
        let digest = Digest::of(Algorithm::Sha256, hashed.as_bytes());
        let hex = digest.hex();
        let suffix = &hex[..digits.min(hex.len())];
        let mut stem = readable(&text);
        stem.truncate(MAX_LEN - 1 - suffix.len());
        format!("{stem}-{suffix}")
    }
}

/// How much a name has to say so that no other is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Uniqueness {
    Text,
    Identity,
    WholeDigest,
}

/// A name for each output, without a suffix. It does not depend on their order.
pub(super) fn stems(subjects: &[Subject<'_>]) -> Vec<String> {
    let mut levels = vec![Uniqueness::Text; subjects.len()];
    loop {
        let stems = subjects.iter().zip(&levels);
        let stems: Vec<String> = stems.map(|(subject, level)| subject.stem(*level)).collect();
        let mut numbers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (number, stem) in stems.iter().enumerate() {
            numbers.entry(stem).or_default().push(number);
        }
        let mut is_unique = true;
        for number in numbers
            .into_values()
            .filter(|same| same.len() > 1)
            .flatten()
        {
            let level = &mut levels[number];
            let next = match level {
                Uniqueness::Text => Uniqueness::Identity,
                Uniqueness::Identity | Uniqueness::WholeDigest => Uniqueness::WholeDigest,
            };
            is_unique &= *level == next;
            *level = next;
        }
        if is_unique {
            return stems;
        }
    }
}

/// The text with `_` instead of each separator, if no other text gives the same and the result is a good name everywhere.
fn plain(text: &str, is_named: bool) -> Option<String> {
    let (name, platform) = match text.split_once("//") {
        Some((name, platform)) => (name, Some(platform)),
        None => (text, None),
    };
    // A port would look like a directory, so a name with one is not plain.
    let name = match is_named {
        true => {
            let (path, tag) = name.split_once(':')?;
            let is_plain = is_word(tag) && path.split('/').all(is_word);
            is_plain.then(|| name.replace(['/', ':'], "_"))?
        }
        false => {
            let (algorithm, hex) = name.split_once(':')?;
            let is_plain = is_word(algorithm) && is_word(hex);
            is_plain.then(|| format!("{algorithm}-{hex}"))?
        }
    };
    let stem = match platform {
        None => name,
        Some(platform) => {
            let is_plain = platform.split('/').all(is_word);
            is_plain.then(|| format!("{name}__{}", platform.replace('/', "_")))?
        }
    };
    let is_good = stem == readable(&stem) && stem.len() <= MAX_LEN && !stem.ends_with('.');
    (is_good && (!is_named && platform.is_none() || !ends_like_suffix(&stem))).then_some(stem)
}

/// Whether a text is one part of a plain name: lower-case letters, digits, `.` and `-`.
fn is_word(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// Whether a name ends like one that a digest makes unique.
fn ends_like_suffix(stem: &str) -> bool {
    let is_hex = |last: &str| last.len() >= SHORT && last.bytes().all(|b| b.is_ascii_hexdigit());
    stem.rsplit_once('-').is_some_and(|(_, last)| is_hex(last))
}

/// The text as a name that is safe, and may be that of others too.
fn readable(text: &str) -> String {
    let safe = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-') => c,
        _ => '_',
    };
    let stem: String = text.chars().map(safe).collect();
    let starts_well = stem.starts_with(|c: char| c.is_ascii_alphanumeric());
    match starts_well && !is_device(&stem) {
        true => stem,
        false => format!("_{stem}"),
    }
}

/// Whether Windows takes a name for a device.
fn is_device(stem: &str) -> bool {
    let name = stem.split('.').next().unwrap_or_default();
    let is_numbered = |device: &str| {
        let number = name.strip_prefix(device);
        number.is_some_and(|number| {
            number.len() == 1 && number != "0" && number.bytes().all(|b| b.is_ascii_digit())
        })
    };
    DEVICES.contains(&name) || NUMBERED_DEVICES.iter().any(|device| is_numbered(device))
}
