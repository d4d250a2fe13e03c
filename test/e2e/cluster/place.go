//go:build linux

package main

import (
	"os"
	"path/filepath"
)

// Where the cluster is on the network. All of it lies in 198.18.0.0/15, which
// RFC 2544 sets aside for tests, and can be reached from this machine only.
const (
	device       = "gridmesh-e2e" // the machine's end of the cable to the node
	hostAddress  = "198.18.255.1"
	nodeAddress  = "198.18.255.2"
	cableBits    = "/30"
	podRange     = "198.18.0.0/20"
	serviceRange = "198.19.0.0/16"
	apiService   = "198.19.0.1" // the first address of serviceRange, always
	dnsService   = "198.19.0.10"
	apiURL       = "https://" + nodeAddress + ":6443"
	nodeName     = "node1"
)

// place is where a cluster keeps its files on this machine.
type place struct {
	Dir  string `json:"dir"`  // of this cluster; kept, but for state, to be looked at
	Kube string `json:"kube"` // the programs that test/e2e/kube/build has built
	Own  string `json:"own"`  // the programs of this tree: this one and its siblings
}

// findPlace returns the place of this machine's one cluster.
func findPlace() (place, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return place{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return place{}, err
	}
	return place{
		Dir:  filepath.Join(cache, "gridmesh", "e2e"),
		Kube: os.Getenv("GRIDMESH_KUBE"),
		Own:  filepath.Dir(self),
	}, nil
}

func (p place) path(elements ...string) string {
	return filepath.Join(append([]string{p.Dir}, elements...)...)
}

// The files, by what they are for.
func (p place) lock() string              { return p.path("lock") }
func (p place) pid() string               { return p.path("pid") }
func (p place) cgroups() string           { return p.path("cgroups") } // the cgroups made, a line each
func (p place) control() string           { return p.path("control.sock") }
func (p place) log(program string) string { return p.path("log", program+".log") }
func (p place) State() string             { return p.path("state") } // a tmpfs, in the node's mount namespace only
func (p place) PKI(file string) string    { return p.path("pki", file) }
func (p place) Config(file string) string { return p.path("config", file) }
func (p place) kubeconfig() string        { return p.PKI("admin.kubeconfig") }
func (p place) kubectl() string           { return filepath.Join(p.Kube, "kubectl") }
