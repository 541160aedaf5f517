//! The examples in the help of `fix`.

/// What `-h` shows of them.
pub(super) const FIX_FREQUENT: &str = "\
Examples:
  ocify fix app.tar -o fixed.tar
  ocify fix --in-place app.tar
  ocify fix images/ -o fixed/    # a tree of archives
  docker save app | ocify fix - | ctr images import -";

pub(super) const FIX_EXAMPLES: &str = "\
Examples:
  # Rewrite an archive, to a file or into a directory
  ocify fix app.tar -o fixed.tar
  ocify fix app.tar -o fixed/

  # Pack an image layout directory, and unpack into one
  ocify fix layout/ -o fixed.tar
  ocify fix app.tar --layout -o app

  # Keep one platform, as a plain manifest
  ocify fix app.tar -o x.tar --platform linux/arm64 --unwrap

  # Rewrite a BuildKit cache, which stays a directory
  ocify fix cache/ -o cache-oci

  # Fix an archive in a pipeline
  docker save app | ocify fix - | ctr images import -

  # Fix an archive in place, in milliseconds
  ocify fix --in-place app.tar

  # Keep a BuildKit cache small, between builds
  ocify fix --in-place cache/ --orphans drop

  # Show the changes only; exit with 3 if one is needed
  ocify fix app.tar --dry-run

  # List old and new digests
  ocify fix app.tar -o out.tar --format json | jq .digests

  # Fix all archives and layouts in a directory
  ocify fix images/ -o fixed/
  ocify fix --in-place images/
  find . -name '*.tar' -print0 |
      ocify fix --files-from - -0 -o ../fixed/

Many inputs: given a directory that is not an image layout, several inputs, or --files-from, ocify \
fixes many archives and layouts in one run. It searches directories and recognizes archives and \
layouts by their content. OUTPUT is then a directory. ocify recreates the tree below a directory \
INPUT in it, and creates it if the name is new. For several inputs and --files-from, OUTPUT must \
exist or end in `/`. If one input fails, ocify continues with the others. Run the same command \
again to resume: outputs that are already complete are kept.

Exit codes: 0 done or nothing to do, 1 failed, 2 wrong usage, 3 --dry-run found something to fix, \
128 + n stopped by signal n.";
