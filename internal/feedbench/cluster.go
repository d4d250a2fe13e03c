package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// cluster is an API server on which nobody acts but the operator and this process.
type cluster struct {
	env        *envtest.Environment
	kube       client.Client
	kubeconfig string
}

// patience ends what will not come.
const patience = 5 * time.Minute

func startCluster(root, dir string) (*cluster, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("no API server: run make bench-feed, or first export KUBEBUILDER_ASSETS=$(tools/envtest-assets)")
	}
	c := &cluster{env: &envtest.Environment{
		Scheme: controllers.Scheme(), CRDDirectoryPaths: []string{filepath.Join(root, "config", "crd")}, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience,
	}}
	config, err := c.env.Start()
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	if c.kube, err = client.New(config, client.Options{Scheme: controllers.Scheme()}); err != nil {
		return nil, errors.Join(err, c.env.Stop())
	}
	c.kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(c.kubeconfig, c.env.KubeConfig, 0o600); err != nil {
		return nil, errors.Join(err, c.env.Stop())
	}
	return c, nil
}

// grid makes a Grid of that many pods, and waits until the operator has made what
// it needs.
func (c *cluster) grid(ctx context.Context, namespace, name string, replicas int) (*appsv1.StatefulSet, error) {
	count := int32(replicas)
	err := c.kube.Create(ctx, &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.GridSpec{Image: "node:bench", Replicas: &count, AdminPort: adminPort},
	})
	if err != nil {
		return nil, err
	}
	set := new(appsv1.StatefulSet)
	return set, c.wait(ctx, namespace, name, set)
}

// wait waits until an object is there.
func (c *cluster) wait(ctx context.Context, namespace, name string, o client.Object) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%T %s did not come within %v", o, name, patience))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.kube.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o)
		if client.IgnoreNotFound(err) != nil || err == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// folder writes what a pod of the Grid has mounted.
func (c *cluster) folder(ctx context.Context, namespace, dir string) error {
	keys, cert := new(corev1.ConfigMap), new(corev1.Secret)
	if err := c.wait(ctx, namespace, names.ConfigMap("demo"), keys); err != nil {
		return err
	}
	if err := c.wait(ctx, namespace, names.TLSSecret("demo"), cert); err != nil {
		return err
	}
	files := map[string][]byte{"grid/" + names.KeyTrusted: []byte(keys.Data[names.KeyTrusted])}
	for key, value := range cert.Data {
		files["tls/"+key] = value
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// pod makes a pod of the StatefulSet, without an address.
func (c *cluster) pod(ctx context.Context, set *appsv1.StatefulSet, ordinal int) (*corev1.Pod, error) {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.Namespace, Name: fmt.Sprintf("%s-%d", set.Name, ordinal), Labels: set.Spec.Template.Labels, Annotations: set.Spec.Template.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))},
		},
		Spec: *set.Spec.Template.Spec.DeepCopy(),
	}
	return p, c.kube.Create(ctx, p)
}

// address gives the pod its address, and returns when the API server has it.
func (c *cluster) address(ctx context.Context, p *corev1.Pod, ip string) (time.Time, error) {
	p.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: names.Container, Image: "node:bench", Ready: true, State: corev1.ContainerState{Running: new(corev1.ContainerStateRunning)},
		}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	err := c.kube.Status().Update(ctx, p)
	return time.Now(), err
}

// pods makes pods first to end, with addresses, many at once, and returns when
// the last of them has its address.
func (c *cluster) pods(ctx context.Context, set *appsv1.StatefulSet, count int) (last time.Time, err error) {
	const workers = 16
	var mu sync.Mutex // protects last and err
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := worker; i < count; i += workers {
				p, e := c.pod(ctx, set, i)
				var at time.Time
				if e == nil {
					at, e = c.address(ctx, p, address(i))
				}
				mu.Lock()
				err = errors.Join(err, e)
				if at.After(last) {
					last = at
				}
				mu.Unlock()
				if e != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return last, err
}

// listed waits until a list of that many names is committed.
func (c *cluster) listed(ctx context.Context, namespace, grid string, count int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s has no list of %d names after %v", grid, count, patience))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		m := new(corev1.ConfigMap)
		if err := c.wait(ctx, namespace, names.ConfigMap(grid), m); err != nil {
			return err
		}
		keys, err := peers.ParsePublicKeys([]byte(m.Data[names.KeyTrusted]))
		if err != nil {
			return err
		}
		list, err := peers.Verify(m.BinaryData[names.KeyDocument], peers.Trust{Grid: namespace + "/" + grid, Keys: keys})
		if err == nil && len(list.Names) == count {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// clear deletes the Grids and pods of a namespace.
func (c *cluster) clear(ctx context.Context, namespace string) error {
	for _, kind := range []client.Object{&v1alpha1.Grid{}, &appsv1.StatefulSet{}, &corev1.Pod{}} {
		if err := c.kube.DeleteAllOf(ctx, kind, client.InNamespace(namespace), client.GracePeriodSeconds(0)); err != nil {
			return err
		}
	}
	return nil
}
