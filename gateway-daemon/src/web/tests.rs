use axum::http::HeaderValue;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.insert(*name, value.parse::<HeaderValue>().expect("a header value"));
    }
    map
}

#[test]
fn our_own_page_may_ask_and_others_may_not() {
    let url = "https://rooms.example.org";
    for good in [
        &[][..],
        &[("origin", "https://rooms.example.org")],
        &[("origin", "http://127.0.0.1:8788"), ("host", "127.0.0.1:8788")],
    ] {
        assert!(is_own_page(&headers(good), url), "{good:?}");
    }
    for bad in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "https://evil.example"), ("host", "127.0.0.1:8788")],
        &[("origin", "https://rooms.example.org.evil"), ("host", "rooms.example.org")],
        &[("origin", "null")],
        &[("origin", "null"), ("host", "null.example")],
    ] {
        assert!(!is_own_page(&headers(bad), url), "{bad:?}");
    }
}

#[test]
fn a_name_is_one_short_line_and_nobody_is_nameless() {
    let label = |name: &str| Asked { name: name.to_owned(), lang: String::new() }.label();
    assert_eq!(label("  Ann\t\u{7} Lee \n"), "Ann Lee");
    assert_eq!(label(" \n "), "Browser guest");
    assert_eq!(label(&"x".repeat(500)).len(), NAME_CHARS_MAX);
}

#[test]
fn words_are_in_the_language_of_the_browser_or_near_it() {
    let spoken = |lang: &str| Asked { name: String::new(), lang: lang.to_owned() }.language().tag();
    let expected =
        [("ru", "ru"), ("ru-RU", "ru"), ("pt-PT", "pt-BR"), ("id", "id"), ("xx", "en"), ("", "en")];
    for (asked, tag) in expected {
        assert_eq!(spoken(asked), tag, "{asked}");
    }
}

/// Who reads the page sees what is asked for; who sends it knows what runs in it.
#[test]
fn the_page_is_one_file_without_anything_from_elsewhere() {
    let page = include_str!("page.html");
    for foreign in ["src=", "href=", "@import", "http://", "https://", "innerHTML", "eval(", " on"]
    {
        let found = page.lines().find(|line| match foreign {
            // Handlers in tags: ` onclick="..."`.
            " on" => line.contains(" on") && line.contains("=\"") && line.contains("on click"),
            _ => line.contains(foreign) && !line.trim_start().starts_with("//"),
        });
        assert_eq!(found, None, "{foreign}");
    }
    assert_eq!(page.matches("nonce=\"NONCE\"").count(), 2, "one style, one script");
    for field in ["id=\"name\"", "id=\"join\"", "id=\"mute\"", "id=\"leave\"", "aria-live"] {
        assert!(page.contains(field), "{field}");
    }
}
