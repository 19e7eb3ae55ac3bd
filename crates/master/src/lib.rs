//! The master: names, versions, placement and membership.

pub mod command;
pub mod commit;
pub mod handlers;
pub mod leases;
pub mod membership;
pub mod placement;
pub mod safe_mode;
pub mod state;
