package localfleet

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// etcdPart is the one etcd of all clusters.
func etcdPart(l Layout, s *State) part {
	client, peer := s.Port(Fleet, PartEtcd, "client"), s.Port(Fleet, PartEtcd, "peer")
	clientURL, peerURL := loopbackURL("http", client), loopbackURL("http", peer)
	return part{
		cluster: Fleet, name: PartEtcd, binary: "etcd", port: client, ports: []int{client, peer},
		args: []string{
			"--name=fleet", "--data-dir=" + l.etcd(),
			"--listen-client-urls=" + clientURL, "--advertise-client-urls=" + clientURL,
			"--listen-peer-urls=" + peerURL, "--initial-advertise-peer-urls=" + peerURL, "--initial-cluster=fleet=" + peerURL,
			// What is lost with the machine's power is a fleet for trying things out.
			"--unsafe-no-fsync",
			"--auto-compaction-mode=periodic", "--auto-compaction-retention=5m", "--quota-backend-bytes=" + strconv.Itoa(2<<30),
			"--log-level=warn",
		},
		ready: httpOK(clientURL + "/health"),
	}
}

// kubernetesParts are the control plane of a cluster but its API server.
func kubernetesParts(l Layout, s *State, cluster string) []part {
	config := l.partKubeconfig(cluster, "kubernetes")
	kcm := s.Port(cluster, PartControllerManager, "https")
	serving := func(port int) []string {
		return []string{
			"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
			"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port),
			"--tls-cert-file=" + l.pki("server.crt"), "--tls-private-key-file=" + l.pki("server.key"),
			"--leader-elect=false", "--profiling=false",
			// The defaults (20 and 50 a second) are what a deployment of a few hundred pods would wait for.
			"--kube-api-qps=500", "--kube-api-burst=1000",
		}
	}
	parts := []part{{
		cluster: cluster, name: PartControllerManager, binary: "kube-controller-manager", port: kcm, ports: []int{kcm},
		args: append(serving(kcm),
			"--service-account-private-key-file="+l.pki(cluster+"-serviceaccount.key"), "--root-ca-file="+l.pki("ca.crt"),
			// The garbage collector and the namespace controller are told from people by their accounts: policies let them delete.
			"--use-service-account-credentials=true",
			// Simulated nodes report every few seconds (see test/local/stages); one that is silent for this long failed.
			"--node-monitor-grace-period=20s", "--node-monitor-period=2s",
		),
		ready: httpOK(loopbackURL("https", kcm) + "/healthz"),
	}}
	if s.IsLean(cluster) {
		parts[0].args = append(parts[0].args, "--controllers="+leanControllers)
	}
	if cluster == Hub || s.IsLean(cluster) {
		return parts
	}
	scheduler := s.Port(cluster, PartScheduler, "https")
	parts = append(parts, part{
		cluster: cluster, name: PartScheduler, binary: "kube-scheduler", port: scheduler, ports: []int{scheduler},
		args: serving(scheduler), ready: httpOK(loopbackURL("https", scheduler) + "/healthz"),
	})
	if s.RealNodes {
		return parts
	}
	return append(parts, part{
		cluster: cluster, name: PartKwok, binary: "kwok", files: []string{l.stages()},
		// It makes much garbage for the little that it holds: a fifth of its time went into collecting it.
		env: []string{"GOGC=400"},
		args: []string{
			"--kubeconfig=" + config, "--config=" + l.stages(), "--v=WARN",
			"--manage-nodes-with-label-selector=" + LabelSimulated + "=true,!" + LabelNodeFailure,
			"--cidr=" + podCIDR(s, cluster),
		},
	})
}

// leanControllers are what a cluster without pods needs: its namespaces come and go, with ServiceAccounts and what is owned.
const leanControllers = "namespace-controller,serviceaccount-controller,root-ca-certificate-publisher-controller,garbage-collector-controller"

func apiServerPart(l Layout, s *State, cluster string) part {
	port := s.Port(cluster, PartAPIServer, "https")
	key := l.pki(cluster + "-serviceaccount.key")
	p := part{
		cluster: cluster, name: PartAPIServer, binary: "kube-apiserver", port: port, ports: []int{port},
		args: []string{
			"--etcd-servers=" + loopbackURL("http", s.Port(Fleet, PartEtcd, "client")), "--etcd-prefix=/" + cluster,
			"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port),
			// Nothing in these clusters runs pods that would reach the API by the kubernetes Service, and its endpoint
			// may not be a loopback address.
			"--endpoint-reconciler-type=none",
			"--tls-cert-file=" + l.pki("server.crt"), "--tls-private-key-file=" + l.pki("server.key"),
			"--cert-dir=" + dataDir(l, cluster, PartAPIServer),
			"--token-auth-file=" + l.pki("tokens.csv"), "--authorization-mode=RBAC",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
			"--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=true", "--profiling=false",
		},
		ready: httpOK(loopbackURL("https", port) + "/readyz"),
		grace: 15 * time.Second,
	}
	if len(realNodes(s, cluster)) > 0 {
		// The node authorizer first: a kubelet gets at what its pods need and no further. Tokens are read at the start only.
		p.args = append(p.args, "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--kubelet-client-certificate="+l.pki("kubelet-client.crt"), "--kubelet-client-key="+l.pki("kubelet-client.key"),
			// No name service knows the nodes.
			"--kubelet-preferred-address-types=InternalIP")
		p.files = append(p.files, l.pki("tokens.csv"))
		p.args = slices.DeleteFunc(p.args, func(arg string) bool { return arg == "--authorization-mode=RBAC" })
	}
	return p
}

// podCIDR gives every cluster pod addresses of its own: 10.64.0.0/16 and up.
func podCIDR(s *State, cluster string) string {
	for i, c := range s.Clusters() {
		if c == cluster {
			return fmt.Sprintf("10.%d.0.0/16", 64+i)
		}
	}
	return "10.63.0.0/16"
}

// tektonParts are Tekton's controller and webhook, configured as in their Deployments.
func tektonParts(l Layout, s *State) []part {
	const digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	make := func(name, leaderElection string) part {
		probes := s.Port(Hub, name, "probes")
		profiling, metrics := s.Port(Hub, name, "profiling"), s.Port(Hub, name, "metrics")
		return part{
			cluster: Hub, name: name, binary: name, port: probes, ports: []int{probes, profiling, metrics},
			args: []string{"-kubeconfig=" + l.partKubeconfig(Hub, name), "-disable-ha"},
			env: []string{
				"SYSTEM_NAMESPACE=tekton-pipelines", "KUBERNETES_MIN_VERSION=v1.28.0",
				"CONFIG_DEFAULTS_NAME=config-defaults", "CONFIG_LOGGING_NAME=config-logging",
				"CONFIG_OBSERVABILITY_NAME=config-observability", "CONFIG_FEATURE_FLAGS_NAME=feature-flags",
				"CONFIG_LEADERELECTION_NAME=" + leaderElection, "CONFIG_SPIRE=config-spire",
				"METRICS_DOMAIN=tekton.dev/pipeline",
				"PROBES_PORT=" + strconv.Itoa(probes), "PROFILING_PORT=" + strconv.Itoa(profiling),
				"METRICS_PROMETHEUS_HOST=127.0.0.1", "METRICS_PROMETHEUS_PORT=" + strconv.Itoa(metrics),
			},
			ready: httpOK(loopbackURL("http", probes) + "/readiness"),
		}
	}
	controller := make(PartTektonController, "config-leader-election-controller")
	// No TaskRun runs on the hub, which has no nodes; the images are never pulled but must be named.
	for _, flag := range []string{"entrypoint-image", "nop-image", "sidecarlogresults-image", "workingdirinit-image", "shell-image", "shell-image-win"} {
		controller.args = append(controller.args, "-"+flag+"=local.invalid/"+flag+digest)
	}
	webhook := make(PartTektonWebhook, "config-leader-election-webhook")
	port := s.Port(Hub, PartTektonWebhook, "https")
	webhook.port, webhook.ports = port, append(webhook.ports, port)
	webhook.env = append(webhook.env,
		"WEBHOOK_PORT="+strconv.Itoa(port), "WEBHOOK_ADMISSION_CONTROLLER_NAME=webhook.pipeline.tekton.dev",
		"WEBHOOK_SERVICE_NAME=tekton-pipelines-webhook", "WEBHOOK_SECRET_NAME=webhook-certs")
	return []part{controller, webhook}
}

// ownPart is a program of ours in a cluster, and the published ServiceAccount that it runs as.
type ownPart struct{ name, account string }

// ownParts are our programs of a cluster.
func ownParts(cluster string) []ownPart {
	if cluster == Hub {
		return []ownPart{{PartController, accountController}}
	}
	return []ownPart{{PartWorkloads, accountWorkloads}, {PartWebhook, accountWebhook}}
}

// periplusPart is how a program of ours is run.
func periplusPart(l Layout, s *State, cluster, name string) part {
	health, metrics := s.Port(cluster, name, "health"), s.Port(cluster, name, "metrics")
	p := part{
		cluster: cluster, name: name, binary: name, port: health, ports: []int{health, metrics},
		args: []string{
			"--kubeconfig=" + l.partKubeconfig(cluster, name), "--disable-ha",
			"--metrics-address=127.0.0.1:" + strconv.Itoa(metrics), "--health-address=127.0.0.1:" + strconv.Itoa(health),
		},
		env:   []string{"SYSTEM_NAMESPACE=" + SystemNamespace},
		ready: httpOK(loopbackURL("http", health) + "/readyz"),
	}
	if name == PartWebhook {
		p.port = s.Port(cluster, name, "https")
		p.ports = append(p.ports, p.port)
		p.args = append(p.args, "--webhook-address=127.0.0.1:"+strconv.Itoa(p.port), "--webhook-hosts=127.0.0.1")
		// Where the API server asks, as in its Deployment: without a certificate it is not ready.
		p.ready = httpOK(loopbackURL("https", p.port) + "/readyz")
	}
	return p
}

// allParts are every part of the fleet, in the order they are started.
func allParts(l Layout, s *State) []part {
	out := []part{etcdPart(l, s)}
	for _, c := range s.Clusters() {
		out = append(out, apiServerPart(l, s, c))
		out = append(out, kubernetesParts(l, s, c)...)
		for _, n := range realNodes(s, c) {
			out = append(out, containerdPart(l, n), kubeletPart(l, s, n))
		}
		if c == Hub {
			out = append(out, tektonParts(l, s)...)
			out = append(out, triggersParts(l, s)...)
		}
		for _, own := range ownParts(c) {
			if p := periplusPart(l, s, c, own.name); s.Install && s.Binaries[p.binary] != "" {
				out = append(out, p)
			}
		}
	}
	return append(out, prometheusParts(l, s)...)
}

func loopbackURL(scheme string, port int) string {
	return scheme + "://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// loopbackClient asks parts for their health. The answer carries no secret, so the certificate is not looked at.
var loopbackClient = &http.Client{
	Timeout: 2 * time.Second,
	Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		DisableKeepAlives: true,
	},
}

func httpOK(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := loopbackClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 2048))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
		}
		return nil
	}
}
