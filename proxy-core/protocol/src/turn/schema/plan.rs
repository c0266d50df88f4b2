//! The content of a schema, in the terms from which both the strict schema and the mapping back are made.

use serde_json::{Map, Value};

/// A whole schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) root: Node,
    /// The definitions that references point to.
    pub(super) definitions: Vec<Definition>,
    /// Per definition, whether null is an instance of it.
    pub(super) nullable: Vec<bool>,
}

/// The member that holds the answer where the schema's root is not an object.
pub(super) const WRAPPER: &str = "value";

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) node: Node,
}

/// A place in a schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// `title` and `description`.
    pub(super) words: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Any value of these types within the keywords' bounds.
    Scalar {
        types: Vec<Scalar>,
        keywords: Map<String, Value>,
    },
    /// One of these scalars.
    Literals(Vec<Value>),
    Array {
        items: Box<Node>,
        /// `minItems` and `maxItems`.
        keywords: Map<String, Value>,
    },
    /// An array with a schema for each position; an object in the strict schema.
    Tuple(Vec<Node>),
    Object {
        properties: Vec<Property>,
        rest: Option<Box<Rest>>,
    },
    /// Any of these; an empty list for a schema that nothing satisfies.
    Union(Vec<Node>),
    /// The definition with this number.
    Reference(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    String,
    Number,
    Integer,
    Boolean,
    Null,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) node: Node,
    /// Whether the property is optional.
    pub(super) optional: bool,
}

/// The members of an object that the schema does not name; a list of entries in the strict schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rest {
    /// The property that holds the list.
    pub(super) name: String,
    pub(super) key: Node,
    pub(super) value: Node,
    /// Names that no member may have, because nothing satisfies their schema.
    pub(super) without: Vec<String>,
}

impl Rest {
    pub(super) const KEY: &'static str = "key";
    pub(super) const VALUE: &'static str = "value";
}

impl Scalar {
    pub(super) const ALL: &[Self] = &[Self::String, Self::Number, Self::Integer, Self::Boolean, Self::Null];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Null => "null",
        }
    }

    /// Whether `value` is of this type.
    pub(super) fn holds(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => {
                value.is_i64()
                    || value.is_u64()
                    || value.as_f64().is_some_and(|number| number.is_finite() && number.fract() == 0.0)
            }
            Self::Boolean => value.is_boolean(),
            Self::Null => value.is_null(),
        }
    }
}

impl Node {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, words: Map::new() }
    }

    pub(super) fn scalar(types: &[Scalar]) -> Self {
        Self::new(Kind::Scalar { types: types.to_vec(), keywords: Map::new() })
    }

    /// Whether nothing satisfies it.
    pub(super) fn is_never(&self) -> bool {
        matches!(&self.kind, Kind::Union(nodes) if nodes.is_empty())
    }

    fn children(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Scalar { .. } | Kind::Literals(_) | Kind::Reference(_) => Vec::new(),
            Kind::Array { items, .. } => vec![items],
            Kind::Tuple(nodes) | Kind::Union(nodes) => nodes.iter().collect(),
            Kind::Object { properties, rest } => {
                let rest = rest.iter().flat_map(|rest| [&rest.key, &rest.value]);
                properties.iter().map(|property| &property.node).chain(rest).collect()
            }
        }
    }
}

impl Plan {
    /// A plan of these parts; `None` if a definition is only a reference to itself.
    pub(super) fn new(root: Node, definitions: Vec<Definition>) -> Option<Self> {
        let mut plan = Self { root, nullable: vec![false; definitions.len()], definitions };
        let mut grounded = vec![false; plan.definitions.len()];
        plan.settle(&mut grounded, |plan, grounded, node| plan.is_grounded(grounded, node));
        let mut nullable = plan.nullable.clone();
        plan.settle(&mut nullable, |_, nullable, node| admits_null(nullable, node));
        plan.nullable = nullable;
        (grounded.iter().all(|grounded| *grounded)).then_some(plan)
    }

    /// Whether the root has to be wrapped.
    pub(super) fn is_wrapped(&self) -> bool {
        !matches!(self.root.kind, Kind::Object { .. })
    }

    /// Whether null stands for a missing property.
    pub(super) fn null_is_absence(&self, property: &Property) -> bool {
        property.optional && !admits_null(&self.nullable, &property.node)
    }

    /// Whether an instance of the strict schema differs from one of the client's schema.
    pub(super) fn changes_instances(&self) -> bool {
        let nodes = self.definitions.iter().map(|definition| &definition.node);
        self.is_wrapped() || nodes.chain([&self.root]).any(|node| self.changes(node))
    }

    fn changes(&self, node: &Node) -> bool {
        let here = match &node.kind {
            Kind::Tuple(_) => true,
            Kind::Object { properties, rest } => {
                rest.is_some() || properties.iter().any(|property| self.null_is_absence(property))
            }
            Kind::Scalar { .. }
            | Kind::Literals(_)
            | Kind::Array { .. }
            | Kind::Union(_)
            | Kind::Reference(_) => false,
        };
        here || node.children().into_iter().any(|child| self.changes(child))
    }

    /// Extends the facts about the definitions until nothing changes any more.
    fn settle(&self, known: &mut [bool], holds: impl Fn(&Self, &[bool], &Node) -> bool) {
        let mut news = true;
        while news {
            news = false;
            for (index, definition) in self.definitions.iter().enumerate() {
                if !known[index] && holds(self, known, &definition.node) {
                    known[index] = true;
                    news = true;
                }
            }
        }
    }

    /// Whether a reference leads, through unions and references, to something that is neither.
    fn is_grounded(&self, grounded: &[bool], node: &Node) -> bool {
        match &node.kind {
            Kind::Union(nodes) => nodes.iter().all(|node| self.is_grounded(grounded, node)),
            Kind::Reference(index) => grounded[*index],
            Kind::Scalar { .. }
            | Kind::Literals(_)
            | Kind::Array { .. }
            | Kind::Tuple(_)
            | Kind::Object { .. } => true,
        }
    }
}

fn admits_null(nullable: &[bool], node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar { types, .. } => types.contains(&Scalar::Null),
        Kind::Literals(values) => values.contains(&Value::Null),
        Kind::Union(nodes) => nodes.iter().any(|node| admits_null(nullable, node)),
        Kind::Reference(index) => nullable[*index],
        Kind::Array { .. } | Kind::Tuple(_) | Kind::Object { .. } => false,
    }
}
