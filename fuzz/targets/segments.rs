#![no_main]

use std::sync::LazyLock;

use hedgerow_storage::fuzzing::Decoders;
use hedgerow_test_support::SectionInput;
use libfuzzer_sys::fuzz_target;

static DECODERS: LazyLock<Decoders> = LazyLock::new(|| Decoders::new(&hedgerow_fuzz::folder("segments"), 4));

fuzz_target!(|bytes: &[u8]| {
    if let Some(SectionInput { kind, version, sections }) = SectionInput::parse(bytes) {
        DECODERS.segment(kind, version, &sections);
    }
});
