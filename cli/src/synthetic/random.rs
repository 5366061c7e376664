//! The random generator of everything synthetic, and the power law by which popular nodes are drawn.

/// The generator `SplitMix64` (Steele, Lea, Flood 2014): the same numbers for a seed on every machine and in every version.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// Ranks with weights, drawn in proportion to them.
#[derive(Debug)]
pub(super) struct PowerLaw {
    /// The weights of all ranks up to each, added up.
    sums: Vec<u64>,
    /// For each value of a draw's upper bits, the lowest rank that the draw can have: a draw searches a few ranks, not all.
    lowest: Vec<u32>,
    shift: u32,
}

impl PowerLaw {
    pub(super) fn new(ranks: usize, weight: impl Fn(u32) -> u64) -> Self {
        let mut total = 0_u64;
        let sums: Vec<u64> = (0..ranks as u32)
            .map(|rank| {
                total += weight(rank);
                total
            })
            .collect();
        // About as many values of the upper bits as ranks.
        let shift = (ranks as u64).leading_zeros().saturating_sub(total.leading_zeros());
        let mut rank = 0;
        let lowest = (0..=(total >> shift) + 1).map(|upper| {
            while sums.get(rank as usize).is_some_and(|sum| *sum <= upper << shift) {
                rank += 1;
            }
            rank
        });
        let lowest = lowest.collect();
        Self { sums, lowest, shift }
    }

    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let at = random.below(self.sums.last().copied().unwrap_or(1));
        let upper = (at >> self.shift) as usize;
        let (from, to) = (self.lowest[upper] as usize, self.lowest[upper + 1] as usize);
        from + self.sums[from..to].partition_point(|sum| *sum <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_for_ever() {
        let mut random = Random::new(1);
        assert_eq!(random.next(), 0x910a_2dec_8902_5cc1);
    }

    #[test]
    fn a_draw_finds_the_rank_that_a_search_of_all_ranks_finds() {
        for ranks in [1, 2, 3, 100, 5000] {
            let law = PowerLaw::new(ranks, |rank| (1 << 32) / (u64::from(rank) + 10));
            let (mut random, mut same) = (Random::new(7), Random::new(7));
            for _ in 0..2000 {
                let at = same.below(*law.sums.last().expect("there is a rank"));
                assert_eq!(law.draw(&mut random), law.sums.partition_point(|sum| *sum <= at));
            }
        }
    }
}
