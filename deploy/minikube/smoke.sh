#!/usr/bin/env bash
# smoke.sh minikube|minikube-lean
# Waits until the fake dumps of both senders are in tables, and says what to see. Exit code 1: they are not.
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then sed -n '2,/^set/s/^# //p' "${BASH_SOURCE[0]}"; exit 0; fi
overlay=${1:?"usage: smoke.sh minikube|minikube-lean"}
namespace=claims-pipeline

in_namespace() { kubectl --namespace "$namespace" "$@"; }
ask() { in_namespace exec statefulset/postgres -- psql --username postgres --dbname claims "$@"; }

echo "== fake dumps"
in_namespace wait job/fake-dumps --for=condition=complete --timeout=900s

if [[ $overlay == minikube-lean ]]; then
  echo "== one catch-up, as the CronJob starts it"
  in_namespace delete job smoke --ignore-not-found
  in_namespace create job smoke --from=cronjob/claims-pipeline-catch-up
  # Fake dumps have planted defects: a catch-up that sets rows apart or refuses a dump ends with exit code 1.
  until in_namespace get job smoke -o jsonpath='{.status.conditions[*].type}' | grep -qE 'Complete|Failed'; do sleep 5; done
  in_namespace logs job/smoke --tail=40
fi

echo "== dumps in tables"
# Each run is a pod that starts first, one at a time of a sender: some ten minutes.
senders=0 loaded=0 open=0
for _ in $(seq 120); do
  read -r senders loaded open < <(ask --no-align --tuples-only --field-separator ' ' --command \
    "select count(distinct split_part(feed, '/', 1)) filter (where dumps_loaded > 0),
            coalesce(sum(dumps_loaded), 0), coalesce(sum(dumps_open), 0) from ops.feed_status") || true
  echo "loaded: ${loaded:-?}, open: ${open:-?}"
  [[ $senders -lt 2 || $open -gt 0 ]] || break
  sleep 10
done
if [[ $senders -lt 2 || $open -gt 0 ]]; then
  echo "After twenty minutes $loaded dumps of $senders senders are loaded and $open are open. What runs:" >&2
  in_namespace get pods,jobs >&2
  exit 1
fi
ask --command 'select * from ops.feed_status'
in_namespace get jobs

cat <<'TEXT'

Look at it (each command goes on until Ctrl-C):
  the dashboard   kubectl -n claims-pipeline port-forward service/claims-pipeline-dashboard 8501:80
                  then http://127.0.0.1:8501: two senders, three days
TEXT
[[ $overlay == minikube-lean ]] || cat <<'TEXT'
  Dagster         kubectl -n claims-pipeline port-forward \
                    "$(kubectl -n claims-pipeline get service -l component=dagster-webserver -o name)" 3000:8080
                  then http://127.0.0.1:3000: green days of every feed, sensors that tick
TEXT
cat <<'TEXT'
Stop it: minikube stop --profile claims-pipeline. Delete it: minikube delete --profile claims-pipeline
TEXT
