//! `ocify merge` copies and hashes a blob once, however many inputs have it.

use crate::common::builder::{Image, Layer, Layout, OCI_TAR};
use crate::common::runner::Sandbox;
use crate::common::trace::bytes_read;
use crate::merge::merge;

const INPUTS: usize = 8;
/// The length of each layer.
const LEN: usize = 2 << 20;

fn layer(number: usize) -> Layer {
    Layer::plain(OCI_TAR, &format!("{number:08}").repeat(LEN / 8))
}

#[test]
fn a_blob_that_several_inputs_have_is_read_as_often_as_one() {
    let sandbox = Sandbox::new();
    let mut inputs = Vec::new();
    for number in 0..INPUTS {
        let layers = vec![layer(1_000), layer(1_001), layer(number)];
        let layout = Layout::of(
            &Image::oci(layers),
            &format!("docker.io/library/app:{number}"),
        );
        let name = format!("{number}.in");
        sandbox.put(&name, layout.tar());
        inputs.push(name);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    merge(&sandbox, &inputs, "all.in", &[]).exits(0);
    let unique = (2 + INPUTS) * LEN;
    let len = sandbox.read("all.in").len();
    assert!((unique..unique + (1 << 20)).contains(&len), "{len}");
    for options in [&["--jobs", "1"][..], &["--jobs", "3"]] {
        let line = [
            &["merge"],
            &inputs[..],
            &["-o", "merged.tar", "--force"],
            options,
        ]
        .concat();
        let Some(merged) = bytes_read(&sandbox, &line, ".in") else {
            return;
        };
        // One archive of all of it.
        let line = [&["fix", "all.in", "-o", "fixed.tar", "--force"], options].concat();
        let fixed = bytes_read(&sandbox, &line, ".in").unwrap();
        assert!(fixed >= unique as u64, "{fixed}");
        // Of each input, the headers, the documents and the first bytes of blobs are read too.
        let more = (INPUTS as u64) << 18;
        assert!(merged <= fixed + more, "{options:?}: {merged} {fixed}");
    }
}
