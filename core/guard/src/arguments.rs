//! The arguments of a call while they come as pieces of a JSON text: its string values are guarded as the texts that they
//! stand for, and written again with escapes.

use std::sync::Arc;

use penstock_ai::json::write_escaped;

use crate::compiled::{Compiled, Direction};
use crate::mask::MaskKey;
use crate::stream::{Flow, StreamGuard};
use crate::verdict::Tally;

/// Nesting that is followed; deeper, names are taken for values.
const DEPTH_MAX: usize = 128;

/// The guards of the arguments of one call.
///
/// Names of members, numbers and all that stands outside of strings pass as they came. What is no JSON passes too, so that
/// whoever gets it sees what the model wrote; strings in it are guarded all the same.
#[derive(Debug)]
pub struct ArgumentsGuard {
    guard: StreamGuard,
    /// From the outermost: whether it is an object.
    nesting: Vec<bool>,
    /// The next string of the innermost object is the name of a member.
    is_name_due: bool,
    within: Within,
    /// A half of a surrogate pair whose other half may follow.
    surrogate: Option<u32>,
    decoded: String,
    passed: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Outside,
    Name,
    NameEscape,
    Value,
    Escape,
    /// The digits of a `\u` so far, and how many.
    Unicode(u32, u8),
}

impl ArgumentsGuard {
    /// At the beginning.
    pub fn new(compiled: Arc<Compiled>, direction: Direction, key: MaskKey, is_editable: bool) -> Self {
        Self {
            guard: StreamGuard::new(compiled, direction, key, is_editable),
            nesting: Vec::new(),
            is_name_due: false,
            within: Within::Outside,
            surrogate: None,
            decoded: String::new(),
            passed: String::new(),
        }
    }

    /// Takes a piece and appends what may go on.
    pub fn push(&mut self, piece: &str, out: &mut String) -> Flow {
        let mut flow = Flow::Goes;
        for char in piece.chars() {
            flow = match self.within {
                Within::Outside => self.outside(char, out),
                Within::Name | Within::NameEscape => self.name(char, out),
                Within::Value if char == '"' => self.end_value(out),
                Within::Value | Within::Escape | Within::Unicode(..) => {
                    self.value(char);
                    Flow::Goes
                }
            };
            if flow == Flow::Blocked {
                return flow;
            }
        }
        if matches!(self.within, Within::Value | Within::Escape | Within::Unicode(..)) {
            flow = self.pass(out);
        }
        flow
    }

    /// Ends the arguments; appends what was held back.
    pub fn finish(&mut self, out: &mut String) -> Flow {
        if matches!(self.within, Within::Value | Within::Escape | Within::Unicode(..)) {
            self.end_surrogate();
            if self.pass(out) == Flow::Blocked {
                return Flow::Blocked;
            }
        }
        let flow = self.guard.finish(&mut self.passed);
        self.write_passed(out);
        flow
    }

    /// What was found so far.
    pub fn tally(&self) -> &Tally {
        self.guard.tally()
    }

    fn outside(&mut self, char: char, out: &mut String) -> Flow {
        match char {
            '{' | '[' => {
                if self.nesting.len() < DEPTH_MAX {
                    self.nesting.push(char == '{');
                }
                self.is_name_due = char == '{';
            }
            '}' | ']' => {
                self.nesting.pop();
                self.is_name_due = false;
            }
            ',' => self.is_name_due = self.nesting.last() == Some(&true),
            ':' => self.is_name_due = false,
            '"' => self.within = if self.is_name_due { Within::Name } else { Within::Value },
            _ => {}
        }
        out.push(char);
        Flow::Goes
    }

    fn name(&mut self, char: char, out: &mut String) -> Flow {
        self.within = match (self.within, char) {
            (Within::Name, '\\') => Within::NameEscape,
            (Within::Name, '"') => Within::Outside,
            _ => Within::Name,
        };
        out.push(char);
        Flow::Goes
    }

    fn value(&mut self, char: char) {
        self.within = match (self.within, char) {
            (Within::Escape, 'u') => Within::Unicode(0, 0),
            (Within::Escape, escaped) => {
                self.end_surrogate();
                self.decoded.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    other => other,
                });
                Within::Value
            }
            (Within::Unicode(digits, count), digit) => {
                let digits = digits << 4 | digit.to_digit(16).unwrap_or(0);
                if count == 3 {
                    self.unit(digits);
                    Within::Value
                } else {
                    Within::Unicode(digits, count + 1)
                }
            }
            (_, '\\') => Within::Escape,
            (_, other) => {
                self.end_surrogate();
                self.decoded.push(other);
                Within::Value
            }
        };
    }

    /// Takes a unit of UTF-16.
    fn unit(&mut self, unit: u32) {
        if let (Some(first), 0xdc00..0xe000) = (self.surrogate, unit) {
            self.surrogate = None;
            let point = 0x10000 + ((first - 0xd800) << 10) + (unit - 0xdc00);
            self.decoded.push(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
            return;
        }
        self.end_surrogate();
        match unit {
            0xd800..0xdc00 => self.surrogate = Some(unit),
            _ => self.decoded.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    fn end_surrogate(&mut self) {
        if self.surrogate.take().is_some() {
            self.decoded.push(char::REPLACEMENT_CHARACTER);
        }
    }

    /// Gives what was decoded to the guard, and what it lets go on.
    fn pass(&mut self, out: &mut String) -> Flow {
        let flow = self.guard.push(&self.decoded, &mut self.passed);
        self.decoded.clear();
        self.write_passed(out);
        flow
    }

    fn end_value(&mut self, out: &mut String) -> Flow {
        self.end_surrogate();
        if self.pass(out) == Flow::Blocked {
            return Flow::Blocked;
        }
        let flow = self.guard.finish(&mut self.passed);
        self.write_passed(out);
        self.within = Within::Outside;
        out.push('"');
        flow
    }

    fn write_passed(&mut self, out: &mut String) {
        if self.passed.is_empty() {
            return;
        }
        let mut escaped = Vec::with_capacity(self.passed.len() + 2);
        write_escaped(&mut escaped, &self.passed);
        out.push_str(&String::from_utf8_lossy(&escaped[1..escaped.len() - 1]));
        self.passed.clear();
    }
}
