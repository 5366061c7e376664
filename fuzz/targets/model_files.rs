#![no_main]

use std::sync::LazyLock;

use hedgerow_model::fuzzing::Decoders;
use hedgerow_test_support::SectionInput;
use libfuzzer_sys::fuzz_target;

static DECODERS: LazyLock<Decoders> = LazyLock::new(|| Decoders::new(&hedgerow_fuzz::folder("model_files")));

fuzz_target!(|bytes: &[u8]| {
    if let Some(SectionInput { kind, version, sections }) = SectionInput::parse(bytes) {
        DECODERS.file(kind, version, &sections);
    }
});
