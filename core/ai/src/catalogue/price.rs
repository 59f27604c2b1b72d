//! Prices and what a call costs by them.
//!
//! A price is written with what its provider says ([`PriceSpec`]) and kept with nothing left open ([`Price`]): one sheet
//! of rates for each service and size of the input, in which what the provider does not price apart has the rate that
//! holds instead. So a cost is one look for the sheet and one sum of products.

use std::collections::BTreeMap;

use thiserror::Error;

use super::decimal::{DecimalError, FemtoUsd};
use crate::usage::Usage;

/// Sizes of the input above which a price changes.
pub const TIERS_MAX: usize = 8;

macro_rules! dimensions {
    ($($(#[$doc:meta])* $variant:ident $name:literal per $per:literal instead $instead:expr;)*) => {
        /// What is counted and priced. Token counts do not overlap: each token is in one dimension.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Dimension { $($(#[$doc])* $variant,)* }

        impl Dimension {
            /// All of them.
            pub const ALL: [Dimension; DIMENSIONS] = [$(Dimension::$variant,)*];

            /// The member of a catalogue line.
            pub fn name(self) -> &'static str {
                match self { $(Dimension::$variant => $name,)* }
            }

            /// Prices are written in USD per 10 to the power of this many units.
            pub fn per(self) -> u32 {
                match self { $(Dimension::$variant => $per,)* }
            }

            /// Whose rate holds where this has none.
            fn instead(self) -> Option<Dimension> {
                match self { $(Dimension::$variant => $instead,)* }
            }
        }

        const DIMENSIONS: usize = [$($name,)*].len();
    };
}

dimensions! {
    /// Tokens of the input that no other dimension counts.
    Input "input" per 6 instead None;
    /// Tokens of the output that no other dimension counts.
    Output "output" per 6 instead None;
    /// Tokens read from the provider's cache.
    CachedRead "cached_read" per 6 instead Some(Dimension::Input);
    /// Tokens written to the provider's cache for its usual time.
    CacheWrite "cache_write" per 6 instead Some(Dimension::Input);
    /// Tokens written to the provider's cache for an hour.
    CacheWrite1h "cache_write_1h" per 6 instead Some(Dimension::CacheWrite);
    /// Tokens of reasoning, shown or not.
    Reasoning "reasoning" per 6 instead Some(Dimension::Output);
    /// Tokens of audio in the input.
    AudioInput "audio_input" per 6 instead Some(Dimension::Input);
    /// Tokens of audio read from the cache.
    AudioCachedRead "audio_cached_read" per 6 instead Some(Dimension::CachedRead);
    /// Tokens of audio in the output.
    AudioOutput "audio_output" per 6 instead Some(Dimension::Output);
    /// Tokens of images in the input.
    ImageInput "image_input" per 6 instead Some(Dimension::Input);
    /// Tokens of images read from the cache.
    ImageCachedRead "image_cached_read" per 6 instead Some(Dimension::CachedRead);
    /// Tokens of images in the output.
    ImageOutput "image_output" per 6 instead Some(Dimension::Output);
    /// Tokens of video in the input.
    VideoInput "video_input" per 6 instead Some(Dimension::Input);
    /// Tokens of video in the output.
    VideoOutput "video_output" per 6 instead Some(Dimension::Output);
    /// Characters of text that is spoken.
    Character "character" per 6 instead None;
    /// Images that were made, or embedded.
    Image "image" per 0 instead None;
    /// Seconds of audio or video, heard or made.
    Second "second" per 0 instead None;
    /// Pages that were read.
    Page "page" per 0 instead None;
    /// Searches: of the web for a chat, of a list for a reranker.
    Query "query" per 0 instead None;
    /// The call itself.
    Request "request" per 0 instead None;
}

/// How a call is served; some ways have prices of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Service {
    /// As usual.
    #[default]
    Standard,
    /// In a batch, hours later.
    Batch,
    /// When the provider has room (`service_tier: flex`).
    Flex,
    /// Before others (`service_tier: priority`).
    Priority,
    /// On faster machines (Anthropic's `speed: fast`).
    Fast,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 5] =
        [Service::Standard, Service::Batch, Service::Flex, Service::Priority, Service::Fast];

    /// What stands before the dimension in a member of a catalogue line.
    pub fn prefix(self) -> &'static str {
        match self {
            Service::Standard => "",
            Service::Batch => "batch_",
            Service::Flex => "flex_",
            Service::Priority => "priority_",
            Service::Fast => "fast_",
        }
    }
}

/// One member of a price: a dimension at a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// How it is served.
    pub service: Service,
    /// What is counted.
    pub dimension: Dimension,
}

impl Slot {
    /// The slot of a member's name (`batch_input`).
    pub fn named(name: &str) -> Option<Slot> {
        let service = Service::ALL.into_iter().rev().find(|service| name.starts_with(service.prefix()))?;
        let rest = name.strip_prefix(service.prefix())?;
        let dimension = Dimension::ALL.into_iter().find(|dimension| dimension.name() == rest)?;
        Some(Slot { service, dimension })
    }
}

/// A price as its provider writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceSpec {
    /// Tokens of the input above which the rates hold, 0 for the base -> what is priced there.
    rates: BTreeMap<u64, BTreeMap<Slot, FemtoUsd>>,
}

/// Why a price cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PriceError {
    /// The member's name means nothing.
    #[error("unknown price {0:?}")]
    Unknown(String),
    /// The same member twice.
    #[error("{0} is priced twice")]
    Twice(String),
    /// The text is not a price.
    #[error("{name}: {why}")]
    Decimal {
        /// The member.
        name: String,
        /// What is wrong with its text.
        why: DecimalError,
    },
    /// Nothing is priced outside of a tier.
    #[error("nothing is priced")]
    Empty,
    /// More than [`TIERS_MAX`].
    #[error("more than {TIERS_MAX} tiers")]
    Tiers,
    /// More input would cost less, so that a reservation could be below the bill.
    #[error("{dimension} is cheaper above {above} tokens than below", dimension = .dimension.name())]
    Cheaper {
        /// Whose rate falls.
        dimension: Dimension,
        /// At which size of the input.
        above: u64,
    },
}

impl PriceSpec {
    /// Prices a member, for inputs of more than `above` tokens (0 for all), from decimal text in the unit of its
    /// dimension ([`Dimension::per`]).
    ///
    /// # Errors
    /// An unknown name, a member that is there, or a text that is not a price.
    pub fn set(&mut self, above: u64, name: &str, text: &str) -> Result<(), PriceError> {
        let slot = Slot::named(name).ok_or_else(|| PriceError::Unknown(name.into()))?;
        let rate = FemtoUsd::parse(text, slot.dimension.per())
            .map_err(|why| PriceError::Decimal { name: name.into(), why })?;
        if above > 0 && !self.rates.contains_key(&above) && self.tiers() == TIERS_MAX {
            return Err(PriceError::Tiers);
        }
        match self.rates.entry(above).or_default().insert(slot, rate) {
            None => Ok(()),
            Some(_) => Err(PriceError::Twice(name.into())),
        }
    }

    /// Takes out all prices.
    pub fn clear(&mut self) {
        self.rates.clear();
    }

    fn tiers(&self) -> usize {
        self.rates.keys().filter(|above| **above > 0).count()
    }

    /// The price with nothing left open.
    ///
    /// # Errors
    /// Nothing priced, or a rate that falls with the size of the input.
    pub fn build(&self) -> Result<Price, PriceError> {
        if !self.rates.contains_key(&0) {
            return Err(PriceError::Empty);
        }
        let mut sheets: Vec<Sheet> = Vec::new();
        for service in Service::ALL {
            let priced = self.rates.values().flat_map(BTreeMap::keys).any(|slot| slot.service == service);
            if !priced && service != Service::Standard {
                continue;
            }
            for above in self.rates.keys() {
                let sheet = self.sheet(service, *above);
                if let Some(below) = sheets.last().filter(|sheet| sheet.service == service)
                    && let Some(dimension) = sheet.cheaper_than(below)
                {
                    return Err(PriceError::Cheaper { dimension, above: *above });
                }
                sheets.push(sheet);
            }
        }
        Ok(Price { sheets: sheets.into() })
    }

    /// All rates of a service for inputs of more than `above` tokens.
    fn sheet(&self, service: Service, above: u64) -> Sheet {
        let mut rates = [UNPRICED; DIMENSIONS];
        for dimension in Dimension::ALL {
            let mut wanted = Some(dimension);
            while let Some(at) = wanted {
                if let Some(rate) = self.rate(service, at, above) {
                    rates[dimension as usize] = rate.0;
                    break;
                }
                wanted = at.instead();
            }
        }
        Sheet { service, above, rates }
    }

    /// The rate at the largest size that the service prices. Where the standard service has one for a larger size, and
    /// this one is silent there, the dearer of the two: a silent provider is never assumed to be cheap.
    fn rate(&self, service: Service, dimension: Dimension, above: u64) -> Option<FemtoUsd> {
        let largest = |service| {
            let slot = Slot { service, dimension };
            self.rates
                .range(..=above)
                .rev()
                .find_map(|(size, slots)| slots.get(&slot).map(|rate| (*size, *rate)))
        };
        match (largest(service), largest(Service::Standard)) {
            (Some((size, own)), Some((standard_size, standard))) if size < standard_size => {
                Some(own.max(standard))
            }
            (Some((_, own)), _) => Some(own),
            (None, standard) => standard.map(|(_, rate)| rate),
        }
    }
}

/// No rate is so high ([`super::RATE_MAX`]).
const UNPRICED: u64 = u64::MAX;

/// Rates of one service for inputs of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sheet {
    service: Service,
    above: u64,
    rates: [u64; DIMENSIONS],
}

impl Sheet {
    /// The first dimension that costs less than in `below`.
    fn cheaper_than(&self, below: &Sheet) -> Option<Dimension> {
        let falls = |at: &Dimension| {
            let (here, there) = (self.rates[*at as usize], below.rates[*at as usize]);
            there != UNPRICED && here < there
        };
        Dimension::ALL.into_iter().find(falls)
    }
}

/// What one unit of everything costs, for each service and size of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// In the order of service and size; the first is the standard service's base.
    sheets: Box<[Sheet]>,
}

/// Names a price wherever it is written down. It is made of what the price is for, when it holds and how much it is, so
/// that the same price has the same id in every catalogue that has it, and another price has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PriceId(pub u64);

/// An amount of 10^-9 USD: what costs count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NanoUsd(pub u64);

/// What an attempt is billed for: the tokens that its provider told, and what is counted otherwise. The call itself
/// ([`Dimension::Request`]) is always counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Billed {
    /// Tokens and searches, as the provider told them.
    pub usage: Usage,
    /// Tokens of audio read from the cache, where told apart from [`Usage::cached_read`].
    pub audio_cached_read: u64,
    /// Tokens of images in the input, where told apart from [`Usage::input`].
    pub image_input: u64,
    /// Tokens of images read from the cache, where told apart.
    pub image_cached_read: u64,
    /// Tokens of images in the output, where told apart from [`Usage::output`].
    pub image_output: u64,
    /// Tokens of video in the input, where told apart.
    pub video_input: u64,
    /// Tokens of video in the output, where told apart.
    pub video_output: u64,
    /// Characters of text that is spoken.
    pub characters: u64,
    /// Images that were made, or embedded.
    pub images: u64,
    /// Audio or video that was heard or made, in milliseconds.
    pub duration_ms: u64,
    /// Pages that were read.
    pub pages: u64,
    /// How it was served.
    pub service: Service,
}

impl From<Usage> for Billed {
    fn from(usage: Usage) -> Self {
        Billed { usage, ..Billed::default() }
    }
}

impl Billed {
    /// All tokens of the input, which choose the tier of a price.
    pub fn input_total(&self) -> u64 {
        [self.audio_cached_read, self.image_input, self.image_cached_read, self.video_input]
            .into_iter()
            .fold(self.usage.input_total(), u64::saturating_add)
    }

    /// How many of what; seconds are in thousandths.
    fn counts(&self) -> [(Dimension, u64); DIMENSIONS] {
        use Dimension as D;
        let usage = &self.usage;
        [
            (D::Input, usage.input),
            (D::Output, usage.output),
            (D::CachedRead, usage.cached_read),
            (D::CacheWrite, usage.cache_write),
            (D::CacheWrite1h, usage.cache_write_1h),
            (D::Reasoning, usage.reasoning),
            (D::AudioInput, usage.audio_input),
            (D::AudioCachedRead, self.audio_cached_read),
            (D::AudioOutput, usage.audio_output),
            (D::ImageInput, self.image_input),
            (D::ImageCachedRead, self.image_cached_read),
            (D::ImageOutput, self.image_output),
            (D::VideoInput, self.video_input),
            (D::VideoOutput, self.video_output),
            (D::Character, self.characters),
            (D::Image, self.images),
            (D::Second, self.duration_ms),
            (D::Page, self.pages),
            (D::Query, usage.searches),
            (D::Request, 1),
        ]
    }
}

/// Something was used that the price does not price: the cost is not known, and not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unpriced {
    /// The dimension has no rate.
    #[error("no price for {}", .0.name())]
    Dimension(Dimension),
    /// The service is dearer than the standard one and has no rates.
    #[error("no price for the service {0:?}")]
    Service(Service),
}

impl Price {
    /// The rate of one unit for an input of so many tokens.
    ///
    /// # Errors
    /// Neither the dimension nor what would stand for it has a price.
    pub fn rate(&self, slot: Slot, input_total: u64) -> Result<FemtoUsd, Unpriced> {
        match self.sheet(slot.service, input_total)?.rates[slot.dimension as usize] {
            UNPRICED => Err(Unpriced::Dimension(slot.dimension)),
            rate => Ok(FemtoUsd(rate)),
        }
    }

    /// What an attempt costs: its parts multiplied and summed without rounding, then rounded up once, to whole 10^-9 USD.
    /// A cost beyond what [`NanoUsd`] holds (18 thousand million USD) is its largest.
    ///
    /// # Errors
    /// Something was used that has no price.
    pub fn cost(&self, billed: &Billed) -> Result<NanoUsd, Unpriced> {
        let sheet = self.sheet(billed.service, billed.input_total())?;
        // In 10^-18 USD, as seconds come in thousandths.
        let mut sum = 0u128;
        for (dimension, count) in billed.counts() {
            let rate = sheet.rates[dimension as usize];
            if rate == UNPRICED {
                if count > 0 && dimension != Dimension::Request {
                    return Err(Unpriced::Dimension(dimension));
                }
                continue;
            }
            let thousandths = if dimension == Dimension::Second { 1 } else { 1_000 };
            let part = (u128::from(rate) * u128::from(count)).saturating_mul(thousandths);
            sum = sum.saturating_add(part);
        }
        Ok(NanoUsd(u64::try_from(sum.div_ceil(1_000_000_000)).unwrap_or(u64::MAX)))
    }

    /// Whether nothing costs anything.
    pub fn is_free(&self) -> bool {
        self.sheets.iter().flat_map(|sheet| sheet.rates).all(|rate| rate == 0 || rate == UNPRICED)
    }

    /// The sheet that holds. A cheaper service without rates of its own is billed as the standard one, which is never
    /// too little; a dearer one is an error.
    fn sheet(&self, service: Service, input_total: u64) -> Result<&Sheet, Unpriced> {
        let of = |service: Service| {
            let sized = |sheet: &&Sheet| sheet.above == 0 || input_total > sheet.above;
            self.sheets.iter().rev().filter(move |sheet| sheet.service == service).find(sized)
        };
        match (of(service), service) {
            (Some(sheet), _) => Ok(sheet),
            (None, Service::Standard | Service::Batch | Service::Flex) => {
                of(Service::Standard).ok_or(Unpriced::Service(service))
            }
            (None, Service::Priority | Service::Fast) => Err(Unpriced::Service(service)),
        }
    }

    /// Its id (FNV-1a): `key` says what it is a price of.
    pub fn id(&self, key: &[u8]) -> PriceId {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut take = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        take(key);
        for sheet in &self.sheets {
            take(&[sheet.service as u8]);
            take(&sheet.above.to_le_bytes());
            for (dimension, rate) in Dimension::ALL.into_iter().zip(sheet.rates) {
                // Only what is priced, so that a dimension more changes no id.
                if rate != UNPRICED {
                    take(dimension.name().as_bytes());
                    take(&rate.to_le_bytes());
                }
            }
        }
        PriceId(hash)
    }
}

#[cfg(test)]
mod tests;
