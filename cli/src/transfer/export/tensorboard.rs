//! Files of TensorBoard's projector: vectors and names as tab-separated lines, and a configuration that names both.

use crate::core::escape::escaped;
use crate::core::failure::Failure;

use crate::transfer::export::export_folder::ExportFolder;
use crate::transfer::export::export_rows::ExportRows;
use crate::transfer::export::trained;

const CONFIG: &str = "embeddings {\n  tensor_path: \"vectors.tsv\"\n  metadata_path: \"metadata.tsv\"\n}\n";

pub(super) fn write(rows: &mut ExportRows<'_>, folder: &mut ExportFolder) -> Result<(), Failure> {
    let embeddings = trained(rows.embeddings)?;
    let mut vectors = folder.file("vectors.tsv")?;
    let mut metadata = folder.file("metadata.tsv")?;
    // A store without labels has no such column.
    let has_label = rows.values.has_label();
    metadata.put(b"key\tkind\tid\tdegree\ttokens")?;
    metadata.put(if has_label { b"\tlabel\n" } else { b"\n" })?;
    let mut count = 0;
    for at in 0..rows.nodes.len() {
        let Some(row) = embeddings.row(rows.nodes[at]) else { continue };
        let values: Vec<String> = row.vector.iter().map(ToString::to_string).collect();
        vectors.put((values.join("\t") + "\n").as_bytes())?;
        let name = rows.snapshot.name(row.node);
        let (key, degree) = (escaped(&name.key), rows.snapshot.degree(row.node));
        let tokens = escaped(&rows.snapshot.tokens(row.node).join(" "));
        let mut line = format!("{key}\t{}\t{:016x}\t{degree}\t{tokens}", name.kind, rows.id(row.node));
        if has_label {
            let label = rows.values.label(row.node).map(|label| label.to_string()).unwrap_or_default();
            line.push('\t');
            line.push_str(&escaped(&label));
        }
        line.push('\n');
        metadata.put(line.as_bytes())?;
        count += 1;
        rows.step("vectors")?;
    }
    folder.add(vectors, None, Some(count))?;
    folder.add(metadata, None, Some(count))?;
    let mut config = folder.file("projector_config.pbtxt")?;
    config.put(CONFIG.as_bytes())?;
    folder.add(config, None, None)
}
