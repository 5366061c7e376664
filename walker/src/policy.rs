//! Which relations a kind's walks alternate through.

use hedgerow_storage::{KindIx, RelationIx, Snapshot};

use crate::error::Error;

/// A kind's walk policy: paths, each a cycle of relations that a walk follows again and again. At the end of
/// every cycle the node it stands on is visited. Walk number w follows path `w mod paths`.
///
/// For pins on boards the one path is `board-pin, board-pin`: a walk goes to a board and back to a pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The kind that walks start from and whose visits are counted.
    pub kind: String,
    /// Names of relations, by path.
    pub paths: Vec<Vec<String>>,
}

impl Policy {
    /// There and back through every relation of `kind`, in the order of their names; a relation between nodes
    /// of the one kind is followed in single steps.
    pub fn default_for(snapshot: &Snapshot, kind: KindIx) -> Self {
        let mut paths = Vec::new();
        for relation in (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16)) {
            // One that lost its edges is as one that never was, so that equal graphs have equal policies.
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

    /// The policy in a snapshot's own numbers. A relation that the store does not know yet leads nowhere.
    pub(crate) fn resolve(&self, snapshot: &Snapshot) -> Result<ResolvedPolicy, Error> {
        let kind =
            snapshot.kind_ix(&self.kind).ok_or_else(|| Error::UnknownKind { kind: self.kind.clone() })?;
        if self.paths.iter().any(Vec::is_empty) {
            let found = "a path of no relation".to_owned();
            return Err(Error::Option { option: "policy", found, expected: "paths of one relation or more" });
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

pub(crate) struct ResolvedPolicy {
    pub(crate) kind: KindIx,
    pub(crate) paths: Vec<Path>,
}

/// A cycle of relations, and which kinds a walk can stand on before each of them.
pub(crate) struct Path {
    pub(crate) relations: Vec<Option<RelationIx>>,
    kinds: Vec<KindSet>,
}

impl Path {
    /// The relation that a walk follows at hop `t`.
    pub(crate) fn relation(&self, t: u32) -> Option<RelationIx> {
        self.relations[t as usize % self.relations.len()]
    }

    /// Whether a walk can stand on a node of `kind` before hop `t`. At the start only on the policy's own kind.
    pub(crate) fn can_reach(&self, kind: KindIx, t: u32) -> bool {
        self.kinds[t as usize % self.relations.len()][kind.get() as usize]
    }
}

type KindSet = [bool; 256];

/// The kinds that can be met before each hop of a cycle that starts on `kind`, going round until nothing new.
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
