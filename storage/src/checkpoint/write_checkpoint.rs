//! Writes a state as segment files: each file that differs from the current one is rewritten.
//! Knows states and file formats; the store decides which manifest names the files.

use std::sync::Arc;

use crate::checkpoint::manifest::{FileName, Manifest, NamedFile};
use crate::fs::disk::{Disk, Target};
use crate::fs::header::Fingerprint;
use crate::fs::mmap::Residence;
use crate::fs::section::SectionFile;
use crate::fs::verified_files::OpenMode;
use crate::graph::graph_state::GraphState;
use crate::segments::{BlockMeta, PropertyMeta, RelationMeta};
use crate::segments::{FILES, Features, Keys, Nodes, Properties, Segments, TopologyWriter};
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::{NodeIx, RelationIx};

/// Writes the segments of a state under `number` and returns what a manifest says of all files; unchanged files stay.
///
/// # Errors
/// As for [`write_stale`].
pub(crate) fn write_segments(
    disk: &Disk,
    state: &GraphState,
    current: &[NamedFile],
    number: u64,
    cancel: &CancelToken,
) -> Result<Vec<NamedFile>, Error> {
    let segments = &state.segments;
    let has_new_nodes = state.bound != segments.nodes.bound();
    let is_stale =
        [
            state.relations.len() != segments.topology.relations.len()
                || state.relations.iter().zip(&segments.topology.relations).any(|(relation, written)| {
                    !relation.lists.is_empty() || relation.options != written.options
                }),
            has_new_nodes || !state.liveness.is_empty() || state.kinds.len() != segments.nodes.kinds.len(),
            has_new_nodes,
            !state.tokens.is_empty()
                || state.blocks.len() != segments.features.blocks.len()
                || state.blocks.iter().any(|block| !block.values.is_empty()),
            current.len() < FILES.len()
                || !state.values.is_empty()
                || state.properties.len() != segments.properties.schema.len()
                || !state.labels.iter().eq(segments.properties.labels.iter().map(|(kind, at)| (kind, at))),
        ];
    write_stale(disk, current, is_stale, number, |to, what| write_segment(to, what, state, cancel))
}

/// Writes the stale files under `number` with `write`, and returns what a manifest says of all files.
///
/// # Errors
/// Errors of `write`; the files written by then are removed again.
pub(crate) fn write_stale(
    disk: &Disk,
    current: &[NamedFile],
    is_stale: [bool; FILES.len()],
    number: u64,
    mut write: impl FnMut(Target<'_>, &str) -> Result<Fingerprint, Error>,
) -> Result<Vec<NamedFile>, Error> {
    let mut files = current.to_vec();
    for at in (0..FILES.len()).filter(|&at| is_stale[at]) {
        let name = FileName::new(FILES[at], number);
        let path = name.path(disk.folder());
        match write(disk.target(&path), FILES[at]) {
            Ok(fingerprint) => {
                let file = NamedFile { name, fingerprint };
                if at < files.len() { files[at] = file } else { files.push(file) }
            }
            Err(error) => {
                for at in (0..=at).filter(|&at| is_stale[at]) {
                    // A file that cannot be removed is removed at the next publish.
                    let _ = disk.remove(&FileName::new(FILES[at], number).path(disk.folder()));
                }
                return Err(error);
            }
        }
    }
    Ok(files)
}

fn write_segment(
    to: Target<'_>,
    what: &str,
    state: &GraphState,
    cancel: &CancelToken,
) -> Result<Fingerprint, Error> {
    match what {
        "topology" => write_topology(to, state, cancel),
        "nodes" => {
            let what = |node| (state.kind(node), state.stable_id(node), state.is_alive(node));
            Nodes::write(to, &state.kinds, state.bound, what, cancel)
        }
        "keys" => {
            let what = |node| (state.kind(node), state.stable_id(node), state.name(node).key);
            Keys::write(to, state.bound, what, cancel)
        }
        "features" => {
            let used: Vec<usize> = (0..state.blocks.len()).filter(|&at| state.blocks[at].rows > 0).collect();
            let meta = |&at: &usize| {
                let block = &state.blocks[at];
                BlockMeta { name: block.name.clone(), width: block.width, rows: block.rows }
            };
            let blocks: Vec<BlockMeta> = used.iter().map(meta).collect();
            let dense = |at: usize, node| state.dense(used[at], node);
            Features::write(to, state.bound, &blocks, |node| state.tokens(node), dense, cancel)
        }
        _ => {
            let schema: Vec<PropertyMeta> =
                state.properties.iter().map(|property| PropertyMeta::clone(property)).collect();
            let labels = state.labels.iter().map(|(&kind, &at)| (kind, at)).collect();
            let kind = |node| state.kind(node);
            let value = |at, node| state.value_bytes(at, node);
            Properties::write(to, state.bound, (&schema, labels), kind, value, cancel)
        }
    }
}

/// # Cost
/// A relation takes a pass over its records, and over its changed lists.
fn write_topology(to: Target<'_>, state: &GraphState, cancel: &CancelToken) -> Result<Fingerprint, Error> {
    let bound = u64::from(state.bound);
    let stage = cancel.stage("topology", bound * state.relations.len() as u64);
    let mut topology = TopologyWriter::create(to, state.bound, state.relations.len())?;
    for (at, relation) in state.relations.iter().enumerate() {
        let lists = state.lists(RelationIx::new(at as u16));
        let owners = lists.owners(state.bound);
        stage.advance(bound - owners.count() as u64)?;
        let mut writer = topology.relation(&owners)?;
        for node in owners.nodes() {
            stage.advance(1)?;
            let list = lists.get(node);
            writer.add(&[list.record().at(0)], &list.words())?;
        }
        let kinds = relation.kinds.iter().copied().collect();
        let (name, edges, options) = (relation.name.clone(), relation.edges, relation.options);
        writer.end(RelationMeta { name, kinds, edges, options })?;
    }
    let written = topology.finish()?;
    stage.end();
    Ok(written)
}

/// Writes the segments of a store without nodes.
pub(crate) fn write_empty(disk: &Disk) -> Result<Vec<NamedFile>, Error> {
    let names = FILES.map(|what| FileName::new(what, 0));
    let paths = names.each_ref().map(|name| name.path(disk.folder()));
    let to = |at: usize| disk.target(&paths[at]);
    let cancel = CancelToken::new();
    let no_node = |_: NodeIx| -> ! { unreachable!("a new store has no nodes") };
    let [topology, nodes, keys, features, properties] = names;
    let written = [
        (topology, TopologyWriter::create(to(0), 0, 0)?.finish()?),
        (nodes, Nodes::write(to(1), &[], 0, |node| no_node(node), &cancel)?),
        (keys, Keys::write(to(2), 0, |node| no_node(node), &cancel)?),
        (features, Features::write(to(3), 0, &[], |node| no_node(node), |_, node| no_node(node), &cancel)?),
        (
            properties,
            Properties::write(
                to(4),
                0,
                (&[], Vec::new()),
                |node| no_node(node),
                |_, node| no_node(node),
                &cancel,
            )?,
        ),
    ];
    Ok(written.into_iter().map(|(name, fingerprint)| NamedFile { name, fingerprint }).collect())
}

/// Opens the segments of a manifest as a state.
pub(crate) fn open_checkpoint(
    disk: &Disk,
    manifest: &Manifest,
    mode: OpenMode<'_>,
) -> Result<GraphState, Error> {
    open_checkpoint_after(disk, manifest, None, mode)
}

/// Opens the segments of a manifest as a state. Files of the segments before are not read again.
pub(crate) fn open_checkpoint_after(
    disk: &Disk,
    manifest: &Manifest,
    before: Option<&Segments>,
    mode: OpenMode<'_>,
) -> Result<GraphState, Error> {
    let lists = if mode.is_mapped { Residence::Mapped } else { Residence::Loaded };
    let stage = mode.cancel.stage("files", manifest.segments.iter().map(|file| file.fingerprint.bytes).sum());
    let open = |at: usize, residence| {
        let named = &manifest.segments[at];
        let known = before.and_then(|before| before.files.get(at)).filter(|file| named.is(file, disk));
        let file = known.map_or_else(|| named.open(disk, residence, mode), |file| Ok(file.clone()))?;
        stage.advance(named.fingerprint.bytes)?;
        Ok::<_, Error>(file)
    };
    let mut files = vec![open(0, lists)?];
    for at in 1..manifest.segments.len() {
        files.push(open(at, Residence::Mapped)?);
    }
    stage.end();
    let segments = Segments::new(files, before)?;
    // A process needs memory for what it uses, not for what was validated.
    segments.files.iter().for_each(SectionFile::release_pages);
    let positions = Arc::clone(&manifest.positions);
    Ok(GraphState::checkpointed(segments.into(), manifest.epoch(), positions, manifest.time_unit()))
}
