//! What the projector of TensorBoard reads: vectors and names as tab-separated lines, and a file that names both.

use crate::core::escape::escaped;
use crate::core::failure::Failure;

use crate::transfer::export::folder::Folder;
use crate::transfer::export::rows::Rows;
use crate::transfer::export::trained;

const CONFIG: &str = "embeddings {\n  tensor_path: \"vectors.tsv\"\n  metadata_path: \"metadata.tsv\"\n}\n";

pub(super) fn write(rows: &mut Rows<'_>, folder: &mut Folder) -> Result<(), Failure> {
    let learned = trained(rows.learned)?;
    let mut vectors = folder.file("vectors.tsv")?;
    let mut metadata = folder.file("metadata.tsv")?;
    metadata.put(b"key\tkind\tid\tdegree\ttokens\n")?;
    let mut count = 0;
    for at in 0..rows.nodes.len() {
        let Some(row) = learned.row(rows.nodes[at]) else { continue };
        let values: Vec<String> = row.vector.iter().map(ToString::to_string).collect();
        vectors.put((values.join("\t") + "\n").as_bytes())?;
        let name = rows.snapshot.name(row.node);
        let (key, degree) = (escaped(&name.key), rows.snapshot.degree(row.node));
        let tokens = escaped(&rows.snapshot.tokens(row.node).join(" "));
        let line = format!("{key}\t{}\t{:016x}\t{degree}\t{tokens}\n", name.kind, rows.id(row.node));
        metadata.put(line.as_bytes())?;
        count += 1;
        rows.step("vectors")?;
    }
    folder.keep(vectors, None, Some(count))?;
    folder.keep(metadata, None, Some(count))?;
    let mut config = folder.file("projector_config.pbtxt")?;
    config.put(CONFIG.as_bytes())?;
    folder.keep(config, None, None)
}
