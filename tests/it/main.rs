//! Everything that needs no container engine, in one program: a module for each behaviour.
//!
//! The tests run at the same time in one process, so none of them changes what a process has once: its working directory, environment,
//! limits and signal handlers. A test that needs these changed does so in a process that it starts.
#![allow(clippy::unwrap_used)]

mod ambiguous;
mod architecture;
mod artifacts;
mod bad_images;
mod bad_names;
mod batch;
mod batch_state;
mod batch_stopped;
mod bench_statistics;
mod bit_flips;
mod bombs;
mod cli;
mod clone;
mod common;
mod compressed_output;
mod corrupt;
mod crash;
mod dependencies;
mod docker_archives;
mod docker_faults;
mod docker_forms;
mod docker_types;
mod document_fields;
mod documents;
mod dry_run;
mod errors;
mod hostile;
mod in_place;
mod in_place_refused;
mod judge;
mod layer_sources;
mod layout_forms;
mod layouts;
mod left_alone;
mod missing;
mod naming;
mod normalize;
mod operations;
mod option_files;
mod outer;
mod public_items;
mod readme;
mod recompress;
mod recompressed_descriptors;
mod refused;
mod repair;
mod roundtrip;
mod rules;
mod scale_out;
mod schemas;
mod selection;
mod spool;
mod stability;
mod staging;
mod stream;
mod stream_damage;
mod stream_ends;
mod stream_kept;
mod terminal;
mod typed_views;
mod variants;
mod xattrs;
