//! Lines as the store keeps them: the settlement with the time of its intent and the id of its key.

use penstock_ledger::{Booked, SettlementLine};

use crate::error::StoreError;

const FIXED_BYTES: usize = 8 + 8 + 8 + 2;

/// A line that was booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptLine<'a> {
    /// When the attempt was made: says the hour and the price.
    pub time_ns: u64,
    /// What it is summed under.
    pub key_id: i64,
    /// What was reserved, in 10^-9 USD.
    pub reservation: u64,
    /// What became of it.
    pub line: SettlementLine<'a>,
}

impl<'a> KeptLine<'a> {
    pub(crate) fn of(booked: &Booked<'a>, key_id: i64) -> KeptLine<'a> {
        let (time_ns, reservation) = (booked.intent.time_ns, booked.intent.reservation.0);
        KeptLine { time_ns, key_id, reservation, line: booked.line() }
    }

    /// Appends it: its length without the length first.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.time_ns.to_le_bytes());
        out.extend_from_slice(&self.key_id.to_le_bytes());
        out.extend_from_slice(&self.reservation.to_le_bytes());
        self.line.append_to(out);
        let bytes = u16::try_from(out.len() - from - 2).unwrap_or(u16::MAX);
        out[from..from + 2].copy_from_slice(&bytes.to_le_bytes());
    }

    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut out = Vec::new();
        self.append_to(&mut out);
        out
    }

    pub(crate) fn hour(&self) -> i64 {
        hour(self.time_ns)
    }
}

/// A line's length fits its two bytes.
const _: () = assert!(FIXED_BYTES + penstock_ledger::SETTLEMENT_BYTES_MAX <= u16::MAX as usize);

/// The hour of a time, in hours since 1970.
pub(crate) fn hour(time_ns: u64) -> i64 {
    (time_ns / 3_600_000_000_000).cast_signed()
}

/// Takes the first line off `bytes`; `None` when there is none.
pub(crate) fn next_line<'a>(bytes: &mut &'a [u8]) -> Result<Option<KeptLine<'a>>, StoreError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let line = split(bytes).ok_or(StoreError::Damaged("a line of the ledger that cannot be read"))?;
    Ok(Some(line))
}

fn split<'a>(bytes: &mut &'a [u8]) -> Option<KeptLine<'a>> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (line, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    *bytes = rest;
    let (time_ns, line) = line.split_first_chunk()?;
    let (key_id, line) = line.split_first_chunk()?;
    let (reservation, line) = line.split_first_chunk()?;
    Some(KeptLine {
        time_ns: u64::from_le_bytes(*time_ns),
        key_id: i64::from_le_bytes(*key_id),
        reservation: u64::from_le_bytes(*reservation),
        line: SettlementLine::decode(line)?,
    })
}
