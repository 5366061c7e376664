//! Masks of tokens: which of a few given tokens each node has.

use crate::graph::graph_state::GraphState;
use crate::graph::snapshot::Snapshot;
use crate::types::ids::NodeIx;

/// A few tokens, resolved once for the nodes of one snapshot.
#[derive(Debug)]
pub struct TokenMask<'a> {
    state: &'a GraphState,
    tokens: Vec<String>,
    /// The number of each token that some checkpointed node has, and its bit.
    checkpointed: Vec<(u32, u64)>,
}

impl TokenMask<'_> {
    /// The most tokens in one mask.
    pub const MAX: usize = 64;

    /// The mask of a node: one bit for each of the tokens, the lowest for the first.
    ///
    /// # Panics
    /// As [`Snapshot`] does.
    /// # Cost
    /// Some nanoseconds, where nodes are visited in their order and their features are in a checkpoint.
    #[inline]
    pub fn of(&self, node: NodeIx) -> u64 {
        if let Some(tokens) = self.state.tokens.get(node.get()) {
            let bit = |(at, token): (usize, &String)| {
                u64::from(tokens.binary_search_by(|other| (**other).cmp(token)).is_ok()) << at
            };
            return self.tokens.iter().enumerate().map(bit).sum();
        }
        let has = self.state.segments.features.token_ixs(node);
        self.checkpointed.iter().filter(|(token, _)| has.contains(token)).map(|(_, bit)| bit).sum()
    }
}

impl Snapshot {
    /// Resolves tokens for [`TokenMask::of`], with a binary search for each.
    ///
    /// # Panics
    /// When there are more than [`TokenMask::MAX`] tokens, or a token occurs twice.
    pub fn token_mask(&self, tokens: Vec<String>) -> TokenMask<'_> {
        assert!(tokens.len() <= TokenMask::MAX, "a bit for each token");
        assert!((1..tokens.len()).all(|at| !tokens[..at].contains(&tokens[at])), "each token once");
        let features = &self.0.segments.features;
        let checkpointed = tokens.iter().enumerate();
        let checkpointed =
            checkpointed.filter_map(|(at, token)| Some((features.token_ix(token)?, 1 << at))).collect();
        TokenMask { state: &self.0, tokens, checkpointed }
    }
}

#[cfg(test)]
mod tests {
    use crate::store::handle::Store;
    use crate::types::batch::Batch;
    use crate::types::cancel::CancelToken;
    use crate::types::names::NodeRef;

    #[test]
    fn marks_are_the_tokens_of_a_node_before_and_after_a_checkpoint() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path()).expect("it opens");
        let all: Vec<String> = (0..9).map(|at| format!("t{at}")).collect();
        let asked: Vec<String> = ["t7", "t0", "none", "t3"].map(str::to_owned).to_vec();
        let mut batch = Batch::new();
        for node in 0..60usize {
            let key = node.to_string();
            let tokens: Vec<&String> =
                (0..9).filter(|at| node >> (at % 6) & 1 == 1).map(|at| &all[at]).collect();
            batch.set_tokens(NodeRef::new("pin", &key).expect("a name"), &tokens).expect("valid");
        }
        store.commit(&batch).expect("committed");
        let check = || {
            let snapshot = store.snapshot();
            let marks = snapshot.token_mask(asked.clone());
            for node in snapshot.nodes_of(snapshot.kind_ix("pin").expect("there")) {
                let has = snapshot.tokens(node);
                let bit = |at: usize| u64::from(has.contains(&asked[at].as_str())) << at;
                assert_eq!(marks.of(node), (0..asked.len()).map(bit).sum::<u64>());
            }
        };
        check();
        store.checkpoint(&CancelToken::new()).expect("a checkpoint");
        check();
        let mut batch = Batch::new();
        batch.set_tokens(NodeRef::new("pin", "5").expect("a name"), &["t3", "new"]).expect("valid");
        batch.set_tokens(NodeRef::new("pin", "6").expect("a name"), &["t0"; 0]).expect("valid");
        batch.set_tokens(NodeRef::new("pin", "new").expect("a name"), &["t7"]).expect("valid");
        store.commit(&batch).expect("committed");
        check();
    }
}
