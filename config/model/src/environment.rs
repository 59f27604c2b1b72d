//! `${NAME}` inside scalars. May know the notation; where values come from is the caller's closure.

/// Looks a variable up; `None` = unset.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Longest name of a variable.
const NAME_BYTES_MAX: usize = 128;
/// Longest text after replacement: a bound against variables that hold whole files.
pub const EXPANDED_BYTES_MAX: usize = 64 * 1024;

/// Why a scalar could not be expanded, with the piece of its text that is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) part: String,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Replaces `${NAME}` and `${NAME:-default}`; `$${` stands for a literal `${`; any other `$` is itself.
///
/// `Ok(None)` = nothing to replace. An empty variable counts as set, except for the `:-` form, as in a shell.
pub(crate) fn expand(text: &str, lookup: Lookup<'_>) -> Result<Option<String>, Fault> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start - 1]);
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(&rest[..start]);
        let body = &rest[start + 2..];
        let Some(end) = body.find('}') else {
            return Err(Fault {
                part: rest[start..].to_owned(),
                message: "`${` is not closed".to_owned(),
                hint: "write ${NAME}, or $${ for the two characters themselves".to_owned(),
            });
        };
        let whole = &rest[start..start + 2 + end + 1];
        let (name, default) = match body[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&body[..end], None),
        };
        if !is_name(name) {
            return Err(Fault {
                part: whole.to_owned(),
                message: format!("`{whole}` is not a variable"),
                hint: "a name has letters, digits and underscores, as in ${API_KEY} or ${PORT:-8080}"
                    .to_owned(),
            });
        }
        match (lookup(name), default) {
            (Some(value), None) => out.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (None, None) => {
                return Err(Fault {
                    part: whole.to_owned(),
                    message: format!("environment variable `{name}` is not set"),
                    hint: format!("set it, or write ${{{name}:-default}}"),
                });
            }
        }
        if out.len() > EXPANDED_BYTES_MAX {
            return Err(Fault {
                part: whole.to_owned(),
                message: format!("the value is over {EXPANDED_BYTES_MAX} bytes once `{whole}` is replaced"),
                hint: "point to a file instead".to_owned(),
            });
        }
        rest = &body[end + 1..];
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= NAME_BYTES_MAX
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("alpha".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("${A}".to_owned()),
            "HUGE" => Some("x".repeat(EXPANDED_BYTES_MAX + 1)),
            _ => None,
        }
    }

    #[test]
    fn replaces() {
        for (text, want) in [
            ("plain", None),
            ("cost $5", None),
            ("${A}", Some("alpha")),
            ("<${A}-${A}>", Some("<alpha-alpha>")),
            ("${B:-beta}", Some("beta")),
            ("${A:-beta}", Some("alpha")),
            ("${EMPTY}", Some("")),
            ("${EMPTY:-x}", Some("x")),
            ("${B:-}", Some("")),
            ("$${A}", Some("${A}")),
            ("$${A} ${A}", Some("${A} alpha")),
            ("${DOLLAR}", Some("${A}")),
        ] {
            assert_eq!(expand(text, &lookup).expect(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn refuses() {
        for (text, part, message) in [
            ("x${B}y", "${B}", "environment variable `B` is not set"),
            ("${A", "${A", "`${` is not closed"),
            ("${}", "${}", "`${}` is not a variable"),
            ("${1A}", "${1A}", "`${1A}` is not a variable"),
            ("${HUGE}", "${HUGE}", "the value is over 65536 bytes once `${HUGE}` is replaced"),
        ] {
            let fault = expand(text, &lookup).expect_err(text);
            assert_eq!((fault.part.as_str(), fault.message.as_str()), (part, message));
        }
    }
}
