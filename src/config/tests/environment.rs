use super::super::{Origin, Quiesce, Timeout};
use super::*;
use crate::error::Code;

/// Loads from the environment alone.
fn from_environment(variables: &[(&str, &str)]) -> Result<Loaded> {
    let directory = tempfile::tempdir().unwrap();
    Config::load_from(None, &environment(directory.path(), variables))
}

fn sample_under(variables: &[(&str, &str)]) -> Result<Loaded, String> {
    load("backstop.toml", SAMPLE, variables)
}

#[test]
fn every_key_can_be_overridden() {
    let config = sample_under(&[
        ("BACKSTOP_STACK__NAME", "007"),
        ("BACKSTOP_REPOSITORY__COMPRESSION_LEVEL", "9"),
        ("BACKSTOP_DATABASES__SHOP__URL", "postgres://u@h/d"),
        ("BACKSTOP_DATABASES__0__EXCLUDE_TABLES", r#"["audit.*", "log"]"#),
        ("BACKSTOP_CONTAINERS__0__QUIESCE", "pause"),
        ("BACKSTOP_CONTAINERS__0__STOP_TIMEOUT", "1m"),
    ])
    .unwrap()
    .config;
    assert_eq!(config.stack.name, "007");
    assert_eq!(config.repository.compression_level, 9);
    assert_eq!(config.databases[0].url.expose(), "postgres://u@h/d");
    assert_eq!(config.databases[0].exclude_tables, ["audit.*", "log"]);
    assert_eq!(config.containers[0].quiesce, Quiesce::Pause);
    assert_eq!(config.containers[0].stop_timeout, Timeout::seconds(60));
}

#[test]
fn entries_are_named_without_case_and_punctuation() {
    let text = sample_with("\"uploads\"", "\"User-Uploads.v2\"");
    let variables = [("BACKSTOP_FILES__USER_UPLOADS_V2__CAPTURE", "archive")];
    let loaded = load("backstop.toml", &text, &variables).unwrap();
    assert_eq!(
        *loaded.origin("files[0].capture"),
        Origin::Environment { variable: variables[0].0.into() }
    );
}

#[test]
fn variables_without_a_key_pass() {
    let variables = [("BACKSTOP_BACKUP_ID", "4f2a"), ("BACKSTOP_LOG", "debug")];
    sample_under(&variables).unwrap();
}

#[test]
fn unknown_overrides_are_refused_by_their_own_name() {
    insta::assert_snapshot!(sample_under(&[
        ("BACKSTOP_REPOSITORY__PAHT", "/x"),
        ("BACKSTOP_DATABASES__STORE__URL", "postgres://u:hunter2@h/d"),
        ("BACKSTOP_DATABASES__7__URL", "postgres://u:hunter2@h/d"),
        ("BACKSTOP_STACK__NAME__FIRST", "x"),
        ("BACKSTOP_DATABASES__SHOP__JOBS", "many"),
        ("BACKSTOP_FILES", "ignored, since it names no key"),
    ])
    .unwrap_err(), @r#"
cannot accept config /etc/backstop/backstop.toml: 5 problems
  $BACKSTOP_DATABASES__7__URL: databases[7]: the next index is 1
  $BACKSTOP_DATABASES__SHOP__JOBS: databases[0].jobs: expected a whole number from 1 to 65535, found text
  $BACKSTOP_DATABASES__STORE__URL: databases.store: no entry has this name; expected `shop`
  $BACKSTOP_REPOSITORY__PAHT: repository.paht: unknown key; accepted are `path`, `url`, `options`, `credentials`, `compression_level`, `full_every`, `copies`; did you mean `path`?
  $BACKSTOP_STACK__NAME__FIRST: stack.name: has nothing named `first` inside
"#);
}

#[test]
fn a_whole_config_may_come_from_overrides() {
    let config = from_environment(&[
        ("BACKSTOP_STACK__NAME", "shop"),
        ("BACKSTOP_REPOSITORY__PATH", "/var/backups/shop"),
        ("BACKSTOP_FILES__0__NAME", "uploads"),
        ("BACKSTOP_FILES__0__PATH", "/srv/uploads"),
        ("BACKSTOP_FILES__1__NAME", "mail"),
        ("BACKSTOP_FILES__1__VOLUME", "mail"),
    ])
    .unwrap()
    .config;
    assert_eq!(config.files.len(), 2);
    assert_eq!(config.files[1].volume.as_deref(), Some("mail"));
}

#[test]
fn older_variables_are_enough() {
    let loaded = from_environment(&[
        ("DB_HOST", "db"),
        ("DB_PORT", "5433"),
        ("DB_NAME", "shop"),
        ("DB_USER", "app"),
        ("DB_PASSWORD", "hunter2"),
        ("BACKUP_DIR", "/var/backups"),
        ("BACKUP_COMPRESSION", "6"),
    ])
    .unwrap();
    let config = &loaded.config;
    assert_eq!(config.stack.name, "shop");
    assert_eq!(config.repository.path, Path::new("/var/backups"));
    assert_eq!(config.repository.compression_level, 6);
    assert_eq!(config.databases[0].url.expose(), "postgres://app@db:5433/shop");
    assert_eq!(config.databases[0].password_env.as_deref(), Some("DB_PASSWORD"));
    assert_eq!(loaded.origin("databases[0].password_env").to_string(), "$DB_PASSWORD");
    assert_eq!(loaded.origin("databases[0].url").to_string(), "$DB_NAME");
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn what_a_variable_leaves_alone_keeps_its_origin() {
    let variables = [
        ("BACKSTOP_DATABASES__SHOP__JOBS", "4"),
        ("BACKSTOP_DATABASES__1", "{ name = 'mail', url = 'postgres://u@h/mail' }"),
        ("BACKSTOP_DATABASES__MAIL__PASSWORD_FILE", "secret"),
        ("BACKUP_COMPRESSION", "9"),
    ];
    let text = sample_with("compression_level = 3", "");
    let loaded = load("backstop.toml", &text, &variables).unwrap();
    let origin = |key: &str| match loaded.origin(key) {
        Origin::File { line: Some(line), .. } => format!("line {line}"),
        other => other.to_string(),
    };
    assert_eq!(origin("repository"), "line 5");
    assert_eq!(origin("repository.path"), "line 6");
    assert_eq!(origin("repository.compression_level"), "$BACKUP_COMPRESSION");
    assert_eq!(origin("databases[0]"), "line 12");
    assert_eq!(origin("databases[0].url"), "line 14");
    assert_eq!(origin("databases[0].jobs"), "$BACKSTOP_DATABASES__SHOP__JOBS");
    assert_eq!(origin("databases[1].url"), "$BACKSTOP_DATABASES__1");
    assert_eq!(origin("databases[1].password_file"), "$BACKSTOP_DATABASES__MAIL__PASSWORD_FILE");
    assert_eq!(origin("databases[1].jobs"), "default");
}

#[test]
fn an_older_url_is_taken_with_its_password_and_hides_it() {
    let loaded = from_environment(&[
        ("DATABASE_URL", "postgresql+psycopg2://app:hunter2@db/shop"),
        ("DB_PASSWORD", "other"),
        ("BACKUP_DIR", "/var/backups"),
    ])
    .unwrap();
    let database = &loaded.config.databases[0];
    assert_eq!(database.url.expose(), "postgresql://app:hunter2@db/shop");
    assert_eq!((database.name.as_str(), &database.password_env), ("shop", &None));
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn older_variables_never_outweigh_the_file() {
    let config = sample_under(&[
        ("DATABASE_URL", "postgres://other@h/other"),
        ("BACKUP_DIR", "/elsewhere"),
        ("BACKUP_COMPRESSION", "19"),
    ])
    .unwrap()
    .config;
    assert_eq!(config.databases[0].name, "shop");
    assert_eq!(config.databases.len(), 1);
    assert_eq!(config.repository.path, Path::new("/var/backups/shop"));
    assert_eq!(config.repository.compression_level, 3);
}

#[test]
fn older_variables_fill_what_the_file_leaves_out() {
    let text = "[stack]\nname = 'a'\n[repository]\ncompression_level = 9\n";
    let variables =
        [("DB_NAME", "shop"), ("BACKUP_DIR", "/var/backups"), ("BACKUP_COMPRESSION", "4")];
    let config = load("backstop.toml", text, &variables).unwrap().config;
    assert_eq!((config.stack.name.as_str(), config.databases[0].name.as_str()), ("a", "shop"));
    assert_eq!(config.repository.path, Path::new("/var/backups"));
    assert_eq!(config.repository.compression_level, 9);
}

#[test]
fn an_empty_list_keeps_older_databases_out() {
    let text = "databases = []\nstack.name = 'a'\nrepository.path = '/r'\n\
         [[files]]\nname = 'u'\nvolume = 'u'\n";
    let variables = [("DB_NAME", "shop")];
    assert!(load("backstop.toml", text, &variables).unwrap().config.databases.is_empty());
}

#[test]
fn without_a_file_and_variables_the_places_are_named() {
    let error = from_environment(&[("BACKUP_DIR", "/var/backups")]).unwrap_err();
    assert_eq!((error.code(), error.code().exit()), (Code::ConfigNotFound, 2));
    assert!(error.to_string().contains("config/backstop.yaml"));
}

#[test]
fn wrong_older_variables_are_refused_by_their_own_name() {
    let refusal = |url, level| {
        let variables =
            [("DATABASE_URL", url), ("BACKUP_DIR", "/r"), ("BACKUP_COMPRESSION", level)];
        from_environment(&variables).unwrap_err().to_string()
    };
    insta::assert_snapshot!(refusal("mysql://app:hunter2@db/shop", "3"), @r#"cannot accept config from the environment: $DATABASE_URL: must begin with postgres:// or postgresql://; `databases = []` in a config file leaves this variable alone"#);
    insta::assert_snapshot!(refusal("postgres://app:hunter2@db/shop", "gzip"), @r#"cannot accept config from the environment: $BACKUP_COMPRESSION: repository.compression_level: expected a whole number from 1 to 19, found text"#);
}

#[test]
fn days_of_older_scripts_are_a_rule_where_there_is_none() {
    let days = ("BACKUP_RETENTION_DAYS", "14");
    let config = sample_under(&[days]).unwrap();
    let retention = config.config.retention.clone().unwrap();
    assert_eq!(retention.rules.keep_within, Some(Timeout::seconds(14 * 86_400)));
    assert!(!retention.auto && retention.migration.never_delete);
    assert_eq!(config.origin("retention.keep_within").to_string(), "$BACKUP_RETENTION_DAYS");

    let with = |rules: &str| {
        load("backstop.toml", &format!("{SAMPLE}[retention]\n{rules}"), &[days]).unwrap()
    };
    let retention = with("keep_daily = 7").config.retention.unwrap();
    assert_eq!((retention.rules.keep_daily, retention.rules.keep_within), (Some(7), None));
    let retention =
        with("auto = true\n[retention.manual]\nkeep_last = 2").config.retention.unwrap();
    assert!(retention.auto && retention.rules.keep_within.is_some());

    assert!(sample_under(&[]).unwrap().config.retention.is_none());
    let refused = sample_under(&[("BACKUP_RETENTION_DAYS", "some")]).unwrap_err();
    assert!(
        refused.contains("$BACKUP_RETENTION_DAYS: retention.keep_within: expected"),
        "{refused}"
    );
}

#[test]
fn rules_of_one_reason_can_be_overridden() {
    let variables = [
        ("BACKSTOP_RETENTION__KEEP_LAST", "3"),
        ("BACKSTOP_RETENTION__PRE_UPGRADE__KEEP_WITHIN", "90d"),
        ("BACKSTOP_RETENTION__SAFETY__MAX_TOTAL_SIZE", "10GiB"),
    ];
    let retention = sample_under(&variables).unwrap().config.retention.unwrap();
    assert_eq!(retention.rules.keep_last, Some(3));
    assert_eq!(retention.pre_upgrade.unwrap().keep_within, Some(Timeout::seconds(90 * 86_400)));
    assert_eq!(retention.safety.max_total_size.unwrap().bytes(), 10 << 30);
    assert_eq!(retention.safety.keep_within, None, "the table replaces the default");
}

#[test]
fn backups_are_turned_off_by_the_file_or_by_the_older_variable() {
    let off = format!("enabled = false\n{SAMPLE}");
    let enabled = |text: &str, said: &str| {
        let variables = [("BACKUP_ENABLED", said)];
        load("backstop.toml", text, &variables).unwrap().config.enabled
    };
    assert!(enabled(SAMPLE, "") && enabled(SAMPLE, "true") && enabled(SAMPLE, "yes"));
    for no in ["false", "FALSE", "no", "off", "0"] {
        assert!(!enabled(SAMPLE, no), "{no}");
        assert!(!enabled(&format!("enabled = true\n{SAMPLE}"), no), "{no}");
    }
    assert!(!enabled(&off, "true"), "what was turned off stays so");
}
