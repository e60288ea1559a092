CREATE VIEW files AS
SELECT b.id AS backup, b.sequence, b.started_at AS backed_up_at, f.component, f.path, f.type,
       f.size, f.mode, f.uid, f.gid, f."user", f."group",
       make_timestamp(f.mtime_ns // 1000) AS modified_at, f.mtime_ns, f.link_target,
       f.sha256, f.changed, f.stored_in, f.archive, f."offset"
FROM {source} f
JOIN indexes i ON i.file = f.filename
JOIN backups b ON b.id = i.backup;
