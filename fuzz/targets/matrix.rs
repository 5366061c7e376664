#![no_main]

use std::sync::LazyLock;

use hedgerow_cli::fuzzing::Readers;
use libfuzzer_sys::fuzz_target;

static READERS: LazyLock<Readers> = LazyLock::new(|| Readers::new(&hedgerow_fuzz::folder("matrix")));

fuzz_target!(|bytes: &[u8]| READERS.matrix(bytes));
