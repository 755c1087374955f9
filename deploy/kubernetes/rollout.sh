#!/usr/bin/env bash
# rollout.sh lhdi|lhdi-lean|minikube|minikube-lean [further arguments of helm]
# Installs or upgrades in one order: what pods need, the migration, then what runs, then Dagster's chart.
# Uses kubectl's current context. A failed migration stops it, and what ran before goes on running.
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then sed -n '2,/^set/s/^# //p' "${BASH_SOURCE[0]}"; exit 0; fi
cd "$(dirname "${BASH_SOURCE[0]}")"

namespace=claims-pipeline
chart_version=1.13.27
overlay=${1:?"usage: rollout.sh lhdi|lhdi-lean|minikube|minikube-lean"}
shift
place=${overlay%-lean}

manifests=$(mktemp)
trap 'rm -f "$manifests"' EXIT
kubectl kustomize "overlays/$overlay" >"$manifests"

image=$(sed -n 's/^ *image: \(.*claims-pipeline:.*\)$/\1/p' "$manifests" | sort -u)
[[ $(wc -l <<<"$image") -eq 1 && -n $image ]] || { echo "The manifests name more than one image, or none" >&2; exit 1; }
if grep -q change-me "$manifests" || { [[ $overlay == "$place" ]] && grep -q change-me "values-$place.yaml"; }; then
  echo "There is a change-me left in places/$place, overlays/$overlay or values-$place.yaml" >&2
  exit 1
fi
if [[ $overlay == "$place" ]] && ! helm repo list 2>/dev/null | grep -q '^dagster[[:space:]]'; then
  echo "Add Dagster's chart repository to helm, under the name dagster: its address is in Dagster's Helm guide" >&2
  exit 1
fi

echo "== $overlay, $image, on $(kubectl config current-context)"
# A Job cannot be changed, only made again.
kubectl delete job claims-pipeline-migrate --namespace "$namespace" --ignore-not-found
kubectl apply -f "$manifests" --selector 'claims-pipeline/rollout!=after-migration'

echo "== migration"
ended() { kubectl get job claims-pipeline-migrate --namespace "$namespace" -o jsonpath='{.status.conditions[*].type}'; }
# `kubectl wait` waits for one condition, and would not notice that the Job has failed.
for _ in $(seq 180); do
  [[ ! $(ended) =~ Complete|Failed ]] || break
  sleep 5
done
if [[ ! $(ended) =~ Complete ]]; then
  echo "The migration did not succeed; nothing else was changed. It says:" >&2
  kubectl logs job/claims-pipeline-migrate --namespace "$namespace" --tail=20 >&2 || true
  exit 1
fi

echo "== pods of this version"
kubectl apply -f "$manifests" --selector 'claims-pipeline/rollout=after-migration'
kubectl rollout status deployment/claims-pipeline-dashboard --namespace "$namespace" --timeout=300s

[[ $overlay == "$place" ]] || exit 0
echo "== Dagster, chart $chart_version"
repository=${image%:*} tag=${image##*:}
set_image=()
for part in dagsterWebserver dagsterDaemon 'dagster-user-deployments.deployments[0]'; do
  set_image+=(--set-string "$part.image.repository=$repository,$part.image.tag=$tag")
done
helm repo update dagster >/dev/null
helm upgrade --install dagster dagster/dagster --version "$chart_version" --namespace "$namespace" \
  -f values.yaml -f "values-$place.yaml" "${set_image[@]}" --wait --timeout 15m "$@"
