//! Networks: which addresses belong together.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// An address, or all that begin alike, for example `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Those by which a machine reaches itself.
    pub fn loopback() -> Vec<Self> {
        let read = |text: &str| text.parse().expect("both are networks");
        vec![read("127.0.0.0/8"), read("::1")]
    }

    /// Whether the address is one of it. An address of version 4 is the same where it is written as one of version 6.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let network = text.parse::<IpNet>();
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        network.or_else(|_| address()).map(Self).map_err(drop)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_one = self.0.prefix_len() == self.0.max_prefix_len();
        if is_one {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_alike() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.1.2.3", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            let read: Network = network.parse().unwrap();
            assert!(read.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!read.contains(outside.parse().unwrap()), "{network}");
            assert_eq!(read.to_string(), network);
        }
        for wrong in ["", "proxy", "10.0.0.0/33", "10.0.0", "10.0.0.1:80"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
