#!/usr/bin/env bash
# guards.sh [lib|servers|api|all|texts]: takes each guard away in a copy of the source, one at a time, and runs the test that docs/guards.md names for it: it
# must fail. lib (the default) needs no server; servers and api run inside with.sh of that tier. SENNIGHT_CASES takes some of them.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/../cluster/lib.sh"
cd "$REPO"

target=${CARGO_TARGET_DIR:-$REPO/target}
backup=$target/guards
# A target directory of its own: in ours cargo would take the backup's library, without its guard, for this tree's.
built=$backup/target
tiers=()
names=() files=() froms=() tos=() tests=()

# guard TIER NAME FILE TEXT WITHOUT TEST: TEXT stands once in FILE; WITHOUT is what it is without the guard.
guard() {
  tiers+=("$1") names+=("$2") files+=("$3") froms+=("$4") tos+=("$5") tests+=("$6")
}

# What may run at all: the locks.
locks=i1_each_closed_lock_refuses_by_itself
gate=src/core/src/gate/rules.rs
guard lib "eligible" $gate '(!k.eligible).then_some(RunRefusal::NotEligible)' '{ let _ = k; None }' $locks
guard lib "the backup is held" $gate '(!k.held).then_some(RunRefusal::NotHeld)' '{ let _ = k; None }' $locks
guard lib "a denial is final" $gate 'Approval::Denied { by, why } => Some(RunRefusal::Denied { by: by.clone(), why: why.clone() }),' 'Approval::Denied { .. } => None,' $locks
guard lib "an approval that nobody stamped" $gate 'Approval::Approved { by } if !by.is_empty() => None,' 'Approval::Approved { .. } => None,' $locks
guard lib "a payment that nobody stamped" $gate 'Payment::Paid { by } if !by.is_empty() => None,' 'Payment::Paid { .. } => None,' $locks
guard lib "the approver is not the payer" $gate 'if a == p => {' 'if a == p && a.is_empty() => {' $locks
guard lib "four eyes" $gate '(applies && same).then' '(applies && same && by.is_empty()).then' $locks
guard lib "the policies are whole" $gate 'k.policies.as_ref().err().map' 'k.policies.as_ref().err().filter(|_| false).map' $locks
guard lib "another tenant's backup" src/core/src/gate.rs 'let difference = e.schedule?.identity.first_difference(found)?;' 'let difference = e.schedule?.identity.first_difference(found).filter(|_| false)?;' i7_another_tenants_backup_is_refused_by_each_identity_field

guard lib "one payment is one request" $gate '    paid_once,' '' $locks
guard lib "a reference that was spent" $gate 'other.spent || (other.created, other.name.as_str())' '(other.created, other.name.as_str())' i2_a_payment_reference_belongs_to_whoever_spent_it_else_to_the_first
guard lib "people are reminded once" src/core/src/restore/reminders.rs 'last.is_none_or(|last| last < passed).then_some(passed)' 'last.is_none_or(|last| last <= passed).then_some(passed)' a_reminder_is_sent_once_and_two_missed_ones_as_one
guard lib "the links of the record" src/core/src/audit/chain.rs 'if fits { Ok(()) } else' 'if fits || seq > 0 { Ok(()) } else' every_way_to_tamper_is_found

# At most once: the decision.
life=src/core/src/restore.rs
claimed=src/core/src/restore/claimed.rs
guard lib "an ended request only lets go" $life 'if facts.ended {' 'if facts.ended && facts.deleting.is_some() {' i2_an_ended_request_only_lets_go
guard lib "what the bucket proves to have begun" $life 'if let Some(proof) = &facts.unknown_claim {' 'if let Some(proof) = facts.unknown_claim.as_ref().filter(|_| false) {' i2_what_the_bucket_proves_to_have_begun_is_told_and_never_begun_again
guard lib "a cut-over whose Job vanished" $claimed 'StepState::None if claim.job_seen => {' 'StepState::None if claim.job_seen && facts.ended => {' i2_an_unknown_cut_over_is_never_tried_again
guard lib "a cut-over whose outcome is unknown" $claimed 'recover_or_escalate(facts, "CutoverOutcomeUnknown", &format!("{message}; {inspect}"))' '{ let _ = message; plan(RestoreAction::Start(RestoreStep::Cutover, 1)) }' i2_an_unknown_cut_over_is_never_tried_again
guard lib "no cut-over Job long after its claim" $claimed 'StepState::None if claim.job_exists || now < claim.at + CLAIM_START_DEADLINE => {' 'StepState::None => {' i2_a_job_that_is_there_is_taken_up_however_late_and_a_new_one_is_made_only_soon_after_the_claim
guard lib "a claim that is not ours" $claimed 'if let Some(why) = &claim.impossible {' 'if let Some(why) = claim.impossible.as_ref().filter(|_| false) {' i1_a_claim_that_no_operator_would_have_written_begins_nothing
guard lib "nothing on a broken record" $life 'if let Some(why) = &facts.record_error {' 'if let Some(why) = facts.record_error.as_ref().filter(|_| false) {' nothing_is_begun_on_a_broken_record_and_the_request_still_ends
guard lib "no claimed Job on a broken record" $claimed '(RestoreAction::Start(RestoreStep::Export | RestoreStep::Cutover, _), Some(why)) =>' '(RestoreAction::Start(RestoreStep::Export | RestoreStep::Cutover, _), Some(why)) if facts.ended =>' nothing_is_begun_on_a_broken_record_and_the_request_still_ends
guard lib "a key that is missing after the claim" src/core/src/gate/rules.rs '| Self::PoliciesMissing(_)' '| Self::PoliciesMissing(_) | Self::AwaitingPayment' i1_only_what_can_open_without_a_signature_may_pass
guard lib "the operator's own name is unknown" src/core/src/authority.rs 'let Some(user) = own.user else { return Err(Distrust::SignaturesUnknown) };' 'let user = own.user.unwrap_or_default();' i6_while_its_own_name_is_unknown_the_operator_trusts_no_signature
guard lib "an unknown report is no failure" src/operator/src/restore/settle.rs 'Outcome::Unknown { message, .. } => Step::Lost { attempt, message: message.clone(), at },' 'Outcome::Unknown { message, .. } => Step::Failed { attempt, retryable: true, reason: String::new(), message: message.clone(), at },' i2_a_silent_or_unknown_end_is_lost_not_failed

# At most once: names, Jobs, clients.
guard lib "a cut-over has one name" src/core/src/names.rs 'if step == RestoreStep::Cutover { String::new() }' 'if step == RestoreStep::Cutover { format!("-b{attempt}") }' i2_a_cut_over_has_one_name_for_ever
guard lib "a Job does not retry" src/operator/src/worker_job.rs 'backoff_limit: Some(0),' 'backoff_limit: Some(6),' i2_a_job_never_retries_by_itself
adopt=i2_a_job_under_our_name_is_adopted_only_with_our_owner_and_our_order
guard lib "adopt by owner" src/operator/src/restore/proof.rs 'if !owned {' 'if !owned && wanted == there {' $adopt
guard lib "adopt by content" src/operator/src/restore/proof.rs 'work.difference(&other).map(str::to_owned)' 'work.difference(&other).filter(|_| false).map(str::to_owned)' $adopt
guard lib "the swap's own order" src/protocol/src/cutover.rs '(timeless(self) != timeless(other)).then_some' '(timeless(self) != timeless(other) && self.name.is_empty()).then_some' i2_only_a_job_with_the_same_effect_is_taken_for_ours
guard lib "the writing client re-sends nothing" src/operator/src/clients.rs 'config.default_retry = false;' 'config.default_retry = true;' i2_a_write_is_sent_once_whatever_the_answer
guard lib "who does not lead writes nothing" src/operator/src/clients.rs 'if !leading.may_write() && *request.method() != Method::GET {' 'if !leading.may_write() && *request.method() == Method::TRACE {' i2_a_process_that_does_not_lead_any_more_writes_nothing
guard lib "the right to write runs out" src/operator/src/leading.rs 'until.is_some_and(|until| now < until)' 'until.is_some_and(|until| now < until || now == now)' i2_a_process_that_slept_longer_than_its_lease_may_not_write_any_more
guard lib "an API server that was set back" src/operator/src/lease.rs 'if is < was)' 'if is < was && is == was)' i2_an_older_version_than_was_seen_tells_that_etcd_was_set_back

# At most once: the worker, S3 and PostgreSQL.
guard servers "one claim in the bucket" src/storage/src/claims.rs 'claim, &PutOptions::json().exclusive()' 'claim, &PutOptions::json()' store::claims::i2_one_of_sixteen_claims_wins_and_the_others_learn_who
guard servers "no claim without conditional puts" src/storage/src/claims.rs 'if !self.capabilities().conditional_put {' 'if !self.capabilities().conditional_put && request_uid.is_empty() {' store::claims::i2_without_conditional_puts_nobody_can_claim
guard servers "another pod's claim" src/worker/src/cutover.rs 'Claimed::Held(holder) => return watch_holder(task, context, &holder, &application).await,' 'Claimed::Held(_) => {}' restore::swaps::i2_a_claim_that_another_pod_holds_is_never_acted_on
guard servers "a pod that starts too late" src/worker/src/cutover.rs 'task.start_by.filter(|by| Utc::now() > *by)' 'task.start_by.filter(|by| Utc::now() > *by && false)' restore::swaps::i2_a_pod_that_starts_after_its_time_swaps_nothing
guard servers "what recover-cutover told of as not swapped" src/engine/src/postgres/swap.rs 'let ready = live.as_ref().is_some_and(|d| is_ready(d, task));' 'let ready = live.is_some();' restore::recover_cutover::i2_an_undo_that_was_taken_back_never_swaps_and_leaves_the_way_back_open
guard servers "what came between prepare and the swap" src/worker/src/cutover.rs 'Claimed::Won if task.database.engine == Engine::PostgreSQL => obstacles(task, &application).await?,' 'Claimed::Won if task.database.engine == Engine::PostgreSQL => {}' restore::swaps::what_came_between_prepare_and_the_swap_and_only_the_swap_minds_is_refused
guard servers "a swap that was undone did take effect" src/worker/src/cutover.rs 'return databases_changed(task, context, found).await,' 'return Err(RestoreError::DatabasesChanged { found }.into()),' restore::swaps::i2_an_undone_swap_is_not_done_again_by_a_replay

# What others wrote is not compiled again: the dependencies' files are linked, nothing of this package is.
take_dependencies() {
  local part
  [ ! -d "$built/debug" ] || return 0
  mkdir -p "$built/debug"
  for part in deps build .fingerprint; do
    [ ! -d "$target/debug/$part" ] || cp -al "$target/debug/$part" "$built/debug/"
  done
  find "$built/debug" -mindepth 2 -maxdepth 2 \( -name '*sennight*' -o -name '*testkit*' \) -prune -exec rm -rf {} +
}

make_backup() {
  mkdir -p "$backup"
  take_dependencies
  # Only what differs is written: cargo compiles what is newer.
  local file
  git ls-files -z -- . | while IFS= read -r -d '' file; do
    [ -f "$file" ] || continue
    cmp -s "$file" "$backup/$file" || { mkdir -p "$backup/$(dirname "$file")" && cp "$file" "$backup/$file"; }
  done
}

# run TIER TEST: in the backup
run() {
  # --workspace: features as everywhere else, so that no dependency is compiled again.
  local where=(--workspace --lib)
  [ "$1" = lib ] || where=(--package testkit --test "$1")
  (
    cd "$backup"
    export CARGO_TARGET_DIR=$built CARGO_TERM_COLOR=never
    # Tests refuse binaries that are older than their sources.
    [ "$1" = lib ] || cargo build --locked --quiet --workspace --bins 2>&1 || return
    cargo test --locked --quiet "${where[@]}" -- "$2" 2>&1
  )
}

failed=0
without_guard() {
  local i=$1 text out file=$backup/${files[$1]}
  text=$(<"$file")
  local rest=${text#*"${froms[i]}"}
  if [ "$rest" = "$text" ] || [ "${rest#*"${froms[i]}"}" != "$rest" ]; then
    printf 'GUARD  %-40s its text does not stand exactly once in %s\n' "${names[i]}" "${files[i]}"
    failed=$((failed + 1))
    return
  fi
  printf '%s\n' "${text%%"${froms[i]}"*}${tos[i]}$rest" >"$file"
  if out=$(run "${tiers[i]}" "${tests[i]}"); then
    printf 'GUARD  %-40s %s passes without it\n' "${names[i]}" "${tests[i]}"
    failed=$((failed + 1))
  elif ! grep -q '^test result: FAILED' <<<"$out"; then
    printf 'GUARD  %-40s does not compile without it:\n%s\n' "${names[i]}" "$(tail -n 20 <<<"$out")"
    failed=$((failed + 1))
  else
    printf 'guard  %-40s %s fails without it\n' "${names[i]}" "${tests[i]}"
  fi
  printf '%s\n' "$text" >"$file"
}

# Whether each guard can be taken away at all: its text stands once where the list says. Without a compiler.
texts() {
  local i text rest stale=0
  for i in "${!names[@]}"; do
    text=$(<"${files[i]}")
    rest=${text#*"${froms[i]}"}
    [ "$rest" != "$text" ] && [ "${rest#*"${froms[i]}"}" = "$rest" ] && continue
    printf 'GUARD  %-40s its text does not stand exactly once in %s\n' "${names[i]}" "${files[i]}"
    stale=1
  done
  return $stale
}

wanted=${1:-lib}
if [ "$wanted" = texts ]; then
  texts
  exit
fi
chosen=()
for i in "${!names[@]}"; do
  if [ "$wanted" = all ] || [ "${tiers[i]}" = "$wanted" ]; then chosen+=("$i"); fi
done
[ ${#chosen[@]} -gt 0 ] || die "usage: guards.sh lib|servers|api|all|texts"
whole=${#chosen[@]}
if [ -n "${SENNIGHT_CASES:-}" ] && [ $((SENNIGHT_CASES / 30)) -lt "$whole" ]; then
  mapfile -t chosen < <(printf '%s\n' "${chosen[@]}" | shuf -n $((SENNIGHT_CASES / 30)))
  echo "guards: ${#chosen[@]} of $whole; left out: $((whole - ${#chosen[@]})) (make guards takes away all)"
fi
make_backup
for i in "${chosen[@]}"; do without_guard "$i"; done
echo "guards: ${#chosen[@]} taken away one at a time, $((${#chosen[@]} - failed)) missed by their tests, $failed not"
[ $failed = 0 ]
