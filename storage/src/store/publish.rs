//! How files take the place of the log: checkpoints, loads and publishes.
//! Owns the order of writing, swapping the manifest, and showing the state over the new files; commits go on meanwhile.

use std::sync::{Arc, PoisonError};

use crate::bulk::load::BulkLoad;
use crate::checkpoint::derived::{Derived, Publish, check_names};
use crate::checkpoint::manifest::{FileName, Learned, Manifest, sweep};
use crate::checkpoint::write_checkpoint;
use crate::fs::verified_files::{Opening, VerifiedFiles};
use crate::graph::apply::Applier;
use crate::graph::graph_state::GraphState;
use crate::store::handle::Store;
use crate::store::handle::out_of_reach;
use crate::store::private_pool::apart;
use crate::store::writer::{Settling, Writing};
use crate::types::cancel::CancelToken;
use crate::types::commit_summary::Commit;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::wal::log_index::LogIndex;
use crate::wal::record_scan::{DAMAGED, remove_folder};

/// Below so many operations since the last checkpoint, another one is not worth its writing.
const WORTHWHILE_OPS: u64 = 65_536;
/// With so few records left to apply, commits are held up for it.
const FEW_RECORDS: u64 = 64;

/// What a new manifest brings.
struct Brought {
    manifest: Manifest,
    /// The state over new files, where the graph's are new.
    settled: Option<GraphState>,
    derived: Option<Derived>,
}

impl Store {
    /// Brings a whole graph into a store in which nothing was ever committed or published: the files of a checkpoint are
    /// made from it at once, without the log. A load without nodes changes nothing and keeps the epoch.
    ///
    /// # Visibility
    /// Durable on return, as one epoch; snapshots taken from then on show it. Commits wait until it is done. After a kill or
    /// an error the store is empty as before. The files are byte for byte those that commits of the same nodes and edges, in
    /// the same order, and a checkpoint make.
    ///
    /// The log has no record of it. So [`Self::changes`] reaches back to the epoch of the load and no further, also for a
    /// snapshot of the empty store that is still held; and until the next checkpoint the files hold the only copy: where one
    /// is damaged, the graph is to be loaded anew.
    ///
    /// # Errors
    /// [`Error::NotEmpty`]; [`Error::Limit`] for too many neighbours of a node in a relation, repeated edges counted;
    /// otherwise as for [`Self::checkpoint`].
    ///
    /// # Determinism
    /// The same bytes for any number of threads.
    ///
    /// # Cost
    /// Some 0.1 microseconds an edge on two cores, all in, and at most twice the memory of the finished lists where these are
    /// large, the edges of the load included. It has as many threads as the current rayon pool.
    pub fn load(&self, load: BulkLoad, cancel: &CancelToken) -> Result<Commit, Error> {
        let writing = self.writing()?;
        let mut settling = writing.settling()?;
        let syncing = writing.syncing()?;
        let mut planning = writing.planning()?;
        let before = planning.view.epoch;
        if before != Epoch::new(0) || settling.manifest.learned.is_some() {
            return Err(Error::NotEmpty { path: self.path().to_path_buf() });
        }
        if load.is_empty() {
            return Ok(Commit::default());
        }
        let epoch = Epoch::new(before.get() + 1);
        let mut manifest = settling.manifest.clone();
        manifest.number = settling.number + 1;
        manifest.epoch = epoch.get();
        manifest.covered = planning.stager.mark().next;
        let (settled, nodes_added, edges_added) = self.apart(|| {
            let (files, nodes, edges) = load.write(&self.disk, &manifest.base, manifest.number, cancel)?;
            manifest.base = files;
            let settled = self.read_back(&manifest, cancel)?;
            Ok((settled, nodes, edges))
        })?;
        // It is the one before as well: what was there is an empty store, which is nothing to go back to.
        self.enter(writing, &mut settling, &manifest, &manifest)?;
        let mut tail = writing.tail();
        planning.view = Arc::new(settled);
        self.show(&mut tail, Arc::clone(&planning.view));
        tail.pass(epoch);
        drop((tail, planning, syncing));
        Ok(Commit { epoch, nodes_added, edges_added, ..Commit::default() })
    }

    /// Folds the log into files, so that opening is fast and readers in other processes see the present state.
    ///
    /// # Visibility
    /// What was committed when the call began is in the files when it returns, durable. Snapshots stay as they are.
    /// Commits and readers go on meanwhile; commits wait for some milliseconds at its end.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or what writing fails with; the store is then as before, unless it says [`Error::Broken`].
    ///
    /// # Cost
    /// Files with a change in them are written anew, whole, one after the other and in their order.
    pub fn checkpoint(&self, cancel: &CancelToken) -> Result<(), Error> {
        let writing = self.writing()?;
        let mut settling = writing.settling()?;
        self.fold(writing, &mut settling, false, cancel)
    }

    /// A checkpoint, if more than 65,536 changes and a quarter of the base's list entries have gathered in the log.
    /// Returns whether there was one.
    ///
    /// # Visibility
    /// As for [`Self::checkpoint`].
    ///
    /// # Errors
    /// As for [`Self::checkpoint`].
    pub fn checkpoint_if_worthwhile(&self, cancel: &CancelToken) -> Result<bool, Error> {
        let writing = self.writing()?;
        let mut settling = writing.settling()?;
        let relations = &self.snapshot().0.base.topology.relations;
        let edges: u64 = relations.iter().map(|relation| relation.edges).sum();
        if writing.planning()?.tail_ops <= WORTHWHILE_OPS.max(edges / 2) {
            return Ok(false);
        }
        self.fold(writing, &mut settling, false, cancel)?;
        Ok(true)
    }

    /// A checkpoint; with `always` also where nothing was committed since the last one.
    pub(crate) fn fold(
        &self,
        writing: &Writing,
        settling: &mut Settling,
        always: bool,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let view = self.snapshot().0;
        let mut manifest = settling.manifest.clone();
        manifest.number = settling.number + 1;
        if view.epoch == manifest.epoch() {
            let brought = Brought { manifest, settled: None, derived: None };
            return if always { self.swap(writing, settling, brought) } else { Ok(()) };
        }
        let settled = Some(self.write_base(writing, &view, &mut manifest, cancel)?);
        self.swap(writing, settling, Brought { manifest, settled, derived: None })
    }

    /// After damage: writes anew what was damaged, by a checkpoint, and removes the engine that was, unless records of it
    /// were given up. Derived files are left to whoever can compute them.
    pub(crate) fn settle_repairs(&self, gave_up: bool) -> Result<(), Error> {
        let left = self.derived().map_or(0, |derived| derived.damage().count());
        if self.damage().len() == left {
            return Ok(());
        }
        let writing = self.writing()?;
        let mut settling = writing.settling()?;
        self.fold(writing, &mut settling, true, &CancelToken::new())?;
        if gave_up { Ok(()) } else { remove_folder(&self.path().join(DAMAGED)) }
    }

    /// Writes and reads back the files for a state that is shown, and enters them in the manifest.
    fn write_base(
        &self,
        writing: &Writing,
        view: &GraphState,
        manifest: &mut Manifest,
        cancel: &CancelToken,
    ) -> Result<GraphState, Error> {
        manifest.epoch = view.epoch.get();
        manifest.positions = Arc::clone(&view.positions);
        manifest.covered = writing.tail().after(view.epoch).expect("the tail knows where what is shown ends");
        self.apart(|| {
            manifest.base =
                write_checkpoint::fold(&self.disk, view, &manifest.base, manifest.number, cancel)?;
            self.read_back(manifest, cancel)
        })
    }

    /// The state of files that were just written. It is not worth stopping: what is left is less than what is done.
    fn read_back(&self, manifest: &Manifest, cancel: &CancelToken) -> Result<GraphState, Error> {
        let (nothing, cancel) = (VerifiedFiles::default(), CancelToken::new().reporting_to(cancel));
        let opening = Opening { mapped: self.low_memory.then_some(&nothing), cancel: &cancel };
        write_checkpoint::settled(self.path(), manifest, opening)
    }

    fn apart<T: Send>(&self, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
        apart(work).map_err(|e| Error::io(self.path(), "start threads for", e))?
    }

    /// Makes a manifest the current one, and what it names the state that is shown.
    fn swap(&self, writing: &Writing, settling: &mut Settling, brought: Brought) -> Result<(), Error> {
        let Brought { mut manifest, settled, derived } = brought;
        let floor = manifest.floor().min(settling.manifest.floor());
        if let Some(learned) = &mut manifest.learned {
            let mut marks = LogIndex::new(Epoch::new(0), 0, Some(learned.refreshed()));
            if learned.refreshed_seq < manifest.covered {
                writing.touch(&mut marks, learned.refreshed_seq..manifest.covered)?;
            }
            learned.dirty = marks.touched();
        }
        manifest.log_start = floor;
        let mut previous = settling.manifest.clone();
        if manifest.learned.is_none() || self.derived().is_some_and(|derived| !derived.is_whole) {
            // What was damaged or given up is nothing to go back to.
            previous.learned.clone_from(&manifest.learned);
        }
        self.enter(writing, settling, &manifest, &previous)?;
        if let Some(settled) = settled {
            self.rest_on(writing, settled, manifest.covered)?;
        }
        if let Some(derived) = derived {
            self.mark_published(writing, settling, derived)?;
        }
        let mut tail = writing.tail();
        let floor = floor.min(tail.lent_from().unwrap_or(floor));
        tail.trim(floor);
        drop(tail);
        writing.log.trim(floor).map_err(|error| writing.broken(error))
    }

    /// Makes a manifest the current one, and `previous` the one before.
    fn enter(
        &self,
        writing: &Writing,
        settling: &mut Settling,
        manifest: &Manifest,
        previous: &Manifest,
    ) -> Result<(), Error> {
        let prepared = manifest.prepare(&self.disk, Some(previous))?;
        prepared.put().map_err(|error| writing.broken(error))?;
        settling.manifest = manifest.clone();
        settling.number = manifest.number;
        sweep(&self.disk, &[manifest, previous]);
        if self.derived().is_none_or(|derived| derived.is_whole) {
            manifest.trust(&self.disk);
        }
        Ok(())
    }

    /// Shows the present state over new files, which cover the log up to a record: what was committed since is applied to
    /// them, most of it while commits go on.
    fn rest_on(&self, writing: &Writing, settled: GraphState, covered: u64) -> Result<(), Error> {
        let mut applier = Applier::new(settled);
        let mut reached = covered;
        let mut ops = 0;
        let mut apply_to = |end: u64| {
            let range = reached..end;
            reached = end;
            writing.log.scan(range, |head, body| {
                applier.advance(Epoch::new(head.epoch));
                for op in writing.log.ops(head, body)? {
                    ops += 1;
                    applier.apply(op).map_err(|what| writing.log.contradiction(head.seq, what))?;
                }
                Ok(())
            })
        };
        let mut at = covered;
        loop {
            let end = writing.tail().end();
            apply_to(end).map_err(|error| writing.broken(error))?;
            if end - at <= FEW_RECORDS {
                break;
            }
            at = end;
        }
        let mut syncing = writing.syncing()?;
        let mut planning = writing.planning()?;
        let staged = planning.take();
        self.sync(writing, &mut syncing, staged)?;
        apply_to(planning.stager.mark().next).map_err(|error| writing.broken(error))?;
        planning.view = Arc::new(applier.finish());
        planning.tail_ops = ops;
        self.show(&mut writing.tail(), Arc::clone(&planning.view));
        Ok(())
    }

    fn mark_published(&self, writing: &Writing, settling: &Settling, derived: Derived) -> Result<(), Error> {
        let refreshed = derived.refreshed;
        let mut shown = self.derived.write().unwrap_or_else(PoisonError::into_inner);
        let goes_on = shown.as_ref().is_some_and(|before| before.generation == derived.generation);
        *shown = Some(derived);
        drop(shown);
        // Nothing is committed while the nodes that were touched since are gathered.
        let _syncing = writing.syncing()?;
        let mut tail = writing.tail();
        if goes_on && tail.refreshed.is_some_and(|marked| marked >= refreshed) {
            return Ok(());
        }
        // Another model starts from its own epoch, whatever the one before had reached.
        let learned = settling.manifest.learned.as_ref().expect("it was published with this manifest");
        tail.restart(refreshed);
        let end = tail.end();
        writing.touch(&mut tail, learned.refreshed_seq..end)
    }

    /// Gives up everything derived, the model with it, as if nothing had been trained.
    ///
    /// # Visibility
    /// Durable on return; what was handed out stays readable.
    ///
    /// # Errors
    /// As for [`Self::checkpoint`].
    pub fn discard_derived(&self) -> Result<(), Error> {
        let writing = self.writing()?;
        let mut settling = writing.settling()?;
        let mut manifest = settling.manifest.clone();
        manifest.number = settling.number + 1;
        manifest.learned = None;
        self.swap(writing, &mut settling, Brought { manifest, settled: None, derived: None })?;
        *self.derived.write().unwrap_or_else(PoisonError::into_inner) = None;
        writing.tail().forget();
        Ok(())
    }

    /// Replaces the derived files, and keeps the log from the epoch on that they reflect. Where that epoch is past the last
    /// checkpoint, the graph's files are written too, so that a reader never sees embeddings of nodes that it has not.
    ///
    /// # Visibility
    /// Durable on return, all files together. Readers in other processes see the old set or the new one. Commits go on
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that a file cannot have, or an epoch that the store has not reached or whose changes
    /// are no longer in the log; otherwise as for [`Self::checkpoint`].
    #[expect(clippy::needless_pass_by_value, reason = "what is published is written and done with")]
    pub fn publish(&self, publish: Publish<'_>, cancel: &CancelToken) -> Result<(), Error> {
        check_names(&publish.files)?;
        let writing = self.writing()?;
        let mut settling = writing.settling()?;
        let view = self.snapshot().0;
        let refreshed = publish.refreshed;
        let refreshed_seq = writing.tail().after(refreshed).filter(|_| refreshed <= view.epoch);
        let refreshed_seq = refreshed_seq.ok_or_else(|| out_of_reach(refreshed, &view))?;
        let mut manifest = settling.manifest.clone();
        manifest.number = settling.number + 1;
        let before = manifest.learned.take().map_or(Vec::new(), |learned| learned.files);
        let mut files = Vec::new();
        for (name, content) in &publish.files {
            let kept = before.iter().find(|file| file.what == *name);
            files.push(match (content, kept) {
                (Some(_), _) => FileName::new(name, manifest.number),
                (None, Some(kept)) => kept.clone(),
                (None, None) => {
                    return Err(Error::invalid(
                        "derived file to keep",
                        name,
                        "one that was published before",
                    ));
                }
            });
        }
        let (generation, refreshed_epoch) = (publish.generation.get(), refreshed.get());
        let learned =
            Learned { generation, refreshed: refreshed_epoch, refreshed_seq, dirty: 0, files: files.clone() };
        let new =
            || files.iter().zip(&publish.files).filter_map(|(file, (_, new))| Some((file, new.as_ref()?)));
        let write = || {
            for (file, content) in new() {
                content.write_to(self.disk.target(&file.path(self.path())), cancel)?;
            }
            let derived = Derived::open(self.path(), &learned, Opening { mapped: None, cancel })?;
            manifest.learned = Some(learned);
            let settled = (refreshed > settling.manifest.epoch())
                .then(|| self.write_base(writing, &view, &mut manifest, cancel))
                .transpose()?;
            Ok((Some(derived), settled))
        };
        let (derived, settled) = write().inspect_err(|_| {
            // What cannot be removed is swept at the next publish.
            new().for_each(|(file, _)| drop(self.disk.remove(&file.path(self.path()))));
        })?;
        self.swap(writing, &mut settling, Brought { manifest, settled, derived })
    }
}
