//! How a command ends when it does not end well: one error line, and the exit code of its kind.

use crate::cli::Cli;
use crate::output::Format;
use clap::CommandFactory;
use serde_json::json;
use std::error::Error as StdError;
use std::ffi::OsString;
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
            lines.push_str(&format!("error: {}\n", shown(error)));
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

/// The error as people read it, in one line: each thing once, and of its contexts those that matter to its kind. JSON has them all.
pub(crate) fn shown(error: &Error) -> String {
    one_line(&scrub(&told(error)))
}

fn told(error: &Error) -> String {
    let causes = causes(error);
    let connecting = error.contexts().any(|(key, value)| key == "step" && CONNECTING.contains(&value));
    let contexts = error.contexts().filter(|(key, value)| {
        (connecting || matters(error.kind(), key, value)) && !is_said(&causes, key, value)
    });
    let contexts: Vec<_> = contexts.map(|(key, value)| format!("{key} {value}")).collect();
    let mut line = error.message().to_owned();
    if !contexts.is_empty() {
        line.push_str(&format!(" ({})", contexts.join(", ")));
    }
    if !causes.is_empty() {
        line.push_str(&format!(": {causes}"));
    }
    line
}

/// The steps of connecting: where one of them fails, everything about the connection matters.
const CONNECTING: &[&str] = &["load Ceph's libraries", "read the configuration", "connect"];

/// Whether a context tells people something about a failure of this kind.
fn matters(kind: ErrorKind, key: &str, value: &str) -> bool {
    use ErrorKind::{Deadline, Internal, Interrupted, Permission, Unreachable};
    let connection = matches!(kind, Unreachable | Deadline | Permission | Internal);
    match key {
        "elapsed" => matches!(kind, Unreachable | Deadline | Interrupted),
        "step" => connection || kind == Interrupted,
        "user" | "monitors" => connection,
        // A local store is named where the failure is about the store itself, a cluster with every failure.
        "store" => connection || !value.starts_with("ceph:"),
        _ => true,
    }
}

/// Whether the causes say the same: an errno by its name, anything else in the same words.
fn is_said(causes: &str, key: &str, value: &str) -> bool {
    let goes_on =
        |rest: &str| rest.starts_with(|next: char| next.is_alphanumeric() || "-_./@".contains(next));
    let says =
        |words: String| causes.match_indices(&words).any(|(at, _)| !goes_on(&causes[at + words.len()..]));
    says(format!("{key} {value}")) || (key == "errno" && says(format!("({value})")))
}

/// The causes of an error, outermost first; those that are errors of Volary as people read them.
fn causes(error: &Error) -> String {
    let mut all = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<Error>() {
            // With its own causes.
            all.push(told(error));
            break;
        }
        all.push(escape(words(error).as_bytes()).into_owned());
        cause = error.source();
    }
    all.join(": ")
}

/// What an error says, without the number that the operating system has for it.
fn words(error: &(dyn StdError + 'static)) -> String {
    let said = error.to_string();
    let number = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    match number.and_then(|number| said.strip_suffix(&format!(" (os error {number})"))) {
        Some(words) => words.to_owned(),
        None => said,
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
            let command = command_of(std::env::args_os().skip(1));
            let error =
                Error::new(ErrorKind::Usage, one_line(&message)).hint(format!("see `{command} --help`"));
            ExitCode::from(report(&error, wanted_format(std::env::args_os().skip(1)), None))
        }
    }
}

/// The command that these arguments are for, as it is called: `volary trash rm`.
fn command_of(mut arguments: impl Iterator<Item = OsString>) -> String {
    let mut root = Cli::command();
    // Gives every command the options that all have.
    root.build();
    let (mut command, mut called) = (&root, root.get_name().to_owned());
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text.starts_with('-') {
            if value_follows(command, &text) {
                arguments.next();
            }
            continue;
        }
        let Some(verb) = command.find_subcommand(&*text) else { break };
        called = format!("{called} {}", verb.get_name());
        command = verb;
    }
    called
}

/// Whether the argument after this option is its value.
fn value_follows(command: &clap::Command, option: &str) -> bool {
    let takes = |of: &clap::Arg| of.get_action().takes_values();
    if let Some(long) = option.strip_prefix("--") {
        return command.get_arguments().any(|of| of.get_long() == Some(long) && takes(of));
    }
    // Of several short options in one argument the first that takes a value takes the rest as it, or else the next argument.
    let mut letters = option.chars().skip(1);
    let value =
        letters.find(|letter| command.get_arguments().any(|of| of.get_short() == Some(*letter) && takes(of)));
    value.is_some() && letters.next().is_none()
}

/// The output format asked for, as far as it can be told when the arguments as a whole were refused.
fn wanted_format(arguments: impl Iterator<Item = OsString>) -> Format {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An error as the Ceph engine makes it, with all that it says of the connection.
    fn of_ceph(kind: ErrorKind, cause: &str) -> Error {
        let error = Error::new(kind, "Ceph refused").context("errno", "EPERM").context("pool", "rbd");
        let error = error.context("step", "swap a record").context("elapsed", "0.0 s");
        let error = error.context("store", "ceph:/etc/ceph/ceph.conf").context("user", "client.nova");
        error.context("monitors", "192.0.2.1:3300").because(cause)
    }

    #[test]
    fn the_connection_is_told_where_it_matters_and_nothing_is_said_twice() {
        let cause =
            "rados_write_op_operate (pool rbd, object volary_journal): operation not permitted (EPERM)";
        assert_eq!(
            shown(&of_ceph(ErrorKind::Permission, cause)),
            format!(
                "Ceph refused (step swap a record, store ceph:/etc/ceph/ceph.conf, user client.nova, monitors \
                 192.0.2.1:3300): {cause}"
            )
        );
        assert_eq!(shown(&of_ceph(ErrorKind::NotFound, cause)), format!("Ceph refused: {cause}"));
        // A pool of which that one is the beginning is another.
        let other = "rbd_open (pool rbd-ssd): operation not permitted (EPERM)";
        assert_eq!(shown(&of_ceph(ErrorKind::NotFound, other)), format!("Ceph refused (pool rbd): {other}"));
        let late = Error::new(ErrorKind::Deadline, "no answer").context("elapsed", "4.0 s");
        assert_eq!(shown(&late), "no answer (elapsed 4.0 s)");
        let connect = Error::new(ErrorKind::NotFound, "no monitor").context("step", "connect");
        let connect = connect.context("store", "ceph:/x").context("user", "client.admin");
        assert_eq!(shown(&connect), "no monitor (step connect, store ceph:/x, user client.admin)");
    }

    #[test]
    fn causes_are_told_by_the_same_rule_and_without_numbers_of_the_system() {
        let missing = Error::io("the source cannot be opened", io::Error::from_raw_os_error(2));
        let missing = missing.context("path", "/x");
        assert_eq!(shown(&missing), "the source cannot be opened (path /x): No such file or directory");
        let held = of_ceph(ErrorKind::Blocked, "rbd_open: busy (EBUSY)");
        let pending = Error::new(ErrorKind::Partial, "not finished, and pending").because(held);
        assert_eq!(
            shown(&pending),
            "not finished, and pending: Ceph refused (errno EPERM, pool rbd): rbd_open: busy (EBUSY)"
        );
    }

    #[test]
    fn the_command_is_found_whose_arguments_are_wrong() {
        for (arguments, called) in [
            (&["nonsense"][..], "volary"),
            (&["trash", "rm"], "volary trash rm"),
            (&["trash", "rm", "--force", "web"], "volary trash rm"),
            (&["--store", "check", "-v", "trash", "-vo", "json", "nonsense"], "volary trash"),
            (&["--store=local:", "-ojson", "create", "rm"], "volary create"),
            (&["resize", "web", "snap", "rm"], "volary resize"),
        ] {
            assert_eq!(command_of(arguments.iter().map(OsString::from)), called, "{arguments:?}");
        }
    }
}
