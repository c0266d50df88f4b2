//! Reads as many rows of a damaged table as possible.

use rusqlite::{Connection, Row};

use super::error::StoreError;

/// A statement that reads rows ordered by their first column, a number, after the number in its parameter.
pub(super) struct Scan<'a> {
    pub(super) connection: &'a Connection,
    pub(super) sql: &'a str,
}

/// Why the scan stops at a row.
pub(super) enum Stop {
    /// The row is damaged.
    Damage,
    /// The function for a row failed.
    Failed(StoreError),
}

impl From<rusqlite::Error> for Stop {
    fn from(_: rusqlite::Error) -> Self {
        Self::Damage
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Scan<'_> {
    /// Passes every readable row on. Returns whether some rows could not be read.
    pub(super) fn each(
        &self,
        mut take: impl FnMut(&Row<'_>) -> Result<(), Stop>,
    ) -> Result<bool, StoreError> {
        // All numbers are 0 or greater.
        let (mut after, mut gaps) = (-1, false);
        loop {
            match self.run(&mut after, &mut gaps, &mut take) {
                Ok(()) => return Ok(gaps),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Damage) => gaps = true,
            }
            match self.beyond(after) {
                Some(next) => after = next,
                None => return Ok(true),
            }
        }
    }

    /// Reads to the end, or to the first damage. Rows with the number `after` may be among the result.
    fn run(
        &self,
        after: &mut i64,
        gaps: &mut bool,
        take: &mut impl FnMut(&Row<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut query = self.connection.prepare_cached(self.sql)?;
        let mut rows = query.query([*after])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            // If pages of a damaged table form a loop, the scan would never end.
            if key < *after {
                return Err(Stop::Damage);
            }
            *after = key;
            match take(row) {
                Ok(()) => {}
                Err(Stop::Damage) => *gaps = true,
                Err(stop @ Stop::Failed(_)) => return Err(stop),
            }
        }
        Ok(())
    }

    /// The smallest number after `bad` whose next row can be read; the pages between are damaged.
    fn beyond(&self, mut bad: i64) -> Option<i64> {
        let mut step = 1;
        let mut good = loop {
            let number = bad.checked_add(step)?;
            if self.is_readable(number) {
                break number;
            }
            bad = number;
            step = step.checked_mul(2)?;
        };
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2;
            if self.is_readable(middle) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        Some(good)
    }

    fn is_readable(&self, after: i64) -> bool {
        let first = || -> rusqlite::Result<bool> {
            let mut query = self.connection.prepare_cached(self.sql)?;
            let mut rows = query.query([after])?;
            match rows.next()? {
                Some(row) => Ok(row.get::<_, i64>(0)? > after),
                None => Ok(true),
            }
        };
        first().unwrap_or(false)
    }
}
