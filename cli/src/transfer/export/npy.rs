//! Arrays of `numpy`: stable ids, vectors and biases of the embedded nodes, and ids and rows of each dense block.

use std::fmt::Write as _;

use crate::core::failure::Failure;
use crate::transfer::table_schema::{ColumnValue, Table};

use crate::transfer::export::export_folder::{ExportFile, ExportFolder};
use crate::transfer::export::export_rows::ExportRows;
use crate::transfer::export::{csv, trained};

/// Writes `ids`, `vectors`, `bias` and `nodes.csv` in one order, and `dense_NAME` with `dense_NAME_ids` for each block.
pub(super) fn write(rows: &mut ExportRows<'_>, folder: &mut ExportFolder) -> Result<(), Failure> {
    let blocks = rows.blocks.clone();
    if rows.embeddings.is_none() && blocks.is_empty() {
        return Err(trained(rows.embeddings).err().unwrap_or(Failure::Closed));
    }
    for (block, width) in &blocks {
        let name = file_name(block);
        let nodes = rows.nodes.iter();
        let count = nodes.filter(|&&node| rows.snapshot.dense(node, block).is_some()).count() as u64;
        let mut ids = array(folder, &format!("dense_{name}_ids"), "<u8", count, None)?;
        let mut values = array(folder, &format!("dense_{name}"), "<f4", count, Some(*width))?;
        for &node in &rows.nodes {
            if let Some(row) = rows.snapshot.dense(node, block) {
                ids.put(&rows.id(node).to_le_bytes())?;
                row.iter().try_for_each(|value| values.put(&value.to_le_bytes()))?;
            }
        }
        folder.add(ids, None, Some(count))?;
        folder.add(values, None, Some(count))?;
    }
    let Some(embeddings) = rows.embeddings else { return Ok(()) };
    let count = embeddings.count();
    let mut ids = array(folder, "ids", "<u8", count, None)?;
    let mut vectors = array(folder, "vectors", "<f4", count, Some(embeddings.dim()))?;
    let mut bias = array(folder, "bias", "<f4", count, None)?;
    let columns = Table::Nodes.columns([""; 0]);
    let mut names = csv::CsvWriter::create(folder, Table::Nodes, &columns, false)?;
    for at in 0..rows.nodes.len() {
        let Some(row) = embeddings.row(rows.nodes[at]) else { continue };
        let (id, name) = (rows.id(row.node), rows.snapshot.name(row.node));
        ids.put(&id.to_le_bytes())?;
        row.vector.iter().try_for_each(|value| vectors.put(&value.to_le_bytes()))?;
        bias.put(&row.bias.to_le_bytes())?;
        names.row(&[ColumnValue::Id(id), ColumnValue::Text(&name.kind), ColumnValue::Text(&name.key)])?;
        rows.step("vectors")?;
    }
    names.end()?;
    for array in [ids, vectors, bias] {
        folder.add(array, None, Some(count))?;
    }
    Ok(())
}

/// The name of a block as part of a file name. A block may have the name `../../x`, which must not leave the folder.
fn file_name(block: &str) -> String {
    let mut name = String::with_capacity(block.len());
    for byte in block.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

/// Creates a .npy file and writes its header.
fn array(
    folder: &ExportFolder,
    name: &str,
    kind: &str,
    rows: u64,
    width: Option<usize>,
) -> Result<ExportFile, Failure> {
    let mut file = folder.file(&format!("{name}.npy"))?;
    file.put(&header(kind, rows, width))?;
    Ok(file)
}

/// The start of a .npy file of version 1.0: magic bytes, header length, and the header padded to a multiple of 64 bytes.
fn header(kind: &str, rows: u64, width: Option<usize>) -> Vec<u8> {
    let shape = width.map_or_else(|| format!("({rows},)"), |width| format!("({rows}, {width})"));
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    while !(text.len() + 11).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.bytes());
    bytes
}
