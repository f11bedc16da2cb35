//! What makes a DatabaseServer's spec unusable although the API server took it. Pure.

use crate::error::ServerFault;
use sennight_api::DatabaseServerSpec;
use sennight_api::common::TlsMode;

/// Gives the first fault of a spec.
pub fn check(spec: &DatabaseServerSpec) -> Result<(), ServerFault> {
    if spec.tls.mode == TlsMode::Disable {
        if spec.tls.ca_secret_ref.is_some() {
            return Err(ServerFault::TlsDisabled("caSecretRef"));
        }
        if spec.tls.client_cert_secret_ref.is_some() {
            return Err(ServerFault::TlsDisabled("clientCertSecretRef"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_spec_that_can_never_work_is_refused_with_the_way_out() {
        let spec = |engine: &str, tls: serde_json::Value| {
            serde_json::from_value::<DatabaseServerSpec>(json!({
                "engine": engine, "host": "db", "tls": tls, "dumpCredentialsSecretRef": {"name": "dump"}
            }))
            .unwrap()
        };
        assert_eq!(check(&spec("PostgreSQL", json!({}))), Ok(()));
        assert_eq!(check(&spec("PostgreSQL", json!({"mode": "Disable"}))), Ok(()));
        assert_eq!(check(&spec("MariaDB", json!({}))), Ok(()));
        let fault = check(&spec("PostgreSQL", json!({"mode": "Disable", "caSecretRef": {"name": "ca"}}))).unwrap_err();
        assert_eq!(fault.reason(), "TlsDisabled");
        assert!(fault.to_string().contains("caSecretRef"), "{fault}");
    }
}
