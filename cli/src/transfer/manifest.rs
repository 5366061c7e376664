//! `manifest.json`: the contents of an export and the checksums of its files. Written last, read first.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use hedgerow::{CancelToken, PropertyType};
use serde::{Deserialize, Serialize};

use crate::core::failure::Failure;
use crate::core::location::Place;
use crate::input::plain_file;
use crate::input::timestamp::IntegerUnit;
use crate::transfer::table_schema::Table;

/// The name of the file.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The value of the field `what`.
const WHAT: &str = "hedgerow export";
/// The schema that is written: times are microseconds, and relations may have options.
const SCHEMA: u32 = 3;
/// An earlier schema, without properties. Times are seconds.
const WITHOUT_PROPERTIES: u32 = 1;
/// An earlier schema, with properties. Times are seconds.
const WITH_PROPERTIES: u32 = 2;
/// The largest manifest that is read.
const LIMIT: u64 = 64 << 20;
/// Bytes that are read and hashed at once.
const CHUNK: usize = 1 << 20;

/// The formats of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExportFormat {
    /// A csv file for each table
    Csv,
    /// A file of JSON objects, one a line, for each table
    Jsonl,
    /// A folder of Parquet files for each table
    Parquet,
    /// Vectors, their ids and dense features as numpy arrays
    Npy,
    /// The model alone
    Safetensors,
    /// vectors.tsv and metadata.tsv for the projector of TensorBoard
    Tensorboard,
    /// The graph as XML
    Graphml,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) what: String,
    pub(crate) schema: u32,
    pub(crate) written_by: String,
    pub(crate) format: ExportFormat,
    /// Texts of csv fields have the mark of `--guard-formulas`.
    pub(crate) guarded: bool,
    pub(crate) epoch: u64,
    pub(crate) generation: Option<u64>,
    pub(crate) digest: Option<String>,
    pub(crate) counts: Counts,
    /// Dense blocks and their widths.
    pub(crate) dense: Vec<DenseBlock>,
    /// The properties; none in a store without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    properties: Option<Vec<PropertyEntry>>,
    /// The relations with options, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) relations: Vec<RelationEntry>,
    pub(crate) positions: Vec<InputPosition>,
    pub(crate) files: Vec<FileEntry>,
}

/// Rows of each table in the store, also of tables that the format leaves out.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) nodes: u64,
    pub(crate) features: u64,
    /// Values of properties, where the store has a property.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) values: Option<u64>,
    pub(crate) edges: u64,
    pub(crate) neighborhoods: u64,
    pub(crate) embeddings: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DenseBlock {
    pub(crate) name: String,
    pub(crate) width: usize,
}

/// A property of the nodes of a kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PropertyEntry {
    pub(crate) kind: String,
    pub(crate) name: String,
    #[serde(rename = "type", with = "property_type")]
    pub(crate) of: PropertyType,
    /// It is the label of the kind.
    pub(crate) label: bool,
}

/// The options of a relation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelationEntry {
    pub(crate) name: String,
    /// The half-life of its weights in microseconds.
    pub(crate) half_life: Option<u64>,
    pub(crate) is_dislike: bool,
}

/// The position up to which `apply --follow` has applied an input.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputPosition {
    pub(crate) source: String,
    pub(crate) offset: u64,
    pub(crate) lines: u64,
    pub(crate) check: u64,
}

/// A file of the export.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    /// The path in the folder, with `/` as separator.
    pub(crate) name: String,
    pub(crate) table: Option<Table>,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) blake3: String,
}

impl Counts {
    /// The count of a table.
    pub(crate) fn of(&self, table: Table) -> u64 {
        match table {
            Table::Nodes => self.nodes,
            Table::Features => self.features,
            Table::Values => self.values.unwrap_or(0),
            Table::Edges => self.edges,
            Table::Neighborhoods => self.neighborhoods,
            Table::Embeddings => self.embeddings,
        }
    }
}

impl Manifest {
    pub(crate) fn new(format: ExportFormat, guarded: bool, epoch: u64) -> Self {
        Self {
            what: WHAT.to_owned(),
            schema: SCHEMA,
            written_by: concat!("hedgerow ", env!("CARGO_PKG_VERSION")).to_owned(),
            format,
            guarded,
            epoch,
            generation: None,
            digest: None,
            counts: Counts::default(),
            dense: Vec::new(),
            properties: None,
            relations: Vec::new(),
            positions: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Reads the manifest of a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(MANIFEST);
        let name = path.display().to_string();
        let bad = |problem: String| Failure::from(Place::new(&name, 1, 1).problem(problem));
        // The text; a folder without a manifest is an export that did not finish.
        let mut text = String::new();
        match plain_file::open(&path) {
            Ok(file) => file.take(LIMIT).read_to_string(&mut text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder.is_dir() => {
                let folder = folder.display();
                return Err(Failure::Refused(format!(
                    "{folder} is not a whole export: it has no {MANIFEST}, which is written last"
                )));
            }
            Err(source) => return Err(Failure::file(&path, "read", source)),
        }
        .map_err(|source| Failure::file(&path, "read", source))?;
        // Another version may have other fields, so the version is checked before the fields.
        let found: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
            let cause = error.to_string();
            let cause = cause.split(" at line ").next().unwrap_or("not JSON").to_owned();
            let place = Place::new(&name, error.line() as u64, error.column() as u64);
            Failure::from(place.problem(format!("not JSON: {cause}")))
        })?;
        if found["what"] != WHAT {
            return Err(bad(format!("not the manifest of an export, expected \"what\": \"{WHAT}\"")));
        }
        match found["schema"].as_u64() {
            Some(schema) if (WITHOUT_PROPERTIES.into()..=SCHEMA.into()).contains(&schema) => {}
            _ => {
                let found = &found["schema"];
                return Err(bad(format!(
                    "the export has schema {found}, this version reads {WITHOUT_PROPERTIES} to {SCHEMA}: \
                     import it with the version that wrote it"
                )));
            }
        }
        // The fields, and names that stay within the folder.
        let manifest: Self = serde_json::from_value(found).map_err(|error| bad(error.to_string()))?;
        manifest.check_schema().map_err(bad)?;
        for entry in &manifest.files {
            entry.path(folder).ok_or_else(|| {
                bad(format!(
                    "the file {:?} would be outside of the folder, expected a name in it",
                    entry.name
                ))
            })?;
        }
        Ok(manifest)
    }

    /// Adds the properties of the store.
    pub(crate) fn set_properties(&mut self, properties: Vec<PropertyEntry>) {
        if !properties.is_empty() {
            self.properties = Some(properties);
        }
    }

    /// The properties, by kind and name.
    pub(crate) fn properties(&self) -> &[PropertyEntry] {
        self.properties.as_deref().unwrap_or_default()
    }

    /// The unit of the times of edges.
    pub(crate) fn time_unit(&self) -> IntegerUnit {
        if self.schema == SCHEMA { IntegerUnit::Microseconds } else { IntegerUnit::Seconds }
    }

    /// Refuses parts of a later schema in an earlier one, and their absence in schema 2.
    fn check_schema(&self) -> Result<(), String> {
        if self.schema != SCHEMA && !self.relations.is_empty() {
            return Err(format!(
                "the export has schema {} and a field `relations`; export anew",
                self.schema
            ));
        }
        let expected = match self.schema {
            SCHEMA => self.properties.is_some(),
            schema => schema == WITH_PROPERTIES,
        };
        for (part, is_there) in [
            ("field `properties`", self.properties.is_some()),
            ("count of `values`", self.counts.values.is_some()),
        ] {
            if is_there != expected {
                let has = if is_there { "a" } else { "no" };
                return Err(format!("the export has schema {} and {has} {part}; export anew", self.schema));
            }
        }
        Ok(())
    }

    /// The files of a table, in their order.
    pub(crate) fn files_of(&self, table: Table) -> impl Iterator<Item = &FileEntry> {
        self.files.iter().filter(move |entry| entry.table == Some(table))
    }

    /// Reads every file and compares it with its checksum.
    pub(crate) fn verify(
        &self,
        folder: &Path,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let mut buffer = vec![0; CHUNK];
        for entry in &self.files {
            let Some(path) = entry.path(folder) else { continue };
            // A missing file is a damaged export; other errors of the file system are not.
            let damaged = |problem: String| {
                let place = Place::new(&path.display().to_string(), 1, 1);
                Failure::from(place.problem(format!("{problem}; export anew")))
            };
            let read = |source: io::Error| match source.kind() {
                io::ErrorKind::NotFound => {
                    damaged("the file is missing, and the manifest names it".to_owned())
                }
                _ => Failure::file(&path, "read", source),
            };
            // The checksum and the number of bytes.
            let mut file = plain_file::open(&path).map_err(read)?;
            let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
            loop {
                if cancel.is_cancelled() {
                    return Err(Failure::Interrupted("interrupted; nothing was imported".to_owned()));
                }
                match file.read(&mut buffer).map_err(read)? {
                    0 => break,
                    count => {
                        hasher.update(&buffer[..count]);
                        bytes += count as u64;
                        progress(count as u64);
                    }
                }
            }
            // The number of bytes first: its message says more.
            if bytes != entry.bytes {
                return Err(damaged(format!(
                    "the file has {bytes} bytes, the manifest says {}: it was changed or cut short",
                    entry.bytes
                )));
            }
            if hasher.finalize().to_hex().as_str() != entry.blake3 {
                return Err(damaged(
                    "the file was changed: its checksum is not that of the manifest".to_owned(),
                ));
            }
        }
        Ok(())
    }
}

impl FileEntry {
    /// The path of the file; none for a name that leads out of the folder or through a link.
    pub(crate) fn path(&self, folder: &Path) -> Option<PathBuf> {
        let name = Path::new(&self.name);
        let mut path = folder.to_path_buf();
        let mut is_there = false;
        for part in name.components() {
            let Component::Normal(part) = part else { return None };
            path.push(part);
            is_there = true;
            if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
                return None;
            }
        }
        is_there.then_some(path)
    }
}

/// The type of a property as JSON: its name, such as `i64`.
mod property_type {
    use hedgerow::PropertyType;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(of: &PropertyType, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(of.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PropertyType, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
