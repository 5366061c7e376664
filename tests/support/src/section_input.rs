//! A file of sections as the input of a fuzz target: without positions and checksums, so that changed bytes reach the
//! decoders of the sections.
//!
//! The bytes: kind (4), version (1), then for each section its tag (8), its length (`u16`) and its content. Lengths beyond
//! the end are cut.

/// The kind, the version and the sections of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionInput<'a> {
    /// The tag of the kind of file.
    pub kind: [u8; 4],
    /// The version of the kind of file.
    pub version: u32,
    /// Tag and content; no tag occurs twice.
    pub sections: Vec<([u8; 8], &'a [u8])>,
}

impl<'a> SectionInput<'a> {
    /// Reads the bytes of an input; `None` if they do not reach the first section.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first_chunk::<4>()?;
        let (version, mut rest) = rest.split_first()?;
        let mut sections: Vec<([u8; 8], &[u8])> = Vec::new();
        while let Some((tag, behind)) = rest.split_first_chunk::<8>() {
            let Some((len, behind)) = behind.split_first_chunk::<2>() else { break };
            let (content, behind) = behind.split_at(behind.len().min(u16::from_le_bytes(*len).into()));
            if sections.iter().all(|(other, _)| other != tag) {
                sections.push((*tag, content));
            }
            rest = behind;
        }
        Some(Self { kind: *kind, version: u32::from(*version), sections })
    }

    /// The sections of a file as FORMAT.md describes it.
    ///
    /// # Panics
    /// If it is no such file.
    pub fn of_file(file: &'a [u8]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().expect("eight bytes"));
        let section = |entry: usize| {
            let (start, len) = (u64_at(entry + 8) as usize, u64_at(entry + 16) as usize);
            (file[entry..entry + 8].try_into().expect("eight bytes"), &file[start..start + len])
        };
        let entries = (0..u32_at(20) as usize).map(|at| 64 + at * 32);
        Self { kind: u32_at(12).to_le_bytes(), version: u32_at(16), sections: entries.map(section).collect() }
    }

    /// The bytes of the input.
    ///
    /// # Panics
    /// If a section has more than 65,535 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.kind.to_vec();
        bytes.push(self.version as u8);
        for (tag, content) in &self.sections {
            let len = u16::try_from(content.len()).expect("a small section");
            bytes.extend_from_slice(tag);
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(content);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_reads_back_and_is_cut_where_it_ends() {
        let sections = vec![(*b"one\0\0\0\0\0", &b"abc"[..]), (*b"two\0\0\0\0\0", b"")];
        let input = SectionInput { kind: *b"TEST", version: 2, sections };
        let bytes = input.to_bytes();
        assert_eq!(SectionInput::parse(&bytes), Some(input));
        let cut = SectionInput::parse(&bytes[..17]).expect("a first section");
        assert_eq!(cut.sections, [(*b"one\0\0\0\0\0", &b"ab"[..])]);
        assert_eq!(SectionInput::parse(b"TEST"), None);
    }
}
