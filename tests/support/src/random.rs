//! The random generator of tests: a failure names its seed, and the seed repeats it.

/// The generator `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "no iterator: the numbers never end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, of any kind of whole number.
    ///
    /// # Panics
    /// If `bound` is not above 0.
    pub fn below<N: TryFrom<u64> + TryInto<u64>>(&mut self, bound: N) -> N {
        let bound = bound.try_into().ok().filter(|bound| *bound > 0).expect("a bound above 0");
        N::try_from(self.next() % bound).ok().expect("a number below the bound has the type of the bound")
    }

    /// True in `percent` of a hundred calls.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100_u64) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    /// The first number of the published generator for the seed 1.
    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        assert_eq!(Random::new(1).next(), 0x910a_2dec_8902_5cc1);
    }
}
