//! Methods as bits, so that a set of them is one word.

/// The methods every table knows, in the order of their bits and of the `Allow` field.
const STANDARD: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/// Distinct methods one snapshot can tell apart.
pub const METHODS_MAX: usize = 63;

/// A set of methods. Meaningful only beside the [`Methods`] that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MethodSet(u64);

impl MethodSet {
    /// Every method, also those that no route names.
    pub(crate) const ANY: Self = Self(u64::MAX);
    /// No method.
    pub(crate) const NONE: Self = Self(0);

    /// Whether there is none in it.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in both.
    pub(crate) fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    pub(crate) fn join(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any method fits.
    pub(crate) fn is_any(self) -> bool {
        self == Self::ANY
    }
}

/// The methods a snapshot knows.
#[derive(Debug)]
pub(crate) struct Methods {
    names: Vec<Box<str>>,
}

impl Methods {
    /// The standard ones.
    pub(crate) fn new() -> Self {
        Self { names: STANDARD.iter().map(|&name| name.into()).collect() }
    }

    /// The bit of a method that a route names; `None` when there are too many.
    pub(crate) fn add(&mut self, name: &str) -> Option<MethodSet> {
        let at = self.names.iter().position(|known| &**known == name).or_else(|| {
            (self.names.len() < METHODS_MAX).then(|| {
                self.names.push(name.into());
                self.names.len() - 1
            })
        })?;
        Some(MethodSet(1 << at))
    }

    /// The bit of a method that a request uses; methods that no route names share the last bit. The common ones are
    /// told without a search, by their places in [`STANDARD`].
    #[inline]
    pub(crate) fn bit(&self, name: &[u8]) -> MethodSet {
        let at = match name {
            b"GET" => 0,
            b"HEAD" => 1,
            b"POST" => 2,
            b"PUT" => 3,
            _ => self.names.iter().position(|known| known.as_bytes() == name).unwrap_or(METHODS_MAX),
        };
        MethodSet(1 << at)
    }

    /// The names in a set, in a fixed order.
    pub(crate) fn names(&self, set: MethodSet) -> impl Iterator<Item = &str> {
        self.names.iter().enumerate().filter(move |(at, _)| set.0 >> at & 1 == 1).map(|(_, name)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_told_in_a_fixed_order_and_bounded() {
        let mut methods = Methods::new();
        let set = ["POST", "GET", "PURGE"]
            .iter()
            .fold(MethodSet::NONE, |set, name| set.join(methods.add(name).expect("room")));
        assert_eq!(methods.names(set).collect::<Vec<_>>(), ["GET", "POST", "PURGE"]);
        assert!(set.common(methods.bit(b"purge")).is_empty());
        assert!(!MethodSet::ANY.common(methods.bit(b"BREW")).is_empty());
        for name in STANDARD {
            assert_eq!(Some(methods.bit(name.as_bytes())), methods.add(name), "{name}");
        }
        while methods.names.len() < METHODS_MAX {
            let name = format!("M{}", methods.names.len());
            assert!(methods.add(&name).is_some());
        }
        assert_eq!(methods.add("ONEMORE"), None);
        assert!(methods.add("PURGE").is_some());
    }
}
