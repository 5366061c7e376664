//! The open store: commits, snapshots, checkpoints and publishes.
//! Owns the order in which things become durable and visible; the parts know nothing of one another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::apart::apart;
use crate::apply::Applier;
use crate::base::FILES;
use crate::changes::Changes;
use crate::derived::{Derived, Publish, check_names};
use crate::lock::Lock;
use crate::log::{Appender, Log};
use crate::manifest::{FileName, Learned, Manifest, sweep};
use crate::op::Op;
use crate::open::OpenOptions;
use crate::plan::{Plan, plan};
use crate::tail::Tail;
use crate::view::View;
use crate::{Batch, CancelToken, Epoch, Error, Load, Snapshot, checkpoint};

/// Below so many operations since the last checkpoint, another one is not worth its writing.
const WORTHWHILE_OPS: u64 = 65_536;

/// What a commit did, net of what later operations of its batch undid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The epoch that shows the batch; the one before where it changed nothing.
    pub epoch: Epoch,
    /// Nodes that were created or brought back.
    pub nodes_added: u64,
    /// Nodes that were removed.
    pub nodes_removed: u64,
    /// Edges where there was none.
    pub edges_added: u64,
    /// Edges that got another weight or time.
    pub edges_changed: u64,
    /// Edges that are gone, by themselves or with a node.
    pub edges_removed: u64,
    /// Edges that were to be removed and were not there.
    pub edges_absent: u64,
    /// Sets of tokens and dense rows that differ from before; all those that a removed node loses count as one.
    pub features_changed: u64,
}

/// Bytes on disk, by file: `topology`, `nodes`, `keys`, `features`, `log` and the derived ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The bytes of each.
    pub files: BTreeMap<String, u64>,
}

/// An open store. Share it in an [`Arc`]; dropping it releases the lock.
///
/// # Visibility
/// One writer at a time commits; readers work on [`Snapshot`]s, and never wait for it.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    low_memory: bool,
    current: RwLock<Snapshot>,
    derived: RwLock<Option<Derived>>,
    role: Role,
}

#[derive(Debug)]
enum Role {
    /// What was dirty when the manifest was written.
    Reader {
        dirty: u64,
    },
    Writer(Box<Writing>),
}

/// What only a store that is open for writing has. The lock is dropped last.
#[derive(Debug)]
pub(crate) struct Writing {
    writer: Mutex<Writer>,
    tail: Mutex<Tail>,
    log: Log,
    is_broken: AtomicBool,
    _lock: Lock,
}

/// What only the one who writes may touch.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) appender: Appender,
    pub(crate) manifest: Manifest,
    pub(crate) previous: Option<Manifest>,
    /// Operations since the checkpoint.
    pub(crate) tail_ops: u64,
}

impl Writing {
    pub(crate) fn new(log: Log, writer: Writer, tail: Tail, lock: Lock) -> Self {
        let is_broken = AtomicBool::new(false);
        Self { writer: Mutex::new(writer), tail: Mutex::new(tail), log, is_broken, _lock: lock }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a failure that leaves open what is on disk.
    fn broken(&self, error: Error) -> Error {
        self.is_broken.store(true, Ordering::Release);
        error
    }

    /// The nodes that records touch.
    fn touch(&self, tail: &mut Tail, records: std::ops::Range<u64>) -> Result<(), Error> {
        self.log.scan(records, |seq, head, body| {
            let ops = self.log.ops(seq, head, body)?;
            tail.touch(Epoch::new(head.epoch), ops.iter().flat_map(Op::nodes).flatten());
            Ok(())
        })
    }
}

impl Store {
    /// How to open one.
    pub fn options() -> OpenOptions {
        OpenOptions::default()
    }

    pub(crate) fn reader(
        path: &Path,
        low_memory: bool,
        view: View,
        derived: Option<Derived>,
        dirty: u64,
    ) -> Self {
        Self::new(path, low_memory, view, derived, Role::Reader { dirty })
    }

    pub(crate) fn writer(
        path: &Path,
        low_memory: bool,
        view: View,
        derived: Option<Derived>,
        writing: Writing,
    ) -> Self {
        Self::new(path, low_memory, view, derived, Role::Writer(Box::new(writing)))
    }

    fn new(path: &Path, low_memory: bool, view: View, derived: Option<Derived>, role: Role) -> Self {
        let current = RwLock::new(Snapshot(Arc::new(view)));
        Self { path: path.to_path_buf(), low_memory, current, derived: RwLock::new(derived), role }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was opened read-only.
    pub fn is_read_only(&self) -> bool {
        matches!(self.role, Role::Reader { .. })
    }

    fn writing(&self) -> Result<&Writing, Error> {
        match &self.role {
            Role::Reader { .. } => Err(Error::ReadOnly { path: self.path.clone() }),
            Role::Writer(writing) => Ok(writing),
        }
    }

    /// Waits for the right to write.
    fn lock(&self) -> Result<(&Writing, MutexGuard<'_, Writer>), Error> {
        let writing = self.writing()?;
        let writer = writing.writer.lock();
        match writer {
            Ok(writer) if !writing.is_broken.load(Ordering::Acquire) => Ok((writing, writer)),
            Ok(_) | Err(_) => Err(Error::Broken { path: self.path.clone() }),
        }
    }

    /// The graph as it is now, frozen.
    pub fn snapshot(&self) -> Snapshot {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows a new state to whoever asks from now on.
    fn show(&self, tail: &mut Tail, view: View) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, Snapshot(Arc::new(view)));
        drop(current);
        if Arc::strong_count(&before.0) > 1 {
            tail.lend(before.epoch(), Arc::downgrade(&before.0));
        }
    }

    /// Commits a batch: all of it or nothing. A batch that changes nothing writes nothing and keeps the epoch.
    ///
    /// # Visibility
    /// Durable on return; snapshots taken from then on show it. Touched nodes are dirty until the next refresh.
    ///
    /// # Errors
    /// Whatever in the batch cannot be, before anything is written. After an I/O error it is not known whether the batch is
    /// durable, and the store takes nothing more ([`Error::Broken`]) until it is opened again.
    ///
    /// # Panics
    /// When the state that the batch was checked against does not take it: a broken invariant of this crate.
    ///
    /// # Cost
    /// One fsync, and encoding each touched list once: linear in its length, whatever the size of the store.
    pub fn commit(&self, batch: &Batch) -> Result<Commit, Error> {
        let (writing, mut writer) = self.lock()?;
        let before = self.snapshot();
        let Plan { ops, mut summary } = plan(&before.0, batch)?;
        summary.epoch = before.epoch();
        if ops.is_empty() {
            return Ok(summary);
        }
        let epoch = Epoch::new(before.epoch().get() + 1);
        let first = writing.log.append(&mut writer.appender, epoch, &ops);
        let first = first.map_err(|error| writing.broken(error))?;
        writer.tail_ops += ops.len() as u64;
        let mut applier = Applier::new(View::clone(&before.0));
        drop(before);
        applier.advance(epoch);
        let touched: Vec<u32> = ops.iter().flat_map(Op::nodes).flatten().collect();
        for op in ops {
            applier.apply(op).expect("a plan's operations fit the state it was made for");
        }
        let view = applier.finish();
        let mut tail = writing.tail();
        tail.begin(epoch, first);
        tail.set_end(writer.appender.next());
        tail.touch(epoch, touched);
        self.show(&mut tail, view);
        summary.epoch = epoch;
        Ok(summary)
    }

    /// Brings a whole graph into a store in which nothing was ever committed or published: the files of a checkpoint are
    /// made from it at once, without the log. A load without nodes changes nothing and keeps the epoch.
    ///
    /// # Visibility
    /// Durable on return, as one epoch; snapshots taken from then on show it. After a kill or an error the store is empty as
    /// before. The files are byte for byte those that commits of the same nodes and edges, in the same order, and a checkpoint
    /// make.
    ///
    /// The log has no record of it. So [`Self::changes`] reaches back to the epoch of the load and no further, also for a
    /// snapshot of the empty store that is still held; and the files hold the only copy: where one is damaged, the
    /// manifest before leads to an empty store, which later records of the log do not fit, and the graph is to be
    /// loaded anew.
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
    pub fn load(&self, load: Load, cancel: &CancelToken) -> Result<Commit, Error> {
        let (writing, mut writer) = self.lock()?;
        let before = self.snapshot().epoch();
        if before != Epoch::new(0) || writer.manifest.learned.is_some() {
            return Err(Error::NotEmpty { path: self.path.clone() });
        }
        if load.is_empty() {
            return Ok(Commit::default());
        }
        let epoch = Epoch::new(before.get() + 1);
        let mut next = writer.manifest.clone();
        next.number += 1;
        next.epoch = epoch.get();
        next.covered = writer.appender.next();
        let (settled, nodes_added, edges_added) = self.apart(|| {
            let (files, nodes, edges) = load.write(&self.path, &next.base, next.number, cancel)?;
            next.base = files;
            Ok((checkpoint::settled(&self.path, &next.base, epoch, self.low_memory)?, nodes, edges))
        })?;
        self.swap(writing, &mut writer, next, Some(settled), None)?;
        writing.tail().pass(epoch);
        Ok(Commit { epoch, nodes_added, edges_added, ..Commit::default() })
    }

    /// Folds the log into files, so that opening is fast and readers in other processes see the present state.
    ///
    /// # Visibility
    /// Snapshots stay as they are. Commits wait until it is done, readers do not.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or what writing fails with; the store is then as before, unless it says [`Error::Broken`].
    ///
    /// # Cost
    /// Files with a change in them are written anew, whole.
    pub fn checkpoint(&self, cancel: &CancelToken) -> Result<(), Error> {
        let (writing, mut writer) = self.lock()?;
        self.fold(writing, &mut writer, cancel)
    }

    /// A checkpoint, if more than 65,536 changes and a quarter of the base's list entries have gathered in the log.
    /// Returns whether there was one.
    ///
    /// # Errors
    /// As for [`Self::checkpoint`].
    pub fn checkpoint_if_worthwhile(&self, cancel: &CancelToken) -> Result<bool, Error> {
        let (writing, mut writer) = self.lock()?;
        let edges =
            self.snapshot().0.base.topology.relations.iter().map(|relation| relation.edges).sum::<u64>();
        if writer.tail_ops <= WORTHWHILE_OPS.max(edges / 2) {
            return Ok(false);
        }
        self.fold(writing, &mut writer, cancel)?;
        Ok(true)
    }

    fn fold(&self, writing: &Writing, writer: &mut Writer, cancel: &CancelToken) -> Result<(), Error> {
        let view = self.snapshot().0;
        if view.epoch == writer.manifest.epoch() {
            return Ok(());
        }
        let mut next = writer.manifest.clone();
        next.number += 1;
        let settled = self.write_base(&view, &mut next, writer, cancel)?;
        self.swap(writing, writer, next, Some(settled), None)
    }

    /// Writes and reads back the files for a state, and enters them in the manifest.
    fn write_base(
        &self,
        view: &View,
        next: &mut Manifest,
        writer: &Writer,
        cancel: &CancelToken,
    ) -> Result<View, Error> {
        next.epoch = view.epoch.get();
        next.covered = writer.appender.next();
        self.apart(|| {
            next.base = checkpoint::fold(&self.path, view, &next.base, next.number, cancel)?;
            checkpoint::settled(&self.path, &next.base, view.epoch, self.low_memory)
        })
    }

    fn apart<T: Send>(&self, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
        apart(work).map_err(|e| Error::io(&self.path, "start threads for", e))?
    }

    /// Makes a manifest the current one, and what it names the state that is shown.
    fn swap(
        &self,
        writing: &Writing,
        writer: &mut Writer,
        mut next: Manifest,
        settled: Option<View>,
        derived: Option<Derived>,
    ) -> Result<(), Error> {
        let floor = next.floor().min(writer.manifest.floor());
        if let Some(learned) = &mut next.learned {
            let mut marks = Tail::new(Epoch::new(0), 0, Some(learned.refreshed()));
            if learned.refreshed_seq < next.covered {
                writing.touch(&mut marks, learned.refreshed_seq..next.covered)?;
            }
            learned.dirty = marks.touched();
        }
        next.log_start = floor;
        next.publish(&self.path).map_err(|error| writing.broken(error))?;
        let previous = std::mem::replace(&mut writer.manifest, next);
        sweep(&self.path, &[&writer.manifest, &previous]);
        writer.previous = Some(previous);
        let mut tail = writing.tail();
        if let Some(view) = settled {
            writer.tail_ops = 0;
            self.show(&mut tail, view);
        }
        if let Some(derived) = derived {
            self.mark_published(writing, writer, &mut tail, derived)?;
        }
        let floor = floor.min(tail.lent_from().unwrap_or(floor));
        tail.trim(floor);
        drop(tail);
        writing.log.trim(floor).map_err(|error| writing.broken(error))
    }

    fn mark_published(
        &self,
        writing: &Writing,
        writer: &Writer,
        tail: &mut Tail,
        derived: Derived,
    ) -> Result<(), Error> {
        let mut shown = self.derived.write().unwrap_or_else(PoisonError::into_inner);
        let goes_on = shown.as_ref().is_some_and(|before| before.generation == derived.generation);
        let refreshed = derived.refreshed;
        *shown = Some(derived);
        drop(shown);
        if goes_on && tail.refreshed.is_some_and(|marked| marked >= refreshed) {
            return Ok(());
        }
        // Another model starts from its own epoch, whatever the one before had reached.
        let learned = writer.manifest.learned.as_ref().expect("it was published with this manifest");
        tail.restart(refreshed);
        writing.touch(tail, learned.refreshed_seq..writer.appender.next())
    }

    /// What the last publish wrote; none while nothing derived exists.
    pub fn derived(&self) -> Option<Derived> {
        self.derived.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the derived files, and keeps the log from the epoch on that they reflect. Where that epoch is past the last
    /// checkpoint, the graph's files are written too, so that a reader never sees embeddings of nodes that it has not.
    ///
    /// # Visibility
    /// Durable on return, all files together. Readers in other processes see the old set or the new one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that a file cannot have, or an epoch that the store has not reached or whose changes
    /// are no longer in the log; otherwise as for [`Self::checkpoint`].
    #[expect(clippy::needless_pass_by_value, reason = "what is published is written and done with")]
    pub fn publish(&self, publish: Publish<'_>) -> Result<(), Error> {
        check_names(&publish.files)?;
        let (writing, mut writer) = self.lock()?;
        let view = self.snapshot().0;
        let refreshed = publish.refreshed;
        let refreshed_seq = writing.tail().after(refreshed).filter(|_| refreshed <= view.epoch);
        let refreshed_seq = refreshed_seq.ok_or_else(|| out_of_reach(refreshed, &view))?;
        let mut next = writer.manifest.clone();
        next.number += 1;
        let before = next.learned.take().map_or(Vec::new(), |learned| learned.files);
        let mut files = Vec::new();
        for (name, content) in &publish.files {
            let kept = before.iter().find(|file| file.what == *name);
            files.push(match (content, kept) {
                (Some(_), _) => FileName::new(name, next.number),
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
        for (file, content) in files.iter().zip(&publish.files) {
            if let (_, Some(content)) = content {
                content.write_to(&file.path(&self.path))?;
            }
        }
        let learned = Learned {
            generation: publish.generation.get(),
            refreshed: refreshed.get(),
            refreshed_seq,
            dirty: 0,
            files,
        };
        let derived = Derived::open(&self.path, &learned)?;
        next.learned = Some(learned);
        let settled = (refreshed > writer.manifest.epoch())
            .then(|| self.write_base(&view, &mut next, &writer, &CancelToken::new()))
            .transpose()?;
        self.swap(writing, &mut writer, next, settled, Some(derived))
    }

    /// Says that everything up to an epoch has been refreshed in memory: dirty marks up to it are forgotten. What has
    /// been published is still where a reopened store starts from.
    pub fn mark_refreshed(&self, epoch: Epoch) {
        if let Role::Writer(writing) = &self.role {
            let mut tail = writing.tail();
            if tail.refreshed.is_some() {
                tail.refresh(epoch);
            }
        }
    }

    /// All that changed after `from`, up to and with the epoch of `to`.
    ///
    /// The changes since whatever is published are always there, and those since any snapshot that is still held, but for
    /// one of the empty store before a [`Self::load`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when `from` is past `to`, or its changes are no longer in the log; [`Error::ReadOnly`] when the
    /// store is, unless the epochs are the same.
    ///
    /// # Cost
    /// Reading the records between the two: about a microsecond an edge.
    pub fn changes(&self, from: Epoch, to: &Snapshot) -> Result<Changes, Error> {
        let mut changes = Changes::new(from, to.epoch());
        if from == to.epoch() {
            return Ok(changes);
        }
        let writing = self.writing()?;
        let (start, end) = {
            let tail = writing.tail();
            (tail.after(from), tail.after(to.epoch()))
        };
        let range = start.zip(end).filter(|_| from < to.epoch());
        let (start, end) = range.ok_or_else(|| out_of_reach(from, &to.0))?;
        writing.log.scan(start..end, |seq, head, body| {
            writing.log.ops(seq, head, body)?.iter().for_each(|op| changes.add(op));
            Ok(())
        })?;
        changes.settle(to);
        Ok(changes)
    }

    /// How many nodes the log has touched since the last refresh; 0 while nothing derived exists.
    pub fn dirty_nodes(&self) -> u64 {
        match &self.role {
            Role::Reader { dirty } => *dirty,
            Role::Writer(writing) => writing.tail().touched(),
        }
    }

    /// Bytes on disk, by file.
    pub fn sizes(&self) -> Sizes {
        let base = self.snapshot().0.base.sizes;
        let mut files: BTreeMap<String, u64> = FILES.map(str::to_owned).into_iter().zip(base).collect();
        files.extend(self.derived().iter().flat_map(Derived::sizes));
        if let Role::Writer(writing) = &self.role {
            files.insert("log".to_owned(), writing.log.bytes());
        }
        Sizes { files }
    }
}

fn out_of_reach(epoch: Epoch, view: &View) -> Error {
    let rule = format!("one up to {} whose changes are still in the log; rebuild instead", view.epoch);
    Error::invalid("epoch", &epoch.to_string(), rule)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::{Edge, NodeRef};

    /// After a failed fsync the system may say the next one succeeded, though the first one's pages are lost; so nothing is
    /// taken until what is on disk has been read again.
    #[test]
    fn after_a_failed_sync_nothing_is_taken_until_the_store_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path()).expect("created");
        let link = |store: &Store, key: &str| {
            let mut batch = Batch::new();
            batch.link(NodeRef::new("pin", key)?, NodeRef::new("board", "1")?, Edge::default())?;
            store.commit(&batch)
        };
        link(&store, "1").expect("committed");
        if let Role::Writer(writing) = &store.role {
            writing.writer.lock().expect("sound").appender.break_sync();
        }
        assert!(matches!(link(&store, "2"), Err(Error::Io { .. })));
        assert!(matches!(link(&store, "3"), Err(Error::Broken { .. })));
        assert!(matches!(store.checkpoint(&CancelToken::new()), Err(Error::Broken { .. })));
        assert_eq!(store.snapshot().epoch(), Epoch::new(1));
        drop(store);
        let store = Store::options().open(folder.path()).expect("opens");
        let epoch = store.snapshot().epoch();
        assert_eq!(link(&store, "3").expect("committed").epoch.get(), epoch.get() + 1);
    }
}
