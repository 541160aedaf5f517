//! Fixes an image layout directory where it is.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::{Fixed, Preview, Run};
use crate::apply::{
    ApplyOptions, Confirm, Exchange, Exchanged, is_building, is_older, lock_layout, recorded,
    refuse_exchange, refused_link,
};
use crate::beneath::{Directory, InputPath};
use crate::error::{Code, Error, Hint, Result, show_path};
use crate::fix::ORPHANS_OLDER_THAN;
use crate::graph::{Graph, HeldBecause};
use crate::image::Digest;
use crate::input::Source;
use crate::operation::{Notice, Stage};
use crate::plan::{Form, NewLayers};

/// How often a fix is begun again because another program changed the layout.
const ATTEMPTS: usize = 5;

/// A layout in place, and what it means.
struct Layout {
    source: Source,
    root: Directory,
    graph: Graph,
    /// What an interrupted run left.
    leftovers: Vec<Digest>,
    is_building: bool,
}

impl Run<'_> {
    pub(super) fn write_where_it_is(&self, path: &InputPath) -> Result<Fixed> {
        match self.layout_at(path)? {
            Some(layout) => self.write_layout(layout, path),
            None => self.write_in_place(path),
        }
    }

    pub(super) fn preview_where_it_is(&self, path: &InputPath) -> Result<Preview> {
        match self.layout_at(path)? {
            Some(layout) => self.preview_layout(layout),
            None => self.preview_source(&self.open_in_place(path)?, Form::Patch),
        }
    }

    /// The layout at a path, if that is one that can be fixed where it is: it has an `index.json`.
    fn layout_at(&self, path: &InputPath) -> Result<Option<Source>> {
        if !path.look_up().is_ok_and(|found| found.kind.is_dir()) {
            return Ok(None);
        }
        let source = self.opener.open(path)?;
        let is_layout = source.directory().is_some_and(|root| {
            let index = root.look_up(Path::new("index.json"));
            index.is_ok_and(|found| !found.kind.is_dir())
        });
        Ok(is_layout.then_some(source))
    }

    fn write_layout(&self, source: Source, path: &InputPath) -> Result<Fixed> {
        let lock = lock_layout(&source)?;
        if !lock.is_supported {
            let path = source.path();
            self.observer.notice(&Notice::Unlocked { path });
        }
        let shown = show_path(source.path());
        let (mut source, mut own) = (Some(source), BTreeSet::new());
        for _ in 0..ATTEMPTS {
            let source = match source.take() {
                Some(source) => source,
                None => self.opener.open(path)?,
            };
            let mut layout = self.layout(source, &own)?;
            let written = self.exchange(&mut layout, &mut own);
            let graph = &layout.graph;
            let restated = |error| graph.restated(graph.with_images(error));
            if let Some(fixed) = written.map_err(restated)? {
                return Ok(fixed);
            }
        }
        Err(Error::new(
            Code::SourceChanged,
            format!("another program changed {shown} {ATTEMPTS} times while ocify fixed it"),
        )
        .with_path(path.path())
        .with_hint(Hint::RetryWhenIdle))
    }

    fn preview_layout(&self, source: Source) -> Result<Preview> {
        let Layout {
            source,
            root,
            graph,
            ..
        } = self.layout(source, &BTreeSet::new())?;
        let restated = |error| graph.restated(graph.with_images(error));
        let draft = self.settled(&graph, &source, Form::LayoutInPlace);
        let draft = draft.map_err(restated)?;
        refuse_exchange(&root, &graph.inventory, draft.plan()).map_err(restated)?;
        let outcome = self.verified(draft.plan(), draft.transcodes(), &source);
        Ok(Preview {
            outcome: outcome.map_err(restated)?,
            summary: draft.into_summary(),
            spooled: None,
        })
    }

    /// Reads a layout. What an interrupted run left in it, or an earlier attempt of this one, is taken out, and what must stay
    /// is noted.
    fn layout(&self, source: Source, own: &BTreeSet<Digest>) -> Result<Layout> {
        let Some(root) = source.directory().cloned() else {
            return Err(Error::new(
                Code::NotAnImage,
                format!("{} is not a directory", show_path(source.path())),
            ));
        };
        let graph = self.opener.resolved(&source);
        let mut graph = graph.map_err(|error| refused_link(&root, error))?;
        let recorded = recorded(&root);
        let is_left = |digest: &Digest| recorded.contains(digest) || own.contains(digest);
        let leftovers = graph.take_orphans(is_left);
        let is_building = is_building(&root)?;
        let drops = self.fix.plan.drop_orphans;
        if is_building {
            let hold = HeldBecause::Building;
            graph.orphans.hold(hold, |_| drops);
        } else if drops && !graph.orphans.digests.is_empty() {
            let than = self.older_than();
            let young = HeldBecause::YoungerThan(than.as_secs());
            graph.orphans.hold(young, |digest| {
                let found = root.look_up(Path::new(&digest.blob_name()));
                !found.is_ok_and(|found| is_older(&found, than))
            });
        }
        Ok(Layout {
            source,
            root,
            graph,
            leftovers,
            is_building,
        })
    }

    fn older_than(&self) -> Duration {
        self.fix.orphans_older_than.unwrap_or(ORPHANS_OLDER_THAN)
    }

    /// One attempt; `None` if another program changed the layout meanwhile. `own` gets the blobs that are then new.
    fn exchange(&self, layout: &mut Layout, own: &mut BTreeSet<Digest>) -> Result<Option<Fixed>> {
        let Layout {
            source,
            root,
            graph,
            leftovers,
            is_building,
        } = layout;
        let draft = self.settled(graph, source, Form::LayoutInPlace)?;
        refuse_exchange(root, &graph.inventory, draft.plan())?;
        let layers = self.recompressed(&draft, source, &NewLayers::default(), Some(root))?;
        let plan = draft.complete(&layers)?;
        let confirm = || self.observer.confirm();
        let options = ApplyOptions {
            verify: self.verify(Form::LayoutInPlace),
            ..self.apply_options(Some(Confirm(&confirm)))
        };
        let exchange = Exchange {
            root,
            source,
            inventory: &graph.inventory,
            plan: &plan,
            leftovers,
            orphans: graph
                .orphans
                .digests
                .iter()
                .cloned()
                .collect::<BTreeSet<_>>(),
            older_than: self.older_than(),
            is_building: *is_building,
        };
        let progress = self.observer.stage(Stage::Verifying);
        let outcome = match exchange.run(&options, &*progress)? {
            Exchanged::Done(outcome) => outcome,
            Exchanged::Changed(created) => {
                own.extend(created);
                return Ok(None);
            }
        };
        Ok(Some(Fixed {
            verified: options.verify,
            ..self.fixed(plan, outcome)
        }))
    }
}
