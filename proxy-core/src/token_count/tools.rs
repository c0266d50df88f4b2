//! Tools as the model reads them: a namespace of TypeScript, as OpenAI's `harmony` writes it.
//!
//! <https://github.com/openai/harmony/blob/main/docs/format.md#function-calling>

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use protocol::turn::{Tool, ToolKind};

/// The namespace of tools without one.
pub(super) const FUNCTIONS: &str = "functions";

/// The section of the developer message that describes the tools, if there are any.
pub(super) fn section(tools: &[Arc<Tool>]) -> Option<String> {
    if tools.is_empty() {
        return None;
    }
    let mut out = "# Tools".to_owned();
    let mut seen = HashSet::new();
    for tool in tools {
        let name = tool.namespace_name();
        if seen.insert(name) {
            let description = tool.namespace.as_deref().map(|namespace| namespace.description.as_str());
            let members = tools.iter().filter(|tool| tool.namespace_name() == name);
            namespace(&mut out, name.unwrap_or(FUNCTIONS), description.unwrap_or_default(), members);
        }
    }
    Some(out)
}

fn namespace<'a>(
    out: &mut String,
    name: &str,
    description: &str,
    tools: impl Iterator<Item = &'a Arc<Tool>>,
) {
    out.push_str(&format!("\n\n## {name}\n\n"));
    comment(out, "", description);
    out.push_str(&format!("namespace {name} {{\n\n"));
    for tool in tools {
        let definition = &tool.definition;
        comment(out, "", definition["description"].as_str().unwrap_or_default());
        match tool.kind {
            ToolKind::Custom => {
                comment(out, "", definition["format"]["definition"].as_str().unwrap_or_default());
                out.push_str(&format!("type {} = (FREEFORM) => any;\n\n", tool.name));
            }
            ToolKind::Function if definition["parameters"].is_object() => {
                let parameters = type_of(&definition["parameters"], "");
                out.push_str(&format!("type {} = (_: {parameters}) => any;\n\n", tool.name));
            }
            ToolKind::Function => out.push_str(&format!("type {} = () => any;\n\n", tool.name)),
        }
    }
    out.push_str(&format!("}} // namespace {name}"));
}

/// The type of the values that a schema allows.
fn type_of(schema: &Value, indent: &str) -> String {
    if let Some(variants) = variants(schema) {
        let deeper = format!("{indent}   ");
        return variants.iter().fold(String::new(), |mut out, variant| {
            out.push_str(&format!("\n{indent} | {}{}", nullable(variant, &deeper), remarks(variant, None)));
            out
        });
    }
    match &schema["type"] {
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).map(plain).collect::<Vec<_>>().join(" | ")
        }
        Value::String(kind) => match kind.as_str() {
            "object" => object(schema, indent),
            "array" if schema["items"].is_null() => "Array<any>".to_owned(),
            "array" => format!("{}[]", type_of(&schema["items"], indent)),
            "string" => values(schema).unwrap_or_else(|| "string".to_owned()),
            kind @ ("number" | "integer" | "boolean") => plain(kind).to_owned(),
            _ => "any".to_owned(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any".to_owned(),
    }
}

fn plain(kind: &str) -> &str {
    if kind == "integer" { "number" } else { kind }
}

fn object(schema: &Value, indent: &str) -> String {
    let mut out = String::new();
    comment(&mut out, indent, schema["description"].as_str().unwrap_or_default());
    out.push_str("{\n");
    let required: HashSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let mark = if required.contains(name.as_str()) { "" } else { "?" };
        if let Some(title) = property["title"].as_str() {
            out.push_str(&format!("{indent}// {title}\n{indent}//\n"));
        }
        comment(&mut out, indent, property["description"].as_str().unwrap_or_default());
        examples(&mut out, indent, property);
        match variants(property) {
            Some(variants) => {
                if let Some(default) = default(property) {
                    out.push_str(&format!("{indent}// {default}\n"));
                }
                out.push_str(&format!("{indent}{name}{mark}:\n"));
                let deeper = format!("{indent}   ");
                for variant in variants {
                    let remarks = remarks(variant, property["description"].as_str());
                    out.push_str(&format!("{indent} | {}{remarks}\n", nullable(variant, &deeper)));
                }
                out.push_str(&format!("{indent},\n"));
            }
            None => {
                let kind = nullable(property, &format!("{indent}    "));
                let default = default(property).map_or(String::new(), |default| format!(" // {default}"));
                out.push_str(&format!("{indent}{name}{mark}: {kind},{default}\n"));
            }
        }
    }
    out.push_str(&format!("{indent}}}"));
    out
}

fn nullable(schema: &Value, indent: &str) -> String {
    let kind = type_of(schema, indent);
    match schema["nullable"] == true && !kind.contains("null") {
        true => kind + " | null",
        false => kind,
    }
}

/// The schemas of which one has to fit. The format says nothing of `anyOf`, which means nearly the same.
fn variants(schema: &Value) -> Option<&Vec<Value>> {
    schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array())
}

/// What is said of a variant behind it. `known` has been said already.
fn remarks(variant: &Value, known: Option<&str>) -> String {
    let description = variant["description"].as_str().filter(|text| Some(*text) != known).map(str::to_owned);
    let remarks: Vec<String> = description.into_iter().chain(default(variant)).collect();
    if remarks.is_empty() { String::new() } else { format!(" // {}", remarks.join(" ")) }
}

fn default(schema: &Value) -> Option<String> {
    match schema.get("default")? {
        Value::String(text) if values(schema).is_none() => Some(format!("default: \"{text}\"")),
        Value::String(text) => Some(format!("default: {text}")),
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Some(format!("default: {value}"))
        }
    }
}

/// The texts that a schema allows, if it lists them.
fn values(schema: &Value) -> Option<String> {
    let texts = schema["enum"].as_array()?.iter().filter_map(Value::as_str);
    let texts: Vec<String> = texts.map(|text| format!("\"{text}\"")).collect();
    (!texts.is_empty()).then(|| texts.join(" | "))
}

fn examples(out: &mut String, indent: &str, property: &Value) {
    let Some(examples) = property["examples"].as_array().filter(|examples| !examples.is_empty()) else {
        return;
    };
    out.push_str(&format!("{indent}// Examples:\n"));
    for example in examples.iter().filter_map(Value::as_str) {
        out.push_str(&format!("{indent}// - \"{example}\"\n"));
    }
}

/// A comment for each line of a text.
fn comment(out: &mut String, indent: &str, text: &str) {
    text.lines().for_each(|line| out.push_str(&format!("{indent}// {line}\n")));
}
