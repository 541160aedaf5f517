//! Every rule by which ocify changes a document or an archive: stable name, how much it matters, what it
//! does, why, and whose bug it is. `docs/rules.md` is generated from them and the findings.

use std::borrow::Cow;

use crate::location::Location;
use crate::plan::Change;

macro_rules! rules {
    ($(#[$doc:meta])* $type:ident; $($variant:ident = {
        name: $name:literal,
        severity: $severity:ident,
        what: $what:literal,
        why: $why:literal,
        whose: $whose:literal,
        threads: [$($thread:literal),*],
    };)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $type { $(#[doc = $what] $variant,)* }

        impl $type {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [$type] = &[$($type::$variant,)*];

            /// The stable name, as reports show it.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }

            /// How much it matters, unless the archive says otherwise.
            pub fn severity(self) -> Severity {
                match self { $($type::$variant => Severity::$severity,)* }
            }

            /// What it is, in a sentence.
            pub fn what(self) -> &'static str {
                match self { $($type::$variant => $what,)* }
            }

            /// Why, for the user.
            pub fn reason(self) -> &'static str {
                match self { $($type::$variant => $why,)* }
            }

            /// Whose bug or habit makes it necessary.
            pub fn whose(self) -> &'static str {
                match self { $($type::$variant => $whose,)* }
            }

            /// Public threads about it, as `owner/repository#number` on GitHub.
            pub fn threads(self) -> &'static [&'static str] {
                match self { $($type::$variant => &[$($thread,)*],)* }
            }
        }

        /// By its name.
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

mod change;
mod finding;

pub use change::Rule;
pub use finding::FindingRule;

impl Rule {
    /// Whether only an option can ask for it. Changes by other rules may be requested too.
    pub fn is_requested(self) -> bool {
        matches!(
            self,
            Rule::DockerType
                | Rule::Recompressed
                | Rule::AbsentPruned
                | Rule::ImageChoice
                | Rule::PlatformChoice
                | Rule::Unwrapped
                | Rule::IndexReplaced
                | Rule::Superseded
                | Rule::AttestationDropped
                | Rule::OrphanDropped
        )
    }

    /// Whether its changes only follow from those of other rules: what they are about has another digest.
    pub fn is_consequence(self) -> bool {
        matches!(
            self,
            Rule::Descriptor | Rule::AttestationLink | Rule::Subject | Rule::ReferrersTag
        )
    }

    /// A change by this rule.
    pub(crate) fn change(
        self,
        location: impl Into<Location>,
        before: Option<String>,
        after: Option<String>,
    ) -> Change {
        self.change_of(location, before.map(Cow::Owned), after.map(Cow::Owned))
    }

    /// The same, for values that many changes share.
    pub(crate) fn change_of(
        self,
        location: impl Into<Location>,
        before: Option<Cow<'static, str>>,
        after: Option<Cow<'static, str>>,
    ) -> Change {
        Change {
            rule: self,
            severity: self.severity(),
            is_requested: self.is_requested(),
            location: location.into(),
            before,
            after,
            is_pending: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consequences_are_nobodys_fault() {
        for rule in Rule::ALL {
            let follows = rule.whose() == "nobody's: it follows from another rule";
            assert_eq!(rule.is_consequence(), follows, "{}", rule.name());
        }
    }

    #[test]
    fn names_are_unique() {
        let changes = Rule::ALL.iter().map(|rule| rule.name());
        let findings = FindingRule::ALL.iter().map(|rule| rule.name());
        let mut names: Vec<_> = changes.chain(findings).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
