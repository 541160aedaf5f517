//! Which images go to which repositories, under which tags.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::Contents;
use super::item::{Item, items, within};
use super::target::{PushTarget, Repository};
use crate::error::{Code, Error, Hint, Result, show_list};
use crate::image::{Digest, Reference};

/// The tag that an image without a name gets, as in Docker.
const DEFAULT_TAG: &str = "latest";

/// What goes to one repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) repository: Repository,
    /// The entries of `index.json`, in their order.
    pub(super) roots: Vec<&'a Digest>,
    pub(super) tags: BTreeMap<String, &'a Digest>,
}

/// Routes everything that `index.json` lists.
///
/// # Errors
/// An image without a name is pushed without a target; a target with a tag is given for several images; or several images have one tag.
pub(super) fn routes<'a>(
    contents: &'a Contents<'a>,
    target: Option<&PushTarget>,
) -> Result<Vec<Route<'a>>> {
    let items = items(contents);
    let mut routes = Routes::new(contents, &items);
    match target {
        None => {
            for item in &items {
                routes.by_names(item)?;
            }
        }
        Some(target) => routes.all_to(target)?,
    }
    routes.follow();
    for item in &items {
        if !routes.routed.contains(item.digest) {
            return Err(unnamed(item));
        }
    }
    Ok(routes.all)
}

struct Routes<'a, 'b> {
    contents: &'a Contents<'a>,
    items: &'b [Item<'a>],
    all: Vec<Route<'a>>,
    by_repository: BTreeMap<Repository, usize>,
    routed: BTreeSet<&'a Digest>,
}

impl<'a, 'b> Routes<'a, 'b> {
    fn new(contents: &'a Contents<'a>, items: &'b [Item<'a>]) -> Self {
        Routes {
            contents,
            items,
            all: Vec::new(),
            by_repository: BTreeMap::new(),
            routed: BTreeSet::new(),
        }
    }

    fn route(&mut self, repository: Repository) -> &mut Route<'a> {
        let next = self.all.len();
        let number = *self.by_repository.entry(repository.clone()).or_insert(next);
        if number == next {
            self.all.push(Route {
                repository,
                roots: Vec::new(),
                tags: BTreeMap::new(),
            });
        }
        &mut self.all[number]
    }

    fn add(&mut self, repository: Repository, digest: &'a Digest, tag: Option<&str>) -> Result<()> {
        self.routed.insert(digest);
        let route = self.route(repository.clone());
        if !route.roots.contains(&digest) {
            route.roots.push(digest);
        }
        let Some(tag) = tag else {
            return Ok(());
        };
        let known = *route.tags.entry(tag.to_owned()).or_insert(digest);
        match known == digest {
            true => Ok(()),
            false => Err(self.tag_taken(&repository, tag, [known, digest])),
        }
    }

    fn tag_taken(&self, repository: &Repository, tag: &str, both: [&Digest; 2]) -> Error {
        let items = both.map(|digest| self.items.iter().find(|item| item.digest == digest));
        let shown = |item: &Item<'_>| match item.shown() {
            digest if digest == item.digest.to_string() => digest,
            name => format!("{name} ({})", item.digest),
        };
        let all: Vec<String> = items.iter().flatten().map(|item| shown(item)).collect();
        let name = format!("{repository}:{tag}");
        let message = format!(
            "several manifests would have the name {name}: {}",
            all.join(", ")
        );
        Error::new(Code::NameTaken, message)
            .with_found(name)
            .with_hint(self.apart(repository, items[1]))
    }

    /// The hint to push one of several images alone.
    fn apart(&self, repository: &Repository, item: Option<&Item<'_>>) -> Hint {
        match item.and_then(|item| item.choice(self.items, &self.contents.origin)) {
            Some(image) => Hint::PushImageApart {
                repository: repository.to_string(),
                image,
            },
            None => Hint::PushApart,
        }
    }

    /// Routes an item to the repositories of its own names.
    fn by_names(&mut self, item: &Item<'a>) -> Result<()> {
        for name in &item.names {
            self.add(Repository::of(name), item.digest, name.tag())?;
        }
        Ok(())
    }

    /// Routes all items to one repository.
    fn all_to(&mut self, target: &PushTarget) -> Result<()> {
        let items = self.items.iter();
        let images: Vec<&Item<'_>> = items.filter(|item| item.is_independent()).collect();
        let tag = match target.has_tag() {
            true => target.reference().tag(),
            false => None,
        };
        if tag.is_some() && images.len() > 1 {
            return Err(self.several(target, &images));
        }
        self.all_in(&Repository::of(target.reference()), tag)
    }

    /// The same with the tag that the only image gets, if it gets one.
    fn all_in(&mut self, repository: &Repository, tag: Option<&str>) -> Result<()> {
        let independent = self.items.iter().filter(|item| item.is_independent());
        let is_single = independent.count() == 1;
        for item in self.items {
            let own = item.names.iter().filter_map(Reference::tag);
            let mut tags: Vec<&str> = own.chain(item.tags.iter().map(String::as_str)).collect();
            if item.is_independent() {
                match tag {
                    Some(tag) => tags = vec![tag],
                    None if !tags.is_empty() => {}
                    None if is_single => tags.push(DEFAULT_TAG),
                    None => return Err(self.untagged(item, repository)),
                }
            }
            self.add(repository.clone(), item.digest, None)?;
            for tag in tags {
                self.add(repository.clone(), item.digest, Some(tag))?;
            }
        }
        Ok(())
    }

    /// The error of one name for several images.
    fn several(&self, target: &PushTarget, images: &[&Item<'_>]) -> Error {
        let shown: Vec<String> = images.iter().map(|image| image.shown()).collect();
        let found = show_list(&shown);
        let message = format!("{target} can name only one image, and there are several: {found}");
        let choices = images.iter();
        let mut choices =
            choices.filter_map(|image| image.choice(self.items, &self.contents.origin));
        let repository = Repository::of(target.reference());
        let mut others = Routes::new(self.contents, self.items);
        let have_own_tags =
            self.contents.origin.is_same() && others.all_in(&repository, None).is_ok();
        let hint = Hint::ChooseImageToPush {
            target: target.to_string(),
            image: choices.next(),
            repository: have_own_tags.then(|| repository.to_string()),
        };
        Error::new(Code::SeveralImages, message)
            .with_found(found)
            .with_hint(hint)
    }

    /// The error of one of several images without a tag, which all go to one repository.
    fn untagged(&self, item: &Item<'_>, repository: &Repository) -> Error {
        let (location, digest) = (&item.location, item.digest);
        let has = match item.names.is_empty() {
            true => "has no name",
            false => "has a name without a tag",
        };
        let message =
            format!("{location} {has}, so it would have no tag in {repository}: {digest}");
        Error::new(Code::NameMissing, message)
            .with_location(location)
            .with_found(digest)
            .with_hint(self.apart(repository, Some(item)))
    }

    /// Routes what has no name of its own to the repositories of what it is about.
    fn follow(&mut self) {
        let items = self.items;
        let mut owners: BTreeMap<&Digest, BTreeSet<&Digest>> = BTreeMap::new();
        for item in items {
            for digest in within(self.contents, item.digest) {
                owners.entry(digest).or_default().insert(item.digest);
            }
        }
        // With several repositories, ocify cannot tell which one is meant.
        if let [only] = self.all.as_slice() {
            let repository = only.repository.clone();
            for item in items.iter().filter(|item| item.is_unnamed_artifact) {
                let _ = self.add(repository.clone(), item.digest, None);
            }
        }
        let mut open: Vec<&Item<'_>> = items
            .iter()
            .filter(|item| item.names.is_empty() && !self.routed.contains(item.digest))
            .collect();
        loop {
            let mut rest = Vec::new();
            let before = open.len();
            for item in open {
                let targets = item.about.iter().filter_map(|digest| owners.get(digest));
                let targets: BTreeSet<&Digest> = targets.flatten().copied().collect();
                let routes = self.all.iter();
                let routes =
                    routes.filter(|route| route.roots.iter().any(|root| targets.contains(root)));
                let found: Vec<Repository> = routes.map(|route| route.repository.clone()).collect();
                if found.is_empty() {
                    rest.push(item);
                    continue;
                }
                for repository in found {
                    // No other item has a tag made of a digest.
                    let _ = self.add(repository.clone(), item.digest, None);
                    for tag in &item.tags {
                        let _ = self.add(repository.clone(), item.digest, Some(tag));
                    }
                }
            }
            if rest.len() == before {
                return;
            }
            open = rest;
        }
    }
}

fn unnamed(item: &Item<'_>) -> Error {
    let message = match item.tags.first() {
        Some(tag) => format!(
            "{} has the tag {tag}, but no repository to push it to",
            item.location
        ),
        None => format!(
            "{} has no name to push it to: {}",
            item.location, item.digest
        ),
    };
    Error::new(Code::NameMissing, message)
        .with_location(&item.location)
        .with_found(item.digest)
        .with_hint(Hint::GiveRepository)
}
