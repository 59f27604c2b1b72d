//! CRC-32C (Castagnoli; RFC 3720 appendix B.4) over the bytes of a frame, by the processor's own instructions.
//!
//! The instruction takes three cycles to feed the next one, so blocks are summed independently of each other and
//! put together by a carry-less multiplication: a block's sum is moved past the bytes behind it by multiplying it
//! with a power of x. Knows bytes only.
#![allow(unsafe_code)]

/// Goes on from the CRC-32C `crc` of what stands before `bytes`; 0 for nothing.
#[inline]
pub(crate) fn append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() < x86_64::BYTES_MAX
        && is_x86_feature_detected!("sse4.2")
        && is_x86_feature_detected!("pclmulqdq")
    {
        // SAFETY: the processor has both features, which is all that the function asks for.
        return unsafe { x86_64::append(crc, bytes) };
    }
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{
        _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u64, _mm_cvtsi64_si128, _mm_cvtsi128_si64,
        _mm_setzero_si128, _mm_xor_si128,
    };

    const WORD_BYTES: usize = 8;
    const BLOCK_WORDS: usize = 16;
    const BLOCK_BITS: usize = BLOCK_WORDS * WORD_BYTES * 8;
    /// Blocks that are put together: more than a frame has.
    const BLOCKS_MAX: usize = 65;
    /// What is as long or longer is not for this module.
    pub(super) const BYTES_MAX: usize = BLOCKS_MAX * BLOCK_WORDS * WORD_BYTES;
    /// The polynomial, lowest power in the highest bit.
    const POLYNOMIAL: u32 = 0x82f6_3b78;

    /// By number of blocks behind: what a sum is multiplied with to stand before them. The instruction that reduces
    /// the product multiplies with x^32 itself, and a product of two mirrored numbers is mirrored one bit off.
    const SHIFTS: [u32; BLOCKS_MAX] = {
        let mut shifts = [0; BLOCKS_MAX];
        let mut power = 1 << 31; // x^0
        let (mut exponent, mut blocks) = (0, 1);
        while blocks < BLOCKS_MAX {
            while exponent < blocks * BLOCK_BITS - 33 {
                power = (power >> 1) ^ (if power & 1 == 1 { POLYNOMIAL } else { 0 });
                exponent += 1;
            }
            shifts[blocks] = power;
            blocks += 1;
        }
        shifts
    };

    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn sum_block(sum: u64, block: &[[u8; WORD_BYTES]; BLOCK_WORDS]) -> u64 {
        block.iter().fold(sum, |sum, word| _mm_crc32_u64(sum, u64::from_le_bytes(*word)))
    }

    #[target_feature(enable = "sse4.2,pclmulqdq")]
    pub(super) fn append(crc: u32, bytes: &[u8]) -> u32 {
        let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
        let (blocks, words) = words.as_chunks::<BLOCK_WORDS>();
        let mut sum = u64::from(!crc);
        if let [before @ .., last] = blocks {
            let mut moved = _mm_setzero_si128();
            for (block, shift) in before.iter().zip(SHIFTS[..blocks.len()].iter().rev()) {
                let factors =
                    (_mm_cvtsi64_si128(sum_block(sum, block) as i64), _mm_cvtsi64_si128(i64::from(*shift)));
                moved = _mm_xor_si128(moved, _mm_clmulepi64_si128::<0>(factors.0, factors.1));
                sum = 0;
            }
            sum = sum_block(sum, last) ^ _mm_crc32_u64(0, _mm_cvtsi128_si64(moved) as u64);
        }
        for word in words {
            sum = _mm_crc32_u64(sum, u64::from_le_bytes(*word));
        }
        for byte in rest {
            sum = u64::from(_mm_crc32_u8(sum as u32, *byte));
        }
        !(sum as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_known_sum_at_every_length() {
        assert_eq!(append(0, b"123456789"), 0xe306_9283, "the check value of CRC-32C");
        assert_eq!(append(0, &[0; 32]), 0x8a91_36aa, "RFC 3720, appendix B.4");
        let bytes: Vec<u8> = (0..20_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for length in (0..2_000).chain([8_191, 8_192, 8_193, 16_384, 20_000]) {
            for crc in [0, 0x1234_5678, u32::MAX] {
                let expected = crc32c::crc32c_append(crc, &bytes[..length]);
                assert_eq!(append(crc, &bytes[..length]), expected, "{length} bytes after {crc:#x}");
            }
        }
    }
}
