//! Function calls as `<use_tool>` blocks, the text that Obsidian Copilot 3.1 and older parse.

use serde_json::{Map, Value};

/// A call as a block: the name and each argument as an element, strings raw and other values as JSON.
///
/// Nothing is escaped, because those clients unescape nothing. Arguments that cannot be written as elements (no
/// JSON object, or a name no element can have) go into one `<input>` as they are.
pub(super) fn use_tool_block(name: &str, arguments: &str) -> String {
    let mut block = format!("<use_tool>\n<name>{name}</name>\n");
    match members(arguments) {
        Some(members) => {
            for (name, value) in members {
                let value = match value {
                    Value::String(text) => text,
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                        value.to_string()
                    }
                };
                push_element(&mut block, &name, &value);
            }
        }
        None if arguments.is_empty() => {}
        None => push_element(&mut block, "input", arguments),
    }
    block.push_str("</use_tool>");
    block
}

fn members(arguments: &str) -> Option<Map<String, Value>> {
    let members: Map<String, Value> = serde_json::from_str(arguments).ok()?;
    members.keys().all(|name| is_element_name(name)).then_some(members)
}

fn is_element_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '$'))
}

fn push_element(block: &mut String, name: &str, value: &str) {
    for piece in ["<", name, ">", value, "</", name, ">\n"] {
        block.push_str(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_elements_in_their_order() {
        for (arguments, expected) in [
            (
                r#"{"query":"piano","salientTerms":["piano"]}"#,
                "<query>piano</query>\n<salientTerms>[\"piano\"]</salientTerms>\n",
            ),
            (r#"{"z":1.50,"a":null,"m":{"k":"v"}}"#, "<z>1.5</z>\n<a>null</a>\n<m>{\"k\":\"v\"}</m>\n"),
            (r#"{"text":"a < b & \"c\"\nd"}"#, "<text>a < b & \"c\"\nd</text>\n"),
            ("{}", ""),
            ("", ""),
            ("[1]", "<input>[1]</input>\n"),
            ("{\"cut\":", "<input>{\"cut\":</input>\n"),
            (r#"{"not a name":1}"#, "<input>{\"not a name\":1}</input>\n"),
            (r#"{"":1}"#, "<input>{\"\":1}</input>\n"),
        ] {
            let expected = format!("<use_tool>\n<name>localSearch</name>\n{expected}</use_tool>");
            assert_eq!(use_tool_block("localSearch", arguments), expected, "{arguments}");
        }
    }
}
