// SPDX-License-Identifier: BSD-3-Clause

//! A measured row, and the figures that are made of windows.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A row: names and figures in the order of the JSON. A figure that could not be measured is `null`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(Map<String, Value>);

impl Record {
    /// A row about `name`. The first member's key says which table the row is in.
    #[must_use]
    pub fn new(key: &str, name: impl Into<Value>) -> Record {
        Record::default().with(key, name)
    }

    /// The row with one member more, or another value of one that it has.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Record {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// A member; `null` if there is none.
    #[must_use]
    pub fn get(&self, key: &str) -> &Value {
        self.0.get(key).unwrap_or(&Value::Null)
    }

    /// A figure, if it was measured.
    #[must_use]
    pub fn figure(&self, key: &str) -> Option<f64> {
        self.get(key).as_f64()
    }

    /// The first member's key.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.keys().next().map_or("", String::as_str)
    }
}

/// The median, or `None` of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

/// The smallest and the largest, or `None` of nothing.
pub fn range(values: impl IntoIterator<Item = f64> + Clone) -> Option<[f64; 2]> {
    let least = values.clone().into_iter().min_by(f64::total_cmp)?;
    Some([least, values.into_iter().max_by(f64::total_cmp)?])
}

/// How many times as large as the reference, when both are known.
#[must_use]
pub fn over(value: Option<f64>, reference: Option<f64>) -> Option<f64> {
    value.zip(reference).map(|(value, reference)| value / reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ranges() {
        assert_eq!((median([]), range([])), (None, None));
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!((median([4.0, 1.0]), range([4.0, 1.0, 2.0])), (Some(2.5), Some([1.0, 4.0])));
    }

    #[test]
    fn members_keep_their_order_and_what_is_not_known_is_null() {
        let row = Record::new("case", "read").with("iops", 2.0).with("ratio", over(Some(2.0), None)).with("iops", 3.0);
        let text = serde_json::to_string(&row).expect("a map");
        assert_eq!(text, r#"{"case":"read","iops":3.0,"ratio":null}"#);
        assert_eq!(serde_json::from_str::<Record>(&text).ok().as_ref(), Some(&row));
        assert_eq!((row.kind(), row.figure("iops"), row.figure("ratio")), ("case", Some(3.0), None));
    }
}
