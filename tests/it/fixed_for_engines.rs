//! A fix for an engine makes the archive load there, or says why it cannot: random changes of fixtures and of built archives.
//! `verdicts.rs` tries all of these as they are.
//!
//! `OCIFY_MUTATIONS=COUNT` runs more mutations, and `OCIFY_SEED=N` begins with that one.

use std::io::Cursor;

use ocify::{Check, Code, Engine, Fix, Input, Output};

use crate::common::builder::{
    Image, Layer, Layout, OCI_GZIP, REF_NAME, annotated, digest_of, named, right_image,
};
use crate::common::contents::blob_name;
use crate::common::failure::fails_with;
use crate::common::judged::fixed;
use crate::common::random::Random;
use crate::own_output::{sources, variable};
use crate::verdicts::ENGINES;

/// How many engines each archive is fixed for.
const ENGINES_EACH: usize = 3;

/// Fixes an archive for an engine and judges what was written; returns whether it was fixed. What is wrong is an error.
fn fixed_for(archive: &[u8], engine: Engine, is_fixable: bool) -> Result<bool, String> {
    let input = || Input::stream(Cursor::new(archive.to_vec()));
    let mut output = Vec::new();
    let fix = Fix::new().engine(engine);
    match fix.run(input(), Output::stream(&mut output)).map(drop) {
        Ok(()) => {
            let check = Check::new(Fix::new()).engine(engine);
            let checked = check.run(Input::stream(Cursor::new(output)));
            let checked = checked.map_err(|error| format!("the output is refused: {error}"))?;
            match checked.verdicts.iter().find(|judged| judged.is_bad()) {
                None => Ok(true),
                Some(bad) => Err(format!("{bad:#?}")),
            }
        }
        Err(error) if error.code() == Code::EngineRefuses && error.hint().is_some() => Ok(false),
        // Nothing is written for any engine.
        Err(_) if !is_fixable => Ok(false),
        Err(error) => Err(format!("refused without a reason: {error}")),
    }
}

#[test]
fn mutants_that_are_fixed_for_an_engine_load_there() {
    let sources = sources();
    let first = variable("OCIFY_SEED", 0);
    let count = variable("OCIFY_MUTATIONS", 120);
    let mut fixed = 0;
    let mut failures = Vec::new();
    for seed in first..first + count {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut mutant = random.pick(&sources).unwrap().clone();
        let changes: Vec<&str> = (0..random.index(4))
            .map(|_| mutant.mutate(&mut random))
            .collect();
        let archive = mutant.tar(random.index(4) == 0);
        let input = Input::stream(Cursor::new(archive.clone()));
        let is_fixable = Fix::new().run(input, Output::stream(Vec::new())).is_ok();
        for _ in 0..ENGINES_EACH {
            let text = random.pick(&ENGINES).unwrap();
            match fixed_for(&archive, text.parse().unwrap(), is_fixable) {
                Ok(is_fixed) => fixed += u64::from(is_fixed),
                Err(what) => failures.push(format!("seed {seed} ({changes:?}) for {text}: {what}")),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(fixed * 3 > count, "{fixed} of {count} archives were fixed");
}

/// Without the absent image, nothing is left that kind could load: what is about it goes too.
#[test]
fn the_engine_that_needs_absent_content_is_named() {
    let mut layout = Layout::new();
    let absent = layout.image(&right_image());
    let tag = format!("{}.sig", digest_of(&absent).replace(':', "-"));
    layout.blobs.remove(&blob_name(&digest_of(&absent)));
    let about = Image::oci(vec![Layer::gzip(OCI_GZIP, "about")]);
    let about = annotated(layout.image(&about), &[(REF_NAME, &tag)]);
    layout.root(vec![named(absent, "docker.io/library/app:v1"), about]);
    let bytes = layout.tar();
    fixed(&bytes, &[]);
    let parts = [
        "kind would not load the output: index.json, manifests[0]",
        "refers to content that is not in the archive",
    ];
    fails_with("kind", &bytes, &["--for", "kind"], "engine-refuses", &parts);
    let options = ["--for", "kind", "--missing", "prune"];
    fails_with("prune", &bytes, &options, "nothing-left", &[]);
}
