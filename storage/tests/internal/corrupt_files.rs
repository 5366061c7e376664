//! Files with valid checksums and invalid content: readers rely only on validated properties.
//! So nothing panics, loops or takes memory that the file does not account for.
//!
//! `HEDGEROW_ROUNDS` multiplies the number of attempts, `HEDGEROW_SEED` selects them.

use hedgerow_test_support::{Random, fuzz_config};

use crate::fs::disk::Disk;
use crate::fs::mmap::Residence;
use crate::fs::section::SectionFile;
use crate::fs::section_table::Verification;
use crate::fuzzing::{Decoders, all_sections, sample, sample_operations, write};
use crate::store::handle::Store;
use crate::types::cancel::CancelToken;
use crate::types::codec;

/// One to three changes; some keep the length a multiple of the element size, some do not.
fn disturbed(intact: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = intact.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xfb, 0xff][random.below(6)],
            2 => {
                let at = at / 8 * 8;
                let end = bytes.len().min(at + 8);
                let value = [u64::MAX, u64::MAX / 2, 1 << 32, 0, 7][random.below(5)].to_le_bytes();
                bytes[at..end].copy_from_slice(&value[..end - at]);
            }
            3 => bytes.truncate(at / 8 * 8),
            4 => bytes.extend_from_slice(&intact[..intact.len().min(8)]),
            _ if !bytes.is_empty() => {
                let other = random.below(bytes.len());
                bytes.swap(at.min(other), other);
            }
            _ => {}
        }
    }
    bytes
}

#[test]
fn corrupt_files_are_refused_or_read_without_harm() {
    let (seed, rounds) = (fuzz_config::seed(1), fuzz_config::rounds(1) * 1500);
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let decoders = Decoders::new(folder.path(), 120);
    let mut refused = 0;
    for _ in 0..rounds {
        let file = &decoders.segments[random.below(decoders.segments.len())];
        let mut sections = all_sections(file);
        let at = random.below(sections.len());
        let content = disturbed(sections[at].1, &mut random);
        sections[at].1 = &content;
        refused += u64::from(!decoders.segment(file.kind(), file.version(), &sections));
    }
    assert!(refused > rounds / 4, "{refused} of {rounds} were refused with seed {seed}");
}

/// Operations that decode and contradict the state are errors, with any content.
#[test]
fn corrupt_operations_are_refused_or_applied_without_harm() {
    let (seed, rounds) = (fuzz_config::seed(1), fuzz_config::rounds(1) * 20_000);
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let decoders = Decoders::new(folder.path(), 120);
    let honest = sample_operations(decoders.state.bound);
    for round in 0..rounds {
        let mut body = Vec::new();
        let mut count = 0;
        for _ in 0..=random.below(4) {
            codec::encode_into(&mut body, &honest[random.below(honest.len())].1);
            count += 1;
        }
        let body = if round % 8 == 0 { body } else { disturbed(&body, &mut random) };
        decoders.operations(&[&[count], body.as_slice()].concat());
    }
}

/// Damage that no checksum detects: an edge that only one end has, in a file that is consistent by itself.
#[test]
fn a_deep_check_finds_what_checksums_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut manifest = sample(&path, 120);
    let check = |deep| {
        let options = crate::store::check::CheckOptions { deep, read_only: false };
        Store::check(&path, options, &CancelToken::new()).expect("it can be looked at").problems
    };
    assert_eq!(check(true), []);
    let disk = Disk::of(&path).with_store(manifest.store);
    let topology = manifest.segments[0].path(&path);
    let file =
        SectionFile::open(&disk, &topology, Residence::Loaded, Verification::AtOpening).expect("intact");
    let tag = *b"list0002";
    let mut words = file.section_u32(tag).expect("there").to_vec();
    // The first block belongs to a node with one neighbor, which is replaced by another one.
    words[0] = (words[0] + 1) % 100;
    let mut sections = all_sections(&file);
    let list = sections.iter_mut().find(|(other, _)| *other == tag).expect("there");
    list.1 = bytemuck::cast_slice(&words);
    manifest.segments[0].fingerprint = write(&disk, &topology, file.kind(), file.version(), &sections);
    manifest.prepare(&disk, None).expect("written").make_current().expect("swapped");
    assert_eq!(check(false), []);
    assert!(check(true).iter().any(|problem| problem.what.contains("the same edge back")));
}
