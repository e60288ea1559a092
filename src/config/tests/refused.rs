//! The messages for wrong configs, word for word.

use super::*;
use proptest::prelude::*;

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(refusal(&sample_with("jobs = 2", "job = 2")), @r#"line 16: databases[0].job: unknown key; accepted are `name`, `url`, `password_env`, `password_file`, `jobs`, `format`, `container`, `exclude_tables`, `count_rows_up_to`, `bin_dir`; did you mean `jobs`?"#);
    insta::assert_snapshot!(refusal(&sample_with("[stack]", "[stak]")), @r#"
2 problems
  stack: is missing; expected a table
  line 2: stak: unknown key; accepted are `enabled`, `stack`, `repository`, `state`, `databases`, `files`, `containers`, `retention`, `runbooks`, `guard`, `encryption`; did you mean `stack`?
"#);
    insta::assert_snapshot!(
        refusal(&sample_with("password_env = \"SHOP_DB_PASSWORD\"", "password = \"hunter2\"")), @r#"line 15: databases[0].password: unknown key; accepted are `name`, `url`, `password_env`, `password_file`, `jobs`, `format`, `container`, `exclude_tables`, `count_rows_up_to`, `bin_dir`; did you mean `password_env`?"#
    );
}

#[test]
fn wrong_types() {
    insta::assert_snapshot!(refusal(&sample_with("jobs = 2", "jobs = \"two\"")), @r#"line 16: databases[0].jobs: expected a whole number from 1 to 65535, found text"#);
    insta::assert_snapshot!(refusal(&sample_with("jobs = 2", "jobs = 0")), @r#"line 16: databases[0].jobs: expected a whole number from 1 to 65535, found 0"#);
    insta::assert_snapshot!(refusal(&sample_with("[\"*.tmp\", \"cache/\"]", "\"*.tmp\"")), @r#"line 24: files[0].exclude: expected a list of text, such as ["one", "two"], found text"#);
    insta::assert_snapshot!(refusal(&sample_with("[[files]]", "[files]")), @r#"line 21: files: expected a list of tables, found a table"#);
    insta::assert_snapshot!(refusal(&sample_with("\"30s\"", "30")), @r#"line 29: containers[0].stop_timeout: expected text such as `30s`, `2m`, `1h 30m`, found a whole number"#);
    insta::assert_snapshot!(refusal(&sample_with("\"shop\"", "1979-05-27")), @r#"line 3: stack.name: expected text, found a date"#);
}

#[test]
fn values_that_no_key_takes() {
    insta::assert_snapshot!(refusal(&sample_with("\"directory\"", "\"directroy\"")), @r#"line 17: databases[0].format: expected one of `directory`, `custom`, `plain`, `tar`, found `directroy`; did you mean `directory`?"#);
    insta::assert_snapshot!(refusal(&sample_with("\"stop\"", "\"freeze\"")), @r#"line 28: containers[0].quiesce: expected one of `stop`, `pause`, found `freeze`"#);
    insta::assert_snapshot!(refusal(&sample_with("compression_level = 3", "compression_level = 20")), @r#"line 7: repository.compression_level: expected a whole number from 1 to 19, found 20"#);
    insta::assert_snapshot!(refusal(&sample_with("\"30s\"", "\"soon\"")), @r#"line 29: containers[0].stop_timeout: `soon` is not a length of time such as 30s, 2m or 30d"#);
    insta::assert_snapshot!(refusal(&sample_with("label=backstop.quiesce", "image=nginx")), @r#"line 27: containers[0].select: `image=nginx` is none of label=KEY[=VALUE], name=NAME, compose=PROJECT"#);
    insta::assert_snapshot!(refusal(&sample_with("\"/srv/shop/uploads\"", "\"\"")), @r#"line 23: files[0].path: must not be empty"#);
}

#[test]
fn urls() {
    insta::assert_snapshot!(refusal(&sample_with("postgres://shop", "mysql://shop:hunter2")), @r#"line 14: databases[0].url: must begin with postgres:// or postgresql://"#);
    insta::assert_snapshot!(refusal(&sample_with(":5432/shop", ":5432")), @r#"line 14: databases[0].url: names no database; it ends with /DATABASE"#);
    insta::assert_snapshot!(refusal(&sample_with("shop@127.0.0.1", "shop:hunter/2@127.0.0.1")), @r#"line 14: databases[0].url: inside of a name or password / ? @ have to be written as %2F, %3F, %40"#);
}

#[test]
fn missing_keys() {
    insta::assert_snapshot!(refusal(&sample_with("name = \"uploads\"", "")), @r#"line 21: files[0].name: is missing; expected text"#);
    insta::assert_snapshot!(refusal("[[files]]\nname = \"u\"\npath = \"/u\"\n"), @r#"
2 problems
  repository: is missing; expected a table
  stack: is missing; expected a table
"#);
    insta::assert_snapshot!(refusal("stack.name = 'a'\nrepository.path = '/r'\n"), @r#"there is nothing to back up: add [[databases]] or [[files]]"#);
}

#[test]
fn names() {
    insta::assert_snapshot!(refusal(&sample_with("\"uploads\"", "\"../uploads\"")), @r#"line 22: files[0].name: `../uploads` cannot be a file name: expected up to 100 of A-Z, a-z, 0-9, `.`, `_` and `-`, not beginning with `.` or `-`"#);
    insta::assert_snapshot!(refusal(&sample_with("\"uploads\"", "\"shop\"")), @r#"line 22: files[0].name: `shop` is already the name of databases[0]"#);
    let reserved =
        sample_with("[[databases]]\nname = \"shop\"", "[[databases]]\nname = \"globals\"");
    insta::assert_snapshot!(refusal(&reserved), @r#"line 13: databases[0].name: `globals` is where the repository keeps roles and tablespaces; choose another"#);
    let dump = sample_with("[[databases]]\nname = \"shop\"", "[[databases]]\nname = \"a.dump\"");
    insta::assert_snapshot!(refusal(&dump), @r#"line 13: databases[0].name: `a.dump` ends as the file of a dump does; choose another"#);
}

#[test]
fn retention() {
    let with = |rules: &str| refusal(&format!("{SAMPLE}{rules}"));
    insta::assert_snapshot!(with("[retention]\nkeep_dayly = 7"), @r#"line 31: retention.keep_dayly: unknown key; accepted are `auto`, `keep_last`, `keep_hourly`, `keep_daily`, `keep_weekly`, `keep_monthly`, `keep_yearly`, `keep_within`, `min_backups`, `max_total_size`, `never_delete`, `manual`, `scheduled`, `pre-upgrade`, `safety`, `checkpoint`, `migration`, `archive`; did you mean `keep_daily`?"#);
    insta::assert_snapshot!(with("[retention.sometimes]\nkeep_last = 7"), @r#"line 30: retention.sometimes: unknown key; accepted are `auto`, `keep_last`, `keep_hourly`, `keep_daily`, `keep_weekly`, `keep_monthly`, `keep_yearly`, `keep_within`, `min_backups`, `max_total_size`, `never_delete`, `manual`, `scheduled`, `pre-upgrade`, `safety`, `checkpoint`, `migration`, `archive`"#);
    insta::assert_snapshot!(with("[retention]\nkeep_last = 0\nkeep_within = '0s'\nmax_total_size = 'much'"), @r#"
2 problems
  line 31: retention.keep_last: expected a whole number from 1 to 1000000, found 0
  line 33: retention.max_total_size: `much` is no size such as 4096, 10MiB or 1.5GB
"#);
    insta::assert_snapshot!(with("[retention]\nkeep_within = '0s'\nmax_total_size = '0'"), @r#"
2 problems
  line 31: retention.keep_within: keeps nothing; expected a length of time such as 30d
  line 32: retention.max_total_size: leaves room for no backup; expected a size such as 500GiB
"#);
    insta::assert_snapshot!(with("[retention.migration]\nnever_delete = true\nkeep_last = 2\nmin_backups = 3"), @r#"line 31: retention.migration.never_delete: contradicts `keep_last`, `min_backups`; remove one or the other"#);
}

#[test]
fn contradictions() {
    insta::assert_snapshot!(
        refusal(&sample_with("exclude = [", "volume = \"v\"\nexclude = [")), @r#"line 21: files[0]: has both `path` and `volume`; keep one"#
    );
    insta::assert_snapshot!(refusal(&sample_with("path = \"/srv/shop/uploads\"", "")), @r#"line 21: files[0]: needs `path` or `volume`"#);
    insta::assert_snapshot!(refusal(&sample_with("/srv/shop/uploads", "/var")), @r#"
2 problems
  line 23: files[0].path: repository.path lies inside of /var: every backup would hold the ones before it
  line 23: files[0].path: state.dir lies inside of /var: the catalog changes while it would be read
"#);
    insta::assert_snapshot!(refusal(&sample_with("/srv/shop/uploads", "/var/backups/shop/x")), @r#"line 23: files[0].path: /var/backups/shop/x lies inside of repository.path"#);
    insta::assert_snapshot!(
        refusal(&sample_with("jobs = 2", "bin_dir = \"/opt\"\ncontainer = \"db\"")), @r#"line 12: databases[0]: `bin_dir` has no effect with `container`, whose own programs are used; keep one"#
    );
    insta::assert_snapshot!(
        refusal(&sample_with("jobs = 2", "password_file = \"/run/secret\"")), @r#"line 12: databases[0]: `password_env` and `password_file` contradict each other; keep one"#
    );
    insta::assert_snapshot!(refusal(&sample_with("\"*.tmp\"", "\"a[z-a]\", \"!b\", \"/\"")), @r#"
2 problems
  line 24: files[0].exclude[0]: `a[z-a]` is not a pattern: error parsing glob 'a[z-a]': invalid range; 'z' > 'a'
  line 24: files[0].exclude[2]: `/` names nothing; expected a pattern such as `*.tmp`
"#);
    let twice = format!("{SAMPLE}[[containers]]\nselect = \"label=backstop.quiesce\"\n");
    insta::assert_snapshot!(refusal(&twice), @r#"line 31: containers[1].select: `label=backstop.quiesce` is already selected by containers[0]"#);
    insta::assert_snapshot!(refusal(&sample_with("/var/lib/backstop", "~/backstop")), @r#"line 10: state.dir: `~` is not expanded; write the path in full"#);
}

#[test]
fn several_problems_are_reported_together() {
    let text = sample_with("jobs = 2", "jobs = -1\nformat = \"zip\"\nextra = 1")
        .replace("format = \"directory\"", "");
    insta::assert_snapshot!(refusal(&text), @r#"
3 problems
  line 16: databases[0].jobs: expected a whole number from 1 to 65535, found -1
  line 17: databases[0].format: expected one of `directory`, `custom`, `plain`, `tar`, found `zip`
  line 18: databases[0].extra: unknown key; accepted are `name`, `url`, `password_env`, `password_file`, `jobs`, `format`, `container`, `exclude_tables`, `count_rows_up_to`, `bin_dir`
"#);
}

#[test]
fn syntax_errors_do_not_repeat_the_line() {
    insta::assert_snapshot!(
        refusal(&sample_with("\"postgres://shop@127.0.0.1:5432/shop\"", "\"postgres://u:hunter2@")), @r#"cannot read config /etc/backstop/backstop.toml: line 14: invalid basic string, expected `"`"#
    );
    insta::assert_snapshot!(refusal_of_yaml("stack:\n  name: [hunter2\n"), @r#"cannot read config /etc/backstop/backstop.yaml: line 2: unclosed bracket '['"#);
    insta::assert_snapshot!(load("backstop.json", "{}", &[]).unwrap_err(), @r#"cannot read config /etc/backstop/backstop.json: its ending says neither TOML nor YAML"#);
}

#[test]
fn yaml_names_its_lines_too() {
    let text = "stack:\n  name: shop\nrepository:\n  path: /r\n  compresion_level: 3\n\
                databases:\n  - name: shop\n    url: 5\n    format:\n      - custom\n    jobs:\n";
    insta::assert_snapshot!(refusal_of_yaml(text), @r#"
3 problems
  line 5: repository.compresion_level: unknown key; accepted are `path`, `url`, `options`, `credentials`, `compression_level`, `full_every`, `copies`; did you mean `compression_level`?
  line 8: databases[0].url: expected text such as `postgres://shop@127.0.0.1:5432/shop`, found a whole number
  line 9: databases[0].format: expected one of `directory`, `custom`, `plain`, `tar`, found a list
"#);
    insta::assert_snapshot!(refusal_of_yaml("stack: {name: a}\nstack: {name: b}\n"), @r#"cannot read config /etc/backstop/backstop.yaml: line 2: duplicate mapping key `stack` is not allowed here"#);
}

#[test]
fn a_key_that_looks_like_a_path_is_not_taken_for_one() {
    let text = format!("\"stack.name\" = 1{}", sample_with("\"shop\"", "5"));
    insta::assert_snapshot!(refusal(&text), @r#"
2 problems
  line 1: "stack.name": unknown key; accepted are `enabled`, `stack`, `repository`, `state`, `databases`, `files`, `containers`, `retention`, `runbooks`, `guard`, `encryption`; did you mean `stack`?
  line 3: stack.name: expected text, found a whole number
"#);
}

#[test]
fn a_document_that_is_no_table() {
    insta::assert_snapshot!(refusal_of_yaml("- stack\n"), @"cannot read config /etc/backstop/backstop.yaml: line 1: expected a table, found a list");
}

proptest! {
    #[test]
    fn whatever_is_written_is_accepted_or_refused_with_a_reason(
        at in 0..SAMPLE.len(),
        length in 0..40usize,
        inserted in "[\\[\\]{}=\"'#:a-z0-9 .\n-]{0,12}",
        yaml: bool,
    ) {
        let boundary = |mut at: usize| {
            while !SAMPLE.is_char_boundary(at) {
                at += 1;
            }
            at
        };
        let (start, end) = (boundary(at), boundary((at + length).min(SAMPLE.len())));
        let text = [&SAMPLE[..start], &inserted, &SAMPLE[end..]].concat();
        let name = if yaml { "backstop.yaml" } else { "backstop.toml" };
        if let Err(message) = load(name, &text, &[]) {
            prop_assert!(message.contains("/etc/backstop/backstop"), "{message}");
        }
    }
}

#[test]
fn the_hint_says_what_to_write_instead() {
    let hint = |name: &str, text: &str| {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(name), text).unwrap();
        let environment = environment(directory.path(), &[]);
        let error = Config::load_from(Some(Path::new(name)), &environment).unwrap_err();
        error.hint_text().to_owned()
    };
    let of = |old: &str, new: &str| hint("backstop.toml", &sample_with(old, new));
    assert_eq!(of("jobs = 2", "job = 2"), "write `jobs` instead of `job`");
    assert_eq!(
        of("[state]", "[zebra]"),
        "remove zebra, or write one of `enabled`, `stack`, `repository`, `state`, `databases`, \
         `files`, `containers`, `retention`, `runbooks`, `guard`, `encryption`"
    );
    assert_eq!(
        of("jobs = 2", "jobs = \"two\""),
        "set databases[0].jobs to a whole number from 1 to 65535"
    );
    assert_eq!(of("\"stop\"", "\"freeze\""), "set containers[0].quiesce to one of `stop`, `pause`");
    assert_eq!(
        hint("backstop.toml", "[[files]]\nname = \"u\"\npath = \"/u\"\n"),
        "add [repository] with `path`; add [stack] with `name`"
    );
    assert!(hint("backstop.toml", "[stack\n").starts_with("write it as TOML"));
    assert!(hint("backstop.yaml", "stack: [\n").starts_with("write it as YAML"));
    assert_eq!(
        of("\"uploads\"", "\"shop\""),
        "the message says what would be accepted; `backstop config schema` lists every key"
    );
}

#[test]
fn places_of_a_repository_that_contradict_each_other_are_named() {
    let copies = r##"
[[repository.copies]]
name = "a"
path = "/var/backups/shop/copy"
options = { region = "eu" }
[[repository.copies]]
name = "a"
[[repository.copies]]
name = "b"
url = "s3://bucket/shop"
path = "/mnt"
[[repository.copies]]
name = "c"
url = "s3://bucket/shop/inside"
credentials = { key_id_env = "A", key_id_file = "b", secret_env = "not a name" }
[[repository.copies]]
name = "d"
url = "sftp://backup@nas/shop"
options = { region = "eu" }
credentials = { secret_env = "X" }
[[repository.copies]]
name = "e"
path = "/srv/shop/uploads/backups"
[state]"##;
    insta::assert_snapshot!(refusal(&sample_with("[state]", copies)));
    let both = sample_with("compression_level = 3", "url = \"s3://b\"");
    insta::assert_snapshot!(refusal(&both), @"line 5: repository: has both `path` and `url`; keep one");
    let none = sample_with("path = \"/var/backups/shop\"", "");
    insta::assert_snapshot!(refusal(&none), @"line 5: repository: needs `path` or `url`");
    let secret = sample_with("path = \"/var/backups/shop\"", "url = \"s3://key:hunter2@b\"");
    insta::assert_snapshot!(refusal(&secret), @"line 6: repository.url: holds a user or password; these belong into `credentials`");
}
