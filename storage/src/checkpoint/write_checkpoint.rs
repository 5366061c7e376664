//! Folding a state into files: what of it differs from the files there are is written anew.
//! Knows views and file formats; which manifest names the files is the store's to say.

use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::manifest::{FileName, Manifest};
use crate::fs::disk::{Disk, Target};
use crate::fs::verified_files::Opening;
use crate::graph::graph_state::GraphState;
use crate::segments::{BlockMeta, RelationMeta};
use crate::segments::{FILES, Features, Keys, Nodes, Segments, Topology};
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::NodeIx;

/// Writes the files for a state, under `number`, and returns their names; files that would be the same keep theirs.
///
/// # Errors
/// As for [`replace`].
pub(crate) fn fold(
    disk: &Disk,
    view: &GraphState,
    current: &[FileName; 4],
    number: u64,
    cancel: &CancelToken,
) -> Result<[FileName; 4], Error> {
    let settled = &view.base;
    let grown = view.bound != settled.nodes.bound();
    let is_stale = [
        view.relations.len() != settled.topology.relations.len()
            || view.relations.iter().any(|relation| !relation.lists.is_empty()),
        grown || !view.liveness.is_empty() || view.kinds.len() != settled.nodes.kinds.len(),
        grown,
        !view.tokens.is_empty()
            || view.blocks.len() != settled.features.blocks.len()
            || view.blocks.iter().any(|block| !block.values.is_empty()),
    ];
    replace(disk, current, is_stale, number, |to, what| write(to, what, view, cancel))
}

/// Writes those of the files that are stale, under `number`, and returns the names of all; `write` is told where and which.
///
/// # Errors
/// Those of `write`. What was written by then is removed again.
pub(crate) fn replace(
    disk: &Disk,
    current: &[FileName; 4],
    is_stale: [bool; 4],
    number: u64,
    mut write: impl FnMut(Target<'_>, &str) -> Result<(), Error>,
) -> Result<[FileName; 4], Error> {
    let mut names = current.clone();
    for (at, what) in FILES.iter().enumerate().filter(|(at, _)| is_stale[*at]) {
        names[at] = FileName::new(what, number);
    }
    let written = names.iter().zip(is_stale).filter(|(_, stale)| *stale).map(|(name, _)| name);
    for name in written.clone() {
        let path = name.path(disk.folder());
        if let Err(error) = write(disk.target(&path), &name.what) {
            for name in written {
                // What cannot be removed is swept at the next publish.
                let _ = disk.remove(&name.path(disk.folder()));
            }
            return Err(error);
        }
    }
    Ok(names)
}

fn write(to: Target<'_>, what: &str, view: &GraphState, cancel: &CancelToken) -> Result<(), Error> {
    match what {
        "topology" => {
            let stage = cancel.stage("topology", u64::from(view.bound) * view.relations.len() as u64);
            Topology::write(to, view.bound, view.relations.len(), |relation, sink| {
                let lists = view.lists(relation);
                for node in (0..view.bound).map(NodeIx::new) {
                    stage.advance(1)?;
                    let list = lists.get(node);
                    sink.add(&[list.record().at(0)], &list.words())?;
                }
                let relation = &view.relations[relation.index()];
                let kinds = relation.kinds.iter().copied().collect();
                Ok(RelationMeta { name: relation.name.clone(), kinds, edges: relation.edges })
            })?;
            stage.end();
            Ok(())
        }
        "nodes" => {
            let what = |node| (view.kind(node), view.stable_id(node), view.is_alive(node));
            Nodes::write(to, &view.kinds, view.bound, what, cancel)
        }
        "keys" => {
            let what = |node| (view.kind(node), view.stable_id(node), view.name(node).key);
            Keys::write(to, view.bound, what, cancel)
        }
        _ => {
            let used: Vec<usize> = (0..view.blocks.len()).filter(|&at| view.blocks[at].rows > 0).collect();
            let meta = |&at: &usize| {
                let block = &view.blocks[at];
                BlockMeta { name: block.name.clone(), width: block.width, rows: block.rows }
            };
            let blocks: Vec<BlockMeta> = used.iter().map(meta).collect();
            let dense = |at: usize, node| view.dense(used[at], node);
            Features::write(to, view.bound, &blocks, |node| view.tokens(node), dense, cancel)
        }
    }
}

/// Writes the files of a store without nodes.
pub(crate) fn found(disk: &Disk) -> Result<[FileName; 4], Error> {
    let names = FILES.map(|what| FileName::new(what, 0));
    let paths = names.each_ref().map(|name| name.path(disk.folder()));
    let to = |at: usize| disk.target(&paths[at]);
    let cancel = CancelToken::new();
    let nobody = |_: NodeIx| -> ! { unreachable!("a new store has no nodes") };
    Topology::write(to(0), 0, 0, |_, _| unreachable!("a new store has no relations"))?;
    Nodes::write(to(1), &[], 0, |node| nobody(node), &cancel)?;
    Keys::write(to(2), 0, |node| nobody(node), &cancel)?;
    Features::write(to(3), 0, &[], |node| nobody(node), |_, node| nobody(node), &cancel)?;
    Ok(names)
}

/// Opens the files of the checkpoint that a manifest names as a state.
pub(crate) fn settled(store: &Path, manifest: &Manifest, opening: Opening<'_>) -> Result<GraphState, Error> {
    let paths = manifest.base.each_ref().map(|name| name.path(store));
    let base = Segments::open(&paths, opening)?;
    Ok(GraphState::settled(base.into(), manifest.epoch(), Arc::clone(&manifest.positions)))
}
