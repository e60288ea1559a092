use super::super::schema;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/configuration.md");
const EXAMPLE: &str = include_str!("../../../config/backstop.example.toml");

/// The schema of one table of a section.
fn table(section: &Value) -> &Value {
    let section = crate::config::schema::present(section);
    if section["type"] == "array" { &section["items"] } else { section }
}

/// Every `(section, key)` of the schema.
fn keys() -> Vec<(String, String)> {
    let schema = schema();
    let mut keys = Vec::new();
    for (section, content) in schema["properties"].as_object().unwrap() {
        // A key of the whole config, which lies in no section.
        if content["type"] == "boolean" {
            keys.push((String::new(), section.clone()));
            continue;
        }
        for key in table(content)["properties"].as_object().unwrap().keys() {
            keys.push((section.clone(), key.clone()));
        }
    }
    let repository = &schema["properties"]["repository"]["properties"];
    for part in ["copies", "options", "credentials"] {
        for key in table(&repository[part])["properties"].as_object().unwrap().keys() {
            keys.push((format!("repository.{part}"), key.clone()));
        }
    }
    assert!(keys.len() > 20, "{keys:?}");
    keys
}

#[test]
fn every_key_has_its_row_in_the_configuration_page() {
    for (section, key) in keys() {
        if section.is_empty() {
            assert!(PAGE.contains(&format!("| `{key}` |")), "{key} is not documented");
            continue;
        }
        let after = PAGE.split(&format!("[{section}]")).nth(1);
        let chapter = after.unwrap_or_default().split("\n## ").next().unwrap_or_default();
        assert!(chapter.contains(&format!("| `{key}` |")), "{section}.{key} is not documented");
    }
}

#[test]
fn every_key_stands_in_the_example_file() {
    for (section, key) in keys() {
        // What a store asks for is shown by example, and in full on the configuration page.
        if ["repository.options", "repository.credentials"].contains(&section.as_str()) {
            continue;
        }
        let (setting, table) = (format!("{key} = "), format!("[{section}.{key}]"));
        // A recipient that somebody copies would lock them out of their own backups.
        let line = |line: &'static str| match section == "encryption" {
            true => line.trim_start_matches("# "),
            false => line,
        };
        let shown = EXAMPLE.lines().map(line).any(|line| {
            line.starts_with(&setting) || line.trim_start_matches('[').starts_with(&table[1..])
        });
        assert!(shown, "{section}.{key} is not in config/backstop.example.toml");
    }
}

#[test]
fn the_schema_describes_every_key_and_forbids_others() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], Value::Bool(false));
    for (section, key) in keys() {
        let parts = section.split('.').filter(|part| !part.is_empty());
        let section_schema = parts.fold(&schema, |schema, name| {
            &crate::config::schema::present(schema)["properties"][name]
        });
        let table = table(section_schema);
        assert_eq!(table["additionalProperties"], Value::Bool(false), "{section}");
        assert!(table["properties"][&key]["description"].is_string(), "{section}.{key}");
    }
}
