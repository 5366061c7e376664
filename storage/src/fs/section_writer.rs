//! A file of sections to write: their tags and content, borrowed. `section_stream` writes it.

use std::fmt;
use std::sync::Arc;

use bytemuck::NoUninit;

use crate::fs::disk::Target;
use crate::fs::header::Fingerprint;
use crate::fs::section_stream::SectionStream;
use crate::fs::section_table::tag_text;
use crate::types::cancel::CancelToken;
use crate::types::error::Error;

/// Bytes that are written between two checks for cancellation.
const CHUNK: usize = 8 << 20;

/// A value that can be written as the bytes of a section without a copy.
pub trait AsBytes {
    /// The bytes as they go to disk: little-endian.
    fn as_bytes(&self) -> &[u8];
}

impl<T: NoUninit> AsBytes for &[T] {
    fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

impl<T: NoUninit> AsBytes for Vec<T> {
    fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

impl<T: NoUninit> AsBytes for Arc<[T]> {
    fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

impl<T: NoUninit> AsBytes for Arc<Vec<T>> {
    fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

/// Passes the bytes of a section to a callback, chunk by chunk.
type Content<'a> = dyn Fn(&mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> + 'a;

/// A file of sections that borrows its content; [`Store::publish`](crate::Store::publish) and
/// [`Store::write_sidecar`](crate::Store::write_sidecar) write it without a copy.
pub struct SectionWriter<'a> {
    kind: [u8; 4],
    version: u32,
    sections: Vec<([u8; 8], Box<Content<'a>>)>,
}

impl<'a> SectionWriter<'a> {
    /// A file of this kind and version, without sections.
    pub fn new(kind: [u8; 4], version: u32) -> Self {
        Self { kind, version, sections: Vec::new() }
    }

    /// Adds a section; numbers go to disk as they are in memory.
    ///
    /// # Panics
    /// When a section has that tag already.
    pub fn section(&mut self, tag: [u8; 8], bytes: impl AsBytes + 'a) {
        self.add(tag, Box::new(move |write| write(bytes.as_bytes())));
    }

    /// Adds a section as a sequence of chunks. Each is created when it is written, so one of them is in memory at a
    /// time.
    ///
    /// # Panics
    /// When a section has that tag already.
    pub fn section_chunks<P: AsBytes, I: Iterator<Item = P>>(
        &mut self,
        tag: [u8; 8],
        chunks: impl Fn() -> I + 'a,
    ) {
        self.add(tag, Box::new(move |write| chunks().try_for_each(|chunk| write(chunk.as_bytes()))));
    }

    fn add(&mut self, tag: [u8; 8], content: Box<Content<'a>>) {
        assert!(self.sections.iter().all(|(other, _)| *other != tag), "a tag names one section");
        self.sections.push((tag, content));
    }

    /// Writes and syncs the file. Returns what a manifest says of it.
    ///
    /// # Errors
    /// Errors of writing, or a cancellation. The part written by then is left.
    pub(crate) fn write_to(&self, to: Target<'_>, cancel: &CancelToken) -> Result<Fingerprint, Error> {
        let stage = cancel.stage("sections", self.sections.len() as u64);
        let mut stream = SectionStream::create(to, self.kind, self.version, self.sections.len())?;
        for (tag, content) in &self.sections {
            stream.begin(*tag)?;
            content(&mut |bytes| {
                bytes.chunks(CHUNK).try_for_each(|chunk| {
                    cancel.check()?;
                    stream.write(chunk)
                })
            })?;
            stage.advance(1)?;
        }
        let fingerprint = stream.finish()?;
        stage.end();
        Ok(fingerprint)
    }
}

impl fmt::Debug for SectionWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags: Vec<String> = self.sections.iter().map(|(tag, _)| tag_text(tag)).collect();
        f.debug_struct("SectionWriter")
            .field("kind", &tag_text(&self.kind))
            .field("sections", &tags)
            .finish_non_exhaustive()
    }
}
