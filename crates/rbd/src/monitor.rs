//! What the monitors tell about themselves.

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use serde_json::Value;
use std::time::Duration;

/// A monitor of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// Its name.
    pub name: String,
    /// Where it listens, the newest protocol first.
    pub addresses: Vec<MonitorAddress>,
    /// Whether it is one of those that decide now.
    pub in_quorum: bool,
}

/// Where a monitor listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorAddress {
    /// The messenger's protocol: `v2`, or `v1` of old clients.
    pub protocol: String,
    /// Host and port, such as `192.0.2.1:3300` or `[2001:db8::1]:3300`.
    pub address: String,
}

impl Cluster {
    /// The monitors, by rank, from `mon dump`.
    ///
    /// # Errors
    /// EACCES for a user without `mon r`; [`Error::Malformed`].
    ///
    /// C: `rados_mon_command`.
    #[doc(alias = "rados_mon_command")]
    pub async fn monitors(&self, limit: Duration) -> Result<Vec<Monitor>> {
        let dump = self.mon_command(r#"{"prefix":"mon dump","format":"json"}"#, limit).await?;
        monitors(&dump).ok_or_else(|| Error::Malformed {
            symbol: "rados_mon_command",
            detail: "`mon dump` lists no monitors".to_owned(),
        })
    }
}

fn monitors(dump: &[u8]) -> Option<Vec<Monitor>> {
    let dump: Value = serde_json::from_slice(dump).ok()?;
    let quorum = dump.get("quorum")?.as_array()?;
    let text = |of: &Value, key: &str| Some(of.get(key)?.as_str()?.to_owned());
    let address =
        |of: &Value| Some(MonitorAddress { protocol: text(of, "type")?, address: text(of, "addr")? });
    let monitor = |of: &Value| {
        let addresses = of.get("public_addrs")?.get("addrvec")?.as_array()?.iter().map(address);
        let addresses = addresses.collect::<Option<_>>()?;
        Some(Monitor { name: text(of, "name")?, addresses, in_quorum: quorum.contains(of.get("rank")?) })
    };
    dump.get("mons")?.as_array()?.iter().map(monitor).collect()
}

#[cfg(test)]
mod tests {
    use super::monitors;

    #[test]
    fn every_address_of_every_monitor_is_told() {
        let dump = br#"{"quorum":[1],"mons":[{"rank":0,"name":"a","public_addrs":{"addrvec":[
            {"type":"v2","addr":"192.0.2.1:3300","nonce":0},{"type":"v1","addr":"192.0.2.1:6789","nonce":0}]}},
            {"rank":1,"name":"b","public_addrs":{"addrvec":[{"type":"v2","addr":"[2001:db8::1]:3300"}]}}]}"#;
        let told = monitors(dump).unwrap();
        let all: Vec<_> =
            told.iter().flat_map(|of| &of.addresses).map(|at| (&*at.protocol, &*at.address)).collect();
        assert_eq!(all, [("v2", "192.0.2.1:3300"), ("v1", "192.0.2.1:6789"), ("v2", "[2001:db8::1]:3300")]);
        assert_eq!(
            told.iter().map(|of| (&*of.name, of.in_quorum)).collect::<Vec<_>>(),
            [("a", false), ("b", true)]
        );
        assert_eq!(monitors(b"{}"), None);
        assert_eq!(monitors(br#"{"quorum":[0],"mons":[{"rank":0,"name":"a"}]}"#), None);
    }
}
