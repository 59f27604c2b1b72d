//! Filters as `status>=500 route=orders latency_ms>100 path~/orders`.
//!
//! A name is a field of the contract, a part of a nested one (`limit.name`, `stages.limit.verdict`),
//! or a duration in ms (`latency_ms`, `upstream_ms`). Knows fields; must not know rings.

use std::str::FromStr;

use penstock_analytics::{Call, FIELDS, Field};
use serde_json::Value;

/// One condition on a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    /// The field and, for a nested one, the way into it.
    path: Vec<String>,
    divisor: f64,
    operator: Operator,
    text: String,
    number: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
    Above,
    Below,
    Contains,
    ContainsNot,
}

/// Longer ones first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Operator); 8] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("!=", Operator::NotEqual),
    ("!~", Operator::ContainsNot),
    ("=", Operator::Equal),
    (">", Operator::Above),
    ("<", Operator::Below),
    ("~", Operator::Contains),
];

impl FromStr for Filter {
    type Err = String;

    fn from_str(filter: &str) -> Result<Filter, String> {
        let at = filter
            .find(['=', '<', '>', '~', '!'])
            .ok_or_else(|| format!("{filter:?} has no operator (one of = != > >= < <= ~ !~)"))?;
        let (name, rest) = filter.split_at(at);
        let (symbol, operator) = *OPERATORS
            .iter()
            .find(|(symbol, _)| rest.starts_with(symbol))
            .ok_or_else(|| format!("{filter:?} has no operator (one of = != > >= < <= ~ !~)"))?;
        let text = rest[symbol.len()..].to_owned();
        let number = text.parse::<f64>().ok();
        let (path, divisor) = path_of(name)?;
        let orders =
            matches!(operator, Operator::AtLeast | Operator::AtMost | Operator::Above | Operator::Below);
        if orders && number.is_none() && name != "time" {
            return Err(format!("{filter:?}: {symbol} needs a number, not {text:?}"));
        }
        Ok(Filter { path, divisor, operator, text, number })
    }
}

/// The field behind a name, and what its value is divided by.
fn path_of(name: &str) -> Result<(Vec<String>, f64), String> {
    let (name, divisor) = match name.strip_suffix("_ms") {
        Some("latency") => ("duration_us".to_owned(), 1e3),
        Some(stem) => (format!("{stem}_us"), 1e3),
        None if name == "latency_us" => ("duration_us".to_owned(), 1.0),
        None => (name.to_owned(), 1.0),
    };
    let path: Vec<String> = name.split('.').map(str::to_owned).collect();
    if path.first().is_some_and(|field| FIELDS.contains(&field.as_str())) {
        Ok((path, divisor))
    } else {
        Err(format!("no field {name:?}; there are {}", FIELDS.join(" ")))
    }
}

impl Filter {
    /// Whether the condition holds. Case counts.
    pub(crate) fn holds(&self, call: &Call<'_>) -> bool {
        let mut value = match call.field(&self.path[0]) {
            Field::Absent => Value::Null,
            Field::Number(number) => number.into(),
            Field::Fraction(number) => number.into(),
            Field::Text(text) => Value::String(text.into_owned()),
            Field::Nested(value) => value,
        };
        for step in &self.path[1..] {
            value = value.get_mut(step).map_or(Value::Null, Value::take);
        }
        self.compare(&value)
    }

    fn compare(&self, value: &Value) -> bool {
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let number = value.as_f64().map(|number| number / self.divisor);
        let order = match (number, self.number) {
            (Some(held), Some(asked)) => held.partial_cmp(&asked),
            _ if value.is_string() => Some(text.as_str().cmp(&self.text)),
            _ => None,
        };
        match self.operator {
            Operator::Equal => order.map_or(text == self.text, |order| order.is_eq()),
            Operator::NotEqual => order.map_or(text != self.text, |order| order.is_ne()),
            Operator::AtLeast => order.is_some_and(|order| order.is_ge()),
            Operator::AtMost => order.is_some_and(|order| order.is_le()),
            Operator::Above => order.is_some_and(|order| order.is_gt()),
            Operator::Below => order.is_some_and(|order| order.is_lt()),
            Operator::Contains => text.contains(&self.text),
            Operator::ContainsNot => !text.contains(&self.text),
        }
    }
}

/// Whether all conditions hold.
pub(crate) fn all_hold(filters: &[Filter], call: &Call<'_>) -> bool {
    filters.iter().all(|filter| filter.holds(call))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_on_numbers_texts_and_nothing() {
        for (filter, value, holds) in [
            ("status>=500", json!(500), true),
            ("status>=500", json!(499), false),
            ("status>=500", Value::Null, false),
            ("status!=200", Value::Null, true),
            ("status=200", json!(200), true),
            ("latency_ms>100", json!(100_001), true),
            ("latency_ms>100", json!(100_000), false),
            ("latency_us<=5", json!(5), true),
            ("policy_us<2", json!(1.5), true),
            ("route=orders", json!("orders"), true),
            ("route=orders", json!("orders2"), false),
            ("route=", Value::Null, true),
            ("path~/orders", json!("/v1/orders/7"), true),
            ("path!~/orders", json!("/v1/cart"), true),
            ("tags~team=blue", json!("team=blue,env=x"), true),
            ("time>=2026-11-24T08", json!("2026-11-24T08:01:00.000000000Z"), true),
            ("limit.name=per-app", json!("per-app"), true),
        ] {
            let parsed: Filter = filter.parse().expect(filter);
            assert_eq!(parsed.compare(&value), holds, "{filter} on {value}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (filter, told) in [
            ("status", "no operator"),
            ("statu=5", "no field \"statu\""),
            ("status>=abc", "needs a number"),
            ("foo_ms>1", "no field \"foo_us\""),
            ("status!5", "no operator"),
        ] {
            let error = filter.parse::<Filter>().expect_err(filter);
            assert!(error.contains(told), "{filter}: {error}");
        }
    }
}
