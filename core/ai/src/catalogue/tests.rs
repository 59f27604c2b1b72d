use std::collections::BTreeSet;

use super::*;
use crate::usage::Usage;

/// 2026-11-24 12:00 UTC, a Tuesday.
const NOON: u64 = 20_781 * 86_400 + 12 * 3_600;

fn catalogue(lines: &[&str]) -> Catalogue {
    Catalogue::read(lines.join("\n").as_bytes()).unwrap()
}

fn fault(line: &str) -> Fault {
    let error = Catalogue::read(format!("{LINE}\n\n{line}").as_bytes()).unwrap_err();
    assert_eq!(error.line, 3, "{error}");
    error.fault
}

const LINE: &str = r#"{"provider":"acme","model":"a","maker":"acme","name":"a","own":true,"mode":"chat","prices":[{"input":"1"}]}"#;

#[test]
fn a_line_becomes_a_row() {
    let line = r#"{"provider":"acme","model":"a-2026-01-01","region":"eu","maker":"acme","name":"a \u0031","mode":"chat",
        "prices":[{"valid_until":"2026-08-17","input":"1"},
                  {"valid_from":"2026-08-17","input":"2","above":{"200000":{"input":"4"}}},
                  {"valid_from":"2026-08-17","hours":["10:00-24:00"],"weekdays":[1,2],"weekdays_offset":480,"input":"0.5"}],
        "context_tokens":400000,"input_tokens_max":300000,"output_tokens_max":100000,
        "modalities_in":["text","image","smell"],"modalities_out":["text"],"capabilities":["tools","flying"],
        "lacks":["vision"],"deprecated":true,"retires":"2027-01-01","sources":{"prices":"g"},"tomorrow":[1]}"#;
    let catalogue = catalogue(&[&line.replace('\n', " ")]);
    let row = &catalogue.rows()[0];
    assert_eq!((row.provider(), row.region(), row.model()), ("acme", "eu", "a-2026-01-01"));
    assert_eq!((row.maker(), row.name(), row.is_own(), row.mode()), (Some("acme"), "a 1", false, Mode::Chat));
    assert_eq!(
        (row.context_tokens(), row.input_tokens_max(), row.output_tokens_max()),
        (Some(400_000), Some(300_000), Some(100_000))
    );
    assert!(row.takes(Modality::Text) && row.takes(Modality::Image) && !row.takes(Modality::Audio));
    assert!(row.makes(Modality::Text) && !row.makes(Modality::Image));
    assert_eq!(row.can(Capability::Tools), Some(true));
    assert_eq!(row.can(Capability::Vision), Some(false));
    assert_eq!(row.can(Capability::Reasoning), None);
    assert!(row.is_deprecated());
    assert_eq!(row.retires(), Some("2027-01-01"));

    let cost = |unix_s, input| {
        let price = row.price_at(unix_s).unwrap();
        price.cost(&Billed::from(Usage { input, ..Usage::default() })).unwrap().0
    };
    let changes = 20_682 * 86_400; // 2026-08-17, a Monday
    for (at, input, nano) in [
        (0, 1_000, 1_000_000),
        (changes - 1, 1_000, 1_000_000),
        (changes, 1_000, 2_000_000),
        (changes + 10 * 3_600, 1_000, 500_000),
        (changes + 2 * 86_400 + 10 * 3_600, 1_000, 2_000_000),
        (NOON, 1_000, 500_000),
        (NOON - 3 * 3_600, 200_001, 800_004_000),
    ] {
        assert_eq!(cost(at, input), nano, "at {at}");
    }
}

#[test]
fn a_price_is_named_by_what_it_is() {
    let with = |provider: &str, prices: &str| {
        let line = format!(
            r#"{{"provider":"{provider}","model":"a","name":"a","mode":"chat","prices":[{prices}]}}"#
        );
        catalogue(&[&line]).rows()[0].prices()[0].id()
    };
    let base = with("acme", r#"{"input":"1","output":"2"}"#);
    for same in [
        r#"{"output":"2","input":"1"}"#,
        r#"{"input":"1.0","output":"2.00"}"#,
        r#"{"valid_until":"2027-01-01","input":"1","output":"2"}"#,
    ] {
        assert_eq!(with("acme", same), base, "{same}");
    }
    let others = [
        with("acne", r#"{"input":"1","output":"2"}"#),
        with("acme", r#"{"input":"1","output":"3"}"#),
        with("acme", r#"{"input":"1","output":"2","batch_input":"1"}"#),
        with("acme", r#"{"input":"1","output":"2","above":{"9":{"output":"2"}}}"#),
        with("acme", r#"{"valid_from":"2026-01-01","input":"1","output":"2"}"#),
        with("acme", r#"{"hours":["01:00-02:00"],"input":"1","output":"2"}"#),
        with("acme", r#"{"weekdays":[1],"input":"1","output":"2"}"#),
    ];
    let distinct: BTreeSet<_> = others.into_iter().chain([base]).collect();
    assert_eq!(distinct.len(), others.len() + 1);
}

#[test]
fn a_line_that_is_no_row_is_told_with_its_number() {
    let json = |line: &str| match fault(line) {
        Fault::Json(text) => text,
        other => panic!("{other:?}"),
    };
    for (line, told) in [
        ("{", "EOF"),
        ("[]", "invalid length"),
        ("7", "invalid type"),
        (r#"{"provider":"acme"}"#, "missing field"),
        (r#"{"provider":"a","provider":"b","model":"m","name":"m","mode":"chat"}"#, "duplicate field"),
        (r#"{"provider":1,"model":"m","name":"m","mode":"chat"}"#, "invalid type"),
        (r#"{"provider":"a","model":"m","name":"m","mode":"chat"} {}"#, "trailing"),
        (r#"{"provider":"a","model":"m","name":"m","mode":"chat","context_tokens":-1}"#, "invalid value"),
        (r#"{"provider":"a","model":"m","name":"m","mode":"chat","prices":[{"input":1}]}"#, "invalid type"),
        (
            r#"{"provider":"a","model":"m","name":"m","mode":"chat","prices":[{"input":"1","above":{"x":{}}}]}"#,
            "no number of tokens",
        ),
        (
            r#"{"provider":"a","model":"m","name":"m","mode":"chat","prices":[{"input":"1","above":{"0":{}}}]}"#,
            "no number of tokens",
        ),
        (
            r#"{"provider":"a","model":"m","name":"m","mode":"chat","prices":[{"weekdays":[256]}]}"#,
            "invalid value",
        ),
    ] {
        assert!(json(line).contains(told), "{line}: {}", json(line));
    }

    let row = |rest: &str| format!(r#"{{"provider":"acme","model":"b","name":"b","mode":"chat",{rest}}}"#);
    let price = |why| Fault::Price { at: 1, why };
    let period = |why| Fault::Period { at: 1, why };
    for (line, expected) in [
        (r#"{"provider":"","model":"m","name":"m","mode":"chat"}"#.into(), Fault::Empty("provider")),
        (r#"{"provider":"a","model":"","name":"m","mode":"chat"}"#.into(), Fault::Empty("model")),
        (r#"{"provider":"a","model":"m","name":"","mode":"chat"}"#.into(), Fault::Empty("name")),
        (r#"{"provider":"a","model":"m","name":"m","mode":"cat"}"#.into(), Fault::Mode("cat".into())),
        (row(r#""prices":[{}]"#), price(PriceError::Empty)),
        (row(r#""prices":[{"inputs":"1"}]"#), price(PriceError::Unknown("inputs".into()))),
        (row(r#""prices":[{"input":"1","input":"1"}]"#), price(PriceError::Twice("input".into()))),
        (
            row(r#""prices":[{"input":"1","above":{"9":{"input":"2"},"9":{"input":"3"}}}]"#),
            price(PriceError::Twice("input".into())),
        ),
        (
            row(r#""prices":[{"input":"-1"}]"#),
            price(PriceError::Decimal { name: "input".into(), why: DecimalError::Form }),
        ),
        (
            row(r#""prices":[{"valid_from":"2026-02-30","input":"1"}]"#),
            period(PeriodError::Date("2026-02-30".into())),
        ),
        (row(r#""prices":[{"hours":["1"],"input":"1"}]"#), period(PeriodError::Window("1".into()))),
        (row(r#""prices":[{"weekdays":[0],"input":"1"}]"#), period(PeriodError::Weekday(0))),
        (LINE.into(), Fault::Twice(1)),
    ] {
        assert_eq!(fault(&line), expected, "{line}");
    }
}

#[test]
fn what_goes_beyond_a_bound_is_refused() {
    let padded = |bytes: usize| {
        let rest = bytes - LINE.len() - r#""x":"","#.len();
        LINE.replacen('{', &format!(r#"{{"x":"{}","#, "x".repeat(rest)), 1)
    };
    assert!(Catalogue::read(padded(LINE_BYTES_MAX).as_bytes()).is_ok());
    let error = Catalogue::read(padded(LINE_BYTES_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(error, ReadError { line: 1, fault: Fault::LineBytes });

    let periods = |count: usize| {
        let prices = vec![r#"{"input":"1"}"#; count].join(",");
        format!(r#"{{"provider":"acme","model":"b","name":"b","mode":"chat","prices":[{prices}]}}"#)
    };
    assert_eq!(catalogue(&[&periods(PERIODS_MAX)]).rows()[0].prices().len(), PERIODS_MAX);
    assert_eq!(fault(&periods(PERIODS_MAX + 1)), Fault::Periods);

    let lines: Vec<_> = (0..=ROWS_MAX)
        .map(|at| format!(r#"{{"provider":"a","model":"{at}","name":"m","mode":"chat"}}"#))
        .collect();
    assert_eq!(Catalogue::read(lines[..ROWS_MAX].join("\n").as_bytes()).unwrap().rows().len(), ROWS_MAX);
    let error = Catalogue::read(lines.join("\n").as_bytes()).unwrap_err();
    assert_eq!(error, ReadError { line: ROWS_MAX + 1, fault: Fault::Rows });

    let blank = vec![b'\n'; TOTAL_BYTES_MAX + 1];
    assert!(Catalogue::read(&blank[1..]).is_ok());
    assert_eq!(Catalogue::read(&blank).unwrap_err(), ReadError { line: 0, fault: Fault::TotalBytes });
}

#[test]
fn rows_are_found_by_provider_region_and_model() {
    let line = |provider: &str, region: &str, model: &str, input: &str| {
        format!(
            r#"{{"provider":"{provider}","region":"{region}","model":"{model}","name":"m","mode":"chat","prices":[{{"input":"{input}"}}]}}"#
        )
    };
    let lines = [
        line("b", "eu", "m", "3"),
        line("b", "", "m", "2"),
        line("a", "", "m", "1"),
        line("b", "", "n", "4"),
    ];
    let catalogue = catalogue(&lines.each_ref().map(String::as_str));
    let input = |row: Option<&Row>| {
        row?.price_at(NOON)?
            .rate(Slot { service: Service::Standard, dimension: Dimension::Input }, 0)
            .ok()
            .map(|rate| rate.0 / 1_000_000_000)
    };
    assert_eq!(input(catalogue.row("a", "m")), Some(1));
    assert_eq!(input(catalogue.row("b", "m")), Some(2));
    assert_eq!(input(catalogue.row_in("b", "eu", "m")), Some(3));
    assert_eq!(input(catalogue.row_in("b", "us", "m")), Some(2));
    assert_eq!(input(catalogue.row_in("b", "eu", "n")), Some(4));
    for (provider, model) in [("c", "m"), ("a", "n"), ("a", "M"), ("", ""), ("b", "eu/m")] {
        assert_eq!(catalogue.row(provider, model), None, "{provider}/{model}");
        assert_eq!(catalogue.price(provider, model, NOON), None, "{provider}/{model}");
    }
}

#[test]
fn a_bare_name_has_its_makers_provider_first() {
    let line = |provider: &str, model: &str, maker: &str, name: &str, own: bool| {
        format!(
            r#"{{"provider":"{provider}","model":"{model}","maker":"{maker}","name":"{name}","own":{own},"mode":"chat"}}"#
        )
    };
    let lines = [
        line("aggregator", "acme/duo", "acme", "duo", false),
        line("acme", "duo-2026-01-01", "acme", "duo", true),
        line("acme", "duo", "acme", "duo", true),
        line("zeta", "duo", "zeta", "duo", true),
        line("other", "duo", "acme", "duo-mini", false),
        line("other", "solo", "acme", "solo", false),
    ];
    let catalogue = catalogue(&lines.each_ref().map(String::as_str));
    let found = |name: &str| -> Vec<String> {
        catalogue.candidates(name).iter().map(|row| format!("{}/{}", row.provider(), row.model())).collect()
    };
    assert_eq!(
        found("duo"),
        ["acme/duo", "acme/duo-2026-01-01", "zeta/duo", "aggregator/acme/duo", "other/duo"]
    );
    assert_eq!(found("acme/duo"), ["aggregator/acme/duo"]);
    assert_eq!(found("duo-2026-01-01"), ["acme/duo-2026-01-01"]);
    assert_eq!(found("du"), [""; 0]);
}

#[test]
fn a_search_has_the_best_first() {
    let line = |provider: &str, model: &str, name: &str, rest: &str| {
        format!(
            r#"{{"provider":"{provider}","model":"{model}","maker":"acme","name":"{name}","mode":"chat","capabilities":["vision"]{rest}}}"#
        )
    };
    let lines = [
        line("acme", "duo", "duo", r#","own":true"#),
        line("acme", "duo-mini", "duo-mini", r#","own":true"#),
        line("acme", "old-duo", "old-duo", r#","own":true,"deprecated":true"#),
        line("hub", "Acme/Duo", "duo", ""),
        line("hub", "superduo", "superduo", ""),
        line("hub", "solo", "solo", ""),
    ];
    let catalogue = catalogue(&lines.each_ref().map(String::as_str));
    let found = |query: &str, hits_max| -> Vec<&str> {
        catalogue.search(query, hits_max).iter().map(|hit| hit.row.model()).collect()
    };
    assert_eq!(found("duo", 10), ["duo", "Acme/Duo", "duo-mini", "old-duo", "superduo"]);
    assert_eq!(found("DUO hub", 10), ["Acme/Duo", "superduo"]);
    assert_eq!(found("hub/acme/duo", 10), ["Acme/Duo"]);
    assert_eq!(found("vision solo", 10), ["solo"]);
    assert_eq!(found("duo", 2), ["duo", "Acme/Duo"]);
    assert_eq!(found("trio", 10), [""; 0]);
    assert_eq!(found("", 10).len(), 6);
    let words_beyond = format!("{}trio", "duo ".repeat(QUERY_WORDS_MAX));
    assert_eq!(found(&words_beyond, 1), ["duo"]);
}

#[test]
fn the_bundled_catalogue_is_whole() {
    let catalogue = Catalogue::bundled().unwrap();
    let priced_chat: BTreeSet<_> = catalogue
        .rows()
        .iter()
        .filter(|row| row.mode() == Mode::Chat)
        .filter(|row| row.prices().iter().any(|timed| !timed.price().is_free()))
        .filter_map(|row| Some((row.maker()?, row.name())))
        .collect();
    assert!(priced_chat.len() >= 1_000, "{} chat models with a price", priced_chat.len());
    for mode in Mode::ALL {
        assert!(catalogue.rows().iter().any(|row| row.mode() == *mode), "{}", mode.name());
    }

    let ids: Vec<_> = catalogue.rows().iter().flat_map(|row| row.prices()).map(TimedPrice::id).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "two prices with one id");
}

#[test]
fn known_bills_are_met() {
    let catalogue = Catalogue::bundled().unwrap();
    let cost = |provider: &str, model: &str, billed: Billed| {
        catalogue.price(provider, model, NOON).unwrap().cost(&billed).map(|cost| cost.0)
    };
    // https://platform.claude.com/docs/en/about-claude/pricing: 3, 3.75, 6, 0.30 and 15 USD per million.
    let usage = Usage {
        input: 1_000,
        cache_write: 100,
        cache_write_1h: 10,
        cached_read: 10_000,
        output: 500,
        ..Usage::default()
    };
    let nano = 3_000_000 + 375_000 + 60_000 + 3_000_000 + 7_500_000;
    assert_eq!(cost("anthropic", "claude-sonnet-4-5", usage.into()), Ok(nano));
    // https://developers.openai.com/api/docs/pricing: 2.50, 1.25 and 10 USD per million; half of input and output in a batch.
    let usage = Usage { input: 900, cached_read: 100, output: 50, ..Usage::default() };
    assert_eq!(cost("openai", "gpt-4o", usage.into()), Ok(2_250_000 + 125_000 + 500_000));
    let batch = Billed { service: Service::Batch, ..Billed::from(usage) };
    assert_eq!(cost("openai", "gpt-4o", batch), Ok(1_125_000 + 125_000 + 250_000));
    // https://ai.google.dev/gemini-api/docs/pricing: 1.25 and 10 USD per million, 2.50 and 15 above 200,000 tokens.
    for (input, nano) in [(200_000, 250_010_000), (200_001, 500_002_500 + 15_000)] {
        let usage = Usage { input, output: 1, ..Usage::default() };
        assert_eq!(cost("gemini", "gemini-2.5-pro", usage.into()), Ok(nano));
    }
    // https://api-docs.deepseek.com/quick_start/pricing: off-peak at noon UTC.
    let usage = Usage { input: 1_000, output: 1_000, ..Usage::default() };
    assert_eq!(cost("deepseek", "deepseek-v4-pro", usage.into()), Ok(660_000 + 1_980_000));
    let peak = catalogue.price("deepseek", "deepseek-v4-pro", NOON - 4 * 3_600).unwrap();
    assert_eq!(peak.cost(&usage.into()), Ok(NanoUsd(1_320_000 + 3_960_000)));
}
