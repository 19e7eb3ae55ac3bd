//! `dfs safe-mode leave` and `dfs fuse reset`: what only a person may decide.

use anyhow::Context as _;

use crate::context::Context;

pub(super) async fn leave_safe_mode(context: &Context) -> anyhow::Result<()> {
    let left = context.cluster.leave_safe_mode().await;
    left.context("leave safe mode")?;
    context
        .narrator
        .done("safe mode is over: repair and deletions go on with the nodes that are here")?;
    Ok(())
}

pub(super) async fn reset_fuse(context: &Context) -> anyhow::Result<()> {
    let reset = context.cluster.reset_delete_fuse().await;
    reset.context("reset the fuse")?;
    context
        .narrator
        .done("the fuse is reset: as many copies as it stopped may go")?;
    Ok(())
}
