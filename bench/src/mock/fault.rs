//! Ways to misbehave, each as a script of raw writes and endings that a connection carries out. Pure: an answer in,
//! steps out.

use std::str::FromStr;

use bytes::Bytes;

use super::answer::{Answer, Encoded, push_field};
use crate::rng::Rng;

/// One thing that a connection does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write these bytes.
    Write(Bytes),
    /// Write these bytes one by one with pauses.
    Drip(Bytes),
    /// End the stream with a reset.
    Reset,
    /// End the stream with a FIN.
    Close,
    /// End only our direction and go on reading.
    HalfClose,
    /// Do nothing until the peer goes away.
    Stall,
}

/// Field that makes a head larger than any peer should take.
const HUGE_FIELD_BYTES: usize = 256 * 1024;

macro_rules! faults {
    ($($variant:ident $name:literal $does:literal;)*) => {
        /// A way to misbehave.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Fault { $(#[doc = $does] $variant),* }

        impl Fault {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            /// Name on the command line and in x-mock-fault.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What it does, in a few words.
            pub(crate) fn does(self) -> &'static str {
                match self { $(Self::$variant => $does),* }
            }
        }
    };
}

faults! {
    ResetBeforeHead "reset-before-head" "resets instead of an answer";
    ResetWithinHead "reset-within-head" "resets after half of the head";
    ResetAfterHead "reset-after-head" "resets between head and body";
    ResetWithinBody "reset-within-body" "resets after half of the body";
    CloseBeforeHead "close-before-head" "closes instead of an answer";
    CloseWithinHead "close-within-head" "closes after half of the head";
    CloseWithinBody "close-within-body" "closes after half of the body";
    HalfClose "half-close" "answers, ends its direction without telling, goes on reading";
    StallBeforeHead "stall-before-head" "never answers";
    StallWithinHead "stall-within-head" "stops after half of the head and keeps the connection";
    StallWithinBody "stall-within-body" "stops after half of the body and keeps the connection";
    Drip "drip" "sends the answer byte by byte (--drip)";
    Garbage "garbage" "sends bytes that are not HTTP, then closes";
    LengthTooLong "length-too-long" "promises 10 bytes more than it sends, then closes";
    LengthTooShort "length-too-short" "sends 10 bytes more than it promised";
    LengthNegative "length-negative" "sends content-length: -1";
    LengthsDiffer "lengths-differ" "sends two different content-lengths";
    LengthAndChunked "length-and-chunked" "sends content-length beside transfer-encoding";
    BadChunkSize "bad-chunk-size" "sends a chunk size that is no number";
    BadChunkEnd "bad-chunk-end" "sends a chunk longer than its size";
    HugeHead "huge-head" "sends a head of 256 KiB";
    NulInHead "nul-in-head" "sends a NUL in a field";
    BareLf "bare-lf" "ends the lines of its head with LF alone";
    FoldedField "folded-field" "continues a field on the next line (obs-fold)";
    TwoAnswers "two-answers" "sends a second answer that nobody asked for";
    EarlyAnswer "early-answer" "answers before it reads the body, then reads it";
    EarlyClose "early-close" "answers before it reads the body, then closes without reading it";
}

impl Fault {
    /// Whether the answer goes out before the request's body is read.
    pub(crate) fn is_early(self) -> bool {
        matches!(self, Self::EarlyAnswer | Self::EarlyClose)
    }

    /// The steps for an answer; `encoded` is its well-behaved form.
    pub(crate) fn script(self, answer: &Answer, encoded: &Encoded) -> Vec<Step> {
        let whole = encoded.whole();
        let half_head =
            Step::Write([&encoded.interim[..], &encoded.head[..encoded.head.len() / 2]].concat().into());
        let head = Step::Write([&encoded.interim[..], &encoded.head].concat().into());
        let half_body = Step::Write(
            [&encoded.interim[..], &encoded.head, &encoded.body[..encoded.body.len() / 2]].concat().into(),
        );
        match self {
            Self::ResetBeforeHead => vec![Step::Reset],
            Self::ResetWithinHead => vec![half_head, Step::Reset],
            Self::ResetAfterHead => vec![head, Step::Reset],
            Self::ResetWithinBody => vec![half_body, Step::Reset],
            Self::CloseBeforeHead => vec![Step::Close],
            Self::CloseWithinHead => vec![half_head, Step::Close],
            Self::CloseWithinBody => vec![half_body, Step::Close],
            Self::HalfClose => vec![Step::Write(whole), Step::HalfClose],
            Self::StallBeforeHead => vec![Step::Stall],
            Self::StallWithinHead => vec![half_head, Step::Stall],
            Self::StallWithinBody => vec![half_body, Step::Stall],
            Self::Drip => vec![Step::Drip(whole)],
            Self::Garbage => {
                vec![Step::Write(Bytes::from_static(b"\x16\x03\x01 this is not HTTP\r\n\r\n")), Step::Close]
            }
            Self::LengthTooLong => {
                vec![
                    framed(
                        answer,
                        &[("content-length", &(answer.body.len() + 10).to_string())],
                        &answer.body,
                    ),
                    Step::Close,
                ]
            }
            Self::LengthTooShort => {
                let body = [&answer.body[..], b"0123456789"].concat();
                vec![framed(answer, &[("content-length", &answer.body.len().to_string())], &body)]
            }
            Self::LengthNegative => {
                vec![framed(answer, &[("content-length", "-1")], &answer.body), Step::Close]
            }
            Self::LengthsDiffer => {
                let (right, wrong) = (answer.body.len().to_string(), (answer.body.len() + 1).to_string());
                vec![
                    framed(answer, &[("content-length", &right), ("content-length", &wrong)], &answer.body),
                    Step::Close,
                ]
            }
            Self::LengthAndChunked => {
                let chunks =
                    [format!("{:x}\r\n", answer.body.len()).as_bytes(), &answer.body, b"\r\n0\r\n\r\n"]
                        .concat();
                let fields =
                    [("content-length", &*answer.body.len().to_string()), ("transfer-encoding", "chunked")];
                vec![framed(answer, &fields, &chunks), Step::Close]
            }
            Self::BadChunkSize => {
                vec![
                    framed(answer, &[("transfer-encoding", "chunked")], b"5x\r\nhello\r\n0\r\n\r\n"),
                    Step::Close,
                ]
            }
            Self::BadChunkEnd => {
                vec![
                    framed(answer, &[("transfer-encoding", "chunked")], b"5\r\nhello!\r\n0\r\n\r\n"),
                    Step::Close,
                ]
            }
            Self::HugeHead => {
                let filler = "x".repeat(HUGE_FIELD_BYTES);
                vec![framed(answer, &[("x-filler", &filler), ("content-length", "0")], b"")]
            }
            Self::NulInHead => vec![framed(answer, &[("x-nul", "a\0b"), ("content-length", "0")], b"")],
            Self::BareLf => {
                let lines = String::from_utf8_lossy(&encoded.head).replace("\r\n", "\n");
                vec![Step::Write([lines.as_bytes(), &encoded.body].concat().into()), Step::Close]
            }
            Self::FoldedField => {
                vec![framed(answer, &[("x-folded", "a\r\n b"), ("content-length", "0")], b"")]
            }
            Self::TwoAnswers => vec![Step::Write([&whole[..], &whole].concat().into())],
            Self::EarlyAnswer => vec![Step::Write(whole)],
            Self::EarlyClose => vec![Step::Write(whole), Step::Close],
        }
    }
}

/// The answer's own head with framing fields that need not be true.
fn framed(answer: &Answer, fields: &[(&str, &str)], body: &[u8]) -> Step {
    let mut bytes = answer.start_head();
    for (name, value) in fields {
        push_field(&mut bytes, name, value);
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Step::Write(bytes.into())
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .find(|fault| fault.name() == text)
            .copied()
            .ok_or_else(|| format!("unknown fault `{text}`; `penstock-bench mock --help` lists them"))
    }
}

/// A fault and the share of requests that meet it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FaultRate {
    pub(crate) fault: Fault,
    pub(crate) rate: f64,
}

impl FromStr for FaultRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (fault, rate) = match text.split_once('=') {
            None => (text, 1.0),
            Some((fault, rate)) => {
                (fault, rate.parse().map_err(|_| format!("`{rate}` is not a share such as 0.01"))?)
            }
        };
        if !(0.0..=1.0).contains(&rate) {
            return Err(format!("a share of requests lies between 0 and 1, not at {rate}"));
        }
        Ok(Self { fault: fault.parse()?, rate })
    }
}

/// Draws at most one fault: the shares are laid side by side.
pub(crate) fn draw(faults: &[FaultRate], rng: &mut Rng) -> Option<Fault> {
    if faults.is_empty() {
        return None;
    }
    let mut ticket = rng.unit();
    for entry in faults {
        if ticket < entry.rate {
            return Some(entry.fault);
        }
        ticket -= entry.rate;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::answer;
    use super::*;

    fn written(fault: Fault) -> (String, Vec<Step>) {
        let answer = answer();
        let steps = fault.script(&answer, &answer.encode(false, false));
        let mut text = Vec::new();
        for step in &steps {
            if let Step::Write(bytes) | Step::Drip(bytes) = step {
                text.extend_from_slice(bytes);
            }
        }
        (String::from_utf8(text).unwrap(), steps)
    }

    #[test]
    fn every_fault_has_its_name_and_differs_from_a_plain_answer() {
        let plain = vec![Step::Write(answer().encode(false, false).whole())];
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>().unwrap(), *fault);
            let (_, steps) = written(*fault);
            assert!(fault.is_early() || steps != plain, "{fault:?}");
        }
        assert!("reset".parse::<Fault>().is_err());
    }

    #[test]
    fn cuts_stand_where_they_should() {
        for (fault, head_ends, body_bytes, last) in [
            (Fault::ResetBeforeHead, 0, 0, Step::Reset),
            (Fault::ResetWithinHead, 0, 0, Step::Reset),
            (Fault::ResetAfterHead, 1, 0, Step::Reset),
            (Fault::ResetWithinBody, 1, 5, Step::Reset),
            (Fault::CloseWithinBody, 1, 5, Step::Close),
            (Fault::StallWithinHead, 0, 0, Step::Stall),
            (Fault::StallWithinBody, 1, 5, Step::Stall),
            (Fault::HalfClose, 1, 10, Step::HalfClose),
            (Fault::LengthTooLong, 1, 10, Step::Close),
        ] {
            let (text, steps) = written(fault);
            assert_eq!(text.matches("\r\n\r\n").count(), head_ends, "{fault:?}");
            let body = text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
            assert_eq!((body, steps.last()), (body_bytes, Some(&last)), "{fault:?}");
        }
    }

    #[test]
    fn shares_are_met_and_sum_up() {
        let faults: Vec<FaultRate> =
            ["drip=0.1", "garbage=0.2"].iter().map(|text| text.parse().unwrap()).collect();
        let mut rng = Rng::new(2);
        let mut counts = [0i32; 3];
        for _ in 0..10_000 {
            match draw(&faults, &mut rng) {
                Some(Fault::Drip) => counts[0] += 1,
                Some(Fault::Garbage) => counts[1] += 1,
                _ => counts[2] += 1,
            }
        }
        for (count, expected) in counts.iter().zip([1000, 2000, 7000]) {
            assert!((*count - expected).abs() < 200, "{counts:?}");
        }
        assert!("drip=2".parse::<FaultRate>().is_err());
        assert!("drip=x".parse::<FaultRate>().is_err());
    }
}
