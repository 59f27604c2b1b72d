//! Resources.
#![forbid(unsafe_code)]

mod document;
mod environment;
pub mod grammar;
mod place;
mod problem;
mod read;
mod suggest;

pub use environment::Lookup;

/// x
pub fn debug_parse(text: &str) {
    let mut sources = place::Sources::default();
    let file = sources.add("t.yaml", text);
    let mut problems = problem::Problems::default();
    let node = document::parse(&document::Reading { file, sources: &sources, lookup: &|_| None }, &mut problems);
    let mut cx = read::Cx { sources: &sources, problems };
    if let Some(node) = node { 
        use read::Read;
        let f = grammar::File::read(&node, &mut cx);
        let mut out = vec![];
        if let Some(f) = f { f.explain("", place::Pos::DEFAULT, &mut out); for l in out { println!("{} = {} # {}", l.path, l.value, sources.show(l.pos)); } }
    }
    for p in cx.problems.into_list(&sources) { println!("{p}\n{}", p.excerpt()); }
}
