//! Reads the tables of messages under `tests/data`: columns split by ` | `, bytes with escapes and repeats.

/// One row: the columns before the bytes, and the bytes.
pub(crate) struct Row {
    pub(crate) columns: Vec<String>,
    pub(crate) bytes: Vec<u8>,
}

/// The rows of a table whose last of `columns` columns is bytes.
pub(crate) fn rows(text: &str, columns: usize) -> Vec<Row> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts: Vec<&str> = line.splitn(columns, " | ").collect();
            assert_eq!(parts.len(), columns, "columns of: {line}");
            let bytes = unescape(&expand(parts.pop().unwrap()));
            Row { columns: parts.iter().map(|part| part.trim().to_string()).collect(), bytes }
        })
        .collect()
}

/// Writes `{x*N}` out.
fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inner, behind) = after.split_once('}').expect("a closing brace");
        let (unit, count) = inner.split_once('*').expect("a count");
        out.push_str(before);
        out.push_str(&unit.repeat(count.parse().expect("a number")));
        rest = behind;
    }
    out + rest
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        out.push(match bytes.next().expect("an escape") {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let hex = [bytes.next().expect("a digit"), bytes.next().expect("a digit")];
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).expect("a hex number")
            }
            other => panic!("unknown escape \\{}", char::from(other)),
        });
    }
    out
}
