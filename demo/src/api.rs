//! Which request goes where, and what it is answered.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::claims::{Claims, NewClaim};
use crate::endpoint::Endpoint;
use crate::http::{Request, Response};
use crate::pace::{Fate, Pace, Turn};
use crate::stalls::Stalls;

#[derive(Debug, PartialEq)]
enum Route<'a> {
    /// The text is the id, for `GetClaim` only.
    Found(Endpoint, &'a str),
    UnknownPath,
    WrongMethod,
}

fn route<'a>(method: &str, path: &'a str) -> Route<'a> {
    let id = path.strip_prefix("/claims/").unwrap_or_default();
    match (method, path) {
        ("GET", "/claims") => Route::Found(Endpoint::ListClaims, ""),
        ("POST", "/claims") => Route::Found(Endpoint::CreateClaim, ""),
        ("GET", "/dashboard") => Route::Found(Endpoint::Dashboard, ""),
        ("GET", "/health") => Route::Found(Endpoint::Health, ""),
        (_, "/claims" | "/dashboard" | "/health") => Route::WrongMethod,
        _ if id.is_empty() || id.contains('/') => Route::UnknownPath,
        ("GET", _) => Route::Found(Endpoint::GetClaim, id),
        _ => Route::WrongMethod,
    }
}

pub struct Service {
    claims: Mutex<Claims>,
    pace: Pace,
    stalls: Stalls,
}

impl Service {
    pub fn new(pace: Pace, stalls: Stalls) -> Self {
        Self { claims: Mutex::new(Claims::seeded()), pace, stalls }
    }

    /// The response to a request, and when to send it. A request that is never
    /// to be answered has none, and changes nothing.
    pub fn answer(&self, request: &Request, received: Instant) -> Option<(Response, Instant)> {
        let route = route(&request.method, &request.path);
        let (endpoint, turn) = match route {
            Route::Found(endpoint, _) => (Some(endpoint), self.pace.next_turn(endpoint)),
            Route::UnknownPath | Route::WrongMethod => (None, Turn { delay: Duration::ZERO, fate: Fate::Served }),
        };
        let departure = self.stalls.departure(endpoint, received, turn.delay)?;
        let response = match route {
            Route::Found(..) if turn.fate == Fate::Lost => return None,
            Route::Found(..) if turn.fate == Fate::Failing => {
                Response::error(500, "failing on purpose (DEMO_ERROR_PCT)")
            }
            Route::Found(endpoint, id) => self.respond(endpoint, id, &request.body),
            Route::UnknownPath => Response::error(404, "no such path"),
            Route::WrongMethod => Response::error(405, "wrong method"),
        };
        Some((response, departure))
    }

    fn respond(&self, endpoint: Endpoint, id: &str, body: &[u8]) -> Response {
        // A panic elsewhere leaves the claims usable, so poisoning is ignored.
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        match endpoint {
            Endpoint::ListClaims => json(200, &claims.newest()),
            Endpoint::GetClaim => match id.parse().ok().and_then(|id| claims.get(id)) {
                Some(claim) => json(200, claim),
                None => Response::error(404, &format!("no claim with id {id}")),
            },
            Endpoint::CreateClaim => match NewClaim::from_json(body) {
                Ok(new) => json(201, &claims.create(new)),
                Err(message) => Response::error(400, &message),
            },
            Endpoint::Dashboard => json(200, &claims.dashboard()),
            Endpoint::Health => json(200, &serde_json::json!({ "status": "ok" })),
        }
    }
}

fn json(status: u16, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(body) => Response { status, body },
        Err(error) => Response::error(500, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(service: &Service, method: &str, path: &str, body: &str) -> Option<u16> {
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            body: body.as_bytes().to_vec(),
            keep_alive: true,
        };
        Some(service.answer(&request, Instant::now())?.0.status)
    }

    fn service(variable: &str, value: &str) -> Service {
        let lookup = |name: &str| (name == variable).then(|| value.into());
        Service::new(Pace::from_lookup(lookup).expect("valid"), Stalls::from_lookup(lookup).expect("valid"))
    }

    #[test]
    fn paths_lead_to_endpoints() {
        let found = |endpoint| Route::Found(endpoint, "");
        assert_eq!(route("GET", "/claims"), found(Endpoint::ListClaims));
        assert_eq!(route("POST", "/claims"), found(Endpoint::CreateClaim));
        assert_eq!(route("GET", "/dashboard"), found(Endpoint::Dashboard));
        assert_eq!(route("GET", "/health"), found(Endpoint::Health));
        assert_eq!(route("GET", "/claims/7"), Route::Found(Endpoint::GetClaim, "7"));
        for path in ["/", "/claims/", "/claims/7/x", "/claimsx", "*"] {
            assert_eq!(route("GET", path), Route::UnknownPath, "{path}");
        }
        for (method, path) in [("PUT", "/claims"), ("POST", "/claims/7"), ("HEAD", "/health")] {
            assert_eq!(route(method, path), Route::WrongMethod, "{path}");
        }
    }

    #[test]
    fn answers_have_the_promised_status() {
        let service = service("DEMO_ERROR_PCT", "0");
        let body = r#"{"policy":"P-1","description":"Hail","amount_cents":5}"#;
        assert_eq!(status(&service, "GET", "/claims", ""), Some(200));
        assert_eq!(status(&service, "GET", "/claims/1", ""), Some(200));
        assert_eq!(status(&service, "GET", "/claims/101", ""), Some(404));
        assert_eq!(status(&service, "GET", "/claims/one", ""), Some(404));
        assert_eq!(status(&service, "POST", "/claims", body), Some(201));
        assert_eq!(status(&service, "GET", "/claims/101", ""), Some(200));
        assert_eq!(status(&service, "POST", "/claims", "{"), Some(400));
        assert_eq!(status(&service, "GET", "/dashboard", ""), Some(200));
    }

    #[test]
    fn health_never_fails() {
        let service = service("DEMO_ERROR_PCT", "100");
        assert_eq!(status(&service, "GET", "/claims", ""), Some(500));
        assert_eq!(status(&service, "GET", "/health", ""), Some(200));
    }

    #[test]
    fn what_is_never_answered_changes_nothing() {
        let body = r#"{"policy":"P-1","description":"Hail","amount_cents":5}"#;
        for (variable, value) in [("DEMO_HANG_AFTER_S", "0"), ("DEMO_LOST_PCT", "100")] {
            let service = service(variable, value);
            for (method, path) in [("POST", "/claims"), ("GET", "/claims"), ("GET", "/claims/1"), ("GET", "/dashboard")]
            {
                assert_eq!(status(&service, method, path, body), None, "{variable}, {path}");
            }
            assert_eq!(status(&service, "GET", "/health", ""), Some(200), "{variable}");
            assert_eq!(service.respond(Endpoint::GetClaim, "101", b"").status, 404, "{variable}");
        }
    }
}
