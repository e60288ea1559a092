use super::*;
use crate::progress::Silent;
use serde_json::{Value as Json, json};

fn query(dir: &Path) -> Query {
    let silent: Arc<dyn Progress> = Arc::new(Silent);
    let session = crate::catalog::Catalog::in_dir(dir).session(&silent).unwrap();
    let source = Source { session, repository: None, indexes: Vec::new(), changes: Vec::new() };
    Query::over(vec![source], &silent).unwrap()
}

#[test]
fn an_empty_catalog_answers() {
    let dir = tempfile::tempdir().unwrap();
    let query = query(dir.path());
    for view in ["backups", "components", "files", "events", "runs", "run_steps"] {
        let rows: Vec<Json> = query.objects(&format!("FROM {view}"), &[]).unwrap();
        assert_eq!(rows, [] as [Json; 0], "{view}");
        assert!(!query.table(&format!("FROM {view};\n")).unwrap().columns.is_empty());
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
    let answer = query.table(sql).unwrap();
    assert_eq!(answer.columns, ["number", "text", "nothing", "at"]);
    assert_eq!(answer.rows[0][2], None);
    assert_eq!(answer.rows[0][1].as_deref(), Some("ä\""));
}

#[test]
fn only_one_select_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let query = query(dir.path());
    for sql in [
        "SELECT id FROM backups",
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a -- with a comment",
        "FROM files LIMIT 3",
    ] {
        query.check(sql).unwrap();
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
        assert_eq!(query.check(sql).unwrap_err().code(), Code::Usage, "{sql}");
    }
    assert!(query.table("SELECT * FROM read_csv('/etc/passwd')").is_err(), "other files");
}

#[test]
fn a_wrong_column_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = query(dir.path()).table("SELECT color FROM backups").unwrap_err();
    assert!(error.to_string().contains("color"), "{error}");
}
