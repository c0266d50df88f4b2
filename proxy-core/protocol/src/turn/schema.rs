//! Response schemas in the form that the vendor accepts: every object closed, every property required, few
//! keywords.
//!
//! The backend sends each response schema as a strict one, which the service refuses unless it follows these
//! rules. A schema that does not is fitted: an optional property becomes nullable, a map becomes a list of its
//! entries, a tuple becomes an object, and a root that is not an object is wrapped in one. Keywords that only
//! narrow the values and have no strict form are left out. The answer is then mapped back to the client's own
//! schema.

mod flatten;
mod plan;
mod read;
mod restore;
mod strict;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use plan::Plan;

/// A schema that the vendor accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The schema to send.
    pub schema: Value,
    /// Converts its instances into those of the client's schema; `None` if they are the same.
    pub mapping: Option<Mapping>,
}

/// Maps an instance of a fitted schema back. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping(Arc<Plan>);

/// Fits `schema` to the strict rules; `None` if it has no strict form.
///
/// A schema that follows the rules is returned unchanged.
pub fn fit(schema: &Value) -> Option<Fitted> {
    if strict::conforms(schema) {
        return Some(Fitted { schema: schema.clone(), mapping: None });
    }
    let plan = read::plan(schema)?;
    let fitted = write::schema(&plan);
    // The result is checked by the same rules: a schema that was fitted wrongly is not sent at all.
    if !strict::conforms(&fitted) {
        return None;
    }
    let mapping = plan.changes_instances().then(|| Mapping(Arc::new(plan)));
    Some(Fitted { schema: fitted, mapping })
}

impl Mapping {
    /// Maps an answer's text back. `None` if it is not JSON, because it was cut short or does not follow the
    /// schema.
    pub fn restore(&self, text: &str) -> Option<String> {
        let value = serde_json::from_str(text).ok()?;
        Some(restore::restore(&self.0, value).to_string())
    }
}
