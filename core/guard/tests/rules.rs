//! What can be wrong with rules, and what words and expressions find.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{compiled, matches, regex, rule, words};
use penstock_guard::{
    Action, Check, Compiled, Detector, Direction, Finds, PATTERN_BYTES_MAX, PATTERNS_MAX, Place, RULES_MAX,
    Rule, Rules, Texts, Verdict, WINDOW_BYTES_MAX, WINDOW_BYTES_MIN, WORD_BYTES_MAX, WORDS_MAX,
};

fn problems(rules: &Rules) -> Vec<String> {
    Compiled::new(rules).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn of(rule: Rule) -> Rules {
    Rules { rules: vec![rule], ..Rules::default() }
}

#[test]
fn what_is_wrong_is_told() {
    let mail = || rule(Finds::Pii(vec![Detector::Email]), Action::Mask);
    let on_nothing = Rule { on_input: false, on_output: false, restore: false, ..mail() };
    let restored = Rule { on_input: false, ..mail() };
    let injection =
        |threshold, action| Rule { action, ..rule(Finds::Injection { threshold }, Action::Block) };
    for (rule, expected) in [
        (on_nothing, "guards[0]: the rule is on neither input nor output"),
        (restored, "guards[0]: restore needs action mask on input"),
        (rule(Finds::Pii(vec![]), Action::Mask), "guards[0]: the rule names nothing to look for"),
        (words(&[], true, Action::Mask), "guards[0]: the rule names nothing to look for"),
        (regex(&[], Action::Mask), "guards[0]: the rule names nothing to look for"),
        (
            words(&["a", " "], true, Action::Mask),
            "guards[0], item 1: a word must have 1 to 128 bytes and more than white space; this one has 0",
        ),
        (
            regex(&["a*"], Action::Mask),
            "guards[0], item 0: the regular expression matches the empty text, so it would match everywhere",
        ),
        (
            regex(&["a", "(b"], Action::Mask),
            "guards[0], item 1: the regular expression is not accepted: unclosed group",
        ),
        (
            regex(&[r"\w{200}"], Action::Mask),
            "guards[0], item 0: the regular expression is too large (more than",
        ),
        (
            regex(&[r"[ab]*a[ab]{18}"], Action::Mask),
            "guards[0], item 0: the regular expression is too large for streams",
        ),
        (injection(0, Action::Block), "guards[0]: the threshold is 0; it must be 1 to 1000"),
        (injection(60, Action::Mask), "guards[0]: an injection cannot be masked; use block or flag"),
        (
            Rule { on_output: true, ..injection(60, Action::Block) },
            "guards[0]: an injection is looked for on input only",
        ),
        (
            Rule { on_output: true, ..rule(Finds::Size { bytes_max: 1 }, Action::Block) },
            "guards[0]: the size of a request is looked for on input only",
        ),
    ] {
        let told = problems(&of(rule));
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}, not {expected:?}");
    }
}

#[test]
fn bounds_hold_at_the_bound() {
    let mail = rule(Finds::Pii(vec![Detector::Email]), Action::Flag);
    let rules = |count| Rules { rules: vec![mail.clone(); count], ..Rules::default() };
    assert!(problems(&rules(RULES_MAX)).is_empty());
    assert_eq!(problems(&rules(RULES_MAX + 1)), ["guards: there are 65 rules; at most 64 are allowed"]);
    for (bytes, is_fine) in [
        (WINDOW_BYTES_MIN - 1, false),
        (WINDOW_BYTES_MIN, true),
        (WINDOW_BYTES_MAX, true),
        (WINDOW_BYTES_MAX + 1, false),
    ] {
        assert_eq!(problems(&Rules { window_bytes: bytes, ..rules(1) }).is_empty(), is_fine);
    }
    let list = |count| Finds::Words { words: vec!["x".to_owned(); count], whole: true };
    assert!(problems(&of(rule(list(WORDS_MAX), Action::Flag))).is_empty());
    assert_eq!(problems(&of(rule(list(WORDS_MAX + 1), Action::Flag))).len(), 1);
    let long = |len| problems(&of(words(&[&"x".repeat(len)], true, Action::Flag)));
    assert!(long(WORD_BYTES_MAX).is_empty() && long(WORD_BYTES_MAX + 1).len() == 1);
    let patterns = |count| problems(&of(regex(&vec!["x"; count], Action::Flag)));
    assert!(patterns(PATTERNS_MAX).is_empty() && patterns(PATTERNS_MAX + 1).len() == 1);
    let pattern = |len| problems(&of(regex(&[&"x".repeat(len)], Action::Flag)));
    assert!(pattern(PATTERN_BYTES_MAX).is_empty() && pattern(PATTERN_BYTES_MAX + 1).len() == 1);
    let text = |len: usize| {
        let size = compiled(vec![rule(Finds::Size { bytes_max: 10 }, Action::Block)]);
        let mut check = Check::new(&size, Direction::Input, &common::KEY);
        check.text(&"x".repeat(len - 4), Place::ORDINARY);
        check.text("four", Place::ORDINARY);
        check.finish().0.verdict()
    };
    assert_eq!((text(10), text(11)), (Verdict::Passed, Verdict::Blocked));
}

#[test]
fn words_are_found_in_any_case_and_between_borders() {
    let list = ["project x", "falke", "straße", "σοφος", "kelvin", "秘密", "c++", "süß"];
    let whole = compiled(vec![words(&list, true, Action::Flag)]);
    for (text, expected) in [
        ("Project X and PROJECT\n  x.", &["Project X", "PROJECT\n  x"][..]),
        ("projects x, project xy, aproject x, project_x", &[]),
        ("Falke, FALKE-falke; falken _falke éfalke falkeé", &["Falke", "FALKE", "falke"]),
        ("STRAßE ΣΟΦΟΣ \u{212a}elvin SÜSS Süß", &["STRAßE", "ΣΟΦΟΣ", "\u{212a}elvin", "Süß"]),
        ("这是秘密文件 falke秘密", &["秘密", "falke", "秘密"]),
        ("C++ c+++", &["C++", "c++"]),
        ("project", &[]),
    ] {
        assert_eq!(matches(&whole, text), expected, "{text}");
    }
    let anywhere = compiled(vec![words(&["falk", "falken"], false, Action::Flag)]);
    assert_eq!(matches(&anywhere, "xFALKENx falk unfalked"), ["FALKEN", "falk", "falk"]);
}

#[test]
fn expressions_find_as_they_do_everywhere() {
    let orders = compiled(vec![regex(&[r"\bORD-\d{4,6}\b", r"^Dear \w+", r"end$"], Action::Flag)]);
    assert_eq!(
        matches(&orders, "Dear Ada, ORD-12345 is not ORD-1234567, in the end"),
        ["Dear Ada", "ORD-12345", "end"]
    );
    assert_eq!(matches(&orders, " Dear Ada, the end."), [""; 0]);
}

#[test]
fn of_findings_that_overlap_the_stricter_action_acts_on_all() {
    let both = compiled(vec![
        rule(Finds::Pii(vec![Detector::Email]), Action::Mask),
        words(&["mail ada"], true, Action::Block),
    ]);
    let spans = penstock_guard::check(&both, Direction::Input, "mail ada@example.org");
    assert_eq!(spans.len(), 1);
    assert_eq!((spans[0].range.clone(), spans[0].action, spans[0].rule), (0..20, Action::Block, 1));
    let twice = compiled(vec![
        rule(Finds::Pii(vec![Detector::Email]), Action::Mask),
        rule(Finds::Pii(vec![Detector::Email, Detector::Phone]), Action::Block),
    ]);
    assert_eq!(penstock_guard::check(&twice, Direction::Input, "ada@example.org")[0].action, Action::Block);
}

#[test]
fn names_of_detectors_are_known() {
    for detector in Detector::ALL {
        assert_eq!(Detector::named(detector.name()), Some(vec![detector]));
    }
    assert_eq!(Detector::named("national_id").map(|all| all.len()), Some(Detector::COUNT - 5));
    assert_eq!(Detector::named("e-mail"), None);
    for (n, detector) in Detector::ALL.into_iter().enumerate() {
        assert_eq!(detector as usize, n);
    }
}
