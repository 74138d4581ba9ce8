//! The endpoints of the service, for those who route requests and those who pace them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    ListClaims,
    GetClaim,
    CreateClaim,
    Dashboard,
    Health,
}

impl Endpoint {
    pub const ALL: [Self; 5] = [Self::ListClaims, Self::GetClaim, Self::CreateClaim, Self::Dashboard, Self::Health];

    /// The name as the load test reports it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListClaims => "GET /claims",
            Self::GetClaim => "GET /claims/[id]",
            Self::CreateClaim => "POST /claims",
            Self::Dashboard => "GET /dashboard",
            Self::Health => "GET /health",
        }
    }
}
