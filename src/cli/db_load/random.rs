//! Numbers that look drawn and are computed: the same from the same place, on every machine and in every version.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a place: each list of numbers has its own.
    pub fn of(place: &[u64]) -> Self {
        let mut random = Self(0);
        for number in place {
            random.0 ^= number.wrapping_mul(0xff51_afd7_ed55_8ccd);
            random.0 = random.number();
        }
        random
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not 0. Small ends only: the bias is `end` in 2^64.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of a list that is not empty.
    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_splitmix64() {
        // The first three of seed 1234567, as its authors' code prints them.
        let mut random = Random(1_234_567);
        assert_eq!(
            [random.number(), random.number(), random.number()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,]
        );
    }

    #[test]
    fn each_place_has_its_own() {
        let first = |place: &[u64]| Random::of(place).number();
        let places: [&[u64]; 7] = [&[], &[0], &[1], &[0, 0], &[0, 1], &[1, 0], &[1, 1]];
        let mut all: Vec<u64> = places.iter().map(|place| first(place)).collect();
        assert_eq!(first(&[1, 0]), all[5]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 7);
    }
}
