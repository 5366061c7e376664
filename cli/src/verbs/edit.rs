//! `link`, `unlink` and `remove`: one change, which is durable when the command returns.

use std::path::PathBuf;

use clap::Args;
use hedgerow::{Batch, Edge, NodeName, TimeUnit};

use crate::core::failure::Failure;
use crate::input::timestamp;
use crate::session::context::Context;
use crate::transfer::edges::edge_flags::RepeatFlag;

/// The arguments of `link`.
#[derive(Args, Debug)]
pub(crate) struct LinkArgs {
    /// The store's folder; it is created if there is none
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// A node, such as pin:42; both nodes are created if they do not exist
    #[arg(value_name = "A")]
    a: NodeName,
    /// The other node
    #[arg(value_name = "B")]
    b: NodeName,
    /// The weight of the edge, a number above 0
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    weight: f32,
    /// The time of the edge: an ISO 8601 date or date and time, or seconds, milliseconds or microseconds since 1970 [default: none]
    #[arg(long, value_parser = timestamp::argument, allow_negative_numbers = true)]
    time: Option<i64>,
    /// The relation of the edge [default: the names of the two kinds, such as board-pin]
    #[arg(long, value_name = "NAME")]
    relation: Option<String>,
    /// The effect on an edge that is there already
    #[arg(long, value_enum, default_value_t = RepeatFlag::Last)]
    repeat: RepeatFlag,
}

/// The arguments of `unlink`.
#[derive(Args, Debug)]
pub(crate) struct UnlinkArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// A node, such as pin:42
    #[arg(value_name = "A")]
    a: NodeName,
    /// The other node
    #[arg(value_name = "B")]
    b: NodeName,
    /// The relation of the edge [default: the names of the two kinds, such as board-pin]
    #[arg(long, value_name = "NAME")]
    relation: Option<String>,
}

/// The arguments of `remove`.
#[derive(Args, Debug)]
pub(crate) struct RemoveArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42; its edges and features are removed too
    #[arg(value_name = "A")]
    node: NodeName,
}

pub(crate) fn link(ctx: &mut Context, args: LinkArgs) -> Result<(), Failure> {
    ctx.map_files();
    let mut batch = Batch::new();
    let mut edge = Edge {
        weight: args.weight,
        time: args.time,
        relation: args.relation.as_deref(),
        repeat: args.repeat.into(),
    };
    batch.link(args.a.as_ref(), args.b.as_ref(), edge)?;
    // An edge that is refused creates no store.
    let store = ctx.store_or_new(&args.store)?;
    let unit = store.snapshot().time_unit();
    if unit != TimeUnit::Microseconds {
        edge.time = args.time.map(|time| unit.from_microseconds(time));
        batch.clear();
        batch.link(args.a.as_ref(), args.b.as_ref(), edge)?;
    }
    let commit = store.commit(&batch)?;
    if commit.edges_changed > 0 {
        ctx.out.note("the edge existed; its weight or time was changed");
    } else if commit.edges_added == 0 {
        ctx.out.note("the edge exists already; nothing changed");
    }
    ctx.out.record(vec![
        ("nodes", commit.nodes_added.into()),
        ("edges", commit.edges_added.into()),
        ("changed", commit.edges_changed.into()),
        ("epoch", commit.epoch.get().into()),
    ])
}

pub(crate) fn unlink(ctx: &mut Context, args: UnlinkArgs) -> Result<(), Failure> {
    ctx.map_files();
    let mut batch = Batch::new();
    batch.unlink(args.a.as_ref(), args.b.as_ref(), args.relation.as_deref())?;
    let commit = ctx.store(&args.store)?.commit(&batch)?;
    if commit.edges_absent > 0 {
        ctx.out.note("no such edge exists; nothing changed");
    }
    ctx.out.record(vec![
        ("edges", commit.edges_removed.into()),
        ("absent", commit.edges_absent.into()),
        ("epoch", commit.epoch.get().into()),
    ])
}

pub(crate) fn remove(ctx: &mut Context, args: RemoveArgs) -> Result<(), Failure> {
    ctx.map_files();
    let mut batch = Batch::new();
    batch.remove(args.node.as_ref())?;
    let commit = ctx.store(&args.store)?.commit(&batch)?;
    ctx.out.record(vec![
        ("nodes", commit.nodes_removed.into()),
        ("edges", commit.edges_removed.into()),
        ("epoch", commit.epoch.get().into()),
    ])
}
