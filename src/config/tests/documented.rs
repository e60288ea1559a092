use super::super::schema;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/configuration.md");
const EXAMPLE: &str = include_str!("../../../config/backstop.example.toml");

/// Every `(section, key)` of the schema.
fn keys() -> Vec<(String, String)> {
    let schema = schema();
    let mut keys = Vec::new();
    for (section, content) in schema["properties"].as_object().unwrap() {
        let table = if content["type"] == "array" { &content["items"] } else { content };
        for key in table["properties"].as_object().unwrap().keys() {
            keys.push((section.clone(), key.clone()));
        }
    }
    assert!(keys.len() > 20, "{keys:?}");
    keys
}

#[test]
fn every_key_has_its_row_in_the_configuration_page() {
    for (section, key) in keys() {
        let after = PAGE.split(&format!("[{section}]")).nth(1);
        let chapter = after.unwrap_or_default().split("\n## ").next().unwrap_or_default();
        assert!(chapter.contains(&format!("| `{key}` |")), "{section}.{key} is not documented");
    }
}

#[test]
fn every_key_stands_in_the_example_file() {
    for (section, key) in keys() {
        let shown = EXAMPLE.lines().any(|line| line.starts_with(&format!("{key} = ")));
        assert!(shown, "{section}.{key} is not in config/backstop.example.toml");
    }
}

#[test]
fn the_schema_describes_every_key_and_forbids_others() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], Value::Bool(false));
    for (section, key) in keys() {
        let content = &schema["properties"][&section];
        let table = if content["type"] == "array" { &content["items"] } else { content };
        assert_eq!(table["additionalProperties"], Value::Bool(false), "{section}");
        assert!(table["properties"][&key]["description"].is_string(), "{section}.{key}");
    }
}
