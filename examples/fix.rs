//! The five stages in a program: makes an archive load everywhere.
//!
//! ```sh
//! cargo run --example fix app.tar fixed.tar
//! ```

use std::error::Error;
use std::path::Path;

use ocify::apply::{ApplyOptions, Output, Target, apply};
use ocify::plan::{NewLayers, PlanOptions};
use ocify::progress::Hidden;
use ocify::{Source, Strictness, plan, resolve, scan};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let [input, output] = paths.as_slice() else {
        return Err("usage: fix INPUT OUTPUT".into());
    };
    Ok(fix(Path::new(input), Path::new(output))?)
}

fn fix(input: &Path, output: &Path) -> ocify::Result<()> {
    let source = Source::open(input)?;
    let target = Target::prepare(Output::path(output), &source)?;
    let inventory = scan(&source, Strictness::Strict)?;
    let graph = resolve(inventory, &source, Strictness::Strict)?;
    let options = PlanOptions::default();
    let draft = plan(&graph, &options, target.form(), None)?;
    // Without --compression there is nothing to recompress.
    let plan = draft.complete(&NewLayers::default())?;
    apply(&plan, &source, target, &ApplyOptions::default(), &Hidden)?;
    Ok(())
}
