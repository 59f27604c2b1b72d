//! What each detector finds and what it does not, as tables.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{found, iban, in_fours, key, with_luhn};
use penstock_guard::Detector;

/// Texts in which what stands between `«` and `»` is found, and nothing else.
fn finds(detector: Detector, texts: &[&str]) {
    for marked in texts {
        let text: String = marked.chars().filter(|char| !matches!(char, '«' | '»')).collect();
        let expected: Vec<&str> =
            marked.split('«').skip(1).map(|behind| behind.split('»').next().unwrap()).collect();
        assert_eq!(found(detector, &text), expected, "{} in {text:?}", detector.name());
    }
}

fn finds_nothing(detector: Detector, texts: &[&str]) {
    for text in texts {
        assert_eq!(found(detector, text), [""; 0], "{} in {text:?}", detector.name());
    }
}

/// A number that is found as it stands, in a sentence and within brackets, and not with another digit or as a part of a word.
fn is_found(detector: Detector, number: &str) {
    for text in
        [number.to_owned(), format!("It is {number}."), format!("({number})"), format!("[\"{number}\",1]")]
    {
        assert_eq!(found(detector, &text), [number], "{} in {text:?}", detector.name());
    }
    for text in [format!("{number}7"), format!("7{number}"), format!("x{number}"), format!("{number}x")] {
        let found = found(detector, &text);
        assert!(!found.contains(&number), "{} in {text:?}: {found:?}", detector.name());
    }
}

#[test]
fn mail() {
    finds(
        Detector::Email,
        &[
            "Write to «ada@example.org».",
            "<«ada.lovelace+notes@mail.example.co.uk»>,«b_c@d-e.de»;«x@y.museum»",
            "mailto:«ada@example.org»?subject=x",
            "key=«ada@example.org»&",
            "«a@b.cd».",
            "\"«o'neil@example.com»\"",
            "请联系«ada@example.org»谢谢",
            "«émile.zola@exemple.fr», «иван@почта.рф»",
            "...«ada@example.org»...",
            "«ada@example.org»-x",
            "«ada@xn--exmple-cua.com» and «ada@example.xn--p1ai»",
            "user:«secret@example.org»/path",
        ],
    );
    finds_nothing(
        Detector::Email,
        &[
            "ada@localhost",
            "@handle and me @ home",
            "react@18.2.0 or lodash@4.17.21",
            "icon@2x.png",
            "a..b@example.org",
            "ada.@example.org",
            "ada@-example.org",
            "ada@example",
            "ada@example.1",
            "git@github.com:owner/name",
            "@Override @param",
        ],
    );
    let long = "a".repeat(64);
    finds(Detector::Email, &[&format!("«{long}@example.org»")]);
    finds_nothing(Detector::Email, &[&format!("a{long}@example.org")]);
}

#[test]
fn phone() {
    finds(
        Detector::Phone,
        &[
            "Call «+49 30 1234567» or «+1 (555) 234-5678».",
            "tel:«+442079460958»",
            "«+49 (0)171 2345678», «+33 1 23 45 67 89»; «0049 30 1234567»",
            "«030 1234567», «0171/2345678», «0171-2345678»",
            "«01 23 45 67 89» et «01.23.45.67.89»",
            "«020 7946 0958», «07700 900123»",
            "«(030) 1234567», «(555) 234-5678»; «(11) 91234-5678»",
            "«555-234-5678», «555.234.5678», «1-800-555-1234»",
            "«138 1234 5678»",
            "phone: «5552345678»",
            "手机«13812345678»",
            "Tel. «1234 5678»",
            "«+352 621 123 456»",
            "«03012345678»",
        ],
    );
    finds_nothing(
        Detector::Phone,
        &[
            "5552345678",
            "On 2024-11-24 10:30:15.123456",
            "01.02.2024 10:30, 24/11/2024, 2024/11/24",
            "01 02 2024 10 30",
            "192.168.100.200 and 10.0.0.1:8080",
            "1732468808 1732468808123",
            "0.123456789012",
            "550e8400-e29b-41d4-a716-446655440000",
            "000 000 0000, 0000000000, 111-111-1111",
            "+999 123 456 789",
            "+1 123 456 7890",
            "155-234-5678",
            "version 1.20.300.4000",
            "1,250,000,000",
            "ISBN 978-3-16-148410-0",
            "sha 0123456789abcdef",
        ],
    );
}

#[test]
fn card() {
    for (digits, groups) in [
        ("411111111111111", &[4, 4, 4, 4][..]),   // Visa
        ("555555555555444", &[4, 4, 4, 4]),       // Mastercard
        ("222100000000000", &[4, 4, 4, 4]),       // Mastercard, second range
        ("37828224631000", &[4, 6, 5]),           // American Express
        ("3056930902590", &[4, 6, 4]),            // Diners Club
        ("601111111111111", &[4, 4, 4, 4]),       // Discover
        ("353011133330000", &[4, 4, 4, 4]),       // JCB
        ("620000000000000", &[4, 4, 4, 4]),       // UnionPay
        ("220000000000000", &[4, 4, 4, 4]),       // Mir
        ("675964982643845", &[4, 4, 4, 4]),       // Maestro
        ("411111111111111111", &[4, 4, 4, 4, 3]), // Visa of 19
        ("422222222222", &[4, 4, 5]),             // Visa of 13
    ] {
        let plain = with_luhn(digits);
        is_found(Detector::Card, &plain);
        for separator in [" ", "-", "\u{a0}"] {
            let mut rest = plain.as_str();
            let parts = groups.iter().map(|len| {
                let (part, behind) = rest.split_at(*len);
                rest = behind;
                part
            });
            let written = parts.collect::<Vec<_>>().join(separator);
            assert_eq!(found(Detector::Card, &format!("Card {written}, please")), [written.as_str()]);
        }
        // Every other check digit is wrong.
        let last = plain.as_bytes()[plain.len() - 1] - b'0';
        for wrong in (0..10).filter(|digit| *digit != last) {
            finds_nothing(Detector::Card, &[&format!("{digits}{wrong}")]);
        }
    }
    let (one, two) = (with_luhn("411111111111111"), with_luhn("555555555555444"));
    finds(
        Detector::Card,
        &[&format!("«{one}»,«{two}»"), &format!("«{one}» 123"), &format!("17 «{}»", in_fours(&one))],
    );
    finds_nothing(
        Detector::Card,
        &[
            &with_luhn("911111111111111"),   // no issuer
            &with_luhn("41111111111111111"), // no length of Visa's
            &format!("0.{one}"),
            &format!("{}-{}-{}", &one[..4], &one[4..10], &one[10..].replace(' ', ".")).replace('-', "_"),
            &format!("4111 1111-1111 {}", &one[12..]),
            "1732468808123456",
        ],
    );
}

#[test]
fn iban_of_every_country() {
    for (country, account) in [
        ("DE", "370400440532013000"),
        ("GB", "NWBK60161331926819"),
        ("FR", "20041010050500013M02606"),
        ("NL", "ABNA0417164300"),
        ("NO", "86011117947"),
        ("MT", "MALT011000012345MTLCAST001S"),
        ("CH", "00762011623852957"),
        ("PL", "109010140000071219812874"),
        ("BE", "539007547034"),
        ("LC", "HEMM000100010012001200023015"),
    ] {
        let plain = iban(country, account);
        is_found(Detector::Iban, &plain);
        finds(
            Detector::Iban,
            &[&format!("IBAN: «{}».", in_fours(&plain)), &format!("«{}»", plain.to_lowercase())],
        );
        let mut wrong = plain.clone().into_bytes();
        wrong[5] = if wrong[5] == b'1' { b'2' } else { b'1' };
        finds_nothing(Detector::Iban, &[&String::from_utf8(wrong).unwrap(), &plain[..plain.len() - 1]]);
    }
    finds_nothing(Detector::Iban, &["DE", "de12 rue", "XX00123456789012345678", "BE THERE AT 10"]);
}

fn digits(text: &str) -> Vec<u32> {
    text.bytes().map(|byte| u32::from(byte - b'0')).collect()
}

fn weighted(text: &str, weights: &[u32]) -> u32 {
    digits(text).iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// The number with each last digit; only this one is found.
fn only_digit(detector: Detector, number: &str, right: u32) {
    is_found(detector, &format!("{number}{right}"));
    for wrong in (0..10).filter(|digit| *digit != right) {
        finds_nothing(detector, &[&format!("{number}{wrong}")]);
    }
}

#[test]
fn national_ids_by_digits() {
    // Germany: ISO 7064 MOD 11,10.
    for number in ["8609574271", "6592997048", "1234567899"] {
        let product = digits(number).iter().fold(10, |product, digit| {
            let sum = (product + digit) % 10;
            (if sum == 0 { 10 } else { sum }) * 2 % 11
        });
        only_digit(Detector::DeSteuerId, number, (11 - product) % 10);
    }
    finds(Detector::DeSteuerId, &["Steuer-ID «86 095 742 719»"]);
    finds_nothing(Detector::DeSteuerId, &["11111111111", "12345678901", "01234567890"]);

    // Poland.
    let pesel = "4405140145";
    only_digit(Detector::PlPesel, pesel, (10 - weighted(pesel, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10) % 10);
    finds_nothing(Detector::PlPesel, &["44951401359", "44053201359"]);

    // Belgium.
    let birth = 850_730_033u64;
    for (number, full) in [(birth, birth), (120_101_123, 2_120_101_123)] {
        let plain = format!("{number:09}{:02}", 97 - full % 97);
        is_found(Detector::BeNumber, &plain);
        let (date, rest) = plain.split_at(6);
        let written = format!("{}.{}.{}-{}.{}", &date[..2], &date[2..4], &date[4..], &rest[..3], &rest[3..]);
        is_found(Detector::BeNumber, &written);
    }
    finds_nothing(Detector::BeNumber, &["85073003311", "85.13.30-033.28"]);

    // Sweden.
    let ten = with_luhn("811228987");
    let written = format!("{}-{}", &ten[..6], &ten[6..]);
    finds(
        Detector::SePersonnummer,
        &[
            &format!("Hon är «{written}»."),
            &format!("«19{written}»"),
            &format!("«19{ten}»"),
            &format!("personnummer «{ten}»"),
        ],
    );
    finds_nothing(Detector::SePersonnummer, &[&ten, "811228-9875", "811328-9870"]);

    // Norway.
    let check = |text: &str, weights: &[u32]| {
        Some((11 - weighted(text, weights) % 11) % 11).filter(|digit| *digit < 10)
    };
    let numbers = (100..500).filter_map(|own| {
        let birth = format!("010190{own}");
        let with_first = format!("{birth}{}", check(&birth, &[3, 7, 6, 1, 8, 9, 4, 5, 2])?);
        let second = check(&with_first, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2])?;
        Some((with_first, second))
    });
    let (with_first, second) = numbers.take(1).next().unwrap();
    only_digit(Detector::NoFodselsnummer, &with_first, second);

    // Switzerland: EAN-13.
    let ahv = "756921707698";
    let check = (10 - weighted(ahv, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]) % 10) % 10;
    only_digit(Detector::ChAhv, ahv, check);
    is_found(Detector::ChAhv, &format!("756.9217.0769.8{check}"));
    finds_nothing(Detector::ChAhv, &["4006381333931"]);

    // Brazil.
    let cpf = |nine: &str| {
        let check = |text: &str| {
            let weights: Vec<u32> = (2..=text.len() as u32 + 1).rev().collect();
            match weighted(text, &weights) % 11 {
                0 | 1 => 0,
                rest => 11 - rest,
            }
        };
        let ten = format!("{nine}{}", check(nine));
        format!("{ten}{}", check(&ten))
    };
    let plain = cpf("529982247");
    is_found(Detector::BrCpf, &plain);
    is_found(Detector::BrCpf, &format!("{}.{}.{}-{}", &plain[..3], &plain[3..6], &plain[6..9], &plain[9..]));
    finds_nothing(Detector::BrCpf, &["111.111.111-11", "529.982.247-26", "12345678900"]);

    // Türkiye.
    let nine = "100000001";
    let d = digits(nine);
    let tenth = ((d[0] + d[2] + d[4] + d[6] + d[8]) * 7 - (d[1] + d[3] + d[5] + d[7])) % 10;
    let eleventh = (d.iter().sum::<u32>() + tenth) % 10;
    only_digit(Detector::TrKimlik, &format!("{nine}{tenth}"), eleventh);

    // India: Verhoeff, where every change of one digit is seen.
    finds(Detector::InAadhaar, &["«2341 2341 2346»", "Aadhaar no. «234123412346»"]);
    finds_nothing(Detector::InAadhaar, &["234123412346", "2341 2341 2345", "1341 2341 2346"]);

    // United States: no check digit, but areas, groups and serials that are not given.
    finds(Detector::UsSsn, &["SSN «123-45-6789»", "«123 45 6789»", "social security number «123456789»"]);
    finds_nothing(
        Detector::UsSsn,
        &[
            "123456789",
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-4567",
            "123-45-0000",
            "123-45-67890",
        ],
    );

    // Netherlands: the check is weak, so a word or points must say so.
    let eight = "11122233";
    let check = weighted(eight, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    assert!(check < 10);
    finds(Detector::NlBsn, &[&format!("BSN «{eight}{check}»"), &format!("«1112.22.33{check}»")]);
    finds_nothing(
        Detector::NlBsn,
        &[&format!("{eight}{check}"), &format!("BSN {eight}{}", (check + 1) % 10)],
    );
}

#[test]
fn national_ids_with_letters() {
    finds(Detector::UkNino, &["NI «AB 12 34 56 C»", "«AB123456C»", "«jg121316a»"]);
    finds_nothing(
        Detector::UkNino,
        &["QQ123456C", "BG123456A", "AO123456A", "AB123456E", "AB12345C", "XAB123456C"],
    );

    let letters: Vec<char> = "TRWAGMYFPDXBNJZSQVHLCKE".chars().collect();
    for number in [12_345_678usize, 87_654_321, 11_111_111] {
        for (n, letter) in letters.iter().enumerate() {
            let written = format!("{number}{letter}");
            let is_right = number % 23 == n;
            assert_eq!(found(Detector::EsDni, &written).len(), usize::from(is_right), "{written}");
        }
    }
    finds(Detector::EsDni, &["«12345678-Z», «12.345.678-Z»", "NIE «X1234567L» «X-1234567-L»", "«Y1234567X»"]);
    finds_nothing(Detector::EsDni, &["X1234567M", "1234567Z"]);

    // The ministry's example; Italy's names of people that are not.
    finds(Detector::ItCodiceFiscale, &["CF «RSSMRA85T10A562S»", "«rss mra 85t10 a562s»"]);
    finds_nothing(Detector::ItCodiceFiscale, &["RSSMRA85T10A562T", "RSSMRA85G10A562S", "INTERNATIONALIST"]);

    let nir = |thirteen: &str, corsica: u64| {
        let number: u64 = thirteen.replace("2A", "20").replace("2B", "20").parse().unwrap();
        format!("{thirteen}{:02}", 97 - (number - corsica) % 97)
    };
    for plain in [nir("1850578006084", 0), nir("285052A006084", 1_000_000), nir("285052B006084", 2_000_000)] {
        is_found(Detector::FrNir, &plain);
        let spaced = format!(
            "{} {} {} {} {} {} {}",
            &plain[..1],
            &plain[1..3],
            &plain[3..5],
            &plain[5..7],
            &plain[7..10],
            &plain[10..13],
            &plain[13..]
        );
        is_found(Detector::FrNir, &spaced);
        finds_nothing(Detector::FrNir, &[&format!("9{}", &plain[1..]), &format!("{}00", &plain[..13])]);
    }

    let signs: Vec<char> = "0123456789ABCDEFHJKLMNPRSTUVWXY".chars().collect();
    for century in ['-', '+', 'A'] {
        let hetu = format!("131052{century}308{}", signs[131_052_308 % 31]);
        is_found(Detector::FiHetu, &hetu);
        finds_nothing(Detector::FiHetu, &[&format!("131052{century}308{}", signs[(131_052_308 + 1) % 31])]);
    }

    let seventeen = "11010519491231002";
    let weights: Vec<u32> = (1..=17).rev().map(|n| (0..n).fold(1, |power, _| power * 2 % 11)).collect();
    let check = (12 - weighted(seventeen, &weights) % 11) % 11;
    let sign = if check == 10 { "X".to_owned() } else { check.to_string() };
    is_found(Detector::CnResidentId, &format!("{seventeen}{sign}"));
    finds(Detector::CnResidentId, &[&format!("身份证号«{seventeen}{sign}»。")]);
    finds_nothing(Detector::CnResidentId, &["110105194912310021", "110105194913310029"]);
}

#[test]
fn keys() {
    for (prefix, len) in [
        ("ghp_", 36),
        ("github_pat_", 82),
        ("glpat-", 20),
        ("xoxb-", 40),
        ("sk_live_", 24),
        ("sk-ant-api03-", 95),
        ("sk-proj-", 100),
        ("sk-", 48),
        ("hf_", 34),
        ("gsk_", 52),
        ("AIza", 35),
        ("npm_", 36),
        ("pypi-", 90),
        ("GOCSPX-", 28),
        ("hvs.", 30),
        ("SG.", 66),
        ("psk_", 24),
        ("lin_api_", 40),
    ] {
        let key = key(prefix, len);
        for text in [key.clone(), format!("KEY={key}"), format!("\"{key}\""), format!("use {key}, please")] {
            assert_eq!(found(Detector::Key, &text), [key.as_str()], "{text}");
        }
        finds_nothing(Detector::Key, &[&key[..prefix.len() + 8], &format!("x{key}"), prefix]);
    }
    finds(
        Detector::Key,
        &[
            "«AKIAIOSFODNN7EXAMPLE» and «ASIAY34FZKBOKMUTVV7A»",
            "aws_secret_access_key = \"«wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»\"",
            "\"SecretAccessKey\": \"«wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»\"",
            "https://«hooks.slack.com/services/T0000A1B2/B0000C3D4/e5F6g7H8i9J0kLmNoPqRsTu»",
            "Bearer «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U».",
        ],
    );
    finds_nothing(
        Detector::Key,
        &[
            "AKIAIOSFODNN7EXAMPLES",
            "sk-loading-spinner-container-wrapper-element",
            "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1111",
            "eyJhbGciOiJIUzI1NiJ9 alone",
            "eyJ.eyJ.x",
            "the key-value store and task_sk- nothing",
            "ghp_short",
            "xoxb- xoxp-",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
            "-----------------\n| a | b |",
        ],
    );
}

#[test]
fn private_keys_are_found_whole() {
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    for (name, end) in [("PRIVATE KEY", "\n"), ("RSA PRIVATE KEY", "\r\n"), ("OPENSSH PRIVATE KEY", "\\n")] {
        let key = [
            format!("-----BEGIN {name}-----"),
            vec![line; 25].join(end),
            "MIIshort==".to_owned(),
            format!("-----END {name}-----"),
        ]
        .join(end);
        assert_eq!(
            found(Detector::Key, &format!("Here: {key} and more words follow.")),
            [key.as_str()],
            "{name}"
        );
        // Cut off: what is there of it.
        let cut = &key[..name.len() + 200];
        assert!(found(Detector::Key, cut)[0].len() > name.len() + 70);
    }
    let sealed = format!(
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{line}\nabc=\n\
         -----END RSA PRIVATE KEY-----"
    );
    assert_eq!(found(Detector::Key, &sealed), [sealed.as_str()]);
    let named = "The line -----BEGIN PRIVATE KEY----- begins one, and the text goes on.";
    assert_eq!(found(Detector::Key, named), ["-----BEGIN PRIVATE KEY-----"]);
}

/// Texts that make a detector begin at every place, a megabyte of each. Work by the square of the length would take hours,
/// and the test runner ends a test long before.
#[test]
fn no_text_takes_the_square_of_its_length() {
    let guard = common::all_pii(penstock_guard::Action::Mask);
    for piece in [
        "sk-",
        "eyJ-",
        "eyJ.eyJ.",
        "SG.",
        "ABSK/",
        "a@",
        "a.",
        "+1 ",
        "(0",
        "0 ",
        "AB 1",
        "-----BEGIN PRIVATE KEY-----",
        "DE12 ",
    ] {
        let text = piece.repeat(1_000_000 / piece.len());
        assert!(common::masked(&guard, &text).len() <= text.len() * 2, "{piece}");
    }
}

#[test]
fn prose_has_nothing() {
    for detector in Detector::ALL {
        finds_nothing(detector, &[common::PROSE]);
    }
}
