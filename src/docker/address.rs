//! Where a port of a container is reached from here.

use super::{Docker, failed};
use crate::error::Result;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// An IP address or a host name.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Docker {
    /// The addresses at which TCP `port` of a container may be reached, likeliest first:
    /// its address on each network, and where the port is published. Which of them
    /// answers depends on the host's routes, so try them in turn. Empty when it has none.
    ///
    /// # Errors
    /// [`ContainerNotFound`](crate::error::Code::ContainerNotFound),
    /// [`DockerUnreachable`](crate::error::Code::DockerUnreachable).
    pub async fn addresses_of(&self, container: &str, port: u16) -> Result<Vec<Address>> {
        let inspected = self
            .client
            .inspect_container(container, None)
            .await
            .map_err(|e| failed("inspect container", container, e))?;
        let mode = inspected.host_config.and_then(|h| h.network_mode);
        let settings = inspected.network_settings.unwrap_or_default();

        let mut own: Vec<String> = settings
            .networks
            .unwrap_or_default()
            .into_values()
            .flat_map(|network| [network.ip_address, network.global_ipv6_address])
            .flatten()
            .filter(|ip| !ip.is_empty())
            .collect();
        own.sort();
        if mode.as_deref() == Some("host") {
            own.push(self.daemon_host());
        }
        let own = own.into_iter().map(|host| Address { host, port });

        let bindings = settings.ports.unwrap_or_default().remove(&format!("{port}/tcp"));
        let published = bindings.flatten().unwrap_or_default().into_iter().filter_map(|b| {
            let port = b.host_port?.parse().ok()?;
            let host = b.host_ip.unwrap_or_default();
            let anywhere = matches!(host.as_str(), "" | "0.0.0.0" | "::");
            Some(Address { host: if anywhere { self.daemon_host() } else { host }, port })
        });

        let mut all: Vec<Address> = if self.is_local() {
            own.chain(published).collect()
        } else {
            published.chain(own).collect()
        };
        // Published on 0.0.0.0 and on :: is the same address for us.
        let mut seen: Vec<Address> = Vec::new();
        all.retain(|a| {
            !seen.contains(a) && {
                seen.push(a.clone());
                true
            }
        });
        Ok(all)
    }

    /// The host that publishes ports.
    pub(super) fn daemon_host(&self) -> String {
        let host = self.host.split_once("://").filter(|(scheme, _)| *scheme != "unix");
        match host.and_then(|(_, address)| address.rsplit_once(':')) {
            Some((host, _)) => host.trim_matches(['[', ']']).to_string(),
            None => "127.0.0.1".to_string(),
        }
    }
}
