//! Types that a config writes as one text: read by `FromStr`, written by `Display`, and of a
//! format that the schema names and `check` enforces.

/// Implements `Serialize`, `Deserialize` and `JsonSchema` for such a type. `inline` says that
/// the schema stands wherever the type is used, not once for all.
macro_rules! written_as_text {
    ($type:ident, $format:literal, inline: $inline:literal, $examples:tt) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                $inline
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "format": $format, "examples": $examples,
                })
            }
        }
    };
}

pub(super) use written_as_text;
