//! Readers that are not ours: what docs/repository-format.md says of an index holds for
//! another implementation of Parquet too.

use crate::support::host::Host;
use crate::support::need::{self, Need, python};
use serde_json::Value;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

/// Prints the columns' types, and of every row what this test knows otherwise.
const READ: &str = "
import json, sys
import pyarrow.parquet as parquet
table = parquet.ParquetFile(sys.argv[1]).read()
types = {field.name: str(field.type) for field in table.schema}
names = ['component', 'path', 'type', 'size', 'mode', 'sha256', 'stored_in', 'archive', 'offset']
rows = table.select(names).to_pylist()
print(json.dumps({'types': types, 'rows': rows, 'count': table.num_rows}))
";

fn read(host: &Host, record: &Value) -> Value {
    let index = host.backup_dir(record).join("files/index.parquet");
    let output = Command::new(python()).args(["-c", READ]).arg(index).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn pyarrow_reads_an_index_as_duckdb_does() {
    const PAGE: &str = include_str!("../../docs/repository-format.md");
    if !need::all(&[Need::Pyarrow]) {
        return;
    }
    let host = Host::with_files();
    std::os::unix::fs::symlink("one.txt", host.live().join("link")).unwrap();
    fs::hard_link(host.live().join("one.txt"), host.live().join("hard")).unwrap();
    fs::write(host.live().join(std::ffi::OsStr::from_bytes(b"not\xff utf8")), "odd").unwrap();
    // More than one row group has rows.
    for number in 0..30_000 {
        fs::write(host.live().join(format!("below/{number:05}")), number.to_string()).unwrap();
    }
    let full = host.back_up();
    host.write("later", "later");
    fs::rename(host.live().join("below/00007"), host.live().join("renamed")).unwrap();
    let later = host.back_up();
    assert_eq!(later["kind"], "incremental");

    for record in [&full, &later] {
        let index = read(&host, record);
        for column in index["types"].as_object().unwrap().keys() {
            assert!(PAGE.contains(&format!("`{column}`")), "{column}");
        }
        let id = record["id"].as_str().unwrap();
        let asked = format!(
            "SELECT component, path, type, size, mode, sha256, stored_in, archive, \"offset\" \
             FROM files WHERE backup = '{id}' ORDER BY component, path"
        );
        let duckdb = host.json(&["sql", &asked]);
        let mut rows = index["rows"].as_array().unwrap().clone();
        rows.sort_by_key(|row| {
            (row["component"].to_string(), row["path"].as_str().unwrap().to_owned())
        });
        assert_eq!(index["count"], rows.len());
        assert_eq!(duckdb.as_array().unwrap().len(), rows.len());
        for (row, other) in rows.iter().zip(duckdb.as_array().unwrap()) {
            assert_eq!(row, other);
        }
        assert!(rows.iter().any(|row| row["path"] == "not%FF utf8"), "{id}");
    }
}
