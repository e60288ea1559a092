use super::*;
use crate::progress::{Progress, Silent};
use serde_json::{Value as Json, json};
use std::sync::Arc;

fn query(dir: &Path) -> Query {
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    let session = crate::catalog::Catalog::in_dir(dir).session(&silent).unwrap();
    let source = Source { session, repository: None, indexes: Vec::new(), changes: Vec::new() };
    Query::over(vec![source]).unwrap()
}

fn question(sql: &str) -> Question {
    Question::parse(sql).unwrap()
}

#[test]
fn an_empty_catalog_answers() {
    let dir = tempfile::tempdir().unwrap();
    let query = query(dir.path());
    for view in ["backups", "components", "files", "events", "runs", "run_steps"] {
        let rows: Vec<Json> = query.objects(&format!("FROM {view}"), &[]).unwrap();
        assert_eq!(rows, [] as [Json; 0], "{view}");
        assert!(!query.table(&question(&format!("FROM {view};\n"))).unwrap().columns.is_empty());
    }
}

#[test]
fn answers_are_objects_or_text() {
    let dir = tempfile::tempdir().unwrap();
    let query = query(dir.path());
    let sql = "SELECT 1 AS number, 'ä\"' AS text, NULL AS nothing, TIMESTAMP '2026-01-02' AS at ;";
    let rows: Vec<Json> = query.objects(sql, &[]).unwrap();
    let expected =
        json!({"number": 1, "text": "ä\"", "nothing": null, "at": "2026-01-02 00:00:00"});
    assert_eq!(rows, [expected]);
    let answer = query.table(&question(sql)).unwrap();
    assert_eq!(answer.columns, ["number", "text", "nothing", "at"]);
    assert_eq!(answer.rows[0][2], None);
    assert_eq!(answer.rows[0][1].as_deref(), Some("ä\""));
}

#[test]
fn only_one_select_is_asked() {
    for sql in [
        "SELECT id FROM backups",
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a -- with a comment",
        "FROM files LIMIT 3",
    ] {
        Question::parse(sql).unwrap();
    }
    for sql in [
        "",
        "nonsense",
        "DROP TABLE backups",
        "SELECT 1; DROP TABLE backups",
        "SELECT 1; SELECT 2",
        "COPY backups TO '/tmp/stolen'",
        "INSTALL httpfs",
        "SET memory_limit = '1GB'",
        "ATTACH 'other.duckdb'",
    ] {
        assert_eq!(Question::parse(sql).unwrap_err().code(), Code::Usage, "{sql}");
    }
    let dir = tempfile::tempdir().unwrap();
    let stolen = query(dir.path()).table(&question("SELECT * FROM read_csv('/etc/passwd')"));
    assert!(stolen.is_err(), "other files");
}

#[test]
fn a_wrong_column_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let query = query(dir.path());
    let wrong = question("SELECT color FROM backups");
    for error in [query.table(&wrong).unwrap_err(), query.rows(&wrong).unwrap_err()] {
        assert_eq!(error.code(), Code::Usage);
        let text = error.to_string();
        assert!(text.contains("LINE 1: SELECT color FROM backups"), "{text}");
        assert!(!may_be_unreadable(&error), "{text}");
    }
}

#[test]
fn only_a_question_about_files_needs_their_lists() {
    for (sql, is_about_files) in [
        ("SELECT id FROM backups", false),
        ("SELECT count(*) FROM components WHERE type = 'files'", false),
        ("SELECT path FROM Files", true),
        ("SELECT id FROM backups WHERE id IN (SELECT backup FROM files)", true),
        ("WITH a AS (FROM files) SELECT count(*) FROM a JOIN backups ON true", true),
        ("FROM query_table('files')", true),
    ] {
        assert_eq!(question(sql).is_about_files(), is_about_files, "{sql}");
    }
}

#[test]
fn a_list_that_cannot_be_read_is_told_from_a_wrong_question() {
    let dir = tempfile::tempdir().unwrap();
    let list = |name: &str| {
        let path = dir.path().join(name);
        let copy = format!(
            "COPY (SELECT i, md5(i::VARCHAR) AS t FROM range(9000) r(i)) TO {}",
            literal(&path)
        );
        let write = copy + " (FORMAT parquet, COMPRESSION zstd)";
        in_memory().unwrap().execute_batch(&write).unwrap();
        path
    };
    let (whole, harmed, gone) = (list("whole"), list("harmed"), dir.path().join("gone"));
    let mut bytes = std::fs::read(&harmed).unwrap();
    bytes[10..60].fill(0xff);
    std::fs::write(&harmed, bytes).unwrap();
    let found = unreadable(&[whole.clone(), harmed.clone(), gone.clone(), whole]).unwrap();
    let named: Vec<&PathBuf> = found.iter().map(|(list, _)| list).collect();
    assert_eq!(named, [&harmed, &gone]);
    assert!(found.iter().all(|(_, why)| !why.is_empty() && !why.contains('\n')), "{found:?}");
}
