//! docs/lost-machine.md, executed: a stack comes back where nothing of it is left.

use crate::support::host::{Host, Ran, listing};
use std::fs;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/lost-machine.md");

/// The commands of a section.
fn commands(heading: &str) -> &'static str {
    let section = PAGE.split_once(heading).unwrap().1;
    section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0
}

#[test]
fn the_page_brings_everything_back() {
    let host = Host::with_database();
    let record = host.back_up();
    let sql = "SELECT count(*), md5(string_agg(name, '' ORDER BY id)) FROM item";
    let (rows, files) = (host.database().sql(sql), listing(&host.live()));
    let config = fs::read_to_string(host.config()).unwrap();
    host.database().sql("DROP TABLE item CASCADE");
    fs::remove_dir_all(host.live()).unwrap();
    fs::remove_dir_all(host.state()).unwrap();
    fs::remove_file(host.config()).unwrap();

    let recovered = host.path().join("recovered");
    let shell = |commands: &str| {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_backstop")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let like = host.command(&[]);
        let mut command = Command::new("bash");
        command.args(["-uc", commands]).env_clear().current_dir(host.path());
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
            .env_remove("BACKSTOP_CONFIG")
            .env("PATH", path)
            .env("HOME", host.path())
            .env("BACKSTOP_STATE__DIR", host.state())
            .env("REPOSITORY", host.repository())
            .env("RECOVERED", &recovered);
        Ran::of(&command.output().unwrap())
    };
    let listed = shell(commands("## Look")).ok().stdout;
    assert!(listed.contains(&record["id"].as_str().unwrap()[..8]), "{listed}");
    shell(commands("## Bring back what described the stack")).ok();
    assert_eq!(fs::read_to_string(recovered.join("config/backstop.toml")).unwrap(), config);
    shell(commands("## Bring back the data")).ok();
    assert_eq!(host.database().sql(sql), rows);
    assert_eq!(listing(&host.live()), files);
    fs::write(host.config(), config).unwrap();
    assert_eq!(host.back_up()["kind"], "incremental", "it goes on where it ended");
}
