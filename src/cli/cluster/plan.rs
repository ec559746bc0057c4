//! What to start: the addresses, and whether their ports are free.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;

use causet::config::{Given, Settings, SettingsError, Source, Unit};
use causet::core::id::Address;
use causet::core::sharding::map::ShardMap;

use crate::cli::settings::{SettingsArgs, Text};

/// Settings of replicas that this command has its own options for, or chooses itself.
const GIVEN: [&str; 5] = ["socket-address", "view", "listen", "log", "shard-count"];

/// Larger clusters than this are beyond the times that the contract states.
const NODES_MAX: u64 = 12;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "All variables of `causet replica` but SOCKET_ADDRESS, VIEW and CAUSET_LISTEN apply to every replica."
)]
pub(crate) struct ClusterArgs {
    /// How many replicas, 1 to 12 [default: 3]
    #[arg(long, env = "CAUSET_NODES", hide_env_values = true, value_name = "NUMBER", value_parser = Text("nodes", "CAUSET_NODES"))]
    nodes: Option<Given>,
    /// Into how many shards the keys are divided, each kept by at least two replicas [default: not sharded]
    #[arg(long, env = "SHARD_COUNT", hide_env_values = true, value_name = "NUMBER", value_parser = Text("shard-count", "SHARD_COUNT"))]
    shards: Option<Given>,
    /// Port of the first replica, TCP and UDP; the others have the ports after it [default: 8090]
    #[arg(long, env = "CAUSET_BASE_PORT", hide_env_values = true, value_name = "PORT", value_parser = Text("base-port", "CAUSET_BASE_PORT"))]
    base_port: Option<Given>,
    /// What the replicas log; see `causet replica --help`
    #[arg(long, env = "CAUSET_LOG", hide_env_values = true, value_name = "FILTER", value_parser = Text("log", "CAUSET_LOG"))]
    log: Option<Given>,
}

impl ClusterArgs {
    /// The ports of all replicas.
    fn ports(&self) -> Result<Range<u16>, SettingsError> {
        let nodes = self
            .nodes
            .as_ref()
            .map(|given| given.number(Unit::Count("replicas"), &(1..=NODES_MAX)));
        let nodes = nodes.transpose()?.unwrap_or(3);
        let bases = 1..=u64::from(u16::MAX) - NODES_MAX;
        let base = self
            .base_port
            .as_ref()
            .map(|given| given.number(Unit::Count("a port"), &bases));
        let base = base.transpose()?.unwrap_or(8090);
        // Both fit: their bounds say so.
        let port = |port| u16::try_from(port).unwrap_or(u16::MAX);
        Ok(port(base)..port(base + nodes))
    }
}

/// A cluster to be.
#[derive(Debug)]
pub(super) struct Plan {
    /// One replica at each, all at 127.0.0.1.
    pub(super) addresses: Vec<Address>,
    /// The filter of their logs, where one is given.
    pub(super) log: Option<String>,
    /// What the replicas are told of shards.
    pub(super) map: ShardMap,
}

/// Some other program has a port that a replica needs; nothing was started.
#[derive(Debug, thiserror::Error)]
#[error("{protocol} port {} of {} cannot be used: {error}; stop what uses it or choose others by --base-port", address.port(), address.ip())]
pub(super) struct PortInUse {
    protocol: &'static str,
    address: SocketAddr,
    error: std::io::Error,
}

impl Plan {
    /// Checks the settings that the replicas will find in their environment, once for all of them.
    pub(super) fn new(args: &ClusterArgs) -> Result<Self, SettingsError> {
        let sockets = args
            .ports()?
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let addresses: Vec<Address> = sockets
            .filter_map(|socket| socket.try_into().ok())
            .collect();
        debug_assert!(
            !addresses.is_empty(),
            "loopback addresses with ports are addresses"
        );
        let mut plan = Self {
            addresses,
            log: args.log.as_ref().map(|given| given.text.clone()),
            map: ShardMap::implicit(),
        };
        let settings = Settings::validated(&plan.given_to_replicas(args))?;
        if let Ok(map) = settings.shard_map() {
            plan.map = map;
        }
        Ok(plan)
    }

    /// What the first of the replicas will be given, for all of them.
    fn given_to_replicas(&self, args: &ClusterArgs) -> Vec<Given> {
        let own = |flag, text| Given {
            flag,
            from: Source::Flag(flag),
            text,
        };
        let mut given = vec![
            own("socket-address", self.addresses[0].to_string()),
            own("view", self.view()),
        ];
        given.extend(args.log.clone());
        given.extend(args.shards.clone());
        let inherited = SettingsArgs::from_environment().given.into_iter();
        given.extend(inherited.filter(|text| !GIVEN.contains(&text.flag)));
        given
    }

    /// All addresses as VIEW has them.
    pub(super) fn view(&self) -> String {
        let texts: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        texts.join(",")
    }

    /// Takes all ports and lets go of them again.
    pub(super) fn check_ports(&self) -> Result<(), PortInUse> {
        let mut held = Vec::new();
        for address in self.addresses.iter().map(|address| address.socket()) {
            let refused = |protocol| {
                move |error| PortInUse {
                    protocol,
                    address,
                    error,
                }
            };
            let tcp = TcpListener::bind(address).map_err(refused("TCP"))?;
            held.push((tcp, UdpSocket::bind(address).map_err(refused("UDP"))?));
        }
        Ok(())
    }
}
