//! The parts that both surfaces have in nearly the same form: message parts, function tools, JSON schemas.

mod files;
pub mod images;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::error::{RequestError, RequestErrorKind};
use super::read::{Node, excerpt};
use super::{Context, json_schema};
use crate::turn::{AnswerForm, Part, Turn, estimate_tokens, schema};

type Result<T> = std::result::Result<T, RequestError>;

/// Clients write Base64 with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads a message's `content`: a string, or parts of either surface's types.
///
/// The parameter of each image is added to `images`.
///
/// # Errors
/// Names the part that is malformed or cannot be given to the model.
pub fn parts(content: &Node<'_>, images: &mut Vec<String>) -> Result<Vec<Part>> {
    if let Value::String(text) = content.value {
        return Ok(vec![Part::Text(text.clone())]);
    }
    if !content.value.is_array() {
        return Err(content.wrong_type("a string or an array of content parts"));
    }
    content.array()?.iter().map(|node| part(node, images)).collect()
}

fn part(node: &Node<'_>, images: &mut Vec<String>) -> Result<Part> {
    let object = node.object()?;
    let kind = object.req("type")?;
    match kind.string()? {
        "input_text" | "output_text" | "text" => Ok(Part::Text(object.req("text")?.string()?.to_owned())),
        "refusal" => Ok(Part::Text(object.req("refusal")?.string()?.to_owned())),
        "input_image" => {
            if object.opt("file_id").is_some() && object.opt("image_url").is_none() {
                return Err(object.req("file_id")?.unsupported(
                    "Uploaded files are not available here. Send the image in 'image_url' as a data URL.",
                ));
            }
            images::read(&object.req("image_url")?, object.opt("detail"), images)
        }
        "image_url" => {
            let wrapped = object.req("image_url")?;
            if wrapped.value.is_string() {
                return images::read(&wrapped, object.opt("detail"), images);
            }
            let inner = wrapped.object()?;
            images::read(&inner.req("url")?, inner.opt("detail"), images)
        }
        "input_file" => files::read(&object),
        "file" => files::read(&object.req("file")?.object()?),
        other @ ("input_audio" | "input_video") => {
            Err(kind
                .unsupported(format!("'{other}' parts are not supported: Codex takes text and images only.")))
        }
        other => Err(kind.invalid(format!(
            "'{}' is no content part; use 'input_text', 'output_text', 'text', 'refusal', 'input_image', \
             'image_url', 'input_file' or 'file'",
            excerpt(other)
        ))),
    }
}

struct DataUrl {
    media_type: String,
    bytes: Vec<u8>,
}

impl DataUrl {
    fn parse(url: &str) -> std::result::Result<Self, String> {
        let rest = url.get(5..).unwrap_or_default();
        let (meta, payload) = rest.split_once(',').ok_or("the data URL has no comma before its data")?;
        let mut fields = meta.split(';').map(str::trim);
        let media_type = fields.next().unwrap_or_default().to_ascii_lowercase();
        if !fields.any(|field| field.eq_ignore_ascii_case("base64")) {
            return Err("the data URL is not Base64 (`;base64,` is missing)".into());
        }
        let bytes = BASE64.decode(payload).map_err(|error| format!("its Base64 is broken ({error})"))?;
        Ok(Self { media_type, bytes })
    }
}

/// Reads a name of a schema: 1 to 64 letters, digits, `_` and `-`.
///
/// # Errors
/// Describes the allowed names.
pub fn name(node: &Node<'_>) -> Result<String> {
    let text = node.string()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
        return Err(node.invalid(format!(
            "'{}' is no name; use 1 to 64 letters, digits, underscores and hyphens",
            excerpt(text)
        )));
    }
    Ok(text.to_owned())
}

/// Checks that a value is a JSON Schema.
///
/// # Errors
/// Names the place where the schema breaks the JSON Schema specification.
pub fn check_schema(node: &Node<'_>) -> Result<()> {
    node.object()?;
    json_schema::check(node.value).map_err(|error| node.invalid(error.to_string()))
}

/// The form of the answer that a response format requires.
#[derive(Debug, Default)]
pub struct AnswerFormat {
    /// The schema that is sent to the model, if it has a strict form.
    pub schema: Option<Value>,
    /// The form in which the client gets the text.
    pub form: AnswerForm,
}

impl AnswerFormat {
    /// Any JSON: only the client's own prompt can instruct the model.
    pub fn json() -> Self {
        Self { schema: None, form: AnswerForm::Json }
    }

    /// Instances of a schema. One that has no strict form does not go to the model: then `schema` is `None`.
    ///
    /// # Errors
    /// Names the place where the schema breaks the JSON Schema specification.
    pub fn of_schema(node: &Node<'_>) -> Result<Self> {
        check_schema(node)?;
        let Some(fitted) = schema::fit(node.value) else { return Ok(Self::json()) };
        let form = fitted.mapping.map_or(AnswerForm::Free, AnswerForm::Mapped);
        Ok(Self { schema: Some(fitted.schema), form })
    }
}

/// Refuses a prompt that cannot fit the model: the model would refuse it too, and Codex would shorten it first.
///
/// OpenAI's tokenizers make at least about one token of five characters of ordinary text. A prompt that is nearer
/// to the window is left to the upstream to judge.
fn check_window(turn: &Turn, chars: u64, context: &Context<'_>) -> Result<()> {
    const MOST_CHARS_A_TOKEN: u64 = 5;
    let window = context.catalogue.get(&turn.spec.model).and_then(|model| model.context_window);
    let Some(window) = window.filter(|window| chars / MOST_CHARS_A_TOKEN > *window) else { return Ok(()) };
    Err(RequestError {
        kind: RequestErrorKind::ContextLengthExceeded,
        message: format!(
            "The conversation has about {} tokens ({chars} characters), but the model '{}' takes at most {window}. \
             Shorten it.",
            estimate_tokens(chars),
            excerpt(&turn.spec.model)
        ),
        param: None,
    })
}

/// Refuses a prompt that does not fit the model or is over the operator's cap.
///
/// # Errors
/// `ContextLengthExceeded` or `PromptTooLong`, with the estimate and the limit.
pub fn check_prompt(turn: &Turn, context: &Context<'_>) -> Result<()> {
    let chars = turn.prompt_chars();
    check_window(turn, chars, context)?;
    let cap = context.config.max_prompt_tokens;
    let tokens = estimate_tokens(chars);
    if cap == 0 || tokens <= cap {
        return Ok(());
    }
    Err(RequestError {
        kind: RequestErrorKind::PromptTooLong,
        message: format!(
            "The prompt has about {tokens} tokens, but this proxy takes at most {cap}. Shorten the conversation, \
             or raise PROXY_MAX_PROMPT_TOKENS."
        ),
        param: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::openai::{Config, Environment};
    use crate::turn::{Catalogue, Image, ImageLoad, Item, OutputMode, Role};

    #[test]
    fn the_prompt_cap_counts_everything_and_names_the_figures() {
        let mut turn = Turn::new("m");
        turn.spec.base_instructions = Some("x".repeat(20));
        turn.items.push(Item::Message {
            role: Role::User,
            content: vec![Part::Text("y".repeat(21))],
            phase: None,
        });
        for (cap, refused) in [(0, false), (11, false), (10, true)] {
            let config = Config {
                environment: Environment::Prod,
                default_model: "m".into(),
                ignore_client_system_prompt: true,
                strict_params: false,
                model_fallback: true,
                max_prompt_tokens: cap,
                responses_default_max_tokens: 0,
                chat_output_mode: OutputMode::OpenaiJson,
                responses_output_mode: OutputMode::OpenaiJson,
            };
            let catalogue = Catalogue::default();
            let context = Context {
                config: &config,
                catalogue: &catalogue,
                output_mode: None,
                id: "1",
                now: 7,
                continued: None,
                stores: true,
            };
            let error = check_prompt(&turn, &context).err();
            assert_eq!(error.is_some(), refused, "{cap}");
            if let Some(error) = error {
                assert_eq!(error.kind, RequestErrorKind::PromptTooLong);
                assert!(error.message.contains("about 11 tokens"), "{}", error.message);
                assert!(error.message.contains("at most 10"), "{}", error.message);
            }
        }
    }

    fn read(content: &Value) -> (Result<Vec<Part>>, Vec<String>) {
        let body = json!({ "content": content });
        let root = Node::root(&body).object().unwrap();
        let mut images = Vec::new();
        let parts = parts(&root.req("content").unwrap(), &mut images);
        (parts, images)
    }

    fn check(content: &Value, param: &str, words: &str) {
        let error = read(content).0.unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{content}");
        assert!(error.message.contains(words), "{content}: {}", error.message);
    }

    #[test]
    fn parts_of_both_surfaces_are_read() {
        let (parts, images) = read(&json!([
            {"type": "input_text", "text": "a"},
            {"type": "text", "text": "b"},
            {"type": "output_text", "text": "c", "annotations": []},
            {"type": "refusal", "refusal": "d"},
            {"type": "input_image", "image_url": images::PIXEL, "detail": "low"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": null}},
            {"type": "input_file", "filename": "a.md", "file_data": "data:text/markdown;base64,SGk="},
            {"type": "file", "file": {"filename": "b.json", "file_data": "e30"}},
            {"type": "input_file", "filename": "a.ts", "file_data": "data:video/mp2t;base64,SGk="},
            {"type": "input_file", "filename": "Dockerfile", "file_data": "data:application/octet-stream;base64,SGk="},
            {"type": "file", "file": {"file_data": "SGk="}},
        ]));
        let text = |text: &str| Part::Text(text.into());
        let image = |url: &str, detail: Option<&str>, side| {
            let load = ImageLoad { width: side, height: side, remade: 0 };
            Part::Image(Image { url: url.into(), detail: detail.map(str::to_owned), load })
        };
        assert_eq!(
            parts.unwrap(),
            [
                text("a"),
                text("b"),
                text("c"),
                text("d"),
                image(images::PIXEL, Some("low"), 1),
                image("https://example.com/a.png", None, 0),
                text("a.md\n\nHi"),
                text("b.json\n\n{}"),
                text("a.ts\n\nHi"),
                text("Dockerfile\n\nHi"),
                text("file\n\nHi"),
            ]
        );
        assert_eq!(images, ["content[4].image_url", "content[5].image_url.url"]);
    }

    #[test]
    fn bad_parts_are_named() {
        check(&json!(5), "content", "a string or an array");
        check(&json!([7]), "content[0]", "an object");
        check(&json!([{"text": "x"}]), "content[0].type", "Missing");
        check(&json!([{"type": "input_text"}]), "content[0].text", "Missing");
        check(&json!([{"type": "input_text", "text": {}}]), "content[0].text", "a string");
        check(&json!([{"type": "nope"}]), "content[0].type", "'nope' is no content part");
        check(&json!([{"type": "input_audio"}]), "content[0].type", "text and images only");
        let image = |url: &str| json!([{"type": "input_image", "image_url": url}]);
        check(&image("file:///etc/passwd"), "content[0].image_url", "neither a data URL nor");
        check(&image("data:image/png;base64,@@@"), "content[0].image_url", "Base64 is broken");
        check(&image("data:image/png,abc"), "content[0].image_url", "not Base64");
        check(&image("data:image/png;base64"), "content[0].image_url", "no comma");
        check(&image("data:image/png;base64,"), "content[0].image_url", "empty");
        check(&image("data:text/html;base64,AAAA"), "content[0].image_url", "not a supported image type");
        check(&json!([{"type": "input_image", "file_id": "f"}]), "content[0].file_id", "data URL");
        check(
            &json!([{"type": "input_file", "filename": "a.pdf", "file_data": "data:text/plain;base64,JVBERi0="}]),
            "content[0].file_data",
            "only text files",
        );
        check(
            &json!([{"type": "input_file", "filename": "a.txt", "file_data": "gICA"}]),
            "content[0].file_data",
            "not UTF-8",
        );
    }

    #[test]
    fn schemas_and_names_are_checked() {
        let good = [
            json!({}),
            json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}),
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}),
            json!({"$schema": "https://spec.openapis.org/oas/3.1/dialect/base", "type": "object"}),
            json!({"$schema": "http://json-schema.org/schema", "type": "object"}),
            json!({"$schema": "http://json-schema.org/draft-03/schema#", "type": "object"}),
            json!({"$schema": "https://json-schema.org/draft/next/schema", "type": "object"}),
            json!({"$schema": "", "properties": {"a": {"$schema": "urn:x", "type": "string"}}}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {}}}),
        ];
        for schema in good {
            let node = Node::named(&schema, "s");
            assert_eq!(check_schema(&node), Ok(()), "{schema}");
        }
        for schema in
            [json!([]), json!({"type": "strin"}), json!({"properties": []}), json!({"required": "a"})]
        {
            let node = Node::named(&schema, "s");
            assert_eq!(check_schema(&node).unwrap_err().param.as_deref(), Some("s"), "{schema}");
        }
        for bad in ["", "a b", "\u{e9}", &"x".repeat(65)] {
            let value = json!(bad);
            assert!(name(&Node::named(&value, "n")).is_err(), "{bad}");
        }
    }
}
