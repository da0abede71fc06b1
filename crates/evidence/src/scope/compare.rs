//! Two scopes side by side, for people: where one is narrower than the other, and where it is wider.

use std::collections::BTreeSet;

use super::{Constraint, Row, Scope, row_within, scalar};

impl Scope {
    /// Where this scope is narrower than `parent`, which it is within: short texts, none where it is as wide.
    ///
    /// Texts about arguments name their tool only where this scope has several.
    pub fn difference(&self, parent: &Self) -> Vec<String> {
        let mut texts = Vec::new();
        let (own, above): (BTreeSet<&str>, BTreeSet<&str>) =
            (self.tools().collect(), parent.tools().collect());
        if own != above && !self.covers(parent) {
            texts.push(format!("tools: only {} (of {})", plain(&own), plain(&above)));
        }
        for (uri, row, outer) in self.rows_beside(parent) {
            let Some(outer) = outer else { continue };
            let only = self.0.len() == 1 && self.0.contains_key(uri);
            let place = if only { String::new() } else { format!("{uri}, ") };
            texts.extend(row_difference(row, outer).into_iter().map(|text| format!("{place}{text}")));
        }
        texts
    }

    /// Where this scope is not within `parent`: one text for each row or argument that is wider. Empty exactly where
    /// [`Scope::within`] holds.
    pub fn excess(&self, parent: &Self) -> Vec<String> {
        let mut texts = Vec::new();
        for (uri, row, outer) in self.rows_beside(parent) {
            match outer {
                None => texts.push(format!("the tool `{uri}`")),
                Some(outer) => texts.extend(row_excess(uri, row, outer)),
            }
        }
        texts
    }

    /// Each row here with the one that governs it in `parent`, then each row there that a row of the whole server
    /// governs here: the pairs that [`Scope::within`] is about.
    fn rows_beside<'a>(
        &'a self,
        parent: &'a Self,
    ) -> impl Iterator<Item = (&'a str, &'a Row, Option<&'a Row>)> {
        let own = self.0.iter().map(|(uri, row)| (uri.as_str(), row, parent.row(uri)));
        let above = parent.0.iter().filter(|(uri, _)| !self.0.contains_key(*uri));
        own.chain(above.filter_map(|(uri, outer)| Some((uri.as_str(), self.row(uri)?, Some(outer)))))
    }

    /// Whether each tool of `other` is governed here: then the list of tools leaves nothing out.
    fn covers(&self, other: &Self) -> bool {
        other.tools().all(|uri| self.row(uri).is_some())
    }
}

fn plain(uris: &BTreeSet<&str>) -> String {
    scalar::some_of(uris.iter().copied(), uris.len())
}

fn row_difference(row: &Row, outer: &Row) -> Vec<String> {
    let anything = "anything".to_owned();
    if outer.is_empty() {
        let mut texts = Vec::new();
        if !row.is_empty() {
            texts.push(format!("arguments: only {} (were any)", names(row)));
        }
        texts.extend(
            row.iter()
                .filter(|(_, own)| !own.allows_anything())
                .map(|(name, own)| format!("{}: {} (was {anything})", scalar::cut(name), own.describe())),
        );
        return texts;
    }
    row.iter()
        .filter_map(|(name, own)| outer.get(name).map(|above| (name, own, above)))
        .filter_map(|(name, own, above)| {
            constraint_difference(own, above).map(|text| format!("{}: {text}", scalar::cut(name)))
        })
        .collect()
}

fn constraint_difference(own: &Constraint, above: &Constraint) -> Option<String> {
    let demanded = if above.is_optional() && !own.is_optional() { "always there" } else { "" };
    let narrower = !above.with_optional_of(own).within(own);
    match (narrower, demanded) {
        (true, "") => Some(format!("{} (was {})", own.describe(), above.describe())),
        (true, _) => Some(format!("{}, {demanded} (was {}, optional)", own.describe(), above.describe())),
        (false, "") => None,
        (false, _) => Some(format!("{demanded} (was optional)")),
    }
}

fn row_excess(uri: &str, row: &Row, outer: &Row) -> Vec<String> {
    if row_within(row, outer) {
        return Vec::new();
    }
    if row.is_empty() {
        return vec![format!("any arguments of `{uri}`, where the parent allows only {}", names(outer))];
    }
    let unlisted = row.keys().filter(|name| !outer.contains_key(*name));
    let unlisted = unlisted.map(|name| format!("the argument `{}` of `{uri}`", scalar::cut(name)));
    let dropped = outer.keys().filter(|name| !row.contains_key(*name)).map(|name| {
        format!("`{uri}` without its argument `{}`, which the parent's row lists", scalar::cut(name))
    });
    let wider = row.iter().filter_map(|(name, own)| {
        let above = outer.get(name).filter(|above| !own.within(above))?;
        Some(format!(
            "the argument `{}` of `{uri}` as {}, where the parent allows {}",
            scalar::cut(name),
            worded(own),
            worded(above)
        ))
    });
    unlisted.chain(dropped).chain(wider).collect()
}

fn worded(constraint: &Constraint) -> String {
    let optional = if constraint.is_optional() { ", or left out" } else { "" };
    format!("{}{optional}", constraint.describe())
}

fn names(row: &Row) -> String {
    scalar::some_of(row.keys().map(|name| format!("`{}`", scalar::cut(name))), row.len())
}
