//! Reads untrusted JSON together with the path to each value, so that every error names its place.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::error::{RequestError, RequestErrorKind};

type Result<T> = std::result::Result<T, RequestError>;

/// A value and its path in the request.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// The value itself.
    pub value: &'a Value,
    path: Path<'a>,
}

/// The way to a value from the root. A request has thousands of values, and only the path of a wrong one is written out.
#[derive(Debug, Clone, Default)]
struct Path<'a>(Option<Rc<Step<'a>>>);

#[derive(Debug)]
struct Step<'a> {
    before: Path<'a>,
    to: To<'a>,
}

#[derive(Debug)]
enum To<'a> {
    Member(Cow<'a, str>),
    Element(usize),
}

impl<'a> Path<'a> {
    fn is_root(&self) -> bool {
        self.0.is_none()
    }

    fn to(&self, to: To<'a>) -> Self {
        Self(Some(Rc::new(Step { before: self.clone(), to })))
    }
}

impl Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(step) = &self.0 else { return Ok(()) };
        write!(formatter, "{}", step.before)?;
        match &step.to {
            To::Element(index) => write!(formatter, "[{index}]"),
            To::Member(key) if step.before.is_root() => formatter.write_str(&excerpt(key)),
            To::Member(key) => write!(formatter, ".{}", excerpt(key)),
        }
    }
}

impl<'a> Node<'a> {
    /// The whole body.
    pub fn root(value: &'a Value) -> Self {
        Self { value, path: Path::default() }
    }

    /// The value that the client knows as the parameter `name`.
    pub fn named(value: &'a Value, name: &str) -> Self {
        Self { value, path: Path::default().to(To::Member(name.to_owned().into())) }
    }

    /// Its path, e.g. `input[0].content`; empty for the whole body. A client may have chosen a key, so it is shortened.
    pub fn path(&self) -> String {
        self.path.to_string()
    }

    /// The value as an object.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn object(&self) -> Result<Object<'a>> {
        let members = self.value.as_object().ok_or_else(|| self.wrong_type("an object"))?;
        Ok(Object { members, path: self.path.clone() })
    }

    /// The elements of the value, which is an array, with their paths.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn array(&self) -> Result<Vec<Node<'a>>> {
        let elements = self.value.as_array().ok_or_else(|| self.wrong_type("an array"))?;
        let nodes = elements.iter().enumerate();
        Ok(nodes.map(|(index, value)| Node { value, path: self.path.to(To::Element(index)) }).collect())
    }

    /// The value as a string; it may be empty.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn string(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    /// The value as a boolean.
    ///
    /// # Errors
    /// When it is of another type; `0` and `"true"` are not booleans.
    pub fn boolean(&self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("a boolean"))
    }

    /// The value as a finite number within `min..=max`.
    ///
    /// # Errors
    /// When it is of another type, or out of these bounds.
    pub fn number(&self, min: f64, max: f64) -> Result<f64> {
        let number = self.value.as_f64().ok_or_else(|| self.wrong_type("a number"))?;
        if (min..=max).contains(&number) {
            return Ok(number);
        }
        Err(self.invalid(format!("expected a number from {min} to {max}, but got {number}")))
    }

    /// The value as an integer within `min..=max`.
    ///
    /// # Errors
    /// When it is of another type, has a fraction, or is out of these bounds.
    pub fn integer(&self, min: u64, max: u64) -> Result<u64> {
        let Some(integer) = self.value.as_u64() else {
            return Err(match self.value.as_i64() {
                Some(negative) => {
                    self.invalid(format!("expected an integer of at least {min}, but got {negative}"))
                }
                None => self.wrong_type("an integer"),
            });
        };
        if integer < min {
            return Err(self.invalid(format!("expected an integer of at least {min}, but got {integer}")));
        }
        if integer > max {
            return Err(self.invalid(format!("expected an integer of at most {max}, but got {integer}")));
        }
        Ok(integer)
    }

    /// The value as one of a closed list of names.
    ///
    /// # Errors
    /// When it is not a string, or none of the names; the error lists them.
    pub fn one_of<T: Copy>(&self, names: &[(&str, T)]) -> Result<T> {
        let text = self.string()?;
        names.iter().find(|(name, _)| *name == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let supported: Vec<_> = names.iter().map(|(name, _)| format!("'{name}'")).collect();
            RequestError::new(
                RequestErrorKind::InvalidValue,
                self.path(),
                format!(
                    "Invalid value for '{}': '{}'. Supported values are: {}.",
                    self.path,
                    excerpt(text),
                    supported.join(", ")
                ),
            )
        })
    }

    /// An error that the value should have been `expected` ("a string", "an array of strings").
    pub fn wrong_type(&self, expected: &str) -> RequestError {
        let at = if self.path.is_root() { "the request body".into() } else { format!("'{}'", self.path) };
        let got = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(number) if number.is_f64() => "a decimal number",
            Value::Number(_) => "an integer",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        RequestError {
            kind: RequestErrorKind::InvalidType,
            message: format!("Invalid type for {at}: expected {expected}, but got {got} instead."),
            param: (!self.path.is_root()).then(|| self.path()),
        }
    }

    /// An error about a value of the right type; `why` is a clause without a full stop.
    pub fn invalid(&self, why: impl Display) -> RequestError {
        RequestError::new(
            RequestErrorKind::InvalidValue,
            self.path(),
            format!("Invalid value for '{}': {why}.", self.path),
        )
    }

    /// An error about something that cannot be honoured; `message` is a whole sentence.
    pub fn unsupported(&self, message: impl Into<String>) -> RequestError {
        RequestError::new(RequestErrorKind::Unsupported, self.path(), message)
    }
}

/// An object and its path in the request.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    members: &'a Map<String, Value>,
    path: Path<'a>,
}

impl<'a> Object<'a> {
    /// The member `key`, unless it is missing or null.
    pub fn opt(&self, key: &str) -> Option<Node<'a>> {
        let (key, value) = self.members.get_key_value(key).filter(|(_, value)| !value.is_null())?;
        Some(self.member(key, value))
    }

    /// The member `key`, which is required; it may be null.
    ///
    /// # Errors
    /// When it is missing.
    pub fn req(&self, key: &str) -> Result<Node<'a>> {
        match self.members.get_key_value(key) {
            Some((key, value)) => Ok(self.member(key, value)),
            None => Err(RequestError::new(
                RequestErrorKind::MissingParameter,
                self.path_of(key),
                format!("Missing required parameter: '{}'.", self.path_of(key)),
            )),
        }
    }

    /// All members with their paths.
    pub fn members(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        self.members.iter().map(|(key, value)| (key.as_str(), self.member(key, value)))
    }

    fn member(&self, key: &'a str, value: &'a Value) -> Node<'a> {
        Node { value, path: self.path.to(To::Member(key.into())) }
    }

    /// The path of the member `key`. A client may have chosen the key, so it is shortened.
    pub fn path_of(&self, key: &str) -> String {
        let member = Path(self.path.0.clone()).to(To::Member(key.to_owned().into()));
        member.to_string()
    }
}

/// At most 100 characters of a client's text, so that an error cannot be made as large as the request.
pub fn excerpt(text: &str) -> String {
    const LIMIT: usize = 100;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn complaints_name_the_path_the_wish_and_the_find() {
        let body = json!({"input": [{"content": 5}], "n": -1, "t": 3.5, "mode": "x"});
        let root = Node::root(&body).object().unwrap();
        let content =
            root.req("input").unwrap().array().unwrap()[0].object().unwrap().req("content").unwrap();
        let error = content.string().unwrap_err();
        assert_eq!(error.param.as_deref(), Some("input[0].content"));
        assert_eq!(
            error.message,
            "Invalid type for 'input[0].content': expected a string, but got an integer instead."
        );
        assert_eq!(root.req("n").unwrap().integer(1, 5).unwrap_err().kind, RequestErrorKind::InvalidValue);
        assert_eq!(root.req("t").unwrap().integer(1, 5).unwrap_err().kind, RequestErrorKind::InvalidType);
        let error = root.req("mode").unwrap().one_of(&[("a", 1), ("b", 2)]).unwrap_err();
        assert_eq!(error.message, "Invalid value for 'mode': 'x'. Supported values are: 'a', 'b'.");
        let error = root.req("model").unwrap_err();
        assert_eq!(error.message, "Missing required parameter: 'model'.");
        assert_eq!(Node::root(&json!([])).object().unwrap_err().param, None);
    }

    #[test]
    fn the_path_to_a_long_name_is_short() {
        let body = json!({"metadata": {"k".repeat(140_000): 5}});
        let metadata = Node::root(&body).object().unwrap().req("metadata").unwrap().object().unwrap();
        let error = metadata.members().next().unwrap().1.string().unwrap_err();
        assert!(error.message.len() < 300 && error.param.unwrap().len() < 200, "{}", error.message.len());
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(excerpt(&"\u{e9}".repeat(150)).chars().count(), 101);
        assert_eq!(excerpt("short"), "short");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_value_is_of_one_type_and_complaints_name_its_path(value in value(), name in "[a-z]{1,3}") {
            let body = json!({ name.as_str(): [value] });
            let root = Node::root(&body).object().unwrap();
            let member = root.req(&name).unwrap();
            let node = member.array().unwrap().remove(0);
            let path = format!("{name}[0]");
            prop_assert_eq!((&node.path(), node.value), (&path, &value));
            let answers = [
                node.object().err(),
                node.array().err(),
                node.string().err(),
                node.boolean().err(),
                node.number(f64::MIN, f64::MAX).err(),
            ];
            let fits = answers.iter().filter(|error| error.is_none()).count();
            prop_assert_eq!(fits, usize::from(!value.is_null()));
            for error in answers.into_iter().flatten() {
                prop_assert_eq!(error.kind, RequestErrorKind::InvalidType);
                prop_assert_eq!(error.param.as_ref(), Some(&path));
                prop_assert!(error.message.contains(&path), "{}", error.message);
            }
            let is_there = !value.is_null();
            let of = json!({ name.as_str(): value });
            prop_assert_eq!(Node::root(&of).object().unwrap().opt(&name).is_some(), is_there);
        }

        #[test]
        fn an_integer_is_taken_within_its_bounds_only(number in any::<i64>(), min in any::<u32>(), more in any::<u32>()) {
            let (min, max) = (u64::from(min), u64::from(min) + u64::from(more));
            let value = json!(number);
            let taken = Node::root(&value).integer(min, max);
            let expected = u64::try_from(number).ok().filter(|number| (min..=max).contains(number));
            prop_assert_eq!(taken.as_ref().ok().copied(), expected);
            prop_assert!(taken.is_ok() || taken.unwrap_err().kind == RequestErrorKind::InvalidValue);
        }

        #[test]
        fn an_excerpt_is_short_and_a_beginning(text in prop_oneof![any::<String>(), "\\PC{80,200}"]) {
            let cut = excerpt(&text);
            prop_assert!(cut.chars().count() <= 101);
            prop_assert!(cut == text || text.starts_with(cut.strip_suffix('…').unwrap()));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,10}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            let members = prop::collection::vec(("[a-z]{0,3}", inner.clone()), 0..3);
            prop_oneof![
                prop::collection::vec(inner, 0..3).prop_map(Value::from),
                members.prop_map(|members| members.into_iter().collect::<Value>()),
            ]
        })
    }
}
