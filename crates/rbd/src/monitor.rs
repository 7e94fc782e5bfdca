//! What the monitors tell about themselves.

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use std::time::Duration;

impl Cluster {
    /// The monitors' addresses, such as `192.0.2.1:6789`, from `mon dump`.
    ///
    /// A monitor with several addresses is told by each, the newest protocol's first.
    ///
    /// # Errors
    /// EACCES for a user without `mon r`; [`Error::Malformed`].
    ///
    /// C: `rados_mon_command`.
    #[doc(alias = "rados_mon_command")]
    pub async fn monitor_addresses(&self, limit: Duration) -> Result<Vec<String>> {
        let dump = self.mon_command(r#"{"prefix":"mon dump","format":"json"}"#, limit).await?;
        addresses(&dump).ok_or_else(|| Error::Malformed {
            symbol: "rados_mon_command",
            detail: "`mon dump` lists no addresses".to_owned(),
        })
    }
}

fn addresses(dump: &[u8]) -> Option<Vec<String>> {
    let dump: serde_json::Value = serde_json::from_slice(dump).ok()?;
    let mut found = Vec::new();
    for monitor in dump.get("mons")?.as_array()? {
        for address in monitor.get("public_addrs")?.get("addrvec")?.as_array()? {
            found.push(address.get("addr")?.as_str()?.to_owned());
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::addresses;

    #[test]
    fn every_address_of_every_monitor_is_told() {
        let dump = br#"{"mons":[{"public_addrs":{"addrvec":[{"type":"v2","addr":"192.0.2.1:3300","nonce":0},
            {"type":"v1","addr":"192.0.2.1:6789","nonce":0}]}},
            {"public_addrs":{"addrvec":[{"addr":"[2001:db8::1]:3300"}]}}]}"#;
        assert_eq!(addresses(dump).unwrap(), ["192.0.2.1:3300", "192.0.2.1:6789", "[2001:db8::1]:3300"]);
        assert_eq!(addresses(b"{}"), None);
        assert_eq!(addresses(b"junk"), None);
    }
}
