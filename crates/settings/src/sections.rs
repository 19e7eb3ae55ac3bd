//! The table of all settings: section, key, type, default and meaning, one row each.
//!
//! A new setting is one row here and one in the repository's `config.toml` (a test tells if it is forgotten there).

use std::path::PathBuf;

use proto::hello::ClusterSecret;
use proto::master::ClusterRules;
use proto::name::NameRules;
use proto::net::Address;

use crate::value::{LogFilter, LogFormat, Secret, SettingValue, Share};
use crate::{ByteSize, Network, TimeSpan, WebAddress};

macro_rules! sections {
    ($(
        $(#[$doc:meta])*
        $section:ident: $name:ident {
            $($(#[$key_doc:meta])* $key:ident: $type:ty = $default:expr;)*
        }
    )*) => {
        /// All settings, by section.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Settings {
            $($(#[$doc])* pub $section: $name,)*
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $name {
                $($(#[$key_doc])* pub $key: $type,)*
            }

            impl Default for $name {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }
        )*

        impl Settings {
            /// Every section and key, in the order of the table.
            pub fn keys() -> impl Iterator<Item = (&'static str, &'static str)> {
                [$($((stringify!($section), stringify!($key)),)*)*].into_iter()
            }

            /// Sets one value from its texts.
            ///
            /// # Errors
            /// What the value must be.
            ///
            /// # Panics
            /// If the table has no such key; whoever calls has looked.
            pub(crate) fn set(&mut self, section: &str, key: &str, texts: &[String]) -> Result<(), String> {
                match (section, key) {
                    $($((stringify!($section), stringify!($key)) => {
                        self.$section.$key = <$type>::read(texts).ok_or_else(<$type>::allowed)?;
                        Ok(())
                    })*)*
                    _ => unreachable!("{section}.{key} is not in the table"),
                }
            }

            /// One value as it would be written; empty if the table has no such key.
            pub(crate) fn show(&self, section: &str, key: &str) -> String {
                match (section, key) {
                    $($((stringify!($section), stringify!($key)) => self.$section.$key.show(),)*)*
                    _ => String::new(),
                }
            }

            /// Whether a setting is a list, whose values stand between commas outside the file.
            pub(crate) fn is_list(section: &str, key: &str) -> bool {
                match (section, key) {
                    $($((stringify!($section), stringify!($key)) => stringify!($type).starts_with("Vec"),)*)*
                    _ => false,
                }
            }
        }
    };
}

sections! {
    /// What all processes of a cluster agree on. The master decides; the nodes learn it from there.
    cluster: ClusterSettings {
        /// Files are cut into chunks of this size. Fixed when the cluster is made.
        chunk_size: ByteSize = ByteSize::mebi(1);
        /// Copies of every chunk, on as many nodes.
        replication_factor: u8 = 3;
        /// Copies without which an upload fails; repair makes the rest.
        min_write_replicas: u8 = 2;
        /// How often a node tells the master that it lives.
        heartbeat_interval: TimeSpan = TimeSpan::secs(5);
        /// A node silent for so long is dead, and its chunks are copied elsewhere.
        failure_timeout: TimeSpan = TimeSpan::secs(15);
        /// Largest file that is taken.
        file_size_max: Option<ByteSize> = None;
        /// Which names are taken: any, or only those that every system can hold.
        names: NameRules = NameRules::Any;
        /// What the processes of the cluster share; without it they talk to this machine only.
        secret: Option<Secret> = None;
        /// How long an upload may be silent before it is given up.
        upload_lease: TimeSpan = TimeSpan::days(1);
        /// How long a resumable upload is kept from its beginning, at least for a lease from the last that came.
        resumable_upload_retention: TimeSpan = TimeSpan::days(7);
        /// How long chunks that no file needs are kept.
        garbage_grace: TimeSpan = TimeSpan::hours(1);
        /// How long deleted files stay in the trash.
        trash_retention: TimeSpan = TimeSpan::days(30);
        /// How long overwritten versions are kept.
        version_retention: TimeSpan = TimeSpan::days(30);
        /// How long chunks on a node that the master does not know are kept.
        unknown_chunk_grace: TimeSpan = TimeSpan::hours(24);
        /// Bytes a second that repair may copy in all.
        repair_rate: Option<ByteSize> = None;
        /// Chunks that repair copies from, and to, one node at once.
        repairs_per_node: u8 = 2;
    }
    /// The master.
    master: MasterSettings {
        /// Where it listens.
        listen: Address = address("127.0.0.1:9000");
        /// Its folder: names, versions, placement.
        data: PathBuf = PathBuf::from("./master_data");
        /// Memory for pages of its store.
        cache: ByteSize = ByteSize::mebi(8);
    }
    /// A storage node.
    storage_node: StorageNodeSettings {
        /// Where it listens.
        listen: Address = address("127.0.0.1:9001");
        /// Where others reach it, if that is not where it listens.
        advertise: Option<Address> = None;
        /// Its folders, one a disk: the bytes of chunks.
        data: Vec<PathBuf> = vec![PathBuf::from("./node1_storage")];
        /// Its room, rack or power line: copies go to distinct zones.
        zone: String = String::new();
        /// Space that is left free on each disk, but never more than 5 % of it.
        reserve: ByteSize = ByteSize::gibi(1);
        /// A file of chunks is sealed at this size.
        extent_size: ByteSize = ByteSize::gibi(1);
        /// Memory for pages of its index.
        cache: ByteSize = ByteSize::mebi(8);
        /// Bytes a second that the scrubber rereads at most. What it has read is read again a month later.
        scrub_rate: ByteSize = ByteSize::mebi(10);
        /// An extent of which a smaller share lives is written anew, and its space won back.
        compact_below: Share = Share::HALF;
    }
    /// The page and the HTTP API.
    web: WebSettings {
        /// Where it listens.
        listen: Address = address("127.0.0.1:5000");
        /// Whether it may listen where other machines reach it: it asks nobody for a password.
        allow_network: bool = false;
        /// Names by which browsers reach it, beside the address and `localhost`.
        hosts: Vec<String> = Vec::new();
        /// Where people reach it from elsewhere: share links begin with this. Not given, it is the address that the owner uses.
        public_url: Option<WebAddress> = None;
        /// Proxies that are believed where requests come from (`X-Forwarded-For`): addresses or networks.
        proxies: Vec<Network> = Network::loopback();
        /// Uploads taken at once; further ones wait.
        uploads_at_once: u32 = 32;
        /// The longest body that the page sends in one request, for a proxy in front of it that takes no longer ones.
        upload_request_max: Option<ByteSize> = None;
        /// The largest file that whoever has a link may add to a folder.
        request_file_max: Option<ByteSize> = None;
        /// A transfer that moves no byte for so long is cut off.
        idle_timeout: TimeSpan = TimeSpan::secs(60);
    }
    /// How nodes, the page and the command line reach the cluster.
    client: ClientSettings {
        /// The master, or all of them. Not given, it is where `master.listen` says.
        master: Vec<Address> = vec![address("127.0.0.1:9000")];
        /// Chunks that one transfer sends or reads ahead at once.
        chunks_in_flight: u8 = 8;
    }
    /// Logs, which go to standard error.
    log: LogSettings {
        /// Which events: error, warn, info, debug, trace or off.
        level: LogFilter = LogFilter::info();
        /// For people (`text`) or programs (`json`).
        format: LogFormat = LogFormat::Text;
    }
}

impl Settings {
    /// Whether the table has this section and key.
    pub(crate) fn has(section: &str, key: &str) -> bool {
        Self::keys().any(|row| row == (section, key))
    }

    /// The sections' names.
    pub(crate) fn sections() -> Vec<&'static str> {
        let mut names: Vec<_> = Self::keys().map(|(section, _)| section).collect();
        names.dedup();
        names
    }

    /// The keys of one section.
    pub(crate) fn keys_of(section: &str) -> Vec<&'static str> {
        Self::keys()
            .filter(|(name, _)| *name == section)
            .map(|(_, key)| key)
            .collect()
    }
}

impl ClusterSettings {
    /// What a new cluster is made with.
    pub fn rules(&self) -> ClusterRules {
        let chunk_size = u32::try_from(self.chunk_size.get());
        ClusterRules {
            chunk_size: chunk_size.expect("checked against its bounds when loaded"),
            replication_factor: self.replication_factor,
            min_write_replicas: self.min_write_replicas,
            file_size_max: self.file_size_max.map(ByteSize::get),
            names: self.names,
        }
    }

    /// What proves to a peer that this process belongs to the cluster.
    pub fn cluster_secret(&self) -> Option<ClusterSecret> {
        self.secret.as_ref().map(Secret::cluster_secret)
    }
}

impl StorageNodeSettings {
    /// Where others reach the node, given where it listens now (port 0 has become a real one).
    pub fn advertised(&self, listening: &Address) -> Address {
        self.advertise.clone().unwrap_or_else(|| listening.clone())
    }
}

fn address(text: &str) -> Address {
    text.parse().expect("the defaults are addresses")
}
