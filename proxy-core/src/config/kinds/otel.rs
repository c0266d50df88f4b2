//! The types of settings that the OpenTelemetry specification defines.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::super::setting::{Base, Kind, Shape};
use super::parts;

/// A number from 0 to 1.
pub struct Ratio;

impl Kind for Ratio {
    type Value = f64;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        "a number from 0 to 1".to_owned()
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<f64> {
        text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
    }

    fn show(value: &f64) -> Value {
        json!(value)
    }
}

/// Names with values in the format of the OpenTelemetry specification: separated by commas, values
/// percent-encoded.
pub struct Pairs;

impl Kind for Pairs {
    type Value = Vec<(String, String)>;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        "a comma-separated list of name=value pairs, with percent-encoding where a value needs it".to_owned()
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<Self::Value> {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let plain = !value.chars().any(char::is_control);
            (!name.trim().is_empty() && plain).then(|| (name.trim().to_owned(), value.into_owned()))
        };
        parts(text).map(pair).collect()
    }

    fn show(value: &Self::Value) -> Value {
        value.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn base() -> Base<'static> {
        Base { dir: Path::new("/"), home: None }
    }

    #[test]
    fn pairs_are_decoded() {
        let pairs = |text: &str| Pairs::parse(text, &base());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs(""), Some(vec![]));
        assert_eq!(
            pairs("authorization=Bearer%20a=b , x=100%,y="),
            Some(vec![pair("authorization", "Bearer a=b"), pair("x", "100%"), pair("y", "")])
        );
        for bad in ["novalue", "=value", "a=b,novalue", "a=%0d%0aevil: 1", "a=%ff"] {
            assert_eq!(pairs(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_ratio_is_a_part_of_a_whole() {
        for (text, value) in [("0", Some(0.0)), ("0.25", Some(0.25)), ("1", Some(1.0))] {
            assert_eq!(Ratio::parse(text, &base()), value);
        }
        for bad in ["", "-0.1", "1.1", "NaN", "half"] {
            assert_eq!(Ratio::parse(bad, &base()), None, "{bad}");
        }
    }
}
