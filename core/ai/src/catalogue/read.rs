//! Reads catalogue lines. The form of a line is in `docs/model-catalogue.md`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use thiserror::Error;

use super::period::{Period, PeriodError};
use super::price::{Price, PriceError, PriceId, PriceSpec};
use super::row::{Capability, Modality, Mode, Row, TimedPrice};

/// Rows of a catalogue.
pub const ROWS_MAX: usize = 65_536;
/// Bytes of a line.
pub const LINE_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a catalogue.
pub const TOTAL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Prices of a row.
pub const PERIODS_MAX: usize = 32;

/// A line that is not a row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub struct ReadError {
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong. Told by the message, so it is no source of its own.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// More than [`TOTAL_BYTES_MAX`].
    #[error("the catalogue has more than {TOTAL_BYTES_MAX} bytes")]
    TotalBytes,
    /// More than [`ROWS_MAX`].
    #[error("more than {ROWS_MAX} rows")]
    Rows,
    /// More than [`LINE_BYTES_MAX`].
    #[error("more than {LINE_BYTES_MAX} bytes")]
    LineBytes,
    /// More than [`PERIODS_MAX`].
    #[error("more than {PERIODS_MAX} prices")]
    Periods,
    /// Not an object with the members of a row.
    #[error("{0}")]
    Json(String),
    /// Provider, model or name is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A mode that this program does not know.
    #[error("unknown mode {0:?}")]
    Mode(String),
    /// A price that cannot be.
    #[error("price {at}: {why}")]
    Price {
        /// Which of the row's prices, from 1.
        at: usize,
        /// What is wrong with it.
        why: PriceError,
    },
    /// A time that cannot be.
    #[error("price {at}: {why}")]
    Period {
        /// Which of the row's prices, from 1.
        at: usize,
        /// What is wrong with it.
        why: PeriodError,
    },
    /// The same provider, region and model as before.
    #[error("the same provider, region and model as on line {0}")]
    Twice(usize),
}

/// The rows of the lines, in the order of provider, region and model.
pub(super) fn rows(bytes: &[u8]) -> Result<Vec<Row>, ReadError> {
    if bytes.len() > TOTAL_BYTES_MAX {
        return Err(ReadError { line: 0, fault: Fault::TotalBytes });
    }
    let mut rows: Vec<(Row, usize)> = Vec::new();
    let mut spec = PriceSpec::default();
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let fault = match () {
            () if text.len() > LINE_BYTES_MAX => Fault::LineBytes,
            () if rows.len() == ROWS_MAX => Fault::Rows,
            () => match row(text, &mut spec) {
                Ok(row) => {
                    rows.push((row, line));
                    continue;
                }
                Err(fault) => fault,
            },
        };
        return Err(ReadError { line, fault });
    }
    // Stable, so that of two equal rows the later line is the one that is told.
    rows.sort_by(|(one, _), (other, _)| one.key().cmp(&other.key()));
    for pair in rows.windows(2) {
        if let [(one, first), (other, line)] = pair
            && one.key() == other.key()
        {
            return Err(ReadError { line: *line, fault: Fault::Twice(*first) });
        }
    }
    Ok(rows.into_iter().map(|(row, _)| row).collect())
}

/// A line as it is written.
#[derive(Deserialize)]
#[serde(expecting = "an object with the members of a row")]
struct Line<'a> {
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow, default)]
    region: Cow<'a, str>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow, default)]
    maker: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    own: bool,
    #[serde(borrow)]
    mode: Cow<'a, str>,
    #[serde(borrow, default)]
    prices: Vec<PriceLine<'a>>,
    #[serde(default)]
    context_tokens: Option<u64>,
    #[serde(default)]
    input_tokens_max: Option<u64>,
    #[serde(default)]
    output_tokens_max: Option<u64>,
    #[serde(borrow, default)]
    modalities_in: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    modalities_out: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    capabilities: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    lacks: Vec<Cow<'a, str>>,
    #[serde(default)]
    deprecated: bool,
    #[serde(borrow, default)]
    retires: Option<Cow<'a, str>>,
}

/// One of a row's prices as it is written.
#[derive(Default)]
struct PriceLine<'a> {
    valid_from: Option<Cow<'a, str>>,
    valid_until: Option<Cow<'a, str>>,
    hours: Vec<Cow<'a, str>>,
    weekdays: Vec<u8>,
    weekdays_offset_min: i32,
    /// (tokens above which it holds, member, decimal text)
    members: Vec<(u64, Cow<'a, str>, Cow<'a, str>)>,
}

/// A text that is borrowed from the line where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for PriceLine<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = PriceLine<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object with prices as decimal texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut line = PriceLine::default();
                while let Some(Text(name)) = map.next_key()? {
                    match &*name {
                        "valid_from" => line.valid_from = Some(map.next_value::<Text<'de>>()?.0),
                        "valid_until" => line.valid_until = Some(map.next_value::<Text<'de>>()?.0),
                        "hours" => {
                            line.hours =
                                map.next_value::<Vec<Text<'de>>>()?.into_iter().map(|t| t.0).collect()
                        }
                        "weekdays" => line.weekdays = map.next_value()?,
                        "weekdays_offset" => line.weekdays_offset_min = map.next_value()?,
                        "above" => map.next_value_seed(Above(&mut line.members))?,
                        _ => line.members.push((0, name, map.next_value::<Text<'de>>()?.0)),
                    }
                }
                Ok(line)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The object `above`: sizes of the input, each with the prices beyond it.
struct Above<'m, 'a>(&'m mut Vec<(u64, Cow<'a, str>, Cow<'a, str>)>);

impl<'de> DeserializeSeed<'de> for Above<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Above<'_, 'de> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of sizes with their prices")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(size)) = map.next_key()? {
            let tokens = size.parse().ok().filter(|tokens| *tokens > 0);
            let tokens =
                tokens.ok_or_else(|| A::Error::custom(format!("{size:?} is no number of tokens")))?;
            let prices = map.next_value::<Pairs<'de>>()?.0;
            self.0.extend(prices.into_iter().map(|(name, text)| (tokens, name, text)));
        }
        Ok(())
    }
}

/// An object of texts, in its order and with what it has twice.
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Pairs<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object with prices as decimal texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((Text(name), Text(text))) = map.next_entry()? {
                    pairs.push((name, text));
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

fn row(text: &[u8], spec: &mut PriceSpec) -> Result<Row, Fault> {
    let line: Line<'_> = serde_json::from_slice(text).map_err(|error| Fault::Json(error.to_string()))?;
    for (member, text) in [("provider", &line.provider), ("model", &line.model), ("name", &line.name)] {
        if text.is_empty() {
            return Err(Fault::Empty(member));
        }
    }
    if line.prices.len() > PERIODS_MAX {
        return Err(Fault::Periods);
    }
    let mode = Mode::named(&line.mode).ok_or_else(|| Fault::Mode(line.mode.to_string()))?;
    let mut prices = Vec::with_capacity(line.prices.len());
    for (at, written) in (1..).zip(&line.prices) {
        let price = price(written, spec).map_err(|why| Fault::Price { at, why })?;
        let period = period(written).map_err(|why| Fault::Period { at, why })?;
        prices.push(TimedPrice { id: id(&line, written, &price), period, price });
    }
    let capabilities = |names: &[Cow<'_, str>]| {
        names.iter().filter_map(|name| Capability::named(name)).fold(0, |set, it| set | 1 << it as u8)
    };
    let modalities = |names: &[Cow<'_, str>]| {
        names.iter().filter_map(|name| Modality::named(name)).fold(0, |set, it| set | 1 << it as u8)
    };
    Ok(Row {
        mode,
        prices: prices.into(),
        own: line.own,
        context_tokens: line.context_tokens,
        input_tokens_max: line.input_tokens_max,
        output_tokens_max: line.output_tokens_max,
        modalities_in: modalities(&line.modalities_in),
        modalities_out: modalities(&line.modalities_out),
        capabilities: capabilities(&line.capabilities),
        lacks: capabilities(&line.lacks),
        deprecated: line.deprecated,
        provider: line.provider.into(),
        region: line.region.into(),
        model: line.model.into(),
        maker: line.maker.map(Into::into),
        name: line.name.into(),
        retires: line.retires.map(Into::into),
    })
}

fn price(written: &PriceLine<'_>, spec: &mut PriceSpec) -> Result<Price, PriceError> {
    spec.clear();
    for (above, name, text) in &written.members {
        spec.set(*above, name, text)?;
    }
    spec.build()
}

fn period(written: &PriceLine<'_>) -> Result<Period, PeriodError> {
    Period::between(written.valid_from.as_deref(), written.valid_until.as_deref())?
        .at_hours(written.hours.iter().map(|hours| &**hours))?
        .on_weekdays(written.weekdays.iter().copied(), written.weekdays_offset_min)
}

/// Over what the price is for, when it begins, at which hours, and how much it is. Not over its end, which becomes known
/// later.
fn id(line: &Line<'_>, written: &PriceLine<'_>, price: &Price) -> PriceId {
    let from = written.valid_from.as_deref().unwrap_or_default();
    let named = [&*line.provider, &line.region, &line.model, from];
    let mut key = Vec::with_capacity(128);
    for text in named.into_iter().chain(written.hours.iter().map(|hours| &**hours)) {
        key.extend_from_slice(text.as_bytes());
        key.push(0);
    }
    key.extend_from_slice(&written.weekdays);
    key.extend_from_slice(&written.weekdays_offset_min.to_le_bytes());
    price.id(&key)
}
