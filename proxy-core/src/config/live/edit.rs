//! Edits `config.toml` and keeps the comments and the formatting of the person.

use serde_json::Value as Json;
use toml_edit::{Array, DocumentMut, Item, Value};

use crate::config::setting::Shape;

/// The value of a setting in TOML: numbers and booleans as such, a list as an array, all else as it was written.
pub(super) fn toml_value(shape: Shape, text: &str, shown: &Json) -> Value {
    match (shape, shown) {
        (Shape::Boolean, Json::Bool(value)) => (*value).into(),
        (Shape::Integer, Json::Number(number)) => number.as_i64().map_or_else(|| text.into(), Value::from),
        (Shape::List, _) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::Array(parts.collect::<Array>())
        }
        (Shape::Boolean | Shape::Integer | Shape::String, _) => text.into(),
    }
}

/// Sets a key. The comments before and after it are kept.
pub(super) fn set(document: &mut DocumentMut, key: &str, mut value: Value) {
    match document.get_mut(key) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        Some(Item::None | Item::Table(_) | Item::ArrayOfTables(_)) | None => {
            document.insert(key, Item::Value(value));
        }
    }
}

/// Removes a key. The comments before it are kept, because they may belong to the next key.
pub(super) fn remove(document: &mut DocumentMut, key: &str) {
    let comments = document.key(key).and_then(|key| key.leaf_decor().prefix()?.as_str()).unwrap_or_default();
    let comments = if comments.contains('#') { comments.to_owned() } else { String::new() };
    let next = document.iter().skip_while(|(name, _)| *name != key).nth(1).map(|(name, _)| name.to_owned());
    document.remove(key);
    if comments.is_empty() {
        return;
    }
    let next = next.and_then(|next| {
        document.key_mut(&next).map(|mut key| {
            let behind =
                key.leaf_decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned();
            key.leaf_decor_mut().set_prefix(format!("{comments}{behind}"));
        })
    });
    if next.is_none() {
        let behind = document.trailing().as_str().unwrap_or_default().to_owned();
        document.set_trailing(format!("{comments}{behind}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, change: impl FnOnce(&mut DocumentMut), after: &str) {
        let mut document: DocumentMut = before.parse().unwrap();
        change(&mut document);
        assert_eq!(document.to_string(), after);
    }

    #[test]
    fn a_value_changes_where_it_stands() {
        check(
            "# mine\nport = 1 # why\n\n# other\nhost = \"::1\"\n",
            |document| set(document, "port", 2.into()),
            "# mine\nport = 2 # why\n\n# other\nhost = \"::1\"\n",
        );
        check("", |document| set(document, "env", "dev".into()), "env = \"dev\"\n");
        check("# only this\n", |document| set(document, "a", 1.into()), "a = 1\n# only this\n");
    }

    #[test]
    fn comments_outlive_their_key() {
        check(
            "# head\n\n# of the port\nport = 1\nhost = \"::1\"\n",
            |document| remove(document, "port"),
            "# head\n\n# of the port\nhost = \"::1\"\n",
        );
        check("# head\nport = 1\n# tail\n", |document| remove(document, "port"), "# head\n# tail\n");
        check("a = 1\nb = 2\n", |document| remove(document, "nobody"), "a = 1\nb = 2\n");
    }

    #[test]
    fn values_have_the_types_of_their_settings() {
        for (shape, text, shown, expected) in [
            (Shape::Boolean, "yes", Json::Bool(true), "true"),
            (Shape::Integer, "80", 80.into(), "80"),
            (Shape::String, "~/x", "/home/x".into(), "\"~/x\""),
            (Shape::List, "a, b", Json::Null, "[\"a\", \"b\"]"),
        ] {
            assert_eq!(toml_value(shape, text, &shown).to_string().trim(), expected);
        }
    }
}
