//! The changed values of one node, packed: for each property its number and its value.
//! The same bytes are in the log and in memory. Knows no types of properties.

/// The length that stands for a removed value.
const REMOVED: u16 = u16::MAX;

/// A changed property of a node: its number, and the bytes of the value, or `None` where it is removed.
pub(crate) type ValueChange<'a> = (u16, Option<&'a [u8]>);

/// Appends a change.
///
/// # Panics
/// For a value of 65,535 bytes or more; a batch refuses it.
pub(crate) fn push(packed: &mut Vec<u8>, (property, value): ValueChange<'_>) {
    let len = value.map_or(REMOVED, |value| u16::try_from(value.len()).expect("a value is short"));
    assert!(value.is_none() || len != REMOVED, "a value is short");
    packed.extend(property.to_le_bytes());
    packed.extend(len.to_le_bytes());
    packed.extend(value.unwrap_or_default());
}

/// The changes in some bytes. Ends with an error where they are no changes.
pub(crate) fn iter(mut packed: &[u8]) -> impl Iterator<Item = Result<ValueChange<'_>, &'static str>> {
    std::iter::from_fn(move || {
        if packed.is_empty() {
            return None;
        }
        let change = next(&mut packed).ok_or("its values are unreadable");
        if change.is_err() {
            packed = &[];
        }
        Some(change)
    })
}

fn next<'a>(packed: &mut &'a [u8]) -> Option<ValueChange<'a>> {
    let (head, rest) = packed.split_first_chunk::<4>()?;
    let (property, len) = (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
    if len == REMOVED {
        *packed = rest;
        return Some((property, None));
    }
    let (value, rest) = rest.split_at_checked(usize::from(len))?;
    *packed = rest;
    Some((property, Some(value)))
}

/// The change of one property in bytes that were checked.
pub(crate) fn find(packed: &[u8], property: u16) -> Option<ValueChange<'_>> {
    let mut changes = iter(packed).map(|change| change.expect("changes are checked when they are applied"));
    changes.find(|(other, _)| *other == property)
}

/// The changes of both, where those of `new` replace those of `old`; in the order of the properties.
///
/// # Errors
/// Bytes in `new` that are no changes, or change a property twice.
pub(crate) fn merged(old: &[u8], new: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut changes = Vec::new();
    for change in iter(new) {
        changes.push(change?);
    }
    let added = changes.len();
    for change in iter(old) {
        let change = change?;
        if changes[..added].iter().all(|(property, _)| *property != change.0) {
            changes.push(change);
        }
    }
    changes.sort_by_key(|(property, _)| *property);
    if changes.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("it changes a value twice");
    }
    let mut packed = Vec::with_capacity(old.len() + new.len());
    for change in changes {
        push(&mut packed, change);
    }
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(changes: &[ValueChange<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &change in changes {
            push(&mut bytes, change);
        }
        bytes
    }

    #[test]
    fn later_changes_replace_earlier_ones() {
        let old = packed(&[(1, Some(b"one")), (7, None), (9, Some(b""))]);
        let new = packed(&[(7, Some(b"seven")), (3, Some(b"three")), (1, None)]);
        let both = merged(&old, &new).expect("changes");
        assert_eq!(both, packed(&[(1, None), (3, Some(b"three")), (7, Some(b"seven")), (9, Some(b""))]));
        assert_eq!(find(&both, 7), Some((7, Some(&b"seven"[..]))));
        assert_eq!((find(&both, 1), find(&both, 2)), (Some((1, None)), None));
    }

    #[test]
    fn bytes_that_end_early_and_properties_that_come_twice_are_refused() {
        let whole = packed(&[(1, Some(b"one")), (2, None)]);
        for end in 1..whole.len() {
            let is_whole_change = end == 7;
            assert_eq!(merged(&[], &whole[..end]).is_ok(), is_whole_change, "{end}");
        }
        assert!(merged(&[], &packed(&[(1, None), (1, Some(b"a"))])).is_err());
    }
}
