use crate::arguments::{name, parsed};
use crate::output::{or_dash, pairs};
use crate::session::Session;
use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;
use volary::{Name, Namespace, Result, Store, show_size};

/// List, show and create pools
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary pool ls
  volary pool info rbd
  volary pool create images")]
pub(crate) struct Pool {
    #[command(subcommand)]
    verb: PoolVerb,
}

#[derive(Debug, Subcommand)]
enum PoolVerb {
    /// List the pools
    #[command(after_help = "Examples:\n  volary pool ls")]
    Ls,
    /// Show a pool's figures
    #[command(after_help = "Examples:\n  volary pool info ssd")]
    Info {
        /// The pool
        #[arg(default_value = "rbd", value_parser = name)]
        pool: Name,
    },
    /// Create a pool on a local store
    #[command(after_help = "Examples:\n  volary pool create ssd")]
    Create {
        /// The new pool
        #[arg(value_parser = name)]
        pool: Name,
    },
}

/// A pool in a listing.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PoolListing {
    /// Its name.
    pool: Name,
}

pub(crate) async fn pool(args: Pool, session: &Session) -> Result<()> {
    session.on_store(async |store| pool_on(store, args.verb, session).await).await
}

async fn pool_on(store: &Store, verb: PoolVerb, session: &Session) -> Result<()> {
    let ctl = &session.ctl;
    match verb {
        PoolVerb::Ls => {
            let pools = store.pools(ctl).await?.into_iter().map(|pool| PoolListing { pool });
            session.emit(&pools.collect::<Vec<_>>(), |pools| {
                pools.iter().map(|of| format!("{}\n", of.pool)).collect()
            })
        }
        PoolVerb::Info { pool } => {
            let info = store.pool_info(&pool, ctl).await?;
            session.emit(&info, |of| {
                pairs([
                    ("pool", of.pool.to_string()),
                    ("total", show_size(of.total_bytes)),
                    ("used", show_size(of.used_bytes)),
                    ("available", show_size(of.available_bytes)),
                    ("quota", quota(of.quota_bytes, of.quota_objects)),
                ])
            })
        }
        PoolVerb::Create { pool } => {
            store.create_pool(&pool, ctl).await?;
            session.emit_done(&PoolListing { pool }, |_| String::new())
        }
    }
}

/// What a pool may hold at most: bytes, objects, or both.
pub(super) fn quota(bytes: Option<u64>, objects: Option<u64>) -> String {
    let objects = objects.map(|objects| format!("{objects} objects"));
    let both: Vec<_> = bytes.map(show_size).into_iter().chain(objects).collect();
    or_dash((!both.is_empty()).then(|| both.join(", ")))
}

/// List, create and remove the namespaces of a pool
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary namespace create rbd/tenant-7
  volary namespace ls rbd")]
pub(crate) struct NamespaceCommand {
    #[command(subcommand)]
    verb: NamespaceVerb,
}

#[derive(Debug, Subcommand)]
enum NamespaceVerb {
    /// List a pool's namespaces, except the default one
    #[command(after_help = "Examples:\n  volary namespace ls ssd")]
    Ls {
        /// The pool
        #[arg(default_value = "rbd", value_parser = name)]
        pool: Name,
    },
    /// Create a namespace
    #[command(after_help = "Examples:\n  volary namespace create ssd/tenant-7")]
    Create {
        /// The new namespace
        #[arg(value_name = "POOL/NAMESPACE", value_parser = parsed::<Namespace>)]
        namespace: Namespace,
    },
    /// Remove an empty namespace
    #[command(after_help = "Examples:\n  volary namespace rm ssd/tenant-7")]
    Rm {
        /// The namespace
        #[arg(value_name = "POOL/NAMESPACE", value_parser = parsed::<Namespace>)]
        namespace: Namespace,
    },
}

/// A namespace in a listing.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NamespaceListing {
    /// The pool and the namespace's name.
    namespace: Namespace,
}

pub(crate) async fn namespace(args: NamespaceCommand, session: &Session) -> Result<()> {
    session.on_store(async |store| namespace_on(store, args.verb, session).await).await
}

async fn namespace_on(store: &Store, verb: NamespaceVerb, session: &Session) -> Result<()> {
    let ctl = &session.ctl;
    match verb {
        NamespaceVerb::Ls { pool } => {
            let named = store.namespaces(&pool, ctl).await?.into_iter().filter(|of| !of.name.is_empty());
            let listing: Vec<_> = named.map(|namespace| NamespaceListing { namespace }).collect();
            session.emit(&listing, |listing| listing.iter().map(|of| format!("{}\n", of.namespace)).collect())
        }
        NamespaceVerb::Create { namespace } => {
            store.create_namespace(&namespace, ctl).await?;
            session.emit_done(&NamespaceListing { namespace }, |_| String::new())
        }
        NamespaceVerb::Rm { namespace } => {
            store.remove_namespace(&namespace, ctl).await?;
            session.emit_done(&NamespaceListing { namespace }, |_| String::new())
        }
    }
}
