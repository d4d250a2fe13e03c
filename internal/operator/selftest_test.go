package operator

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

// reader reads what the self-test says, and ends it at a word.
type reader struct {
	bytes.Buffer

	word string
	end  func()
}

func (r *reader) Write(text []byte) (int, error) {
	if r.word != "" && bytes.Contains(text, []byte(r.word)) {
		r.end()
	}
	return r.Buffer.Write(text)
}

// selfTest runs the self-test in a namespace while act does what an operator
// would, to the Grid that it makes. It has no more time once it says the word.
func selfTest(t *testing.T, c SelfTest, word string, act func(context.Context, *v1alpha1.Grid) error) (out string, err error) {
	t.Helper()
	kube := envtestkit.Start(t)
	c.Namespace = kube.Namespace(t)
	c.NodeImage, c.Replicas = "gridmesh/node:v1", 2
	ctx, cancel := context.WithCancel(t.Context())
	acted := make(chan error, 1)
	go func() {
		watcher, err := kube.Client.Watch(ctx, new(v1alpha1.GridList), client.InNamespace(c.Namespace))
		if err != nil {
			acted <- err
			return
		}
		defer watcher.Stop()
		for event := range watcher.ResultChan() {
			if g, ok := event.Object.(*v1alpha1.Grid); ok && act != nil {
				acted <- act(t.Context(), g) // to its end, though the test may have seen it
				return
			}
		}
		acted <- nil
	}()
	said := &reader{word: word, end: cancel}
	err = c.run(ctx, kube.Config, said)
	cancel()
	if problem := <-acted; problem != nil {
		t.Fatal(problem)
	}
	var left v1alpha1.GridList
	if err := kube.Client.List(t.Context(), &left, client.InNamespace(c.Namespace)); err != nil {
		t.Fatal(err)
	}
	if kept := len(left.Items) > 0; kept != c.Keep {
		t.Errorf("%d Grids are left", len(left.Items))
	}
	return said.String(), err
}

func TestSelfTestWithoutAnOperator(t *testing.T) {
	out, err := selfTest(t, SelfTest{Timeout: 10 * time.Second}, "", nil)
	if err == nil || !strings.Contains(err.Error(), "does the operator run, and look after namespace") || !strings.Contains(out, "deleted Grid") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestSelfTestSaysWhatIsWrong(t *testing.T) {
	kube := envtestkit.Start(t)
	out, err := selfTest(t, SelfTest{Timeout: time.Minute, Keep: true}, "MembersNotReady", func(ctx context.Context, g *v1alpha1.Grid) error {
		g.Status = v1alpha1.GridStatus{
			Ready: "0/2", Links: "unknown/2",
			Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Reason: "MembersNotReady", Message: "0 of 2 pods are ready", LastTransitionTime: metav1.Now()}},
			Members:    []v1alpha1.Member{{Name: g.Name + "-0", Message: "ImagePullBackOff: no such image"}},
		}
		return kube.Client.Status().Update(ctx, g)
	})
	if err == nil || !strings.Contains(err.Error(), "-0: ImagePullBackOff: no such image") || !strings.Contains(err.Error(), "not ready within 1m0s") || !strings.Contains(out, "stays, to look at") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestSelfTestCountsThePods(t *testing.T) {
	kube := envtestkit.Start(t)
	_, err := selfTest(t, SelfTest{Timeout: time.Minute}, "", func(ctx context.Context, g *v1alpha1.Grid) error {
		g.Status = v1alpha1.GridStatus{
			ObservedGeneration: g.Generation,
			Conditions:         []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "AllMembersReady", LastTransitionTime: metav1.Now()}},
		}
		return kube.Client.Status().Update(ctx, g)
	})
	if err == nil || !strings.Contains(err.Error(), "0 pods, not 2") {
		t.Error(err)
	}
}

func TestEcho(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch body, _ := io.ReadAll(r.Body); {
		case r.Method != http.MethodPost || r.URL.Query().Get("wait") != "true":
			http.Error(w, "what?", http.StatusBadRequest)
		case strings.HasPrefix(r.URL.Path, "/v1/call/good:7700/echo"):
			_, _ = w.Write(body)
		case strings.HasPrefix(r.URL.Path, "/v1/call/liar:7700/"):
			_, _ = io.WriteString(w, "something else")
		default:
			http.Error(w, "no such peer", http.StatusNotFound)
		}
	}
	node := httptest.NewTLSServer(http.HandlerFunc(answer))
	defer node.Close()
	addr := node.Listener.Addr().String()
	for peer, want := range map[string]string{"good:7700": "", "liar:7700": `is "something else"`, "other:7700": "404 Not Found: no such peer"} {
		err := echo(t.Context(), node.Client(), addr, peer, "hello")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", peer, err, want)
		}
	}
}

// TestForwardingToNowhere: what there is no way to is said, and leaves nothing
// behind.
func TestForwardingToNowhere(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x"}}}}
	if err := kube.Client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	if n, err := callFrom(t.Context(), kube.Config, pod, 7701, []string{"y:7700"}); err == nil || n != 0 || !strings.Contains(err.Error(), "forward a port to pod x") {
		t.Errorf("%d calls, %v", n, err)
	}
}
