//! Gateways that share their PINs in Debian's PostgreSQL: the suite of all registries, two gateways at once, and a
//! database that is killed and comes back during calls.

#[path = "../../gateway-daemon/tests/registry/suite.rs"]
mod suite;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use gateway_core::base::pii::Pii;
use gateway_daemon::pin::postgres::{PostgresRegistry, PostgresSettings};
use gateway_tests_peers::gateway::{Gateway, TestPhone, binary};
use gateway_tests_peers::postgres::{PASSWORD, Postgres};
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::sound::Wav;
use gateway_tests_peers::world::World;

const TRUNK: &str = "[[trunk]]\nname = \"phones\"\nsources = [\"127.0.0.1\"]\nlanguage = \"id\"\n";

#[test]
fn postgresql_does_what_every_registry_must() {
    if !require::all_there("postgresql_registry", &[Peer::Postgres]) {
        return;
    }
    let world = World::new("registry");
    let cluster = Postgres::start(&world);
    let key = world.folder().join("pins.key");
    let settings = PostgresSettings::new(&cluster.by_socket(), None, None).expect("an address");
    suite::run(&|| Box::new(PostgresRegistry::open(&settings, &key).expect("opens")));
    let digits = cluster.sql("weebee", "SELECT count(*) FROM pins WHERE sealed IS NOT NULL");
    assert!(digits.parse::<u32>().is_ok_and(|count| count > 0), "{digits}");

    let foreign = world.folder().join("foreign.key");
    fs::write(&foreign, "07".repeat(32)).expect("written");
    let refused = PostgresRegistry::open(&settings, &foreign).expect_err("another key").to_string();
    assert!(refused.contains("is not the key that"), "{refused}");
    fs::remove_file(&foreign).expect("removed");
    let refused = PostgresRegistry::open(&settings, &foreign).expect_err("no key").to_string();
    assert!(refused.contains("is missing") && !foreign.exists(), "{refused}");
    let nowhere = cluster.by_socket().replace("/weebee?", "/nowhere?");
    let nowhere = PostgresSettings::new(&nowhere, None, None).expect("an address");
    let refused = PostgresRegistry::open(&nowhere, &foreign).expect_err("no database").to_string();
    assert!(refused.contains("createdb"), "{refused}");
}

#[test]
fn a_database_is_talked_to_by_tls_and_proves_who_it_is() {
    if !require::all_there("postgresql_tls", &[Peer::Postgres]) {
        return;
    }
    let world = World::new("registry-tls");
    let mut cluster = Postgres::start(&world);
    let certificate = cluster.encrypt();
    let password = world.folder().join("password");
    fs::write(&password, PASSWORD).expect("written");
    let pins = |more: &str| {
        let (database, password) = (cluster.by_tcp(), password.display());
        format!(
            "database = \"{database}?sslmode=require\"\ndatabase_password_file = \"{password}\"{more}"
        )
    };
    let vouched = pins(&format!("\ndatabase_ca_file = \"{}\"", certificate.display()));
    let gateway = Gateway::start_with_pins(&world, &vouched, TRUNK);
    assert_eq!(gateway.pin(&world, "tea").len(), 9);
    let encrypted = cluster.sql(
        "postgres",
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'weebee'",
    );
    assert_eq!(encrypted, "t", "TLS, and somebody is connected");

    let config = gateway.folder().join("weebee.toml");
    let text = fs::read_to_string(&config).expect("its configuration").replace(&vouched, &pins(""));
    fs::write(&config, text).expect("written");
    let refused = world.command(binary()).args(["pin", "list", "--config"]).arg(&config).output();
    let refused = refused.expect("weebee runs");
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("database_ca_file"), "{words}");
}

#[test]
fn two_gateways_share_their_pins() {
    if !require::all_there("two_gateways_postgresql", &[Peer::Postgres]) {
        return;
    }
    let (east, west) = (World::new("east"), World::new("west"));
    let cluster = Postgres::start(&east);
    let database = format!("database = \"{}\"", cluster.by_socket());
    let first = Gateway::start_with_pins(&east, &database, TRUNK);
    let key = first.folder().join("pins.key");
    fs::copy(&key, west.subfolder("weebee").join("pins.key")).expect("one key for both");
    let second = Gateway::start_with_pins(&west, &database, TRUNK);

    let minted: Vec<String> = std::thread::scope(|scope| {
        let other = scope.spawn(|| (0..10).map(|_| second.pin(&west, "west")).collect::<Vec<_>>());
        let mut all: Vec<String> = (0..10).map(|_| first.pin(&east, "east")).collect();
        all.extend(other.join().expect("no panic"));
        all
    });
    assert_eq!(minted.iter().collect::<BTreeSet<_>>().len(), 20, "no PIN twice");

    let said = Wav::silence(8_000, 3.0);
    // Each PIN was made by the other gateway.
    let mut phones = [
        TestPhone::call(&east, "east", "pcma", &minted[15], &said, 6),
        TestPhone::call(&west, "west", "pcma", &minted[5], &said, 6),
    ];
    for phone in &mut phones {
        phone.finish(Duration::from_secs(30));
    }
    for (gateway, room) in [(&first, "west"), (&second, "east")] {
        let records = gateway.wait_call_records(1, Duration::from_secs(10));
        assert_eq!(records[0]["room"], room, "{records:#?}");
        assert!(records[0]["joined"].is_string(), "{records:#?}");
    }
}

#[test]
fn a_database_that_dies_and_comes_back_lets_nobody_in_meanwhile() {
    if !require::all_there("postgresql_killed", &[Peer::Postgres]) {
        return;
    }
    let world = World::new("killed");
    let mut cluster = Postgres::start(&world);
    let password = world.folder().join("password");
    fs::write(&password, PASSWORD).expect("written");
    let pins = format!(
        "database = \"{}\"\ndatabase_password_file = \"{}\"",
        cluster.by_tcp(),
        password.display()
    );
    let mut gateway = Gateway::start_with_pins(&world, &pins, TRUNK);
    let pin = gateway.pin(&world, "tea");
    let said = Wav::silence(8_000, 3.0);
    let mut through = TestPhone::call(&world, "through", "pcma", &pin, &said, 25);
    let joined = || gateway.log().matches(": joined").count();
    assert!(wait_until(Duration::from_secs(15), || (joined() == 1).then_some(())).is_some());

    cluster.kill();
    let sick = wait_until(Duration::from_secs(10), || {
        let health = gateway.health(&world);
        (health["state"] == "degraded").then(|| health["problems"].to_string())
    });
    let sick = sick.expect("nobody called, and yet its health says so");
    assert!(sick.contains("127.0.0.1/weebee") && sick.contains("start PostgreSQL"), "{sick}");
    assert!(!sick.contains(PASSWORD), "{sick}");
    let asked = Instant::now();
    let wrong: String = pin.chars().rev().collect();
    let mut refused = [
        TestPhone::call(&world, "right", "pcma", &pin, &said, 20),
        TestPhone::call(&world, "wrong", "pcma", &wrong, &said, 20),
    ];
    let records = gateway.wait_call_records(2, Duration::from_secs(20));
    println!("two calls refused {:.1} s after they came", asked.elapsed().as_secs_f64());
    for record in &records {
        assert_eq!(record["reason"], "service_unavailable", "{records:#?}");
        assert!(record["joined"].is_null() && record["room"].is_null(), "{records:#?}");
    }
    for phone in &mut refused {
        phone.finish(Duration::from_secs(15));
        let heard = phone.recording().expect("recorded").0;
        assert!(heard.seconds() > 3.0, "greeting and \"try again later\" were spoken: {heard:?}");
    }
    assert_eq!(joined(), 1, "the call in the room goes on");

    cluster.begin();
    let well = wait_until(Duration::from_secs(10), || {
        (gateway.health(&world)["state"] == "ok").then_some(())
    });
    assert!(well.is_some(), "it comes back by itself: {}", gateway.health(&world));
    let mut again = TestPhone::call(&world, "again", "pcma", &pin, &said, 5);
    again.finish(Duration::from_secs(20));
    assert_eq!(joined(), 2, "{}", gateway.log());
    assert!(through.finish(Duration::from_secs(30)), "{}", through.output());
    gateway.assert_alive();
    assert!(gateway.log().contains("PINs can be checked again"), "{}", gateway.log());
    starts_without_its_database(&world, cluster, &gateway);
}

/// A gateway whose database is away starts all the same, says so, and needs its key to do that.
fn starts_without_its_database(world: &World, mut cluster: Postgres<'_>, gateway: &Gateway) {
    cluster.kill();
    let check = |arguments: &[&str]| {
        let mut command = world.command(binary());
        command.args(arguments).arg("--config").arg(gateway.folder().join("weebee.toml"));
        let done = command.output().expect("weebee runs");
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (worked, words) = check(&["pin", "add", "--room", "tea"]);
    assert!(!worked && words.contains("start PostgreSQL"), "{words}");
    let settings =
        PostgresSettings::new(&cluster.by_socket(), Some(Pii::new(PASSWORD.to_owned())), None);
    let key = gateway.folder().join("pins.key");
    PostgresRegistry::open(&settings.expect("an address"), &key).expect("with its key it waits");
}
