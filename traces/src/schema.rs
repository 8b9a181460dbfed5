//! The trace format as a JSON Schema.

use crate::MAX_NUMBER;
use crate::trace::{EndLine, Header, StepLine};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, json_schema};
use serde_json::Value;

/// The JSON Schema of one line of a trace, as in `traces/schema.json`. It has every field of the format; the order
/// of the lines, and which numbers go together, it cannot say.
pub fn schema() -> Schema {
    // As it is written: a field that always has a value is never left out.
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with_transform(RecursiveTransform(limit_numbers));
    let dialect = settings.meta_schema.clone();
    let mut generator = settings.into_generator();
    let lines = [
        generator.subschema_for::<Header>(),
        generator.subschema_for::<StepLine<'_>>(),
        generator.subschema_for::<EndLine>(),
    ];
    json_schema!({
        "$schema": dialect,
        "title": "A line of a Lockstep trace: the header, a step, or the end",
        "oneOf": lines,
        "$defs": generator.take_definitions(true),
    })
}

/// Every number of a trace is one that all readers of JSON read exactly; the keys of a map are servers.
fn limit_numbers(schema: &mut Schema) {
    if schema.remove("format").is_some() {
        schema.insert("maximum".to_owned(), MAX_NUMBER.into());
    }
    if let Some(Value::Object(patterns)) = schema.get_mut("patternProperties") {
        let values = std::mem::take(patterns).into_iter();
        let servers = values.map(|(_, value)| ("^[1-9][0-9]*$".to_owned(), value));
        *patterns = servers.collect();
    }
}
