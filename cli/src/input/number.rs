//! Decimals as f32, rounded once: through an f64 some would be rounded twice, and come out as a neighbour.

/// The f32 nearest to the decimal that this f64 was read from, which has 15 digits at most.
pub(crate) fn narrowed(value: f64) -> f32 {
    // Of the 29 bits that are lost only this pattern is half-way; below the smallest normal f32 more are lost.
    let is_half_way = value.to_bits() & 0x1fff_ffff == 0x1000_0000;
    if is_half_way || value.abs() < f64::from(f32::MIN_POSITIVE) && value != 0.0 {
        // The shortest decimal of an f64 is the one that it was read from.
        return value.to_string().parse().unwrap_or(value as f32);
    }
    value as f32
}

#[cfg(test)]
mod tests {
    use super::narrowed;

    #[test]
    fn every_kind_of_f32_comes_back_through_its_shortest_decimal() {
        let mut bits = 1_u32;
        for _ in 0..200_000 {
            bits = bits.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            let value = f32::from_bits(bits);
            if value.is_finite() {
                let read: f64 = value.to_string().parse().expect("a number");
                assert_eq!(narrowed(read).to_bits(), value.to_bits(), "{value}");
            }
        }
        for value in [f32::MIN_POSITIVE, f32::from_bits(1), f32::from_bits(0x7f_ffff), f32::MAX, 0.0, -0.0] {
            let read: f64 = value.to_string().parse().expect("a number");
            assert_eq!(narrowed(read).to_bits(), value.to_bits(), "{value}");
        }
    }
}
