//! The five CustomResourceDefinitions as the API server gets them.

use super::{BackupSchedule, BackupStorage, DatabaseServer, ExportProfile, RestoreRequest};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// All CustomResourceDefinitions.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        BackupSchedule::crd(),
        BackupStorage::crd(),
        DatabaseServer::crd(),
        ExportProfile::crd(),
        RestoreRequest::crd(),
    ]
}
