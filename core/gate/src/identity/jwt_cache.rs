//! Tokens that were found good, per worker: until they end, their issuer changes, or room is needed.
//!
//! A hit compares the whole token byte for byte, so the hash that finds it needs no cryptographic strength.
//! What a token may do is not cached: app, credential and revocation are looked up on every request.

use super::jwt::{Fault, IssuerKeys, Token, verify};
use crate::fold_hash::hash;

/// Tokens that one worker keeps.
pub const TOKENS_MAX: usize = SETS * WAYS;
/// Longest token that is kept; longer ones are checked each time.
pub const KEPT_BYTES_MAX: usize = 4096;

const SETS: usize = 1024;
const WAYS: usize = 4;

#[derive(Debug)]
struct Entry {
    hash: u64,
    bytes: Box<[u8]>,
    digest: u64,
    token: Token,
}

/// Where a good token stands until the next one is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

const SPARE: Place = Place(u32::MAX);

/// The cache of one worker. At most [`TOKENS_MAX`] tokens of [`KEPT_BYTES_MAX`] bytes.
#[derive(Debug)]
pub(crate) struct JwtCache {
    entries: Vec<Option<Entry>>,
    spare: Option<Token>,
    turn: usize,
    /// Secret, so that nobody can choose tokens that push each other out.
    seed: u64,
}

impl JwtCache {
    pub(crate) fn new(seed: u64) -> Self {
        Self { entries: (0..TOKENS_MAX).map(|_| None).collect(), spare: None, turn: 0, seed }
    }

    /// A token found good by [`Self::check`].
    pub(crate) fn get(&self, place: Place) -> Option<&Token> {
        if place == SPARE {
            return self.spare.as_ref();
        }
        self.entries.get(place.0 as usize)?.as_ref().map(|entry| &entry.token)
    }

    /// Whether a token is good: from the cache (one hash, one comparison), else by its signature.
    pub(crate) fn check<'i>(
        &mut self,
        token: &[u8],
        issuers: impl Iterator<Item = &'i IssuerKeys> + Clone,
        now_unix_s: u64,
    ) -> Result<Place, Fault> {
        let now = now_unix_s as f64;
        let hash = hash(self.seed, token);
        let set = (hash as usize % SETS) * WAYS;
        let known = (set..set + WAYS).find(|&at| {
            self.entries[at].as_ref().is_some_and(|entry| entry.hash == hash && *entry.bytes == *token)
        });
        if let Some(at) = known
            && let Some(entry) = &self.entries[at]
        {
            let same = issuers.clone().find(|issuer| issuer.id == entry.token.issuer);
            let good = same.is_some_and(|issuer| issuer.digest == entry.digest)
                && now >= entry.token.from_unix_s
                && now < entry.token.until_unix_s;
            if good {
                return Ok(Place(at as u32));
            }
            self.entries[at] = None;
        }
        let (issuer, verified) = verify(token, issuers, now)?;
        if token.len() > KEPT_BYTES_MAX {
            self.spare = Some(verified);
            return Ok(SPARE);
        }
        let free = (set..set + WAYS)
            .find(|&at| self.entries[at].as_ref().is_none_or(|entry| entry.token.until_unix_s <= now));
        let at = free.unwrap_or_else(|| {
            self.turn = (self.turn + 1) % WAYS;
            set + self.turn
        });
        self.entries[at] = Some(Entry { hash, bytes: token.into(), digest: issuer.digest, token: verified });
        Ok(Place(at as u32))
    }
}
