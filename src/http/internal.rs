//! Between replicas: one message in, one out, undecoded by this layer.

use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::answer::Problem;
use super::gateway::{Gateway, PeerProblem};
use crate::transport::Call;

/// The call of this name.
pub(super) fn call_named(name: &str) -> Option<Call> {
    Call::ALL.into_iter().find(|call| call.name() == name)
}

pub(super) async fn answer(
    call: Call,
    request: &HttpRequest,
    body: Bytes,
    gateway: &Gateway,
) -> Result<HttpResponse, Problem> {
    match gateway.peer_call(call, &body).await {
        Ok(answer) => Ok(HttpResponse::Ok().body(answer)),
        Err(PeerProblem::NotUnderstood(error)) => {
            let peer = request.peer_addr().map(|address| address.ip());
            gateway.log_malformed(call, peer, &error);
            let detail = error.to_string();
            Err(Problem::BadPeerMessage { detail })
        }
        Err(PeerProblem::Overloaded) => Err(Problem::OVERLOADED),
        Err(PeerProblem::Gone) => Err(Problem::Gone),
    }
}
