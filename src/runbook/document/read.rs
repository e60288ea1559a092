//! From a tree to a type, with the place of what does not fit.

use super::fault::Fault;
use super::tree::{Content, Entry, Node};
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Reads a part of a document as a `T`.
pub(in crate::runbook) fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Fault> {
    T::deserialize(node)
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let read: Result<V::Value, Fault> = match &self.content {
            Content::Nothing => visitor.visit_unit(),
            Content::Flag(flag) => visitor.visit_bool(*flag),
            Content::Integer(number) => visitor.visit_i64(*number),
            Content::Fraction(number) => visitor.visit_f64(*number),
            Content::Text(text) => visitor.visit_borrowed_str(text),
            Content::List(items) => visitor.visit_seq(Items(items.iter())),
            Content::Map(entries) => {
                visitor.visit_map(Entries { rest: entries.iter(), value: None })
            }
        };
        read.map_err(|fault| fault.at(self.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.content {
            Content::Nothing => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self).map_err(|fault| fault.at(self.place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(Choice(self)).map_err(|fault| fault.at(self.place))
    }

    /// YAML reads `15` as a number; where text is wanted it is one.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let read = match &self.content {
            Content::Integer(number) => visitor.visit_string(number.to_string()),
            Content::Fraction(number) => visitor.visit_string(number.to_string()),
            _ => return self.deserialize_any(visitor),
        };
        read.map_err(|fault: Fault| fault.at(self.place))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let read = |item: &'de Node| seed.deserialize(item).map_err(|fault| fault.at(item.place));
        self.0.next().map(read).transpose()
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        // A key without a value counts as not written.
        let Some(entry) = self.rest.find(|entry| entry.value.content != Content::Nothing) else {
            return Ok(None);
        };
        self.value = Some(entry);
        let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.at(entry.place))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        match self.value.take() {
            Some(Entry { key, value, .. }) => {
                seed.deserialize(value).map_err(|fault| fault.about(key).at(value.place))
            }
            None => Err(serde::de::Error::custom("a value without a key")),
        }
    }
}

/// A variant: a word, or one key whose value is the variant's content.
struct Choice<'de>(&'de Node);

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Fault;
    type Variant = Variant<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Variant<'de>), Fault> {
        let (name, place, content) = match &self.0.content {
            Content::Text(name) => (name, self.0.place, None),
            Content::Map(entries) => match entries.as_slice() {
                [entry] => (&entry.key, entry.place, Some(&entry.value)),
                _ => return Err(Fault::new(self.0.place, "expected exactly one key here")),
            },
            _ => return Err(Fault::new(self.0.place, "expected a word here")),
        };
        let word: StrDeserializer<'_, Fault> = name.as_str().into_deserializer();
        let variant = seed.deserialize(word).map_err(|fault| fault.at(place))?;
        Ok((variant, Variant(content)))
    }
}

struct Variant<'de>(Option<&'de Node>);

impl<'de> Variant<'de> {
    fn content(self) -> Result<&'de Node, Fault> {
        self.0.ok_or_else(|| serde::de::Error::custom("it needs a value: write `key: value`"))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.0 {
            None => Ok(()),
            Some(node) => Err(Fault::new(node.place, "it takes no value")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.content()?.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.content()?.deserialize_any(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::config::Timeout;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        port: Option<u16>,
        wait: Option<Timeout>,
        color: Option<Color>,
        source: Option<Source>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Color {
        Red,
        Green,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Source {
        Env(String),
    }

    fn fault(text: &str) -> (u64, u64, String) {
        let fault = read::<Sample>(&parse(text).unwrap()).unwrap_err();
        let place = fault.place.unwrap();
        (place.line, place.column, fault.message + "; " + &fault.hint.unwrap_or_default())
    }

    #[test]
    fn values_become_what_they_are_read_as() {
        let text = "name: 15\nport: 80\nwait: 2m\ncolor: red\nsource: {env: HOME}\n";
        let sample: Sample = read(&parse(text).unwrap()).unwrap();
        assert_eq!((sample.name.as_str(), sample.port), ("15", Some(80)));
        assert_eq!(sample.wait, Some(Timeout::seconds(120)));
        assert_eq!(sample.color, Some(Color::Red));
        assert_eq!(sample.source, Some(Source::Env("HOME".into())));
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_line_column_and_what_helps() {
        let (line, column, said) = fault("name: a\nprot: 80\n");
        assert_eq!((line, column), (2, 1));
        assert!(
            said.contains("unknown key `prot`") && said.contains("did you mean `port`?"),
            "{said}"
        );
        let (line, column, said) = fault("name: a\nport: 99999\n");
        assert_eq!((line, column), (2, 7), "{said}");
        assert!(!fault("name: a\nport: secret\n").2.contains("secret"));
        let (line, _, said) = fault("name: a\nwait: soon\n");
        assert_eq!(line, 2, "{said}");
        let (line, _, said) = fault("name: a\ncolor: grene\n");
        assert!(line == 2 && said.contains("`green`"), "{said}");
        assert!(fault("port: 1\n").2.contains("`name` is missing"));
    }
}
