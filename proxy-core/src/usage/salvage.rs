//! The rows of a damaged table, as many as can be read.

use rusqlite::{Connection, Row};

use super::error::StoreError;

/// A statement that reads rows in the order of their first column, a number, after the one that is its parameter.
pub(super) struct Scan<'a> {
    pub(super) connection: &'a Connection,
    pub(super) sql: &'a str,
}

/// Why a row was not used.
pub(super) enum Stop {
    /// It is damaged.
    Damage,
    /// There was no way to use it.
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
    /// Hands over every row that can be read. Returns whether there was something that could not.
    pub(super) fn each(
        &self,
        mut take: impl FnMut(&Row<'_>) -> Result<(), Stop>,
    ) -> Result<bool, StoreError> {
        // No number is negative.
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

    /// Reads on to the end, or to where it is damaged. Rows of a number that was `after` before may be among them.
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
            // A tree whose branches lead back would never end.
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

    /// The least number after `bad` whose next row can be read; the pages between are damaged.
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
