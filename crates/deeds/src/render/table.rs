//! Tables that fit the terminal.

use anstyle::Style;

use super::style::{HEAD, PLAIN, paint};
use super::text::{cut, safe};

/// Blanks between columns.
const GAP: usize = 2;
/// A column is never made narrower than this.
const COLUMN_MIN: usize = 6;

/// One cell: text from outside, made safe when the table is drawn, and its style.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

/// A plain cell.
pub(crate) fn cell(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), style: PLAIN }
}

/// A cell in a style.
pub(crate) fn styled(text: impl Into<String>, style: Style) -> Cell {
    Cell { text: text.into(), style }
}

/// Draws a table. What does not fit the width is cut, the widest column first.
pub(crate) fn draw(head: &[&str], rows: Vec<Vec<Cell>>, width: usize) -> String {
    let head = head.iter().map(|name| styled(*name, HEAD)).collect::<Vec<_>>();
    let mut rows: Vec<Vec<Cell>> = std::iter::once(head).chain(rows).collect();
    for cell in rows.iter_mut().flatten() {
        cell.text = safe(&cell.text).into_owned();
    }
    let widths = fit(natural_widths(&rows), width);
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn natural_widths(rows: &[Vec<Cell>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let length = |row: &[Cell], column: usize| row.get(column).map_or(0, |cell| cell.text.chars().count());
    (0..columns).map(|column| rows.iter().map(|row| length(row, column)).max().unwrap_or_default()).collect()
}

/// Narrows the widest column until the line fits.
fn fit(mut widths: Vec<usize>, width: usize) -> Vec<usize> {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        match widths.iter_mut().max() {
            Some(widest) if *widest > COLUMN_MIN => *widest -= 1,
            _ => break,
        }
    }
    widths
}

fn line(row: &[Cell], widths: &[usize]) -> String {
    let mut line = String::new();
    // blanks are written before the cell that needs them: no line ends in blanks
    let mut due = 0;
    for (cell, width) in row.iter().zip(widths) {
        let text = cut(&cell.text, *width);
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
        let rows = rows.iter().map(|row| row.iter().map(|text| cell(*text)).collect()).collect();
        anstream::adapter::strip_str(&draw(&["AT", "WHAT", "END"], rows, width)).to_string()
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
    fn text_that_acts_on_a_terminal_is_escaped() {
        assert!(plain(&[&["\u{1b}[31m", "x", "y"]], 80).contains("\\u{1b}[31m"));
    }
}
