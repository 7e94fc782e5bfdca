//! How a command ends when it does not end well: one error line, and the exit code of its kind.

use crate::output::Format;
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;
use volary::{Error, ErrorKind, escape, scrub};

/// Reports an error on standard error and gives its exit code; `signal_code` stands in for `Interrupted`'s own.
pub(crate) fn report(error: &Error, format: Format, signal_code: Option<u8>) -> u8 {
    let mut lines = String::new();
    match format {
        Format::Json => {
            let mut context = serde_json::Map::new();
            for (key, value) in error.contexts() {
                context.entry(key).or_insert_with(|| scrub(value).into());
            }
            let cause = error.report();
            let error = json!({
                "kind": error.kind(), "message": scrub(&cause), "hint": error.remedy(), "context": context,
            });
            lines.push_str(&json!({ "error": error }).to_string());
            lines.push('\n');
        }
        Format::Table => {
            lines.push_str(&format!("error: {}\n", one_line(&scrub(&error.report()))));
            if let Some(hint) = error.remedy() {
                lines.push_str(&format!("hint: {}\n", one_line(hint)));
            }
        }
    }
    // Standard error may be closed or full; the exit code still tells.
    let _ = io::stderr().write_all(lines.as_bytes());
    match (error.kind(), signal_code) {
        (ErrorKind::Interrupted, Some(code)) => code,
        (kind, _) => kind.exit_code(),
    }
}

/// Reports what the argument parser says: help and version on standard output, anything else as a usage error.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind as Clap;
    let text = error.render().to_string();
    match error.kind() {
        Clap::DisplayHelp | Clap::DisplayVersion => {
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Clap::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::from(ErrorKind::Usage.exit_code())
        }
        _ => {
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let message = lines.next().unwrap_or("wrong arguments").trim_start_matches("error: ").to_owned();
            let details: Vec<&str> = lines
                .take_while(|line| {
                    !["Usage:", "For more information"].iter().any(|end| line.starts_with(end))
                })
                .collect();
            let message =
                if details.is_empty() { message } else { format!("{message} {}", details.join(" ")) };
            let error = Error::new(ErrorKind::Usage, one_line(&message)).hint("see `volary --help`");
            ExitCode::from(report(&error, wanted_format(std::env::args_os().skip(1)), None))
        }
    }
}

/// The output format asked for, as far as it can be told when the arguments as a whole were refused.
fn wanted_format(arguments: impl Iterator<Item = std::ffi::OsString>) -> Format {
    let mut after_flag = false;
    for argument in arguments {
        let value = argument.to_string_lossy();
        if (after_flag && value == "json") || ["-ojson", "-o=json", "--output=json"].contains(&&*value) {
            return Format::Json;
        }
        after_flag = value == "-o" || value == "--output";
    }
    Format::Table
}

/// Text that others may have had a hand in, kept on one line and free of control characters.
fn one_line(text: &str) -> String {
    if text.chars().any(char::is_control) { escape(text.as_bytes()).into_owned() } else { text.to_owned() }
}
