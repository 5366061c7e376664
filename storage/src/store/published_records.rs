//! The records between the files of a checkpoint and the epoch of the derived files, for readers, which have no log.
//! A publish writes them instead of new segments while they are few.

use std::ops::Range;

use crate::checkpoint::published::Published;
use crate::fs::section::SectionFile;
use crate::fs::section_writer::SectionWriter;
use crate::graph::apply::Applier;
use crate::graph::graph_state::GraphState;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::wal::engine::{Log, MAX_BODY};
use crate::wal::record;
use crate::wal::record::Head;

/// The name of the file among the derived files.
pub(crate) const RECORDS: &str = "records";
const KIND: [u8; 4] = *b"RECS";
const VERSION: u32 = 1;
const SECTION: [u8; 8] = *b"records\0";

/// Segments are written instead of records that take more than one in this many of their bytes.
const LARGEST_SHARE: u64 = 16;
/// Records that are written whatever the segments take: a reader applies them in some milliseconds.
const SMALL: u64 = 1 << 20;

/// The file of these records. `None` if they are so many that segments of these bytes should be written instead.
///
/// # Errors
/// Damage to the log.
pub(crate) fn records_file(
    log: &Log,
    records: Range<u64>,
    segment_bytes: u64,
) -> Result<Option<SectionWriter<'static>>, Error> {
    let most = (segment_bytes / LARGEST_SHARE).max(SMALL);
    let (mut all, mut is_small) = (Vec::new(), true);
    log.scan(records, |head, body| {
        is_small &= (all.len() + record::HEAD + body.len()) as u64 <= most;
        if is_small {
            all.extend_from_slice(&record::encode(&mut head.clone(), body));
        }
        Ok(())
    })?;
    let mut file = SectionWriter::new(KIND, VERSION);
    file.section(SECTION, all);
    Ok(is_small.then_some(file))
}

/// The state after the records of a publish that it does not have.
///
/// # Errors
/// Damage to the file, or records that do not follow the state.
pub(crate) fn apply_records(
    state: GraphState,
    file: &SectionFile,
    published: &Published,
) -> Result<GraphState, Error> {
    file.require(KIND, VERSION)?;
    let covered = state.epoch;
    let mut applier = Applier::new(state);
    let (mut bytes, mut before) = (file.section(SECTION)?, None::<Head>);
    let damaged = |what: &str| file.damaged("section 'records'", what);
    while !bytes.is_empty() {
        let (head, body) = record::decode(bytes, MAX_BODY).map_err(damaged)?;
        bytes = &bytes[record::HEAD + body.len()..];
        if before.is_some_and(|before| !head.follows(&before)) {
            return Err(damaged("a record does not follow the one before"));
        }
        before = Some(head);
        if head.epoch <= covered.get() {
            continue;
        }
        if head.epoch != applier.epoch().get() + u64::from(head.is_first()) {
            return Err(damaged("its first record does not follow the checkpoint"));
        }
        applier.advance(Epoch::new(head.epoch));
        for op in record::ops(&head, body).map_err(damaged)? {
            applier.apply(op).map_err(damaged)?;
        }
    }
    if before.is_some_and(|last| !last.is_last()) || applier.epoch() < published.refreshed() {
        return Err(damaged("its last record is not that of the derived files"));
    }
    Ok(applier.finish())
}
