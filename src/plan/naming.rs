//! The names that go out: what was there, completed, or what was asked for.

use crate::error::{Code, Error, Hint, Result, show_list};
use crate::graph::Graph;
use crate::graph::pointer::{IMAGE_NAME, REF_NAME};
use crate::image::Reference;
use crate::inventory::RootName;
use crate::plan::PlanOptions;
use crate::plan::decide::Decisions;
use crate::plan::names::Named;
use crate::plan::rules::Rule;
use crate::plan::selection::Selection;

/// Gives the names that were asked for. Entries that become superfluous are left out.
///
/// # Errors
/// Names for an archive of several images; a name to replace that no image has; one name for two.
pub(crate) fn rename(
    graph: &Graph,
    entries: &mut Vec<Named>,
    selection: &mut Selection,
    options: &PlanOptions,
) -> Result<()> {
    if !options.names.is_empty() {
        replace_all(graph, entries, selection, &options.names)?;
    }
    for (old, new) in &options.renames {
        rename_one(graph, entries, selection, old, new)?;
    }
    Ok(())
}

/// Leaves an entry of the index out.
fn leave_out(graph: &Graph, selection: &mut Selection, entry: &Named, name: Option<&Reference>) {
    if let Some(pointer) = graph.root.pointers.get(entry.position)
        && selection.root.insert(entry.position)
    {
        let location = graph.root.location_of(pointer);
        let change = Rule::NameEntry.change(location, name.map(Reference::full), None);
        selection.changes.push(change);
    }
}

fn replace_all(
    graph: &Graph,
    entries: &mut Vec<Named>,
    selection: &mut Selection,
    names: &[Reference],
) -> Result<()> {
    let Some(first) = entries.first().map(|entry| entry.digest.clone()) else {
        return Err(Error::new(
            Code::ImageNotFound,
            "the archive has no image that could be named",
        ));
    };
    if let Some(other) = entries.iter().find(|entry| entry.digest != first) {
        let named: Vec<String> = entries
            .iter()
            .flat_map(|entry| &entry.names)
            .map(Reference::familiar)
            .collect();
        let shown = if named.is_empty() {
            format!("{first}, {}", other.digest)
        } else {
            show_list(&named)
        };
        return Err(Error::new(
            Code::SeveralImages,
            format!("a name needs one image, but the archive has several: {shown}"),
        )
        .with_found(shown)
        .with_hint(Hint::ChooseImage));
    }
    for entry in entries.drain(1..) {
        leave_out(graph, selection, &entry, entry.names.first());
    }
    for entry in entries {
        let mut wanted: Vec<Reference> = Vec::new();
        for name in names {
            if !wanted.contains(name) {
                wanted.push(name.clone());
            }
        }
        entry.is_renamed = true;
        entry.names = wanted;
        entry.bad_names.clear();
    }
    Ok(())
}

fn rename_one(
    graph: &Graph,
    entries: &mut Vec<Named>,
    selection: &mut Selection,
    old: &Reference,
    new: &Reference,
) -> Result<()> {
    let holder = entries.iter().position(|entry| entry.names.contains(old));
    let Some(holder) = holder else {
        let names: Vec<String> = entries
            .iter()
            .flat_map(|entry| &entry.names)
            .map(Reference::familiar)
            .collect();
        let found = if names.is_empty() {
            "none".to_owned()
        } else {
            show_list(&names)
        };
        let old = old.familiar();
        return Err(Error::new(
            Code::ImageNotFound,
            format!("no image in the archive has the name {old}; there are {found}"),
        )
        .with_expected(old)
        .with_found(found));
    };
    let digest = entries[holder].digest.clone();
    if entries
        .iter()
        .any(|entry| entry.digest != digest && entry.names.contains(new))
    {
        return Err(Error::new(
            Code::NameTaken,
            format!(
                "{} cannot become {}: another image in the archive has that name",
                old.familiar(),
                new.familiar()
            ),
        )
        .with_found(new.familiar()));
    }
    let is_there_already = old != new && entries.iter().any(|entry| entry.names.contains(new));
    let entry = &mut entries[holder];
    if !is_there_already {
        for name in &mut entry.names {
            if name == old {
                *name = new.clone();
            }
        }
        entry.is_renamed |= entry.names.first() == Some(new);
        return Ok(());
    }
    entry.is_renamed |= entry.names.first() == Some(old);
    entry.names.retain(|name| name != old);
    if entry.names.is_empty() {
        let superfluous = entries.remove(holder);
        leave_out(graph, selection, &superfluous, Some(old));
    }
    Ok(())
}

/// Decides the annotations and entries that carry the names.
pub(crate) fn decide_annotations(graph: &Graph, entries: &[Named], decisions: &mut Decisions) {
    for entry in entries {
        decide_entry(graph, entry, decisions);
    }
}

fn decide_entry(graph: &Graph, entry: &Named, decisions: &mut Decisions) {
    let Some(pointer) = graph.root.pointers.get(entry.position) else {
        return;
    };
    let location = graph.root.location_of(pointer);
    for (number, name) in entry.names.iter().enumerate() {
        let ref_name = name.tag().map_or_else(|| name.full(), str::to_owned);
        let annotations = [(IMAGE_NAME, name.full()), (REF_NAME, ref_name)];
        if number > 0 {
            decisions.changes.push(Rule::NameEntry.change(
                RootName::Index,
                None,
                Some(name.full()),
            ));
            decisions
                .root
                .copies
                .push((entry.position, annotations.to_vec()));
            continue;
        }
        let mut set = Vec::new();
        let stated = [&pointer.image_name, &pointer.ref_name];
        let rules = [Rule::ImageName, Rule::RefName];
        for (((key, value), before), rule) in annotations.into_iter().zip(stated).zip(rules) {
            // A name that is there stays as it is written, unless another was asked for or
            // containerd, which takes it as it stands, would give the image a name that is none.
            let is_set = match before {
                None => true,
                Some(before) => {
                    let is_bad = key == IMAGE_NAME && Reference::parse(before).is_none();
                    (entry.is_renamed || is_bad) && *before != value
                }
            };
            if is_set {
                decisions.changes.push(rule.change(
                    location.clone(),
                    before.clone(),
                    Some(value.clone()),
                ));
                set.push((key, value));
            }
        }
        if !set.is_empty() {
            decisions.root.annotations.insert(entry.position, set);
        }
    }
}
