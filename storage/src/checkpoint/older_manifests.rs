//! The section `body` of manifests before version 7, which had the only derived set in it.

use crate::checkpoint::manifest::{FileName, NamedFile};
use crate::checkpoint::published::{OnlySet, PublishedSets};
use crate::fs::disk::Disk;
use crate::types::codec;
use crate::types::codec::Decode;
use crate::types::error::Error;
use crate::types::weights::relation_options::TimeUnit;

/// The first version with fingerprints.
const FINGERPRINTS: u32 = 3;
/// The first version with properties.
const PROPERTIES: u32 = 5;
/// The first version with a unit of times.
const TIME_UNIT: u32 = 6;

/// The fields of all versions: number, epoch, first record after it, the record before that one, log start, files.
pub(crate) type Fields = (u64, u64, u64, Option<u64>, u64, Vec<NamedFile>);

/// The section of version 6.
type WithUnit = (u64, u64, u64, Option<u64>, u64, Vec<NamedFile>, Option<OnlySet>, TimeUnit);

/// The section of version 5: without a unit of times.
type Unitless = (u64, u64, u64, Option<u64>, u64, Vec<NamedFile>, Option<OnlySet>);

/// The section of versions 3 and 4: without properties.
type FourFiles = (u64, u64, u64, Option<u64>, u64, [NamedFile; 4], Option<OnlySet>);

/// The section before version 3: without fingerprints.
type WithoutFingerprints = (u64, u64, u64, u64, [FileName; 4], Option<OldSet>);

#[derive(Decode)]
struct OldSet {
    generation: u64,
    refreshed: u64,
    refreshed_seq: u64,
    dirty: u64,
    files: Vec<FileName>,
}

/// Decodes the section of a version. The unit is `None` before there were units.
pub(crate) fn decode(
    disk: &Disk,
    version: u32,
    bytes: &[u8],
) -> Result<(Fields, PublishedSets, Option<TimeUnit>), Error> {
    let (fields, set, unit) = match version {
        ..FINGERPRINTS => {
            let (number, epoch, replay_from, log_start, files, set): WithoutFingerprints =
                codec::decode(bytes)?;
            let adopted = |name| NamedFile::adopted(disk, name);
            let files = files.into_iter().map(adopted).collect();
            let set = set.map(|old| OnlySet {
                generation: old.generation,
                refreshed: old.refreshed,
                refreshed_seq: old.refreshed_seq,
                dirty: old.dirty,
                files: old.files.into_iter().map(adopted).collect(),
            });
            ((number, epoch, replay_from, None, log_start, files), set, None)
        }
        FINGERPRINTS..PROPERTIES => {
            let (number, epoch, replay_from, replay_after, log_start, files, set): FourFiles =
                codec::decode(bytes)?;
            ((number, epoch, replay_from, replay_after, log_start, files.into()), set, None)
        }
        PROPERTIES..TIME_UNIT => {
            let (number, epoch, replay_from, replay_after, log_start, files, set): Unitless =
                codec::decode(bytes)?;
            ((number, epoch, replay_from, replay_after, log_start, files), set, None)
        }
        _ => {
            let (number, epoch, replay_from, replay_after, log_start, files, set, unit): WithUnit =
                codec::decode(bytes)?;
            ((number, epoch, replay_from, replay_after, log_start, files), set, Some(unit))
        }
    };
    Ok((fields, set.into(), unit))
}
