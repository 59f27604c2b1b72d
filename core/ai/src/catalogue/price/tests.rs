use proptest::prelude::*;

use super::*;

/// A price of members at sizes; the sizes begin with 0.
fn price(tiers: &[(u64, &[(&str, &str)])]) -> Price {
    spec(tiers).build().unwrap()
}

fn spec(tiers: &[(u64, &[(&str, &str)])]) -> PriceSpec {
    let mut spec = PriceSpec::default();
    for (above, members) in tiers {
        for (name, text) in *members {
            spec.set(*above, name, text).unwrap();
        }
    }
    spec
}

fn one(dimension: Dimension, count: u64) -> Billed {
    let mut billed = Billed::default();
    *count_of(&mut billed, dimension) = count;
    billed
}

/// Where the count of a dimension is.
fn count_of(billed: &mut Billed, dimension: Dimension) -> &mut u64 {
    match dimension {
        Dimension::Input | Dimension::Request => &mut billed.usage.input,
        Dimension::Output => &mut billed.usage.output,
        Dimension::CachedRead => &mut billed.usage.cached_read,
        Dimension::CacheWrite => &mut billed.usage.cache_write,
        Dimension::CacheWrite1h => &mut billed.usage.cache_write_1h,
        Dimension::Reasoning => &mut billed.usage.reasoning,
        Dimension::AudioInput => &mut billed.usage.audio_input,
        Dimension::AudioCachedRead => &mut billed.audio_cached_read,
        Dimension::AudioOutput => &mut billed.usage.audio_output,
        Dimension::ImageInput => &mut billed.image_input,
        Dimension::ImageCachedRead => &mut billed.image_cached_read,
        Dimension::ImageOutput => &mut billed.image_output,
        Dimension::VideoInput => &mut billed.video_input,
        Dimension::VideoOutput => &mut billed.video_output,
        Dimension::Character => &mut billed.characters,
        Dimension::Image => &mut billed.images,
        Dimension::Second => &mut billed.duration_ms,
        Dimension::Page => &mut billed.pages,
        Dimension::Query => &mut billed.usage.searches,
    }
}

#[test]
fn every_dimension_has_its_own_rate() {
    // Each rate is another prime, so that no rate can stand for another.
    let rates = [
        ("input", "2", Dimension::Input, 1_000, 2_000_000),
        ("output", "3", Dimension::Output, 1_000, 3_000_000),
        ("cached_read", "5", Dimension::CachedRead, 1_000, 5_000_000),
        ("cache_write", "7", Dimension::CacheWrite, 1_000, 7_000_000),
        ("cache_write_1h", "11", Dimension::CacheWrite1h, 1_000, 11_000_000),
        ("reasoning", "13", Dimension::Reasoning, 1_000, 13_000_000),
        ("audio_input", "17", Dimension::AudioInput, 1_000, 17_000_000),
        ("audio_cached_read", "19", Dimension::AudioCachedRead, 1_000, 19_000_000),
        ("audio_output", "23", Dimension::AudioOutput, 1_000, 23_000_000),
        ("image_input", "29", Dimension::ImageInput, 1_000, 29_000_000),
        ("image_cached_read", "31", Dimension::ImageCachedRead, 1_000, 31_000_000),
        ("image_output", "37", Dimension::ImageOutput, 1_000, 37_000_000),
        ("video_input", "41", Dimension::VideoInput, 1_000, 41_000_000),
        ("video_output", "43", Dimension::VideoOutput, 1_000, 43_000_000),
        ("character", "47", Dimension::Character, 1_000, 47_000_000),
        ("image", "0.053", Dimension::Image, 3, 159_000_000),
        ("second", "0.00059", Dimension::Second, 1_500, 885_000),
        ("page", "0.0061", Dimension::Page, 7, 42_700_000),
        ("query", "0.067", Dimension::Query, 2, 134_000_000),
    ];
    let members: Vec<_> = rates.iter().map(|(name, text, ..)| (*name, *text)).collect();
    let price = price(&[(0, &members)]);
    for (name, _, dimension, count, nano) in rates {
        assert_eq!(price.cost(&one(dimension, count)), Ok(NanoUsd(nano)), "{name}");
    }
    assert_eq!(rates.len() + 1, Dimension::ALL.len(), "the call itself has a test of its own");

    let mut all = Billed::default();
    for (_, _, dimension, count, _) in rates {
        *count_of(&mut all, dimension) = count;
    }
    let sum = rates.iter().map(|(.., nano)| nano).sum();
    assert_eq!(price.cost(&all), Ok(NanoUsd(sum)));
}

#[test]
fn the_call_itself_is_counted_once() {
    let price = price(&[(0, &[("input", "1"), ("request", "0.014")])]);
    assert_eq!(price.cost(&one(Dimension::Input, 5)), Ok(NanoUsd(14_005_000)));
    assert_eq!(price.cost(&Billed::default()), Ok(NanoUsd(14_000_000)));
}

#[test]
fn what_is_not_priced_apart_has_the_rate_that_holds_instead() {
    let both: &[(&str, &str)] = &[("input", "2"), ("output", "3")];
    let cached: &[(&str, &str)] =
        &[("input", "2"), ("output", "3"), ("cached_read", "1"), ("cache_write", "4")];
    for (members, dimension, nano) in [
        (both, Dimension::CachedRead, 2_000),
        (both, Dimension::CacheWrite, 2_000),
        (both, Dimension::CacheWrite1h, 2_000),
        (both, Dimension::Reasoning, 3_000),
        (both, Dimension::AudioInput, 2_000),
        (both, Dimension::AudioCachedRead, 2_000),
        (both, Dimension::AudioOutput, 3_000),
        (both, Dimension::ImageInput, 2_000),
        (both, Dimension::ImageCachedRead, 2_000),
        (both, Dimension::ImageOutput, 3_000),
        (both, Dimension::VideoInput, 2_000),
        (both, Dimension::VideoOutput, 3_000),
        (cached, Dimension::CacheWrite1h, 4_000),
        (cached, Dimension::AudioCachedRead, 1_000),
        (cached, Dimension::ImageCachedRead, 1_000),
        (cached, Dimension::AudioInput, 2_000),
    ] {
        assert_eq!(price(&[(0, members)]).cost(&one(dimension, 1)), Ok(NanoUsd(nano)), "{dimension:?}");
    }
}

#[test]
fn what_has_no_price_is_not_free() {
    let price = price(&[(0, &[("input", "2")])]);
    for dimension in [
        Dimension::Output,
        Dimension::Reasoning,
        Dimension::AudioOutput,
        Dimension::Character,
        Dimension::Image,
        Dimension::Second,
        Dimension::Page,
        Dimension::Query,
    ] {
        assert_eq!(price.cost(&one(dimension, 1)), Err(Unpriced::Dimension(dimension)), "{dimension:?}");
        assert_eq!(price.cost(&one(dimension, 0)), Ok(NanoUsd(0)), "{dimension:?}");
    }
}

#[test]
fn a_tier_begins_above_its_size() {
    let price = price(&[
        (0, &[("input", "1"), ("output", "10"), ("cached_read", "0.1")]),
        (128_000, &[("input", "2")]),
        (200_000, &[("input", "4"), ("output", "15"), ("cached_read", "0.4")]),
    ]);
    for (input, cached, output, nano) in [
        (128_000, 0, 1, 128_010_000),
        (128_001, 0, 1, 256_012_000),
        (127_999, 1, 1, 128_009_100),
        (127_999, 2, 1, 255_998_000 + 200 + 10_000),
        (200_000, 0, 1, 400_010_000),
        (200_001, 0, 1, 800_019_000),
        (0, 200_001, 1, 80_000_400 + 15_000),
    ] {
        let usage = Usage { input, cached_read: cached, output, ..Usage::default() };
        assert_eq!(price.cost(&Billed::from(usage)), Ok(NanoUsd(nano)), "{input} + {cached}");
    }
}

#[test]
fn every_part_of_the_input_counts_for_the_tier() {
    let price = price(&[(0, &[("input", "1"), ("output", "1")]), (10, &[("output", "2")])]);
    for dimension in Dimension::ALL {
        let mut billed = one(dimension, 11);
        *count_of(&mut billed, Dimension::Output) += 1;
        let of_input = matches!(
            dimension,
            Dimension::Input
                | Dimension::Request
                | Dimension::CachedRead
                | Dimension::CacheWrite
                | Dimension::CacheWrite1h
                | Dimension::AudioInput
                | Dimension::AudioCachedRead
                | Dimension::ImageInput
                | Dimension::ImageCachedRead
                | Dimension::VideoInput
        );
        assert_eq!(billed.input_total() > 10, of_input, "{dimension:?}");
        if of_input {
            assert_eq!(price.cost(&billed), Ok(NanoUsd(13_000)), "{dimension:?}");
        }
    }
}

#[test]
fn services_have_their_own_rates() {
    let price = price(&[
        (
            0,
            &[
                ("input", "2"),
                ("output", "10"),
                ("cached_read", "0.2"),
                ("batch_input", "1"),
                ("batch_output", "5"),
                ("priority_input", "4"),
            ],
        ),
        (1_000, &[("input", "3"), ("output", "20"), ("batch_input", "1.5")]),
    ]);
    let usage = |input| Usage { input, cached_read: 10, output: 1, ..Usage::default() };
    for (service, input, cost) in [
        (Service::Standard, 100, Ok(NanoUsd(212_000))),
        (Service::Batch, 100, Ok(NanoUsd(107_000))),
        // Without rates of its own a cheaper service is billed as the standard one, a dearer one is not known.
        (Service::Flex, 100, Ok(NanoUsd(212_000))),
        (Service::Fast, 100, Err(Unpriced::Service(Service::Fast))),
        // What a service does not price costs what the standard service asks.
        (Service::Priority, 100, Ok(NanoUsd(412_000))),
        // The same beyond a size, unless its own rate below was dearer.
        (Service::Standard, 1_000, Ok(NanoUsd(3_022_000))),
        (Service::Batch, 1_000, Ok(NanoUsd(1_522_000))),
        (Service::Priority, 1_000, Ok(NanoUsd(4_022_000))),
    ] {
        let billed = Billed { service, ..Billed::from(usage(input)) };
        assert_eq!(price.cost(&billed), cost, "{service:?} {input}");
    }
}

#[test]
fn the_sum_is_rounded_up_once() {
    let price =
        price(&[(0, &[("input", "0.000000001"), ("output", "0.0000005"), ("second", "0.000030833333333")])]);
    for (billed, nano) in [
        (one(Dimension::Input, 0), 0),
        (one(Dimension::Input, 1), 1),
        (one(Dimension::Input, 1_000_000), 1),
        (one(Dimension::Input, 1_000_001), 2),
        (one(Dimension::Output, 2_000), 1),
        (one(Dimension::Output, 2_001), 2),
        // A thousandth of a second is not rounded by itself: 0.111 USD an hour.
        (one(Dimension::Second, 1), 31),
        (one(Dimension::Second, 3_600_000), 111_000_000),
    ] {
        assert_eq!(price.cost(&billed), Ok(NanoUsd(nano)), "{billed:?}");
    }
    let mut two_halves = one(Dimension::Output, 1_000);
    two_halves.usage.input = 500_000;
    assert_eq!(price.cost(&two_halves), Ok(NanoUsd(1)));
}

#[test]
fn the_largest_counts_stay_in_bounds() {
    let price = price(&[(0, &[("input", "1000000000"), ("output", "1000000000"), ("second", "1000")])]);
    let mut most = one(Dimension::Input, u64::MAX);
    most.usage.output = u64::MAX;
    most.duration_ms = u64::MAX;
    assert_eq!(price.cost(&most), Ok(NanoUsd(u64::MAX)));
    assert_eq!(price.cost(&one(Dimension::Input, 1)), Ok(NanoUsd(1_000_000_000_000)));
}

#[test]
fn a_price_that_cannot_be_is_refused() {
    let mut spec = PriceSpec::default();
    for (name, text, error) in [
        ("inputs", "1", PriceError::Unknown("inputs".into())),
        ("batch_", "1", PriceError::Unknown("batch_".into())),
        ("", "1", PriceError::Unknown(String::new())),
        ("batch_batch_input", "1", PriceError::Unknown("batch_batch_input".into())),
        ("input", "-1", PriceError::Decimal { name: "input".into(), why: DecimalError::Form }),
        ("image", "1001", PriceError::Decimal { name: "image".into(), why: DecimalError::TooLarge }),
        (
            "input",
            "0.0000000001",
            PriceError::Decimal { name: "input".into(), why: DecimalError::TooFine(9) },
        ),
    ] {
        assert_eq!(spec.set(0, name, text), Err(error), "{name} {text}");
    }
    assert_eq!(spec.build(), Err(PriceError::Empty));
    spec.set(0, "input", "1").unwrap();
    assert_eq!(spec.set(0, "input", "1"), Err(PriceError::Twice("input".into())));
    for above in 1..=TIERS_MAX as u64 {
        spec.set(above, "input", "1").unwrap();
    }
    assert_eq!(spec.set(100, "input", "1"), Err(PriceError::Tiers));

    let falls = self::spec(&[(0, &[("input", "2")]), (10, &[("input", "1")])]);
    assert_eq!(falls.build(), Err(PriceError::Cheaper { dimension: Dimension::Input, above: 10 }));
    let instead = self::spec(&[(0, &[("input", "2")]), (10, &[("input", "3"), ("cached_read", "1")])]);
    assert_eq!(instead.build(), Err(PriceError::Cheaper { dimension: Dimension::CachedRead, above: 10 }));
}

#[test]
fn every_slot_has_a_name() {
    for service in Service::ALL {
        for dimension in Dimension::ALL {
            let name = format!("{}{}", service.prefix(), dimension.name());
            assert_eq!(Slot::named(&name), Some(Slot { service, dimension }), "{name}");
        }
    }
}

/// Prices of a few rates; tiers never fall.
fn prices() -> impl Strategy<Value = Price> {
    let rate = 0u64..100_000;
    let rates = prop::collection::vec(prop::option::of(rate), DIMENSIONS);
    let tiers = prop::collection::vec((1u64..5_000, 1u64..5), 0..3);
    (rates, tiers).prop_map(|(rates, tiers)| {
        let mut spec = PriceSpec::default();
        let text = |rate: u64| format!("{}.{:03}", rate / 1_000, rate % 1_000);
        spec.set(0, "input", "0.7").unwrap();
        spec.set(0, "output", "1.9").unwrap();
        let mut sizes = vec![(0, 1)];
        let mut times = 1;
        let tiers: std::collections::BTreeMap<_, _> = tiers.into_iter().collect();
        for (above, factor) in tiers {
            times *= factor;
            sizes.push((above, times));
        }
        for (above, times) in sizes {
            for (dimension, rate) in Dimension::ALL.into_iter().zip(&rates) {
                if let Some(rate) = rate
                    && !matches!(dimension, Dimension::Input | Dimension::Output)
                {
                    // Prices of single units stay below the largest.
                    let rate = if dimension.per() == 0 { rate % 1_000 } else { *rate };
                    spec.set(above, dimension.name(), &text(rate * times)).unwrap();
                }
            }
        }
        spec.build().unwrap()
    })
}

fn billed() -> impl Strategy<Value = Billed> {
    prop::collection::vec(0u64..10_000, DIMENSIONS).prop_map(|counts| {
        let mut billed = Billed::default();
        for (dimension, count) in Dimension::ALL.into_iter().zip(counts) {
            *count_of(&mut billed, dimension) = count;
        }
        billed
    })
}

/// Only what has a price.
fn payable(price: &Price, mut billed: Billed) -> Billed {
    while let Err(Unpriced::Dimension(dimension)) = price.cost(&billed) {
        *count_of(&mut billed, dimension) = 0;
    }
    billed
}

proptest! {
    #[test]
    fn more_of_anything_never_costs_less(
        price in prices(),
        billed in billed(),
        at in 0..DIMENSIONS,
        more in 1u64..1_000_000,
    ) {
        let billed = payable(&price, billed);
        let mut larger = billed;
        *count_of(&mut larger, Dimension::ALL[at]) += more;
        match price.cost(&larger) {
            Ok(cost) => prop_assert!(cost >= price.cost(&billed).unwrap()),
            Err(unpriced) => prop_assert_eq!(unpriced, Unpriced::Dimension(Dimension::ALL[at])),
        }
    }

    /// Each part costs at the tier of its own smaller input and is rounded by itself; together they cost at least what
    /// the whole costs at the base.
    #[test]
    fn rounding_parts_is_never_cheaper(price in prices(), billed in billed()) {
        let base = Price { sheets: price.sheets.iter().filter(|sheet| sheet.above == 0).cloned().collect() };
        let billed = payable(&base, billed);
        let whole = base.cost(&billed).unwrap().0;
        let mut parts = 0;
        for dimension in Dimension::ALL {
            // The call itself stands in every part.
            let mut rest = billed;
            let count = *count_of(&mut rest, dimension);
            if dimension != Dimension::Request {
                parts += base.cost(&one(dimension, count)).unwrap().0;
            }
        }
        prop_assert!(whole <= parts, "{} > {}", whole, parts);
    }

    #[test]
    fn halves_are_never_cheaper_than_the_whole(price in prices(), billed in billed()) {
        let base = Price { sheets: price.sheets.iter().filter(|sheet| sheet.above == 0).cloned().collect() };
        let billed = payable(&base, billed);
        let (mut one, mut other) = (billed, billed);
        for dimension in Dimension::ALL {
            if dimension != Dimension::Request {
                *count_of(&mut one, dimension) /= 3;
                *count_of(&mut other, dimension) -= *count_of(&mut one, dimension);
            }
        }
        let parts = base.cost(&one).unwrap().0 + base.cost(&other).unwrap().0;
        prop_assert!(base.cost(&billed).unwrap().0 <= parts);
    }
}
