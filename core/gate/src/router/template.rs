//! Path templates: `/orders/{id}`, `/files/*`.
//!
//! Reads a template and says what is wrong with it. It knows nothing of requests.

/// Segments a template may have.
pub const SEGMENTS_MAX: usize = 64;

/// Captures (parameters and the tail) a template may have.
pub const CAPTURES_MAX: usize = 16;

/// Bytes a template may have.
pub const TEMPLATE_BYTES_MAX: usize = 4096;

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// These bytes.
    Literal(Box<str>),
    /// Any one segment of at least one byte.
    Parameter(Box<str>),
    /// The rest, also nothing.
    Tail,
}

/// A path template, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    segments: Vec<Segment>,
}

/// Why a text is no path template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It has to begin with a slash.
    #[error("a path begins with `/`")]
    NoSlash,
    /// Too long or too many segments.
    #[error("the path has more than {SEGMENTS_MAX} segments or {TEMPLATE_BYTES_MAX} bytes")]
    TooLong,
    /// Too many captures.
    #[error("the path has more than {CAPTURES_MAX} captures")]
    TooManyCaptures,
    /// `*` that is not the whole last segment.
    #[error("`*` stands alone as the last segment; use `{{name}}` for one segment elsewhere")]
    Star,
    /// A brace that does not enclose a whole segment, or a bad name.
    #[error("`{0}`: a parameter is a whole segment `{{name}}`, its name of letters, digits and `_`")]
    Parameter(String),
    /// Two parameters of one name.
    #[error("the parameter `{0}` stands twice")]
    Twice(String),
    /// A byte that a path can't hold as it is.
    #[error("`{0}` can't stand in a path as it is; percent-encode it")]
    Byte(char),
    /// `.` or `..` as a segment: requests are normalised before they are matched, so it never matches.
    #[error("the segment `{0}` never matches: dot segments are resolved before matching")]
    Dots(String),
}

impl PathTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] says what is wrong first.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix('/').ok_or(TemplateError::NoSlash)?;
        if text.len() > TEMPLATE_BYTES_MAX || rest.split('/').count() > SEGMENTS_MAX {
            return Err(TemplateError::TooLong);
        }
        let count = rest.split('/').count();
        let mut segments: Vec<Segment> = Vec::with_capacity(count);
        for (index, part) in rest.split('/').enumerate() {
            let segment = segment(part, index + 1 == count)?;
            if let Segment::Parameter(name) = &segment
                && segments.contains(&segment)
            {
                return Err(TemplateError::Twice(name.to_string()));
            }
            segments.push(segment);
        }
        let template = Self { segments };
        if template.captures().count() > CAPTURES_MAX {
            return Err(TemplateError::TooManyCaptures);
        }
        Ok(template)
    }

    /// The segments, from left to right.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Names of the captures from left to right; the tail is called `*`.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) => Some(&**name),
            Segment::Tail => Some("*"),
        })
    }

    /// The same template behind a literal first segment; `/` alone is also served without its slash.
    pub(crate) fn behind(&self, first: &str) -> Vec<Self> {
        let literal = Segment::Literal(first.into());
        let mut segments = vec![literal.clone()];
        segments.extend(self.segments.iter().cloned());
        let mut all = vec![Self { segments }];
        if self.segments == [Segment::Literal("".into())] {
            all.push(Self { segments: vec![literal] });
        }
        all
    }
}

fn segment(part: &str, last: bool) -> Result<Segment, TemplateError> {
    if part == "*" && last {
        return Ok(Segment::Tail);
    }
    if part.contains('*') {
        return Err(TemplateError::Star);
    }
    if part.contains(['{', '}']) {
        let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or("");
        let good = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        return if good {
            Ok(Segment::Parameter(name.into()))
        } else {
            Err(TemplateError::Parameter(part.to_owned()))
        };
    }
    if let Some(bad) = part.chars().find(|&c| !is_path_character(c)) {
        return Err(TemplateError::Byte(bad));
    }
    let undotted = part.replace("%2e", ".").replace("%2E", ".");
    if undotted == "." || undotted == ".." {
        return Err(TemplateError::Dots(part.to_owned()));
    }
    Ok(Segment::Literal(part.into()))
}

/// `pchar` of RFC 3986 section 3.3, with `%`.
fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%!$&'()+,;=:@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_templates_and_names_what_is_wrong() {
        let cases: &[(&str, Result<&[&str], TemplateError>)] = &[
            ("/", Ok(&[])),
            ("/orders/{id}", Ok(&["id"])),
            ("/a/{b}/c/{d_2}/*", Ok(&["b", "d_2", "*"])),
            ("/models/gpt-4:generate", Ok(&[])),
            ("/a//b", Ok(&[])),
            ("orders", Err(TemplateError::NoSlash)),
            ("", Err(TemplateError::NoSlash)),
            ("/a/*/b", Err(TemplateError::Star)),
            ("/a*", Err(TemplateError::Star)),
            ("/{a}/{a}", Err(TemplateError::Twice("a".into()))),
            ("/v{a}", Err(TemplateError::Parameter("v{a}".into()))),
            ("/{}", Err(TemplateError::Parameter("{}".into()))),
            ("/{1a}", Err(TemplateError::Parameter("{1a}".into()))),
            ("/{a", Err(TemplateError::Parameter("{a".into()))),
            ("/a b", Err(TemplateError::Byte(' '))),
            ("/a?b", Err(TemplateError::Byte('?'))),
            ("/\u{e4}", Err(TemplateError::Byte('\u{e4}'))),
            ("/a/../b", Err(TemplateError::Dots("..".into()))),
            ("/a/%2E", Err(TemplateError::Dots("%2E".into()))),
        ];
        for (text, expected) in cases {
            let got = PathTemplate::parse(text);
            let names =
                got.as_ref().map(|template| template.captures().collect::<Vec<_>>()).map_err(Clone::clone);
            assert_eq!(names, expected.clone().map(<[&str]>::to_vec), "{text}");
        }
    }

    #[test]
    fn bounds_hold() {
        let segments = |count: usize| "/a".repeat(count);
        assert!(PathTemplate::parse(&segments(SEGMENTS_MAX)).is_ok());
        assert_eq!(PathTemplate::parse(&segments(SEGMENTS_MAX + 1)), Err(TemplateError::TooLong));
        let captures = |count: usize| (0..count).map(|index| format!("/{{p{index}}}")).collect::<String>();
        assert!(PathTemplate::parse(&captures(CAPTURES_MAX)).is_ok());
        assert_eq!(PathTemplate::parse(&captures(CAPTURES_MAX + 1)), Err(TemplateError::TooManyCaptures));
        let long = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
        assert!(PathTemplate::parse(&long(TEMPLATE_BYTES_MAX)).is_ok());
        assert_eq!(PathTemplate::parse(&long(TEMPLATE_BYTES_MAX + 1)), Err(TemplateError::TooLong));
    }
}
