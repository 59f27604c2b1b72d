//! x
fn main(){ for f in std::env::args().skip(1) { println!("--- {f}"); penstock_model::debug_parse(&std::fs::read_to_string(f).unwrap()); } }
