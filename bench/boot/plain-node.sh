#!/bin/bash
# A node by a plain shell script: the same binaries with the same settings as Hamlet's, all started at once, each in a
# loop that starts it again, and a loop that asks until the node is Ready. It is the yardstick for Hamlet's start (bench/boot/main.ts), and a way to see what
# a node consists of. No supervision, no secrets kept from the disk.
#
#   plain-node.sh FOLDER ENVIRONMENT_FILE
#
# FOLDER is kept state, or empty. ENVIRONMENT_FILE sets ETCD, CONTAINERD, RUNC, CTR, KUBE (the words that start a
# Kubernetes program go before its name), CNI_BIN, PAUSE_ARCHIVE, PAUSE_REF, BIN (PATH of the components), ADDRESS,
# NODE, BRIDGE, POD_CIDR, SERVICE_CIDR, SERVICE_IP, CGROUP_DRIVER, RESTRICT_OOM, MASQUERADE_ALL, and the PORT_*.
# Prints "ready" when the node is Ready; SIGTERM stops everything in reverse order.
set -euo pipefail
folder=$(realpath "$1")
. "$2"
pki=$folder/pki run=$folder/run state=$folder/state
mkdir -p "$pki" "$run/etcd" "$run/containerd" "$run/volume-plugins" "$state/cni/net.d" "$state/kubelet" "$state/log"
chmod 700 "$pki" "$run/etcd"
rm -f "$run"/etcd/client:0 "$run"/etcd/peer:0
etcd_socket=$run/etcd/client:0
containerd_socket=$run/containerd/containerd.sock

# --- certificates, once -----------------------------------------------------------------------------------------------
authority() { # FILE CN
  openssl genpkey -algorithm ed25519 -out "$pki/$1.key" 2>/dev/null
  openssl req -x509 -new -key "$pki/$1.key" -subj "/CN=$2" -days 3650 -out "$pki/$1.crt"
}
leaf() { # FILE SUBJECT USAGE SANS [AUTHORITY]
  local ca=${5:-ca}
  openssl genpkey -algorithm ed25519 -out "$pki/$1.key" 2>/dev/null
  openssl req -new -key "$pki/$1.key" -subj "$2" -out "$pki/$1.csr"
  openssl x509 -req -in "$pki/$1.csr" -CA "$pki/$ca.crt" -CAkey "$pki/$ca.key" -days 90 -out "$pki/$1.crt" \
    -extfile <(printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n%s\n' "$3" "${4:+subjectAltName=$4}") 2>/dev/null
}
kubeconfig() { # FILE LEAF
  printf '{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:%s","certificate-authority":"%s"}}],"users":[{"name":"u","user":{"client-certificate":"%s","client-key":"%s"}}]}' \
    "$PORT_APISERVER" "$pki/ca.crt" "$pki/$2.crt" "$pki/$2.key" > "$pki/$1"
}
if [ ! -e "$pki/done" ]; then
  authority ca plain-ca
  authority aggregation-ca plain-aggregation-ca
  leaf apiserver /CN=kube-apiserver serverAuth "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$SERVICE_IP,IP:$ADDRESS"
  leaf kubelet-client /CN=hamlet:apiserver-kubelet-client clientAuth ''
  leaf front-proxy /CN=front-proxy-client clientAuth '' aggregation-ca
  leaf controller-manager /CN=system:kube-controller-manager clientAuth ''
  leaf controller-manager-serving /CN=kube-controller-manager serverAuth DNS:localhost,IP:127.0.0.1
  leaf scheduler /CN=system:kube-scheduler clientAuth ''
  leaf scheduler-serving /CN=kube-scheduler serverAuth DNS:localhost,IP:127.0.0.1
  leaf proxy /CN=system:kube-proxy clientAuth ''
  leaf kubelet-node "/O=system:nodes/CN=system:node:$NODE" clientAuth ''
  leaf kubelet "/CN=$NODE" serverAuth "DNS:$NODE,IP:$ADDRESS"
  leaf master /O=system:masters/CN=plain:master clientAuth ''
  openssl genrsa -out "$pki/service-account.key" 2048 2>/dev/null
  openssl rsa -in "$pki/service-account.key" -pubout -out "$pki/service-account.pub" 2>/dev/null
  kubeconfig controller-manager.kubeconfig controller-manager
  kubeconfig scheduler.kubeconfig scheduler
  kubeconfig proxy.kubeconfig proxy
  kubeconfig kubelet.kubeconfig kubelet-node
  touch "$pki/done"
fi

# --- configuration ----------------------------------------------------------------------------------------------------
cat > "$run/containerd/config.toml" <<TOML
version = 2
root = "$state/containerd"
state = "$run/containerd/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "$containerd_socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_REF"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = $RESTRICT_OOM
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$CNI_BIN"
    conf_dir = "$state/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "$RUNC"
      SystemdCgroup = $([ "$CGROUP_DRIVER" = systemd ] && echo true || echo false)
TOML
cat > "$state/cni/net.d/10-plain.conflist" <<JSON
{ "cniVersion": "0.4.0", "name": "plain", "plugins": [
  { "type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "ipMasq": true,
    "ipam": { "type": "host-local", "dataDir": "$state/cni/ipam", "ranges": [[{ "subnet": "$POD_CIDR" }]],
              "routes": [{ "dst": "0.0.0.0/0" }] } },
  { "type": "portmap", "capabilities": { "portMappings": true } } ] }
JSON
cat > "$run/kubelet.json" <<JSON
{ "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
  "port": $PORT_KUBELET, "readOnlyPort": 0, "healthzBindAddress": "127.0.0.1", "healthzPort": $PORT_KUBELET_HEALTH,
  "tlsCertFile": "$pki/kubelet.crt", "tlsPrivateKeyFile": "$pki/kubelet.key", "tlsMinVersion": "VersionTLS13",
  "authentication": { "anonymous": { "enabled": false }, "webhook": { "enabled": false },
                      "x509": { "clientCAFile": "$pki/ca.crt" } },
  "authorization": { "mode": "Webhook" }, "clusterDNS": ["10.96.0.10"], "clusterDomain": "cluster.local",
  "enableControllerAttachDetach": false, "hairpinMode": "none", "makeIPTablesUtilChains": false, "failSwapOn": false,
  "cgroupDriver": "$CGROUP_DRIVER", "kubeReserved": { "cpu": "200m", "memory": "300Mi" },
  "volumePluginDir": "$run/volume-plugins", "nodeStatusUpdateFrequency": "1s", "nodeStatusReportFrequency": "5m",
  "kubeAPIQPS": 50, "kubeAPIBurst": 100 }
JSON
cat > "$run/kube-proxy.json" <<JSON
{ "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
  "hostnameOverride": "$NODE", "clientConnection": { "kubeconfig": "$pki/proxy.kubeconfig" },
  "bindAddress": "$ADDRESS", "clusterCIDR": "$POD_CIDR", "healthzBindAddress": "127.0.0.1:$PORT_PROXY_HEALTH",
  "metricsBindAddress": "127.0.0.1:$PORT_PROXY_METRICS", "iptables": { "masqueradeAll": $MASQUERADE_ALL },
  "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" } }
JSON

# --- everything at once -----------------------------------------------------------------------------------------------
pids=()
begin() { # NAME FOLDER COMMAND...
  local name=$1 cwd=$2
  shift 2
  # Without an order some of them find another one missing and give up: the kubelet without containerd, the controller
  # manager without its roles. So each gets a loop.
  (
    cd "$cwd"
    child=
    trap 'kill -TERM $child 2>/dev/null; wait $child; exit 0' TERM
    while :; do
      env -i PATH="$BIN" HOME=/root LANG=C.UTF-8 "$@" >> "$state/log/$name.log" 2>&1 &
      child=$!
      wait $child || true
      sleep 0.5
    done
  ) &
  pids+=($!)
}
stop() {
  trap '' TERM INT
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -TERM "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  exit 0
}
trap stop TERM INT

begin etcd "$run/etcd" "$ETCD" --name=hamlet --data-dir="$state/etcd" --listen-client-urls=unix://client:0 \
  --advertise-client-urls=unix://client:0 --listen-peer-urls=unix://peer:0 --initial-advertise-peer-urls=unix://peer:0 \
  --initial-cluster=hamlet=unix://peer:0 --heartbeat-interval=10 --election-timeout=50 --logger=zap --log-outputs=stderr
begin containerd "$run/containerd" "$CONTAINERD" --config "$run/containerd/config.toml"
begin kube-apiserver "$run" $KUBE kube-apiserver --advertise-address="$ADDRESS" --secure-port="$PORT_APISERVER" \
  --insecure-port=0 --etcd-servers="unix:///$etcd_socket" --service-cluster-ip-range="$SERVICE_CIDR" \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction,PodSecurityPolicy --allow-privileged=true \
  --profiling=false --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" \
  --tls-private-key-file="$pki/apiserver.key" --kubelet-certificate-authority="$pki/ca.crt" \
  --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
  --kubelet-preferred-address-types=InternalIP,Hostname --requestheader-client-ca-file="$pki/aggregation-ca.crt" \
  --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
  --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
  --service-account-key-file="$pki/service-account.pub" --service-account-signing-key-file="$pki/service-account.key" \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local
begin kube-controller-manager "$run" $KUBE kube-controller-manager --kubeconfig="$pki/controller-manager.kubeconfig" \
  --authentication-kubeconfig="$pki/controller-manager.kubeconfig" \
  --authorization-kubeconfig="$pki/controller-manager.kubeconfig" --bind-address=127.0.0.1 \
  --secure-port="$PORT_CONTROLLER_MANAGER" --port=0 --tls-cert-file="$pki/controller-manager-serving.crt" \
  --tls-private-key-file="$pki/controller-manager-serving.key" --root-ca-file="$pki/ca.crt" \
  --service-account-private-key-file="$pki/service-account.key" --use-service-account-credentials=true \
  --leader-elect=false --kube-api-qps=200 --kube-api-burst=400 --profiling=false --cluster-cidr="$POD_CIDR" --service-cluster-ip-range="$SERVICE_CIDR" \
  --flex-volume-plugin-dir="$run/volume-plugins"
begin kube-scheduler "$run" $KUBE kube-scheduler --kubeconfig="$pki/scheduler.kubeconfig" \
  --authentication-kubeconfig="$pki/scheduler.kubeconfig" --authorization-kubeconfig="$pki/scheduler.kubeconfig" \
  --bind-address=127.0.0.1 --secure-port="$PORT_SCHEDULER" --port=0 --tls-cert-file="$pki/scheduler-serving.crt" \
  --tls-private-key-file="$pki/scheduler-serving.key" --leader-elect=false --profiling=false
begin kube-proxy "$run" $KUBE kube-proxy --config="$run/kube-proxy.json"
begin kubelet "$run" $KUBE kubelet --config="$run/kubelet.json" --kubeconfig="$pki/kubelet.kubeconfig" \
  --hostname-override="$NODE" --node-ip="$ADDRESS" --root-dir="$state/kubelet" --cert-dir="$pki" \
  --container-runtime=remote --container-runtime-endpoint="unix://$containerd_socket" \
  --pod-infra-container-image="$PAUSE_REF"

# --- the pause image, and the probe loop ------------------------------------------------------------------------------
until "$CTR" -a "$containerd_socket" -n k8s.io images import "$PAUSE_ARCHIVE" > /dev/null 2>&1; do sleep 0.1; done
# A heartbeat from before this start says nothing; heartbeats are whole seconds.
since=$(date -u -d "@$(stat -c %Y "$run/kubelet.json")" +%Y-%m-%dT%H:%M:%SZ)
while :; do
  node=$(curl -s --max-time 2 --cacert "$pki/ca.crt" --cert "$pki/master.crt" --key "$pki/master.key" \
    "https://127.0.0.1:$PORT_APISERVER/api/v1/nodes/$NODE" 2>/dev/null | tr -d ' \n') || node=
  ready=$(grep -o '{"type":"Ready","status":"True","lastHeartbeatTime":"[^"]*"' <<< "$node" | cut -d'"' -f12) || ready=
  [[ -n $ready && ! $ready < $since ]] && break
  sleep 0.1
done
echo ready
wait
