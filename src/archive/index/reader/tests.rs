use super::*;
use crate::archive::entry::{Entry, Kind};
use crate::archive::index::{IndexWriter, Place};
use crate::storage::Blob;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

fn row(component: &str, path: &[u8]) -> Row {
    Row {
        component: component.into(),
        entry: Entry {
            path: PathBuf::from(OsString::from_vec(path.to_vec())),
            kind: Kind::File,
            size: u64::MAX / 2 + 7,
            mode: 0o4755,
            uid: u32::MAX - 1,
            gid: 7,
            user: Some("a\u{e9}".into()),
            group: None,
            mtime_ns: -1,
            ctime_ns: i64::MAX,
            device: 9,
            inode: u64::MAX,
            nlink: 2,
            link_target: None,
            xattrs: vec![(b"user.x".to_vec(), vec![0, 1, 255])],
            rdev: None,
        },
        sha256: Some([0xab; 32]),
        changed: path.len().is_multiple_of(2),
        stored_in: "4f2a".into(),
        archive: "files/uploads.tar.zst".into(),
        place: Some(Place { frame: 3, offset: 3 * 8388608 + 5, sparse: false }),
    }
}

fn written(dir: &Path, rows: &[Row]) -> PathBuf {
    let path = dir.join("index.parquet");
    let mut writer = IndexWriter::create(&path).unwrap();
    rows.iter().for_each(|row| writer.append(row).unwrap());
    let stored = writer.finish().unwrap();
    assert_eq!(stored.rows, rows.len() as u64);
    assert_eq!(stored.size, std::fs::metadata(&path).unwrap().len());
    path
}

#[test]
fn rows_come_back_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = vec![row("a", b""), row("a", b"x%\xff/y"), row("a", b"100%\n")];
    rows.push(row("b", b"z"));
    rows[0].entry.kind = Kind::Directory;
    (rows[0].sha256, rows[0].place) = (None, None);
    rows[0].entry.xattrs.clear();
    rows[3].entry.kind = Kind::CharDevice;
    rows[3].entry.rdev = Some((1, 3));
    rows[3].entry.link_target = Some(OsString::from_vec(b"\xfe".to_vec()));
    let index = IndexReader::open(&Blob::file(&written(dir.path(), &rows)).unwrap()).unwrap();
    let read: Vec<_> = index.rows(None).map(Result::unwrap).collect();
    assert_eq!(read, rows);
    let some: Vec<_> = index.rows(Some("b")).map(Result::unwrap).collect();
    assert_eq!(some, &rows[3..]);
    assert_eq!(index.rows(Some("c")).count(), 0);
    assert_eq!(index.len(), 4);
}

#[test]
fn several_row_groups_are_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..70_000).map(|n| row("a", format!("{n:06}").as_bytes())).collect();
    let index = IndexReader::open(&Blob::file(&written(dir.path(), &rows)).unwrap()).unwrap();
    assert_eq!(index.file.metadata().num_row_groups(), 2);
    assert!(index.rows(Some("a")).map(Result::unwrap).eq(rows));
}

#[test]
fn duckdb_reads_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), &[row("a", b"x\xff"), row("b", b"plain")]);
    let duckdb = duckdb::Connection::open_in_memory().unwrap();
    let sql = format!(
        "SELECT string_agg(path, ' ' ORDER BY path), sum(size)::VARCHAR, min(mtime_ns), \
         max(inode)::VARCHAR, min(sha256), min(octet_length(path_raw)), \
         min(json_extract_string(xattrs, '$.\"user.x\"')), bool_or(changed), min(\"offset\") \
         FROM read_parquet('{}')",
        path.display()
    );
    let read = duckdb.query_row(&sql, [], |row| {
        assert_eq!(row.get::<_, String>(0)?, "plain x%FF");
        assert_eq!(row.get::<_, String>(1)?, (2 * u128::from(u64::MAX / 2 + 7)).to_string());
        assert_eq!(row.get::<_, i64>(2)?, -1);
        assert_eq!(row.get::<_, String>(3)?, u64::MAX.to_string());
        assert_eq!(row.get::<_, String>(4)?, "ab".repeat(32));
        assert_eq!(row.get::<_, i64>(5)?, 2);
        assert_eq!(row.get::<_, String>(6)?, "AAH/");
        assert!(row.get::<_, bool>(7)?);
        row.get::<_, u64>(8)
    });
    assert_eq!(read.unwrap(), 3 * 8388608 + 5);
}

#[test]
fn damaged_indexes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), &[row("a", b"x")]);
    let whole = std::fs::read(&path).unwrap();
    let code = |path: &Path| IndexReader::open(&Blob::file(path).unwrap()).err().map(|e| e.code());
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(code(&path), Some(Code::BackupDamaged));
    std::fs::write(&path, b"").unwrap();
    assert_eq!(code(&path), Some(Code::BackupDamaged));
}

#[test]
fn what_all_rows_share_comes_back_in_each_of_them() {
    // Statistics cut what is longer than 64 bytes.
    for archive in ["files/uploads.tar.zst".to_owned(), "long/".repeat(40)] {
        let dir = tempfile::tempdir().unwrap();
        let mut rows: Vec<Row> = (0..9).map(|at| row("a", format!("{at}").as_bytes())).collect();
        for (number, row) in rows.iter_mut().enumerate() {
            row.archive.clone_from(&archive);
            row.entry.size = number as u64 / 4;
            row.entry.user = None;
            row.entry.xattrs.clear();
            row.sha256 = (number != 3).then_some([number as u8; 32]);
        }
        let index = IndexReader::open(&Blob::file(&written(dir.path(), &rows)).unwrap()).unwrap();
        assert_eq!(index.rows(None).map(Result::unwrap).collect::<Vec<_>>(), rows);
        assert_eq!(index.rows_ahead("a").map(Result::unwrap).collect::<Vec<_>>(), rows);
        assert_eq!(index.rows_ahead("b").count(), 0);
        let contents: Vec<_> = index.contents().map(Result::unwrap).collect();
        let with_content = rows.iter().filter(|row| row.sha256.is_some());
        assert_eq!(contents.len(), 8);
        for (content, row) in contents.iter().zip(with_content) {
            assert_eq!((content.size, Some(content.sha256)), (row.entry.size, row.sha256));
            let found = (content.stored_in.as_str(), content.archive.as_str());
            assert_eq!(found, (row.stored_in.as_str(), archive.as_str()));
            assert_eq!(Some(content.place), row.place);
        }
    }
}
