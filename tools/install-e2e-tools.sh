#!/usr/bin/env bash
# Installs the real tools that the e2e tests and benchmarks run against, on Debian, as root.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
tools=(skopeo docker-registry buildah podman docker.io containerd strace chromium)
missing=()
for tool in "${tools[@]}"; do
  dpkg-query -W -f='${Status}' "$tool" 2>/dev/null | grep -q 'ok installed' || missing+=("$tool")
done
if [ "${#missing[@]}" -gt 0 ]; then
  apt-get update -q
  apt-get install -y -q --no-install-recommends "${missing[@]}"
fi
skopeo --version
buildah --version
podman --version
docker-registry --version
containerd --version
chromium --version
