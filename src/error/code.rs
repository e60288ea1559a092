//! The stable codes of every failure, with their exit codes and general hints.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, exit $exit:literal, $hint:literal;)+) => {
        /// A stable failure code. The snake-case text is what scripts match on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Code {
            /// Every code, in the order of `docs/errors.md`.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// The code as scripts see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name),+ }
            }

            /// The process exit code of a command that ends with this failure.
            pub fn exit(self) -> u8 {
                match self { $(Code::$variant => $exit),+ }
            }

            /// What usually helps.
            pub fn hint(self) -> &'static str {
                match self { $(Code::$variant => $hint),+ }
            }
        }
    };
}

codes! {
    /// The command line asks for something contradictory or unknown.
    Usage = "usage", exit 2, "see `backstop help COMMAND`";
    /// No config file was found and the environment does not describe a stack.
    ConfigNotFound = "config_not_found", exit 2, "name one with --config or $BACKSTOP_CONFIG; `backstop config schema` describes it";
    /// The config has an unknown key, a wrong type or contradictory values.
    ConfigInvalid = "config_invalid", exit 2, "the message says what would be accepted; `backstop config schema` lists every key";
    /// A question had to be asked and nobody is there to answer it.
    ConfirmationRequired = "confirmation_required", exit 2, "run it on a terminal, or add --yes";

    /// The operating system failed a file operation.
    Io = "io", exit 1, "check the path and the disk";
    /// The disk or the quota is full.
    DiskFull = "disk_full", exit 1, "free space; `backstop estimate` says how much a backup needs";
    /// A permission is missing.
    PermissionDenied = "permission_denied", exit 1, "run backstop as a user that may read the sources and write the repository";
    /// The file system is mounted read-only.
    ReadOnly = "read_only", exit 1, "remount it writable, or choose another repository.path";
    /// A path does not answer, as below a network mount whose server is gone.
    PathUnreachable = "path_unreachable", exit 1, "bring the server of the mount back, or unmount it: `findmnt`, `umount -l`";
    /// Something was not as it should be, and was put right. Only ever a warning.
    Repaired = "repaired", exit 1, "nothing has to be done; where it comes back, look for who changes it";

    /// The repository does not exist or is not one.
    RepositoryNotFound = "repository_not_found", exit 5, "check repository.path; the first backup creates it";
    /// The repository lies elsewhere now, or is on its way.
    RepositoryMoved = "repository_moved", exit 5, "let [repository] name the place that the message names";
    /// Another repository lies where the known one was.
    RepositoryReplaced = "repository_replaced", exit 1, "mount the file system that belongs there; the message names the file that remembers the id";
    /// The store of a repository does not answer.
    StorageUnreachable = "storage_unreachable", exit 1, "check the url, the network and the store; what was begun goes on with the next `backstop sync`";
    /// The store of a repository refuses a request.
    StorageFailed = "storage_failed", exit 1, "the cause is the store's own message; check credentials and permissions";
    /// The repository was written in a format this version does not know.
    RepositoryFormat = "repository_format", exit 1, "use a backstop at least as new as the one that wrote it";
    /// Another backstop works on the repository or the stack.
    Locked = "locked", exit 4, "wait for it, or give it more time with --lock-wait";
    /// No backup has this id.
    BackupNotFound = "backup_not_found", exit 5, "`backstop list` shows the backups";
    /// The id prefix fits several backups.
    BackupAmbiguous = "backup_ambiguous", exit 2, "give more characters of the id";
    /// The backup lacks a component that was asked for.
    ComponentNotFound = "component_not_found", exit 5, "`backstop show ID` lists the components";
    /// The backup has no file of this path.
    FileNotFound = "file_not_found", exit 5, "`backstop ls` lists the files of a backup, `backstop find` searches all";
    /// Stored bytes are missing, truncated or changed.
    BackupDamaged = "backup_damaged", exit 6, "choose another backup with `backstop list`; the damaged one is left as it is";
    /// An encrypted backup is read, and the secret key is not there or locked.
    KeyMissing = "key_missing", exit 1, "set identity_file in [encryption] to the file with the secret key, and passphrase_env or passphrase_file where it is protected";
    /// The secret key is not one that the backup was encrypted for, or its passphrase is wrong.
    KeyWrong = "key_wrong", exit 1, "the backup's manifest.json lists its recipients; set identity_file in [encryption] to the secret key of one of them";
    /// Other backups have contents in this one.
    BackupNeeded = "backup_needed", exit 1, "delete the backups that need it first";
    /// Somebody wants to keep the backup.
    BackupKept = "backup_kept", exit 1, "`backstop unkeep ID` lets it go, `--force` deletes it all the same";
    /// An archive holds a path that leads outside the target.
    UnsafePath = "unsafe_path", exit 6, "the archive was not written by backstop, or was changed: do not restore it";

    /// The database server does not answer.
    DatabaseUnreachable = "database_unreachable", exit 1, "check the host and port of the database's url";
    /// The database server refuses user or password.
    DatabaseAuthentication = "database_authentication", exit 1, "check the user, and password_env, password_file, PGPASSWORD or ~/.pgpass";
    /// The database server has no database of this name.
    DatabaseNotFound = "database_not_found", exit 1, "check the database's name at the end of its url; `psql -l` lists them";
    /// A PostgreSQL client program is missing.
    ToolMissing = "tool_missing", exit 1, "install the PostgreSQL client programs, or set the database's `container`";
    /// `pg_dump` is older than the server.
    ToolTooOld = "tool_too_old", exit 1, "install client programs at least as new as the server, or set the database's `container`";
    /// PostgreSQL refused a statement, a dump or a restore.
    DatabaseFailed = "database_failed", exit 1, "the cause is PostgreSQL's own message";

    /// The Docker daemon does not answer.
    DockerUnreachable = "docker_unreachable", exit 1, "start Docker, or set DOCKER_HOST; membership of the docker group may be missing";
    /// The Docker daemon refused a request.
    DockerFailed = "docker_failed", exit 1, "the cause is Docker's own message";
    /// No container or volume fits the selection.
    ContainerNotFound = "container_not_found", exit 1, "`docker ps -a` shows the containers; check the selection in the config";
    /// A held container could not be resumed.
    NotResumed = "not_resumed", exit 1, "run `backstop recover`, then `docker ps -a`";
    /// A container that is not held reaches the files that are taken or replaced.
    ContainerNotHeld = "container_not_held", exit 1, "select the container in [[containers]], or mount the files read-only in it";
    /// A container did not stop by itself within its stop_timeout, so Docker killed it.
    ContainerKilled = "container_killed", exit 1, "raise stop_timeout, or let the application end on its stop signal";
    /// A resumed container did not become healthy in time.
    Unhealthy = "unhealthy", exit 1, "read `docker logs`; raise health_timeout if it only needs longer";

    /// The guardian could not be started, so nothing was quiesced.
    GuardianFailed = "guardian_failed", exit 1, "check that backstop may start itself as a child process";
    /// A snapshot or reflink of the files could not be taken.
    CaptureFailed = "capture_failed", exit 1, "set capture = \"archive\" for this source";
    /// The catalog is held by another process for too long.
    CatalogBusy = "catalog_busy", exit 4, "wait for the other backstop";
    /// A later version of backstop has written the catalog.
    CatalogFormat = "catalog_format", exit 1, "use the newer backstop, or another state.dir";
    /// The catalog cannot be read or written.
    CatalogFailed = "catalog_failed", exit 1, "move catalog.duckdb aside; the next command rebuilds it from the repository";

    /// A runbook has an unknown key, a wrong parameter or a template that leads nowhere.
    RunbookInvalid = "runbook_invalid", exit 2, "the message names the line; `backstop runbook schema` describes every key for editors";
    /// There is no runbook of this name.
    RunbookNotFound = "runbook_not_found", exit 5, "`backstop runbook list` shows them; own ones lie in runbooks.dir";
    /// A secret does not lie where it should.
    SecretMissing = "secret_missing", exit 2, "set the variable or write the file that the message names";
    /// There is no run of this id.
    RunNotFound = "run_not_found", exit 5, "`backstop runbook status` lists the runs";
    /// The run has no such step, or none that this can be said about.
    StepNotFound = "step_not_found", exit 5, "`backstop runbook status RUN` lists the steps and their states";
    /// A run may not be resumed here, or by this version.
    RunRefused = "run_refused", exit 1, "resume it where it was begun, or add --force";
    /// A run ended without having achieved what it should.
    RunFailed = "run_failed", exit 1, "`backstop runbook report RUN` says what was done";
    /// Another runner has taken the run over.
    RunTakenOver = "run_taken_over", exit 4, "`backstop runbook status RUN --follow` shows how it goes on";
    /// The journal or the text of a run is not what was written.
    RunDamaged = "run_damaged", exit 1, "begin a new run; the damaged one lies in runs/ in the state directory";
    /// A template uses what is not defined, or runs for too long.
    TemplateFailed = "template_failed", exit 1, "the cause names what is not defined; `default('…')` stands in for it";
    /// A step did not do what it should.
    ActionFailed = "action_failed", exit 1, "`backstop runbook log RUN STEP` shows its output";
    /// Something is not as it should be.
    AssertionFailed = "assertion_failed", exit 1, "mend what the message names, then `backstop runbook resume RUN`";
    /// A web server does not answer, or not as it should.
    HttpFailed = "http_failed", exit 1, "check the url and the network";
    /// A guard did not begin its command: nothing was changed.
    UpgradeNotBegun = "upgrade_not_begun", exit 1, "mend what the message names, and begin it again";
    /// The command of a guard failed, or the application does not work, and nothing is undone.
    UpgradeFailed = "upgrade_failed", exit 1, "`backstop guard resume GUARD` goes back where there is a backup";
    /// The upgrade failed, and all is as it was before.
    UpgradeRolledBack = "upgrade_rolled_back", exit 20, "`backstop guard status` says why, and where what failed is kept";
    /// The upgrade failed, and so did going back.
    RollbackFailed = "rollback_failed", exit 21, "`backstop guard status` says what was reached, and by which commands to go on by hand";
    /// An attempt took longer than its `timeout`; nobody knows what became of it.
    TimedOut = "timed_out", exit 1, "give the step a longer `timeout`, and a `probe` that tells whether it took place";
    /// Something required is missing, or consistency is lower than required.
    Degraded = "degraded", exit 3, "the warnings name what is missing";
    /// A restore failed and everything is as it was.
    RestoreFailed = "restore_failed", exit 1, "the state before the restore is live; the cause says why";
    /// There is nothing that a rollback could bring back.
    NothingToRollBack = "nothing_to_roll_back", exit 5, "only a restore leaves a state to go back to";
    /// The user or the system asked backstop to stop.
    Interrupted = "interrupted", exit 130, "nothing is left half done; run it again";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const PAGE: &str = include_str!("../../docs/errors.md");

    #[test]
    fn every_code_stands_on_the_errors_page_with_its_exit_code_and_hint() {
        for code in Code::ALL {
            let start = format!("| `{}` | {} | ", code.as_str(), code.exit());
            let row = PAGE.lines().find(|line| line.starts_with(&start));
            let row = row.unwrap_or_else(|| panic!("docs/errors.md lacks the row {start}"));
            assert!(row.ends_with(&format!(" | {} |", code.hint())), "{row}");
        }
    }

    #[test]
    fn the_errors_page_names_no_code_that_is_gone() {
        let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        for (name, _) in rows {
            assert!(codes.contains(name), "{name}");
        }
    }

    #[test]
    fn scripts_see_the_same_name_as_records_keep() {
        for code in Code::ALL {
            let kept = serde_json::to_string(code).unwrap();
            assert_eq!(kept, format!("\"{}\"", code.as_str()));
            assert_eq!(serde_json::from_str::<Code>(&kept).unwrap(), *code);
        }
    }
}
