//! Pages of a list.

use serde_json::Value;

use super::error::StoreError;

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The most entries.
    pub limit: u32,
    /// Whether the newest entry is the first.
    pub descending: bool,
    /// The id of the entry before the page.
    pub after: Option<String>,
    /// The id of the entry behind the page. Without `after`, the page ends right before it.
    pub before: Option<String>,
}

impl Page {
    /// The most entries, as a size in memory.
    pub(super) fn most(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// The entries of the page, and whether there are more. `list` has them oldest first, each with its id.
    pub(super) fn of<T>(&self, mut list: Vec<(Option<String>, T)>) -> Result<(Vec<T>, bool), StoreError> {
        if self.descending {
            list.reverse();
        }
        let is = |entry: &(Option<String>, T), id: &str| entry.0.as_deref() == Some(id);
        let unknown = |id: &str| StoreError::UnknownCursor(id.to_owned());
        // An id that is there more than once could otherwise lead to the same page again and again.
        let start = match &self.after {
            Some(id) => list.iter().rposition(|entry| is(entry, id)).ok_or_else(|| unknown(id))? + 1,
            None => 0,
        };
        let end = match &self.before {
            Some(id) => list.iter().position(|entry| is(entry, id)).ok_or_else(|| unknown(id))?,
            None => list.len(),
        };
        let found = end.saturating_sub(start);
        let shown = found.min(self.most());
        let first = if self.after.is_none() && self.before.is_some() { end - shown } else { start };
        let part = list.into_iter().skip(first).take(shown).map(|(_, entry)| entry);
        Ok((part.collect(), found > shown))
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listed {
    /// The entries.
    pub data: Vec<Value>,
    /// Whether there are more entries behind them (before them, if only `before` was given).
    pub has_more: bool,
}
