//! The schema of a restored database against the dump that it was made of: both are listed by
//! `pg_restore --list`, and the lists must name the same objects.

use super::listing::list_dump;
use super::target::Target;
use super::tools::Tools;
use crate::config::DumpFormat;
use crate::error::{Error, Result};
use crate::repository::manifest::DatabaseDetail;
use async_compression::tokio::write::ZstdEncoder;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use tokio::io::AsyncWriteExt;

const ATTEMPTED: &str = "compare the schema of database";

/// How many objects of each kind are named.
const NAMED: usize = 20;

/// What the two lists say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaCompared {
    /// How many objects the dump has.
    pub objects: u64,
    /// Those that the database lacks; the first twenty.
    pub missing: Vec<String>,
    /// Those that only the database has; the first twenty.
    pub unexpected: Vec<String>,
}

impl SchemaCompared {
    /// Whether both have the same.
    pub fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }
}

/// Compares the database that `target` names with the dump at `dump`. None where that says
/// nothing, since other versions of the server or of `pg_dump` list other things.
pub async fn compare_schema(
    tools: &Tools,
    target: &Target,
    dump: &Path,
    detail: &DatabaseDetail,
    server_version: &str,
) -> Result<Option<SchemaCompared>> {
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(&detail.dump_version) != major(&tools.version().text)
        || major(&detail.server_version) != major(server_version)
    {
        return Ok(None);
    }
    let recorded = list_dump(tools, dump, detail.format).await?;
    let format = match detail.format {
        DumpFormat::Plain => DumpFormat::Plain,
        _ => DumpFormat::Custom,
    };
    let file = tempfile::NamedTempFile::new()
        .map_err(|e| Error::io("create", &std::env::temp_dir(), e))?;
    dump_schema(tools, target, format, file.path()).await?;
    let found = list_dump(tools, file.path(), format).await?;
    Ok(Some(compare(&objects(&recorded), &objects(&found))))
}

async fn dump_schema(
    tools: &Tools,
    target: &Target,
    format: DumpFormat,
    path: &Path,
) -> Result<()> {
    let failed = |e| Error::io("write", path, e);
    let command = tools
        .client("pg_dump", target)
        .arg("--schema-only")
        .arg(format!("--format={}", format.as_str()));
    let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
    let subject = target.component();
    if format == DumpFormat::Plain {
        let mut encoder = ZstdEncoder::new(file);
        tools.run(&command, ATTEMPTED, subject, None, &mut encoder).await?;
        return encoder.shutdown().await.map_err(failed);
    }
    tools.run(&command, ATTEMPTED, subject, None, &mut file).await?;
    file.flush().await.map_err(failed)
}

/// The objects of a list, without numbers, data and what belongs to the database as such. How
/// often each is there counts: overloads may look alike.
fn objects(entries: &[String]) -> BTreeMap<String, usize> {
    let mut objects = BTreeMap::new();
    for entry in entries {
        // `215; 1259 16390 TABLE public item shop`; of a plain dump
        // `item; Type: TABLE; Schema: public; Owner: shop`.
        let numbered =
            entry.split_once("; ").filter(|(id, _)| id.bytes().all(|b| b.is_ascii_digit()));
        let what = match numbered {
            Some((_, rest)) => rest.splitn(3, ' ').nth(2).unwrap_or(rest),
            None => entry.as_str(),
        };
        if !is_data(what) {
            *objects.entry(what.trim().to_owned()).or_default() += 1;
        }
    }
    objects
}

fn is_data(what: &str) -> bool {
    const BEGINS: [&str; 12] = [
        "TABLE DATA ",
        "SEQUENCE SET ",
        "MATERIALIZED VIEW DATA ",
        "STATISTICS DATA ",
        "BLOB",
        "ENCODING ",
        "STDSTRINGS ",
        "SEARCHPATH ",
        "DATABASE ",
        "ACL - DATABASE ",
        "COMMENT - DATABASE ",
        "SECURITY LABEL - DATABASE ",
    ];
    const TYPES: [&str; 5] =
        ["TABLE DATA", "SEQUENCE SET", "MATERIALIZED VIEW DATA", "STATISTICS DATA", "BLOB"];
    BEGINS.iter().any(|begin| what.starts_with(begin))
        || what.contains(" LARGE OBJECT ")
        || TYPES.iter().any(|kind| what.contains(&format!("; Type: {kind}")))
        || what.starts_with("DATABASE ")
}

fn compare(recorded: &BTreeMap<String, usize>, found: &BTreeMap<String, usize>) -> SchemaCompared {
    let lacking = |from: &BTreeMap<String, usize>, of: &BTreeMap<String, usize>| {
        let lacks =
            |(what, count): &(&String, &usize)| of.get(*what).copied().unwrap_or(0) < **count;
        from.iter().filter(lacks).map(|(what, _)| what.clone()).take(NAMED).collect()
    };
    SchemaCompared {
        objects: recorded.values().map(|count| *count as u64).sum(),
        missing: lacking(recorded, found),
        unexpected: lacking(found, recorded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compared_by_what_they_name_and_not_by_its_numbers() {
        let list =
            |lines: &[&str]| objects(&lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>());
        let dump = list(&[
            "215; 1259 16390 TABLE public item shop",
            "3350; 0 16390 TABLE DATA public item shop",
            "216; 1259 16391 SEQUENCE public item_id_seq shop",
            "3355; 0 0 SEQUENCE SET public item_id_seq shop",
            "217; 1259 16399 INDEX public by_name shop",
        ]);
        let same = list(&[
            "9; 1259 7 TABLE public item shop",
            "10; 1259 8 SEQUENCE public item_id_seq shop",
            "11; 1259 9 INDEX public by_name shop",
        ]);
        let compared = compare(&dump, &same);
        assert!(compared.is_equal(), "{compared:?}");
        assert_eq!(compared.objects, 3);
        let other = list(&[
            "9; 1259 7 TABLE public item shop",
            "10; 1259 8 SEQUENCE public item_id_seq shop",
            "11; 1259 9 VIEW public all_items shop",
        ]);
        let compared = compare(&dump, &other);
        assert_eq!(compared.missing, ["INDEX public by_name shop"]);
        assert_eq!(compared.unexpected, ["VIEW public all_items shop"]);
    }
}
