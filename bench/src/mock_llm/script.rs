//! What is written for one answer, and how it ends: a draft and a fault in, pieces and an ending out.

use super::draft::{Draft, Piece};
use super::orders::Fault;
use super::refusal;
use crate::llm::{Dialect, frames};

/// How the writes of an answer end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// As HTTP wants it.
    Finish,
    /// With a FIN, whatever was promised.
    Close,
    /// With a reset.
    Reset,
    /// Not at all, until the peer leaves.
    Stall,
}

/// The content of an answer and its ending.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) draft: Draft,
    /// Bytes of content that the head promises, where it promises any.
    pub(super) promised: usize,
    pub(super) ending: Ending,
    /// Whether what is written is billed.
    pub(super) billed: bool,
    /// Nothing of the answer is left out.
    pub(super) whole: bool,
}

impl Script {
    /// A script without a fault.
    pub(super) fn plain(draft: Draft) -> Self {
        let promised = draft.content.len();
        Self { draft, promised, ending: Ending::Finish, billed: true, whole: true }
    }

    /// Changes the script by a fault that begins with the head of the answer or later.
    pub(super) fn misbehave(
        &mut self,
        fault: Fault,
        dialect: Dialect,
        stream: bool,
        array: bool,
        number: u64,
    ) {
        self.whole = matches!(fault, Fault::SplitCharacter | Fault::JunkJson);
        match fault {
            Fault::Cut(at) => self.end_at(at, Ending::Close),
            Fault::Reset(at) => self.end_at(at, Ending::Reset),
            Fault::Stall(at) => self.end_at(at, Ending::Stall),
            Fault::End(at) => {
                self.end_at(at, Ending::Finish);
                self.promised = self.draft.content.len();
            }
            Fault::StallBeforeToken => {
                let before = self.draft.pieces.iter().take_while(|piece| piece.tokens == 0).count();
                self.draft.truncate(before);
                self.ending = Ending::Stall;
            }
            Fault::HalfCharacter => {
                if let Some(inside) = within_character(&self.draft.content) {
                    self.end_at(inside, Ending::Finish);
                    self.promised = inside;
                }
            }
            Fault::SplitCharacter => self.split_character(),
            Fault::JunkJson => self.junk(dialect, stream),
            Fault::ErrorIn200 if stream => {
                self.draft.truncate((self.draft.terminal / 2).max(1));
                refusal::push_in_stream(dialect, &mut self.draft, array, number);
            }
            Fault::ErrorIn200 => {
                self.draft = Draft::whole(refusal::server_error(dialect, number).into_bytes(), 0, false);
                self.promised = self.draft.content.len();
                self.billed = false;
            }
            Fault::NoTerminal if stream => self.draft.truncate(self.draft.terminal),
            Fault::NoTerminal => {}
            // These come before the head.
            Fault::Close | Fault::ResetBeforeHead | Fault::StallBeforeHead => {}
        }
    }

    /// Joins all pieces to one.
    pub(super) fn coalesce(&mut self) {
        let pieces = &mut self.draft.pieces;
        if pieces.len() > 1 {
            pieces.drain(..pieces.len() - 1);
            self.draft.usage_at = self.draft.usage_at.map(|_| 0);
        }
    }

    fn end_at(&mut self, at: usize, ending: Ending) {
        self.ending = ending;
        let draft = &mut self.draft;
        if at >= draft.content.len() {
            return;
        }
        let whole = draft.pieces.iter().take_while(|piece| piece.end <= at).count();
        draft.usage_at = draft.usage_at.filter(|told| *told < whole);
        let tokens = draft.pieces[whole].tokens;
        draft.pieces.truncate(whole);
        if draft.pieces.last().map_or(0, |last| last.end) < at {
            draft.pieces.push(Piece { end: at, tokens });
        }
        draft.content.truncate(at);
    }

    fn split_character(&mut self) {
        let draft = &mut self.draft;
        let Some(inside) = within_character(&draft.content) else { return };
        let piece = draft.pieces.iter().take_while(|piece| piece.end <= inside).count();
        let tokens = draft.pieces[piece].tokens;
        draft.pieces.insert(piece, Piece { end: inside, tokens });
        draft.usage_at = draft.usage_at.map(|told| told + usize::from(told >= piece));
    }

    /// Makes the JSON of the answer, or of the middle event, none.
    fn junk(&mut self, dialect: Dialect, stream: bool) {
        let draft = &mut self.draft;
        let piece = if stream { draft.terminal / 2 } else { 0 };
        let (start, end) = (draft.start(piece), draft.pieces[piece].end);
        let bytes = &mut draft.content[start..end];
        if let Some(brace) = bytes.iter().rposition(|byte| *byte == b'}') {
            bytes[brace] = b']';
        }
        if dialect == Dialect::Bedrock && stream {
            frames::reseal(bytes);
        }
    }
}

/// A place within a character of several bytes, in the second half of the content if there is one.
fn within_character(content: &[u8]) -> Option<usize> {
    let is_lead = |byte: &u8| *byte >= 0xc2;
    let middle = content.len() / 2;
    let late = content[middle..].iter().position(is_lead).map(|at| middle + at);
    late.or_else(|| content.iter().position(is_lead)).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three events of 4 bytes, the last of which ends the stream and tells the usage.
    fn script() -> Script {
        let mut draft = Draft::default();
        for (text, tokens) in [("a{}\n", 0), ("é}\n", 2)] {
            draft.push(text);
            draft.end_piece(tokens);
        }
        draft.begin_terminal();
        draft.push("end\n");
        draft.end_piece(0);
        draft.told_usage();
        Script::plain(draft)
    }

    fn after(fault: Fault) -> (Vec<usize>, usize, Ending, Option<usize>) {
        let mut script = script();
        script.misbehave(fault, Dialect::OpenAiChat, true, false, 1);
        let ends = script.draft.pieces.iter().map(|piece| piece.end).collect();
        (ends, script.draft.content.len(), script.ending, script.draft.usage_at)
    }

    #[test]
    fn cuts_and_ends() {
        for (fault, expected) in [
            (Fault::Cut(0), (vec![], 0, Ending::Close, None)),
            (Fault::Cut(4), (vec![4], 4, Ending::Close, None)),
            (Fault::Reset(6), (vec![4, 6], 6, Ending::Reset, None)),
            (Fault::Stall(11), (vec![4, 8, 11], 11, Ending::Stall, None)),
            (Fault::End(12), (vec![4, 8, 12], 12, Ending::Finish, Some(2))),
            (Fault::StallBeforeToken, (vec![4], 4, Ending::Stall, None)),
            (Fault::HalfCharacter, (vec![4, 5], 5, Ending::Finish, None)),
            (Fault::SplitCharacter, (vec![4, 5, 8, 12], 12, Ending::Finish, Some(3))),
            (Fault::NoTerminal, (vec![4, 8], 8, Ending::Finish, None)),
        ] {
            assert_eq!(after(fault), expected, "{fault:?}");
        }
    }

    #[test]
    fn what_began_counts_and_what_did_not_does_not() {
        let mut script = script();
        script.misbehave(Fault::Cut(6), Dialect::OpenAiChat, true, false, 1);
        assert_eq!(script.draft.pieces.iter().map(|piece| piece.tokens).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(script.promised, 12);
    }

    #[test]
    fn one_piece_is_made_of_all() {
        let mut script = script();
        script.coalesce();
        assert_eq!(script.draft.pieces, [Piece { end: 12, tokens: 2 }]);
        assert_eq!(script.draft.usage_at, Some(0));
    }
}
