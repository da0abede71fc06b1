//! Tables that fit the terminal.

use anstyle::Style;

use super::style::{HEAD, PLAIN, paint};
use super::text::{add, cut, cut_left, cut_middle, safe, wrap};

/// Blanks between columns.
const GAP: usize = 2;
/// A column is never made narrower than this.
const COLUMN_MIN: usize = 6;
/// Narrower than this a column says too little to add another one for.
const COLUMN_FAIR: usize = 10;
/// As much of a column that is cut last is wanted before another one is added.
const COLUMN_GOOD: usize = 32;
/// Blanks before what is told below a row.
pub(crate) const NOTE_INDENT: usize = 6;

/// A column: its name, and what happens when its cells are too wide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    cut: Cut,
    /// It is cut only when cutting the others was not enough.
    is_last: bool,
}

impl Column {
    const fn new(name: &'static str, cut: Cut) -> Self {
        Self { name, cut, is_last: false }
    }

    /// Cut after all others: a person needs it most.
    pub(crate) const fn last(self) -> Self {
        Self { is_last: true, ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Never,
    Left,
    Right,
    Agent,
}

/// A column that is always shown whole.
pub(crate) const fn whole(name: &'static str) -> Column {
    Column::new(name, Cut::Never)
}

/// A column whose cells lose their beginnings: what tells them apart is at the end.
pub(crate) const fn left(name: &'static str) -> Column {
    Column::new(name, Cut::Left)
}

/// A column whose cells lose their ends.
pub(crate) const fn right(name: &'static str) -> Column {
    Column::new(name, Cut::Right)
}

/// A column of agents: of an id that we made the program and the process tell them apart, of any other its two ends.
pub(crate) const fn agent(name: &'static str) -> Column {
    Column::new(name, Cut::Agent)
}

/// The program and process of an id that we made (`local:uid-1000/codex/7-8`).
fn program(id: &str) -> &str {
    let rest = id.strip_prefix("local:uid-").and_then(|rest| rest.split_once('/'));
    rest.map_or(id, |(_, program)| program)
}

/// One row, and lines below it.
pub(crate) struct Row {
    cells: Vec<Cell>,
    notes: Vec<Cell>,
}

impl From<Vec<Cell>> for Row {
    fn from(cells: Vec<Cell>) -> Self {
        Self { cells, notes: Vec::new() }
    }
}

impl Row {
    /// With a line below it, wrapped.
    pub(crate) fn note(mut self, note: Cell) -> Self {
        self.notes.push(note);
        self
    }
}

/// One cell: text from outside, made safe when the table is drawn, and its style.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Its text, which is still as it came from outside, and its style.
    pub(crate) fn parts(&self) -> (&str, Style) {
        (&self.text, self.style)
    }
}

/// A plain cell.
pub(crate) fn cell(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), style: PLAIN }
}

/// A cell in a style.
pub(crate) fn styled(text: impl Into<String>, style: Style) -> Cell {
    Cell { text: text.into(), style }
}

/// Draws a table. What does not fit the width is cut, the widest column that may be cut first.
pub(crate) fn draw<R: Into<Row>>(head: &[Column], rows: Vec<R>, width: usize) -> String {
    let rows: Vec<Row> = rows.into_iter().map(|row| made_safe(row.into())).collect();
    let widths = fit(head, natural_widths(head, &rows), width);
    let heading: Vec<Cell> = head.iter().map(|column| styled(column.name, HEAD)).collect();
    let mut out = line(head, &heading, &widths);
    for row in &rows {
        out.push_str(&line(head, &row.cells, &widths));
        for note in &row.notes {
            for part in wrap(&note.text, width.saturating_sub(NOTE_INDENT)) {
                add(&mut out, format_args!("{:NOTE_INDENT$}{}\n", "", paint(note.style, &part)));
            }
        }
    }
    out
}

/// As [`draw`], but the cells of one column are told whole below their rows where there is no room to do so beside: an
/// id that is cut can be given to no command.
pub(crate) fn draw_id(head: &[Column], id: usize, mut rows: Vec<Row>, width: usize) -> String {
    let natural = natural_widths(head, &rows);
    if natural.iter().sum::<usize>() + GAP * head.len().saturating_sub(1) <= width {
        return draw(head, rows, width);
    }
    let mut head = head.to_vec();
    if id < head.len() {
        head.remove(id);
    }
    for row in &mut rows {
        if id < row.cells.len() {
            row.notes.insert(0, row.cells.remove(id));
        }
    }
    draw(&head, rows, width)
}

/// Whether a table can be drawn without cutting a column to where it says little.
pub(crate) fn fits(head: &[Column], rows: &[Row], width: usize) -> bool {
    let natural = natural_widths(head, rows);
    let fair = |(column, width): (&Column, &usize)| match column.cut {
        Cut::Never => *width,
        _ if column.is_last => (*width).min(COLUMN_GOOD),
        _ => (*width).min(COLUMN_FAIR),
    };
    head.iter().zip(&natural).map(fair).sum::<usize>() + GAP * head.len().saturating_sub(1) <= width
}

fn made_safe(mut row: Row) -> Row {
    for cell in row.cells.iter_mut().chain(&mut row.notes) {
        cell.text = safe(&cell.text).into_owned();
    }
    row
}

fn natural_widths(head: &[Column], rows: &[Row]) -> Vec<usize> {
    let length = |row: &Row, at: usize| row.cells.get(at).map_or(0, |cell| cell.text.chars().count());
    let widest = |(at, column): (usize, &Column)| {
        let own = column.name.chars().count();
        rows.iter().map(|row| length(row, at)).max().unwrap_or_default().max(own)
    };
    head.iter().enumerate().map(widest).collect()
}

/// Narrows the widest column that may be cut until the line fits; those that are cut last when the others are as narrow
/// as they get.
fn fit(head: &[Column], mut widths: Vec<usize>, width: usize) -> Vec<usize> {
    let gaps = GAP * widths.len().saturating_sub(1);
    for is_last in [false, true] {
        while widths.iter().sum::<usize>() + gaps > width {
            let may_be_cut = |column: &Column| column.cut != Cut::Never && column.is_last == is_last;
            let widths = widths.iter_mut().zip(head).filter(|(_, column)| may_be_cut(column));
            match widths.map(|(width, _)| width).max() {
                Some(widest) if *widest > COLUMN_MIN => *widest -= 1,
                _ => break,
            }
        }
    }
    widths
}

fn line(head: &[Column], row: &[Cell], widths: &[usize]) -> String {
    let mut line = String::new();
    // blanks are written before the cell that needs them: no line ends in blanks
    let mut due = 0;
    for ((cell, width), column) in row.iter().zip(widths).zip(head) {
        let text = match column.cut {
            Cut::Left => cut_left(&cell.text, *width),
            Cut::Agent if cell.text.chars().count() > *width => cut_middle(program(&cell.text), *width),
            Cut::Agent | Cut::Never | Cut::Right => cut(&cell.text, *width),
        };
        if !text.is_empty() {
            line.push_str(&" ".repeat(due));
            line.push_str(&paint(cell.style, &text));
            due = 0;
        }
        due += width.saturating_sub(text.chars().count()) + GAP;
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(rows: &[&[&str]], width: usize) -> String {
        let rows: Vec<Vec<Cell>> =
            rows.iter().map(|row| row.iter().map(|text| cell(*text)).collect()).collect();
        let head = [whole("AT"), right("WHAT"), whole("END")];
        anstream::adapter::strip_str(&draw(&head, rows, width)).to_string()
    }

    #[test]
    fn columns_line_up_and_no_line_ends_in_blanks() {
        let table = plain(&[&["@1", "isolate_host", ""], &["@12", "", "ok"]], 80);
        assert_eq!(table, "AT   WHAT          END\n@1   isolate_host\n@12                ok\n");
    }

    #[test]
    fn the_widest_column_is_cut_to_fit() {
        let table = plain(&[&["@1", "a_very_long_tool_name", "ok"]], 20);
        assert_eq!(table, "AT  WHAT         END\n@1  a_very_lon…  ok\n");
        for line in table.lines() {
            assert!(line.chars().count() <= 20, "{line}");
        }
    }

    #[test]
    fn a_column_is_cut_on_its_side_or_never_and_notes_are_wrapped() {
        let row = Row::from(vec![cell("@1234567890"), cell("edr#isolate_host")]).note(cell("one two"));
        let table = draw(&[whole("AT"), left("TOOL")], vec![row], 19);
        let plain = anstream::adapter::strip_str(&table).to_string();
        assert_eq!(plain, "AT           TOOL\n@1234567890  …_host\n      one two\n");
        let rows = [Row::from(vec![cell("@1234567890"), cell("edr#isolate_host")])];
        assert!(fits(&[whole("AT"), left("TOOL")], &rows, 23));
        assert!(!fits(&[whole("AT"), left("TOOL")], &rows, 22));
    }

    #[test]
    fn what_a_person_needs_most_is_cut_last() {
        let head = [agent("AGENT"), left("FOR"), left("TOOL").last(), whole("VERDICT")];
        let drawn = |width| {
            let cells = ["local:uid-1000/codex/7-8888", "uid:1000", "files#write_file", "denied"];
            let row = Row::from(Vec::from(cells.map(cell)));
            let table = draw(&head, vec![row], width);
            let plain = anstream::adapter::strip_str(&table).to_string();
            plain.lines().nth(1).unwrap_or_default().to_owned()
        };
        assert_eq!(drawn(64), "local:uid-1000/codex/7-8888  uid:1000  files#write_file  denied");
        assert_eq!(drawn(50), "codex/7-8888   uid:1000  files#write_file  denied");
        assert_eq!(drawn(44), "cod…8888  …d:1000  files#write_file  denied");
        assert_eq!(drawn(40), "co…888  …:1000  …les#write_file  denied");
        assert_eq!(program("local:uid-1000/codex/7-8"), "codex/7-8");
        assert_eq!(program("spiffe://x/local:uid-1/a"), "spiffe://x/local:uid-1/a");
    }

    #[test]
    fn an_id_without_room_stands_whole_below() {
        let drawn = |width| {
            let row = Row::from(vec![cell("@1"), cell("a-long-thumbprint"), cell("live")]).note(cell("more"));
            let table = draw_id(&[whole("AT"), right("ID"), whole("STATE")], 1, vec![row], width);
            anstream::adapter::strip_str(&table).to_string()
        };
        assert_eq!(drawn(28), "AT  ID                 STATE\n@1  a-long-thumbprint  live\n      more\n");
        assert_eq!(drawn(27), "AT  STATE\n@1  live\n      a-long-thumbprint\n      more\n");
    }

    #[test]
    fn text_that_acts_on_a_terminal_is_escaped() {
        assert!(plain(&[&["\u{1b}[31m", "x", "y"]], 80).contains("\\u{1b}[31m"));
    }
}
