use super::*;

pub(super) const PARAMETERS: Parameters = Parameters {
    timing: Timing {
        probe_period_ms: 250,
        probe_rtt_ms: 80,
        suspicion_ms: 1_000,
    },
    grace_ms: 10_000,
    members_max: 20,
};

/// The node with this number.
pub(super) fn address(number: u8) -> Address {
    format!("10.10.0.{number}:8090")
        .parse()
        .expect("an address")
}
