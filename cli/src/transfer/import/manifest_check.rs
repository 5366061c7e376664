//! The consistency of an export's manifest: with itself, and with the files of its folder.
//! Must not know the content of the files, which the import compares with it later.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::core::failure::Failure;
use crate::core::location::Place;
use crate::transfer::manifest::{MANIFEST, Manifest, PropertyEntry};
use crate::transfer::model_file::MODEL;
use crate::transfer::table_schema::{TABLES, Table};

/// Refuses a manifest whose counts, files and model do not belong together, and a folder with files that it does not name.
pub(super) fn check(manifest: &Manifest, folder: &Path) -> Result<(), Failure> {
    let path = folder.join(MANIFEST).display().to_string();
    let bad = |problem: String| Failure::from(Place::new(&path, 1, 1).problem(anew(&problem)));
    check_names(manifest, folder).map_err(bad)?;
    check_tables(manifest).map_err(bad)?;
    check_model(manifest).map_err(bad)?;
    match unnamed_file(manifest, folder)? {
        None => Ok(()),
        Some(file) => {
            let place = Place::new(&file.display().to_string(), 1, 1);
            Err(place.problem(anew("the file is in the folder, and the manifest does not name it")).into())
        }
    }
}

/// A problem of an export with its remedy.
pub(super) fn anew(problem: &str) -> String {
    format!("{problem}; export anew")
}

/// A file, a dense block, a property of a kind and an input are named once, and a kind has one label at most.
fn check_names(manifest: &Manifest, folder: &Path) -> Result<(), String> {
    let twice = |what: &str, name: &str| Err(format!("the {what} {name:?} is named twice"));
    let mut paths = BTreeSet::new();
    for entry in &manifest.files {
        if !paths.insert(entry.path(folder)) {
            return twice("file", &entry.name);
        }
    }
    let (mut blocks, mut inputs) = (BTreeSet::new(), BTreeSet::new());
    for block in &manifest.dense {
        if !blocks.insert(&block.name) {
            return twice("dense block", &block.name);
        }
    }
    let (mut properties, mut labels) = (BTreeSet::new(), BTreeSet::new());
    for PropertyEntry { kind, name, label, .. } in manifest.properties() {
        if !properties.insert((kind, name)) {
            return twice(&format!("property of kind {kind}"), name);
        }
        if *label && !labels.insert(kind) {
            return Err(format!("the kind {kind:?} has two labels"));
        }
    }
    for input in &manifest.positions {
        if !inputs.insert(&input.source) {
            return twice("input", &input.source);
        }
    }
    Ok(())
}

/// Every file is the model or has rows of a table, and the files of a table have as many rows as the counts say.
fn check_tables(manifest: &Manifest) -> Result<(), String> {
    for entry in &manifest.files {
        match (entry.table, entry.rows) {
            (Some(_), Some(_)) => {}
            (Some(table), None) => {
                return Err(format!("the file {:?} of the table {} has no rows", entry.name, table.name()));
            }
            (None, _) if entry.name == MODEL => {}
            (None, _) => return Err(format!("the file {:?} is of no table", entry.name)),
        }
    }
    for table in TABLES {
        let rows = manifest.files_of(table).filter_map(|entry| entry.rows);
        // A sum that is too large for a number is not the count.
        let sum = rows.into_iter().try_fold(0u64, u64::checked_add);
        let (count, name) = (manifest.counts.of(table), table.name());
        if sum != Some(count) {
            let sum = sum.unwrap_or(u64::MAX);
            return Err(format!("the counts say {count} {name}, the files of the table have {sum} rows"));
        }
    }
    Ok(())
}

/// The model, its generation and its digest are there together, and without them nothing is embedded.
fn check_model(manifest: &Manifest) -> Result<(), String> {
    let has_file = manifest.files.iter().any(|entry| entry.name == MODEL);
    let parts = [
        (format!("file {MODEL}"), has_file),
        ("generation".to_owned(), manifest.generation.is_some()),
        ("digest".to_owned(), manifest.digest.is_some()),
    ];
    let present = parts.iter().find(|(_, is_there)| *is_there);
    if let (Some((present, _)), Some((absent, _))) = (present, parts.iter().find(|(_, is_there)| !is_there)) {
        return Err(format!("it has the model's {present}, and no {absent}"));
    }
    let embedded = [Table::Neighborhoods, Table::Embeddings].map(|table| (table, manifest.counts.of(table)));
    match embedded.into_iter().find(|(_, count)| present.is_none() && *count > 0) {
        Some((table, count)) => {
            Err(format!("the counts say {count} {}, and there is no model", table.name()))
        }
        None => Ok(()),
    }
}

/// The first file of the folder that the manifest does not name. Names that begin with a dot do not count: systems leave such
/// files in folders.
fn unnamed_file(manifest: &Manifest, folder: &Path) -> Result<Option<PathBuf>, Failure> {
    let mut named: BTreeSet<PathBuf> = manifest.files.iter().filter_map(|entry| entry.path(folder)).collect();
    named.insert(folder.join(MANIFEST));
    let (mut folders, mut unnamed) = (vec![folder.to_path_buf()], BTreeSet::new());
    while let Some(inner) = folders.pop() {
        let failed = |source| Failure::file(&inner, "read", source);
        for entry in fs::read_dir(&inner).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(entry.path());
            } else if !named.contains(&entry.path()) {
                unnamed.insert(entry.path());
            }
        }
    }
    Ok(unnamed.pop_first())
}
