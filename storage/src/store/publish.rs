//! Replaces the files of the store: those of a derived set, and the manifest for any new files.
//! Owns the order of swapping the manifest and showing the state over the new files; commits go on meanwhile.

use std::sync::{Arc, PoisonError};

use crate::checkpoint::derived::{Derived, Publish, check_names};
use crate::checkpoint::manifest::{FileName, Manifest, NamedFile, PREVIOUS, remove_unnamed_files};
use crate::checkpoint::published::{Published, name_in_set, stem};
use crate::fs::section::SectionFile;
use crate::fs::section_writer::SectionWriter;
use crate::fs::verified_files::OpenMode;
use crate::graph::apply::Applier;
use crate::graph::graph_state::GraphState;
use crate::store::handle::{DerivedSet, Store, out_of_reach};
use crate::store::published_records::{RECORDS, records_file};
use crate::store::writer::{Publishing, Writer};
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::wal::dirty_nodes::{DirtyNodes, DirtyNodesOfSet};

/// With this many records left to apply, commits are blocked until they are applied.
const MAX_BLOCKING_RECORDS: u64 = 64;

/// A new manifest with the files that it names, open.
pub(super) struct NewFiles {
    pub(super) manifest: Manifest,
    /// The state over new segments, where segments are new.
    pub(super) checkpointed: Option<GraphState>,
    /// The name of a set with its new files.
    pub(super) derived: Option<(String, Derived)>,
}

impl Store {
    /// Makes a manifest the current one, and shows the state and the derived files that it names.
    pub(super) fn publish_manifest(
        &self,
        writer: &Writer,
        publishing: &mut Publishing,
        new_files: NewFiles,
    ) -> Result<(), Error> {
        let NewFiles { mut manifest, checkpointed, derived } = new_files;
        // The manifest to go back to. If only derived files are new, it keeps the older segments, so that the graph has two copies:
        // the segments, and the older ones with the log since.
        let mut previous = publishing.manifest.clone();
        if checkpointed.is_none()
            && derived.is_some()
            && let Ok(Some(older)) = Manifest::read(&self.disk, PREVIOUS)
            && older.store == manifest.store
            && writer.log_index().start() <= older.replay_from
        {
            let Manifest { epoch, replay_from, replay_after, segments, positions, .. } = older;
            previous = Manifest { epoch, replay_from, replay_after, segments, positions, ..previous };
        }
        previous.time_unit = manifest.time_unit;
        self.count_dirty_nodes(writer, &mut manifest)?;
        // Damaged or discarded files are nothing to go back to.
        previous.published.retain(|published| manifest.published.get(&published.set).is_some());
        for (set, _) in self.shown_sets().sets.iter().filter(|(_, derived)| !derived.is_sound()) {
            if let Some(published) = manifest.published.get(set) {
                previous.published.put(published.clone());
            }
        }
        let floor = manifest.first_needed().min(previous.first_needed());
        manifest.log_start = floor;
        previous.log_start = previous.log_start.min(floor);
        self.swap_manifest(writer, publishing, &manifest, &previous)?;
        // The new files are shown.
        if let Some(checkpointed) = checkpointed {
            self.switch_segments(writer, checkpointed, manifest.replay_from)?;
            let mut shown = self.derived.write().unwrap_or_else(PoisonError::into_inner);
            for published in manifest.published.iter() {
                if let Some(shown) = shown.sets.get_mut(&published.set) {
                    shown.keep_named(published);
                }
            }
        }
        if let Some((set, derived)) = derived {
            self.show_derived(writer, publishing, &set, derived)?;
        }
        // Records that no manifest and no snapshot needs are removed.
        let mut log_index = writer.log_index();
        let floor = floor.min(log_index.first_pinned().unwrap_or(floor));
        log_index.trim(floor);
        drop(log_index);
        writer.log.trim(floor).map_err(|error| writer.broken(error))
    }

    /// Enters the number of dirty nodes of each set, for readers without a log.
    fn count_dirty_nodes(&self, writer: &Writer, manifest: &mut Manifest) -> Result<(), Error> {
        let newest = manifest.published.newest().map_or(0, |published| published.refreshed_seq);
        let end = manifest.replay_from.max(newest);
        // Damage may have taken records, and then every node may be dirty.
        let start = writer.log_index().start();
        let is_behind = |published: &Published| published.refreshed_seq < end;
        let known = || manifest.published.iter().filter(|set| is_behind(set) && set.refreshed_seq >= start);
        let mut dirty = DirtyNodes::new(known().map(|set| (set.set.clone(), set.refreshed())));
        if let Some(first) = known().map(|published| published.refreshed_seq).min() {
            writer.touch(&mut dirty, first..end)?;
        }
        for published in manifest.published.iter_mut() {
            let counted = dirty.get(&published.set).map(DirtyNodesOfSet::count);
            published.dirty = match counted {
                Some(count) => count,
                None if is_behind(published) => self.snapshot().node_count(),
                None => 0,
            };
        }
        Ok(())
    }

    /// Makes a manifest the current one, and `previous` the one before it.
    pub(super) fn swap_manifest(
        &self,
        writer: &Writer,
        publishing: &mut Publishing,
        manifest: &Manifest,
        previous: &Manifest,
    ) -> Result<(), Error> {
        writer.check_before_publish(publishing)?;
        let prepared = manifest.prepare(&self.disk, Some(previous))?;
        prepared.make_current().map_err(|error| writer.broken(error))?;
        publishing.manifest = manifest.clone();
        publishing.number = manifest.number;
        publishing.on_disk = Some((manifest.number, self.disk.store()));
        remove_unnamed_files(&self.disk, &[manifest, previous]);
        if self.shown_sets().are_verified() {
            manifest.record_verified(&self.disk);
        }
        Ok(())
    }

    /// Shows the current state over new segments, which cover the log up to a record. Later batches are applied to the
    /// new segments, most of them while commits go on.
    fn switch_segments(
        &self,
        writer: &Writer,
        checkpointed: GraphState,
        replay_from: u64,
    ) -> Result<(), Error> {
        let mut applier = Applier::new(checkpointed);
        // Applies the records up to `end`.
        let mut reached = replay_from;
        let mut ops = 0;
        let mut apply_to = |end: u64| {
            let range = reached..end;
            reached = end;
            writer.log.scan(range, |head, body| {
                applier.advance(Epoch::new(head.epoch));
                for op in writer.log.ops(head, body)? {
                    ops += 1;
                    applier.apply(op).map_err(|what| writer.log.record_error(head.seq, what))?;
                }
                Ok(())
            })
        };
        // While many records are left, commits go on.
        let mut at = replay_from;
        loop {
            let end = writer.log_index().end();
            apply_to(end).map_err(|error| writer.broken(error))?;
            if end - at <= MAX_BLOCKING_RECORDS {
                break;
            }
            at = end;
        }
        // The last records are applied under the locks, so that no commit comes between.
        let mut syncing = writer.syncing()?;
        let mut appending = writer.appending()?;
        let appended = appending.take();
        self.sync(writer, &mut syncing, appended)?;
        apply_to(appending.appender.log_end().next).map_err(|error| writer.broken(error))?;
        appending.state = Arc::new(applier.finish());
        appending.ops_since_checkpoint = ops;
        self.show(&mut writer.log_index(), Arc::clone(&appending.state));
        Ok(())
    }

    fn show_derived(
        &self,
        writer: &Writer,
        publishing: &Publishing,
        set: &str,
        derived: Derived,
    ) -> Result<(), Error> {
        let (refreshed, generation) = (derived.refreshed, derived.generation);
        let mut shown = self.derived.write().unwrap_or_else(PoisonError::into_inner);
        shown.default.clone_from(&publishing.manifest.published.default);
        let before = shown.sets.insert(set.to_owned(), derived);
        drop(shown);
        // No batch is committed while the nodes touched since are collected.
        let _syncing = writer.syncing()?;
        let mut log_index = writer.log_index();
        let is_same_model = before.is_some_and(|before| before.generation == generation);
        if is_same_model && log_index.dirty.get(set).is_some_and(|dirty| dirty.refreshed() >= refreshed) {
            return Ok(());
        }
        // Another model starts from its own epoch, whatever epoch the earlier model had reached.
        let published = publishing.manifest.published.get(set).expect("it was published with this manifest");
        let mut dirty = DirtyNodes::new([(set.to_owned(), refreshed)]);
        writer.touch(&mut dirty, published.refreshed_seq..log_index.end())?;
        log_index.dirty.put(dirty);
        Ok(())
    }

    /// Removes the derived files of all sets, the models included, as if nothing had been trained.
    ///
    /// # Visibility
    /// Durable on return; open files stay readable.
    ///
    /// # Errors
    /// As for [`Self::checkpoint`].
    pub fn discard_derived(&self) -> Result<(), Error> {
        self.discard_sets(|_| true)
    }

    fn discard_sets(&self, is_discarded: impl Fn(&str) -> bool) -> Result<(), Error> {
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        let mut manifest = publishing.manifest.clone();
        manifest.number = publishing.number + 1;
        manifest.published.retain(|published| !is_discarded(&published.set));
        self.publish_manifest(
            writer,
            &mut publishing,
            NewFiles { manifest, checkpointed: None, derived: None },
        )?;
        let mut shown = self.derived.write().unwrap_or_else(PoisonError::into_inner);
        shown.default.clone_from(&publishing.manifest.published.default);
        let discarded: Vec<String> = shown.sets.keys().filter(|set| is_discarded(set)).cloned().collect();
        for set in discarded {
            shown.sets.remove(&set);
            writer.log_index().dirty.remove(&set);
        }
        Ok(())
    }

    /// As [`DerivedSet::publish`], of the default set.
    ///
    /// # Errors
    /// As for [`DerivedSet::publish`].
    pub fn publish(&self, publish: Publish<'_>, cancel: &CancelToken) -> Result<(), Error> {
        self.derived_set(&self.default_set()).publish(publish, cancel)
    }

    /// Writes a file of a new manifest.
    fn written(
        &self,
        name: FileName,
        content: &SectionWriter<'_>,
        cancel: &CancelToken,
    ) -> Result<NamedFile, Error> {
        let fingerprint = content.write_to(self.disk.target(&name.path(self.path())), cancel)?;
        Ok(NamedFile { name, fingerprint })
    }
}

impl DerivedSet<'_> {
    /// Replaces the derived files, and keeps the log from their epoch on. Where that epoch is past the last checkpoint,
    /// the records in between are written beside them, so that no reader sees embeddings of nodes that it lacks. If they
    /// are many, the segments are rewritten instead.
    ///
    /// # Visibility
    /// Durable on return, all files together. Readers in other processes see the old set or the new one. Commits go on
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that a file cannot have, for an epoch that the store has not reached, or for one
    /// whose changes are no longer in the log; otherwise as for [`Store::checkpoint`].
    #[expect(clippy::needless_pass_by_value, reason = "what is published is written and done with")]
    pub fn publish(&self, publish: Publish<'_>, cancel: &CancelToken) -> Result<(), Error> {
        // The request is validated.
        self.check_name()?;
        check_names(self.name(), &publish.files, &[RECORDS])?;
        let store = self.store();
        let writer = store.writer()?;
        let mut publishing = writer.publishing()?;
        let state = store.snapshot().0;
        let refreshed = publish.refreshed;
        let refreshed_seq =
            writer.log_index().first_record_after(refreshed).filter(|_| refreshed <= state.epoch);
        let refreshed_seq = refreshed_seq.ok_or_else(|| out_of_reach(refreshed, &state))?;
        // New files get the number of the new manifest, and kept files keep their names.
        let mut manifest = publishing.manifest.clone();
        manifest.number = publishing.number + 1;
        let before = publishing.manifest.published.get(self.name()).cloned();
        let kept = |name: &str| before.as_ref().and_then(|before| before.file(name));
        let mut unknown = publish.files.iter().filter(|(name, new)| new.is_none() && kept(name).is_none());
        if let Some((name, _)) = unknown.next() {
            return Err(Error::invalid("derived file to keep", name, "one that was published before"));
        }
        let number = manifest.number;
        let named = |name: &str| FileName::new(&stem(self.name(), name), number);
        let new = || publish.files.iter().filter_map(|(name, new)| Some((*name, new.as_ref()?)));
        // The files are written and opened, with the segments where the epoch needs them.
        let mut write = || {
            let mut files: Vec<NamedFile> = publish
                .files
                .iter()
                .filter(|(_, new)| new.is_none())
                .filter_map(|(name, _)| kept(name).cloned())
                .collect();
            for (name, content) in new() {
                files.push(store.written(named(name), content, cancel)?);
            }
            let mut writes_segments = false;
            if refreshed > publishing.manifest.epoch() {
                let segment_bytes = manifest.segments.iter().map(|file| file.fingerprint.bytes).sum();
                match records_file(&writer.log, manifest.replay_from..refreshed_seq, segment_bytes)? {
                    Some(content) => files.push(store.written(named(RECORDS), &content, cancel)?),
                    None => writes_segments = true,
                }
            }
            let (generation, refreshed) = (publish.generation.get(), refreshed.get());
            let set = self.name().to_owned();
            let published = Published { set, generation, refreshed, refreshed_seq, dirty: 0, files };
            let mode = OpenMode { is_mapped: false, verified: None, cancel };
            let before = self.derived();
            let derived = store
                .run_in_private_pool(|| Derived::open_new(&store.disk, &published, before.as_ref(), mode))?;
            manifest.published.put(published);
            let checkpointed = writes_segments
                .then(|| store.write_segments(writer, &state, &mut manifest, cancel))
                .transpose()?;
            Ok((Some((self.name().to_owned(), derived)), checkpointed))
        };
        let (derived, checkpointed) = write().inspect_err(|_| {
            // A file that cannot be removed is removed at the next publish.
            new().map(|(name, _)| name).chain([RECORDS]).for_each(|name| {
                drop(store.disk.remove(&named(name).path(store.path())));
            });
        })?;
        store.publish_manifest(writer, &mut publishing, NewFiles { manifest, checkpointed, derived })
    }

    /// The derived files of the last publish, opened anew: whatever was read of them before is verified again when it is used. `None` if
    /// there are none.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a header; errors of reading.
    pub fn reopen(&self) -> Result<Option<Derived>, Error> {
        let publishing = self.store().writer()?.publishing()?;
        let mode = OpenMode { is_mapped: true, verified: None, cancel: &CancelToken::new() };
        let published = publishing.manifest.published.get(self.name());
        published.map(|published| Derived::open(&self.store().disk, published, mode)).transpose()
    }

    /// Puts sidecar files in the place of derived files. `new` gives the name of a derived file and an open sidecar, from
    /// [`Store::sidecar`], for each. The files named in `merged` are removed, because the new files have their content too, unless they
    /// were replaced since `from`.
    ///
    /// Returns false, and changes nothing, if one of the files in `new` was replaced since `from`, or another generation was published.
    ///
    /// # Visibility
    /// As for [`Self::publish`]; the epoch that the files reflect stays.
    ///
    /// # Errors
    /// As for [`Self::publish`].
    ///
    /// # Cost
    /// Some milliseconds: it renames the files and writes a manifest.
    pub fn replace(
        &self,
        from: &Derived,
        new: &[(&str, SectionFile)],
        merged: &[&str],
    ) -> Result<bool, Error> {
        let store = self.store();
        let writer = store.writer()?;
        let mut publishing = writer.publishing()?;
        let mut manifest = publishing.manifest.clone();
        manifest.number = publishing.number + 1;
        let Some(mut published) = manifest.published.get(self.name()).cloned() else { return Ok(false) };
        let is_same = |name: &str, named: &NamedFile| from.is_named(name, named, &store.disk);
        let is_current = |name: &str| published.file(name).is_some_and(|file| is_same(name, file));
        if published.generation() != from.generation || !new.iter().all(|(name, _)| is_current(name)) {
            return Ok(false);
        }
        let set = self.name().to_owned();
        published.files.retain(|file| match name_in_set(&set, &file.name) {
            Some(name) => {
                let is_merged = merged.contains(&name) && is_same(name, file);
                !is_merged && new.iter().all(|(replaced, _)| *replaced != name)
            }
            None => true,
        });
        let named = |(name, file): &(&str, SectionFile)| NamedFile {
            name: FileName::new(&stem(&set, name), manifest.number),
            fingerprint: file.fingerprint(),
        };
        let files: Vec<NamedFile> = new.iter().map(named).collect();
        published.files.extend(files.iter().cloned());
        let put = || {
            writer.check_place()?;
            for (file, (_, sidecar)) in files.iter().zip(new) {
                let path = file.path(store.path());
                store.disk.rename(sidecar.path(), &path).map_err(|e| Error::io(&path, "rename", e))?;
            }
            // The sidecars were verified, so their sections need not be now.
            let mode = OpenMode { is_mapped: true, verified: None, cancel: &CancelToken::new() };
            Derived::open_new(&store.disk, &published, self.derived().as_ref(), mode)
        };
        let derived = put().inspect_err(|_| {
            for file in &files {
                // A file that cannot be removed is removed at the next publish.
                drop(store.disk.remove(&file.path(store.path())));
            }
        })?;
        manifest.published.put(published);
        let new_files = NewFiles { manifest, checkpointed: None, derived: Some((set, derived)) };
        store.publish_manifest(writer, &mut publishing, new_files)?;
        Ok(true)
    }

    /// Makes this set the one that is meant where none is named.
    ///
    /// # Visibility
    /// Durable on return; readers in other processes see it when they open the store next.
    ///
    /// # Errors
    /// [`Error::Invalid`] where nothing was published to the set; otherwise as for [`Store::checkpoint`].
    pub fn make_default(&self) -> Result<(), Error> {
        let store = self.store();
        let writer = store.writer()?;
        let mut publishing = writer.publishing()?;
        let mut manifest = publishing.manifest.clone();
        manifest.number = publishing.number + 1;
        if manifest.published.get(self.name()).is_none() {
            return Err(Error::invalid("name of a model", self.name(), "the name of a trained model"));
        }
        self.name().clone_into(&mut manifest.published.default);
        let new_files = NewFiles { manifest, checkpointed: None, derived: None };
        store.publish_manifest(writer, &mut publishing, new_files)?;
        let mut shown = store.derived.write().unwrap_or_else(PoisonError::into_inner);
        self.name().clone_into(&mut shown.default);
        Ok(())
    }

    /// Removes the files of the set. If it was the default one, the first of the others by name becomes it.
    ///
    /// # Visibility
    /// Durable on return; open files stay readable.
    ///
    /// # Errors
    /// As for [`Store::checkpoint`].
    pub fn discard(&self) -> Result<(), Error> {
        self.store().discard_sets(|set| set == self.name())
    }
}
