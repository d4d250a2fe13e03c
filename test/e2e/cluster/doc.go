// Command cluster starts a real Kubernetes of one node on this machine, from
// nothing but the binaries that test/e2e/kube builds and runc, CNI plugins and
// nftables of the system. It needs root and Linux.
//
//	cluster up              starts one and leaves it there
//	cluster run COMMAND...  starts one, runs COMMAND with KUBECONFIG set, takes
//	                        it down again
//	cluster ctl WORDS...    load FILE | kill CONTAINER | stop PROGRAM | start PROGRAM |
//	                        folder NAME
//	cluster down            takes down what is there
//
// The node is a process in namespaces of its own (mount, network, pid, uts,
// ipc, cgroup), of which it is process 1; etcd, the API server, the kubelet and
// the pods are its children. So all that they mount, route and run is gone with
// that one process. On the machine itself there are only a folder in the
// cache, a pair of network devices with addresses out of 198.18.0.0/15 (which
// is set aside for tests), and cgroups, and `down` and every `up` remove what
// an earlier one has left, however that ended. A cluster of `run` dies with
// that command, even if it is killed.
//
// It runs on cgroup v1; what it does for v2 follows the kernel's documentation
// and has not been run.
package main
