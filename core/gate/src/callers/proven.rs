//! API keys that were found good, per worker, until anything changes in the table of callers.
//!
//! What is kept of a key is a tag: SipHash-2-4 of 128 bits under a secret that nobody outside has. Who does not
//! know a good key would have to hit one of [`PROVEN_MAX`] tags among 2^128 without ever seeing one, so a hit
//! proves as much as the key's own hash does. What a credential may do is not kept: status, end and app are looked
//! up on every request.

use crate::spec::Id;
use siphasher::sip128::SipHasher24;
use std::cell::Cell;

/// Keys that one worker remembers; a further one takes the place of one that stands where it belongs.
pub(crate) const PROVEN_MAX: usize = 1024;

/// A key that was found good.
#[derive(Clone, Copy)]
struct Proven {
    tag: [u64; 2],
    /// The state of the table in which it was; 0: never.
    generation: u64,
    tenant: Id,
    credential: u32,
}

const NONE: Proven = Proven { tag: [0; 2], generation: 0, tenant: Id(0), credential: 0 };

/// The keys of one worker: 32 KiB.
pub(crate) struct ProvenKeys {
    hasher: SipHasher24,
    generation: u64,
    slots: Box<[Cell<Proven>; PROVEN_MAX]>,
}

impl std::fmt::Debug for ProvenKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ProvenKeys(..)")
    }
}

/// The tag of a key that was looked for.
#[derive(Clone, Copy)]
pub(crate) struct Tag([u64; 2]);

impl ProvenKeys {
    /// None yet. `secret` must be known to nobody outside, and used for nothing else.
    pub(crate) fn new(secret: [u8; 16]) -> Self {
        Self {
            hasher: SipHasher24::new_with_key(&secret),
            generation: 1,
            slots: Box::new([const { Cell::new(NONE) }; PROVEN_MAX]),
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.generation += 1;
    }

    /// The tag of what is shown. One hash.
    #[inline]
    pub(crate) fn tag(&self, text: &[u8]) -> Tag {
        let hash = self.hasher.hash(text);
        Tag([hash.h1, hash.h2])
    }

    /// The place of the credential that a key was proven to be. Tags are compared in constant time.
    #[inline]
    pub(crate) fn find(&self, tenant: Id, tag: Tag) -> Option<u32> {
        let proven = self.slots[slot(tag)].get();
        let differs = (proven.tag[0] ^ tag.0[0]) | (proven.tag[1] ^ tag.0[1]);
        (differs == 0 && proven.generation == self.generation && proven.tenant == tenant)
            .then_some(proven.credential)
    }

    /// Remembers a key that is good.
    pub(crate) fn remember(&self, tenant: Id, tag: Tag, credential: u32) {
        self.slots[slot(tag)].set(Proven { tag: tag.0, generation: self.generation, tenant, credential });
    }
}

fn slot(tag: Tag) -> usize {
    tag.0[0] as usize % PROVEN_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_to_its_tenant_until_anything_changes() {
        let mut keys = ProvenKeys::new([3; 16]);
        let tag = keys.tag(b"psk_ab12_0123456789abcdef");
        assert_eq!(keys.find(Id(1), tag), None);
        keys.remember(Id(1), tag, 7);
        assert_eq!(keys.find(Id(1), tag), Some(7));
        assert_eq!(keys.find(Id(2), tag), None);
        assert_eq!(keys.find(Id(1), keys.tag(b"psk_ab12_0123456789abcdeg")), None);
        for flipped in [Tag([tag.0[0] ^ 1 << 63, tag.0[1]]), Tag([tag.0[0], tag.0[1] ^ 1])] {
            assert_eq!(keys.find(Id(1), flipped), None, "every bit counts");
        }
        keys.clear();
        assert_eq!(keys.find(Id(1), tag), None);
    }

    #[test]
    fn tags_differ_by_secret_and_the_memory_is_bounded() {
        let (keys, others) = (ProvenKeys::new([3; 16]), ProvenKeys::new([4; 16]));
        assert_ne!(keys.tag(b"a").0, others.tag(b"a").0);
        let texts: Vec<String> = (0..10 * PROVEN_MAX).map(|number| format!("key-{number}")).collect();
        for (place, text) in texts.iter().enumerate() {
            keys.remember(Id(1), keys.tag(text.as_bytes()), place as u32);
        }
        let known: Vec<usize> = (0..texts.len())
            .filter(|&place| keys.find(Id(1), keys.tag(texts[place].as_bytes())) == Some(place as u32))
            .collect();
        assert!(known.len() <= PROVEN_MAX && known.len() > PROVEN_MAX / 2, "{}", known.len());
        assert_eq!(known.last(), Some(&(texts.len() - 1)), "the last one is always kept");
    }
}
