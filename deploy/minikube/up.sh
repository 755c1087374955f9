#!/usr/bin/env bash
# `make minikube`: a cluster on this machine, the image in it, S3 with events, Postgres, the manifests of LHDI with the
# overlay of minikube, fake dumps, and a look at what came of them. Again: it brings up to date what is there.
# LEAN=1 leaves Dagster out. PROFILE names the cluster of minikube (claims-pipeline).
set -euo pipefail
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

echo "== cluster $profile"
minikube status --profile "$profile" >/dev/null 2>&1 || minikube start --profile "$profile" --cpus 4 --memory 6g --cni calico
# All that follows is for this cluster, whatever kubectl's current one is.
KUBECONFIG=$(mktemp)
export KUBECONFIG
trap 'rm -f "$KUBECONFIG"' EXIT
minikube update-context --profile "$profile" >/dev/null
kubectl config use-context "$profile" >/dev/null

echo "== image"
docker build --quiet --file deploy/Dockerfile --tag "$image" .
minikube image load "$image" --profile "$profile" --overwrite=true

echo "== secrets"
kubectl apply -f deploy/kubernetes/base/namespace.yaml
deploy/minikube/secrets.sh "$namespace"

echo "== manifests, migration, pods"
# The fake dumps are a Job, which can only be made again.
kubectl delete job fake-dumps --namespace "$namespace" --ignore-not-found
deploy/kubernetes/rollout.sh "$overlay"

deploy/minikube/smoke.sh "$overlay"
