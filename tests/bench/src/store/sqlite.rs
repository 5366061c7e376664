//! The same import, commits and reads in SQLite: a table of edges with an index for each direction, and both of its journals.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use hedgerow_cli::synthetic::Random;
use rusqlite::{Connection, params};

use crate::measure::Failure;
use crate::store::Bench;
use crate::store::commits::ROUNDS;

/// The figures of the store: edges imported, commits and reads a second.
pub(super) struct Own {
    pub(super) imported: f64,
    pub(super) single: f64,
    pub(super) read: f64,
}

pub(super) fn measure(bench: &mut Bench<'_>, own: &Own) -> Result<(), Failure> {
    for journal in ["wal", "delete"] {
        let path = bench.path(&format!("{journal}.sqlite"));
        one(bench, own, journal, &path).map_err(|error| format!("SQLite refused something: {error}"))??;
    }
    Ok(())
}

/// The rows of one journal; the outer result is SQLite's.
fn one(
    bench: &mut Bench<'_>,
    own: &Own,
    journal: &str,
    path: &Path,
) -> rusqlite::Result<Result<(), Failure>> {
    let mut database = Connection::open(path)?;
    database.pragma_update(None, "journal_mode", journal)?;
    database.pragma_update(None, "synchronous", "FULL")?;
    // The import.
    let csv = bench.path("edges.csv");
    let since = Instant::now();
    let count = import(&mut database, &csv)?;
    let imported = count as f64 / since.elapsed().as_secs_f64();

    // Durable commits of one edge.
    let (plan, mut random) = (bench.setup.plan, Random::new(1));
    let insert = "INSERT OR REPLACE INTO edges (pin, board, weight) VALUES (?1, ?2, ?3)";
    let mut statement = database.prepare(insert)?;
    let mut single = 0.0_f64;
    for _ in 0..ROUNDS {
        let (since, mut done) = (Instant::now(), 0_u32);
        while since.elapsed() < bench.setup.span / ROUNDS as u32 {
            done += 1;
            let (pin, board) = (random.below(u64::from(plan.items)), random.below(u64::from(plan.boards)));
            statement.execute(params![pin as i64, board as i64, f64::from(done + 1)])?;
        }
        single = single.max(f64::from(done) / since.elapsed().as_secs_f64());
    }
    drop(statement);

    // Reads of all neighbors of a node.
    let mut statement = database.prepare("SELECT board FROM edges WHERE pin = ?1")?;
    let (mut read, mut sum) = (0.0_f64, 0_i64);
    for _ in 0..ROUNDS {
        let (since, mut reads) = (Instant::now(), 0_u32);
        while since.elapsed() < bench.setup.span / ROUNDS as u32 {
            reads += 1;
            let pin = random.below(u64::from(plan.items)) as i64;
            let mut rows = statement.query([pin])?;
            while let Some(row) = rows.next()? {
                sum += row.get::<_, i64>(0)?;
            }
        }
        read = read.max(f64::from(reads) / since.elapsed().as_secs_f64());
    }
    std::hint::black_box(sum);

    let options = format!(
        "SQLite {}, journal {journal}, synchronous FULL, two indexes, whole numbers for keys",
        rusqlite::version()
    );
    let mut put = |case: &str, value: f64, unit, per: f64, name, own: f64| {
        bench.record(
            &format!("SQLite {journal}: {case}"),
            value / per,
            unit,
            Some((name, value / own)),
            1,
            &options,
        )
    };
    Ok(put("import", imported, "k edges/s", 1e3, "import csv", own.imported)
        .and_then(|()| put("commits of one edge", single, "1/s", 1.0, "commits of one edge", own.single))
        .and_then(|()| put("reads", read, "M reads/s", 1e6, "reads by name", own.read)))
}

/// The file in one transaction, the indexes at its end.
fn import(database: &mut Connection, csv: &Path) -> rusqlite::Result<u64> {
    let unreadable = |error: std::io::Error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    let transaction = database.transaction()?;
    transaction
        .execute_batch("CREATE TABLE edges (pin INTEGER, board INTEGER, weight REAL, time INTEGER)")?;
    let mut count = 0;
    {
        let mut statement =
            transaction.prepare("INSERT INTO edges (pin, board, weight) VALUES (?1, ?2, 1.0)")?;
        let mut lines = BufReader::new(File::open(csv).map_err(unreadable)?);
        let mut line = String::new();
        lines.read_line(&mut line).map_err(unreadable)?;
        loop {
            line.clear();
            if lines.read_line(&mut line).map_err(unreadable)? == 0 {
                break;
            }
            let ends = line.trim_end().split_once(',').unwrap_or_default();
            let (pin, board) = (ends.0.parse::<i64>(), ends.1.parse::<i64>());
            statement.execute(params![pin.unwrap_or_default(), board.unwrap_or_default()])?;
            count += 1;
        }
    }
    transaction.execute_batch(
        "CREATE UNIQUE INDEX by_pin ON edges (pin, board); CREATE INDEX by_board ON edges (board, pin);",
    )?;
    transaction.commit()?;
    Ok(count)
}
