//! Standard output: one JSON document or a table, and nothing else.

use clap::ValueEnum;
use futures::{StreamExt, stream::BoxStream};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use volary::{Error, ErrorKind, Result};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Prints one result, as JSON or as the text that `human` makes of it.
pub(crate) fn emit<T: Serialize>(format: Format, value: &T, human: impl FnOnce(&T) -> String) -> Result<()> {
    let mut text = match format {
        Format::Table => human(value),
        Format::Json => serde_json::to_string_pretty(value).map_err(encoding)?,
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    print(text.as_bytes())
}

/// Writes to standard output; that its reader has gone is no error.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    still_read(out.write_all(bytes).and_then(|()| out.flush())).map(drop)
}

/// Standard output as a descriptor, for a transfer to it.
pub(crate) fn descriptor() -> Result<File> {
    let cloned = io::stdout().as_fd().try_clone_to_owned();
    cloned.map(File::from).map_err(|error| Error::io("taking over standard output", error))
}

/// The error of a command whose work is done and whose report cannot be written: it has the report itself.
pub(crate) fn unreported<T: Serialize>(error: Error, report: &T) -> Error {
    let report = serde_json::to_string(report).unwrap_or_default();
    Error::new(error.kind(), "it was done, but the report about it could not be written")
        .context("report", report)
        .because(error)
        .hint("do not run it again before you have read the report, which is in this error")
}

/// Prints results as they come, as one JSON array or a line each, so that memory does not grow with their number.
pub(crate) async fn emit_stream<T: Serialize>(
    format: Format,
    mut values: BoxStream<'_, Result<T>>,
    header: Option<String>,
    line: impl Fn(&T) -> String,
) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout());
    let mut first = true;
    let mut header = header.filter(|_| format == Format::Table);
    let mut failure = None;
    while let Some(value) = values.next().await {
        let value = match value {
            Ok(value) => value,
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        if let Some(header) = header.take()
            && !still_read(writeln!(out, "{header}"))?
        {
            return Ok(());
        }
        let written = match format {
            Format::Table => writeln!(out, "{}", line(&value)),
            Format::Json => {
                let json = serde_json::to_string(&value).map_err(encoding)?;
                write!(out, "{}{json}", if first { "[\n  " } else { ",\n  " })
            }
        };
        if !still_read(written)? {
            return Ok(());
        }
        first = false;
    }
    // Above nothing but an error a header would say that there is nothing.
    let header = header.filter(|_| failure.is_none());
    let ended = match format {
        Format::Json => writeln!(out, "{}", if first { "[]" } else { "\n]" }),
        Format::Table => header.map_or(Ok(()), |header| writeln!(out, "{header}")),
    };
    still_read(ended.and_then(|()| out.flush()))?;
    failure.map_or(Ok(()), Err)
}

/// Rows under a header, columns two spaces apart.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    lines(&plain_table(header, rows))
}

/// The same in the 80 columns of the narrowest terminal: what is longer goes on below.
pub(crate) fn narrow_table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = plain_table(header, rows);
    // The last column's padding is cut off again.
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic).set_width(80 + 2);
    lines(&table)
}

fn plain_table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn lines(table: &comfy_table::Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Lines of `key  value`, for one thing with many sides.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    pairs.iter().map(|(key, value)| format!("{key:width$}  {value}\n")).collect()
}

/// The same with values cut to what the terminal has room for; the narrowest terminal's where there is none.
pub(crate) fn cut_pairs<'a>(of: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    cut_to(if columns == 0 { 80 } else { columns }, &pairs(of))
}

/// Lines cut to so many characters, with a sign where something is cut off.
fn cut_to(columns: usize, lines: &str) -> String {
    let cut = |line: &str| match line.char_indices().nth(columns) {
        None => format!("{line}\n"),
        Some(_) => line.chars().take(columns.saturating_sub(1)).chain(['…', '\n']).collect(),
    };
    lines.lines().map(cut).collect()
}

/// The notes of a report, one line each.
pub(crate) fn notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!("note: {note}\n")).collect()
}

/// How what was read compares with its record, if there is one.
pub(crate) fn matches(matches: Option<bool>, accepted: bool) -> String {
    let shown = match (matches, accepted) {
        (None, _) => "-",
        (Some(true), _) => "yes",
        (Some(false), true) => "NO, accepted",
        (Some(false), false) => "NO: it may have been written since",
    };
    shown.to_owned()
}

/// What a table shows for something unknown or absent.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Whether standard output still has a reader. A reader that goes away has seen enough of a listing, and that is no error.
fn still_read(written: io::Result<()>) -> Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::io("writing to standard output", error)),
    }
}

fn encoding(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "encoding the result as JSON").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_they_are_too_long_and_say_so() {
        assert_eq!(cut_to(8, "key  abc\nkey  abcd\nkéy  äbcd\n"), "key  abc\nkey  ab…\nkéy  äb…\n");
    }
}
