//! What must hold of settings beyond each value alone: bounds, order, and what would expose the cluster.

use std::collections::HashMap;

use proto::net::Address;

use crate::error::{Origin, SettingsError};
use crate::sections::Settings;
use crate::{ByteSize, TimeSpan};

const CHUNK_SIZE_MIN: ByteSize = ByteSize::kibi(4);
const CHUNK_SIZE_MAX: ByteSize = ByteSize::mebi(8);
const HEARTBEAT_INTERVAL_MIN: TimeSpan = TimeSpan::millis(10);
const REPLICATION_FACTOR_MAX: u8 = 16;

/// Where each value that is not a default was given, by `section.key`.
pub(crate) type Origins = HashMap<String, Origin>;

/// Checks everything; the first thing found wrong is the error.
pub(crate) fn all(settings: &Settings, origins: &Origins) -> Result<(), SettingsError> {
    let broken = rules(settings).into_iter().find(|rule| !rule.holds);
    let Some(Rule { keys, reason, .. }) = broken else {
        return Ok(());
    };
    // Of the keys that do not go together, the one that somebody gave is at fault.
    let given = keys.iter().find(|key| origins.contains_key(**key));
    let key = *given.unwrap_or(&keys[0]);
    let (section, name) = key.split_once('.').expect("rules name section and key");
    Err(SettingsError::Conflict {
        origin: origins.get(key).cloned().unwrap_or(Origin::Default),
        key: key.to_owned(),
        text: settings.show(section, name),
        reason,
    })
}

struct Rule {
    holds: bool,
    keys: Vec<&'static str>,
    reason: String,
}

fn rule(holds: bool, keys: &[&'static str], reason: impl Into<String>) -> Rule {
    Rule {
        holds,
        keys: keys.to_vec(),
        reason: reason.into(),
    }
}

fn rules(settings: &Settings) -> Vec<Rule> {
    let mut rules = cluster_rules(settings);
    rules.extend(capacity_rules(settings));
    rules.extend(exposure_rules(settings));
    rules
}

fn cluster_rules(settings: &Settings) -> Vec<Rule> {
    let cluster = &settings.cluster;
    let chunk_sizes = CHUNK_SIZE_MIN..=CHUNK_SIZE_MAX;
    vec![
        rule(
            chunk_sizes.contains(&cluster.chunk_size),
            &["cluster.chunk_size"],
            format!("it must be from {CHUNK_SIZE_MIN} to {CHUNK_SIZE_MAX}"),
        ),
        rule(
            (1..=REPLICATION_FACTOR_MAX).contains(&cluster.replication_factor),
            &["cluster.replication_factor"],
            format!("it must be from 1 to {REPLICATION_FACTOR_MAX}"),
        ),
        rule(
            cluster.min_write_replicas >= 1,
            &["cluster.min_write_replicas"],
            "it must be at least 1, or uploads would succeed that are stored nowhere",
        ),
        rule(
            cluster.min_write_replicas <= cluster.replication_factor,
            &["cluster.min_write_replicas", "cluster.replication_factor"],
            format!(
                "cluster.min_write_replicas ({}) must not be above cluster.replication_factor ({})",
                cluster.min_write_replicas, cluster.replication_factor
            ),
        ),
        rule(
            cluster.heartbeat_interval >= HEARTBEAT_INTERVAL_MIN,
            &["cluster.heartbeat_interval"],
            format!("it must be at least {HEARTBEAT_INTERVAL_MIN}"),
        ),
        rule(
            cluster.failure_timeout > cluster.heartbeat_interval,
            &["cluster.failure_timeout", "cluster.heartbeat_interval"],
            format!(
                "cluster.failure_timeout ({}) must be above cluster.heartbeat_interval ({}), or living nodes would be \
                 taken for dead",
                cluster.failure_timeout, cluster.heartbeat_interval
            ),
        ),
        rule(
            cluster.repairs_per_node >= 1,
            &["cluster.repairs_per_node"],
            "it must be at least 1, or lost copies would never be replaced",
        ),
        rule(
            cluster.repair_rate.is_none_or(|rate| rate.get() > 0),
            &["cluster.repair_rate"],
            "it must be above 0, or lost copies would never be replaced; none means no limit",
        ),
        rule(
            cluster.file_size_max.is_none_or(|max| max.get() > 0),
            &["cluster.file_size_max"],
            "it must be above 0, or only empty files would be taken; none means no limit",
        ),
    ]
}

fn capacity_rules(settings: &Settings) -> Vec<Rule> {
    let node = &settings.storage_node;
    vec![
        rule(
            !node.data.is_empty(),
            &["storage_node.data"],
            "it must name at least one folder",
        ),
        rule(
            node.extent_size.get() >= settings.cluster.chunk_size.get().saturating_mul(2),
            &["storage_node.extent_size", "cluster.chunk_size"],
            "storage_node.extent_size must be at least two times cluster.chunk_size",
        ),
        rule(
            !settings.client.master.is_empty(),
            &["client.master"],
            "it must name at least one master",
        ),
        rule(
            settings.client.chunks_in_flight >= 1,
            &["client.chunks_in_flight"],
            "it must be at least 1",
        ),
        rule(
            settings.web.uploads_at_once >= 1,
            &["web.uploads_at_once"],
            "it must be at least 1",
        ),
        rule(
            settings
                .web
                .upload_request_max
                .is_none_or(|max| max >= ByteSize::kibi(64)),
            &["web.upload_request_max"],
            "it must be at least 64KiB, or none",
        ),
        rule(
            settings.web.idle_timeout.as_millis() > 0,
            &["web.idle_timeout"],
            "it must be above 0, or every upload and download would be cut off",
        ),
        rule(
            node.scrub_rate.get() > 0,
            &["storage_node.scrub_rate"],
            "it must be above 0, or copies that rot would not be found",
        ),
    ]
}

fn exposure_rules(settings: &Settings) -> Vec<Rule> {
    let has_secret = settings.cluster.secret.is_some();
    let without_secret = |listen: &Address| {
        format!(
            "without cluster.secret whoever reaches {listen} can read and delete everything; set cluster.secret (the \
             same for all processes), or listen on 127.0.0.1"
        )
    };
    let (master, node, web) = (
        &settings.master.listen,
        &settings.storage_node.listen,
        &settings.web.listen,
    );
    vec![
        rule(
            has_secret || master.is_loopback(),
            &["master.listen"],
            without_secret(master),
        ),
        rule(
            has_secret || node.is_loopback(),
            &["storage_node.listen"],
            without_secret(node),
        ),
        rule(
            settings.web.allow_network || web.is_loopback(),
            &["web.listen"],
            format!(
                "the page asks nobody for a password, so whoever reaches {web} can read and delete everything; set \
                 web.allow_network = true if that is meant, or listen on 127.0.0.1"
            ),
        ),
    ]
}
