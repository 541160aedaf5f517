//! Makes an archive or image layout load everywhere, writes it as an archive, and says what changed.
//!
//! ```sh
//! cargo run --example fix app.tar fixed.tar
//! ```

use std::error::Error;

use ocify::{Fix, Input, Output};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let [input, output] = paths.as_slice() else {
        return Err("usage: fix INPUT OUTPUT".into());
    };
    let fixed = Fix::new().run(Input::open(input)?, Output::archive(output))?;
    let mut out = std::io::stdout().lock();
    for change in &fixed.plan.summary.changes {
        use std::io::Write;
        writeln!(out, "{}: {}", change.location, change.rule.reason())?;
    }
    Ok(())
}
