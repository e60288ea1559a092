use super::super::{Capture, DumpFormat, Place, Quiesce, Selector, Timeout, show_toml, to_json};
use super::*;
use std::path::PathBuf;

#[test]
fn the_sample_of_the_contract_is_accepted_as_it_stands() {
    let config = load("backstop.toml", SAMPLE, &[]).unwrap().config;
    assert_eq!(config.stack.name, "shop");
    assert_eq!(config.repository.path, Path::new("/var/backups/shop"));
    assert_eq!(config.state.dir, Path::new("/var/lib/backstop"));
    let database = &config.databases[0];
    assert_eq!(database.url.expose(), "postgres://shop@127.0.0.1:5432/shop");
    assert_eq!((database.jobs.get(), database.format), (2, Some(DumpFormat::Directory)));
    assert_eq!(config.files[0].exclude, ["*.tmp", "cache/"]);
    assert_eq!(config.files[0].capture, Capture::Auto);
    let containers = &config.containers[0];
    assert_eq!(containers.select, Selector::Label("backstop.quiesce".into()));
    assert_eq!(
        (containers.quiesce, containers.stop_timeout),
        (Quiesce::Stop, Timeout::seconds(30))
    );
}

#[test]
fn the_example_files_are_accepted_and_toml_and_yaml_say_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let load = |name: &str| {
        let loaded =
            Config::load_from(Some(&folder.join(name)), &environment(&folder, &[])).unwrap();
        serde_json::to_value(&loaded.config).unwrap()
    };
    assert_eq!(load("backstop.example.toml"), load("backstop.example.yaml"));
    assert_eq!(load("minimal.toml")["repository"]["compression_level"], 3);
}

#[test]
fn relative_paths_start_where_they_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let etc = directory.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    let text = sample_with("/var/backups/shop", "backups/./shop/");
    std::fs::write(etc.join("backstop.toml"), text).unwrap();
    let variables =
        [("BACKSTOP_STATE__DIR", "state"), ("BACKSTOP_FILES__UPLOADS__PATH", "/srv/../u")];
    let loaded = Config::load_from(None, &environment(directory.path(), &variables)).unwrap();
    assert_eq!(loaded.config.repository.path, etc.join("backups/shop"));
    assert_eq!(loaded.config.state.dir, directory.path().join("state"));
    assert_eq!(loaded.config.files[0].path, Some(PathBuf::from("/srv/../u")));
}

#[test]
fn show_names_the_origin_of_every_value() {
    let variables = [("BACKSTOP_DATABASES__SHOP__JOBS", "4")];
    let loaded = load("backstop.toml", SAMPLE, &variables).unwrap();
    let file = loaded.file.as_ref().unwrap().display().to_string();
    let shown = show_toml(&loaded).replace(&file, "backstop.toml");
    insta::assert_snapshot!(shown);
    let json = to_json(&loaded);
    assert_eq!(json["origins"]["databases[0].jobs"], "$BACKSTOP_DATABASES__SHOP__JOBS");
    assert_eq!(json["origins"]["files[0].capture"], "default");
    assert_eq!(json["origins"]["files[0].exclude"], format!("{file}:24"));
}

#[test]
fn what_is_shown_is_itself_a_config() {
    let loaded = load("backstop.toml", SAMPLE, &[]).unwrap();
    let again = load("backstop.toml", &show_toml(&loaded), &[]).unwrap();
    assert_eq!(to_json(&loaded)["config"], to_json(&again)["config"]);
}

#[test]
fn a_password_in_a_url_is_shown_nowhere() {
    let text = sample_with("shop@127", "shop:hunter2@127")
        .replace("password_env = \"SHOP_DB_PASSWORD\"", "");
    let loaded = load("backstop.toml", &text, &[]).unwrap();
    assert!(loaded.config.databases[0].url.expose().contains("hunter2"));
    let shown = format!("{loaded:?} {} {}", show_toml(&loaded), to_json(&loaded));
    assert!(shown.contains("shop:***@127"));
    assert!(!shown.contains("hunter2"));
}

/// [`SAMPLE`] with copies of the repository.
fn sample_with_copies() -> String {
    sample_with(
        "[state]",
        "[[repository.copies]]\nname = \"disk\"\npath = \"mnt\"\n\
         [[repository.copies]]\nname = \"off-site\"\nurl = \"s3://bucket/shop\"\n\
         options = { region = \"eu\" }\ncredentials = { secret_file = \"key\" }\n[state]",
    )
}

#[test]
fn copies_of_a_repository_are_directories_or_stores() {
    let variables = [
        ("BACKSTOP_REPOSITORY__COPIES__OFF_SITE__OPTIONS__ENDPOINT", "https://s3.example.com"),
        ("BACKSTOP_REPOSITORY__COPIES__DISK__PATH", "elsewhere"),
    ];
    let loaded = load("backstop.toml", &sample_with_copies(), &variables).unwrap();
    let root = loaded.file.as_ref().unwrap().parent().unwrap();
    let copies = &loaded.config.repository.copies;
    assert_eq!(copies[0].place(), Place::Directory(root.join("elsewhere")));
    let Place::Store(store) = copies[1].place() else { panic!("{copies:?}") };
    assert_eq!(store.url.to_string(), "s3://bucket/shop");
    assert_eq!(store.options.region.as_deref(), Some("eu"));
    assert_eq!(store.options.endpoint.as_deref(), Some("https://s3.example.com"));
    assert_eq!(store.credentials.secret_file, Some(root.join("key")));
    let again = load("backstop.toml", &show_toml(&loaded), &[]).unwrap();
    assert_eq!(to_json(&loaded)["config"], to_json(&again)["config"]);
    let origin = "repository.copies[1].options.endpoint";
    assert_eq!(to_json(&loaded)["origins"][origin], format!("${}", variables[0].0));
}

#[test]
fn a_repository_may_lie_on_a_store_alone() {
    let text = sample_with("path = \"/var/backups/shop\"", "url = \"gcs://bucket/shop\"");
    let loaded = load("backstop.toml", &text, &[("BACKUP_DIR", "/var/backups")]).unwrap();
    let Place::Store(store) = loaded.config.repository.place() else { panic!() };
    assert_eq!(store.url.to_string(), "gcs://bucket/shop");
    let again = load("backstop.toml", &show_toml(&loaded), &[]).unwrap();
    assert_eq!(to_json(&loaded)["config"], to_json(&again)["config"]);
}
