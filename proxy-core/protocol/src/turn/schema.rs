//! Response schemas as the vendor takes them: every object closed, every property required, few keywords.
//!
//! The backend sends each response schema as a strict one, which the service refuses unless it keeps these rules. So a
//! schema that does not is fitted: what may be missing becomes nullable, a map becomes a list of its entries, a tuple
//! an object, and a root that is no object is wrapped in one. What only narrows the values and has no strict form is
//! left out. The answer is then mapped back to what the client's own schema asks for.

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

/// A schema that the vendor takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The schema to send.
    pub schema: Value,
    /// What makes of its instances those of the client's schema; `None` if they are the same.
    pub mapping: Option<Mapping>,
}

/// The way back from an instance of a fitted schema. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping(Arc<Plan>);

/// Fits `schema` to the strict rules; `None` if it has no strict form.
///
/// A schema that keeps the rules comes back as it is.
pub fn fit(schema: &Value) -> Option<Fitted> {
    if strict::conforms(schema) {
        return Some(Fitted { schema: schema.clone(), mapping: None });
    }
    let plan = read::plan(schema)?;
    let fitted = write::schema(&plan);
    // The same rules judge our own work: whatever was overlooked is not sent at all.
    if !strict::conforms(&fitted) {
        return None;
    }
    let mapping = plan.changes_instances().then(|| Mapping(Arc::new(plan)));
    Some(Fitted { schema: fitted, mapping })
}

impl Mapping {
    /// Maps an answer's text back. `None` if it is no JSON: cut short, or not an answer to the schema at all.
    pub fn restore(&self, text: &str) -> Option<String> {
        let value = serde_json::from_str(text).ok()?;
        Some(restore::restore(&self.0, value).to_string())
    }
}
