#!/usr/bin/env bash
# `make minikube`: a cluster on this machine, the image in it, S3 with events, Postgres, the manifests of LHDI with the
# overlay of minikube, fake dumps, and a look at what came of them. Again: it brings up to date what is there.
# LEAN=1 leaves Dagster out. PROFILE names the cluster of minikube (claims-pipeline).
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then sed -n '2,/^set/s/^# //p' "${BASH_SOURCE[0]}"; exit 0; fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

profile=${PROFILE:-claims-pipeline}
namespace=claims-pipeline
image=claims-pipeline:minikube
overlay=minikube
[[ -z ${LEAN:-} ]] || overlay=minikube-lean

needed=(minikube kubectl docker openssl)
[[ -n ${LEAN:-} ]] || needed+=(helm)
for program in "${needed[@]}"; do
  command -v "$program" >/dev/null || { echo "make minikube needs $program" >&2; exit 1; }
done
if [[ -z ${LEAN:-} ]] && ! helm repo list 2>/dev/null | grep -q '^dagster[[:space:]]'; then
  echo "Add Dagster's chart repository to helm, under the name dagster: its address is in Dagster's Helm guide" >&2
  exit 1
fi

echo "== cluster $profile"
minikube status --profile "$profile" >/dev/null 2>&1 ||
  minikube start --profile "$profile" --cpus 4 --memory 6g --cni calico --keep-context
# All that follows is for this cluster, whatever kubectl's current one is.
KUBECONFIG=$(mktemp)
export KUBECONFIG
trap 'rm -f "$KUBECONFIG"' EXIT
minikube update-context --profile "$profile" >/dev/null
kubectl config use-context "$profile" >/dev/null

echo "== image"
image_id() { docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || true; }
before=$(image_id)
docker build --quiet --file deploy/Dockerfile --tag "$image" .
minikube image load "$image" --profile "$profile" --overwrite=true

echo "== secrets"
kubectl apply -f deploy/kubernetes/base/namespace.yaml
deploy/minikube/secrets.sh "$namespace"

echo "== manifests, migration, pods"
# The fake dumps are a Job, which can only be made again.
kubectl delete job fake-dumps --namespace "$namespace" --ignore-not-found
deploy/kubernetes/rollout.sh "$overlay"
if [[ -n $before && $before != "$(image_id)" ]]; then
  # The same name, so pods that run would go on with the image of before. Not S3: it forgets everything.
  for label in claims-pipeline/rollout=after-migration app.kubernetes.io/instance=dagster; do
    kubectl rollout restart deployment --namespace "$namespace" --selector "$label"
  done
fi

deploy/minikube/smoke.sh "$overlay"
