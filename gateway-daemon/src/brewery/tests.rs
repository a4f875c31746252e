//! Breweries of a running gateway whose servers are not there: listed, added, removed, and named by its health.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::Method;
use serde_json::{Value, json};

use super::*;
use crate::app::App;
use crate::testing::Folder;

async fn ask(configure: &Configure, what: &str, body: Value) -> (u16, Value) {
    let method = if what == "list" { Method::GET } else { Method::POST };
    let (status, body) = configure(what.to_owned(), method, Bytes::from(body.to_string())).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn breweries_come_and_go_while_the_gateway_runs() {
    let folder = Folder::new("breweries");
    std::fs::write(folder.path().join("secret"), "a password").expect("written");
    // A port where nobody listens.
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let text = format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\ncalls_max = 10\n[rtp]\nports = \"36300-36399\"\n\
         [[trunk]]\nname = \"pbx\"\npeer = \"127.0.0.1:9\"\n\
         [[conference.jitsi]]\nname = \"jitsi\"\ndomain = \"meet.test\"\n\
         [[brewery]]\nname = \"main\"\nxmpp = \"tcp:{free}\"\ndomain = \"auth.meet.test\"\nuser = \"jigasi\"\n\
         password_file = \"secret\"\nroom = \"jigasibrewery@internal.auth.meet.test\"\n\
         [dial_out]\nenabled = true\n[[dial_out_rule]]\nmatch = \"?*\"\ntrunk = \"pbx\"\n"
    );
    let config = crate::config::parse("test.toml", &text, folder.path()).expect("good");
    let app = App::start(&config).expect("starts");
    let shared = app.shared();
    let configure = shared.breweries.configure();
    assert_eq!(ask(&configure, "list", Value::Null).await, (200, json!(["main"])));

    let account = json!({
        "id": "acc-xmpp-2",
        "USER_ID": "jigasi@auth.meet.test",
        "PASSWORD": "secret",
        "SERVER_ADDRESS": free.ip().to_string(),
        "SERVER_PORT": free.port(),
        "BREWERY": "other@internal.auth.meet.test",
        "DOMAIN_BASE": "meet.test",
    });
    for _ in 0..2 {
        assert_eq!(
            ask(&configure, "add", account.clone()).await,
            (200, Value::Null),
            "as often as wanted"
        );
    }
    let list = ask(&configure, "list", Value::Null).await;
    assert_eq!(list, (200, json!(["main", "acc-xmpp-2"])));
    let (status, why) = ask(&configure, "add", json!({ "id": "third" })).await;
    assert_eq!((status, why["error"].as_str()), (400, Some("USER_ID is missing")));

    // Neither is joined: health says so, and why.
    let told = |text: &str| shared.breweries.problems().iter().any(|it| it.text.contains(text));
    for _ in 0..100 {
        if told("nobody listens") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let problems = shared.breweries.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        told("brewery \"main\" is not joined") && problems[0].area == Area::Conference,
        "{problems:?}"
    );

    assert_eq!(ask(&configure, "remove", json!({ "id": "acc-xmpp-2" })).await, (200, Value::Null));
    assert_eq!(ask(&configure, "remove", json!({ "id": "acc-xmpp-2" })).await.0, 400);
    assert_eq!(ask(&configure, "list", Value::Null).await, (200, json!(["main"])));
    shared.breweries.leave().await;
    assert_eq!(ask(&configure, "list", Value::Null).await, (200, json!([])));
}
