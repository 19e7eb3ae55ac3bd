//! From where requests come, also through a proxy.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;
use settings::Network;

/// The part of an address that says which household it is in: providers give each so many of the others.
const NETWORK_OF_V6: u128 = !0 << 72;

/// One address, or what one household has of them where addresses are plenty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place(IpAddr);

impl Place {
    /// Where this address is.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK_OF_V6))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// The proxies that are believed where a request comes from, and no others: anybody can write such a header.
#[derive(Debug)]
pub(crate) struct Proxies(pub(crate) Vec<Network>);

impl Proxies {
    /// Where a request comes from: each proxy that is believed says who has asked it, the nearest one last.
    pub(crate) fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> Place {
        let lists: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        let mut told = lists.iter().rev().flat_map(|list| {
            let list = list.to_str().unwrap_or_default();
            list.rsplit(',').map(|told| read(told.trim()))
        });
        let mut address = peer;
        while self.0.iter().any(|network| network.contains(address)) {
            let Some(Some(before)) = told.next() else {
                break;
            };
            address = before;
        }
        Place::of(address)
    }
}

/// Some proxies add the port.
fn read(told: &str) -> Option<IpAddr> {
    let with_port = |_| told.parse::<SocketAddr>().map(|socket| socket.ip());
    told.parse().or_else(with_port).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn place(proxies: &[&str], peer: &str, forwarded: &[&str]) -> Place {
        let forwarded = forwarded.iter().map(|list| {
            let name = HeaderName::from_static("x-forwarded-for");
            (name, HeaderValue::from_str(list).unwrap())
        });
        let proxies = proxies.iter().map(|proxy| proxy.parse().unwrap());
        Proxies(proxies.collect()).origin(peer.parse().unwrap(), &forwarded.collect())
    }

    #[test]
    fn a_household_is_one_place() {
        let of = |address: &str| Place::of(address.parse().unwrap());
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:100::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn a_proxy_is_believed_only_what_it_has_added_itself() {
        let of = |address: &str| Place::of(address.parse().unwrap());
        let here = &["127.0.0.0/8"][..];
        let stranger = place(here, "192.0.2.1", &["192.0.2.9"]);
        assert_eq!(stranger, of("192.0.2.1"));
        for lists in [
            &["192.0.2.9"][..],
            &["198.51.100.1, 192.0.2.9"],
            &["198.51.100.1", "192.0.2.9"],
            &["192.0.2.9:51234"],
        ] {
            assert_eq!(place(here, "127.0.0.1", lists), of("192.0.2.9"));
        }
        for unclear in [&["unknown"][..], &["192.0.2.9, "], &[]] {
            assert_eq!(place(here, "127.0.0.1", unclear), of("127.0.0.1"));
        }
    }

    #[test]
    fn proxies_may_stand_behind_each_other_and_elsewhere() {
        let of = |address: &str| Place::of(address.parse().unwrap());
        let both = &["127.0.0.0/8", "10.0.0.0/8"][..];
        let lists = &["198.51.100.1, 192.0.2.9, 10.1.1.1"];
        assert_eq!(place(both, "127.0.0.1", lists), of("192.0.2.9"));
        assert_eq!(place(both, "10.1.1.1", &["192.0.2.9"]), of("192.0.2.9"));
        assert_eq!(place(&[], "127.0.0.1", &["192.0.2.9"]), of("127.0.0.1"));
        // As long as it is of proxies alone, the last of them that is known.
        let alone = &["10.0.0.1, 10.0.0.2"];
        assert_eq!(place(both, "127.0.0.1", alone), of("10.0.0.1"));
    }
}
