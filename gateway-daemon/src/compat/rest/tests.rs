//! Figures are for everybody, orders are not.

use tower::ServiceExt;

use super::*;

async fn ask(path: &str, peer: &str, headers: &[(&str, &str)]) -> u16 {
    let openness = Openness { token: Some("sixteen-letters!".to_owned()) };
    let pages = Router::new()
        .fallback(|| async { StatusCode::NO_CONTENT })
        .layer(middleware::from_fn_with_state(Arc::new(openness), guard));
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(axum::body::Body::empty()).expect("a request");
    let peer: SocketAddr = peer.parse().expect("an address");
    request.extensions_mut().insert(ConnectInfo(peer));
    pages.oneshot(request).await.expect("answers").status().as_u16()
}

#[tokio::test]
async fn orders_come_from_this_host_or_with_the_token() {
    let (here, there) = ("127.0.0.1:40000", "192.0.2.7:40000");
    for path in OPEN {
        assert_eq!(ask(path, there, &[("host", "gateway.example.org")]).await, 204);
    }
    for path in ["/about/shutdown", "/debug", "/configure/call-control-muc/add", "/other"] {
        let host = ("host", "localhost:8788");
        assert_eq!(ask(path, there, &[host]).await, 403, "{path}");
        assert_eq!(ask(path, here, &[host]).await, 204);
        assert_eq!(ask(path, here, &[host, ("origin", "http://evil.example")]).await, 403);
        assert_eq!(ask(path, here, &[("host", "rebound.example")]).await, 403);
        let token = ("authorization", "Bearer sixteen-letters!");
        assert_eq!(ask(path, there, &[host, token]).await, 204);
        assert_eq!(ask(path, there, &[host, ("authorization", "Bearer other")]).await, 403);
    }
}
