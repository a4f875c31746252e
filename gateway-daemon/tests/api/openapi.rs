//! Holds answers against the OpenAPI document: the part of JSON Schema that the document uses, and not a word more. A word
//! that is not understood is an error, so that nothing is promised that nobody checks.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: String,
    /// With its query.
    pub path: String,
    pub status: u16,
    pub kind: String,
    pub body: String,
}

pub struct Document(pub Value);

impl Document {
    /// `GET /v1/pins` of all operations.
    pub fn operations(&self) -> Vec<(String, String, &Value)> {
        let paths = self.0["paths"].as_object().expect("paths");
        let of_path = |(path, methods): (&String, &'static str)| (methods.to_owned(), path.clone());
        let mut all = Vec::new();
        for (path, item) in paths {
            for method in ["get", "post", "put", "delete", "patch"] {
                if let Some(operation) = item.get(method) {
                    let (method, path) = of_path((path, method));
                    all.push((method.to_uppercase(), path, operation));
                }
            }
            let known = ["get", "post", "delete"];
            let all_known = item.as_object().expect("an item").keys();
            assert!(all_known.clone().all(|key| known.contains(&key.as_str())), "{path}: {item}");
        }
        all
    }

    /// Every operation with every status it may have.
    pub fn promises(&self) -> BTreeSet<(String, u16)> {
        let operations = self.operations();
        let statuses = operations.iter().flat_map(|(_, _, operation)| {
            let name = operation["operationId"].as_str().expect("a name").to_owned();
            let statuses = operation["responses"].as_object().expect("answers").keys();
            statuses.map(move |status| (name.clone(), status.parse().expect("a status")))
        });
        statuses.collect()
    }

    /// A body that an operation takes: what must be in it, by the names of its fields.
    pub fn body_for(&self, operation: &Value) -> Option<Value> {
        let wanted = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let name = wanted.as_str()?.strip_prefix("#/components/schemas/")?;
        let schema = &self.0["components"]["schemas"][name];
        let fields = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let body: Map<String, Value> = fields
            .map(|field| {
                let value = match field {
                    "muted" => Value::Bool(true),
                    "pin" => Value::String("482917365".to_owned()),
                    _ => Value::String("tea".to_owned()),
                };
                (field.to_owned(), value)
            })
            .collect();
        let body = Value::Object(body);
        self.holds(schema, &body, name).expect("a body as the document wants it");
        Some(body)
    }

    /// Name and status of an exchange that the document knows; or what it does not know.
    pub fn judge(&self, exchange: &Exchange) -> Result<(String, u16), String> {
        let path = exchange.path.split('?').next().unwrap_or_default();
        let operations = self.operations();
        let (_, _, operation) = operations
            .iter()
            .find(|(method, template, _)| *method == exchange.method && fits(template, path))
            .ok_or_else(|| format!("no operation for {} {path}", exchange.method))?;
        let name = operation["operationId"].as_str().expect("a name").to_owned();
        let answer = &operation["responses"][exchange.status.to_string()];
        if answer.is_null() {
            return Err(format!("{name} does not know {}: {}", exchange.status, exchange.body));
        }
        let kind = exchange.kind.split(';').next().unwrap_or_default();
        let Some(content) = answer.get("content") else {
            return match exchange.body.is_empty() {
                true => Ok((name, exchange.status)),
                false => Err(format!("{name} {}: a body: {}", exchange.status, exchange.body)),
            };
        };
        let schema = &content[kind]["schema"];
        if schema.is_null() {
            return Err(format!("{name} {}: no {kind:?}", exchange.status));
        }
        let value = match kind.ends_with("json") {
            true => serde_json::from_str(&exchange.body).map_err(|error| error.to_string())?,
            false => Value::String(exchange.body.clone()),
        };
        self.holds(schema, &value, &name)?;
        Ok((name, exchange.status))
    }

    /// Whether a value is what a schema says.
    pub fn holds(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let words = schema.as_object().ok_or(format!("{at}: no schema"))?;
        for (word, said) in words {
            self.word(words, word, said, value).map_err(|what| match what.contains(": ") {
                true => format!("{at}.{what}"),
                false => format!("{at}: {what}, but {value}"),
            })?;
        }
        Ok(())
    }

    fn word(
        &self,
        words: &Map<String, Value>,
        word: &str,
        said: &Value,
        value: &Value,
    ) -> Result<(), String> {
        let length = value.as_str().map(|text| text.chars().count() as f64);
        let bound = said.as_f64().unwrap_or(f64::NAN);
        let good = match word {
            "description" | "default" => true,
            "$ref" => {
                let name = said.as_str().and_then(|it| it.strip_prefix("#/components/schemas/"));
                let schema = &self.0["components"]["schemas"][name.ok_or("a strange reference")?];
                return self.holds(schema, value, name.unwrap_or_default());
            }
            "type" => match said {
                Value::Array(names) => names.iter().any(|name| is_a(name, value)),
                name => is_a(name, value),
            },
            "enum" => said.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => value.as_f64().is_none_or(|it| it >= bound),
            "maximum" => value.as_f64().is_none_or(|it| it <= bound),
            "minLength" => length.is_none_or(|it| it >= bound),
            "maxLength" => length.is_none_or(|it| it <= bound),
            "format" => value.as_str().is_none_or(|it| it.len() == 24 && it.ends_with('Z')),
            "pattern" => value.as_str().is_none_or(|text| matches(said, text)),
            "items" => {
                let mut each = value.as_array().into_iter().flatten();
                return each.try_for_each(|value| self.holds(said, value, "items"));
            }
            "required" => {
                let names = said.as_array().into_iter().flatten().filter_map(Value::as_str);
                let missing = names.clone().find(|name| value.get(name).is_none());
                return missing.map_or(Ok(()), |name| Err(format!("{name}: is missing")));
            }
            "properties" => {
                let fields = value.as_object().into_iter().flatten();
                let known = fields.filter_map(|(name, value)| Some((name, said.get(name)?, value)));
                let mut each = known.map(|(name, said, value)| self.holds(said, value, name));
                return each.find(Result::is_err).unwrap_or(Ok(()));
            }
            "additionalProperties" => {
                let mut names = value.as_object().into_iter().flat_map(Map::keys);
                let more = names.find(|name| words["properties"].get(name.as_str()).is_none());
                assert_eq!(*said, Value::Bool(false), "only that is understood");
                return more.map_or(Ok(()), |name| Err(format!("{name}: is not in the document")));
            }
            other => return Err(format!("{other}: is a word that nobody checks")),
        };
        if good { Ok(()) } else { Err(format!("{word} {said}")) }
    }
}

fn is_a(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        other => panic!("no type {other}"),
    }
}

/// The two patterns there are.
fn matches(pattern: &Value, text: &str) -> bool {
    match pattern.as_str().unwrap_or_default() {
        "^[0-9]{6,12}$" => {
            (6..=12).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit())
        }
        "^urn:weebee:problem:[a-z-]+$" => {
            let name = text.strip_prefix("urn:weebee:problem:").unwrap_or_default();
            !name.is_empty() && name.bytes().all(|it| it.is_ascii_lowercase() || it == b'-')
        }
        other => panic!("no pattern {other}"),
    }
}

/// `/v1/pins/{id}` and `/v1/pins/x`.
fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(text)) if part == text || part.starts_with('{') => {}
            _ => return false,
        }
    }
}

#[test]
fn a_wrong_answer_is_seen() {
    let document = Document(
        serde_json::from_str(include_str!("../../src/api/openapi.json")).expect("a document"),
    );
    let exchange = |body: &str| Exchange {
        method: "POST".to_owned(),
        path: "/v1/calls/c1-1/mute".to_owned(),
        status: 200,
        kind: "application/json".to_owned(),
        body: body.to_owned(),
    };
    let good = exchange(r#"{"id":"c1-1","muted":true}"#);
    assert_eq!(document.judge(&good), Ok(("muteCall".to_owned(), 200)));
    for bad in ["{}", "[]", r#"{"id":1,"muted":true}"#, r#"{"id":"c","muted":true,"more":1}"#] {
        assert!(document.judge(&exchange(bad)).is_err(), "{bad}");
    }
    for bad in [
        Exchange { status: 202, ..good.clone() },
        Exchange { kind: "text/html".to_owned(), ..good.clone() },
        Exchange { method: "PUT".to_owned(), ..good.clone() },
        Exchange { path: "/v1/calls/mute".to_owned(), ..good },
    ] {
        assert!(document.judge(&bad).is_err(), "{bad:?}");
    }
}
