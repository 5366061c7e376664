//! Walk policies: the relations that the walks from nodes of a kind follow.
//! Owns the lookup of the names in a snapshot; it draws nothing.

use hedgerow_storage::{KindIx, RelationIx, Snapshot};

use crate::error::Error;

/// The most relations of a path.
pub(crate) const MAX_PATH: usize = 64;
/// The most paths: a store has as many relations.
const MAX_PATHS: usize = 65_535;

/// The walk policy of a kind: a list of paths, each a cycle of relations that a walk repeats.
///
/// At the end of every cycle the walk visits the node it stands on. Walk number w follows path `w mod paths`. For pins
/// on boards the only path is `board-pin, board-pin`: a walk goes to a board and back to a pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The name of the kind that walks start from and whose visits count.
    pub kind: String,
    /// The names of the relations, by path.
    pub paths: Vec<Vec<String>>,
}

impl Policy {
    /// A path for every relation of `kind`, in the order of the relations' names.
    ///
    /// A path goes through its relation and back. In a relation between nodes of one kind it takes single hops.
    /// Relations without edges have no path.
    pub fn default_for(snapshot: &Snapshot, kind: KindIx) -> Self {
        let mut paths = Vec::new();
        for relation in (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16)) {
            // A relation that lost its edges has no path, so that equal graphs have equal policies.
            if snapshot.edge_count(relation) == 0 {
                continue;
            }
            let pairs = snapshot.relation_kinds(relation);
            let touching: Vec<_> = pairs.iter().filter(|(a, b)| *a == kind || *b == kind).collect();
            let name = snapshot.relation_name(relation).to_owned();
            if touching.iter().any(|(a, b)| a != b) {
                paths.push(vec![name.clone(), name]);
            } else if !touching.is_empty() {
                paths.push(vec![name]);
            }
        }
        paths.sort();
        Self { kind: snapshot.kind_name(kind).to_owned(), paths }
    }

    /// The policy with names replaced by the snapshot's numbers. A relation that the store does not have ends the walk.
    pub(crate) fn resolve(&self, snapshot: &Snapshot) -> Result<ResolvedPolicy, Error> {
        let kind =
            snapshot.kind_ix(&self.kind).ok_or_else(|| Error::UnknownKind { kind: self.kind.clone() })?;
        let refused = |found: String, expected| Err(Error::Option { option: "policy", found, expected });
        if self.paths.iter().any(Vec::is_empty) {
            return refused("a path without a relation".to_owned(), "one relation or more in every path");
        }
        // A model from outside brings its policy, and each relation of a path is a draw of every visit.
        if let Some(path) = self.paths.iter().find(|path| path.len() > MAX_PATH) {
            return refused(format!("a path of {} relations", path.len()), "at most 64 relations in a path");
        }
        if self.paths.len() > MAX_PATHS {
            return refused(format!("{} paths", self.paths.len()), "at most 65,535 paths");
        }
        let number =
            |path: &Vec<String>| path.iter().map(|name| snapshot.relation_ix(name)).collect::<Vec<_>>();
        let paths: Vec<Path> = self
            .paths
            .iter()
            .map(number)
            .map(|relations| Path { kinds: reachable_kinds(&relations, kind, snapshot), relations })
            .collect();
        Ok(ResolvedPolicy { kind, paths })
    }
}

/// A policy in the numbers of a snapshot.
pub(crate) struct ResolvedPolicy {
    pub(crate) kind: KindIx,
    pub(crate) paths: Vec<Path>,
}

/// A cycle of relations, and the kinds that a walk can stand on before each of them.
pub(crate) struct Path {
    /// By hop of the cycle; `None` for a relation that the store does not have.
    pub(crate) relations: Vec<Option<RelationIx>>,
    /// By hop of the cycle.
    kinds: Vec<KindSet>,
}

impl Path {
    /// The relation that a walk follows at hop `hop`, counted from the start of the walk.
    pub(crate) fn relation(&self, hop: u32) -> Option<RelationIx> {
        self.relations[hop as usize % self.relations.len()]
    }

    /// True if a walk can stand on a node of `kind` before hop `hop`, or before the same hop of another cycle.
    pub(crate) fn can_reach(&self, kind: KindIx, hop: u32) -> bool {
        self.kinds[hop as usize % self.relations.len()][kind.get() as usize]
    }
}

/// By kind.
type KindSet = [bool; 256];

/// The kinds that walks from `kind` can stand on before each hop of a cycle: the fixed point over repeated cycles.
fn reachable_kinds(relations: &[Option<RelationIx>], kind: KindIx, snapshot: &Snapshot) -> Vec<KindSet> {
    let pairs: Vec<_> = relations
        .iter()
        .map(|relation| relation.map_or_else(Vec::new, |relation| snapshot.relation_kinds(relation)))
        .collect();
    let mut kinds = vec![[false; 256]; relations.len()];
    kinds[0][kind.get() as usize] = true;
    loop {
        let mut grown = false;
        for (at, pairs) in pairs.iter().enumerate() {
            let next = (at + 1) % relations.len();
            for &(a, b) in pairs {
                for (from, to) in [(a, b), (b, a)] {
                    let (from, to) = (from.get() as usize, to.get() as usize);
                    if kinds[at][from] && !kinds[next][to] {
                        kinds[next][to] = true;
                        grown = true;
                    }
                }
            }
        }
        if !grown {
            return kinds;
        }
    }
}
