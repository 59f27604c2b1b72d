//! Every bound of the grammar, one below and one above.

use penstock_model::{
    FILES_MAX, LIMITS_PER_OWNER_MAX, LIST_ITEMS_MAX, Memory, NAME_BYTES_MAX, PROBLEMS_MAX, Problem,
    SIDE_FILE_BYTES_MAX, SNIPPET_CHARS_MAX, TEXT_BYTES_MAX, check, check_text,
};

fn problems(text: &str) -> Vec<Problem> {
    check_text("t.yaml", text, &Memory::default(), &|_| None).err().unwrap_or_default()
}

#[test]
fn at_the_bound_and_over() {
    let names = |n: usize| format!("plans: [ {{ name: {} }} ]", "n".repeat(n));
    let texts = |n: usize| {
        format!("apps: [ {{ name: a, credentials: [ {{ mtls: {{ subject: \"{}\" }} }} ] }} ]", "s".repeat(n))
    };
    let limits = |n: usize| {
        let list: Vec<String> = (0..n).map(|i| format!("{{ name: l{i}, requests: 1, per: 1s }}")).collect();
        format!("plans: [ {{ name: p, limits: [ {} ] }} ]", list.join(", "))
    };
    let list = |n: usize| format!("trusted_proxies: [ {} ]", vec!["10.0.0.0/8"; n].join(", "));
    let keys = |n: usize| {
        let list: Vec<String> = (0..n).map(|i| format!("header.h{i}")).collect();
        format!(
            "plans: [ {{ name: p, limits: [ {{ requests: 1, per: 1s, by: [ {} ] }} ] }} ]",
            list.join(", ")
        )
    };
    type Case<'c> = (&'c str, &'c dyn Fn(usize) -> String, usize, &'c str);
    let cases: [Case<'_>; 5] = [
        ("name", &names, NAME_BYTES_MAX, "is not a name"),
        ("text", &texts, TEXT_BYTES_MAX, "is not a text"),
        ("limits", &limits, LIMITS_PER_OWNER_MAX, "33 limits on one owner"),
        ("list", &list, LIST_ITEMS_MAX, "at most 200000 are read"),
        ("key", &keys, penstock_model::grammar::limit::KEY_PARTS_MAX, "a key of 5 parts"),
    ];
    for (what, text, bound, message) in cases {
        assert_eq!(problems(&text(bound)), [], "{what} at the bound");
        let over = problems(&text(bound + 1));
        assert!(over.len() == 1 && over[0].message.contains(message), "{what} over the bound: {over:?}");
    }
}

#[test]
fn problems_and_snippets_are_bounded() {
    let bad = vec!["10.0.0.1/8"; PROBLEMS_MAX + 3].join(", ");
    let list = problems(&format!("trusted_proxies: [ {bad} ]"));
    assert_eq!(list.len(), PROBLEMS_MAX + 1);
    assert!(list[PROBLEMS_MAX].message.starts_with("3 more problems"));
    assert!(list.iter().all(|problem| problem.snippet.chars().count() <= SNIPPET_CHARS_MAX));
}

#[test]
fn side_files_and_numbers_of_files() {
    let text = "listeners: [ { address: \"127.0.0.1:1\", tls: { certificates: [ { cert: c, key: k } ] } } ]";
    let files = |n: usize| {
        Memory::default()
            .with("c", vec![b'\n'; n])
            .with("k", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n")
    };
    let told =
        |n: usize| check_text("t.yaml", text, &files(n), &|_| None).expect_err("refused")[0].to_string();
    assert!(told(SIDE_FILE_BYTES_MAX).contains("is not PEM"));
    assert!(told(SIDE_FILE_BYTES_MAX + 1).contains("it is too large"));

    let folder = |n: usize| {
        (0..n).fold(Memory::default(), |files, i| files.with(format!("d/{i:05}.yaml"), "# nothing\n"))
    };
    assert!(check(&["d".into()], &folder(FILES_MAX), &|_| None).is_ok());
    let over = check(&["d".into()], &folder(FILES_MAX + 1), &|_| None).expect_err("refused");
    assert!(over[0].message.contains("more than 1000 files"), "{over:?}");
}
