//! The command `codex-proxy usage`.

use http_body_util::BodyExt as _;
use jiff::tz::TimeZone;
use url::form_urlencoded::Serializer;

use super::Context;
use super::client::{Answer, Client};
use super::failure::Failure;
use super::output::{Output, Painter, Table};
use super::tree::{Export, UsageArgs};
use super::units::count;
use crate::control::api::{Usage, UsageGroup};
use crate::usage::Totals;

pub(super) async fn run(args: &UsageArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let client = Client::find(&context.config.data_dir)?;
    let here = TimeZone::system();
    let query = query(args, here.iana_name());
    if let Some(format) = args.export {
        return export(&client, format, &query, output).await;
    }
    let usage: Answer<Usage> = client.get(&format!("/usage?{query}")).await?;
    if args.json.json {
        return Ok(output.json(usage.sent())?);
    }
    Ok(output.text(&render(&usage.read()?, output.paint()))?)
}

/// Writes an export as it is received, because it may be long.
async fn export(client: &Client, format: Export, query: &str, output: &mut Output) -> Result<(), Failure> {
    let path = format!("/usage/export?format={}&{query}", format.as_str());
    let mut body = client.stream(&path).await?.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::new(format!("the export broke off: {error}")))?;
        if let Ok(data) = frame.into_data() {
            output.bytes(&data)?;
        }
    }
    Ok(())
}

fn query(args: &UsageArgs, here: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    let zone = args.tz.as_deref().or(here);
    for (name, value) in [("start", args.start.as_deref()), ("end", args.end.as_deref()), ("tz", zone)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    if args.export.is_none() {
        query.append_pair("group", args.group.as_str());
    }
    query.finish()
}

fn render(usage: &Usage, paint: Painter) -> String {
    if usage.data.is_empty() {
        return "Nothing has been used in that time.\n".to_owned();
    }
    let header = usage.group.as_str().to_uppercase();
    let header = [header.as_str(), "REQUESTS", "ERRORS", "INPUT", "CACHED", "OUTPUT", "TOTAL"];
    let mut table = Table::new(&header).right(1..7);
    let mut row = |name: &str, totals: &Totals| {
        table.row([
            name.to_owned(),
            count(totals.requests),
            count(totals.errors),
            count(totals.input_tokens),
            count(totals.cached_tokens),
            count(totals.output_tokens),
            count(totals.total_tokens),
        ]);
    };
    for bucket in &usage.data {
        // Two keys may have had the same name.
        let twice = usage.data.iter().filter(|other| other.bucket == bucket.bucket).count() > 1;
        let name = when(usage.group, &bucket.bucket);
        match bucket.key_id.as_ref().filter(|_| twice) {
            Some(id) => row(&format!("{name} ({id})"), &bucket.totals),
            None => row(&name, &bucket.totals),
        }
    }
    row("all", &usage.totals);
    let is_in_time = matches!(usage.group, UsageGroup::Hour | UsageGroup::Day) && !usage.tz.is_empty();
    let zone = if is_in_time { format!("Times are of {}.\n", usage.tz) } else { String::new() };
    table.render(paint) + &zone
}

/// The beginning of a time range in a short form; a name is not changed.
fn when(group: UsageGroup, bucket: &str) -> String {
    let short = match group {
        UsageGroup::Hour => bucket.get(..16),
        UsageGroup::Day => bucket.get(..10),
        UsageGroup::Model | UsageGroup::Key | UsageGroup::Client | UsageGroup::Other => None,
    };
    short.map_or_else(|| bucket.to_owned(), |short| short.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::super::tree::{Group, Json};
    use super::*;

    #[test]
    fn a_table_of_days() {
        let usage: Usage = from_value(json!({"object": "usage", "start": 0, "end": 1, "tz": "Europe/Berlin", "group": "day",
            "totals": {"requests": 45, "errors": 1, "input_tokens": 1_234_567, "cached_tokens": 800_000, "output_tokens": 90_000, "total_tokens": 1_324_567, "avg_ttft_ms": null},
            "data": [{"bucket": "2026-07-13T00:00:00+02:00", "start": 0, "end": 1, "requests": 45, "errors": 1, "input_tokens": 1_234_567,
                      "cached_tokens": 800_000, "output_tokens": 90_000, "total_tokens": 1_324_567}]}))
        .unwrap();
        let expected = "\
DAY         REQUESTS  ERRORS   INPUT  CACHED  OUTPUT   TOTAL
2026-07-13        45       1  1.23 M   800 k  90.0 k  1.32 M
all               45       1  1.23 M   800 k  90.0 k  1.32 M
Times are of Europe/Berlin.
";
        assert_eq!(render(&usage, Painter::PLAIN), expected);
        assert_eq!(when(UsageGroup::Hour, "2026-07-13T14:00:00+02:00"), "2026-07-13 14:00");
        assert_eq!(when(UsageGroup::Key, "2026-07-13T14:00:00+02:00"), "2026-07-13T14:00:00+02:00");
        assert!(render(&Usage::default(), Painter::PLAIN).contains("Nothing"));
    }

    #[test]
    fn questions_are_encoded() {
        let args = UsageArgs {
            start: Some("2026-07-01T00:00:00+02:00".to_owned()),
            end: None,
            group: Group::Model,
            tz: None,
            export: None,
            json: Json { json: false },
        };
        let expected = "start=2026-07-01T00%3A00%3A00%2B02%3A00&tz=Europe%2FBerlin&group=model";
        assert_eq!(query(&args, Some("Europe/Berlin")), expected);
    }
}
