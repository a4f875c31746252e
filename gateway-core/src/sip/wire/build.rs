//! Writing messages: responses to a request, and headers that cannot smuggle a line break.

use bytes::Bytes;

use super::{Header, HeaderName, Headers, Message, Request, Response, StatusCode};

/// A response to `request`: Via, From, To, Call-ID and CSeq copied, our tag added to a To without one.
/// Status 100 to 699; anything else becomes 500.
pub fn reply(request: &Request, status: u16, local_tag: Option<&str>) -> Response {
    reply_with_reason(request, status, reason(status), local_tag)
}

/// [`reply`] with a reason phrase of its own.
pub fn reply_with_reason(
    request: &Request,
    status: u16,
    phrase: &'static str,
    local_tag: Option<&str>,
) -> Response {
    let status = StatusCode::new(status)
        .unwrap_or_else(|| StatusCode::new(500).expect("500 lies in 100 to 699"));
    let mut response = Response::new(status, Bytes::from_static(phrase.as_bytes()));
    let copied =
        [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq];
    for name in &copied {
        for header in request.headers.get_all(name) {
            match (name, local_tag) {
                (HeaderName::To, Some(tag)) => response.headers.push(tagged(header, tag)),
                _ => response.headers.push(header.clone()),
            }
        }
    }
    set_body(&mut response.headers, None, 0);
    response
}

/// Copies `header` and adds our tag, unless it has one.
fn tagged(header: &Header, tag: &str) -> Header {
    let value = header.value();
    let has_tag = sipx_sip::headers::Address::parse(&value, "To")
        .is_ok_and(|address| address.tag().is_some());
    if has_tag {
        return header.clone();
    }
    let value = [&value, b";tag=".as_slice(), tag.as_bytes()].concat();
    Header::build(HeaderName::To, value).unwrap_or_else(|_| header.clone())
}

/// Appends a header. A value with a line break in it is left out: nothing is sent rather than two headers.
pub fn push(headers: &mut Headers, name: HeaderName, value: impl Into<Bytes>) {
    if let Ok(header) = Header::build(name, value) {
        headers.push(header);
    }
}

/// Replaces all headers of this name by one.
pub fn set(headers: &mut Headers, name: HeaderName, value: impl Into<Bytes>) {
    headers.remove_all(&name);
    push(headers, name, value);
}

/// Puts a session description into a response.
pub fn with_sdp(mut response: Response, sdp: &[u8]) -> Response {
    set_body(&mut response.headers, Some("application/sdp"), sdp.len());
    response.set_body(Bytes::copy_from_slice(sdp));
    response
}

/// Puts a body into a request.
pub fn set_request_body(request: &mut Request, kind: &str, body: &[u8]) {
    let kind = (!body.is_empty()).then_some(kind);
    set_body(&mut request.headers, kind, body.len());
    request.set_body(Bytes::copy_from_slice(body));
}

fn set_body(headers: &mut Headers, kind: Option<&str>, length: usize) {
    headers.remove_all(&HeaderName::ContentType);
    if let Some(kind) = kind {
        push(headers, HeaderName::ContentType, kind.to_owned());
    }
    set(headers, HeaderName::ContentLength, length.to_string());
}

/// A message as it goes onto the wire.
pub fn encode(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024 + message.body().len());
    message.write_to(&mut out);
    out
}

/// A response as it goes onto the wire.
pub fn encode_response(response: &Response) -> Vec<u8> {
    let mut out = Vec::with_capacity(768 + response.body().len());
    response.write_to(&mut out);
    out
}

/// A request as it goes onto the wire.
pub fn encode_request(request: &Request) -> Vec<u8> {
    let mut out = Vec::with_capacity(768 + request.body().len());
    request.write_to(&mut out);
    out
}

/// The reason phrase of a status (RFC 3261 §21 and friends).
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        183 => "Session Progress",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => match status / 100 {
            1 => "Session Progress",
            2 => "OK",
            3 => "Redirected",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}
