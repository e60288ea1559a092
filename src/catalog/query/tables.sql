-- The lists of files that are read, numbered through: whole indexes, and changes.
CREATE TABLE indexes (number INTEGER NOT NULL, file VARCHAR NOT NULL, backup VARCHAR NOT NULL);
CREATE TABLE changes (number INTEGER NOT NULL, file VARCHAR NOT NULL, backup VARCHAR NOT NULL);
-- By file tree the backup since which changes are told. A tree that is not here is told whole.
CREATE TABLE lineage (backup VARCHAR NOT NULL, component VARCHAR NOT NULL, parent VARCHAR NOT NULL);
