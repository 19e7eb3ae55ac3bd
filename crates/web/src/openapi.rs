//! The API's description, `/api/v1/openapi.json`: written by hand in `openapi.json` beside this file. The tests below keep
//! it and the routes the same.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /api/v1/openapi.json`
pub(crate) async fn get() -> Response {
    let content_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, content_type)], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use axum::Router;
    use axum::body::Body;
    use axum::http::{Method, Request};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::error::Kind;

    type Methods = BTreeMap<String, BTreeSet<String>>;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    fn described() -> Methods {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let methods = |path: &Value| {
            let keys = path.as_object().unwrap().keys();
            keys.filter(|key| *key != "parameters").cloned().collect()
        };
        paths
            .iter()
            .map(|(path, item)| (path.clone(), methods(item)))
            .collect()
    }

    /// The methods of each route, as the router itself tells them to one who asks with another.
    async fn routed() -> Methods {
        let mut all = Methods::new();
        for (path, methods) in crate::routes() {
            let state = crate::tests::state();
            let router = Router::new().route("/x", methods).with_state(state);
            let request = Request::builder().method(Method::TRACE).uri("/x");
            let request = request.body(Body::empty()).unwrap();
            let response = router.oneshot(request).await.unwrap();
            let allow = response.headers()[header::ALLOW].to_str().unwrap();
            let allow = allow.to_ascii_lowercase();
            let methods = allow.split(',').map(str::to_owned).collect();
            all.insert(path.replace("{*", "{"), methods);
        }
        all
    }

    /// The pages are for people: what follows here is the API and what watches it.
    fn is_api(path: &str) -> bool {
        path.starts_with("/api/") || path.ends_with('z')
    }

    #[tokio::test]
    async fn every_route_is_described_and_the_other_way_round() {
        let mut routed = routed().await;
        routed.retain(|path, _| is_api(path));
        // `HEAD` comes with each `GET`; it is described where it is of use. A closing `/` changes nothing.
        let described = described();
        routed.remove("/api/v1/folders/");
        routed.remove("/api/v1/zip/");
        for (path, methods) in &mut routed {
            if !described
                .get(path)
                .is_some_and(|described| described.contains("head"))
            {
                methods.remove("head");
            }
        }
        assert_eq!(routed, described);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn check(value: &Value, document: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    fields.values().for_each(|value| check(value, document));
                }
                Value::Array(values) => values.iter().for_each(|value| check(value, document)),
                _ => {}
            }
        }
        let document = document();
        check(&document, &document);
    }

    #[test]
    fn every_error_is_described() {
        let document = document();
        let codes = document.pointer("/components/schemas/Problem/properties/code/enum");
        let codes: BTreeSet<&str> = codes
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|code| code.as_str().unwrap())
            .collect();
        assert_eq!(codes, Kind::ALL.iter().map(|kind| kind.code()).collect());
    }
}
