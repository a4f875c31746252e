//! `/v1` of a running gateway with phones: every command of `docs/api.md` is run by curl, every answer is held against the
//! OpenAPI document, and the document promises nothing that no answer has.

mod face;
mod hooks;
mod openapi;
mod place;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use self::openapi::{Document, Exchange};
use self::place::{PBX_TOKEN, Phoning, Place, TOKEN};

/// Everything that was answered.
#[derive(Default)]
struct Book(Vec<Exchange>);

impl Book {
    async fn ask(
        &mut self,
        place: &Place,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Exchange {
        let body = body.map(|body| ("application/json", body.to_string()));
        let seen = place.ask(method, path, Some(TOKEN), body).await;
        self.0.push(seen.clone());
        seen
    }
}

fn json_of(seen: &Exchange) -> Value {
    serde_json::from_str(&seen.body).unwrap_or_else(|error| panic!("{error}: {seen:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docs_document_and_answers_say_the_same() {
    let place = Place::start("api").await;
    let mut book = Book::default();
    let tea = [place.phone("tea").await, place.phone("tea").await];
    let held = place.phone("board").await;
    let asked = place.phone("pin").await;
    let calls = joined(&place, &mut book, 2).await;
    let waiting = waiting(&place, &mut book).await;
    let asking = in_state(&place, &mut book, "asking").await;

    let document = book.ask(&place, "GET", "/v1/openapi.json", None).await;
    let document = Document(json_of(&document));
    let mut promised = document.promises();
    assert!(promised.len() > 60, "{}", promised.len());

    refusals(&place, &mut book, &document, &asking).await;
    let done = commands(&place, &calls[0], &waiting).await;
    assert_eq!(done.len(), place::blocks().len());
    book.0.extend(done);
    changed(&place, &mut book, &calls).await;
    for phone in [tea, [held, asked]].into_iter().flatten() {
        Phoning::end(phone).await;
    }
    away(&place, &mut book, &document).await;

    for exchange in &book.0 {
        let known = document.judge(exchange).unwrap_or_else(|what| panic!("{what}: {exchange:?}"));
        promised.remove(&known);
    }
    assert_eq!(promised, BTreeSet::new(), "promised, and no answer has it");
    let secrets = [place::NUMBER, "12345647", TOKEN, PBX_TOKEN];
    for exchange in &book.0 {
        assert!(!secrets.iter().any(|it| exchange.body.contains(it)), "{exchange:?}");
    }
}

/// Ids of so many callers of the room `tea`, when they are there.
async fn joined(place: &Place, book: &mut Book, count: usize) -> Vec<String> {
    for _ in 0..160 {
        let calls = json_of(&book.ask(place, "GET", "/v1/calls?room=tea", None).await);
        let calls = calls["calls"].as_array().expect("calls");
        let there: Vec<String> = calls
            .iter()
            .filter(|call| call["state"] == "joined")
            .map(|call| call["id"].as_str().expect("an id").to_owned())
            .collect();
        if there.len() == count {
            return there;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("{count} callers never were in the room");
}

async fn waiting(place: &Place, book: &mut Book) -> String {
    for _ in 0..160 {
        let rooms = json_of(&book.ask(place, "GET", "/v1/rooms?room=board", None).await);
        let caller = &rooms["rooms"][0]["callers"][0];
        if caller["waiting"] == true {
            assert_eq!(caller["label"], "Phone caller (+62 *** 47)", "{caller}");
            return caller["call"].as_str().expect("an id").to_owned();
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("nobody waits for the host");
}

async fn in_state(place: &Place, book: &mut Book, state: &str) -> String {
    for _ in 0..160 {
        let calls = json_of(&book.ask(place, "GET", "/v1/calls", None).await);
        let found = calls["calls"].as_array().into_iter().flatten();
        if let Some(call) = found.into_iter().find(|call| call["state"] == state) {
            return call["id"].as_str().expect("an id").to_owned();
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("no call is {state}");
}

/// Each operation is refused in each way there is.
async fn refusals(place: &Place, book: &mut Book, document: &Document, asking: &str) {
    for (method, template, operation) in document.operations() {
        let path = template.replace("{id}", "nobody");
        let knows = |status: &str| !operation["responses"][status].is_null();
        book.0.push(place.ask(&method, &path, None, None).await);
        if knows("403") {
            book.0.push(place.ask(&method, &path, Some(PBX_TOKEN), None).await);
        }
        book.0.push(place.ask_from_the_noisy_one(&method, &path).await);
        if knows("404") {
            let body = document.body_for(operation);
            book.ask(place, &method, &path, body).await;
        }
        if knows("400") {
            match method.as_str() {
                "GET" => drop(book.ask(place, "GET", &format!("{path}?nonsense=1"), None).await),
                _ => drop(book.ask(place, &method, &path, Some(json!([]))).await),
            }
        }
        if knows("413") {
            book.ask(place, &method, &path, Some(json!({ "room": "x".repeat(20_000) }))).await;
            let html = Some(("text/html", "<p>".to_owned()));
            book.0.push(place.ask(&method, &path, Some(TOKEN), html).await);
        }
        if knows("409") {
            let path = template.replace("{id}", asking);
            book.ask(place, &method, &path, document.body_for(operation)).await;
        }
    }
    let silent = book.ask(place, "POST", "/v1/pins", Some(json!({ "room": "silent" }))).await;
    assert_eq!(silent.status, 403, "{silent:?}");
    let form = Some(("application/x-www-form-urlencoded", "pin=x".to_owned()));
    let line = place.ask("POST", "/v1/pin/check", Some(PBX_TOKEN), form).await;
    assert_eq!((line.status, line.body.as_str()), (400, "NO|bad"));
    book.0.push(line);
}

/// The commands of the page, by curl.
async fn commands(place: &Place, call: &str, waiting: &str) -> Vec<Exchange> {
    let mut done = Vec::new();
    let mut pin = String::new();
    for block in place::blocks() {
        let names = [("CALL", call), ("WAITING", waiting), ("PIN_ID", &pin)];
        let exchange = place.shell(&block, &names).await;
        assert!((200..300).contains(&exchange.status), "{block}\n{exchange:?}");
        if let Some(id) = serde_json::from_str::<Value>(&exchange.body).ok()
            && exchange.status == 201
        {
            pin = id["id"].as_str().unwrap_or_default().to_owned();
        }
        done.push(exchange);
    }
    done
}

/// What the commands did.
async fn changed(place: &Place, book: &mut Book, calls: &[String]) {
    for status in [201, 200] {
        let shared = book.ask(place, "POST", "/v1/pins", Some(json!({ "room": "tea" }))).await;
        assert_eq!(
            shared.status, status,
            "the page ended the one of before; this one is told again"
        );
    }
    for _ in 0..160 {
        let seen = json_of(&book.ask(place, "GET", "/v1/calls", None).await);
        let all: Vec<&Value> = seen["calls"].as_array().into_iter().flatten().collect();
        let is_there = |id: &str| all.iter().any(|call| call["id"] == id);
        let board = all.iter().find(|call| call["room"] == "board");
        let is_in = board.is_some_and(|call| call["state"] == "joined");
        if !is_there(&calls[0]) && is_there(&calls[1]) && is_in {
            let record = place.records();
            assert!(record.contains("\"room\":\"coffee\""), "he was moved: {record}");
            assert!(record.contains("\"reason\":\"operator\""), "and hung up: {record}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("the commands did nothing");
}

/// With the gateway gone, everything says so.
async fn away(place: &Place, book: &mut Book, document: &Document) {
    place.stop().await;
    for (method, template, operation) in document.operations() {
        if operation["responses"]["503"].is_null() {
            continue;
        }
        let path = template.replace("{id}", "nobody");
        let seen = book.ask(place, &method, &path, document.body_for(operation)).await;
        assert_eq!(seen.status, 503, "{seen:?}");
    }
}

#[test]
fn the_document_has_every_route_and_every_kind_of_problem() {
    let document: Value =
        serde_json::from_str(include_str!("../../src/api/openapi.json")).expect("a document");
    let source = include_str!("../../src/api/mod.rs");
    let routes = source.split(".route(\"").skip(1).filter_map(|rest| {
        let (path, rest) = rest.split_once('"')?;
        let handlers = rest.split(".route(").next().unwrap_or_default();
        let methods = ["get", "post", "delete", "put", "patch"];
        let methods = methods.into_iter().filter(move |it| handlers.contains(&format!("{it}(")));
        Some(methods.map(move |method| (path.to_owned(), method.to_owned())))
    });
    let routes: BTreeSet<(String, String)> =
        routes.flatten().filter(|(path, _)| !path.contains("{*") && path != "/v1/").collect();
    let operations = Document(document);
    let promised = operations.operations();
    let promised = promised.iter().map(|(method, path, _)| (path.clone(), method.to_lowercase()));
    assert_eq!(promised.collect::<BTreeSet<_>>(), routes);
    let page = include_str!("../../../docs/api.md");
    for kind in gateway_daemon::api::problem::ALL {
        let name = kind.uri().replace("urn:weebee:problem:", "");
        assert!(page.replace('\n', " ").contains(&format!("`{name}` {}", kind.status())), "{name}");
    }
    for (path, _) in routes {
        let shown = path.replace("{id}", "$");
        let shown = shown.split('$').next().unwrap_or_default();
        assert!(page.contains(shown), "{path} has no example");
    }
}
