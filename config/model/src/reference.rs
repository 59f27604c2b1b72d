//! The reference page of the configuration, made from the same rows that reading is driven by.

use crate::grammar::File;
use crate::read::{Need, Read, Shape, Table};
use crate::schema::clean;

const HEAD: &str = "\
# Configuration reference

Generated from the grammar; a test keeps it current. `penstock schema` prints the same as JSON Schema for
editors, `penstock init` a file to begin with, `penstock check --explain` what is in force and from where.

## The file

- One file, several, or folders (their `*.yaml` and `*.yml`, by name). Lists of the top level are joined; every
  other key of the top level may stand in one file only; a name may stand once among its kind.
- `${NAME}` inside values is replaced from the environment; unset is an error. `${NAME:-default}` has a default
  for unset and empty; `$${` is the two characters themselves. Keys are never replaced.
- Times have a unit: `ms`, `s`, `m`, `h`. Sizes: `B`, `KiB`, `MiB`, `GiB`. Shares: `%`.
- Relative paths of certificates, keys and key sets start at the folder of the file that names them;
  `data_dir` starts at the working directory.
- Text with `{`, `[`, `*`, `: ` or `#` in it needs quotes.
- Of `auth`, `authorize`, `cors`, `timeouts`, `body` and `headers` the nearest of route, version, service and
  tenant wins, each key as a whole. `limits` of all levels add up, and so do the networks of `ip.deny`.
- Bounds: 16 MiB a file, 32 levels, 1,000,000 nodes, 10,000 nodes copied by aliases, 1,000 files, 32 limits on one
  owner.
";

/// The page, as Markdown.
pub fn reference() -> String {
    let mut tables = Vec::new();
    File::shape().tables(&mut tables);
    let mut out = HEAD.to_owned();
    for table in &tables {
        section(table, &mut out);
    }
    out
}

fn section(table: &Table, out: &mut String) {
    out.push_str(&format!("\n## {}\n\n{}\n\n", table.name, clean(&table.doc)));
    out.push_str("| key | value | left out | meaning |\n| --- | --- | --- | --- |\n");
    for row in &table.rows {
        let absent = match row.need {
            Need::Required => "**required**".to_owned(),
            Need::Optional(meaning) => meaning.to_owned(),
            Need::Default(default) => format!("`{default}`"),
        };
        let mut meaning = clean(&row.doc);
        for (word, what) in choices(&row.shape) {
            meaning.push_str(&format!(" `{word}`: {}.", clean(what)));
        }
        out.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            row.key,
            cell(&row.shape.words()),
            cell(&absent),
            cell(&meaning)
        ));
    }
    if !table.later.is_empty() {
        out.push_str("\nNot in this build: ");
        let later: Vec<String> = table.later.iter().map(|(key, why)| format!("`{key}` ({why})")).collect();
        out.push_str(&later.join(", "));
        out.push_str(".\n");
    }
}

fn choices(shape: &Shape) -> Vec<(&'static str, &'static str)> {
    match shape {
        Shape::Choice(words) => words.to_vec(),
        Shape::List(item) => choices(item),
        Shape::Either(shapes) => shapes.iter().flat_map(choices).collect(),
        _ => Vec::new(),
    }
}

/// A vertical bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
