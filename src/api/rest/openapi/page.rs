//! The description as a page that needs nothing from elsewhere.

use super::{super::error::escape, Metadata, Rest, Route, Row, TakenBody, offered};
use std::fmt::Write;

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Infrastructure Manager</title>
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem; margin-bottom: 0 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #e4e4e4 }
code { font: 13px ui-monospace, monospace }
.GET { color: #1761a0 } .POST { color: #1d7a3c } .PUT { color: #9a5b00 } .DELETE { color: #b3261e }
small { color: #666 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } td, th { border-color: #333 }
  .GET { color: #7db8ec } .POST { color: #7bd099 } .PUT { color: #e0ac62 } .DELETE { color: #f28b82 } small { color: #999 } }
</style></head><body>
";

/// The page about these rows.
pub(super) fn page(rows: &[Route<Rest>], version: &str) -> String {
    let mut page = HEAD.to_owned();
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<h1>Infrastructure Manager</h1>\n<p>Contract {}. For programs: <a href=\"openapi.json\">openapi.json</a> (OpenAPI 3.0).</p>\n\
         <table><tr><th>Request<th>What it does<th>Parameters</tr>\n",
        escape(version)
    );
    for (row, _) in offered(rows) {
        let (method, template) = (row.method(), escape(row.template()));
        let _ = writeln!(
            page,
            "<tr><td><code><b class=\"{method}\">{method}</b> {template}</code><td>{}<td>{}</tr>",
            escape(row.metadata.summary),
            parameters(&row.metadata)
        );
    }
    page.push_str("</table>\n</body></html>\n");
    page
}

fn parameters(metadata: &Metadata) -> String {
    let mut parts: Vec<String> = metadata
        .query
        .iter()
        .map(|query| format!("<code>{}</code> <small>{}</small>", escape(query.name), escape(query.about)))
        .collect();
    match metadata.takes {
        TakenBody::None => {}
        TakenBody::Document => parts.push("<small>body: RADL, as text or JSON, or TOSCA</small>".to_owned()),
        TakenBody::Json(_) => parts.push("<small>body: JSON</small>".to_owned()),
    }
    parts.join("<br>")
}
