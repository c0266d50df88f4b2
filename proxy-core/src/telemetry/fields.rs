//! The format of the fields of spans, once for each output.
//!
//! A span stores its formatted fields by the type of the formatter. Two outputs with the same type would share
//! the text: fields that are recorded later would be there twice, and the colours of the terminal would be in
//! the file.

use std::fmt;

use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

/// The format of fields on standard error.
#[derive(Debug, Default)]
pub(super) struct TerminalFields(DefaultFields);

/// The format of fields in the log file.
#[derive(Debug, Default)]
pub(super) struct FileFields(DefaultFields);

impl<'writer> FormatFields<'writer> for TerminalFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}

impl<'writer> FormatFields<'writer> for FileFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}
