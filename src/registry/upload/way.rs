//! In which requests a blob is sent.

use super::Upload;

/// How much is sent in one request when an upload is resumed, unless the registry wants more, in bytes. Some
/// registries keep nothing of a request that breaks.
const CHUNK_LEN: u64 = 64 * 1024 * 1024;

/// The shortest chunk that is tried, in bytes, if a registry says that a longer one is too long.
const SHORTEST_CHUNK: u64 = 1024 * 1024;

/// How a blob is sent: all at once, and the rest in chunks after a failure, unless the registry refuses that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Whether the first bytes are sent as a chunk too.
    pub(super) in_chunks: bool,
    /// The longest chunk, in bytes, unless the registry wants longer ones.
    pub(super) chunk_len: u64,
    /// Whether the registry refused to continue an upload, which then began again.
    has_restarted: bool,
    /// How often the connection broke before the registry kept anything.
    breaks: u32,
}

impl Way {
    pub(super) const FIRST: Way = Way {
        in_chunks: false,
        chunk_len: CHUNK_LEN,
        has_restarted: false,
        breaks: 0,
    };

    /// Another way, if the registry refuses this one. Returns whether there is one.
    pub(super) fn change(&mut self, status: u16, upload: &Upload) -> bool {
        let shortest = SHORTEST_CHUNK.max(upload.chunk_min);
        match status {
            // The limit of a proxy, for example.
            413 if self.in_chunks || upload.offset > 0 => {
                let is_longer = self.chunk_len > shortest;
                self.chunk_len = (self.chunk_len / 4).max(shortest);
                is_longer
            }
            405 | 411 | 413 | 415 | 501 if upload.offset == 0 => {
                !std::mem::replace(&mut self.in_chunks, true)
            }
            405 | 411 | 415 | 501 => !std::mem::replace(&mut self.has_restarted, true),
            _ => false,
        }
    }

    /// A registry, or a proxy, may end the connection instead of a reply to a request that is too long.
    pub(super) fn broke(&mut self, upload: &Upload) {
        if upload.offset == 0 {
            self.breaks += 1;
            self.in_chunks |= self.breaks > 1;
        }
    }
}
