//! Why a text is no JSON, and where.

/// Where and why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The byte at which it was noticed, from 0.
    pub offset: usize,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The bytes are not UTF-8 (RFC 8259 section 8.1).
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// It ends within a value.
    #[error("the text ends too early")]
    Ends,
    /// A value is due and something else stands there.
    #[error("a value was expected")]
    ValueExpected,
    /// A member's name is due and something else stands there.
    #[error("a member's name was expected")]
    NameExpected,
    /// A name is not followed by a colon.
    #[error("a colon was expected")]
    ColonExpected,
    /// After an element stands neither a comma nor the end of what it is in.
    #[error("a comma or the closing bracket was expected")]
    CommaExpected,
    /// A number is malformed: a leading zero, no digit after a point.
    #[error("the number is malformed")]
    Number,
    /// A control character stands unescaped in a string.
    #[error("a string has an unescaped control character")]
    Control,
    /// An escape that JSON does not know.
    #[error("a string has an escape that does not exist")]
    Escape,
    /// Something stands behind the value.
    #[error("something stands behind the end of the document")]
    Trailing,
    /// An object is due and the text is something else.
    #[error("an object was expected")]
    ObjectExpected,
    /// Values are nested deeper than [`super::DEPTH_MAX`].
    #[error("values are nested too deep")]
    TooDeep,
    /// It has more values than [`super::NODES_MAX`].
    #[error("the document has too many values")]
    TooMany,
}
