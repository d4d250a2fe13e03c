package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// retryDelay is before another try to load what nft has refused.
const retryDelay = time.Second

func main() {
	kubeconfig := flag.String("kubeconfig", "", "`file` with the cluster's address and a certificate that may read all policies")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := enforce(ctx, *kubeconfig)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "netpol:", err)
		os.Exit(1)
	}
}

// enforce keeps the table what the policies say until ctx ends. What is loaded
// stays when it ends: policies hold without who enforces them.
func enforce(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, namespaces, policies := factory.Core().V1().Pods(), factory.Core().V1().Namespaces(), factory.Networking().V1().NetworkPolicies()
	changed := make(chan struct{}, 1)
	note := func() {
		select {
		case changed <- struct{}{}:
		default: // noted already
		}
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { note() }, UpdateFunc: func(any, any) { note() }, DeleteFunc: func(any) { note() },
		}); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	factory.WaitForCacheSync(ctx.Done())

	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	loaded := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		w := world{namespaces: make(map[string]labels.Set)}
		all, err1 := namespaces.Lister().List(labels.Everything())
		for _, namespace := range all {
			w.namespaces[namespace.Name] = namespace.Labels
		}
		var err2, err3 error
		w.pods, err2 = pods.Lister().List(labels.Everything())
		w.policies, err3 = policies.Lister().List(labels.Everything())
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		table := w.table()
		if table == loaded {
			continue
		}
		if err := load(ctx, table); err != nil {
			logger.Error("policies are not enforced", "err", err, "table", table)
			time.AfterFunc(retryDelay, note)
			continue
		}
		loaded = table
		logger.Info("loaded", "pods", len(w.pods), "policies", len(w.policies))
	}
}

// load gives the table to the kernel, which takes all of it at once or nothing.
func load(ctx context.Context, table string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(table)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, output)
	}
	return nil
}
