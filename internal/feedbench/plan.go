package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Goals.
const (
	goalWarm   = time.Second     // p99, with the operator warm
	goalStart  = 5 * time.Second // right after its start
	goalMemory = 150 << 20       // bytes
)

// quiet is how long nothing is done before a measurement, so that what the one
// before has caused is over.
const quiet = 2 * time.Second

// plan is what is measured.
type plan struct {
	nodes, rounds, starts int
	grids, pods           int
	check                 bool

	cluster  *cluster
	dir      string
	nodesAt  *process
	operator *process
	set      *appsv1.StatefulSet
	size     int // pods there are now
	report   report
}

func (p *plan) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	if p.dir, err = os.MkdirTemp("", "feedbench"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	if p.cluster, err = startCluster(root, p.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.cluster.env.Stop()) }()
	p.report.began = time.Now()
	say := func(format string, args ...any) { fmt.Fprintf(stderr, "feedbench: "+format+"\n", args...) }
	if err := p.latency(ctx, say); err != nil {
		return err
	}
	if p.grids > 0 {
		if err := p.memory(ctx, say); err != nil {
			return err
		}
	}
	p.report.write(stdout)
	if missed := p.report.missed(); p.check && len(missed) > 0 {
		return fmt.Errorf("missed: %s", strings.Join(missed, ", "))
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the tree: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// latency measures one Grid of many nodes.
func (p *plan) latency(ctx context.Context, say func(string, ...any)) (err error) {
	const namespace = "feed"
	if err := p.cluster.kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	if p.operator, err = startOperator(ctx, p.cluster.kubeconfig, namespace); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.operator.stop()) }()
	total := p.nodes + p.rounds + p.starts
	if p.set, err = p.cluster.grid(ctx, namespace, "demo", total); err != nil {
		return fmt.Errorf("%w: %s", err, p.operator.stderr)
	}
	if err := p.cluster.folder(ctx, namespace, p.dir); err != nil {
		return err
	}
	if p.nodesAt, err = startNodes(ctx, p.dir, namespace, total); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.nodesAt.stop()) }()

	say("%d pods come up", p.nodes)
	began := time.Now()
	last, err := p.cluster.pods(ctx, p.set, p.nodes)
	if err != nil {
		return err
	}
	p.size = p.nodes
	when, err := p.nodesAt.applied(p.size, p.size)
	if err != nil {
		return err
	}
	p.report.add("all at once", last, when, usage{})
	say("they came within %v", last.Sub(began).Round(time.Millisecond))
	// A list has hints of those who joined a short while ago; all of these, now.
	say("a minute passes, as it does between two changes of a mesh")
	if err := pause(ctx, time.Minute+quiet); err != nil {
		return err
	}

	for i := range p.rounds {
		say("pod %d of %d is added", i+1, p.rounds)
		if err := p.add(ctx, "one more, operator warm", nil); err != nil {
			return err
		}
	}
	for i := range p.starts {
		say("start %d of %d", i+1, p.starts)
		if err := p.operator.stop(); err != nil {
			return err
		}
		if err := p.add(ctx, "one more, operator started just now", func() (time.Time, error) {
			at := time.Now()
			p.operator, err = startOperator(ctx, p.cluster.kubeconfig, namespace)
			return at, err
		}); err != nil {
			return err
		}
	}
	now, most, err := p.operator.memory()
	p.report.connected = memory{pods: p.size, now: now, most: most}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// add adds a pod and measures until all nodes use a list with it, from when it
// has its address or, if that is later, from what start says.
func (p *plan) add(ctx context.Context, what string, start func() (time.Time, error)) error {
	pod, err := p.cluster.pod(ctx, p.set, p.size)
	if err != nil {
		return err
	}
	if err := pause(ctx, quiet); err != nil {
		return err
	}
	before := p.used()
	from, err := p.cluster.address(ctx, pod, address(p.size))
	if err != nil {
		return err
	}
	if start != nil {
		if from, err = start(); err != nil {
			return err
		}
		before.operator = 0 // another process
	}
	p.size++
	when, err := p.nodesAt.applied(p.size, p.size)
	if err != nil {
		return err
	}
	after := p.used()
	p.report.add(what, from, when, usage{after.operator - before.operator, after.nodes - before.nodes})
	return nil
}

// used is the processor time that operator and nodes have used up to now.
func (p *plan) used() usage { return usage{p.operator.cpu(), p.nodesAt.cpu()} }

// memory measures an operator that looks after many Grids. Their pods have
// addresses where nobody listens.
func (p *plan) memory(ctx context.Context, say func(string, ...any)) (err error) {
	const namespace = "memory"
	if err := p.cluster.kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	if err := p.cluster.clear(ctx, "feed"); err != nil {
		return err
	}
	operator, err := startOperator(ctx, p.cluster.kubeconfig, namespace)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, operator.stop()) }()
	each := p.pods / p.grids
	say("%d Grids with %d pods each come up", p.grids, each)
	for i := range p.grids {
		set, err := p.cluster.grid(ctx, namespace, fmt.Sprintf("grid-%d", i), each)
		if err != nil {
			return fmt.Errorf("%w: %s", err, operator.stderr)
		}
		if _, err := p.cluster.pods(ctx, set, each); err != nil {
			return err
		}
	}
	for i := range p.grids {
		if err := p.cluster.listed(ctx, namespace, fmt.Sprintf("grid-%d", i), each); err != nil {
			return err
		}
	}
	// As it grew, and as it is when it was started with all of them there.
	_, p.report.grown, err = operator.memory()
	if err != nil {
		return err
	}
	if err := operator.stop(); err != nil {
		return err
	}
	if operator, err = startOperator(ctx, p.cluster.kubeconfig, namespace); err != nil {
		return err
	}
	say("the operator looks after them for a minute")
	if err := pause(ctx, time.Minute); err != nil {
		return err
	}
	now, most, err := operator.memory()
	p.report.cached = memory{grids: p.grids, pods: p.pods, now: now, most: most}
	return err
}
