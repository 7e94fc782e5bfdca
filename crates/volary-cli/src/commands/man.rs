use crate::cli::Cli;
use clap::{Args, CommandFactory};
use std::path::PathBuf;
use volary::{Error, Result};

/// Print the manual page, or write one page per command
///
/// Without --dir, writes the page of `volary` itself to standard output.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary man | man -l -
  volary man --dir /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Write volary.1 and a page per command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Man) -> Result<()> {
    let command = Cli::command();
    match &args.dir {
        Some(dir) => clap_mangen::generate_to(command, dir)
            .map_err(|error| Error::io("writing manual pages", error).context("path", dir.display())),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut page)
                .map_err(|error| Error::io("rendering the manual page", error))?;
            crate::output::print(&page)
        }
    }
}
