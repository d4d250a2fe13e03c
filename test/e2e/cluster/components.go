//go:build linux

package main

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
)

const containerdSocket = "/run/containerd/containerd.sock"

// components are the command lines of what runs on the node, by name. They
// find together by themselves, whatever is up first.
func components(p place) map[string][]string {
	kube := func(name string, arguments ...string) []string {
		return append([]string{filepath.Join(p.Kube, name)}, arguments...)
	}
	client := func(name string) string { return p.PKI(name + ".kubeconfig") }
	const etcd, etcdPeers = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	all := map[string][]string{
		"etcd": kube("etcd", "--name=e2e", "--data-dir="+p.State()+"/etcd",
			"--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
			"--listen-peer-urls="+etcdPeers, "--initial-advertise-peer-urls="+etcdPeers, "--initial-cluster=e2e="+etcdPeers,
			"--unsafe-no-fsync", "--log-level=warn"),
		"kube-apiserver": kube("kube-apiserver", "--etcd-servers="+etcd,
			"--advertise-address="+nodeAddress, "--secure-port=6443", "--service-cluster-ip-range="+serviceRange,
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
			"--client-ca-file="+p.PKI("ca.crt"), "--tls-cert-file="+p.PKI("apiserver.crt"), "--tls-private-key-file="+p.PKI("apiserver.key"),
			"--kubelet-certificate-authority="+p.PKI("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
			"--kubelet-client-certificate="+p.PKI("kubelet-client.crt"), "--kubelet-client-key="+p.PKI("kubelet-client.key"),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file="+p.PKI("sa.pub"), "--service-account-signing-key-file="+p.PKI("sa.key"),
			"--requestheader-client-ca-file="+p.PKI("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file="+p.PKI("front-proxy-client.crt"), "--proxy-client-key-file="+p.PKI("front-proxy-client.key"),
			"--profiling=false"),
		// Its clients are throttled to 20 requests a second unless told otherwise.
		"kube-controller-manager": kube("kube-controller-manager", "--kubeconfig="+client("controllers"),
			"--authentication-kubeconfig="+client("controllers"), "--authorization-kubeconfig="+client("controllers"),
			"--authentication-tolerate-lookup-failure", // early on, nobody may look anything up yet
			"--service-account-private-key-file="+p.PKI("sa.key"), "--root-ca-file="+p.PKI("ca.crt"),
			"--use-service-account-credentials=true", "--leader-elect=false", "--bind-address=127.0.0.1",
			"--kube-api-qps=1000", "--kube-api-burst=2000", "--horizontal-pod-autoscaler-sync-period=3s"),
		"kube-scheduler": kube("kube-scheduler", "--kubeconfig="+client("scheduler"),
			"--authentication-kubeconfig="+client("scheduler"), "--authorization-kubeconfig="+client("scheduler"),
			"--leader-elect=false", "--bind-address=127.0.0.1"),
		"containerd": kube("containerd", "--config="+p.Config("containerd.toml")),
		"kubelet": kube("kubelet", "--config="+p.Config("kubelet.yaml"), "--kubeconfig="+client("kubelet"),
			"--root-dir="+p.State()+"/kubelet", "--hostname-override="+nodeName, "--node-ip="+nodeAddress),
		"kube-proxy": kube("kube-proxy", "--config="+p.Config("kube-proxy.yaml"), "--hostname-override="+nodeName),
	}
	// Enforces NetworkPolicies; a cluster without it takes and ignores them.
	if netpol := filepath.Join(p.Own, "netpol"); executable(netpol) {
		all["netpol"] = []string{netpol, "-kubeconfig", client("admin")}
	}
	return all
}

// configs are the components' files, templates of what configure knows.
//
//go:embed config
var configs embed.FS

// pluginFolders are where systems keep the CNI plugins.
var pluginFolders = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// configure writes the components' files.
func configure(p place) error {
	runc, err := exec.LookPath("runc")
	if err != nil {
		return fmt.Errorf("runc is missing: %w", err)
	}
	values := map[string]any{
		"Place": p, "Runc": runc, "ContainerdSocket": containerdSocket,
		"NodeName": nodeName, "PodRange": podRange, "DNSService": dnsService,
	}
	for _, dir := range pluginFolders {
		if executable(filepath.Join(dir, "ptp")) && executable(filepath.Join(dir, "host-local")) {
			values["Plugins"] = dir
		}
	}
	if values["Plugins"] == nil {
		return fmt.Errorf("no CNI plugins ptp and host-local in any of %q", pluginFolders)
	}
	return render(p, values)
}

func render(p place, values map[string]any) error {
	files, err := template.ParseFS(configs, "config/*")
	if err != nil {
		return err
	}
	for _, t := range files.Templates() {
		f, err := os.Create(p.Config(t.Name()))
		if err != nil {
			return err
		}
		if err := t.Execute(f, values); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
