//! Statistics (docs/spec/api.md 6.1), as JSON or CSV.

use super::{
    error::Failure,
    negotiation::{Media, wants_csv},
    query,
    reply::{self, Named, Response},
    request::{Request, accept},
};
use crate::{
    api::parameters::{self, IncorrectParameter},
    engine::operations::statistics::StatisticsRow,
};
use chrono::NaiveDate;

/// `GET /stats`
pub(super) async fn statistics(request: Request) -> Result<Response, Failure> {
    let caller = request.caller().await?;
    let csv = wants_csv(accept(&request.headers).as_deref());
    if !csv {
        request.form(Media::Json)?;
    }
    let (from, to) = (day(&request, "init_date")?, day(&request, "end_date")?);
    let rows = request.engine().statistics(&caller, from, to).await?;
    Ok(if csv {
        reply::with_type("text/csv; charset=utf-8", table(&rows)?)
    } else {
        reply::value(&Named("stats", &rows))?
    })
}

/// A day of the query.
fn day(request: &Request, name: &str) -> Result<Option<NaiveDate>, IncorrectParameter> {
    parameters::day(&query::first(&request.query, name).unwrap_or_default(), name)
}

/// A line of names, then a line for each row; a single empty line without rows.
fn table(rows: &[StatisticsRow]) -> Result<String, Failure> {
    let mut table = String::new();
    for row in rows {
        let row = serde_json::to_value(row)?;
        let Some(row) = row.as_object() else { continue };
        if table.is_empty() {
            line(&mut table, row.keys().map(|name| field(name)));
        }
        line(&mut table, row.values().map(cell));
    }
    if table.is_empty() {
        table.push_str("\r\n");
    }
    Ok(table)
}

fn line(table: &mut String, cells: impl Iterator<Item = String>) {
    table.push_str(&cells.collect::<Vec<_>>().join(","));
    table.push_str("\r\n");
}

fn cell(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::Bool(true) => "True".to_owned(),
        serde_json::Value::Bool(false) => "False".to_owned(),
        serde_json::Value::String(text) => field(text),
        other => other.to_string(),
    }
}

/// Quoted where the text would be taken apart (RFC 4180).
fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must() {
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!((cell(&true.into()), cell(&serde_json::Value::Null)), ("True".to_owned(), String::new()));
    }
}
