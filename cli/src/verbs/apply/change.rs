//! The forms of an update stream. Each row is a change, which is added to a batch.

use hedgerow::{Batch, Edge, Error, NodeName, NodeRef, PropertyType};

use crate::core::failure::Failure;
use crate::core::location::BadInput;
use crate::input::delimited::Delimited;
use crate::input::jsonl::{FieldValue, JsonLine};
use crate::input::lines::Lines;
use crate::input::rows::{LineRows, RowReader, is_comment};
use crate::input::separator::Separator;
#[cfg(any(test, fuzzing))]
use crate::input::timestamp::IntegerUnit;
#[cfg(any(test, fuzzing))]
use crate::output::printer::Mode;
use crate::output::printer::Output;
use crate::transfer::edges::edge_columns::EdgeColumns;
use crate::transfer::edges::edge_fields::EdgeFields;
use crate::transfer::edges::edge_flags::{EdgeFlags, TableFlags};
use crate::transfer::edges::row_state::RowState;
use crate::transfer::edges::row_target::RowTarget;
use crate::transfer::edges::signals::Signals;
use crate::transfer::edges::weight_map::Signal;

/// The flags that say what rows are, and the state before the first of them.
#[derive(Clone, Debug)]
pub(crate) struct ChangeRules {
    pub(crate) rows: EdgeFlags,
    pub(crate) table: TableFlags,
    /// JSON or csv; none where the first line shows it.
    pub(crate) is_json: Option<bool>,
    pub(crate) state: RowState,
    pub(crate) out: Output,
}

/// A stream of changes, whose first line decides the form.
pub(crate) struct Changes {
    form: Form,
    rules: ChangeRules,
    /// The unit of times was said on stderr.
    is_unit_said: bool,
}

enum Form {
    Empty(Lines),
    /// Rows `+,src,dst` and `-,src,dst`.
    Signed(Delimited),
    /// Objects with an operation.
    Operations(LineRows),
    /// A csv whose columns flags name.
    Columns(Delimited, EdgeColumns),
    /// Objects whose fields flags name.
    Fields(LineRows, EdgeFields),
}

impl ChangeRules {
    /// Rules without flags.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn plain() -> Self {
        let state = RowState::of_export(IntegerUnit::Seconds);
        let (rows, table) = (EdgeFlags::default(), TableFlags::default());
        Self { rows, table, is_json: None, state, out: Output::to_screen(Mode::Tsv, true) }
    }

    /// True if flags name the parts of a row.
    fn is_mapped(&self) -> bool {
        self.rows.is_mapped() || self.is_json.is_some() || !self.table.columns.is_empty()
    }
}

impl Changes {
    pub(crate) fn open(mut lines: Lines, rules: ChangeRules) -> Result<Self, Failure> {
        let comment = rules.table.comment.as_deref();
        while lines.advance()? {
            let line = lines.bytes();
            if line.is_empty() || is_comment(line, comment) {
                continue;
            }
            let is_json = rules.is_json.unwrap_or(line[0] == b'{');
            // The operation is one byte, so the separator is the second.
            let separator = match line {
                [_, separator @ (b'\t' | b';' | b'|'), ..] => *separator,
                _ => b',',
            };
            lines.unread();
            let form = match (rules.is_mapped(), is_json) {
                (false, true) => Form::Operations(LineRows::objects(lines, comment)),
                (false, false) => Form::Signed(Delimited::resume(lines, Separator::Byte(separator), comment)),
                (true, true) => {
                    let fields = EdgeFields::of(&rules.rows).among_others();
                    Form::Fields(LineRows::objects(lines, comment), fields)
                }
                (true, false) => {
                    let (dialect, columns) = (rules.table.dialect(true), &rules.table.columns);
                    let (records, names) = if columns.is_empty() {
                        let records = Delimited::open(lines, &dialect)?;
                        let names = records.header()?;
                        (records, names)
                    } else {
                        (Delimited::open_bare(lines, &dialect)?, columns.clone())
                    };
                    let columns = EdgeColumns::of(&records, &names, (&rules.rows, &rules.table), rules.out)?;
                    Form::Columns(records, columns)
                }
            };
            return Ok(Self { form, rules, is_unit_said: false });
        }
        Ok(Self { form: Form::Empty(lines), rules, is_unit_said: false })
    }

    /// Reads the unit of times from the rows up to `line`, which were applied before.
    pub(super) fn read_times(&mut self, line: u64) {
        while self.lines().number() < line && self.rules.state.times.is_open() {
            // A row that is refused now was applied then, by what it said then.
            if !matches!(self.advance(), Ok(true)) {
                break;
            }
            self.read_time();
        }
        self.is_unit_said = !self.rules.state.times.is_open();
    }

    /// Goes on with other lines of the same input.
    pub(super) fn continue_with(self, lines: Lines) -> Self {
        let comment = self.rules.table.comment.as_deref();
        let form = match self.form {
            Form::Empty(_) => Form::Empty(lines),
            Form::Signed(records) => Form::Signed(Delimited::resume(lines, records.separator(), comment)),
            Form::Operations(_) => Form::Operations(LineRows::objects(lines, comment)),
            Form::Columns(records, columns) => {
                Form::Columns(Delimited::resume(lines, records.separator(), comment), columns)
            }
            Form::Fields(_, fields) => Form::Fields(LineRows::objects(lines, comment), fields),
        };
        Self { form, ..self }
    }

    /// Takes the unit of times from the current row if none is known, and nothing else.
    pub(super) fn read_time(&mut self) {
        if !self.rules.state.times.is_open() {
            return;
        }
        let before = self.rules.state.clone();
        let is_read = self.stage(&mut Batch::new()).is_ok();
        let times = self.rules.state.times;
        self.rules.state = before;
        if is_read {
            self.rules.state.times = times;
        }
    }

    /// Adds the next change to the batch; the answer is its line, or none at the end.
    pub(crate) fn next(&mut self, batch: &mut Batch) -> Result<Option<u64>, Failure> {
        if !self.advance()? {
            return Ok(None);
        }
        self.add_to(batch)?;
        Ok(Some(match &self.form {
            Form::Empty(_) => 0,
            Form::Signed(records) | Form::Columns(records, _) => records.line(),
            Form::Operations(rows) | Form::Fields(rows, _) => rows.line(),
        }))
    }

    /// Reads the next change; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, Failure> {
        match &mut self.form {
            Form::Empty(_) => Ok(false),
            Form::Signed(records) | Form::Columns(records, _) => records.advance(),
            Form::Operations(rows) | Form::Fields(rows, _) => rows.advance(),
        }
    }

    /// Adds the current change to the batch.
    pub(super) fn add_to(&mut self, batch: &mut Batch) -> Result<(), BadInput> {
        self.stage(batch)?;
        if let Some(unit) = self.rules.state.times.guess().filter(|_| !self.is_unit_said) {
            self.is_unit_said = true;
            self.rules.out.note(&format!("times: {}", unit.name()));
        }
        Ok(())
    }

    fn stage(&mut self, batch: &mut Batch) -> Result<(), BadInput> {
        let ChangeRules { rows, state, .. } = &mut self.rules;
        let (signals, mut target) = (Signals::of(rows), BatchTarget { batch, state });
        match &self.form {
            Form::Empty(_) => Ok(()),
            Form::Signed(records) => record(records, signals, &mut target),
            Form::Operations(rows) => operation(rows.lines(), signals, &mut target),
            Form::Columns(records, columns) => columns.take(records, signals, &mut target),
            Form::Fields(rows, fields) => mapped(rows.lines(), fields, signals, &mut target),
        }
    }

    /// The lines of the stream, at the last line of the current change.
    pub(super) fn lines(&self) -> &Lines {
        match &self.form {
            Form::Empty(lines) => lines,
            Form::Signed(records) | Form::Columns(records, _) => records.lines(),
            Form::Operations(rows) | Form::Fields(rows, _) => rows.lines(),
        }
    }
}

/// A batch that takes changes.
struct BatchTarget<'a> {
    batch: &'a mut Batch,
    state: &'a mut RowState,
}

impl RowTarget for BatchTarget<'_> {
    fn begin(&mut self, _: u64) -> Result<(), Failure> {
        Ok(())
    }

    fn state(&mut self) -> &mut RowState {
        self.state
    }

    fn add_node(&mut self, node: NodeRef<'_>) -> Result<(), Error> {
        Ok(self.batch.add_node(node)?)
    }

    fn link(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, edge: Edge<'_>) -> Result<(), Error> {
        for (relation, options) in self.state.take_new() {
            self.batch.declare_relation(relation, options)?;
        }
        Ok(self.batch.link(src, dst, edge)?)
    }

    fn unlink_opposite(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, relation: &str) -> Result<(), Error> {
        Ok(self.batch.unlink(src, dst, Some(relation))?)
    }

    fn staged(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn bad(&mut self, bad: BadInput, _: &[u8]) -> Result<(), Failure> {
        Err(bad.into())
    }
}

fn record(records: &Delimited, signals: Signals<'_>, target: &mut BatchTarget<'_>) -> Result<(), BadInput> {
    let adds = match records.bytes(0) {
        b"+" => true,
        b"-" => false,
        other => return Err(records.place(0).found(other, "+ or -")),
    };
    if !(3..=5).contains(&records.len()) {
        let problem = format!("found {} fields, expected 3 to 5: +,src,dst[,weight][,time]", records.len());
        return Err(records.place(records.len().min(5)).problem(problem));
    }
    let node =
        |at: usize| NodeRef::parse(records.text(at)?).map_err(|error| records.place(at).problem(error));
    let (src, dst) = (node(1)?, node(2)?);
    let (weight, time) = (records.weight(3)?, records.time(4, &mut target.state.times)?);
    let staged = if adds {
        signals.put(target, (src, dst), Signal::Weight(weight), time, None)
    } else {
        target.batch.unlink(src, dst, None).map_err(|error| error.to_string())
    };
    staged.map_err(|problem| records.place(1).problem(problem))
}

/// A field that holds a node.
fn node(object: &JsonLine<'_>, field: &str) -> Result<NodeName, BadInput> {
    let text = object.text(field, "a node such as \"pin:1\"")?;
    NodeRef::parse(&text).map(|name| name.to_name()).map_err(|error| object.place(field).problem(error))
}

/// Sets the properties of a node: all fields but `op` and `node`. A field that is null removes its property.
fn set(object: &JsonLine<'_>, batch: &mut Batch) -> Result<(), BadInput> {
    let node = node(object, "node")?;
    let before = batch.savepoint();
    let mut stage = || {
        batch.add_node(&node).map_err(|error| object.place("node").problem(error))?;
        for field in object.names().filter(|field| !["op", "node"].contains(field)) {
            let of = object.value_type(field).unwrap_or(PropertyType::Text);
            let staged = object.value(field, of, |value| match value {
                FieldValue::Value(value) => batch.set_property(&node, field, &value),
                FieldValue::Empty | FieldValue::Missing => batch.remove_property(&node, field),
            })?;
            staged.map_err(|error| object.place(field).problem(error))?;
        }
        Ok(())
    };
    let staged = stage();
    if staged.is_err() {
        batch.roll_back(&before);
    }
    staged
}

const OPERATIONS: &str = "\"add\", \"remove\" or \"set\"";

fn operation(lines: &Lines, signals: Signals<'_>, target: &mut BatchTarget<'_>) -> Result<(), BadInput> {
    let object = JsonLine::parse(lines)?;
    let adds = match object.text("op", OPERATIONS)?.as_ref() {
        "add" => true,
        "remove" => false,
        "set" => return set(&object, target.batch),
        other => return Err(object.place("op").found(other.as_bytes(), OPERATIONS)),
    };
    object.expect_only(&["op", "src", "dst", "weight", "time"])?;
    let node = |field: &str| node(&object, field);
    let (src, dst) = (node("src")?, node("dst")?);
    let (weight, time) = (object.weight("weight")?, object.time("time", &mut target.state.times)?);
    let staged = if adds {
        signals.put(target, (src.as_ref(), dst.as_ref()), Signal::Weight(weight), time, None)
    } else {
        let unlinked = target.batch.unlink(src.as_ref(), dst.as_ref(), None);
        unlinked.map_err(|error| error.to_string())
    };
    staged.map_err(|problem| object.place("weight").problem(problem))
}

/// An object whose fields flags name; without an operation it adds.
fn mapped(
    lines: &Lines,
    fields: &EdgeFields,
    signals: Signals<'_>,
    target: &mut BatchTarget<'_>,
) -> Result<(), BadInput> {
    let object = JsonLine::parse(lines)?;
    if !object.has("op") {
        return fields.take(lines, signals, target);
    }
    match object.text("op", OPERATIONS)?.as_ref() {
        "add" => fields.take(lines, signals, target),
        "remove" => fields.unlink(&object, signals, target.batch),
        "set" => set(&object, target.batch),
        other => Err(object.place("op").found(other.as_bytes(), OPERATIONS)),
    }
}
