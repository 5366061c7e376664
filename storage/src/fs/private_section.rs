//! A section whose numbers a process changes in memory, verified as far as it is read. Knows nothing of their meaning.

use std::ops::{Deref, DerefMut, Range};

use crate::fs::mmap::PrivateNumbers;
use crate::fs::section::SectionFile;
use crate::types::error::Error;

/// The numbers of a section, mapped privately: the file keeps its bytes. From [`SectionFile::private_f32`].
///
/// Nothing is verified until [`Self::verify`] or [`Self::verify_part`] asks for it. Numbers that were not verified may be anything.
#[derive(Debug)]
pub struct PrivateSection {
    numbers: PrivateNumbers,
    file: SectionFile,
    tag: [u8; 8],
}

impl PrivateSection {
    pub(crate) fn new(numbers: PrivateNumbers, file: SectionFile, tag: [u8; 8]) -> Self {
        Self { numbers, file, tag }
    }

    /// Verifies a range of numbers in the file, also of those that were changed in memory.
    ///
    /// # Errors
    /// [`Error::Damaged`] with file and section.
    /// # Cost
    /// Reads the blocks of 4 KiB that were not verified before.
    pub fn verify_part(&self, numbers: Range<usize>) -> Result<(), Error> {
        let size = size_of::<f32>();
        self.file.verify_part(self.tag, numbers.start * size..numbers.end * size)
    }

    /// Verifies all numbers in the file.
    ///
    /// # Errors
    /// As for [`Self::verify_part`].
    /// # Cost
    /// Reads the section in parallel, unless it was verified before.
    pub fn verify(&self) -> Result<(), Error> {
        self.file.section(self.tag).map(drop)
    }

    /// Returns the memory that verifying took to the system. What the numbers themselves take stays.
    pub fn release_verified_pages(&self) {
        self.file.release_section(self.tag);
    }

    /// True if a range of numbers was verified.
    pub fn is_part_verified(&self, numbers: Range<usize>) -> bool {
        let size = size_of::<f32>();
        self.file.is_part_verified(self.tag, numbers.start * size..numbers.end * size)
    }

    /// True if all numbers were verified together.
    pub fn is_verified(&self) -> bool {
        self.file.is_section_verified(self.tag)
    }
}

impl Deref for PrivateSection {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers
    }
}

impl DerefMut for PrivateSection {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers
    }
}
