//! Rows of a block gathered at once, where each is as it should be and nothing in the block is quoted.
//! Owns no message: for whatever is not plain the answer is who is to read the block again.

use std::borrow::Cow;

use hedgerow::{Edge, EdgeBuffer, NodeRef};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::input::blocks::Block;
use crate::input::delimited::is_comment;
use crate::input::lines::{BYTE_ORDER_MARK, LINE_LIMIT};
use crate::input::number::narrowed;
use crate::input::separator::Separator;
use crate::transfer::csv_injection::unguarded;
use crate::transfer::import::columns::Columns;
use crate::transfer::import::edges::{Form, Rows, time_of, weight_of};

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
    pub(super) fn gather(&self, block: &Block, links: &mut EdgeBuffer) -> Gathered {
        let mut plain = || {
            if block.error.is_some() {
                return None;
            }
            let bytes = &block.bytes[..];
            let marked = bytes.strip_prefix(BYTE_ORDER_MARK).filter(|_| block.is_first);
            let text = std::str::from_utf8(marked.unwrap_or(bytes)).ok()?;
            match &self.form {
                Form::Csv { separator, columns } => self.gather_records(text, *separator, columns, links),
                Form::Adjacency { src, dst } => self.gather_adjacency(text, src, dst, links),
                Form::Jsonl(fields) if fields.are_usual() => self.gather_objects(text, links),
                Form::Jsonl(_) => None,
            }
        };
        if plain().is_some() {
            return Gathered::All;
        }
        match self.form {
            // In a file that is separated by tabs a quote closes in its line or is none.
            Form::Csv { separator: Separator::Byte(byte), .. }
                if byte != b'\t' && block.bytes.contains(&b'"') =>
            {
                Gathered::Rest
            }
            _ => Gathered::Block,
        }
    }

    /// The lines of a text that are rows.
    fn lines<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        lines(text).filter(|line| !is_comment(line.as_bytes(), self.comment))
    }

    fn gather_records(
        &self,
        text: &str,
        separator: Separator,
        columns: &Columns,
        links: &mut EdgeBuffer,
    ) -> Option<()> {
        let is_quotable = matches!(separator, Separator::Byte(_));
        let plain = |field| if columns.is_guarded { unguarded(field) } else { field };
        let mut fields: Vec<&str> = Vec::with_capacity(columns.count);
        for line in self.lines(text) {
            if line.len() > LINE_LIMIT {
                return None;
            }
            // Only such a line can be blank.
            let is_suspect = line.as_bytes().first().is_none_or(u8::is_ascii_whitespace);
            if is_suspect && line.bytes().all(|byte| byte.is_ascii_whitespace()) {
                continue;
            }
            fields.clear();
            let mut start = separator.first(line.as_bytes());
            loop {
                let (end, next) = separator.next(line.as_bytes(), start);
                let field = &line[start..end];
                if is_quotable && field.as_bytes().first() == Some(&b'"') {
                    return None;
                }
                fields.push(field);
                let Some(next) = next else { break };
                start = next;
            }
            if fields.len() != columns.count {
                return None;
            }
            let field = |at: usize| plain(fields[at]);
            let src = columns.src.plain_node(field)?;
            let Some(dst) = &columns.dst else {
                links.add_node(src).ok()?;
                continue;
            };
            let weight = columns.weight.map_or(Some(1.0), |at| weight_of(fields[at].trim()))?;
            let time = columns.time.map_or(Some(None), |at| time_of(fields[at].trim()))?;
            let relation = match columns.relation {
                None => self.relation,
                Some(at) => Some(field(at)).filter(|text| !text.is_empty()),
            };
            links.link(src, dst.plain_node(field)?, Edge { weight, time, relation }).ok()?;
        }
        Some(())
    }

    fn gather_adjacency(&self, text: &str, src: &str, dst: &str, links: &mut EdgeBuffer) -> Option<()> {
        let edge = Edge { relation: self.relation, ..Edge::default() };
        for line in self.lines(text) {
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

    fn gather_objects(&self, text: &str, links: &mut EdgeBuffer) -> Option<()> {
        for line in self.lines(text).filter(|line| !line.is_empty()) {
            if line.len() > LINE_LIMIT {
                return None;
            }
            let object: Object<'_> = serde_json::from_str(line).ok()?;
            let time = match object.time {
                None => None,
                Some(Time::Seconds(seconds)) => Some(seconds),
                Some(Time::Text(text)) => Some(crate::input::timestamp::parse(&text)?),
            };
            let weight = object.weight.map_or(1.0, narrowed);
            let relation = self.relation.or(object.relation.as_deref());
            let (src, dst) = (NodeRef::parse(&object.src).ok()?, NodeRef::parse(&object.dst).ok()?);
            links.link(src, dst, Edge { weight, time, relation }).ok()?;
        }
        Some(())
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
    #[serde(borrow)]
    relation: Option<Cow<'a, str>>,
    /// What an export has besides follows from the names.
    #[serde(rename = "src_id")]
    _src_id: Option<IgnoredAny>,
    #[serde(rename = "dst_id")]
    _dst_id: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time<'a> {
    Seconds(i64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::import::fields::Fields;
    use crate::transfer::import::names::{End, Kind};

    fn gathered(form: Form, text: &[u8]) -> (Gathered, usize) {
        let rows = Rows { relation: None, comment: None, form };
        let block = Block { bytes: text.to_vec(), is_first: true, error: None };
        let mut links = EdgeBuffer::new();
        (rows.gather(&block, &mut links), links.len())
    }

    fn csv(separator: u8, text: &[u8]) -> (Gathered, usize) {
        let end = |column, kind: &str| End { column, kind: Kind::Fixed(kind.to_owned()) };
        let columns = Columns {
            count: 4,
            named: "the header",
            src: end(0, "board"),
            dst: Some(end(1, "pin")),
            weight: Some(2),
            time: Some(3),
            relation: None,
            is_guarded: false,
        };
        gathered(Form::Csv { separator: Separator::Byte(separator), columns }, text)
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
        assert_eq!(gathered(Form::Jsonl(Fields::of_edges()), text), (Gathered::All, 3));
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
            assert_eq!(gathered(Form::Jsonl(Fields::of_edges()), bad.as_bytes()).0, Gathered::Block, "{bad}");
        }
    }
}
