//! From custom resources to a worker's targets: addresses, paths in the pod, and the Secrets mounted there. The operator
//! only names a database's Secrets and never reads them.

use crate::cache::storage_clients;
use crate::worker_job::{Mount, Source};
use kube::ResourceExt;
use sennight_api as api;
use sennight_core::manifest::TenantIdentity;
use sennight_protocol::target::{DatabaseTarget, StorageTarget, TlsTarget};

const STORAGE_DIR: &str = "/secrets/storage";
const STORAGE_CA_DIR: &str = "/secrets/storage-ca";
const MANIFEST_KEYS_DIR: &str = "/secrets/manifest-keys";
const DATABASE_DIR: &str = "/secrets/database";
const RESTORE_DIR: &str = "/secrets/database-restore";
const HOOKS_DIR: &str = "/secrets/hooks";
const DATABASE_CA_DIR: &str = "/secrets/database-ca";
const CLIENT_CERT_DIR: &str = "/secrets/database-cert";
const CA_FILE: &str = "ca.crt";

/// The bucket of a BackupStorage as a worker's target, and its mounts.
pub fn storage(storage: &api::BackupStorage) -> (StorageTarget, Vec<Mount>) {
    let mut target = storage_clients::target(&storage.spec, storage_clients::capabilities(storage));
    let mut mounts = Vec::new();
    let credentials = storage.spec.worker_credentials_secret_ref.as_ref().or_else(|| {
        // Without an identity of their own pods share the operator's Secret, unless a service account stands for them.
        let ambient = storage.spec.worker_service_account_name.is_some();
        storage.spec.credentials_secret_ref.as_ref().filter(|_| !ambient)
    });
    if let Some(secret) = credentials {
        target.credentials_dir = Some(STORAGE_DIR.to_owned());
        mounts.push(Mount { source: Source::Secret(secret.name.clone()), path: STORAGE_DIR.to_owned() });
    }
    if let Some(ca) = &storage.spec.ca_bundle {
        target.ca_file = Some(format!("{STORAGE_CA_DIR}/{CA_FILE}"));
        mounts.push(one_file(&ca.name, &ca.key, STORAGE_CA_DIR));
    }
    if let (Some(keys), Some(target)) = (&storage.spec.manifest_keys, &mut target.manifest_keys) {
        target.dir = Some(MANIFEST_KEYS_DIR.to_owned());
        let source = Source::Secret(keys.secret_ref.name.clone());
        mounts.push(Mount { source, path: MANIFEST_KEYS_DIR.to_owned() });
    }
    (target, mounts)
}

/// A database of a server as a worker's target with the credentials of `secret`, and its mounts.
pub fn database(server: &api::DatabaseServer, name: &str, secret: &str) -> (DatabaseTarget, Vec<Mount>) {
    let spec = &server.spec;
    let mut mounts = vec![Mount { source: Source::Secret(secret.to_owned()), path: DATABASE_DIR.to_owned() }];
    let mut tls = TlsTarget { mode: spec.tls.mode.into(), ..TlsTarget::default() };
    if let Some(ca) = &spec.tls.ca_secret_ref {
        tls.ca_file = Some(format!("{DATABASE_CA_DIR}/{CA_FILE}"));
        mounts.push(one_file(&ca.name, &ca.key, DATABASE_CA_DIR));
    }
    if let Some(cert) = &spec.tls.client_cert_secret_ref {
        tls.client_cert_dir = Some(CLIENT_CERT_DIR.to_owned());
        mounts.push(Mount { source: Source::Secret(cert.name.clone()), path: CLIENT_CERT_DIR.to_owned() });
    }
    let target = DatabaseTarget {
        engine: spec.engine.into(),
        host: spec.host.clone(),
        port: spec.effective_port(),
        database: name.to_owned(),
        maintenance_database: spec.maintenance_database.clone(),
        tls,
        credentials_dir: DATABASE_DIR.to_owned(),
    };
    (target, mounts)
}

/// Other credentials for the server of [`database`], beside its own: the directory, and what is mounted there.
pub fn restore_credentials(secret: &str) -> (String, Mount) {
    let mount = Mount { source: Source::Secret(secret.to_owned()), path: RESTORE_DIR.to_owned() };
    (RESTORE_DIR.to_owned(), mount)
}

/// The platform team's hooks as a pod has them.
pub fn hooks(server: &api::DatabaseServer) -> Option<Mount> {
    let hooks = server.spec.restore_hooks.as_ref()?;
    let source = match (&hooks.config_map_ref, &hooks.secret_ref) {
        (Some(map), _) => Source::ConfigMap(map.name.clone()),
        (None, Some(secret)) => Source::Secret(secret.name.clone()),
        (None, None) => return None,
    };
    Some(Mount { source, path: HOOKS_DIR.to_owned() })
}

/// What a backup of this schedule must say of itself.
pub fn identity(schedule: &api::BackupSchedule, server: &api::DatabaseServer) -> TenantIdentity {
    TenantIdentity {
        namespace: schedule.namespace().unwrap_or_default(),
        schedule: schedule.name_any(),
        schedule_uid: schedule.uid().unwrap_or_default(),
        tenant: schedule.spec.tenant.id.clone(),
        engine: server.spec.engine.into(),
        database: schedule.spec.database.name.clone(),
    }
}

fn one_file(secret: &str, key: &str, dir: &str) -> Mount {
    let source = Source::SecretKey { name: secret.to_owned(), key: key.to_owned(), file: CA_FILE.to_owned() };
    Mount { source, path: dir.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(extra: &serde_json::Value) -> api::BackupStorage {
        let mut spec = json!({"bucket": "b"});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "sennight.dev/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "s"}, "spec": spec
        }))
        .unwrap()
    }

    #[test]
    fn i9_keys_of_manifests_reach_a_pod_as_files_and_its_arguments_name_only_where() {
        let keys = json!({"manifestKeys": {"secretRef": {"name": "keys"}, "current": "k1"}});
        let (target, mounts) = storage(&spec(&keys));
        let wanted = target.manifest_keys.unwrap();
        assert_eq!((wanted.dir.as_deref(), wanted.current.as_str()), (Some(MANIFEST_KEYS_DIR), "k1"));
        assert!(wanted.required, "unsigned backups are refused unless somebody allows them");
        let mount = Mount { source: Source::Secret("keys".to_owned()), path: MANIFEST_KEYS_DIR.to_owned() };
        assert!(mounts.contains(&mount), "{mounts:?}");
        let (target, mounts) = storage(&spec(&json!({})));
        assert_eq!((target.manifest_keys, mounts.len()), (None, 0));
    }
}
