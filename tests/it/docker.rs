//! Docker: selecting, holding, running programs, volumes.

use crate::support::image::{TestContainer, TestVolume, docker, docker_answers, unique};
use backstop::config::{ContainerSelection, Quiesce};
use backstop::docker::{Docker, Exec, RunState, waves};
use backstop::encryption::NOBODY;
use backstop::error::Code;
use backstop::progress::{Progress, Silent};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, empty};

fn select(select: &str) -> ContainerSelection {
    serde_json::from_value(serde_json::json!({ "select": select })).unwrap()
}

fn exec(argv: &[&str]) -> Exec {
    Exec { argv: argv.iter().map(|a| (*a).to_string()).collect(), ..Exec::default() }
}

macro_rules! docker_or_skip {
    () => {
        if docker_answers() { Docker::connect().await.unwrap() } else { return }
    };
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_unreachable_with_a_hint() {
    for host in ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1", "ftp://x"] {
        let error = Docker::connect_to(host).await.unwrap_err();
        assert_eq!(error.code(), Code::DockerUnreachable, "{error}");
        assert!(error.hint_text().contains("DOCKER_HOST"));
    }
}

#[tokio::test]
async fn versions_are_told() {
    let docker = docker_or_skip!();
    let version = docker.version().await.unwrap();
    assert!(version.api.starts_with("1."), "{version:?}");
    assert!(!version.server.is_empty());
}

#[tokio::test]
async fn containers_are_selected_by_label_name_and_project_each_once() {
    let docker = docker_or_skip!();
    let (key, project) = (unique("label"), unique("project"));
    let labelled = TestContainer::run(&["--label", &format!("{key}=yes")], &[]);
    let stopped = TestContainer::create(&["--label", &format!("{key}=no")], &[]);
    let composed =
        TestContainer::run(&["--label", &format!("com.docker.compose.project={project}")], &[]);

    let mut first = select(&format!("name={}", labelled.name));
    first.quiesce = Quiesce::Pause;
    let selection = docker
        .select(&[first, select(&format!("label={key}")), select(&format!("compose={project}"))])
        .await
        .unwrap();
    let found: Vec<_> = selection.containers.iter().map(|c| (&c.name, c.state)).collect();
    assert_eq!(
        found,
        [
            (&labelled.name, RunState::Running),
            (&stopped.name, RunState::Stopped),
            (&composed.name, RunState::Running)
        ]
    );
    assert_eq!(selection.containers[0].quiesce, Quiesce::Pause);
    assert_eq!(selection.containers[0].id, labelled.id);
    assert!(selection.unfit.is_empty());

    let one = docker.select(&[select(&format!("label={key}=no"))]).await.unwrap();
    assert_eq!(one.containers.len(), 1);
    assert_eq!(one.containers[0].name, stopped.name);
}

#[tokio::test]
async fn an_unknown_name_is_an_error_and_an_unused_label_is_reported() {
    let docker = docker_or_skip!();
    let error = docker.select(&[select("name=backstop-no-such")]).await.unwrap_err();
    assert_eq!(error.code(), Code::ContainerNotFound);
    let selection = docker
        .select(&[select("label=backstop.no.such"), select("compose=backstop-no-such")])
        .await
        .unwrap();
    assert!(selection.containers.is_empty());
    assert_eq!(selection.unfit.len(), 2);
    assert!(selection.unfit[0].to_string().contains("label=backstop.no.such"));
}

#[tokio::test]
async fn a_container_that_stopping_would_delete_is_refused() {
    let docker = docker_or_skip!();
    let container = TestContainer::run(&["--rm"], &[]);
    let mut selection = select(&format!("name={}", container.name));
    let error = docker.select(std::slice::from_ref(&selection)).await.unwrap_err();
    assert!(error.hint_text().contains("pause"), "{error}");
    selection.quiesce = Quiesce::Pause;
    assert_eq!(docker.select(&[selection]).await.unwrap().containers.len(), 1);
}

#[tokio::test]
async fn compose_labels_decide_the_order_also_through_unselected_services() {
    let docker = docker_or_skip!();
    let (project, key) = (unique("project"), unique("label"));
    let service = |name: &str, needs: &str, selected: bool| {
        let labels = [
            format!("com.docker.compose.project={project}"),
            format!("com.docker.compose.service={name}"),
            format!("com.docker.compose.depends_on={needs}"),
            if selected { format!("{key}=1") } else { "other=1".to_string() },
        ];
        let options: Vec<&str> = labels.iter().flat_map(|l| ["--label", l]).collect();
        TestContainer::create(&options, &[])
    };
    let web = service("web", "proxy:service_started:true", true);
    let _proxy = service("proxy", "api:service_started:false", false);
    let api = service("api", "db:service_healthy:false", true);
    let db = service("db", "", true);
    let side = TestContainer::create(
        &["--label", &format!("{key}=1"), "--network", &format!("container:{}", web.id)],
        &[],
    );

    let selected = docker.select(&[select(&format!("label={key}"))]).await.unwrap().containers;
    let order: Vec<Vec<_>> = waves(&selected)
        .into_iter()
        .map(|wave| wave.into_iter().map(|c| c.name).collect())
        .collect();
    assert_eq!(
        order,
        [[db.name.clone()], [api.name.clone()], [web.name.clone()], [side.name.clone()]]
    );
    let api = selected.iter().find(|c| c.name == api.name).unwrap();
    assert!(api.depends_on.iter().any(|d| d.id == db.id && d.healthy));
}

#[tokio::test]
async fn holding_and_releasing_can_be_repeated() {
    let docker = docker_or_skip!();
    let container = TestContainer::run(&[], &[]);
    for (how, held) in [(Quiesce::Stop, "exited"), (Quiesce::Pause, "paused")] {
        for _ in 0..2 {
            docker.hold(&container.id, how, Duration::from_secs(30)).await.unwrap();
            assert_eq!(container.state(), held);
        }
        for _ in 0..2 {
            docker.release(&container.id).await.unwrap();
            assert_eq!(container.state(), "running");
        }
    }
    docker.wait_running(&container.id, &container.name, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_container_that_does_not_stop_is_killed_after_its_timeout() {
    let docker = docker_or_skip!();
    let container = TestContainer::run(&[], &["/busy", "stubborn"]);
    docker.hold(&container.id, Quiesce::Stop, Duration::from_millis(500)).await.unwrap();
    assert_eq!(container.state(), "exited");
}

#[tokio::test]
async fn health_is_waited_for_and_its_absence_reported() {
    let docker = docker_or_skip!();
    let checked = TestContainer::run(
        &["--health-cmd", "/busy exists /data/healthy", "--health-interval", "100ms"],
        &[],
    );
    let error = docker
        .wait_healthy(&checked.id, &checked.name, Duration::from_millis(500))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unhealthy);
    docker_cli_exec(&checked.name, &["/busy", "write", "/data/healthy", "x"]);
    docker.wait_healthy(&checked.id, &checked.name, Duration::from_secs(60)).await.unwrap();

    let unchecked = TestContainer::run(&[], &[]);
    docker.wait_healthy(&unchecked.id, &unchecked.name, Duration::ZERO).await.unwrap();

    let ended = TestContainer::run(&[], &["/busy", "exit", "3", "no"]);
    docker_wait(&ended.name);
    let error =
        docker.wait_healthy(&ended.id, &ended.name, Duration::from_secs(60)).await.unwrap_err();
    assert!(error.to_string().contains("exit code 3"), "{error}");
}

fn docker_cli_exec(name: &str, argv: &[&str]) {
    docker(&[&["exec", name], argv].concat());
}

fn docker_wait(name: &str) {
    docker(&["wait", name]);
}

#[tokio::test]
async fn fifty_megabytes_pass_through_a_program_unchanged() {
    let docker = docker_or_skip!();
    let container = TestContainer::run(&[], &[]);
    let length: usize = 50_000_003;
    // Every byte value, and no period that chunk sizes could hide.
    let bytes: Vec<u8> = (0..length).map(|n| (n % 251 + n / 65_521) as u8).collect();
    let mut out = Vec::new();
    let exit = docker
        .exec(&container.id, &exec(&["/busy", "cat"]), Some(&mut bytes.as_slice()), &mut out)
        .await
        .unwrap();
    assert_eq!((exit.code, exit.stderr.as_str()), (0, ""));
    assert!(out == bytes, "{} of {length} bytes", out.len());

    let mut count = Vec::new();
    let mut input: Box<dyn AsyncRead + Send + Unpin> =
        Box::new(tokio::io::repeat(0).take(300 << 20));
    docker
        .exec(&container.id, &exec(&["/busy", "count"]), Some(&mut input), &mut count)
        .await
        .unwrap();
    assert_eq!(count, (300u64 << 20).to_string().as_bytes());
}

#[tokio::test]
async fn a_program_gets_its_environment_and_tells_how_it_ended() {
    let docker = docker_or_skip!();
    let container = TestContainer::run(&[], &[]);
    let run = async |exec: Exec, input: &mut (dyn AsyncRead + Send + Unpin)| {
        let mut out = Vec::new();
        let exit = docker.exec(&container.id, &exec, Some(input), &mut out).await.unwrap();
        (exit, String::from_utf8_lossy(&out).into_owned())
    };
    let mut with_env = exec(&["/busy", "env", "PGPASSWORD"]);
    with_env.env.push(("PGPASSWORD".into(), "a=b c".into()));
    assert_eq!(run(with_env, &mut empty()).await.1, "a=b c");

    let (exit, _) = run(exec(&["/busy", "exit", "7", "no such table"]), &mut empty()).await;
    assert_eq!((exit.code, exit.stderr.trim()), (7, "no such table"));

    let (exit, _) = run(exec(&["/no/such/program"]), &mut empty()).await;
    assert!([126, 127].contains(&exit.code), "{exit:?}");

    let mut endless = tokio::io::repeat(b'x');
    let (exit, out) = run(exec(&["/busy", "head", "10"]), &mut endless).await;
    assert_eq!((exit.code, out.as_str()), (0, "xxxxxxxxxx"));

    let mut out = Vec::new();
    let exit =
        docker.exec(&container.id, &exec(&["/busy", "count"]), None, &mut out).await.unwrap();
    assert_eq!((exit.code, out.as_slice()), (0, b"0".as_slice()));
}

#[tokio::test]
async fn a_full_disk_ends_the_copy_and_a_stopped_container_runs_nothing() {
    let docker = docker_or_skip!();
    let container = TestContainer::run(&[], &[]);
    let mut full = tokio::fs::OpenOptions::new().write(true).open("/dev/full").await.unwrap();
    let error = docker
        .exec(&container.id, &exec(&["/busy", "spew", "10000000"]), None, &mut full)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::DiskFull, "{error}");

    docker.hold(&container.id, Quiesce::Stop, Duration::from_secs(10)).await.unwrap();
    let error = docker
        .exec(&container.id, &exec(&["/busy", "cat"]), None, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::DockerFailed, "{error}");
}

#[tokio::test]
async fn a_volume_goes_out_and_into_another_through_the_archive_api() {
    let docker = docker_or_skip!();
    let (from, to) = (TestVolume::create(), TestVolume::create());
    let source = TestContainer::run(&["-v", &format!("{}:/data", from.name)], &[]);
    let target = TestContainer::create(&["-v", &format!("{}:/data", to.name)], &[]);
    docker_cli_exec(&source.name, &["/busy", "write", "/data/one", "first"]);

    let volume = docker.volume(&from.name).await.unwrap();
    assert_eq!(volume.driver, "local");
    assert!(volume.mountpoint.ends_with(format!("{}/_data", from.name)));
    let mounters = docker.mounters(&from.name).await.unwrap();
    assert_eq!(mounters.len(), 1);
    assert_eq!((mounters[0].id.as_str(), mounters[0].writable), (source.id.as_str(), true));
    assert_eq!(mounters[0].destination, Path::new("/data"));

    let tar = docker.download(&source.id, Path::new("/data/.")).await.unwrap();
    docker.upload(&target.id, Path::new("/data"), tar).await.unwrap();
    let mut tar = Vec::new();
    let mut stream = docker.download(&target.id, Path::new("/data/one")).await.unwrap();
    stream.read_to_end(&mut tar).await.unwrap();
    assert!(tar.windows(5).any(|w| w == b"first"));

    let missing = docker.download(&target.id, Path::new("/no/such")).await.err().unwrap();
    assert_eq!(missing.code(), Code::ContainerNotFound);
    let missing = docker.volume("backstop-no-such").await.unwrap_err();
    assert_eq!(missing.code(), Code::ContainerNotFound);
}

#[tokio::test]
async fn a_port_is_found_on_the_container_and_where_it_is_published() {
    let docker = docker_or_skip!();
    let container = TestContainer::run(&["-p", "127.0.0.1::5432"], &[]);
    let addresses = docker.addresses_of(&container.id, 5432).await.unwrap();
    let published = self::docker(&["port", &container.name, "5432"]);
    assert!(addresses.iter().any(|a| format!("{}:{}", a.host, a.port) == published));
    let ip = self::docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &container.name]);
    assert_eq!((addresses[0].host.as_str(), addresses[0].port), (ip.as_str(), 5432));
}

#[tokio::test]
async fn logs_show_the_last_lines() {
    let docker = docker_or_skip!();
    let container = TestContainer::run(&[], &["/busy", "exit", "1", "it broke"]);
    docker_wait(&container.name);
    assert_eq!(docker.logs(&container.id, 10).await.unwrap().trim(), "it broke");
}

#[tokio::test]
async fn a_definition_is_recorded_with_its_compose_project() {
    let docker = docker_or_skip!();
    let dir = tempfile::tempdir().unwrap();
    let project = unique("project");
    let compose = "services:\n  web: {image: a, env_file: web.env}\n  \
                   worker: {image: a, env_file: [worker/.env, {path: x.env, required: false}]}\n";
    std::fs::write(dir.path().join("compose.yml"), compose).unwrap();
    std::fs::create_dir(dir.path().join("worker")).unwrap();
    for name in [".env", "web.env", "worker/.env"] {
        std::fs::write(dir.path().join(name), "PASSWORD=secret\n").unwrap();
    }
    let at = dir.path().display();
    let labels = [
        format!("com.docker.compose.project={project}"),
        format!("com.docker.compose.project.working_dir={at}"),
        format!("com.docker.compose.project.config_files={at}/compose.yml,{at}/gone.yml"),
    ];
    let mut options: Vec<&str> = labels.iter().flat_map(|l| ["--label", l]).collect();
    options.extend(["-e", "PASSWORD=secret"]);
    let container = TestContainer::run(&options, &[]);

    let selected = docker.select(&[select(&format!("compose={project}"))]).await.unwrap();
    let definition = docker.definition(&selected.containers[0], true).await.unwrap();
    assert!(!format!("{definition:?}").contains("secret"));
    let detail = definition.detail();
    assert_eq!(detail.object, format!("containers/{}.json", container.name));
    assert!(detail.image_id.starts_with("sha256:"));
    assert!(detail.was_running);
    assert_eq!(detail.compose_project.as_deref(), Some(project.as_str()));

    let backup = tempfile::tempdir().unwrap();
    let warnings = backstop::progress::Warnings::before(Arc::new(Silent));
    let progress: Arc<dyn Progress> = warnings.clone();
    let written = definition.write(backup.path(), &NOBODY, &progress).unwrap();
    let expected: BTreeSet<_> = [
        detail.object.clone(),
        format!("containers/compose/{project}/compose.yml"),
        format!("containers/compose/{project}/.env"),
        format!("containers/compose/{project}/web.env"),
        format!("containers/compose/{project}/worker/.env"),
    ]
    .into_iter()
    .map(std::path::PathBuf::from)
    .collect();
    assert_eq!(written.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(warnings.seen().len(), 1, "the compose file that is gone");
    for path in written {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(backup.path().join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let json = std::fs::read(backup.path().join(&detail.object)).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let by_client: serde_json::Value =
        serde_json::from_str(&self::docker(&["inspect", &container.name])).unwrap();
    assert_eq!(json["Config"], by_client[0]["Config"]);
    assert_eq!(json["HostConfig"], by_client[0]["HostConfig"]);
}
