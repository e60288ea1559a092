//! The JSON Schema of runbooks, for editors: with the parameters of each action.

use super::action::Registry;
use super::model::Runbook;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The schema, draft 2020-12.
pub fn schema(registry: &Registry) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<Runbook>().to_value();
    with_actions(&mut schema, registry);
    let mut definitions = Map::new();
    for action in registry.all() {
        let mut with = action.schema();
        allow_templates(&mut with, true);
        with["title"] = json!(action.name());
        with["description"] = json!(action.about());
        definitions.insert(action.name().to_owned(), with);
    }
    schema["$defs"] = Value::Object(definitions);
    schema
}

/// Ties `with` to `action` wherever both stand side by side.
fn with_actions(schema: &mut Value, registry: &Registry) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| with_actions(item, registry)),
        Value::Object(entries) => {
            entries.values_mut().for_each(|value| with_actions(value, registry));
            let properties = entries.get_mut("properties").and_then(Value::as_object_mut);
            let Some(properties) = properties else { return };
            if !(properties.contains_key("action") && properties.contains_key("with")) {
                return;
            }
            let names: Vec<&str> = registry.all().map(|action| action.name()).collect();
            properties["action"]["enum"] = json!(names);
            properties["with"] = json!({ "type": "object" });
            let choices: Vec<Value> = names
                .iter()
                .map(|name| {
                    json!({
                        "if": { "properties": { "action": { "const": name } } },
                        "then": { "properties": { "with": { "$ref": format!("#/$defs/{name}") } } },
                    })
                })
                .collect();
            entries.insert("allOf".into(), Value::Array(choices));
        }
        _ => {}
    }
}

/// A template may stand wherever a value does.
fn allow_templates(schema: &mut Value, is_root: bool) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|property| allow_templates(property, false));
    }
    if let Some(items) = schema.get_mut("items") {
        allow_templates(items, false);
    }
    let plain_text = schema["type"] == "string"
        && ["enum", "pattern", "format"].iter().all(|key| schema.get(key).is_none());
    if is_root || plain_text {
        return;
    }
    let description = schema.get("description").cloned();
    let template = json!({ "type": "string", "pattern": r"\{\{" });
    *schema = json!({ "anyOf": [schema.take(), template] });
    if let Some(description) = description {
        schema["description"] = description;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_its_parameters_and_templates_fit_anywhere() {
        let schema = schema(&Registry::shipped());
        let step = &schema["properties"]["steps"]["items"];
        let names = step["properties"]["action"]["enum"].as_array().unwrap();
        assert!(
            names.contains(&json!("sql.assert"))
                && step["allOf"].as_array().unwrap().len() == names.len()
        );
        let port = &schema["$defs"]["tcp.check"]["properties"]["port"];
        assert_eq!(port["anyOf"][1]["pattern"], r"\{\{");
        assert!(step["properties"]["compensate"].to_string().contains("$ref"));
    }
}
