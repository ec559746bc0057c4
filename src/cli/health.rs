//! `causet health`: does the replica in this container live? For Docker's HEALTHCHECK.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use causet::config::{Given, SettingsError};
use causet::core::id::Address;

use super::settings::Text;
use super::{FAILED, fail, probe};

/// The port inside a container.
const DEFAULT_PORT: u16 = 8090;

/// A replica that takes longer to say that it lives does not.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// Port to ask at 127.0.0.1 [default: that of the address, else 8090]
    #[arg(long, env = "CAUSET_HEALTH_PORT", hide_env_values = true, value_parser = Text("port", "CAUSET_HEALTH_PORT"))]
    port: Option<Given>,
    /// Address of the replica, of which the port is used
    #[arg(long, env = "SOCKET_ADDRESS", hide_env_values = true, value_name = "IP:PORT", value_parser = Text("socket-address", "SOCKET_ADDRESS"))]
    socket_address: Option<Given>,
    /// IP address it listens on, asked instead of 127.0.0.1 unless it stands for all interfaces
    #[arg(long, env = "CAUSET_LISTEN", hide_env_values = true, value_name = "IP", value_parser = Text("listen", "CAUSET_LISTEN"))]
    listen: Option<Given>,
}

impl HealthArgs {
    fn target(&self) -> Result<SocketAddr, SettingsError> {
        let ip = self.listen.as_ref().map(Given::ip).transpose()?;
        let ip = ip
            .filter(|ip| !ip.is_unspecified())
            .unwrap_or(Ipv4Addr::LOCALHOST.into());
        Ok(SocketAddr::new(ip, self.port()?))
    }

    fn port(&self) -> Result<u16, SettingsError> {
        if let Some(port) = &self.port {
            return port.port();
        }
        let address = self
            .socket_address
            .as_ref()
            .map(|given| given.address(&given.text));
        Ok(address.transpose()?.map_or(DEFAULT_PORT, Address::port))
    }
}

/// 0 when the replica answers that it lives, else 1 (2 is reserved by Docker) and why on standard error.
pub(super) fn run(args: &HealthArgs) -> ExitCode {
    let target = match args.target() {
        Ok(target) => target,
        Err(error) => return fail(FAILED, &error),
    };
    match actix_rt::System::new().block_on(check(target)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(FAILED, &format_args!("{target} is not healthy: {reason}")),
    }
}

async fn check(target: SocketAddr) -> Result<(), String> {
    let asked = tokio::time::timeout(ANSWER_WITHIN, probe::get(target, "/health")).await;
    match asked {
        Err(_) => Err(format!("no answer within {ANSWER_WITHIN:?}")),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(answer)) if answer.status == 200 => Ok(()),
        Ok(Ok(answer)) => Err(format!("GET /health answered {}", answer.status)),
    }
}
