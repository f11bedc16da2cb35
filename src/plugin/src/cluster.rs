//! Access to the cluster: the kubeconfig, reading Sennight's objects, and writing a request's status.

use super::args::{ClusterArgs, DryRun, Form, WriteArgs};
use super::error::PluginError;
use super::output::Io;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use sennight_api::{BackupSchedule, BackupStorage, DatabaseServer, RestoreRequest};
use serde_json::{Value, json};

/// What kubectl calls a RestoreRequest.
pub const RESOURCE: &str = "restorerequest.sennight.dev";
/// How often a write is tried that conflicts with another one.
const TRIES: u32 = 5;

/// A client for one cluster and one user.
pub struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    /// Reads the kubeconfig. No request is made yet.
    pub async fn connect(args: &ClusterArgs) -> Result<Self, PluginError> {
        let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &args.kubeconfig {
            Some(file) => Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &options).await?,
            None => Config::from_kubeconfig(&options).await?,
        };
        if let Some(user) = &args.as_user {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups = (!args.as_groups.is_empty()).then(|| args.as_groups.clone());
        }
        // kube would send a write again after a lost answer; a person's decision must be sent once.
        config.default_retry = false;
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| PluginError::cluster("no connection", error))?;
        Ok(Self { client, namespace })
    }

    /// The namespace that names are looked up in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Calls `each` with every BackupSchedule of the namespace or of all, a page at a time: there may be 100,000.
    pub async fn schedules(
        &self,
        all: bool,
        selector: &str,
        mut each: impl FnMut(&BackupSchedule),
    ) -> Result<(), PluginError> {
        let api: Api<BackupSchedule> =
            if all { Api::all(self.client.clone()) } else { Api::namespaced(self.client.clone(), &self.namespace) };
        let mut parameters = ListParams::default().labels(selector).limit(500);
        loop {
            let page = api.list(&parameters).await;
            let page = page.map_err(|error| PluginError::cluster("BackupSchedules cannot be listed", error))?;
            page.items.iter().for_each(&mut each);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(()),
            }
        }
    }

    /// How many BackupSchedules there are in the namespace or in all, without reading them.
    pub async fn schedules_number(&self, all: bool) -> Result<i64, PluginError> {
        let api: Api<BackupSchedule> =
            if all { Api::all(self.client.clone()) } else { Api::namespaced(self.client.clone(), &self.namespace) };
        let one = api.list_metadata(&ListParams::default().limit(1)).await;
        let one = one.map_err(|error| PluginError::cluster("BackupSchedules cannot be listed", error))?;
        // The API server tells the rest only of lists without a selector; with one, every BackupSchedule is read
        // anyway.
        let rest = one.metadata.remaining_item_count.unwrap_or_default();
        Ok(i64::try_from(one.items.len()).unwrap_or(i64::MAX).saturating_add(rest))
    }

    /// Every BackupStorage of the namespace or of all, with what the operator counted; `None` if they may not be read.
    pub async fn storages(&self, all: bool) -> Option<Vec<BackupStorage>> {
        let api: Api<BackupStorage> =
            if all { Api::all(self.client.clone()) } else { Api::namespaced(self.client.clone(), &self.namespace) };
        Some(api.list(&ListParams::default()).await.ok()?.items)
    }

    /// A BackupSchedule by its name, or the one whose tenant has this id.
    pub async fn tenant(&self, name: &str) -> Result<BackupSchedule, PluginError> {
        let api: Api<BackupSchedule> = Api::namespaced(self.client.clone(), &self.namespace);
        // An id need not be a name that the API server would take.
        let named = api.get_opt(name).await.ok().flatten();
        if let Some(found) = named {
            return Ok(found);
        }
        let mut found = None;
        self.schedules(false, "", |schedule| {
            if schedule.spec.tenant.id == name {
                found = Some(schedule.clone());
            }
        })
        .await?;
        found.ok_or_else(|| self.not_found("BackupSchedule", name))
    }

    /// A DatabaseServer.
    pub async fn server(&self, name: &str) -> Result<DatabaseServer, PluginError> {
        let api: Api<DatabaseServer> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.get_opt(name).await;
        found
            .map_err(|error| PluginError::cluster(format!("DatabaseServer {name} cannot be read"), error))?
            .ok_or_else(|| self.not_found("DatabaseServer", name))
    }

    /// Asks for a drill by writing `spec.trigger.drill` of a schedule.
    pub async fn ask_drill(&self, schedule: &BackupSchedule, token: &str) -> Result<(), PluginError> {
        let api: Api<BackupSchedule> = Api::namespaced(self.client.clone(), &self.namespace);
        // With the UID: the API server refuses the patch if the schedule was deleted and created anew under its name.
        let patch = Patch::Merge(json!({"metadata": {"uid": schedule.uid()}, "spec": {"trigger": {"drill": token}}}));
        let name = schedule.name_any();
        let asked = api.patch(&name, &PatchParams::default(), &patch).await;
        asked.map(drop).map_err(|error| PluginError::cluster(format!("BackupSchedule {name} was not changed"), error))
    }

    /// A BackupStorage by its name, or the namespace's only one.
    pub async fn named_storage(&self, name: Option<&String>) -> Result<BackupStorage, PluginError> {
        let api: Api<BackupStorage> = Api::namespaced(self.client.clone(), &self.namespace);
        if let Some(name) = name {
            let found = api.get_opt(name).await;
            return found
                .map_err(|error| PluginError::cluster(format!("BackupStorage {name} cannot be read"), error))?
                .ok_or_else(|| self.not_found("BackupStorage", name));
        }
        // Two are enough to know that there is not only one.
        let found = api.list(&ListParams::default().limit(2)).await;
        let found = found.map_err(|error| PluginError::cluster("BackupStorages cannot be listed", error))?;
        match <[BackupStorage; 1]>::try_from(found.items) {
            Ok([only]) => Ok(only),
            Err(found) => {
                let number = if found.is_empty() { "no BackupStorage" } else { "more than one BackupStorage" };
                Err(PluginError::NotNow(format!("namespace {} has {number}: name it by --storage", self.namespace)))
            }
        }
    }

    /// Every RestoreRequest of the namespace or of all.
    pub async fn requests(&self, all: bool, selector: &str) -> Result<Vec<RestoreRequest>, PluginError> {
        let api: Api<RestoreRequest> =
            if all { Api::all(self.client.clone()) } else { Api::namespaced(self.client.clone(), &self.namespace) };
        let mut parameters = ListParams::default().labels(selector).limit(500);
        let mut found = Vec::new();
        loop {
            let page = api.list(&parameters).await;
            let page = page.map_err(|error| PluginError::cluster("RestoreRequests cannot be listed", error))?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(found),
            }
        }
    }

    /// One RestoreRequest.
    pub async fn request(&self, name: &str) -> Result<RestoreRequest, PluginError> {
        let found = self.api().get_opt(name).await;
        found
            .map_err(|error| PluginError::cluster(format!("RestoreRequest {name} cannot be read"), error))?
            .ok_or_else(|| self.not_found("RestoreRequest", name))
    }

    /// Its BackupSchedule; `None` if it is gone or may not be read, which must not keep anybody from deciding.
    pub async fn schedule(&self, request: &RestoreRequest) -> Option<BackupSchedule> {
        let namespace = request.namespace().unwrap_or_else(|| self.namespace.clone());
        let api: Api<BackupSchedule> = Api::namespaced(self.client.clone(), &namespace);
        api.get_opt(&request.spec.schedule_ref.name).await.ok().flatten()
    }

    /// The BackupStorage that a request's backups and exports lie in.
    pub async fn storage(&self, request: &RestoreRequest) -> Result<BackupStorage, PluginError> {
        let schedule = &request.spec.schedule_ref.name;
        let api: Api<BackupSchedule> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.get_opt(schedule).await;
        let found = found
            .map_err(|error| PluginError::cluster(format!("BackupSchedule {schedule} cannot be read"), error))?
            .ok_or_else(|| self.not_found("BackupSchedule", schedule))?;
        self.named_storage(Some(&found.spec.storage_ref.name)).await
    }

    /// The caller's own user name, for clusters before 1.36, where nothing stamps it. `None` if the API server does not say.
    pub async fn whoami(&self) -> Option<String> {
        // Not from the kubeconfig: what that calls a user need not be the name that the API server knows.
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok()?;
        review.status?.user_info?.username
    }

    /// Merges `status` into a request's status, or applies it as `manager`, and prints what was done. Only the object that was
    /// shown is changed, not one of the same name created since.
    pub async fn write(
        &self,
        request: &RestoreRequest,
        status: Value,
        manager: Option<&str>,
        done: &str,
        args: &WriteArgs,
        io: &mut Io<'_>,
    ) -> Result<(), PluginError> {
        let name = &request.name_any();
        let body = match manager {
            None => json!({"status": status}),
            Some(_) => json!({
                "apiVersion": "sennight.dev/v1alpha1", "kind": "RestoreRequest",
                "metadata": {"name": name, "namespace": self.namespace}, "status": status,
            }),
        };
        let suffix = match args.dry_run {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        };
        // No request at all, so that nothing is checked either.
        let written = if args.dry_run == DryRun::Client {
            body
        } else {
            let answer = self.send(request, body, manager, args.dry_run == DryRun::Server).await?;
            let answer =
                answer.map_err(|error| PluginError::cluster(format!("RestoreRequest {name} was not {done}"), error))?;
            serde_json::to_value(answer).map_err(|error| PluginError::Form(error.to_string()))?
        };
        match args.output {
            Form::Table => io.say(&format!("{RESOURCE}/{name} {done}{suffix}")),
            Form::Name => io.say(&format!("{RESOURCE}/{name}")),
            form => io.object(&written, form),
        }
    }

    /// Sends a status. The UID is compared here and the resourceVersion sent along, because the API server ignores a UID on
    /// the status subresource. A conflict changed nothing and is tried again: the operator writes to the same status.
    async fn send(
        &self,
        request: &RestoreRequest,
        mut body: Value,
        manager: Option<&str>,
        dry_run: bool,
    ) -> Result<kube::Result<RestoreRequest>, PluginError> {
        let name = request.name_any();
        let mut tries = 1;
        loop {
            let now = self.request(&name).await?;
            if now.uid() != request.uid() {
                let message =
                    format!("{name} was deleted and created anew meanwhile: nothing was written; look at it again");
                return Err(PluginError::NotNow(message));
            }
            body["metadata"]["resourceVersion"] = now.resource_version().into();
            let (parameters, patch) = match manager {
                None => (PatchParams { dry_run, ..PatchParams::default() }, Patch::Merge(&body)),
                Some(manager) => (PatchParams { dry_run, ..PatchParams::apply(manager) }, Patch::Apply(&body)),
            };
            match self.api().patch_status(&name, &parameters, &patch).await {
                // The operator wrote in between. Nothing of ours was stored, so that reading again and sending is safe.
                Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => tries += 1,
                answer => return Ok(answer),
            }
        }
    }

    fn api(&self) -> Api<RestoreRequest> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn not_found(&self, kind: &'static str, name: &str) -> PluginError {
        PluginError::NotFound { kind, namespace: self.namespace.clone(), name: name.to_owned() }
    }
}
