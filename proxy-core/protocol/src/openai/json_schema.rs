//! Whether a value is a JSON Schema: its keywords have the types that the specification gives them.
//!
//! The rules are those of the meta-schemas of drafts 4, 6 and 7, 2019-09 and 2020-12 (<https://json-schema.org>).
//! `format` and its kin are annotations, so patterns and addresses are not checked: the code that uses them checks
//! them.

#[cfg(test)]
mod tests;

use std::fmt::{self, Display};

use serde_json::{Map, Value};

use super::read::excerpt;

/// Why a value is not a JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// The place, as a JSON Pointer; empty for the schema itself.
    pub at: String,
    /// What is expected at this place.
    pub wanted: &'static str,
}

impl Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.as_str() {
            "" => write!(f, "this is no valid JSON Schema: it has to be {}", self.wanted),
            at => {
                write!(f, "this is no valid JSON Schema: '{}' has to be {}", excerpt(at), self.wanted)
            }
        }
    }
}

type Result<T> = std::result::Result<T, SchemaError>;

/// Checks a schema by the dialect that it names, or else by 2020-12.
///
/// # Errors
/// Names the first place that breaks the rules.
pub fn check(schema: &Value) -> Result<()> {
    let named = schema.get("$schema").and_then(Value::as_str).and_then(dialect_of);
    Checker { dialect: named.unwrap_or(D2020), path: Vec::new() }.schema(schema)
}

/// A dialect is a bit, so that a rule can name its dialects.
type Dialect = u8;

const D4: Dialect = 1;
const D6: Dialect = 2;
const D7: Dialect = 4;
const D2019: Dialect = 8;
const D2020: Dialect = 16;
const FROM_6: Dialect = D6 | D7 | D2019 | D2020;
const FROM_7: Dialect = D7 | D2019 | D2020;
const FROM_2019: Dialect = D2019 | D2020;
const TO_7: Dialect = D4 | D6 | D7;
const TO_2019: Dialect = TO_7 | D2019;
const ALL: Dialect = TO_2019 | D2020;

/// The published dialect of this address; unknown addresses count as annotations.
fn dialect_of(address: &str) -> Option<Dialect> {
    let address = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"))?;
    match address.trim_end_matches('#').strip_prefix("json-schema.org/")? {
        "draft-04/schema" => Some(D4),
        "draft-06/schema" => Some(D6),
        "draft-07/schema" => Some(D7),
        "draft/2019-09/schema" => Some(D2019),
        "draft/2020-12/schema" => Some(D2020),
        _ => None,
    }
}

/// The required form of a keyword's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Anchor(Underscore),
    Count,
    Flag,
    FlagMap,
    FlagOrSchema,
    /// An address without a fragment.
    Identifier,
    List,
    Number,
    PositiveNumber,
    Schema,
    SchemaMap,
    SchemaOrNames,
    SchemaOrSchemas,
    Schemas,
    Names,
    NamesMap,
    /// An integer of at least one.
    SomeNames,
    Text,
    Types,
}

/// Whether an anchor may begin with an underscore, and must not contain a colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Underscore {
    First,
    Never,
}

const RULES: [(&str, Dialect, Rule); 70] = [
    ("$anchor", D2019, Rule::Anchor(Underscore::Never)),
    ("$anchor", D2020, Rule::Anchor(Underscore::First)),
    ("$comment", FROM_7, Rule::Text),
    ("$defs", FROM_2019, Rule::SchemaMap),
    ("$dynamicAnchor", D2020, Rule::Anchor(Underscore::First)),
    ("$dynamicRef", D2020, Rule::Text),
    ("$id", D6 | D7, Rule::Text),
    ("$id", FROM_2019, Rule::Identifier),
    ("$recursiveAnchor", D2019, Rule::Flag),
    ("$recursiveAnchor", D2020, Rule::Anchor(Underscore::First)),
    ("$recursiveRef", FROM_2019, Rule::Text),
    ("$ref", FROM_6, Rule::Text),
    ("$schema", ALL, Rule::Text),
    ("$vocabulary", FROM_2019, Rule::FlagMap),
    ("additionalItems", D4, Rule::FlagOrSchema),
    ("additionalItems", D6 | D7 | D2019, Rule::Schema),
    ("additionalProperties", D4, Rule::FlagOrSchema),
    ("additionalProperties", FROM_6, Rule::Schema),
    ("allOf", ALL, Rule::Schemas),
    ("anyOf", ALL, Rule::Schemas),
    ("contains", FROM_6, Rule::Schema),
    ("contentEncoding", FROM_7, Rule::Text),
    ("contentMediaType", FROM_7, Rule::Text),
    ("contentSchema", FROM_2019, Rule::Schema),
    ("definitions", ALL, Rule::SchemaMap),
    ("dependencies", ALL, Rule::SchemaOrNames),
    ("dependentRequired", FROM_2019, Rule::NamesMap),
    ("dependentSchemas", FROM_2019, Rule::SchemaMap),
    ("deprecated", FROM_2019, Rule::Flag),
    ("description", ALL, Rule::Text),
    ("else", FROM_7, Rule::Schema),
    ("enum", ALL, Rule::List),
    ("examples", FROM_6, Rule::List),
    ("exclusiveMaximum", D4, Rule::Flag),
    ("exclusiveMaximum", FROM_6, Rule::Number),
    ("exclusiveMinimum", D4, Rule::Flag),
    ("exclusiveMinimum", FROM_6, Rule::Number),
    ("format", ALL, Rule::Text),
    ("id", D4, Rule::Text),
    ("if", FROM_7, Rule::Schema),
    ("items", TO_2019, Rule::SchemaOrSchemas),
    ("items", D2020, Rule::Schema),
    ("maxContains", FROM_2019, Rule::Count),
    ("maxItems", ALL, Rule::Count),
    ("maxLength", ALL, Rule::Count),
    ("maxProperties", ALL, Rule::Count),
    ("maximum", ALL, Rule::Number),
    ("minContains", FROM_2019, Rule::Count),
    ("minItems", ALL, Rule::Count),
    ("minLength", ALL, Rule::Count),
    ("minProperties", ALL, Rule::Count),
    ("minimum", ALL, Rule::Number),
    ("multipleOf", ALL, Rule::PositiveNumber),
    ("not", ALL, Rule::Schema),
    ("oneOf", ALL, Rule::Schemas),
    ("pattern", ALL, Rule::Text),
    ("patternProperties", ALL, Rule::SchemaMap),
    ("prefixItems", D2020, Rule::Schemas),
    ("properties", ALL, Rule::SchemaMap),
    ("propertyNames", FROM_6, Rule::Schema),
    ("readOnly", FROM_7, Rule::Flag),
    ("required", D4, Rule::SomeNames),
    ("required", FROM_6, Rule::Names),
    ("then", FROM_7, Rule::Schema),
    ("title", ALL, Rule::Text),
    ("type", ALL, Rule::Types),
    ("unevaluatedItems", FROM_2019, Rule::Schema),
    ("unevaluatedProperties", FROM_2019, Rule::Schema),
    ("uniqueItems", ALL, Rule::Flag),
    ("writeOnly", FROM_7, Rule::Flag),
];

const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];
const A_SCHEMA: &str = "an object or a boolean";
const ITS_TYPES: &str =
    "'array', 'boolean', 'integer', 'null', 'number', 'object', 'string', or a list of them, each once";

struct Checker<'a> {
    dialect: Dialect,
    /// The members and indices on the path to the present place.
    path: Vec<Step<'a>>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Member(&'a str),
    Index(usize),
}

impl<'a> Checker<'a> {
    fn schema(&mut self, value: &'a Value) -> Result<()> {
        let members = match value {
            Value::Object(members) => members,
            Value::Bool(_) if self.dialect != D4 => return Ok(()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return self.is(false, if self.dialect == D4 { "an object" } else { A_SCHEMA });
            }
        };
        for (name, value) in members {
            let rule = RULES.iter().find(|(keyword, of, _)| keyword == name && of & self.dialect != 0);
            if let Some((.., rule)) = rule {
                self.inside(Step::Member(name), |checker| checker.keyword(*rule, value))?;
            }
        }
        if self.dialect == D4 {
            for (flag, bound) in [("exclusiveMaximum", "maximum"), ("exclusiveMinimum", "minimum")] {
                self.is(
                    !members.contains_key(flag) || members.contains_key(bound),
                    "an object in which 'exclusiveMaximum' and 'exclusiveMinimum' have their bound beside them",
                )?;
            }
        }
        Ok(())
    }

    fn keyword(&mut self, rule: Rule, value: &'a Value) -> Result<()> {
        match rule {
            Rule::Schema => self.schema(value),
            Rule::FlagOrSchema if value.is_boolean() => Ok(()),
            Rule::FlagOrSchema => self.schema(value),
            Rule::SchemaMap => self.each_member(value, Self::schema),
            Rule::SchemaOrNames => self.each_member(value, |checker, value| match value {
                Value::Array(_) if checker.dialect == D4 => checker.keyword(Rule::SomeNames, value),
                Value::Array(_) => checker.keyword(Rule::Names, value),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    checker.schema(value)
                }
            }),
            Rule::SchemaOrSchemas if value.is_array() => self.schemas(value),
            Rule::SchemaOrSchemas => self.schema(value),
            Rule::Schemas => self.schemas(value),
            Rule::NamesMap => self.each_member(value, |checker, value| checker.keyword(Rule::Names, value)),
            Rule::FlagMap => self.each_member(value, |checker, value| checker.keyword(Rule::Flag, value)),
            Rule::Names => self.is(are_names(value), "a list of texts, each once"),
            Rule::SomeNames => {
                self.is(are_names(value) && !is_empty(value), "a list of one or more texts, each once")
            }
            Rule::Types => self.is(is_type(value) || are_types(value), ITS_TYPES),
            Rule::Text => self.is(value.is_string(), "a text"),
            Rule::Identifier => self.is(
                value.as_str().is_some_and(|text| text.find('#').is_none_or(|at| at + 1 == text.len())),
                "an address without a fragment",
            ),
            Rule::Anchor(underscore) => self.is(
                value.as_str().is_some_and(|text| is_anchor(text, underscore)),
                "a letter, and letters, digits, '-', '_' and '.' after it",
            ),
            Rule::Flag => self.is(value.is_boolean(), "a boolean"),
            Rule::List => self.is(value.is_array(), "a list"),
            Rule::Number => self.is(value.is_number(), "a number"),
            Rule::PositiveNumber => {
                self.is(value.as_f64().is_some_and(|number| number > 0.0), "a number greater than 0")
            }
            Rule::Count => self.is(is_count(value), "a whole number that is not negative"),
        }
    }

    fn schemas(&mut self, value: &'a Value) -> Result<()> {
        let Some(schemas) = value.as_array().filter(|schemas| !schemas.is_empty()) else {
            return self.is(false, "a list of one or more schemas");
        };
        schemas
            .iter()
            .enumerate()
            .try_for_each(|(index, schema)| self.inside(Step::Index(index), |checker| checker.schema(schema)))
    }

    fn each_member(
        &mut self,
        value: &'a Value,
        check: impl Fn(&mut Self, &'a Value) -> Result<()>,
    ) -> Result<()> {
        let members: Option<&'a Map<String, Value>> = value.as_object();
        let Some(members) = members else { return self.is(false, "an object") };
        members
            .iter()
            .try_for_each(|(name, value)| self.inside(Step::Member(name), |checker| check(checker, value)))
    }

    fn inside(&mut self, step: Step<'a>, check: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.path.push(step);
        check(self)?;
        self.path.pop();
        Ok(())
    }

    fn is(&self, holds: bool, wanted: &'static str) -> Result<()> {
        if holds {
            return Ok(());
        }
        let step = |step: &Step<'_>| match step {
            Step::Member(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => format!("/{index}"),
        };
        Err(SchemaError { at: self.path.iter().map(step).collect(), wanted })
    }
}

fn is_type(value: &Value) -> bool {
    value.as_str().is_some_and(|name| TYPES.contains(&name))
}

fn are_types(value: &Value) -> bool {
    are_names(value) && !is_empty(value) && value.as_array().is_some_and(|names| names.iter().all(is_type))
}

fn are_names(value: &Value) -> bool {
    let Some(names) = value.as_array() else { return false };
    let mut sorted: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len() == names.len()
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// A whole number may be written with a fraction: `2.0`.
fn is_count(value: &Value) -> bool {
    value.is_u64() || value.as_f64().is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
}

fn is_anchor(text: &str, underscore: Underscore) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || (underscore == Underscore::First && byte == b'_');
    let is_next = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || b"-._".contains(&byte)
            || (underscore == Underscore::Never && byte == b':')
    };
    text.bytes().next().is_some_and(is_first) && text.bytes().skip(1).all(is_next)
}
