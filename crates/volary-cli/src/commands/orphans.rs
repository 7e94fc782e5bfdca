use super::cleanup::lines;
use super::place::Place;
use crate::output::{or_dash, table};
use crate::session::Session;
use clap::Args;
use std::path::PathBuf;
use volary::{Name, Result, show_size, unescape};

/// List what is in a pool and in no inventory, with the command that would settle each
///
/// Deletes nothing. The leavings of other tools are known by their names; unfinished targets of imports, trash past its
/// date and what was half removed are found in the trash.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary orphans --known inventory.txt
  volary orphans --known inventory.txt --all-namespaces ssd -o json")]
pub(crate) struct Orphans {
    #[command(flatten)]
    place: Place,
    /// The volumes that are known, one name a line; `-` for standard input
    #[arg(long, value_name = "FILE")]
    known: PathBuf,
}

pub(crate) async fn run(args: Orphans, session: &Session) -> Result<()> {
    let text = lines(&args.known)?;
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let known = names.map(|name| unescape(name).map(Name::from_bytes)).collect::<Result<_>>()?;
    let orphans = session
        .on_store(async |store| {
            let mut orphans = Vec::new();
            for namespace in args.place.namespaces(store, &session.ctl).await? {
                orphans.extend(store.orphans(&namespace, &known, &session.ctl).await?);
            }
            Ok(orphans)
        })
        .await?;
    session.emit(&orphans, |orphans| {
        let rows = orphans.iter().map(|of| {
            let size = or_dash(of.used_bytes.map(show_size));
            [of.class.as_str().to_owned(), of.volume.to_string(), size, of.detail.clone(), of.remedy.clone()]
        });
        table(["CLASS", "VOLUME", "USED", "WHAT", "REMEDY"], rows)
    })
}
