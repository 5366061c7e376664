//! Separators between the fields of a line: detection in the first line, and the split of a line.

/// A separator between two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Separator {
    /// A byte; fields may be quoted.
    Byte(u8),
    /// A run of spaces and tabs; fields are not quoted.
    Blanks,
    /// Two colons; fields are not quoted.
    Colons,
}

/// The bytes that are detected, most likely first.
const BYTES: [u8; 4] = *b",\t;|";

impl Separator {
    /// The separator that a line has most often outside quotes. Bars do not count in a line with `::`, where they separate the
    /// words of a field. Blanks are a separator only with `blanks`, in a line without any other.
    pub(crate) fn detect(line: &[u8], blanks: bool) -> Self {
        let mut counts = [0usize; BYTES.len()];
        let mut quoted = false;
        for byte in line {
            quoted ^= *byte == b'"';
            if let Some(which) = BYTES.iter().position(|separator| !quoted && separator == byte) {
                counts[which] += 1;
            }
        }
        let colons = memchr::memmem::find_iter(line, b"::").count();
        if !line.starts_with(b"::") && counts[..3].iter().all(|count| *count < colons) {
            return Self::Colons;
        }
        let mut best = 0;
        for which in 1..BYTES.len() {
            if counts[which] > counts[best] {
                best = which;
            }
        }
        if counts[best] == 0 && blanks && line.trim_ascii().contains(&b' ') {
            return Self::Blanks;
        }
        Self::Byte(BYTES[best])
    }

    /// The name in messages.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Byte(b',') => "a comma".to_owned(),
            Self::Byte(b'\t') => "a tab".to_owned(),
            Self::Byte(b';') => "a semicolon".to_owned(),
            Self::Byte(b'|') => "a bar".to_owned(),
            Self::Byte(other) => format!("{:?}", char::from(other)),
            Self::Blanks => "blanks".to_owned(),
            Self::Colons => "\"::\"".to_owned(),
        }
    }

    /// The end of the field that begins at `start`, and the start of the next field, if there is one.
    #[inline]
    pub(crate) fn next(self, line: &[u8], start: usize) -> (usize, Option<usize>) {
        match self {
            Self::Byte(byte) => match memchr::memchr(byte, &line[start..]) {
                Some(at) => (start + at, Some(start + at + 1)),
                None => (line.len(), None),
            },
            Self::Colons => match memchr::memmem::find(&line[start..], b"::") {
                Some(at) => (start + at, Some(start + at + 2)),
                None => (line.len(), None),
            },
            Self::Blanks => {
                let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
                let end = line[start..].iter().position(is_blank).map_or(line.len(), |at| start + at);
                let next = line[end..].iter().position(|byte| !is_blank(byte)).map(|at| end + at);
                (end, next)
            }
        }
    }

    /// The start of a line's first field.
    #[inline]
    pub(crate) fn first(self, line: &[u8]) -> usize {
        match self {
            Self::Blanks => line.iter().position(|&byte| byte != b' ' && byte != b'\t').unwrap_or(line.len()),
            Self::Byte(_) | Self::Colons => 0,
        }
    }
}

/// Parses the value of `--separator`.
pub(crate) fn argument(text: &str) -> Result<Separator, String> {
    match text {
        "comma" => Ok(Separator::Byte(b',')),
        "tab" | "\\t" => Ok(Separator::Byte(b'\t')),
        "semicolon" => Ok(Separator::Byte(b';')),
        "bar" => Ok(Separator::Byte(b'|')),
        "blanks" | "space" | " " => Ok(Separator::Blanks),
        "::" => Ok(Separator::Colons),
        _ => match text.as_bytes() {
            [byte] if byte.is_ascii_punctuation() && *byte != b'"' || *byte == b'\t' => {
                Ok(Separator::Byte(*byte))
            }
            _ => Err("expected comma, tab, semicolon, bar, blanks, ::, or a character such as ^".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::Separator;

    #[test]
    fn the_separator_of_a_line_is_what_it_holds_most_often() {
        for (line, expected) in [
            ("a,b c,d", Separator::Byte(b',')),
            ("a\tb", Separator::Byte(b'\t')),
            ("\"a;b;c\",d", Separator::Byte(b',')),
            ("1::Toy Story (1995)::Comedy|War", Separator::Colons),
            ("1::One, Two::War", Separator::Colons),
            ("1,2::x", Separator::Byte(b',')),
            ("1  2", Separator::Blanks),
            ("one", Separator::Byte(b',')),
            (" one ", Separator::Byte(b',')),
        ] {
            assert_eq!(Separator::detect(line.as_bytes(), true), expected, "{line}");
        }
        assert_eq!(Separator::detect(b"movie id", false), Separator::Byte(b','));
    }

    #[test]
    fn fields_follow_each_other() {
        let fields = |separator: Separator, line: &'static str| {
            let (mut fields, mut start) = (Vec::new(), separator.first(line.as_bytes()));
            loop {
                let (end, next) = separator.next(line.as_bytes(), start);
                fields.push(&line[start..end]);
                let Some(next) = next else { return fields };
                start = next;
            }
        };
        assert_eq!(fields(Separator::Byte(b','), "a,,b,"), ["a", "", "b", ""]);
        assert_eq!(fields(Separator::Blanks, " a \t b  "), ["a", "b"]);
        assert_eq!(fields(Separator::Colons, "a::b:c::"), ["a", "b:c", ""]);
    }
}
