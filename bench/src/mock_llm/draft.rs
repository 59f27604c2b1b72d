//! The content of an answer, cut into the pieces that a provider writes apart. No framing of HTTP, no time.

use std::io::Write;

/// A part of an answer that is written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it ends in the content.
    pub(super) end: usize,
    /// Tokens of the answer up to and with this piece.
    pub(super) tokens: u32,
}

/// An answer's content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) content: Vec<u8>,
    pub(super) pieces: Vec<Piece>,
    /// First piece of what ends the answer.
    pub(super) terminal: usize,
    /// The piece with which the whole usage has been told.
    pub(super) usage_at: Option<usize>,
}

impl Draft {
    /// A JSON answer: one piece.
    pub(super) fn whole(content: Vec<u8>, tokens: u32, tells_usage: bool) -> Self {
        let pieces = vec![Piece { end: content.len(), tokens }];
        Self { content, pieces, terminal: 0, usage_at: tells_usage.then_some(0) }
    }

    /// Appends text to the piece that is being written.
    pub(super) fn push(&mut self, text: &str) {
        self.content.extend_from_slice(text.as_bytes());
    }

    /// Appends formatted text to the piece that is being written.
    pub(super) fn format(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = self.content.write_fmt(text);
    }

    /// Ends a piece, `new_tokens` more than the piece before.
    pub(super) fn end_piece(&mut self, new_tokens: u32) {
        let before = self.pieces.last().map_or(0, |piece| piece.tokens);
        self.pieces.push(Piece { end: self.content.len(), tokens: before + new_tokens });
    }

    /// Says that the pieces from here on end the answer.
    pub(super) fn begin_terminal(&mut self) {
        self.terminal = self.pieces.len();
    }

    /// Says that the piece that was ended last told the usage.
    pub(super) fn told_usage(&mut self) {
        self.usage_at = self.pieces.len().checked_sub(1);
    }

    /// Where a piece begins in the content.
    pub(super) fn start(&self, piece: usize) -> usize {
        piece.checked_sub(1).map_or(0, |before| self.pieces[before].end)
    }

    /// Drops everything from a piece on.
    pub(super) fn truncate(&mut self, pieces: usize) {
        self.content.truncate(self.start(pieces));
        self.pieces.truncate(pieces);
        self.terminal = self.terminal.min(pieces);
        self.usage_at = self.usage_at.filter(|at| *at < pieces);
    }
}

/// Appends formatted text to a draft.
macro_rules! put {
    ($draft:expr, $($text:tt)*) => { $draft.format(format_args!($($text)*)) };
}
pub(super) use put;
