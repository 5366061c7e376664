//! The bare loop that walks are measured against: flat arrays, and many walks at once. It holds no more than walks need.
#![expect(unsafe_code, reason = "a baseline without prefetching would be none")]

use hedgerow::{NodeIx, RelationIx, Snapshot};
use memmap2::{Advice, MmapMut};

use crate::measure::Failure;

const WALKS: usize = 128;

/// Neighbor lists one after another, without the ids that stable draws need.
pub(crate) struct FlatLists {
    offsets: MmapMut,
    targets: MmapMut,
}

impl FlatLists {
    pub(crate) fn new(snapshot: &Snapshot, relation: RelationIx) -> Result<Self, Failure> {
        let lists = || (0..snapshot.bound()).map(|node| snapshot.list(relation, NodeIx::new(node)));
        let entries: usize = lists().map(|list| list.degree()).sum();
        let (mut offsets, mut targets) = (huge(8 * (snapshot.bound() as usize + 1))?, huge(4 * entries)?);
        let mut at = 0;
        for (offset, list) in bytemuck::cast_slice_mut::<u8, u64>(&mut offsets).iter_mut().zip(lists()) {
            *offset = at as u64;
            for run in list.runs() {
                let targets: &mut [u32] =
                    bytemuck::cast_slice_mut(&mut targets[4 * at..4 * (at + run.len())]);
                targets.copy_from_slice(run);
                at += run.len();
            }
        }
        bytemuck::cast_slice_mut::<u8, u64>(&mut offsets)[snapshot.bound() as usize] = at as u64;
        Ok(Self { offsets, targets })
    }

    /// Makes so many hops on one thread, from nodes that have neighbors; the result keeps the loop from being left out.
    pub(crate) fn walk(&self, starts: &[NodeIx], hops: usize, seed: u64) -> u64 {
        let offsets: &[u64] = bytemuck::cast_slice(&self.offsets);
        let targets: &[u32] = bytemuck::cast_slice(&self.targets);
        let mut at: Vec<usize> = (0..WALKS).map(|walk| starts[walk * 7919 % starts.len()].index()).collect();
        let mut random: Vec<u64> =
            (1..=WALKS as u64).map(|walk| seed ^ walk.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let mut drawn = vec![0_usize; WALKS];
        for _ in 0..hops / WALKS {
            for ((at, random), drawn) in at.iter().zip(&mut random).zip(&mut drawn) {
                *random ^= *random << 13;
                *random ^= *random >> 7;
                *random ^= *random << 17;
                let (start, end) = (offsets[*at], offsets[*at + 1]);
                *drawn = (start + (((*random >> 32) * (end - start)) >> 32)) as usize;
                prefetch(targets, *drawn);
            }
            for (at, &drawn) in at.iter_mut().zip(&drawn) {
                *at = targets[drawn] as usize;
                prefetch(offsets, *at);
            }
        }
        at.iter().map(|&node| node as u64).sum()
    }
}

/// Memory in huge pages, where the system has them.
fn huge(bytes: usize) -> Result<MmapMut, Failure> {
    let memory = MmapMut::map_anon(bytes.max(1))?;
    #[cfg(target_os = "linux")]
    let _ = memory.advise(Advice::HugePage);
    Ok(memory)
}

#[inline(always)]
fn prefetch<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction is a hint that reads nothing and never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(index).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}
