//! What a node survives, on disks that crash, fail, fill up and rot.

mod any_extent;
mod damage;
mod every_record;
mod faults;
mod hung_disks;
mod index_bytes;
mod index_damage;
mod membership;
mod model;
mod offline;
#[cfg(feature = "races")]
mod races;
mod reopening;
mod send;
mod sequences;
mod several_disks;
mod space;
mod start;
mod summaries;
mod support;
mod unreadable;
mod while_it_runs;
mod wire;
