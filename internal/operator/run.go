package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	controllerconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/gridmesh/gridmesh/controllers"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=create;get;patch;update,namespace=gridmesh-system
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// through is done once libraries have a logger. They keep it in a variable that
// is not guarded, and read it after Run has returned, too.
var through sync.Once

// logThrough has libraries log through logger. It is for the whole process: the
// first call counts, and comes before anything runs that might log.
func logThrough(logger *slog.Logger) {
	through.Do(func() {
		bridge := logr.FromSlogHandler(logger.Handler())
		ctrl.SetLogger(bridge)
		klog.SetLogger(bridge)
	})
}

// Run looks after Grids until ctx ends.
func Run(ctx context.Context, c Config, logger *slog.Logger) error {
	kube, err := connect(c.Kubeconfig)
	if err != nil {
		return err
	}
	lock, err := leaderLock(kube, c, os.Getenv)
	if err != nil {
		return err
	}
	manager, err := newManager(kube, c, lock, logger)
	if err != nil {
		return err
	}
	logger.Info("the operator starts", "version", Version(), "namespaces", c.WatchNamespaces, "api_server", kube.Host)
	return manager.Start(ctx)
}

// connect says how to reach the API server.
func connect(kubeconfig string) (kube *rest.Config, err error) {
	if kubeconfig != "" {
		kube, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	} else {
		kube, err = config.GetConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("where is the API server? %w", err)
	}
	kube.QPS = -1 // the server shares itself out fairly; 5 a second, the default, would hold a push up
	kube.UserAgent = "gridmesh-operator/" + Version()
	return kube, nil
}

// newManager makes a manager with all controllers in it.
func newManager(kube *rest.Config, c Config, lock resourcelock.Interface, logger *slog.Logger) (ctrl.Manager, error) {
	o := options(c, lock)
	o.Logger, o.NewCache = logr.FromSlogHandler(logger.Handler()), newCache(logger)
	manager, err := ctrl.NewManager(kube, o)
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}
	// Each is about this process alone. That caches are in step with the API
	// server shows in metrics; a restart would not bring them there.
	if err := errors.Join(manager.AddHealthzCheck("ping", healthz.Ping), manager.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return nil, err
	}
	peers, err := feed.New(feed.Options{
		Client: manager.GetClient(), Reader: manager.GetAPIReader(),
		Log: slog.New(logr.ToSlogHandler(manager.GetLogger().WithName("feed"))), Registerer: metrics.Registry, RotateEvery: c.RotateSigningKey,
	})
	if err != nil {
		return nil, err
	}
	counts, err := controllers.NewMetrics(metrics.Registry)
	if err != nil {
		return nil, err
	}
	grids := &controllers.GridReconciler{
		Client: manager.GetClient(), Reader: manager.GetAPIReader(),
		Recorder: manager.GetEventRecorder(names.FieldManager), Feed: peers, Metrics: counts, Concurrency: c.Concurrency,
	}
	return manager, errors.Join(peers.SetupWithManager(manager), grids.SetupWithManager(manager))
}

func options(c Config, lock resourcelock.Interface) ctrl.Options {
	keep := controllers.Cache()
	for _, namespace := range c.WatchNamespaces {
		if keep.DefaultNamespaces == nil {
			keep.DefaultNamespaces = make(map[string]cache.Config)
		}
		keep.DefaultNamespaces[namespace] = cache.Config{}
	}
	warm, recoverPanic := true, true
	return ctrl.Options{
		Scheme:                 controllers.Scheme(),
		MapperProvider:         newMapper,
		Cache:                  keep,
		Metrics:                metricsOptions(c),
		HealthProbeBindAddress: c.HealthAddr,
		LivenessEndpointName:   "/livez",
		ReadinessEndpointName:  "/readyz",
		PprofBindAddress:       c.PprofAddr,
		// One is always elected, with one replica, too: an upgrade has two for a while.
		LeaderElection:                      true,
		LeaderElectionResourceLockInterface: lock,
		LeaseDuration:                       &c.LeaderLeaseDuration, RenewDeadline: &c.LeaderRenewDeadline, RetryPeriod: &c.LeaderRetryPeriod,
		// All that leads is over before Start returns, and then this process ends.
		LeaderElectionReleaseOnCancel: true,
		Controller: controllerconfig.Controller{
			// Caches fill before this process leads, so that a new leader is quick.
			EnableWarmup: &warm,
			RecoverPanic: &recoverPanic,
			// While the API server is away they wait. To end would only add the
			// kubelet's back-off to that.
			CacheSyncTimeout: time.Hour,
		},
	}
}

func metricsOptions(c Config) metricsserver.Options {
	switch {
	case c.MetricsAddr == metricsOff:
		return metricsserver.Options{BindAddress: "0"}
	case c.MetricsAccess == accessOpen:
		return metricsserver.Options{BindAddress: c.MetricsAddr}
	}
	return metricsserver.Options{
		BindAddress: c.MetricsAddr, SecureServing: true,
		FilterProvider: filters.WithAuthenticationAndAuthorization,
	}
}
