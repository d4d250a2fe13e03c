package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

// step is one thing that happens to a Grid, or to those who look after it.
func (l *life) step(g *living) {
	l.Helper()
	type act struct {
		name string
		ok   bool
		do   func()
	}
	alive := !g.gone
	acts := []act{
		{"scale", alive, func() { l.scale(g, int32(l.rnd.IntN(6))) }},
		{"scale", alive, func() { l.scale(g, int32(1+l.rnd.IntN(4))) }},
		{"another image", alive, func() { l.newImage(g) }},
		{"delete", alive && !g.paused, func() { l.die(g) }},
		{"delete with its list", alive && !g.paused && g.adopted, func() { l.dieForgotten(g) }},
		{"make again", !alive, func() { l.born(g) }},
		{"make again", !alive, func() { l.born(g) }},
		{"pause", alive && !g.paused, func() { l.pause(g, true) }},
		{"pause", alive && !g.paused, func() { l.pause(g, true) }},
		{"unpause", alive && g.paused, func() { l.pause(g, false) }},
		{"unpause", alive && g.paused, func() { l.pause(g, false) }},
		{"rotate the signing key", alive && g.secure, func() { l.rotate(g) }},
		{"unlabel a pod", alive, func() {
			l.aPod(g, func(p *corev1.Pod) { delete(p.Labels, names.LabelGrid); l.may(l.kube.Client.Update(l.Context(), p)) })
		}},
		{"kill a pod", alive, func() {
			l.aPod(g, func(p *corev1.Pod) { l.may(l.kube.Client.Delete(l.Context(), p, client.GracePeriodSeconds(0))) })
		}},
		{"evict a pod", alive, func() {
			l.aPod(g, func(p *corev1.Pod) {
				p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted"
				l.may(l.kube.Client.Status().Update(l.Context(), p))
			})
		}},
		{"restart a container", alive, func() {
			l.aPod(g, func(p *corev1.Pod) {
				if node := l.nodes[p.UID]; node != nil {
					node.restart()
				}
			})
		}},
		{"a pod is not ready", alive, func() {
			l.aPod(g, func(p *corev1.Pod) {
				if p.Status.PodIP != "" {
					l.setPod(p, p.Status.PodIP, false)
				}
			})
		}},
		{"a pod that is another's", alive, func() { l.impostor(g) }},
		{"somebody changes what is ours", alive, func() { l.vandal(g) }},
		{"another operator takes over", true, l.takeOver},
		{"the operator starts anew", true, func() {
			l.operators[0].stop()
			l.operators = l.operators[1:]
			l.begin()
		}},
		{"the garbage collector stands still", !l.garbage, func() { l.garbage = true }},
		{"time passes", true, func() { l.pass(time.Duration(l.rnd.IntN(300)) * time.Millisecond) }},
	}
	for {
		if a := acts[l.rnd.IntN(len(acts))]; a.ok {
			l.tellf("%s: %s", g.name, a.name)
			a.do()
			return
		}
	}
}

func (l *life) tellf(format string, args ...any) {
	l.Helper()
	l.Logf("%s %s", time.Now().Format("05.000"), fmt.Sprintf(format, args...))
}

func (l *life) living(name string) *living {
	i := slices.IndexFunc(l.grids, func(g *living) bool { return g.name == name })
	if i < 0 {
		return nil
	}
	return l.grids[i]
}

// begin starts an operator.
func (l *life) begin() {
	l.Helper()
	keep := Cache()
	keep.DefaultNamespaces = map[string]cache.Config{l.namespace: {}}
	manager, err := ctrl.NewManager(l.kube.Config, ctrl.Options{
		Scheme: Scheme(), Cache: keep, Metrics: server.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		l.Fatal(err)
	}
	fed, err := feed.New(feed.Options{Client: manager.GetClient(), Reader: manager.GetAPIReader(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		l.Fatal(err)
	}
	counts, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		l.Fatal(err)
	}
	grids := &GridReconciler{
		Client: manager.GetClient(), Reader: manager.GetAPIReader(), Recorder: manager.GetEventRecorder("gridmesh-operator"), Feed: fed, Metrics: counts,
	}
	if err := fed.SetupWithManager(manager); err != nil {
		l.Fatal(err)
	}
	if err := grids.SetupWithManager(manager); err != nil {
		l.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.Context()))
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	begun := time.Now()
	stop := sync.OnceFunc(func() {
		manager.GetCache().WaitForCacheSync(ctx) // who stops before that, and before all watch, makes much noise
		l.pass(startTime - time.Since(begun))
		cancel()
		if err := <-ended; err != nil {
			l.Error(err)
		}
	})
	l.Cleanup(stop)
	l.operators = append(l.operators, &lifeOperator{feed: fed, stop: stop})
}

// takeOver has a second operator begin while the first is still at it, which is
// worse than what an election allows.
func (l *life) takeOver() {
	l.begin()
	l.pass(time.Duration(l.rnd.IntN(400)) * time.Millisecond)
	l.machinery(false)
	l.operators[0].stop()
	l.operators = l.operators[1:]
}

func (l *life) pass(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// born makes a Grid, and what its user brings.
func (l *life) born(g *living) {
	l.Helper()
	g.gone, g.paused, g.asked = false, false, 0
	l.mu.Lock()
	delete(l.least, g.name) // what there was went with the one before
	l.mu.Unlock()
	grid := &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: g.name},
		Spec:       v1alpha1.GridSpec{AdminPort: lifePort, DrainTimeout: &metav1.Duration{Duration: time.Second}},
	}
	if !g.secure {
		grid.Spec.TLS.Mode = v1alpha1.TLSNone
	}
	if !g.adopted {
		g.replicas = int32(1 + l.rnd.IntN(3))
		grid.Spec.Image, grid.Spec.Replicas = "node:"+strconv.Itoa(g.image), &g.replicas
		l.create(grid)
		return
	}
	grid.Spec.StatefulSetRef = &v1alpha1.StatefulSetReference{Name: g.name}
	l.create(grid)
	if l.get(g.name, new(appsv1.StatefulSet)) {
		return
	}
	g.replicas = int32(1 + l.rnd.IntN(3))
	set, service := web(l.namespace)
	set.Name, set.Spec.Template.Labels[names.LabelGrid], *set.Spec.Replicas = g.name, g.name, g.replicas
	set.Spec.Template.Spec.Containers[0].Ports[1].ContainerPort = lifePort
	set.Spec.Template.Spec.Volumes[0].ConfigMap.Name = names.ConfigMap(g.name)
	set.Spec.Template.Spec.Volumes[1].Secret.SecretName = names.TLSSecret(g.name)
	l.create(service)
	l.create(set)
}

func (l *life) create(o client.Object) {
	l.Helper()
	if err := l.kube.Client.Create(l.Context(), o); err != nil {
		l.Fatal(err)
	}
}

// die deletes a Grid.
func (l *life) die(g *living) {
	l.Helper()
	if !g.gone {
		g.gone, g.rotating = true, false
		l.may(l.kube.Client.Delete(l.Context(), &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: g.name}}))
	}
}

// dieForgotten deletes a Grid and its list: only its pods know the epoch.
func (l *life) dieForgotten(g *living) {
	l.Helper()
	l.die(g)
	l.loses(g)
	l.mu.Lock()
	l.forgotten[g.name] = true
	l.mu.Unlock()
	// An operator that is at it may make it once more.
	envtestkit.Wait(l.T, "the list to be gone", func() (string, bool) {
		l.may(l.kube.Client.Delete(l.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: names.ConfigMap(g.name)}}))
		state := l.operators[0].feed.State(client.ObjectKey{Namespace: l.namespace, Name: g.name})
		return "the operator knows the Grid", !state.Committed && !l.get(names.ConfigMap(g.name), new(corev1.ConfigMap))
	})
}

// change changes an object as its user would.
func change[T client.Object](l *life, name string, o T, by func(T)) {
	l.Helper()
	envtestkit.Wait(l.T, "a change without conflict", func() (string, bool) {
		if !l.get(name, o) {
			return "there is none", true
		}
		by(o)
		err := l.kube.Client.Update(l.Context(), o)
		return fmt.Sprint(err), err == nil
	})
}

func (l *life) scale(g *living, to int32) {
	l.Helper()
	g.replicas = to
	l.mu.Lock()
	l.least[g.name] = min(l.least[g.name], to)
	l.mu.Unlock()
	if g.adopted {
		change(l, g.name, new(appsv1.StatefulSet), func(s *appsv1.StatefulSet) { *s.Spec.Replicas = to })
		return
	}
	change(l, g.name, new(v1alpha1.Grid), func(o *v1alpha1.Grid) { *o.Spec.Replicas = to })
}

func (l *life) newImage(g *living) {
	l.Helper()
	g.image++
	image := "node:" + strconv.Itoa(g.image)
	if g.adopted {
		change(l, g.name, new(appsv1.StatefulSet), func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = image })
		return
	}
	change(l, g.name, new(v1alpha1.Grid), func(o *v1alpha1.Grid) { o.Spec.Image = image })
}

// pause pauses a Grid, and often wishes for something right after, or ends that.
func (l *life) pause(g *living, on bool) {
	l.Helper()
	change(l, g.name, new(v1alpha1.Grid), func(o *v1alpha1.Grid) { o.Spec.Paused = on })
	g.paused = on
	if !on {
		return
	}
	envtestkit.Wait(l.T, "the pause to be seen", func() (string, bool) {
		var o v1alpha1.Grid
		l.get(g.name, &o)
		return fmt.Sprint(o.Status.Conditions), meta.IsStatusConditionTrue(o.Status.Conditions, v1alpha1.ConditionPaused)
	})
	var set appsv1.StatefulSet
	l.get(g.name, &set)
	g.frozen = sayings(&set)
	if l.rnd.IntN(3) > 0 {
		l.scale(g, int32(l.rnd.IntN(6)))
		l.newImage(g)
	}
}

// sayings is what the operator says in a StatefulSet.
func sayings(set *appsv1.StatefulSet) string {
	images := make([]string, 0, 1)
	for i := range set.Spec.Template.Spec.Containers {
		images = append(images, set.Spec.Template.Spec.Containers[i].Image)
	}
	return fmt.Sprint(names.Replicas(set), set.Annotations, images)
}

func (l *life) rotate(g *living) {
	l.Helper()
	g.asked++
	change(l, g.name, new(v1alpha1.Grid), func(o *v1alpha1.Grid) {
		metav1.SetMetaDataAnnotation(&o.ObjectMeta, feed.AnnotationRotate, strconv.Itoa(g.asked))
	})
}

func labelSet(o client.Object) labels.Set { return o.GetLabels() }

// aPod does something to one of the Grid's pods, if there is any.
func (l *life) aPod(g *living, do func(*corev1.Pod)) {
	l.Helper()
	var pods corev1.PodList
	l.list(&pods)
	var of []*corev1.Pod
	for i := range pods.Items {
		if pods.Items[i].Labels[names.LabelGrid] == g.name {
			of = append(of, &pods.Items[i])
		}
	}
	if len(of) > 0 {
		do(of[l.rnd.IntN(len(of))])
	}
}

// impostor makes a pod under the next name that the StatefulSet will need, with
// the label of the Grid and an address, that another controller has made; and
// often has the StatefulSet need the name.
func (l *life) impostor(g *living) {
	l.Helper()
	ordinal := int32(0)
	for l.get(fmt.Sprintf("%s-%d", g.name, ordinal), new(corev1.Pod)) {
		ordinal++
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: l.namespace, Name: fmt.Sprintf("%s-%d", g.name, ordinal), Labels: names.Selector(g.name),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "another", UID: "another", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "node", Image: "another:1"}}},
	}
	if err := l.kube.Client.Create(l.Context(), p); err != nil {
		l.may(err)
		return
	}
	l.setPod(p, "127.83.255.254", true)
	if ordinal < 5 && l.rnd.IntN(3) > 0 {
		l.scale(g, ordinal+1)
	}
}

// loses notes that the list of a Grid is going to be lost, and gives one that it
// had, as somebody may have in a backup; nil if there was none.
func (l *life) loses(g *living) *corev1.ConfigMap {
	l.Helper()
	var c corev1.ConfigMap
	if !l.get(names.ConfigMap(g.name), &c) {
		return nil
	}
	list, err := l.read(&c)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost[g.name] = true
	of := l.lists[list.MeshID]
	if err != nil || of == nil {
		return nil
	}
	epochs := slices.Sorted(maps.Keys(of.all))
	old := of.all[epochs[l.rnd.IntN(len(epochs))]]
	if old.Data[names.KeyTrusted] != c.Data[names.KeyTrusted] {
		return nil // nobody trusts its key any more
	}
	return old
}

// vandal changes something of what the operator has made.
func (l *life) vandal(g *living) {
	l.Helper()
	switch l.rnd.IntN(7) {
	case 0:
		change(l, names.ConfigMap(g.name), new(corev1.ConfigMap), func(c *corev1.ConfigMap) { c.Data[names.KeySettings] = "{}" })
	case 1:
		if !g.adopted { // it has no owner, so its labels are all that says whose it is
			change(l, names.ConfigMap(g.name), new(corev1.ConfigMap), func(c *corev1.ConfigMap) { delete(c.Labels, names.LabelManagedBy) })
		}
	case 2:
		if !g.adopted && !g.paused {
			change(l, g.name, new(corev1.Service), func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = false })
		}
	case 3:
		if !g.adopted && !g.paused {
			change(l, g.name, new(appsv1.StatefulSet), func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Containers[0].Image = "vandal:1" })
		}
	case 4:
		l.loses(g)
		l.may(l.kube.Client.Delete(l.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: names.ConfigMap(g.name)}}))
	case 5, 6:
		if old := l.loses(g); old != nil {
			change(l, names.ConfigMap(g.name), new(corev1.ConfigMap), func(c *corev1.ConfigMap) {
				c.BinaryData, c.Annotations = old.BinaryData, old.Annotations
			})
		}
	}
}
