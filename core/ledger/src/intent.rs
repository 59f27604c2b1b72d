//! What an attempt says before its first byte goes upstream.

use penstock_ai::catalogue::{NanoUsd, PriceId};

use crate::codec::{Reader, Writer, cut};
use crate::settlement::{AMOUNT_MAX, flag};
use crate::{NAME_BYTES_MAX, TEXT_BYTES_MAX};

/// An attempt that is about to be made. Texts that are longer than their bounds ([`NAME_BYTES_MAX`], [`TEXT_BYTES_MAX`]) are
/// cut and flagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Intent<'a> {
    /// The request's id.
    pub request_id: u128,
    /// Which attempt of the request: 0 for the first; retries, fallbacks and hedges are attempts of their own.
    pub attempt: u16,
    /// When, in ns since 1970 (UTC). Says which hour the attempt is booked in and which price holds.
    pub time_ns: u64,
    /// What is reserved: the most that an estimate of this attempt's cost can be.
    pub reservation: NanoUsd,
    /// The price that the reservation was made with; none where it is not known.
    pub price: Option<PriceId>,
    /// Whose call it is.
    pub tenant: &'a str,
    /// The team of the app.
    pub team: &'a str,
    /// The app that calls.
    pub app: &'a str,
    /// What it proved itself with.
    pub credential: &'a str,
    /// The user of the app, as the app names them.
    pub end_user: &'a str,
    /// Free tags, `name=value`, with commas between them and in the order of names.
    pub tags: &'a str,
    /// The service that was called.
    pub service: &'a str,
    /// The prompt that is published as an API, if it was one.
    pub prompt: &'a str,
    /// The model that is asked of the provider.
    pub model: &'a str,
    /// The provider, as it is named in the configuration.
    pub provider: &'a str,
    /// Its kind, as the catalogue names it.
    pub provider_kind: &'a str,
    /// The region whose prices hold; empty for the common ones.
    pub region: &'a str,
    /// The provider's key that pays.
    pub provider_key: &'a str,
    /// The provider's dialect.
    pub dialect: &'a str,
}

const TEXTS: usize = 14;
const LONG_TEXTS: usize = 3;
const FIXED_BYTES: usize = 16 + 8 + 8 + 8 + 2 + 1 + TEXTS;

/// Bytes of the longest intent's payload.
pub const INTENT_BYTES_MAX: usize =
    FIXED_BYTES + (TEXTS - LONG_TEXTS) * NAME_BYTES_MAX + LONG_TEXTS * TEXT_BYTES_MAX;

/// Lengths are written in a byte.
const _: () = assert!(NAME_BYTES_MAX <= 255 && TEXT_BYTES_MAX <= 255);

/// An intent as it was read, with what the journal noted beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntentLine<'a> {
    /// What was written.
    pub intent: Intent<'a>,
    /// Bits of [`flag`].
    pub flags: u8,
}

impl<'a> Intent<'a> {
    fn texts(&self) -> [(&'a str, usize); TEXTS] {
        [
            (self.tenant, NAME_BYTES_MAX),
            (self.team, NAME_BYTES_MAX),
            (self.app, NAME_BYTES_MAX),
            (self.credential, NAME_BYTES_MAX),
            (self.end_user, TEXT_BYTES_MAX),
            (self.tags, TEXT_BYTES_MAX),
            (self.service, NAME_BYTES_MAX),
            (self.prompt, NAME_BYTES_MAX),
            (self.model, TEXT_BYTES_MAX),
            (self.provider, NAME_BYTES_MAX),
            (self.provider_kind, NAME_BYTES_MAX),
            (self.region, NAME_BYTES_MAX),
            (self.provider_key, NAME_BYTES_MAX),
            (self.dialect, NAME_BYTES_MAX),
        ]
    }

    /// What is booked at most: the reservation, within [`AMOUNT_MAX`].
    pub(crate) fn reserved(&self) -> NanoUsd {
        self.reservation.min(AMOUNT_MAX)
    }

    /// Writes the payload into `out`, which has [`INTENT_BYTES_MAX`] bytes, and returns its length.
    #[inline]
    pub(crate) fn encode(&self, out: &mut [u8]) -> usize {
        let mut flags = if self.reservation > AMOUNT_MAX { flag::AMOUNT_CAPPED } else { 0 };
        let mut lengths = [0; TEXTS];
        let texts = self.texts();
        let mut writer = Writer::new(&mut out[FIXED_BYTES..]);
        for ((text, bytes_max), length) in texts.into_iter().zip(&mut lengths) {
            let (text, was_cut) = cut(text, bytes_max);
            if was_cut {
                flags |= flag::TEXT_CUT;
            }
            *length = text.len() as u8;
            writer.bytes(text.as_bytes());
        }
        let bytes = FIXED_BYTES + writer.len();
        let mut writer = Writer::new(out);
        writer.put(self.request_id.to_le_bytes());
        writer.put(self.time_ns.to_le_bytes());
        writer.put(self.reserved().0.to_le_bytes());
        writer.put(self.price.map_or(0, |price| price.0).to_le_bytes());
        writer.put(self.attempt.to_le_bytes());
        writer.put([flags]);
        writer.put(lengths);
        bytes
    }
}

impl<'a> IntentLine<'a> {
    /// Reads a payload; what stands behind the last text is padding, or of a later version.
    pub fn decode(payload: &'a [u8]) -> Option<IntentLine<'a>> {
        let mut reader = Reader(payload);
        let mut intent = Intent {
            request_id: u128::from_le_bytes(reader.take()?),
            time_ns: reader.u64()?,
            reservation: NanoUsd(reader.u64()?),
            price: Some(PriceId(reader.u64()?)).filter(|price| price.0 != 0),
            attempt: u16::from_le_bytes(reader.take()?),
            ..Intent::default()
        };
        let flags = reader.u8()?;
        let lengths: [u8; TEXTS] = reader.take()?;
        let texts = [
            &mut intent.tenant,
            &mut intent.team,
            &mut intent.app,
            &mut intent.credential,
            &mut intent.end_user,
            &mut intent.tags,
            &mut intent.service,
            &mut intent.prompt,
            &mut intent.model,
            &mut intent.provider,
            &mut intent.provider_kind,
            &mut intent.region,
            &mut intent.provider_key,
            &mut intent.dialect,
        ];
        for (text, length) in texts.into_iter().zip(lengths) {
            *text = reader.text(length.into())?;
        }
        Some(IntentLine { intent, flags })
    }
}
