#![no_main]

use std::sync::LazyLock;

use hedgerow_storage::fuzzing::Decoders;
use libfuzzer_sys::fuzz_target;

static DECODERS: LazyLock<Decoders> =
    LazyLock::new(|| Decoders::new(&hedgerow_fuzz::folder("section_file"), 4));

fuzz_target!(|bytes: &[u8]| DECODERS.section_file(bytes));
