//! The columns of a csv file of edges or nodes: the ends, the weight, the time, the relation.

use hedgerow::NodeRef;

use crate::core::location::BadInput;
use crate::input::delimited::Delimited;
use crate::input::rows::RowReader;
use crate::output::printer::Output;
use crate::transfer::edges::column_names::{
    ColumnEnd, EndFlag, EndKind, TypedName, find, required, text, with_default_name,
};
use crate::transfer::edges::edge_flags::{EdgeFlags, TableFlags};
use crate::transfer::edges::row_target::RowTarget;
use crate::transfer::edges::signals::Signals;
use crate::transfer::edges::weight_map::{Signal, WeightMap};

/// The columns of an edge's parts.
pub(crate) struct EdgeColumns {
    pub(crate) count: usize,
    /// The header or the flag that names the columns.
    pub(crate) named: &'static str,
    pub(crate) src: ColumnEnd,
    /// None where rows are nodes.
    pub(crate) dst: Option<ColumnEnd>,
    pub(crate) weight: Option<usize>,
    pub(crate) time: Option<usize>,
    pub(crate) relation: Option<usize>,
    /// The rules that give the weight, and the column of each.
    pub(crate) rules: Option<(WeightMap, Vec<usize>)>,
    /// Texts have the mark of `export --guard-formulas`.
    pub(crate) is_guarded: bool,
}

impl EdgeColumns {
    /// Matches a header, or `--columns` in its place, with the flags.
    pub(crate) fn of(
        records: &Delimited,
        names: &[String],
        (args, table): (&EdgeFlags, &TableFlags),
        out: Output,
    ) -> Result<Self, BadInput> {
        // A first line that cannot be a header is refused here, with the flag for such a file.
        let is_header = table.columns.is_empty();
        if names.len() < 2 {
            let expected = "a header of at least two columns that name the kinds, such as board,pin";
            return Err(records.place(0).found(records.raw(), expected));
        }
        if is_header && names[0].starts_with('#') && table.comment.is_none() {
            let expected = "a header line; --comment '#' passes over such lines, and --columns a,b is for files without a header";
            return Err(records.place(0).found(records.raw(), expected));
        }
        if is_header && names[..2].iter().all(|name| name.parse::<f64>().is_ok()) {
            let expected = "a header line that names the two kinds, such as board,pin (or --columns board,pin, or --format adjacency)";
            return Err(records.place(0).found(records.raw(), expected));
        }
        let (src, dst) = ends(records, names, args)?;
        // The columns of the other parts: those that flags name, else those with a default name.
        let column = |flag: &Option<String>, default_names: &[&str]| {
            if let Some(name) = flag {
                return required(records, names, name).map(Some);
            }
            let found = with_default_name(names, default_names);
            Ok(found.filter(|&at| at != src.column && at != dst.column))
        };
        let weight = column(&args.weight_column, &["weight"])?;
        let rules = args.weight_map.as_ref().map(|rules| {
            let columns = rules.columns().map(|name| required(records, names, name));
            Ok((rules.clone(), columns.collect::<Result<_, BadInput>>()?))
        });
        let time = column(&args.time_column, &["time", "timestamp"])?;
        let relation = match (&args.relation_column, &args.relation) {
            (None, Some(_)) => None,
            (None, None) => column(&None, &["relation"])?.or_else(|| find(names, ":TYPE")),
            (flag, _) => column(flag, &[])?,
        };
        let columns = Self {
            count: names.len(),
            named: table.named_by(),
            src,
            dst: Some(dst),
            weight,
            time,
            relation,
            rules: rules.transpose()?,
            is_guarded: false,
        };
        // Ignored columns are named, since a weight may be among them.
        let used = |at: &usize| columns.used().any(|used| used == *at);
        let ignored: Vec<&str> =
            (0..names.len()).filter(|at| !used(at)).map(|at| names[at].as_str()).collect();
        if !ignored.is_empty() {
            let advice = "name them with --weight-column or --time-column if they matter";
            out.note(&format!("columns not imported: {} ({advice})", ignored.join(", ")));
        }
        Ok(columns)
    }

    fn used(&self) -> impl Iterator<Item = usize> {
        let ends = self.src.columns().chain(self.dst.iter().flat_map(ColumnEnd::columns));
        let of_rules = self.rules.iter().flat_map(|(_, columns)| columns.iter().copied());
        ends.chain(of_rules).chain(self.weight).chain(self.time).chain(self.relation)
    }

    /// Puts a record into a target.
    pub(crate) fn take(
        &self,
        records: &Delimited,
        signals: Signals<'_>,
        target: &mut impl RowTarget,
    ) -> Result<(), BadInput> {
        records.expect_fields(self.count, self.named)?;
        self.take_unchecked(records, signals, target).map_err(|bad| {
            // The target checks names. Only for a refused record they are checked here, so that the message has the first bad one.
            let ends = [Some(&self.src), self.dst.as_ref()].into_iter().flatten();
            let first = ends.map(|end| end.check(records, self.is_guarded)).find_map(Result::err);
            first.unwrap_or(bad)
        })
    }

    fn take_unchecked(
        &self,
        records: &Delimited,
        signals: Signals<'_>,
        target: &mut impl RowTarget,
    ) -> Result<(), BadInput> {
        let src = self.src.node(records, self.is_guarded)?;
        let Some(dst) = &self.dst else {
            return target.add_node(src).map_err(|error| records.place(self.src.column).problem(error));
        };
        let dst = dst.node(records, self.is_guarded)?;
        let signal = match &self.rules {
            Some((rules, columns)) => {
                rules.signal(|rule, _| records.text(columns[rule]).map(|text| Some(text.into())))?
            }
            None => None,
        };
        let weight = || self.weight.map_or(Ok(1.0), |at| records.weight(at));
        let signal = signal.map_or_else(|| weight().map(Signal::Weight), Ok)?;
        let time = self.time.map_or(Ok(None), |at| records.time(at, &mut target.state().times))?;
        let relation = match self.relation {
            None => signals.relation,
            Some(at) => Some(text(records, at, self.is_guarded)?).filter(|text| !text.is_empty()),
        };
        let place = || records.place(self.relation.unwrap_or(0));
        signals.put(target, (src, dst), signal, time, relation).map_err(|problem| place().problem(problem))
    }
}

/// The columns of both ends: those of the flags, those that a header of Neo4j marks, or the first two.
fn ends(records: &Delimited, names: &[String], args: &EdgeFlags) -> Result<(ColumnEnd, ColumnEnd), BadInput> {
    // The columns.
    let marked = |role: &str, other: &str| {
        let marked = names.iter().position(|name| TypedName::of(name).is(role));
        marked.or_else(|| names.iter().position(|name| name.eq_ignore_ascii_case(other)))
    };
    let column = |flag: &EndFlag, marked: Option<usize>| match &flag.column {
        Some(column) => required(records, names, column).map(Some),
        None => Ok(marked),
    };
    let (src_flag, dst_flag) = (args.src.clone().unwrap_or_default(), args.dst.clone().unwrap_or_default());
    let src = column(&src_flag, marked("START_ID", "_start"))?;
    let dst = column(&dst_flag, marked("END_ID", "_end"))?;
    // An end without a column is the first column that is not the other end's.
    let other = |taken: Option<usize>| usize::from(taken == Some(0));
    let src_at = src.unwrap_or_else(|| other(dst));
    let dst_at = dst.unwrap_or_else(|| if src_at == 0 { 1 } else { other(src) });
    // Their kinds: that of the flag, that of the header's type, or the column's name.
    let end = |at: usize, flag: EndFlag, name: &str| {
        let header = TypedName::of(&names[at]);
        let kind = match (flag.is_written, flag.kind, header.role) {
            (true, _, _) => return Ok(ColumnEnd { column: at, kind: EndKind::Written }),
            (false, Some(kind), _) => kind,
            (false, None, None) => names[at].clone(),
            (false, None, Some(_)) => {
                let problem = || format!("{} names no kind: give --{name} KIND", names[at]);
                header.group.ok_or_else(|| records.place(at).problem(problem()))?.to_owned()
            }
        };
        // The key is a placeholder: only the kind is checked.
        NodeRef::new(&kind, "0").map_err(|error| records.place(at).problem(error))?;
        Ok(ColumnEnd { column: at, kind: EndKind::Fixed(kind) })
    };
    if src_at == dst_at {
        let problem = format!("--src and --dst are both of the column {}", names[src_at]);
        return Err(records.place(src_at).problem(problem));
    }
    Ok((end(src_at, src_flag, "src")?, end(dst_at, dst_flag, "dst")?))
}
