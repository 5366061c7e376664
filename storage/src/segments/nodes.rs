//! The file `nodes`: kind, stable id and liveness of each node.

use crate::fs::disk::Target;
use crate::fs::header::Fingerprint;
use crate::fs::mmap::SharedNumbers;
use crate::fs::section::SectionFile;
use crate::fs::section_stream::SectionStream;
use crate::types::cancel::CancelToken;
use crate::types::codec;
use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;
use crate::types::ids::{KindIx, NodeIx, StableId};

const KIND: [u8; 4] = *b"NODE";
const VERSION: u32 = 1;

#[derive(Encode, Decode)]
struct Meta {
    bound: u32,
    alive: u64,
    kinds: Vec<String>,
}

/// The properties of each node, by number.
#[derive(Debug)]
pub(crate) struct Nodes {
    pub(crate) kinds: Vec<String>,
    /// The number of living nodes.
    pub(crate) alive: u64,
    kind: SharedNumbers<u8>,
    id: SharedNumbers<u64>,
    live: SharedNumbers<u64>,
}

impl Nodes {
    pub(crate) fn open(file: &SectionFile) -> Result<Self, Error> {
        file.require(KIND, VERSION)?;
        let damaged = |what: &str| file.damaged("section 'meta'", what);
        let meta: Meta = codec::decode(file.section(*b"meta\0\0\0\0")?).map_err(|_| damaged("unreadable"))?;
        let nodes = Self {
            kinds: meta.kinds,
            alive: meta.alive,
            kind: file.slice(*b"kind\0\0\0\0")?,
            id: file.slice(*b"id\0\0\0\0\0\0")?,
            live: file.slice(*b"live\0\0\0\0")?,
        };
        let bound = meta.bound as usize;
        let counts = (nodes.kind.len(), nodes.id.len(), nodes.live.len());
        if counts != (bound, bound, bound.div_ceil(64)) || nodes.kinds.len() > 255 {
            return Err(damaged("counts that do not match the sections"));
        }
        if file.was_verified() {
            return Ok(nodes);
        }
        if nodes.kind.iter().any(|&kind| usize::from(kind) >= nodes.kinds.len()) {
            return Err(file.damaged("section 'kind'", "a kind that does not exist"));
        }
        let alive: u64 = nodes.live.iter().map(|word| u64::from(word.count_ones())).sum();
        if alive != nodes.alive {
            return Err(
                file.damaged("section 'live'", "a number of living nodes that differs from the count")
            );
        }
        Ok(nodes)
    }

    /// Every node's number is below it.
    pub(crate) fn bound(&self) -> u32 {
        self.kind.len() as u32
    }

    #[inline]
    pub(crate) fn kind(&self, node: NodeIx) -> KindIx {
        KindIx::new(self.kind[node.index()])
    }

    #[inline]
    pub(crate) fn id(&self, node: NodeIx) -> StableId {
        StableId::new(self.id[node.index()])
    }

    #[inline]
    pub(crate) fn is_alive(&self, node: NodeIx) -> bool {
        self.live[node.index() / 64] >> (node.index() % 64) & 1 == 1
    }

    /// Writes the file for all nodes below `bound`.
    pub(crate) fn write(
        to: Target<'_>,
        kinds: &[String],
        bound: u32,
        what: impl Fn(NodeIx) -> (KindIx, StableId, bool),
        cancel: &CancelToken,
    ) -> Result<Fingerprint, Error> {
        let mut stream = SectionStream::create(to, KIND, VERSION, 4)?;
        let nodes = || (0..bound).map(NodeIx::new);
        let stage = cancel.stage("nodes", 2 * u64::from(bound));
        stream.begin(*b"kind\0\0\0\0")?;
        for node in nodes() {
            stage.advance(1)?;
            stream.write(&[what(node).0.get()])?;
        }
        stream.begin(*b"id\0\0\0\0\0\0")?;
        for node in nodes() {
            stage.advance(1)?;
            stream.write(&what(node).1.get().to_le_bytes())?;
        }
        stage.end();
        stream.begin(*b"live\0\0\0\0")?;
        let mut alive = 0;
        for word in 0..bound.div_ceil(64) {
            let inside = (0..64).take_while(|bit| word * 64 + bit < bound);
            let bits =
                inside.fold(0, |bits, bit| bits | u64::from(what(NodeIx::new(word * 64 + bit)).2) << bit);
            alive += u64::from(bits.count_ones());
            stream.write(&bits.to_le_bytes())?;
        }
        stream.begin(*b"meta\0\0\0\0")?;
        stream.write(&codec::encode(&Meta { bound, alive, kinds: kinds.to_vec() }))?;
        stream.finish()
    }
}
