//! No field can be left out: whatever is changed in a view, in a message or in what else leaves a server is reported
//! by the comparison, under the right name, and is shown in words.
//!
//! The values and the changes are made from the JSON Schema of the types, which has every field that they have. A
//! failure prints its seed.

use lockstep_conformance::compare::{Wanted, compare, compare_views};
use lockstep_conformance::{Difference, words};
use lockstep_traces::{Emitted, Expected, Field, FieldSet, NodeView, Outcome, Output, Part};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::borrow::Cow;

const CASES: u32 = 64;

/// A type, by the schema of its JSON form.
struct Type {
    root: Value,
}

/// A value, and for each of its parts the value with another one there: the place and the whole.
#[derive(Clone, Debug)]
struct Changed {
    value: Value,
    changes: Vec<(String, Value)>,
}

impl Type {
    fn of<T: JsonSchema>() -> Type {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let schema = settings.into_generator().into_root_schema_for::<T>();
        Type {
            root: schema.to_value(),
        }
    }

    /// The schema that is meant, by its name if it has one.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => self.resolve(self.root.pointer(&name[1..]).unwrap()),
            None => schema,
        }
    }

    /// The schemas of which a value has one; a type that may be null is two.
    fn alternatives(&self, schema: &Value) -> Vec<Value> {
        let schema = self.resolve(schema);
        let several = schema.get("oneOf").or_else(|| schema.get("anyOf"));
        if let Some(several) = several {
            let all = several.as_array().unwrap().iter();
            return all.flat_map(|it| self.alternatives(it)).collect();
        }
        let one = |key: &str, value: &Value| {
            let mut one = schema.clone();
            one.as_object_mut().unwrap().remove("enum");
            one[key] = value.clone();
            one
        };
        if let Some(values) = schema["enum"].as_array() {
            return values.iter().map(|it| one("const", it)).collect();
        }
        match schema["type"].as_array() {
            Some(types) => types.iter().map(|it| one("type", it)).collect(),
            None => vec![schema.clone()],
        }
    }

    /// Any value.
    fn value(&self, schema: &Value) -> BoxedStrategy<Value> {
        let alternatives = self.alternatives(schema);
        let each = alternatives.iter().map(|it| self.one_value(it));
        proptest::strategy::Union::new(each.collect::<Vec<_>>()).boxed()
    }

    fn one_value(&self, schema: &Value) -> BoxedStrategy<Value> {
        if let Some(only) = schema.get("const") {
            return Just(only.clone()).boxed();
        }
        match schema["type"].as_str().expect("a schema of one type") {
            "null" => Just(Value::Null).boxed(),
            "boolean" => any::<bool>().prop_map(Value::from).boxed(),
            "integer" => (1..9_u64).prop_map(Value::from).boxed(),
            "array" => {
                let items = prop::collection::vec(self.value(&schema["items"]), 1..4);
                let set = is_set(schema);
                let items = items.prop_map(move |mut items| {
                    if set {
                        items.sort_by_key(Value::as_u64);
                        items.dedup();
                    }
                    Value::from(items)
                });
                items.boxed()
            }
            "object" => match schema["properties"].as_object() {
                Some(fields) => {
                    let fields = fields
                        .iter()
                        .map(|(key, it)| (Just(key.clone()), self.value(it)));
                    fields.collect::<Vec<_>>().prop_map(object).boxed()
                }
                None => {
                    let key = (1..4_u64).prop_map(|id| id.to_string());
                    let values = prop::collection::btree_map(key, self.value(of_map(schema)), 1..3);
                    values.prop_map(object).boxed()
                }
            },
            other => panic!("no values are made for {other}"),
        }
    }

    /// Every place in a value, with its schema.
    fn places(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
        let fits = |it: &Value| match (it.get("const"), value) {
            (Some(only), _) => only == value,
            (None, Value::Null) => it["type"] == "null",
            (None, Value::Object(fields)) => match it["properties"].as_object() {
                Some(keys) => fields.keys().eq(keys.keys()),
                None => it["type"] == "object",
            },
            (None, Value::Array(_)) => it["type"] == "array",
            (None, Value::Number(_)) => it["type"] == "integer",
            (None, Value::Bool(_)) => it["type"] == "boolean",
            (None, Value::String(_)) => false,
        };
        let one = self.alternatives(schema).into_iter().find(fits);
        let one = one.unwrap_or_else(|| panic!("{value} is none of {schema}"));
        if !at.is_empty() {
            found.push((at.to_owned(), schema.clone()));
        }
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let schema = one["properties"].get(key).unwrap_or_else(|| of_map(&one));
                    self.places(schema, value, &format!("{at}/{key}"), found);
                }
            }
            // A member of a set has no place of its own: the set changes.
            Value::Array(_) if is_set(&one) => {}
            Value::Array(items) => {
                for (position, value) in items.iter().enumerate() {
                    self.places(&one["items"], value, &format!("{at}/{position}"), found);
                }
            }
            _ => {}
        }
    }

    /// A value, and a change at each of its places.
    fn changed(self) -> impl Strategy<Value = Changed> {
        let value = self.value(&self.root);
        value.prop_flat_map(move |value| {
            let mut places = Vec::new();
            self.places(&self.root, &value, "", &mut places);
            let changes = places.into_iter().map(|(place, schema)| {
                let old = value.pointer(&place).unwrap().clone();
                let new = self.value(&schema);
                let new = new.prop_filter("a change", move |new| *new != old);
                let value = value.clone();
                new.prop_map(move |new| {
                    let mut changed = value.clone();
                    *changed.pointer_mut(&place).unwrap() = new;
                    (place.clone(), changed)
                })
            });
            let changes: Vec<_> = changes.collect();
            (Just(value), changes).prop_map(|(value, changes)| Changed { value, changes })
        })
    }
}

/// The schema of the values of a map by server.
fn of_map(schema: &Value) -> &Value {
    let patterns = schema["patternProperties"].as_object();
    let pattern = patterns.and_then(|all| all.values().next());
    pattern.unwrap_or(&schema["additionalProperties"])
}

fn object(fields: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(fields.into_iter().collect::<Map<_, _>>())
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

fn field_of(difference: &Difference) -> Field {
    match difference {
        Difference::WrongState { field, .. } | Difference::WrongOutput { field, .. } => *field,
        Difference::WrongRefusal { .. } => Field::Outcome,
        Difference::WrongMessage { .. }
        | Difference::MissingMessage { .. }
        | Difference::ExtraMessage { .. } => Field::Messages,
        other => panic!("{other:?}"),
    }
}

/// Holds that a difference was found, that each is about that key, and that its two sides differ in words.
fn check_differences(place: &str, found: &[Difference]) -> Result<(), TestCaseError> {
    prop_assert!(!found.is_empty(), "{place} is not compared");
    let mut path = place.split('/').skip(1);
    let (first, third) = (path.next(), path.nth(1));
    for difference in found {
        let field = field_of(difference);
        let key = match field.part() {
            Part::Peer => third.filter(|_| first == Some("peers")),
            Part::State | Part::Output => first,
        };
        let whole_peer = first == Some("peers") && third.is_none();
        prop_assert!(
            key == Some(field.key()) || whole_peer,
            "{place} is reported as {field}"
        );
        let said = words::difference(difference);
        prop_assert_ne!(said.expected, said.actual, "{} in words", place);
    }
    Ok(())
}

fn expected(view: &NodeView, outcome: Outcome, sent: Vec<Emitted>) -> Expected {
    Expected {
        read_states: Vec::new(),
        outcome,
        view: view.clone(),
        sent,
    }
}

fn check_view(Changed { value, changes }: Changed, shown: FieldSet) -> Result<(), TestCaseError> {
    let view: NodeView = read(&value);
    let said = |before: Option<&NodeView>, after: &NodeView| {
        words::changes(before, &expected(after, Outcome::Accepted, Vec::new()))
    };
    for (place, changed) in changes {
        let changed: NodeView = read(&changed);
        let found = compare_views(&view, &changed, shown);
        check_differences(&place, &found)?;
        // Nothing but these fields differs.
        let others = found.iter().map(field_of).fold(shown, FieldSet::without);
        prop_assert_eq!(compare_views(&view, &changed, others), []);
        prop_assert_ne!(
            said(None, &view),
            said(None, &changed),
            "{} in words",
            &place
        );
        prop_assert_ne!(
            said(Some(&view), &changed),
            ["nothing"],
            "{} in words",
            &place
        );
    }
    Ok(())
}

fn differences(left: &Output, right: &Output, shown: FieldSet) -> Vec<Difference> {
    let view = NodeView::default();
    let wanted = Wanted {
        output: Cow::Borrowed(left),
        view: &view,
    };
    compare(&wanted, right, &view, shown)
}

fn check_output(Changed { value, changes }: Changed, shown: FieldSet) -> Result<(), TestCaseError> {
    let output: Output = read(&value);
    for (place, changed) in changes {
        let changed: Output = read(&changed);
        if sorted(&output) == sorted(&changed) {
            continue; // The order of messages is none of its fields.
        }
        check_differences(&place, &differences(&output, &changed, shown))?;
    }
    Ok(())
}

fn sorted(output: &Output) -> Output {
    let mut output = output.clone();
    output.sent.sort();
    output
}

/// A message alone, which nothing else in the output can make up for.
fn check_message(
    Changed { value, changes }: Changed,
    shown: FieldSet,
) -> Result<(), TestCaseError> {
    let emitted: Emitted = read(&value);
    let output = |sent: &Emitted| Output {
        read_states: Vec::new(),
        outcome: Outcome::Accepted,
        sent: vec![sent.clone()],
        handed: Vec::new(),
    };
    let text = |sent: &Emitted| {
        let after = expected(&NodeView::default(), Outcome::Accepted, vec![sent.clone()]);
        words::describe(&NodeView::default(), &after)
    };
    for (place, changed) in changes {
        let changed: Emitted = read(&changed);
        let found = differences(&output(&emitted), &output(&changed), shown);
        check_differences(&format!("/sent{place}"), &found)?;
        prop_assert_ne!(text(&emitted), text(&changed), "{} in words", &place);
        let unmarked = differences(
            &output(&emitted),
            &output(&changed),
            shown.without(Field::AfterPersist),
        );
        prop_assert_eq!(unmarked.is_empty(), place == "/after_persist", "{}", &place);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn every_change_of_a_view_is_reported_and_shown(it in Type::of::<NodeView>().changed()) {
        check_view(it, FieldSet::ALL)?;
    }

    #[test]
    fn every_change_of_an_output_is_reported_and_shown(it in Type::of::<Output>().changed()) {
        check_output(it, FieldSet::ALL)?;
    }

    #[test]
    fn every_change_of_a_message_is_reported_and_shown(it in Type::of::<Emitted>().changed()) {
        check_message(it, FieldSet::ALL)?;
    }
}

/// Whether an array is a set of servers.
fn is_set(schema: &Value) -> bool {
    schema["uniqueItems"] == true
}

/// The broken twin: a comparison that leaves out any one field fails the tests above.
#[test]
fn a_field_left_out_is_noticed() {
    for field in Field::ALL {
        let shown = FieldSet::ALL.without(field);
        let config = ProptestConfig {
            max_shrink_iters: 0,
            failure_persistence: None,
            ..ProptestConfig::with_cases(CASES)
        };
        let mut runner = TestRunner::new(config);
        let failed = match field.part() {
            Part::State | Part::Peer => runner
                .run(&Type::of::<NodeView>().changed(), |it| {
                    check_view(it, shown)
                })
                .map_err(reason),
            Part::Output => runner
                .run(&Type::of::<Output>().changed(), |it| {
                    check_output(it, shown)
                })
                .map_err(reason),
        };
        // Whoever shows what is in flight shows how many.
        let implied = field == Field::InflightCount;
        let left_out = failed.is_err_and(|why| why.contains("is not compared"));
        assert!(left_out != implied, "{field}");
    }
}

fn reason(error: TestError<Changed>) -> String {
    match error {
        TestError::Fail(reason, _) => reason.message().lines().next().unwrap_or("").to_owned(),
        TestError::Abort(reason) => panic!("{reason}"),
    }
}
