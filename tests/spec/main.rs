//! Tests of Hedgerow's promises, a module for each.
//!
//! A module opens with its promise, and with its number in CONTRIBUTING.md where it has one. Test names are sentences.

mod affected_sources;
mod bad_graphs;
mod cancellation;
mod cold_items;
mod command;
mod crash;
mod examples;
mod explain;
mod finite_models;
mod fixtures;
mod half_life;
mod interests;
mod learning;
mod merged_changes;
mod models;
mod older_formats;
mod pixie;
mod properties;
mod quality;
mod questions;
mod readers;
mod readme;
mod rebuild_comparison;
mod refresh_equals_rebuild;
mod relations;
mod same_content_same_digest;
mod scores;
mod stable_draws;
mod store_equals_maps;
mod stored_changes;
mod structure;
mod trainable_inputs;
mod training;
mod updater;
mod walks;
mod warm_start;
