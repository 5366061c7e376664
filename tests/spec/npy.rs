//! Matrices as numpy writes them, for the tests that import one.

/// The bytes of a .npy file of these rows, which are of one length.
pub(crate) fn matrix<R: AsRef<[f32]>>(rows: &[R]) -> Vec<u8> {
    let shape = (rows.len(), rows.first().map_or(0, |row| row.as_ref().len()));
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape:?}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(rows.iter().flat_map(AsRef::as_ref).flat_map(|value| value.to_le_bytes()));
    bytes
}
