//! The file `MANIFEST`: the files of the store, and the log position that they cover.
//! Owns the atomic swap, and the previous manifest in `MANIFEST.previous`; knows nothing of the content of files.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use crate::checkpoint::older_manifests;
use crate::checkpoint::published::PublishedSets;
use crate::fs::disk::Disk;
use crate::fs::header::Fingerprint;
use crate::fs::mmap::Residence;
use crate::fs::section::SectionFile;
use crate::fs::section_table::Verification;
use crate::fs::section_writer::SectionWriter;
use crate::fs::verified_files::{OpenMode, VerifiedFiles};
use crate::segments;
use crate::segments::FILES_BEFORE_PROPERTIES;
use crate::types::cancel::CancelToken;
use crate::types::codec;
use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;
use crate::types::ids::{Epoch, StoreId};
use crate::types::position;
use crate::types::position::Positions;
use crate::types::weights::relation_options::TimeUnit;
use crate::wal::record_scan::LogStart;

const KIND: [u8; 4] = *b"MANI";
/// Version 2 has positions; version 3 names a fingerprint of every file, and the record before the log. Since version 4 derived
/// files may change rows of others, and may be newer than the checkpoint. Since version 5 there are properties, since version 6 options of
/// relations, and times have a unit. Since version 7 there are several derived sets.
const VERSION: u32 = 7;
/// The first version with a section of its own for derived sets.
const SETS: u32 = 7;
const BODY: [u8; 8] = *b"body\0\0\0\0";
const DERIVED: [u8; 8] = *b"derived\0";
const POSITIONS: [u8; 8] = *b"position";
pub(crate) const CURRENT: &str = "MANIFEST";
/// A copy, in case a bit of the current one is flipped: the manifest is the only file that names the model.
pub(crate) const COPY: &str = "MANIFEST.copy";
pub(crate) const PREVIOUS: &str = "MANIFEST.previous";
/// All names of manifests.
pub(crate) const MANIFEST_NAMES: [&str; 3] = [CURRENT, COPY, PREVIOUS];
const MAX_FILE_NAME: usize = 64;

/// The name of a file of the store: `topology.7.hg` is the topology written with manifest 7.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FileName {
    pub(crate) what: String,
    pub(crate) number: u64,
}

/// A file as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct NamedFile {
    pub(crate) name: FileName,
    pub(crate) fingerprint: Fingerprint,
}

/// The content of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The store's identity; none in a manifest before version 3.
    pub(crate) store: StoreId,
    /// The number of earlier manifests.
    pub(crate) number: u64,
    /// The epoch of the checkpoint files, and the first record of the log after it.
    pub(crate) epoch: u64,
    pub(crate) replay_from: u64,
    /// The checksum of the record before that one, where it is known: a log that continues another record is not the log
    /// of these files.
    pub(crate) replay_after: Option<u64>,
    /// Records from this one on are in the log; older ones may be trimmed.
    pub(crate) log_start: u64,
    /// The checkpoint files, in the order of [`segments::FILES`]. The last one is missing until the first checkpoint of a store of before
    /// properties.
    pub(crate) segments: Vec<NamedFile>,
    /// The derived sets.
    pub(crate) published: PublishedSets,
    /// The positions of inputs in the batches that the checkpoint covers.
    pub(crate) positions: Positions,
    /// `None` in a manifest of before units.
    pub(crate) time_unit: Option<TimeUnit>,
}

/// The section `body`.
type Body = (u64, u64, u64, Option<u64>, u64, Vec<NamedFile>, TimeUnit);

impl FileName {
    pub(crate) fn new(what: &str, number: u64) -> Self {
        Self { what: what.to_owned(), number }
    }

    pub(crate) fn path(&self, store: &Path) -> PathBuf {
        store.join(format!("{}.{}.hg", self.what, self.number))
    }

    /// Parses the name of a file of the store.
    fn parse(name: &str) -> Option<Self> {
        let (what, number) = name.strip_suffix(".hg")?.rsplit_once('.')?;
        let number = number.parse().ok()?;
        is_file_stem(what).then(|| Self::new(what, number))
    }
}

impl NamedFile {
    pub(crate) fn path(&self, store: &Path) -> PathBuf {
        self.name.path(store)
    }

    /// Opens the file; one of another store or another time is damage.
    pub(crate) fn open(
        &self,
        disk: &Disk,
        residence: Residence,
        mode: OpenMode<'_>,
    ) -> Result<SectionFile, Error> {
        let path = self.path(disk.folder());
        let file =
            SectionFile::open_named(disk, &path, self.fingerprint, residence, mode.verification(&path))?;
        file.verify()?;
        Ok(file)
    }

    /// Opens a derived file, as [`Self::open`]. In a mapped store its sections are verified when they are used.
    pub(crate) fn open_derived(&self, disk: &Disk, mode: OpenMode<'_>) -> Result<SectionFile, Error> {
        let path = self.path(disk.folder());
        let verification = mode.verification(&path);
        let file = SectionFile::open_named(disk, &path, self.fingerprint, Residence::Mapped, verification)?;
        if !mode.is_mapped {
            file.verify()?;
        }
        Ok(file)
    }

    /// True if an open file is this one.
    pub(crate) fn is(&self, open: &SectionFile, disk: &Disk) -> bool {
        open.fingerprint() == self.fingerprint && open.path() == self.path(disk.folder())
    }

    /// The entry of a file that an older manifest names: the file as it is is taken for the right one.
    pub(crate) fn adopted(disk: &Disk, name: FileName) -> Self {
        let fingerprint = Fingerprint::of(disk, &name.path(disk.folder()));
        Self { name, fingerprint }
    }
}

/// True for a name that a derived file may have: lowercase letters, digits and hyphens.
pub(crate) fn is_file_stem(what: &str) -> bool {
    let ours = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_FILE_NAME).contains(&what.len()) && what.bytes().all(ours)
}

impl Manifest {
    /// Reads a manifest; `None` when there is no such file.
    pub(crate) fn read(disk: &Disk, name: &str) -> Result<Option<Self>, Error> {
        let path = disk.folder().join(name);
        let file = match SectionFile::open(disk, &path, Residence::Loaded, Verification::AtOpening) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            other => other?,
        };
        // The sections.
        file.require(KIND, VERSION)?;
        let damaged = |what| file.damaged("section 'body'", what);
        let body = file.section(BODY)?;
        let unreadable = |_| damaged("unreadable");
        let (fields, published, time_unit) = if file.version() < SETS {
            older_manifests::decode(disk, file.version(), body).map_err(unreadable)?
        } else {
            let (number, epoch, replay_from, replay_after, log_start, segments, unit): Body =
                codec::decode(body).map_err(unreadable)?;
            let published = codec::decode(file.section(DERIVED)?);
            let published = published.map_err(|_| file.damaged("section 'derived'", "unreadable"))?;
            ((number, epoch, replay_from, replay_after, log_start, segments), published, Some(unit))
        };
        let (number, epoch, replay_from, replay_after, log_start, segments) = fields;
        let positions = if file.has(POSITIONS) || file.version() == 2 {
            position::decode(file.section(POSITIONS)?)
                .map_err(|what| file.damaged("section 'position'", what))?
        } else {
            Positions::default()
        };
        // Names and log positions are consistent.
        let manifest = Self {
            store: file.store(),
            number,
            epoch,
            replay_from,
            replay_after,
            log_start,
            segments,
            published,
            positions,
            time_unit,
        };
        let named = manifest.segments.iter().map(|file| file.name.what.as_str());
        let names =
            &segments::FILES[..manifest.segments.len().clamp(FILES_BEFORE_PROPERTIES, segments::FILES.len())];
        if !named.eq(names.iter().copied()) || !manifest.published.is_valid() {
            return Err(damaged("names of unknown files"));
        }
        if manifest.log_start > manifest.first_needed() {
            return Err(damaged("a log that starts after a record that is needed"));
        }
        Ok(Some(manifest))
    }

    /// The contradiction between the current manifest and the one in the file `name`, if there is one. An older copy is
    /// none, nor is a previous manifest of the same number: a crash between the renames of a swap leaves them.
    pub(crate) fn contradiction(&self, name: &str, other: &Self) -> Option<String> {
        if !self.store.may_be(other.store) {
            return Some("it is of another store than the current manifest".to_owned());
        }
        match other.number.cmp(&self.number) {
            Ordering::Less => None,
            Ordering::Equal => (name == COPY && self != other).then(|| {
                format!("it differs from the current manifest, which has the same number {}", self.number)
            }),
            Ordering::Greater => Some(format!(
                "its number is {}, that of the current manifest only {}",
                other.number, self.number
            )),
        }
    }

    /// The first record that opening the store by this manifest needs.
    pub(crate) fn first_needed(&self) -> u64 {
        self.published.first_record().map_or(self.replay_from, |first| first.min(self.replay_from))
    }

    /// The place in the log from which records are read.
    pub(crate) fn log_start(&self, first: u64) -> LogStart {
        LogStart { first, replay_from: self.replay_from, replay_after: self.replay_after }
    }

    /// Writes this manifest and its copy, and `previous`, under temporary names. The files that they name must be
    /// synced already.
    ///
    /// # Errors
    /// Errors of writing; nothing has changed then.
    pub(crate) fn prepare<'a>(
        &self,
        disk: &'a Disk,
        previous: Option<&Self>,
    ) -> Result<PreparedManifest<'a>, Error> {
        self.write(disk, CURRENT)?;
        self.write(disk, COPY)?;
        if let Some(previous) = previous {
            previous.write(disk, PREVIOUS)?;
        }
        // The names of the files become durable before a manifest names them.
        disk.sync_folder(disk.folder()).map_err(|e| Error::io(disk.folder(), "sync", e))?;
        Ok(PreparedManifest { disk, has_previous: previous.is_some() })
    }

    /// Writes the manifest under the temporary name of `name`.
    fn write(&self, disk: &Disk, name: &str) -> Result<(), Error> {
        let path = disk.folder().join(format!("{name}.tmp"));
        let Self { number, epoch, replay_from, replay_after, log_start, segments, published, .. } = self;
        let unit = self.time_unit();
        let body = (number, epoch, replay_from, replay_after, log_start, segments, unit);
        let mut writer = SectionWriter::new(KIND, VERSION);
        writer.section(BODY, codec::encode(&body));
        writer.section(DERIVED, codec::encode(published));
        if !self.positions.is_empty() {
            writer.section(POSITIONS, position::encode(&self.positions));
        }
        writer.write_to(disk.target(&path), &CancelToken::new()).map(drop)
    }

    /// Writes the copy of the current manifest again, after a crash between the two renames of a swap.
    ///
    /// # Errors
    /// Errors of writing; the old copy is still there then.
    pub(crate) fn write_copy(&self, disk: &Disk) -> Result<(), Error> {
        self.write(disk, COPY)?;
        let (from, path) = (disk.folder().join(format!("{COPY}.tmp")), disk.folder().join(COPY));
        disk.rename(&from, &path).map_err(|e| Error::io(&path, "replace", e))?;
        disk.sync_folder(disk.folder()).map_err(|e| Error::io(disk.folder(), "sync", e))
    }

    /// All files that the manifest names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &NamedFile> {
        self.segments.iter().chain(self.published.files())
    }

    /// Records all files of the manifest as verified.
    pub(crate) fn record_verified(&self, disk: &Disk) {
        let paths: Vec<PathBuf> = self.files().map(|file| file.path(disk.folder())).collect();
        VerifiedFiles::write(disk, paths.iter().map(PathBuf::as_path));
    }

    /// The unit of the times of all edges.
    pub(crate) fn time_unit(&self) -> TimeUnit {
        self.time_unit.unwrap_or(TimeUnit::Unknown)
    }

    /// The epoch of the checkpoint.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::new(self.epoch)
    }
}

/// A manifest that is written but not current yet.
#[must_use]
pub(crate) struct PreparedManifest<'a> {
    disk: &'a Disk,
    has_previous: bool,
}

impl PreparedManifest<'_> {
    /// Makes it the current manifest.
    ///
    /// # Visibility
    /// At every moment there is one complete current manifest, the old one or this one; durable on return.
    ///
    /// # Errors
    /// Errors of the system; which manifest is current is then found by reading it.
    pub(crate) fn make_current(self) -> Result<(), Error> {
        let store = self.disk.folder();
        let sync = || self.disk.sync_folder(store).map_err(|e| Error::io(store, "sync", e));
        let put = |name: &str| {
            let (from, path) = (store.join(format!("{name}.tmp")), store.join(name));
            self.disk.rename(&from, &path).map_err(|e| Error::io(&path, "replace", e))
        };
        if self.has_previous {
            put(PREVIOUS)?;
        }
        put(CURRENT)?;
        sync()?;
        put(COPY)?;
        sync()
    }
}

/// Removes files of the store that none of the manifests names: leftovers of a crash or a publish. A file that cannot
/// be removed stays until the next time.
pub(crate) fn remove_unnamed_files(disk: &Disk, keep: &[&Manifest]) {
    for (name, file) in names(disk) {
        let unnamed =
            file.is_some_and(|file| !keep.iter().any(|manifest| manifest.files().any(|f| f.name == file)));
        if unnamed || MANIFEST_NAMES.iter().any(|manifest| name.strip_suffix(".tmp") == Some(manifest)) {
            // No process reads it.
            let _ = disk.remove(&disk.folder().join(name));
        }
    }
}

/// The largest number in the names of the store's files.
pub(crate) fn largest_number(disk: &Disk) -> u64 {
    names(disk).into_iter().filter_map(|(_, file)| file).map(|file| file.number).max().unwrap_or(0)
}

/// The names in the folder, parsed where they are names of the store's files; empty where the folder cannot be read.
fn names(disk: &Disk) -> Vec<(String, Option<FileName>)> {
    disk.names().into_iter().map(|name| (name.clone(), FileName::parse(&name))).collect()
}

/// True for a name that an interrupted creation may leave.
pub(crate) fn is_creation_leftover(name: &str) -> bool {
    matches!(name, "LOCK" | "LOG.END" | "JOURNAL" | "CHECKED" | "log" | "MANIFEST.tmp" | "MANIFEST.copy.tmp")
        || FileName::parse(name).is_some_and(|f| f.number == 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn manifest(number: u64) -> Manifest {
        let fingerprint = Fingerprint { bytes: number, checksum: 1 << 40 };
        let segments =
            segments::FILES.map(|what| NamedFile { name: FileName::new(what, number), fingerprint });
        // The first without positions, the others with one.
        let positions = (0..number.min(1)).map(|_| ("input".to_owned(), number.into())).collect();
        Manifest {
            store: StoreId::from_bytes([7; 16]),
            number,
            epoch: 1,
            replay_from: 5,
            replay_after: Some(number),
            log_start: 5,
            segments: segments.into(),
            published: PublishedSets::default(),
            positions: Positions::new(positions),
            time_unit: Some(TimeUnit::Microseconds),
        }
    }

    #[test]
    fn a_swap_keeps_the_one_before_and_sweeps_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path();
        let disk = Disk::of(store).with_store(StoreId::from_bytes([7; 16]));
        let mut before = None;
        assert_eq!(Manifest::read(&disk, CURRENT).expect("readable"), None);
        for number in 0..3 {
            for file in &manifest(number).segments {
                fs::write(file.path(store), "x").expect("written");
            }
            let prepared = manifest(number).prepare(&disk, before.as_ref()).expect("written");
            prepared.make_current().expect("published");
            before = Some(manifest(number));
        }
        fs::write(store.join("notes.txt"), "not ours").expect("written");
        let current = Manifest::read(&disk, CURRENT).expect("readable").expect("there");
        let previous = Manifest::read(&disk, PREVIOUS).expect("readable").expect("there");
        assert_eq!((current.number, previous.number), (2, 1));
        assert_eq!((&current, &previous), (&manifest(2), &manifest(1)));
        assert_eq!(Manifest::read(&disk, COPY).expect("readable").as_ref(), Some(&current));
        remove_unnamed_files(&disk, &[&current, &previous]);
        let mut left: Vec<_> = fs::read_dir(store)
            .expect("there")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("text"))
            .collect();
        left.sort();
        assert_eq!(left.len(), 2 * segments::FILES.len() + 3 + 1, "{left:?}");
        assert!(!left.contains(&"keys.0.hg".to_owned()));
    }
}
