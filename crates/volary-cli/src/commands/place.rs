//! Where commands over many volumes look.

use crate::arguments::parsed;
use clap::Args;
use volary::{Ctl, Namespace, Result, Store};

/// A namespace, or all of its pool.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The pool or namespace
    #[arg(value_name = "POOL[/NAMESPACE]", default_value = "rbd", value_parser = parsed::<Namespace>)]
    namespace: Namespace,
    /// All namespaces of the pool
    #[arg(long)]
    all_namespaces: bool,
}

impl Place {
    pub(crate) async fn namespaces(&self, store: &Store, ctl: &Ctl) -> Result<Vec<Namespace>> {
        namespaces(&self.namespace, self.all_namespaces, store, ctl).await
    }
}

pub(crate) async fn namespaces(
    namespace: &Namespace,
    all: bool,
    store: &Store,
    ctl: &Ctl,
) -> Result<Vec<Namespace>> {
    if all { store.namespaces(&namespace.pool, ctl).await } else { Ok(vec![namespace.clone()]) }
}
