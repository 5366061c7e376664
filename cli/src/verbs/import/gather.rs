//! Rows of a block gathered at once, where each is as it should be and nothing in the block is quoted.
//! Owns no message: for whatever is not plain the answer is who is to read the block again.

use std::borrow::Cow;

use hedgerow::{Edge, Links, NodeRef};
use serde::Deserialize;

use super::edges::{Columns, Form, Rows, time_of, weight_of};
use crate::reading::blocks::Block;
use crate::reading::lines::{BYTE_ORDER_MARK, LINE_LIMIT};

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gathered {
    /// All its rows were taken.
    All,
    /// Its rows are to be read one by one.
    Block,
    /// A quote that opens in it may close behind it: what follows is to be read one by one.
    Rest,
}

impl Rows<'_> {
    /// Puts the rows of a block into empty links; unless all are taken, what is in there is to be forgotten.
    pub(super) fn gather(&self, block: &Block, links: &mut Links) -> Gathered {
        let mut plain = || {
            if block.error.is_some() {
                return None;
            }
            let bytes = &block.bytes[..];
            let marked = bytes.strip_prefix(BYTE_ORDER_MARK).filter(|_| block.is_first);
            let text = std::str::from_utf8(marked.unwrap_or(bytes)).ok()?;
            match &self.form {
                Form::Csv { separator, columns } => {
                    gather_records(text, *separator, columns, self.relation, links)
                }
                Form::Adjacency { src, dst } => gather_adjacency(text, src, dst, self.relation, links),
                Form::Jsonl => gather_objects(text, self.relation, links),
            }
        };
        if plain().is_some() {
            return Gathered::All;
        }
        match self.form {
            // In a file that is separated by tabs a quote closes in its line or is none.
            Form::Csv { separator, .. } if separator != b'\t' && block.bytes.contains(&b'"') => {
                Gathered::Rest
            }
            _ => Gathered::Block,
        }
    }
}

/// The lines of a text, cut as those of a file are.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let line = match memchr::memchr(b'\n', rest.as_bytes()) {
            None => std::mem::take(&mut rest),
            Some(end) => {
                let line = &rest[..end];
                rest = &rest[end + 1..];
                line.strip_suffix('\r').unwrap_or(line)
            }
        };
        Some(line)
    })
}

fn gather_records(
    text: &str,
    separator: u8,
    columns: &Columns,
    relation: Option<&str>,
    links: &mut Links,
) -> Option<()> {
    for line in lines(text) {
        if line.len() > LINE_LIMIT {
            return None;
        }
        // Only such a line can be blank.
        let is_suspect = line.as_bytes().first().is_none_or(u8::is_ascii_whitespace);
        if is_suspect && line.bytes().all(|byte| byte.is_ascii_whitespace()) {
            continue;
        }
        let (mut src, mut dst, mut weight, mut time) = ("", "", 1.0, None);
        let (mut count, mut start) = (0, 0);
        loop {
            let end =
                memchr::memchr(separator, &line.as_bytes()[start..]).map_or(line.len(), |at| start + at);
            let field = &line[start..end];
            if field.as_bytes().first() == Some(&b'"') {
                return None;
            }
            match count {
                0 => src = field,
                1 => dst = field,
                _ => {}
            }
            if Some(count) == columns.weight {
                weight = weight_of(field.trim())?;
            }
            if Some(count) == columns.time {
                time = time_of(field.trim())?;
            }
            count += 1;
            if end == line.len() {
                break;
            }
            start = end + 1;
        }
        if count != columns.count {
            return None;
        }
        let (src, dst) = (NodeRef { kind: &columns.src, key: src }, NodeRef { kind: &columns.dst, key: dst });
        links.link(src, dst, Edge { weight, time, relation }).ok()?;
    }
    Some(())
}

fn gather_adjacency(
    text: &str,
    src: &str,
    dst: &str,
    relation: Option<&str>,
    links: &mut Links,
) -> Option<()> {
    let edge = Edge { relation, ..Edge::default() };
    for line in lines(text) {
        if line.len() > LINE_LIMIT {
            return None;
        }
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let Some(source) = words.next() else { continue };
        let source = NodeRef { kind: src, key: source };
        let mut is_alone = true;
        for key in words {
            is_alone = false;
            links.link(source, NodeRef { kind: dst, key }, edge).ok()?;
        }
        if is_alone {
            links.add_node(source).ok()?;
        }
    }
    Some(())
}

/// A row of a jsonl file. A field that comes twice is read one by one, which knows that the last one counts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    src: Cow<'a, str>,
    #[serde(borrow)]
    dst: Cow<'a, str>,
    weight: Option<f64>,
    #[serde(borrow)]
    time: Option<Time<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time<'a> {
    Seconds(i64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

fn gather_objects(text: &str, relation: Option<&str>, links: &mut Links) -> Option<()> {
    for line in lines(text).filter(|line| !line.is_empty()) {
        if line.len() > LINE_LIMIT {
            return None;
        }
        let object: Object<'_> = serde_json::from_str(line).ok()?;
        let time = match object.time {
            None => None,
            Some(Time::Seconds(seconds)) => Some(seconds),
            Some(Time::Text(text)) => Some(crate::reading::timestamp::parse(&text)?),
        };
        let weight = object.weight.map_or(1.0, |weight| weight as f32);
        let (src, dst) = (NodeRef::parse(&object.src).ok()?, NodeRef::parse(&object.dst).ok()?);
        links.link(src, dst, Edge { weight, time, relation }).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(form: Form, text: &[u8]) -> (Gathered, usize) {
        let rows = Rows { relation: None, form };
        let block = Block { bytes: text.to_vec(), is_first: true, error: None };
        let mut links = Links::new();
        (rows.gather(&block, &mut links), links.len())
    }

    fn csv(separator: u8, text: &[u8]) -> (Gathered, usize) {
        let (src, dst) = ("board".to_owned(), "pin".to_owned());
        let columns = Columns { count: 4, src, dst, weight: Some(2), time: Some(3) };
        gathered(Form::Csv { separator, columns }, text)
    }

    #[test]
    fn plain_rows_are_all_taken() {
        let text = b"1,2,,\r\n\n \t \n1,a b, 0.5 ,2024-03-01\n\xc3\xa9, x,2,-7";
        assert_eq!(csv(b',', text), (Gathered::All, 3));
        let text = b"\xef\xbb\xbf0 1\t2  3 \r\n\n \n4\n";
        let form = || Form::Adjacency { src: "user".to_owned(), dst: "item".to_owned() };
        assert_eq!(gathered(form(), text), (Gathered::All, 4));
        let text = b"{\"src\":\"a:1\",\"dst\":\"b:1\"}\n\n{\"dst\":\"b:\\u00e9\",\"src\":\"a:2\",\"weight\":2,\"time\":null}\n\
            {\"src\":\"a:1\",\"dst\":\"b:1\",\"time\":\"1970-01-02\"}\r\n";
        assert_eq!(gathered(Form::Jsonl, text), (Gathered::All, 3));
    }

    #[test]
    fn whatever_is_not_plain_is_left_to_the_reader_of_rows() {
        for bad in [
            &b"1,2,3\n"[..],
            b"1,2,,,\n",
            b"1,,,\n",
            b"1,2,heavy,\n",
            b"1,2,0,\n",
            b"1,2,,noon\n",
            b"1,2,,-9223372036854775808\n",
            b"1,\xff,,\n",
        ] {
            assert_eq!(csv(b',', bad).0, Gathered::Block, "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(csv(b',', b"1,2,,\n1,\"2\",,\n").0, Gathered::Rest);
        assert_eq!(csv(b',', b"1,2,heavy,\n1,\"2\",,\n").0, Gathered::Rest);
        assert_eq!(csv(b'\t', b"1\t\"2\"\t\t\n").0, Gathered::Block);
        // Inside a field a quote is a character like any other.
        assert_eq!(csv(b',', b"1,2\",,\n").0, Gathered::All);
        for bad in
            ["[1]\n", "{\"src\":\"a:1\"}\n", "{\"src\":\"a:1\",\"dst\":\"b:1\",\"src\":\"a:2\"}\n", " \n"]
        {
            assert_eq!(gathered(Form::Jsonl, bad.as_bytes()).0, Gathered::Block, "{bad}");
        }
    }
}
