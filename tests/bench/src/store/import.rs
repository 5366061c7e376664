//! A whole graph loaded from memory, and imported from files by the verb `import`. The memory of both is measured in processes of
//! their own.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use hedgerow::NodeIx;

use crate::measure::Failure;
use crate::process;
use crate::process::Process;
use crate::store::{Bench, files, load};

/// Loads and imports; leaves the store `store` and the file `edges.csv`, and returns the edges a second of the csv.
pub(super) fn measure(bench: &mut Bench<'_>, edges: Vec<(NodeIx, NodeIx)>) -> Result<f64, Failure> {
    let count = edges.len() as f64;
    let plan = bench.setup.plan;
    let first_board = plan.items;
    // The edges as files, for the verb.
    write(&bench.path("edges.csv"), |text| {
        text.push_str("pin,board\n");
        for (pin, board) in &edges {
            writeln!(text, "{pin},{}", board.get() - first_board)?;
        }
        Ok(())
    })?;
    write(&bench.path("edges.txt"), |text| {
        for pin in edges.chunk_by(|one, other| one.0 == other.0) {
            write!(text, "{}", pin[0].0)?;
            for (_, board) in pin {
                write!(text, " {}", board.get() - first_board)?;
            }
            text.push('\n');
        }
        Ok(())
    })?;
    // The load from memory, and its memory in a process that does nothing else.
    let (store, seconds) = load(&bench.path("store"), (plan.items, plan.boards), edges, &bench.cancel)?;
    drop(store);
    let loaded = count / seconds;
    let threads = rayon::current_num_threads();
    bench.record(
        "load",
        loaded / 1e6,
        "M edges/s",
        None,
        threads,
        "from memory, with the nodes, read back",
    )?;
    let disk = size(&bench.path("store"))?;
    let flags =
        [plan.items.to_string(), plan.boards.to_string(), plan.edges.to_string(), plan.seed.to_string()];
    let mut words = vec!["load"];
    for (flag, value) in ["--items", "--boards", "--edges", "--seed"].into_iter().zip(&flags) {
        words.extend([flag, value]);
    }
    if let Some(peak) = process::run(words.into_iter().map(AsRef::as_ref), &bench.cancel)?.memory {
        let against = Some(("bytes on disk", peak / disk));
        let options = "of a process that makes the graph, too";
        bench.record("load, peak memory", peak / count, "bytes an edge", against, threads, options)?;
    }
    bench.record("load, on disk", disk / count, "bytes an edge", None, threads, "")?;

    // Both formats, by the verb.
    let csv: &[&str] = &["--format", "csv"];
    let adjacency: &[&str] = &["--format", "adjacency", "--src", "pin", "--dst", "board"];
    let mut rate = 0.0;
    for (name, file, format) in [("csv", "edges.csv", csv), ("adjacency", "edges.txt", adjacency)] {
        let Imported { seconds, peak, disk } = import(bench, file, format)?;
        let from =
            format!("a {name} file, by the verb in a process of its own, which begins and ends in the time");
        let against = Some(("load", count / seconds / loaded));
        bench.record(
            &format!("import {name}"),
            count / seconds / 1e3,
            "k edges/s",
            against,
            threads,
            &from,
        )?;
        if let Some(peak) = peak {
            let case = format!("import {name}, peak memory");
            bench.record(
                &case,
                peak / count,
                "bytes an edge",
                Some(("bytes on disk", peak / disk)),
                threads,
                &from,
            )?;
        }
        bench.record(
            &format!("import {name}, on disk"),
            disk / count,
            "bytes an edge",
            None,
            threads,
            &from,
        )?;
        if name == "csv" {
            rate = count / seconds;
        }
    }
    Ok(rate)
}

struct Imported {
    seconds: f64,
    /// The most memory that the process had, in bytes, where the system says.
    peak: Option<f64>,
    disk: f64,
}

fn import(bench: &Bench<'_>, file: &str, format: &[&str]) -> Result<Imported, Failure> {
    let (store, file) = (bench.path("imported"), bench.path(file));
    let words =
        ["hedgerow".as_ref(), "import".as_ref(), store.as_os_str(), "--edges".as_ref(), file.as_os_str()];
    let words = words.into_iter().chain(format.iter().map(AsRef::as_ref));
    let Process { seconds, memory: peak, .. } = process::run(words, &bench.cancel)?;
    let disk = size(&store)?;
    fs::remove_dir_all(&store)?;
    Ok(Imported { seconds, peak, disk })
}

/// Bytes of all files of a folder.
fn size(folder: &Path) -> Result<f64, Failure> {
    let sizes = files(folder)?.into_iter().map(|path| fs::metadata(path).map(|known| known.len()));
    Ok(sizes.sum::<std::io::Result<u64>>()? as f64)
}

fn write(path: &Path, content: impl FnOnce(&mut String) -> std::fmt::Result) -> Result<(), Failure> {
    let mut text = String::new();
    content(&mut text).expect("writing to a string");
    Ok(fs::write(path, text)?)
}
