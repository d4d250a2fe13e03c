package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/settings"
)

// SelfTest is what the self-test is told.
type SelfTest struct {
	Namespace  string
	NodeImage  string
	Replicas   int
	Timeout    time.Duration
	Keep       bool
	Kubeconfig string
	Help       bool
}

const (
	selfTestLook = 500 * time.Millisecond // between two looks at the Grid
	cleanupTime  = 30 * time.Second       // to delete it, whatever has happened
)

func (c *SelfTest) table() *settings.Table {
	return &settings.Table{Prefix: prefix + "SELFTEST_", Settings: []settings.Setting{
		{Name: "namespace", Group: "Self-test", Default: "default", Value: settings.String(&c.Namespace, "NAMESPACE", "the name of a namespace", checkNamespace),
			Help: "Where the Grid is made. The operator must look after it."},
		{Name: "node-image", Group: "Self-test", Value: settings.String(&c.NodeImage, "IMAGE", "an image of the node", nil),
			Help: "Image of its nodes. Required."},
		{Name: "replicas", Group: "Self-test", Default: "2", Value: settings.Int(&c.Replicas, 2, 10),
			Help: "How many nodes it has."},
		{Name: "timeout", Group: "Self-test", Default: "2m", Value: settings.Duration(&c.Timeout, time.Second, time.Hour),
			Help: "How long all of it may take."},
		{Name: "keep", Group: "Self-test", Default: "false", Value: settings.Switch(&c.Keep),
			Help: "Leave the Grid when the test fails, to look at it."},
		{Name: "kubeconfig", Group: "Self-test", Value: settings.Path(&c.Kubeconfig, "FILE", "the path of a file"),
			Help: "How to reach the API server, as for the operator."},
		{Name: "help", Alias: "h", Group: groupHelp, FlagOnly: true, Value: settings.Switch(&c.Help), Help: "Say all this."},
	}}
}

const selfTestIntro = `This makes a small Grid, waits until it is ready, has each of its nodes call each
other one through the mesh, and deletes it. It needs an operator that runs, and
the permissions to make Grids and to forward ports to pods.

Usage:
  operator selftest --node-image IMAGE [settings]
`

func selfTestMain(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	var c SelfTest
	loaded, err := c.table().Load(settings.Input{Args: args, Environ: environ})
	switch {
	case c.Help:
		fmt.Fprint(stdout, selfTestIntro)
		c.table().WriteHelp(stdout)
		return 0
	case err != nil:
		return complain(stderr, err)
	case len(loaded.Rest) > 0:
		return complain(stderr, settings.Conflict("command line", loaded.Rest[0], "is no setting"))
	case c.NodeImage == "":
		return complain(stderr, settings.Conflict(loaded.Source("node-image"), "node-image",
			"is missing; say which image nodes run, such as --node-image gridmesh/node:v0.1.0"))
	}
	kube, err := connect(c.Kubeconfig)
	if err == nil {
		err = c.run(ctx, kube, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "selftest failed: %v\n", err)
		return failed
	}
	fmt.Fprintln(stdout, "selftest passed")
	return 0
}

// run does the test. The Grid is deleted at the end, whatever the end is.
func (c *SelfTest) run(ctx context.Context, kube *rest.Config, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	api, err := client.New(kube, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	replicas := int32(c.Replicas)
	g := &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: "selftest-" + rand.String(5)},
		Spec:       v1alpha1.GridSpec{Image: c.NodeImage, Replicas: &replicas},
	}
	if err := api.Create(ctx, g); err != nil {
		return fmt.Errorf("make Grid %s: %w", names.ID(g), err)
	}
	fmt.Fprintf(out, "made Grid %s with %d nodes of %s\n", names.ID(g), c.Replicas, c.NodeImage)
	defer func() {
		if err != nil && c.Keep {
			fmt.Fprintf(out, "Grid %s stays, to look at\n", names.ID(g))
			return
		}
		// The test's own time may be over.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		if gone := client.IgnoreNotFound(api.Delete(ctx, g)); gone != nil {
			err = errors.Join(err, fmt.Errorf("delete Grid %s: %w", names.ID(g), gone))
			return
		}
		fmt.Fprintf(out, "deleted Grid %s\n", names.ID(g))
	}()
	if err := c.waitReady(ctx, api, g, out); err != nil {
		return err
	}
	return c.callAll(ctx, kube, api, g, out)
}

// waitReady waits until the Grid is ready. When it does not become so it says
// what the Grid's status says.
func (c *SelfTest) waitReady(ctx context.Context, api client.Client, g *v1alpha1.Grid, out io.Writer) error {
	said := ""
	var last error
	err := wait.PollUntilContextCancel(ctx, selfTestLook, true, func(ctx context.Context) (bool, error) {
		if last = api.Get(ctx, client.ObjectKeyFromObject(g), g); last != nil {
			if apierrors.IsNotFound(last) {
				return false, fmt.Errorf("somebody deleted Grid %s", names.ID(g))
			}
			return false, nil // it may be back in a moment
		}
		if now := describe(g); now != said {
			said = now
			fmt.Fprintf(out, "  %s\n", now)
		}
		return meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionReady) && g.Status.ObservedGeneration == g.Generation, nil
	})
	switch {
	case err == nil:
		return nil
	case wait.Interrupted(err) && len(g.Status.Conditions) == 0:
		return errors.Join(fmt.Errorf("nobody has looked at Grid %s within %s: does the operator run, and look after namespace %s?",
			names.ID(g), c.Timeout, g.Namespace), last)
	case wait.Interrupted(err):
		return errors.Join(fmt.Errorf("not ready within %s: %s%s", c.Timeout, describe(g), troubles(g)), last)
	}
	return err
}

func describe(g *v1alpha1.Grid) string {
	ready := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "no status yet"
	}
	return fmt.Sprintf("ready %s, links %s: %s: %s", g.Status.Ready, g.Status.Links, ready.Reason, ready.Message)
}

func troubles(g *v1alpha1.Grid) string {
	var text strings.Builder
	for _, m := range g.Status.Members {
		if m.Message != "" {
			fmt.Fprintf(&text, "\n  %s: %s", m.Name, m.Message)
		}
	}
	return text.String()
}

// callAll has each node call each other one.
func (c *SelfTest) callAll(ctx context.Context, kube *rest.Config, api client.Client, g *v1alpha1.Grid, out io.Writer) error {
	var pods corev1.PodList
	if err := api.List(ctx, &pods, client.InNamespace(g.Namespace), client.MatchingLabels(names.Selector(g.Name))); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	if len(pods.Items) != c.Replicas {
		return fmt.Errorf("%d pods, not %d", len(pods.Items), c.Replicas)
	}
	calls := 0
	for i := range pods.Items {
		var peers []string
		for j := range pods.Items {
			if i != j {
				peers = append(peers, names.Peer(pods.Items[j].Name, g.Name, g.Namespace, g.Spec.Port))
			}
		}
		n, err := callFrom(ctx, kube, &pods.Items[i], int(g.Spec.AdminPort), peers)
		if err != nil {
			return fmt.Errorf("calls of %s: %w", pods.Items[i].Name, err)
		}
		calls += n
	}
	fmt.Fprintf(out, "%d calls between %d nodes were answered\n", calls, c.Replicas)
	return nil
}
