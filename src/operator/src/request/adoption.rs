//! Whether a Job that has the name of one of ours is the Job that we would create: same owner, same task, same bucket.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use kube::ResourceExt;
use sennight_protocol::task::{Task, TaskParseError};

/// In what a Job with the right name differs from `wanted`; `None`: it is the same task.
pub fn difference(owner_uid: &str, wanted: &Job, there: &Job) -> Option<String> {
    let owned = there.owner_references().iter().any(|o| o.uid == owner_uid && o.controller == Some(true));
    // guard(i2_a_job_under_our_name_is_adopted_only_with_our_owner_and_our_order, never): a Job with our name is adopted only with our owner
    if !owned {
        return Some("its owner is not this request".to_owned());
    }
    if there.metadata.deletion_timestamp.is_some() {
        return Some("it is being deleted".to_owned());
    }
    let (Some(ours), Some(theirs)) = (&wanted.spec, &there.spec) else { return Some("it has no spec".to_owned()) };
    let restart = theirs.template.spec.as_ref().and_then(|pod| pod.restart_policy.as_deref());
    if theirs.backoff_limit != Some(0) || restart != Some("Never") {
        return Some("it would start its pod again by itself".to_owned());
    }
    match (task_of(ours), task_of(theirs)) {
        (Ok((work, storage)), Ok((other, place))) => {
            if (&storage.bucket, &storage.prefix, &storage.endpoint) != (&place.bucket, &place.prefix, &place.endpoint)
            {
                return Some("it works in another bucket".to_owned());
            }
            // guard(i2_a_job_under_our_name_is_adopted_only_with_our_owner_and_our_order, none): a Job with our name is adopted only with our task
            work.difference(&other).map(str::to_owned)
        }
        (_, Err(error)) | (Err(error), _) => Some(format!("it cannot be told what it does: {error}")),
    }
}

/// The task and bucket in the arguments of a Job's only container.
fn task_of(spec: &JobSpec) -> Result<(Task, sennight_protocol::target::StorageTarget), TaskParseError> {
    let containers = spec.template.spec.as_ref().map(|pod| pod.containers.as_slice()).unwrap_or_default();
    let args = match containers {
        [only] => only.args.as_deref().unwrap_or_default(),
        _ => &[],
    };
    Task::from_argv(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn job(change: impl Fn(&mut Value)) -> Job {
        let task = json!({
            "name": "r", "requestUid": "u", "namespace": "n", "newDatabase": "new", "previousDatabase": "old", "liveNumber": 1, "newNumber": 2,
            "database": {"engine": "PostgreSQL", "host": "h", "port": 5432, "database": "d", "credentialsDir": "/c"}
        });
        let args =
            json!(["cutover", "--storage", r#"{"bucket":"b","credentialsDir":"/s3"}"#, "--task", task.to_string()]);
        let owner = json!({"apiVersion": "a", "kind": "RestoreRequest", "name": "r", "uid": "u", "controller": true});
        let mut job = json!({
            "metadata": {"name": "j", "ownerReferences": [owner]},
            "spec": {"backoffLimit": 0, "template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "worker", "args": args}]
            }}}
        });
        change(&mut job);
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn i2_a_job_under_our_name_is_adopted_only_with_our_owner_and_our_order() {
        let ours = job(|_| ());
        assert_eq!(difference("u", &ours, &job(|_| ())), None);
        let pod = "/spec/template/spec";
        let cases: Vec<(&str, Job)> = vec![
            ("owner", job(|j| j["metadata"]["ownerReferences"][0]["uid"] = json!("v"))),
            ("owner", job(|j| j["metadata"]["ownerReferences"][0]["controller"] = json!(false))),
            ("deleted", job(|j| j["metadata"]["deletionTimestamp"] = json!("2026-11-22T00:00:00Z"))),
            ("again by itself", job(|j| j["spec"]["backoffLimit"] = json!(6))),
            ("again by itself", job(|j| j.pointer_mut(pod).unwrap()["restartPolicy"] = json!("OnFailure"))),
            (
                "another step",
                job(|j| {
                    let args = j.pointer_mut(&format!("{pod}/containers/0/args")).unwrap();
                    args[0] = json!("verify");
                    args[4] = json!(r#"{"name":"v","backup":{"prefix":"p/","id":"20261122T021000Z-1a2b3c4d"}}"#);
                }),
            ),
            (
                "another bucket",
                job(|j| {
                    let args = j.pointer_mut(&format!("{pod}/containers/0/args")).unwrap();
                    args[2] = json!(r#"{"bucket":"c","credentialsDir":"/s3"}"#);
                }),
            ),
            (
                "cannot be told",
                job(|j| {
                    let containers = j.pointer_mut(&format!("{pod}/containers")).unwrap();
                    let second = containers[0].clone();
                    containers.as_array_mut().unwrap().push(second);
                }),
            ),
        ];
        for (words, there) in cases {
            let found = difference("u", &ours, &there).unwrap_or_default();
            assert!(found.contains(words), "{words}: {found:?}");
        }
    }
}
