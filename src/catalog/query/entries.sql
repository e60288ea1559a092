-- What each list tells. Of what is gone nothing but the path.
CREATE VIEW entries AS
SELECT i.number, f.component, f.path, f.path_raw, f.type, f.size, f.mode, f.uid, f.gid,
       make_timestamp(f.mtime_ns // 1000) AS modified_at, f.link_target, f.sha256, false AS gone
FROM {indexes} f
JOIN indexes i ON i.file = f.filename
UNION ALL
SELECT c.number, f.component, f.path, f.path_raw, if(f.gone, NULL, f.type),
       if(f.gone, NULL, f.size), if(f.gone, NULL, f.mode), if(f.gone, NULL, f.uid),
       if(f.gone, NULL, f.gid), if(f.gone, NULL, make_timestamp(f.mtime_ns // 1000)),
       if(f.gone, NULL, f.link_target), if(f.gone, NULL, f.sha256), f.gone
FROM {changes} f
JOIN changes c ON c.file = f.filename;
