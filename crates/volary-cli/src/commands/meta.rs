use crate::arguments::parsed;
use crate::output::pairs;
use crate::session::Session;
use clap::{Args, Subcommand};
use volary::{MetadataEntry, Result, Store, VolumeSpec, escape, unescape};

/// List, read, set and remove a volume's metadata
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary meta set web owner alice
  volary meta get web owner
  volary meta ls web")]
pub(crate) struct Meta {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all keys and values
    #[command(after_help = "Examples:\n  volary meta ls web")]
    Ls {
        #[command(flatten)]
        target: Target,
    },
    /// Print the value of a key
    #[command(after_help = "Examples:\n  volary meta get web owner")]
    Get {
        #[command(flatten)]
        target: Target,
        /// The key
        key: String,
    },
    /// Set a key; `conf_*` and `volary.*` are refused
    #[command(after_help = "Examples:\n  volary meta set web owner team-7")]
    Set {
        #[command(flatten)]
        target: Target,
        /// The key
        key: String,
        /// The new value
        value: String,
    },
    /// Remove a key
    #[command(after_help = "Examples:\n  volary meta rm web owner")]
    Rm {
        #[command(flatten)]
        target: Target,
        /// The key
        key: String,
    },
}

#[derive(Debug, Args)]
struct Target {
    /// The volume
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
}

pub(crate) async fn run(args: Meta, session: &Session) -> Result<()> {
    session.on_store(async |store| run_on(store, args.verb, session).await).await
}

async fn run_on(store: &Store, verb: Verb, session: &Session) -> Result<()> {
    let ctl = &session.ctl;
    match verb {
        Verb::Ls { target } => {
            let all = store.list_metadata(&target.spec, ctl).await?;
            session.emit(&all, |all| pairs(all.iter().map(|of| (of.key.as_str(), of.value.clone()))))
        }
        Verb::Get { target, key } => {
            let value = store.get_metadata(&target.spec, &unescape(&key)?, ctl).await?;
            let entry = MetadataEntry { key, value: escape(&value).into_owned() };
            session.emit(&entry, |entry| format!("{}\n", entry.value))
        }
        Verb::Set { target, key, value } => {
            store.set_metadata(&target.spec, &unescape(&key)?, value.as_bytes(), ctl).await
        }
        Verb::Rm { target, key } => store.remove_metadata(&target.spec, &unescape(&key)?, ctl).await,
    }
}
