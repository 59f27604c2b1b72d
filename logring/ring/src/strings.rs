//! The strings of a call: which there are, how long each may be, how they stand in the tail.
//!
//! The tail is a table of (offset, length) pairs of u16 and the bytes behind it. A string over its
//! bound is cut at the bound, at a UTF-8 character where the text is UTF-8, and its bit in the
//! payload's `truncated` field tells so.

/// The string slots of a record, in the order of the tail's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Slot {
    /// The request id.
    RequestId = 0,
    /// The host as asked.
    Host = 1,
    /// The path, without the query.
    Path = 2,
    /// The address of the target.
    Target = 3,
    /// The subject that the caller's credential names.
    Subject = 4,
    /// The method, if it is an unusual one.
    Method = 5,
    /// The caller's tags.
    Tags = 6,
    /// The model that the caller asked for.
    ModelAsked = 7,
    /// The model that the provider says it served.
    ModelServed = 8,
    /// Names of the fields that were lost in translation.
    Degraded = 9,
    /// The end user that the caller names.
    EndUser = 10,
}

/// How many slots there are.
pub const SLOTS: usize = 11;

/// Longest string by slot, in bytes.
pub const SLOT_BYTES_MAX: [usize; SLOTS] = [128, 255, 2048, 64, 256, 32, 1024, 128, 128, 256, 128];

/// Names by slot, as in the contract's fields where the contract has one.
pub const SLOT_NAMES: [&str; SLOTS] = [
    "request_id",
    "host",
    "path",
    "target",
    "subject",
    "method",
    "tags",
    "model_asked",
    "model_served",
    "degraded",
    "end_user",
];

/// Longest tail: the whole table and every string at its bound.
pub const TAIL_BYTES_MAX: usize = {
    let mut sum = SLOTS * 4;
    let mut slot = 0;
    while slot < SLOTS {
        sum += SLOT_BYTES_MAX[slot];
        slot += 1;
    }
    sum
};

/// The strings of one call, borrowed from the worker's buffers; empty means absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallStrings<'a> {
    /// The request id, kept or made.
    pub request_id: &'a [u8],
    /// The host as asked.
    pub host: &'a [u8],
    /// The normalised path, without the query.
    pub path: &'a [u8],
    /// Address of the target, `10.0.0.7:8080`.
    pub target: &'a [u8],
    /// Subject of the caller's token or certificate.
    pub subject: &'a [u8],
    /// The method where [`crate::CallRecord::method`] says other.
    pub method: &'a [u8],
    /// The caller's tags as sent, `team=blue,env=test`.
    pub tags: &'a [u8],
    /// AI: the model asked for.
    pub model_asked: &'a [u8],
    /// AI: the model served, as the provider names it.
    pub model_served: &'a [u8],
    /// AI: fields lost in translation, comma-separated.
    pub degraded: &'a [u8],
    /// AI: the dialect's own `user`.
    pub end_user: &'a [u8],
}

impl<'a> CallStrings<'a> {
    /// The string of a slot by its number; empty for numbers that no slot has.
    #[inline]
    pub(crate) fn get(&self, slot: usize) -> &'a [u8] {
        match slot {
            0 => self.request_id,
            1 => self.host,
            2 => self.path,
            3 => self.target,
            4 => self.subject,
            5 => self.method,
            6 => self.tags,
            7 => self.model_asked,
            8 => self.model_served,
            9 => self.degraded,
            10 => self.end_user,
            _ => b"",
        }
    }

    /// Number of slots up to the last one that holds something.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        match self {
            _ if !self.end_user.is_empty() => 11,
            _ if !self.degraded.is_empty() => 10,
            _ if !self.model_served.is_empty() => 9,
            _ if !self.model_asked.is_empty() => 8,
            _ if !self.tags.is_empty() => 7,
            _ if !self.method.is_empty() => 6,
            _ if !self.subject.is_empty() => 5,
            _ if !self.target.is_empty() => 4,
            _ if !self.path.is_empty() => 3,
            _ if !self.host.is_empty() => 2,
            _ => usize::from(!self.request_id.is_empty()),
        }
    }
}

/// Cuts a string at its bound, before a UTF-8 character that the bound would split.
#[inline]
pub(crate) fn bounded(bytes: &[u8], max: usize) -> (&[u8], bool) {
    if bytes.len() <= max { (bytes, false) } else { (cut(bytes, max), true) }
}

#[cold]
fn cut(bytes: &[u8], max: usize) -> &[u8] {
    let mut end = max;
    // A UTF-8 character has at most three continuation bytes; further back it is not UTF-8.
    while end > 0 && end + 3 > max && bytes[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    if bytes[end] & 0xC0 == 0x80 {
        end = max;
    }
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_to_the_last_that_holds_something() {
        let empty = CallStrings::default();
        let counts = [
            CallStrings { request_id: b"x", ..empty },
            CallStrings { host: b"x", ..empty },
            CallStrings { path: b"x", ..empty },
            CallStrings { target: b"x", ..empty },
            CallStrings { subject: b"x", ..empty },
            CallStrings { method: b"x", ..empty },
            CallStrings { tags: b"x", ..empty },
            CallStrings { model_asked: b"x", ..empty },
            CallStrings { model_served: b"x", ..empty },
            CallStrings { degraded: b"x", ..empty },
            CallStrings { end_user: b"x", ..empty },
        ];
        assert_eq!((empty.count(), counts.len()), (0, SLOTS));
        for (slot, strings) in counts.iter().enumerate() {
            assert_eq!((strings.count(), strings.get(slot)), (slot + 1, &b"x"[..]), "{}", SLOT_NAMES[slot]);
        }
    }

    #[test]
    fn a_string_is_cut_at_its_bound_and_never_inside_a_character() {
        for (text, max, kept, cut) in [
            ("abc", 3, "abc", false),
            ("abcd", 3, "abc", true),
            ("ab\u{e9}", 3, "ab", true),
            ("a\u{20ac}", 3, "a", true),
            ("\u{1F600}", 3, "", true),
            ("", 0, "", false),
        ] {
            assert_eq!(bounded(text.as_bytes(), max), (kept.as_bytes(), cut), "{text} at {max}");
        }
        assert_eq!(bounded(&[0x80; 10], 6), (&[0x80; 6][..], true));
    }
}
