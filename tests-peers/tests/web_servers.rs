//! The lines for nginx and Apache of `dialplans/jitsi-meet`, loaded by both, before a gateway that answers the dial-in page.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_tests_peers::gateway::Gateway;
use gateway_tests_peers::process::{Process, wait_until};
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::world::World;
use serde_json::Value;

const SETTINGS: &str = r#"
[[trunk]]
name = "pbx"
sources = ["192.0.2.1"]
[room]
backend = "jitsi"
[[conference.jitsi]]
name = "jitsi"
domain = "meet.example.org"
[dial_in]
enabled = true
rooms = ["*-weekly"]
per_minute = 3
[[dial_in_number]]
number = "+62 21-555-0100"
country = "ID"
"#;
const PAGE: &str = "/conferenceMapper?conference=board-weekly%40conference.meet.example.org";
/// One question from an address of this host: prints the status, then the answer.
const ASK: &str = "
import http.client, sys
server = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=5, source_address=(sys.argv[2], 0))
server.request('GET', sys.argv[3], headers={'Host': 'meet.example.org', 'X-Forwarded-For': '203.0.113.9'})
answer = server.getresponse()
print(answer.status)
print(answer.read().decode())
";

#[test]
fn nginx_passes_the_dial_in_pages() {
    through("nginx_passes_the_dial_in_pages", Peer::Nginx, |world| {
        let folder = world.subfolder("nginx");
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", folder.join(kind).display()))
            .concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}\
             server {{\nlisten 127.0.0.1:80;\ninclude {};\nlocation / {{ return 404; }}\n}}\n}}\n",
            folder.display(),
            ours("nginx.conf").display(),
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, text).expect("its configuration");
        let mut command = world.command("/usr/sbin/nginx");
        command.arg("-e").arg("stderr").arg("-c").arg(file);
        command
    });
}

#[test]
fn apache_passes_the_dial_in_pages() {
    through("apache_passes_the_dial_in_pages", Peer::Apache, |world| {
        let folder = world.subfolder("apache");
        let modules: String = ["mpm_event", "authz_core", "proxy", "proxy_http"]
            .map(|name| {
                format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
            })
            .concat();
        let text = format!(
            "ServerRoot {0}\nPidFile {0}/pid\nDefaultRuntimeDir {0}\nServerName meet.example.org\nErrorLog /dev/stderr\n\
             User www-data\nGroup www-data\nListen 127.0.0.1:80\n{modules}\
             <VirtualHost *:80>\nInclude {1}\n</VirtualHost>\n",
            folder.display(),
            ours("apache.conf").display(),
        );
        let file = folder.join("apache.conf");
        fs::write(&file, text).expect("its configuration");
        let mut command = world.command("/usr/sbin/apache2");
        command.args(["-X", "-f"]).arg(file);
        command
    });
}

/// Asks a gateway through a server: number, PIN, and each visitor counted by his own address.
fn through(test: &str, peer: Peer, server: impl Fn(&World) -> std::process::Command) {
    if !require::all_there(test, &[peer]) {
        return;
    }
    let world = World::new(test);
    let _gateway = Gateway::start(&world, SETTINGS);
    let mut server = Process::start("server", world.folder(), server(&world));
    let listens = wait_until(Duration::from_secs(10), || {
        server.assert_alive();
        ask(&world, 80, "127.0.0.7", "/phoneNumberList")
    });
    let (status, list) = listens.unwrap_or_else(|| panic!("no answer: {}", server.output()));
    assert_eq!((status, &list[0]["formattedNumber"]), (200, &Value::from("+62 21-555-0100")));

    let page = |from: &str| ask(&world, 80, from, PAGE).expect("an answer");
    let (status, first) = page("127.0.0.8");
    assert_eq!((status, first["id"].to_string().len()), (200, 9), "{first}");
    let (_, direct) = ask(&world, 8788, "127.0.0.1", PAGE).expect("an answer");
    assert_eq!(direct["id"], first["id"], "the gateway itself says the same");
    let again = [(); 3].map(|()| page("127.0.0.8").0);
    assert_eq!(again, [200, 200, 402], "three a minute, whatever he says of himself");
    assert_eq!(page("127.0.0.9").0, 200, "others go on");
    assert_ne!(
        ask(&world, 80, "127.0.0.9", "/calls").expect("an answer").0,
        200,
        "nothing else is passed"
    );
    assert_eq!(server.output(), "", "no complaint");
}

fn ask(world: &World, port: u16, from: &str, path: &str) -> Option<(u16, Value)> {
    let mut command = world.command("python3");
    let done = command.args(["-c", ASK, &port.to_string(), from, path]).output().expect("python3");
    let said = String::from_utf8_lossy(&done.stdout);
    let (status, body) = said.split_once('\n')?;
    Some((status.parse().ok()?, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// The file that an admin would copy.
fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dialplans/jitsi-meet").join(name)
}
