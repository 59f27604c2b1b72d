//! Whatever the text, checking ends with a verdict and no panic.

use proptest::prelude::*;

/// Pieces from which texts near to configurations are put together.
const PIECES: &[&str] = &[
    "listeners:",
    "upstreams:",
    "services:",
    "apps:",
    "plans:",
    "- ",
    "  ",
    "    ",
    "\n",
    "\n  ",
    "\n    - ",
    "{ ",
    " }",
    "[ ",
    " ]",
    ", ",
    "name: a",
    "targets: ",
    "url: http://127.0.0.1:1",
    "routes: ",
    "match: { path: /a }",
    "upstream: a",
    "auth: none",
    "limits: ",
    "requests: 1",
    "per: 1s",
    "&a ",
    "*a",
    "${SET}",
    "${",
    "}",
    "\"",
    "'",
    "\t",
    "#",
    "|\n",
    ">\n",
    "!!str ",
    "? ",
    "---\n",
    "é",
    "\u{feff}",
    "\0",
    "<<: *a",
    "secret://x",
    "1",
    "~",
    ":",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn pieces(list in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        penstock_model::fuzz_entry(&list.concat());
    }

    #[test]
    fn characters(text in "\\PC{0,200}") {
        penstock_model::fuzz_entry(&text);
    }

    #[test]
    fn a_good_file_with_a_piece_put_in(at in 0usize..4_000, piece in prop::sample::select(PIECES)) {
        let mut text = penstock_model::init().to_owned();
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.insert_str(at, piece);
        penstock_model::fuzz_entry(&text);
    }
}
