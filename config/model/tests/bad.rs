//! Bad configurations, each with its faults marked in the file: under the offending token stands a line
//! `#   ^^^^ part of the message | part of the hint` (`#<<<<` for a token that begins in column 1). The markers
//! are taken out before the text is checked; place, length, message and hint must agree, and nothing else may be
//! reported. `# file: NAME` begins a further configuration file, `# side: NAME` a file that one names.

use std::path::{Path, PathBuf};

use penstock_model::{Memory, Problem, check};

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    file: String,
    line: u32,
    column: u32,
    length: u32,
    message: String,
    hint: String,
}

struct Fixture {
    files: Memory,
    paths: Vec<PathBuf>,
    marks: Vec<Mark>,
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("small")
}

fn mark(file: &str, line: u32, text: &str) -> Option<Mark> {
    let body = text.strip_prefix('#')?;
    let (column, length, rest) = if let Some(rest) = body.strip_prefix('<') {
        let more = rest.chars().take_while(|c| *c == '<').count();
        (1, more + 1, &rest[more..])
    } else {
        let blank = body.chars().take_while(|c| *c == ' ').count();
        let carets = body[blank..].chars().take_while(|c| *c == '^').count();
        if carets == 0 {
            return None;
        }
        (blank + 2, carets, &body[blank + carets..])
    };
    let (message, hint) = rest.split_once('|').expect("a mark has a message and a hint");
    Some(Mark {
        file: file.to_owned(),
        line,
        column: number(column),
        length: number(length),
        message: message.trim().to_owned(),
        hint: hint.trim().to_owned(),
    })
}

fn parse(name: &str, text: &str) -> Fixture {
    let mut fixture = Fixture { files: Memory::default(), paths: Vec::new(), marks: Vec::new() };
    let mut current = (name.to_owned(), String::new(), true);
    let close = |current: &(String, String, bool), fixture: &mut Fixture| {
        fixture.files = std::mem::take(&mut fixture.files).with(&current.0, current.1.as_bytes());
        if current.2 {
            fixture.paths.push(PathBuf::from(&current.0));
        }
    };
    for text in text.lines() {
        let further = text.strip_prefix("# file: ").map(|name| (name, true));
        let side = text.strip_prefix("# side: ").map(|name| (name, false));
        if let Some((name, is_configuration)) = further.or(side) {
            close(&current, &mut fixture);
            current = (name.to_owned(), String::new(), is_configuration);
            continue;
        }
        let line = number(current.1.lines().count());
        match mark(&current.0, line, text) {
            Some(mark) => fixture.marks.push(mark),
            None => {
                current.1.push_str(text);
                current.1.push('\n');
            }
        }
    }
    close(&current, &mut fixture);
    fixture
}

fn lookup(name: &str) -> Option<String> {
    match name {
        "SET" => Some("0123456789abcdef".to_owned()),
        "SHORT" => Some("tiny-secret".to_owned()),
        _ => None,
    }
}

/// What does not agree between the marks and the problems.
fn differences(marks: &[Mark], problems: &[Problem]) -> Vec<String> {
    let mut out = Vec::new();
    let agrees = |mark: &Mark, problem: &Problem| {
        (&mark.file, mark.line, mark.column, mark.length)
            == (&problem.file, problem.line, problem.column, problem.length)
            && problem.message.contains(&mark.message)
            && problem.hint.as_deref().unwrap_or("").contains(&mark.hint)
    };
    for mark in marks {
        if !problems.iter().any(|problem| agrees(mark, problem)) {
            out.push(format!("  marked, not reported: {mark:?}"));
        }
    }
    for problem in problems {
        if !marks.iter().any(|mark| agrees(mark, problem)) {
            out.push(format!(
                "  reported, not marked: [{}] {problem}\n{}",
                problem.length,
                problem.excerpt()
            ));
        }
    }
    out
}

fn fixtures() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut list: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("tests/bad")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .map(|path| {
            let name = path.file_name().expect("name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("text"))
        })
        .collect();
    list.sort();
    list
}

#[test]
fn every_fault_is_told_at_its_place() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 50, "{} fixtures", fixtures.len());
    let mut failed = Vec::new();
    for (name, text) in &fixtures {
        let fixture = parse(name, text);
        assert!(!fixture.marks.is_empty(), "{name} has no mark");
        let problems = check(&fixture.paths, &fixture.files, &lookup).err().unwrap_or_default();
        let differences = differences(&fixture.marks, &problems);
        if !differences.is_empty() {
            failed.push(format!("{name}:\n{}", differences.join("\n")));
        }
    }
    assert!(failed.is_empty(), "{}\n({} of {})", failed.join("\n"), failed.len(), fixtures.len());
}

#[test]
fn a_variable_s_content_is_never_repeated() {
    let text =
        "apps:\n  - name: a\n    credentials: [ { api_key: { value: \"${SHORT}\" } } ]\nworkers: ${SHORT}\n";
    let files = Memory::default().with("p.yaml", text);
    let problems = check(&[PathBuf::from("p.yaml")], &files, &lookup).expect_err("two faults");
    assert_eq!(problems.len(), 2);
    for problem in problems {
        assert!(!format!("{problem} {}", problem.excerpt()).contains("tiny-secret"), "{problem}");
    }
}
