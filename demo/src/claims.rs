//! The claims themselves, kept in memory.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// Claims that exist from the start and are never forgotten, so that a load
/// test can ask for ids 1 to 100 at any time.
const SEEDED_CLAIMS: u64 = 100;

/// Beyond this, creating a claim forgets the oldest created one.
const MAX_CREATED_CLAIMS: usize = 1_000;

/// A list of fixed length keeps its cost from growing during a load test.
const LISTED_CLAIMS: usize = 20;

const MAX_TEXT_CHARS: usize = 200;
const MAX_AMOUNT_CENTS: u64 = 100_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Open,
    Approved,
    Paid,
    Rejected,
}

const STATUSES: [Status; 4] = [Status::Open, Status::Approved, Status::Paid, Status::Rejected];

#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    pub id: u64,
    pub policy: String,
    pub description: String,
    pub amount_cents: u64,
    pub status: Status,
}

/// The body of `POST /claims`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewClaim {
    policy: String,
    description: String,
    amount_cents: u64,
}

impl NewClaim {
    /// Reads and checks a JSON body; the error is one line for the client.
    pub fn from_json(body: &[u8]) -> Result<Self, String> {
        // Serde would also take an array of the three values for a claim.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err("invalid claim: the body must be a JSON object".to_owned());
        }
        let claim: Self = serde_json::from_slice(body).map_err(|error| format!("invalid claim: {error}"))?;
        check_text("policy", &claim.policy)?;
        check_text("description", &claim.description)?;
        if !(1..=MAX_AMOUNT_CENTS).contains(&claim.amount_cents) {
            return Err(format!("invalid claim: amount_cents must be 1 to {MAX_AMOUNT_CENTS}"));
        }
        Ok(claim)
    }
}

fn check_text(name: &str, value: &str) -> Result<(), String> {
    if value.trim().is_empty() {
        return Err(format!("invalid claim: {name} must not be empty"));
    }
    if value.chars().count() > MAX_TEXT_CHARS {
        return Err(format!("invalid claim: {name} must have at most {MAX_TEXT_CHARS} characters"));
    }
    Ok(())
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    pub count: u64,
    pub amount_cents: u64,
}

impl Totals {
    fn add(&mut self, claim: &Claim) {
        self.count += 1;
        self.amount_cents += claim.amount_cents;
    }
}

#[derive(Debug, Serialize)]
pub struct Dashboard {
    pub total: Totals,
    pub by_status: BTreeMap<Status, Totals>,
}

pub struct Claims {
    seeded: Vec<Claim>,
    created: VecDeque<Claim>,
    next_id: u64,
}

impl Claims {
    pub fn seeded() -> Self {
        Self {
            seeded: (1..=SEEDED_CLAIMS).map(seeded_claim).collect(),
            created: VecDeque::new(),
            next_id: SEEDED_CLAIMS + 1,
        }
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = &Claim> {
        self.seeded.iter().chain(&self.created)
    }

    /// The newest claims, newest first.
    pub fn newest(&self) -> Vec<&Claim> {
        self.all().rev().take(LISTED_CLAIMS).collect()
    }

    pub fn get(&self, id: u64) -> Option<&Claim> {
        self.all().find(|claim| claim.id == id)
    }

    pub fn create(&mut self, new: NewClaim) -> Claim {
        let claim = Claim {
            id: self.next_id,
            policy: new.policy,
            description: new.description,
            amount_cents: new.amount_cents,
            status: Status::Open,
        };
        self.next_id += 1;
        if self.created.len() == MAX_CREATED_CLAIMS {
            self.created.pop_front();
        }
        self.created.push_back(claim.clone());
        claim
    }

    pub fn dashboard(&self) -> Dashboard {
        let mut total = Totals::default();
        let mut by_status: BTreeMap<_, _> = STATUSES.map(|s| (s, Totals::default())).into();
        for claim in self.all() {
            total.add(claim);
            by_status.entry(claim.status).or_default().add(claim);
        }
        Dashboard { total, by_status }
    }
}

fn seeded_claim(id: u64) -> Claim {
    // The remainders only vary the data; they are the same in every run.
    let status = match id % 4 {
        0 => Status::Open,
        1 => Status::Approved,
        2 => Status::Paid,
        _ => Status::Rejected,
    };
    Claim {
        id,
        policy: format!("P-{:04}", 1000 + id % 37),
        description: "Water damage in the kitchen".to_owned(),
        amount_cents: 10_000 + id * 7_919 % 250_000,
        status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_claim() -> NewClaim {
        NewClaim::from_json(br#"{"policy":"P-1","description":"Hail","amount_cents":5}"#).expect("valid")
    }

    #[test]
    fn bad_bodies_are_one_line_that_names_the_problem() {
        for (body, expected) in [
            ("", "JSON object"),
            (r#"["P","d",1]"#, "JSON object"),
            ("{", "EOF"),
            (r#"{"policy":"P"}"#, "description"),
            (r#"{"policy":" ","description":"d","amount_cents":1}"#, "policy"),
            (r#"{"policy":"P","description":"d","amount_cents":0}"#, "amount_cents"),
            (r#"{"policy":"P","description":"d","amount_cents":-1}"#, "-1"),
            (r#"{"policy":"P","description":"d","amount_cents":1,"x":1}"#, "`x`"),
        ] {
            let message = NewClaim::from_json(body.as_bytes()).expect_err(body);
            assert!(message.contains(expected), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
        let long = format!(r#"{{"policy":"{}","description":"d","amount_cents":1}}"#, "p".repeat(MAX_TEXT_CHARS + 1));
        assert!(NewClaim::from_json(long.as_bytes()).is_err());
    }

    #[test]
    fn oldest_created_claims_are_forgotten_but_seeded_ones_stay() {
        let mut claims = Claims::seeded();
        let first_id = claims.create(new_claim()).id;
        for _ in 0..MAX_CREATED_CLAIMS {
            claims.create(new_claim());
        }
        assert!(claims.get(first_id).is_none());
        assert!(claims.get(first_id + 1).is_some());
        assert!(claims.get(1).is_some());
        assert_eq!(claims.created.len(), MAX_CREATED_CLAIMS);
        assert_eq!(claims.newest().len(), LISTED_CLAIMS);
    }

    #[test]
    fn dashboard_adds_up() {
        let mut claims = Claims::seeded();
        let before = claims.dashboard();
        claims.create(new_claim());
        let after = claims.dashboard();
        assert_eq!(after.total.count, SEEDED_CLAIMS + 1);
        assert_eq!(after.by_status[&Status::Open].amount_cents, before.by_status[&Status::Open].amount_cents + 5);
        let sum: u64 = after.by_status.values().map(|t| t.amount_cents).sum();
        assert_eq!(sum, after.total.amount_cents);
    }
}
