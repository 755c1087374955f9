#!/usr/bin/env bash
# Makes the secrets of minikube, once, of random passwords: those of secrets.example.yaml. They go to kubectl by its
# input, never by an argument. secrets.sh NAMESPACE
set -euo pipefail
namespace=${1:?"usage: secrets.sh NAMESPACE"}

if kubectl get secret claims-pipeline-loader --namespace "$namespace" >/dev/null 2>&1; then
  echo "They are there"
  exit 0
fi

random() { openssl rand -hex 16; }
key() { printf 'v1:%s' "$(openssl rand -base64 32)"; }
admin=$(random) loader=$(random) reader=$(random) dagster=$(random) s3=$(random)

# The loader's last: it says that all are there.
kubectl apply --namespace "$namespace" -f - <<YAML
apiVersion: v1
kind: Secret
metadata: {name: postgres}
stringData:
  POSTGRES_PASSWORD: "$admin"
  LOADER_PASSWORD: "$loader"
  BI_READER_PASSWORD: "$reader"
  DAGSTER_PASSWORD: "$dagster"
---
apiVersion: v1
kind: Secret
metadata: {name: claims-pipeline-dagster-storage}
stringData:
  postgresql-password: "$dagster"
---
apiVersion: v1
kind: Secret
metadata: {name: claims-pipeline-owner}
stringData:
  CLAIMS_OWNER_DATABASE_URL: "postgresql://postgres:$admin@postgres:5432/claims"
---
apiVersion: v1
kind: Secret
metadata: {name: claims-pipeline-dashboard}
stringData:
  CLAIMS_BI_DATABASE_URL: "postgresql://bi_reader:$reader@postgres:5432/claims"
---
apiVersion: v1
kind: Secret
metadata: {name: claims-pipeline-s3}
stringData:
  CLAIMS_S3_ACCESS_KEY_ID: minikube
  CLAIMS_S3_SECRET_ACCESS_KEY: "$s3"
  AWS_ACCESS_KEY_ID: minikube
  AWS_SECRET_ACCESS_KEY: "$s3"
---
apiVersion: v1
kind: Secret
metadata: {name: claims-pipeline-loader}
stringData:
  CLAIMS_DATABASE_URL: "postgresql://claims_loader:$loader@postgres:5432/claims"
  CLAIMS_TOKEN_KEYS: "$(key)"
  CLAIMS_QUARANTINE_KEYS: "$(key)"
  CLAIMS_S3_ACCESS_KEY_ID: minikube
  CLAIMS_S3_SECRET_ACCESS_KEY: "$s3"
  AWS_ACCESS_KEY_ID: minikube
  AWS_SECRET_ACCESS_KEY: "$s3"
YAML
