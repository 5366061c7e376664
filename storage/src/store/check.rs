//! Checks all files of a store and lists every problem.
//! Owns the set of checks; opens nothing for writing, so that damage stays as it is found.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::checkpoint::manifest::{COPY, CURRENT, Manifest, NamedFile, PREVIOUS};
use crate::checkpoint::write_checkpoint;
use crate::fs::disk::Disk;
use crate::fs::lock::Lock;
use crate::fs::mmap::Residence;
use crate::fs::verified_files::OpenMode;
use crate::graph::apply::Applier;
use crate::graph::graph_state::GraphState;
use crate::graph::invariants::broken_invariants;
use crate::store::handle::Store;
use crate::store::private_pool::require_threads;
use crate::store::sidecar;
use crate::types::cancel::CancelToken;
use crate::types::damage::Damage;
use crate::types::error::Error;
use crate::types::ids::{Epoch, StoreId};
use crate::types::weights::relation_options::TimeUnit;
use crate::wal::engine::{FILE, FOLDER};
use crate::wal::log_end::LogEnd;
use crate::wal::record::ops;
use crate::wal::record_scan::ScannedRecords;

const OPENING_HELPS: &str = "opening the store for writing repairs it";
const COMPUTED: &str = "it is computed again when embeddings are next needed";
const TRAINED: &str = "a repair removes it; train again afterwards";
const ONLY_COPY: &str = "there is no other copy: restore a backup, or import the data again";
const BUG: &str = "this is a bug of the program: export the data, and report it";

/// The extent of [`Store::check`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Checks every invariant of the graph, besides all checksums and records.
    pub deep: bool,
    /// Skips the lock, and with it the log: for a store that another process writes.
    pub read_only: bool,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CheckReport {
    /// All problems found; empty for a sound store.
    pub problems: Vec<Damage>,
    /// The number of files read, those of the engine included.
    pub files: u64,
    /// The size of these files, in bytes.
    pub bytes: u64,
    /// The number of records of the log.
    pub records: u64,
    /// The number of living nodes, where the graph could be recovered.
    pub nodes: u64,
    /// The number of edges in all relations.
    pub edges: u64,
    /// The unit of the times of edges, where the graph could be recovered.
    pub time_unit: Option<TimeUnit>,
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { problems, files, bytes, records, nodes, edges, .. } = self;
        write!(f, "{files} files of {bytes} bytes, {records} records, {nodes} nodes, {edges} edges: ")?;
        if problems.is_empty() {
            return f.write_str("sound");
        }
        write!(f, "{} problems", problems.len())?;
        problems.iter().try_for_each(|problem| {
            let Damage { path, place, what, remedy } = problem;
            write!(f, "\n{}: {place}: {what}; {remedy}", path.display())
        })
    }
}

impl Store {
    /// Reads all files of a store, with all checksums and records of both checkpoints, and lists every problem. Changes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::NotAStore`], [`Error::Locked`], [`Error::Cancelled`], [`Error::NewerVersion`], or errors of reading;
    /// damage is reported, not an error.
    ///
    /// # Cost
    /// Reading all files once; `deep` adds two reads for each end of each edge, parallel over nodes.
    pub fn check(
        path: impl AsRef<Path>,
        options: CheckOptions,
        cancel: &CancelToken,
    ) -> Result<CheckReport, Error> {
        let path = path.as_ref();
        require_threads(false)?;
        crate::store::open::require_store(path)?;
        let disk = Disk::of(path).hold().map_err(|e| Error::io(path, "open", e))?;
        let _lock = if options.read_only { None } else { Some(Lock::take(&disk)?) };
        let mut check = Check { path, disk, report: CheckReport::default(), problems: BTreeMap::new() };
        let checkpointed = check.files(cancel)?;
        let checkpointed = match (checkpointed, options.read_only) {
            (checkpointed, true) => checkpointed.map(|(state, _)| state),
            (checkpointed, false) => check.log(checkpointed, cancel)?,
        };
        if let Some(state) = checkpointed {
            check.report.nodes = state.alive;
            check.report.time_unit = Some(state.time_unit);
            check.report.edges = state.relations.iter().map(|relation| relation.edges).sum();
            if options.deep {
                check.graph(&state, cancel)?;
            }
        }
        check.report.problems = check.problems.into_values().collect();
        Ok(check.report)
    }
}

struct Check<'a> {
    path: &'a Path,
    disk: Disk,
    report: CheckReport,
    /// By file and place, so that each problem is listed once.
    problems: BTreeMap<(std::path::PathBuf, String), Damage>,
}

impl Check<'_> {
    fn problem(&mut self, problem: Damage) {
        self.problems.entry((problem.path.clone(), problem.place.clone())).or_insert(problem);
    }

    fn read(&mut self, path: &Path) {
        self.report.files += 1;
        self.report.bytes += path.metadata().map_or(0, |found| found.len());
    }

    /// True if the process that created the store was killed between the swaps of the first manifest and of its copy. The
    /// next manifest brings the copy.
    fn lacks_first_copy(&self, current: &[Manifest]) -> bool {
        current.len() == 1 && !self.path.join(PREVIOUS).exists()
    }

    /// Checks the manifests and all files that they name; returns the state of the current one, if it can be opened.
    fn files(&mut self, cancel: &CancelToken) -> Result<Option<(GraphState, Manifest)>, Error> {
        // The manifests.
        let mut manifests: Vec<Manifest> = Vec::new();
        for name in [CURRENT, COPY, PREVIOUS] {
            let path = self.path.join(name);
            match Damage::from_result(Manifest::read(&self.disk, name), OPENING_HELPS)? {
                Ok(Some(manifest)) => {
                    self.read(&path);
                    // After a crash between the two renames the copy is of an earlier number, which is no damage.
                    if let Some(problem) =
                        manifests.first().and_then(|first| first.contradiction(name, &manifest))
                    {
                        self.problem(Damage::new(&path, "file", &problem, OPENING_HELPS));
                    }
                    if !manifests.contains(&manifest) {
                        manifests.push(manifest);
                    }
                }
                Ok(None) if name == PREVIOUS => {}
                Ok(None) if name == COPY && self.lacks_first_copy(&manifests) => {}
                Ok(None) => self.problem(Damage::new(&path, "file", "it is missing", OPENING_HELPS)),
                Err(problem) => self.problem(problem),
            }
        }
        // Every file that a manifest names, with a remedy that depends on the file and on other copies.
        manifests.sort_by_key(|manifest| std::cmp::Reverse(manifest.number));
        let mut files: Vec<&NamedFile> = Vec::new();
        for file in manifests.iter().flat_map(Manifest::files) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        let stage = cancel.stage("files", files.iter().map(|file| file.fingerprint.bytes).sum());
        let mode = OpenMode { is_mapped: true, verified: None, cancel };
        for file in files {
            let path = file.path(self.path);
            let is_current = manifests[0].files().any(|other| other == file);
            let everywhere = manifests.iter().all(|manifest| manifest.files().any(|other| other == file));
            let is_base = crate::segments::FILES.contains(&file.name.what.as_str());
            let in_set = manifests.iter().find_map(|manifest| manifest.published.name_of(file));
            let remedy = match (is_base, in_set) {
                (true, _) if is_current && everywhere => ONLY_COPY,
                (true, _) => OPENING_HELPS,
                (false, Some("model")) => TRAINED,
                (false, _) => COMPUTED,
            };
            match Damage::from_result(file.open(&self.disk, Residence::Mapped, mode), remedy)? {
                Err(problem) => self.problem(problem),
                Ok(_) => self.read(&path),
            }
            stage.advance(file.fingerprint.bytes)?;
        }
        stage.end();
        // The sidecars.
        let of_store =
            self.disk.clone().with_store(manifests.first().map_or(StoreId::NONE, |first| first.store));
        for path in sidecar::files(&self.disk).into_values() {
            cancel.check()?;
            match Damage::from_result(sidecar::open(&of_store, &path), sidecar::DAMAGED_REMEDY)? {
                Ok(_) => self.read(&path),
                Err(problem) => self.problem(problem),
            }
        }
        // The segments of each manifest, validated together.
        let (mut current, unobserved) = (None, cancel.reporting_to(&CancelToken::new()));
        for manifest in &manifests {
            cancel.check()?;
            let mode = OpenMode { is_mapped: true, verified: None, cancel: &unobserved };
            let checkpointed = write_checkpoint::open_checkpoint(&self.disk, manifest, mode);
            match Damage::from_result(checkpointed, OPENING_HELPS)? {
                Ok(state) => {
                    current.get_or_insert((state, manifest.clone()));
                }
                Err(problem) => self.problem(problem),
            }
        }
        Ok(current)
    }

    /// Checks the records in the log's files; returns the state with them, if it can be recovered.
    fn log(
        &mut self,
        checkpointed: Option<(GraphState, Manifest)>,
        cancel: &CancelToken,
    ) -> Result<Option<GraphState>, Error> {
        let folder = self.path.join(FOLDER);
        // The end of the log, and the records up to it.
        let log_end = Damage::from_result(LogEnd::read(&self.disk), OPENING_HELPS)?;
        let log_end = match log_end {
            Ok(log_end) => Some(log_end),
            Err(problem) => {
                self.problem(problem);
                None
            }
        };
        self.read(&folder.join(FILE));
        let Some((state, manifest)) = checkpointed else { return Ok(None) };
        let scanned = ScannedRecords::read(&self.disk, manifest.log_start(manifest.log_start))?;
        let chain = match scanned.chain(manifest.log_start, log_end) {
            Ok(chain) => chain,
            Err(missing) => {
                let needed = missing >= manifest.first_needed();
                let remedy = if needed { "a repair gives up the records from it on" } else { OPENING_HELPS };
                let place = format!("record {missing}");
                self.problem(Damage::new(&folder, &place, "it is missing or damaged", remedy));
                match scanned.chain(manifest.replay_from, log_end) {
                    Ok(chain) => chain,
                    Err(_) => return Ok(None),
                }
            }
        };
        // The operations of the records.
        self.report.records = chain.len() as u64;
        let mut applier = Applier::new(state);
        let stage = cancel.stage("records", self.report.records);
        for (head, range) in chain.iter().filter(|(head, _)| head.seq >= manifest.replay_from) {
            stage.advance(1)?;
            applier.advance(Epoch::new(head.epoch));
            let body = &scanned.bytes(range)[crate::wal::record::HEAD..];
            let applied =
                ops(head, body).and_then(|ops| ops.into_iter().try_for_each(|op| applier.apply(op)));
            if let Err(what) = applied {
                self.problem(Damage::new(&folder, &format!("record {}", head.seq), what, BUG));
                return Ok(None);
            }
        }
        stage.end();
        Ok(Some(applier.finish()))
    }

    /// Checks every invariant that checksums do not cover.
    fn graph(&mut self, state: &GraphState, cancel: &CancelToken) -> Result<(), Error> {
        for (place, what) in broken_invariants(state, cancel)? {
            self.problem(Damage::new(self.path, &place, what, BUG));
        }
        Ok(())
    }
}
