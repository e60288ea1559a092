//! Which container answers at an address.

use super::select::Listed;
use super::{Docker, failed};
use crate::error::Result;
use bollard::models::{ContainerSummary, PortSummaryTypeEnum};
use std::net::{IpAddr, UdpSocket};

/// Where a container is reached, as the list of containers shows it.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    /// Its address on each network.
    own: Vec<IpAddr>,
    /// Where its TCP ports are published; an unspecified address is every one of the host.
    published: Vec<(IpAddr, u16)>,
}

impl Endpoints {
    pub(super) fn of(summary: &ContainerSummary) -> Self {
        let networks = summary.network_settings.as_ref().and_then(|s| s.networks.as_ref());
        let own = networks
            .into_iter()
            .flat_map(|networks| networks.values())
            .flat_map(|network| [&network.ip_address, &network.global_ipv6_address])
            .filter_map(|ip| ip.as_deref()?.parse().ok())
            .collect();
        let ports = summary.ports.iter().flatten();
        let published = ports
            .filter(|port| port.typ.is_none_or(|typ| typ == PortSummaryTypeEnum::TCP))
            .filter_map(|port| Some((port.ip.as_deref()?.parse().ok()?, port.public_port?)))
            .collect();
        Self { own, published }
    }

    /// `on_host` says whether an address is one of the host that publishes the ports.
    fn answer(&self, address: IpAddr, port: u16, on_host: impl Fn(IpAddr) -> bool) -> bool {
        let publishes = |(ip, public): &(IpAddr, u16)| {
            *public == port && (*ip == address || (ip.is_unspecified() && on_host(address)))
        };
        self.own.contains(&address) || self.published.iter().any(publishes)
    }
}

impl Docker {
    /// The ids of the containers that are reached at TCP `port` of any of `addresses`: by
    /// their own address, or by a port that they publish there. A container that shares
    /// the network of its host, or of another container, is not found this way.
    ///
    /// # Errors
    /// [`DockerUnreachable`](crate::error::Code::DockerUnreachable).
    pub async fn answering_at(&self, addresses: &[IpAddr], port: u16) -> Result<Vec<String>> {
        let daemon: Vec<IpAddr> = if self.is_local() {
            Vec::new()
        } else {
            let host = self.daemon_host();
            let found = tokio::net::lookup_host((host.as_str(), port)).await;
            found.into_iter().flatten().map(|address| address.ip()).collect()
        };
        let on_host = |address: IpAddr| {
            if self.is_local() { is_ours(address) } else { daemon.contains(&address) }
        };
        let fits = |listed: &Listed| {
            addresses.iter().any(|address| listed.endpoints.answer(*address, port, on_host))
        };
        Ok(self.list().await?.into_iter().filter(fits).map(|listed| listed.id).collect())
    }

    /// The full id of a container that is given by name or by the beginning of its id.
    ///
    /// # Errors
    /// [`ContainerNotFound`](crate::error::Code::ContainerNotFound),
    /// [`DockerUnreachable`](crate::error::Code::DockerUnreachable).
    pub async fn id_of(&self, container: &str) -> Result<String> {
        let inspected = self.client.inspect_container(container, None).await;
        let inspected = inspected.map_err(|e| failed("inspect container", container, e))?;
        Ok(inspected.id.unwrap_or_default())
    }
}

/// Only an address of this host can be bound.
fn is_ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_container_answers_at_its_own_address_and_where_it_is_published() {
        let endpoints = Endpoints {
            own: vec![ip("172.18.0.2")],
            published: vec![(ip("127.0.0.1"), 15432), (ip("0.0.0.0"), 6432)],
        };
        let on_host = |address| address == ip("192.0.2.1") || address == ip("127.0.0.1");
        assert!(endpoints.answer(ip("172.18.0.2"), 5432, on_host));
        assert!(endpoints.answer(ip("127.0.0.1"), 15432, on_host));
        assert!(!endpoints.answer(ip("192.0.2.1"), 15432, on_host));
        assert!(endpoints.answer(ip("192.0.2.1"), 6432, on_host));
        assert!(!endpoints.answer(ip("192.0.2.9"), 6432, on_host));
    }

    #[test]
    fn the_addresses_of_this_host_are_known() {
        assert!(is_ours(ip("127.0.0.1")));
        assert!(!is_ours(ip("192.0.2.1")));
    }
}
