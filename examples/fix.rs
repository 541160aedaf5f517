//! The five stages in a program: makes an archive load everywhere.
//!
//! ```sh
//! cargo run --example fix app.tar fixed.tar
//! ```

use std::error::Error;
use std::path::Path;

use ocify::apply::{ApplyOptions, Target, apply};
use ocify::plan::PlanOptions;
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
    let target = Target::prepare(&source, output, false)?;
    let inventory = scan(&source, Strictness::Strict)?;
    let graph = resolve(inventory, &source, Strictness::Strict)?;
    let plan = plan(&graph, &PlanOptions::default())?;
    let options = ApplyOptions {
        jobs: 2,
        ..ApplyOptions::default()
    };
    apply(&plan, &source, target, &options, &Hidden)?;
    Ok(())
}
