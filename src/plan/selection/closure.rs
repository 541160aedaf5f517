//! What stays or goes with something else, whatever the path: what an index lists, and what refers to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::graph::link::LinkKind;
use crate::graph::referrers::Referrers;
use crate::image::Digest;
use crate::plan::rules::Rule;

/// The numbers of the listings that stay with the chosen documents: those of all that is about one of these,
/// about what these list, or about such a referrer in turn.
pub(in crate::plan) fn kept_with<'a>(
    referrers: &Referrers<'a>,
    chosen: impl IntoIterator<Item = &'a Digest>,
) -> BTreeSet<usize> {
    Kept::new(referrers).with(chosen)
}

/// The same for an index alone, without what is about what it lists.
pub(in crate::plan) fn kept_with_only<'a>(
    referrers: &Referrers<'a>,
    index: &'a Digest,
) -> BTreeSet<usize> {
    let mut kept = Kept::new(referrers);
    let listed = numbers(&referrers.within, index);
    let listed = listed.map(|number| &referrers.listings[number].pointer.digest);
    kept.documents.extend(listed);
    kept.with([index])
}

struct Kept<'a, 'r> {
    referrers: &'r Referrers<'a>,
    /// How many listings of each index do not lead to a referrer; all of those that are not counted here.
    remaining: BTreeMap<&'a Digest, usize>,
    documents: BTreeSet<&'a Digest>,
    referring: BTreeSet<&'a Digest>,
    listings: BTreeSet<usize>,
    open: Vec<&'a Digest>,
}

impl<'a, 'r> Kept<'a, 'r> {
    fn new(referrers: &'r Referrers<'a>) -> Self {
        Kept {
            referrers,
            remaining: BTreeMap::new(),
            documents: BTreeSet::new(),
            referring: BTreeSet::new(),
            listings: BTreeSet::new(),
            open: Vec::new(),
        }
    }

    /// The listings that stay with these documents.
    fn with(mut self, chosen: impl IntoIterator<Item = &'a Digest>) -> BTreeSet<usize> {
        self.open.extend(chosen);
        while let Some(digest) = self.open.pop() {
            self.follow(digest);
        }
        for number in self.tags_of_others() {
            self.listings.remove(&number);
        }
        self.listings
    }

    /// The listings whose tags are made of digests that are not kept, where the same content is listed for one that
    /// is.
    fn tags_of_others(&self) -> Vec<usize> {
        let listing = |number: usize| &self.referrers.listings[number].pointer;
        let is_of_others = |number: &usize| {
            let links = listing(*number).links.iter();
            let mut tags = links.filter(|link| link.kind == LinkKind::Tag).peekable();
            tags.peek().is_some() && tags.all(|link| !self.documents.contains(&link.digest))
        };
        let listings = self.listings.iter().copied();
        let (others, own): (Vec<usize>, Vec<usize>) = listings.partition(is_of_others);
        let own: BTreeSet<&Digest> = own.into_iter().map(|own| &listing(own).digest).collect();
        let others = others.into_iter();
        others
            .filter(|other| own.contains(&listing(*other).digest))
            .collect()
    }

    fn follow(&mut self, digest: &'a Digest) {
        if !self.documents.insert(digest) {
            return;
        }
        let referrers = self.referrers;
        for number in numbers(&referrers.within, digest) {
            self.open.push(&referrers.listings[number].pointer.digest);
        }
        for number in numbers(&referrers.about, digest) {
            self.listings.insert(number);
            self.keep_referrer(&referrers.listings[number].pointer.digest);
        }
        for document in referrers.documents_about.get(digest).into_iter().flatten() {
            self.keep_referrer(document);
        }
    }

    fn keep_referrer(&mut self, digest: &'a Digest) {
        // An index that lists nothing but referrers is one.
        let mut found = vec![digest];
        while let Some(digest) = found.pop() {
            if !self.referring.insert(digest) {
                continue;
            }
            self.open.push(digest);
            for number in numbers(&self.referrers.of, digest) {
                self.listings.insert(number);
                let owner = self.referrers.listings[number].owner;
                if let Some(owner) = owner
                    && self.is_last_of(owner)
                {
                    found.push(owner);
                }
            }
        }
    }

    /// Counts one listing of an index less; returns whether it was the last.
    fn is_last_of(&mut self, index: &'a Digest) -> bool {
        let all = self.referrers.within.get(index).map_or(0, Vec::len);
        let remaining = self.remaining.entry(index).or_insert(all);
        *remaining = remaining.saturating_sub(1);
        *remaining == 0
    }
}

/// What is left out, and by which rule.
#[derive(Debug, Default)]
pub(super) struct Gone<'a> {
    pub(super) documents: BTreeSet<&'a Digest>,
    /// By the number of the listing.
    pub(super) listings: BTreeMap<usize, Rule>,
}

/// Something to leave out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'a> {
    Document(&'a Digest),
    /// A listing, by its number.
    Listing(usize),
}

/// Leaves out these items and all that goes with them: every listing of a document, what is about it, a
/// document that is listed no more, and an index that lists nothing more.
pub(super) fn gone<'a>(
    referrers: &Referrers<'a>,
    first: impl IntoIterator<Item = (Item<'a>, Rule)>,
) -> Gone<'a> {
    let mut gone = Gone::default();
    let mut listed = counts(&referrers.of);
    let mut within = counts(&referrers.within);
    let mut open: VecDeque<_> = first.into_iter().collect();
    while let Some((item, rule)) = open.pop_front() {
        match item {
            Item::Document(digest) => {
                if !gone.documents.insert(digest) {
                    continue;
                }
                for map in [&referrers.of, &referrers.about, &referrers.within] {
                    open.extend(numbers(map, digest).map(|number| (Item::Listing(number), rule)));
                }
                let documents = referrers.documents_about.get(digest);
                let documents = documents.into_iter().flatten();
                open.extend(documents.map(|digest| (Item::Document(digest), rule)));
            }
            Item::Listing(number) => {
                if gone.listings.contains_key(&number) {
                    continue;
                }
                gone.listings.insert(number, rule);
                let listing = &referrers.listings[number];
                let digest = &listing.pointer.digest;
                if is_last(&mut listed, digest) {
                    open.push_back((Item::Document(digest), rule));
                }
                if let Some(owner) = listing.owner
                    && is_last(&mut within, owner)
                {
                    open.push_back((Item::Document(owner), rule));
                }
            }
        }
    }
    gone
}

fn numbers<'r>(
    map: &'r BTreeMap<&Digest, Vec<usize>>,
    digest: &Digest,
) -> impl Iterator<Item = usize> + use<'r> {
    map.get(digest).into_iter().flatten().copied()
}

fn counts<'a>(map: &BTreeMap<&'a Digest, Vec<usize>>) -> BTreeMap<&'a Digest, usize> {
    let counts = map.iter().map(|(digest, numbers)| (*digest, numbers.len()));
    counts.collect()
}

/// Counts one less; returns whether it was the last.
fn is_last(counts: &mut BTreeMap<&Digest, usize>, digest: &Digest) -> bool {
    let Some(count) = counts.get_mut(digest) else {
        return false;
    };
    *count = count.saturating_sub(1);
    *count == 0
}
