// Package envtestkit gives tests a real API server: etcd and kube-apiserver,
// without controllers and nodes, with the definition of Grid installed. One pair
// serves all tests of a package; each test has a namespace of its own. It starts
// nothing in a package whose tests do not ask, and is imported by tests only.
//
//	func TestMain(m *testing.M) { os.Exit(envtestkit.Run(m)) }
//
//	func TestGrid(t *testing.T) {
//		kube := envtestkit.Start(t)
//		namespace := kube.Namespace(t)
//		… kube.Client.Create(t.Context(), …)
//	}
//
// Nothing but the API server acts: no StatefulSet makes pods, no owner's end
// takes what it owned along, and a deleted namespace stays; a test does itself
// what a controller would.
package envtestkit
