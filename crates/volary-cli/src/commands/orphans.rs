use super::cleanup::lines;
use super::place::Place;
use crate::output::{or_dash, table};
use crate::session::Session;
use clap::Args;
use std::path::PathBuf;
use volary::{Name, Result, show_size, unescape};

/// List volumes and leftovers in a pool that are in no inventory, each with the command that settles it
///
/// Deletes nothing. Recognises leftovers of other tools by their names, and finds unfinished targets of imports, expired trash
/// and half-removed volumes in the trash.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary orphans --known inventory.txt
  volary orphans --known inventory.txt --all-namespaces ssd -o json")]
pub(crate) struct Orphans {
    #[command(flatten)]
    place: Place,
    /// File that lists the known volumes, one name per line; `-` for standard input
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
