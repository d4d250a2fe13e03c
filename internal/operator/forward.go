package operator

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

const (
	callTime  = 10 * time.Second // of one call
	maxAnswer = 64 << 10         // bytes read of an answer
)

// callFrom has the node of a pod call the handler echo of each peer, through
// the mesh. Whoever is no member cannot call a node, so one of them is asked to;
// it does that for loopback only, and a forwarded port is loopback.
func callFrom(ctx context.Context, kube *rest.Config, pod *corev1.Pod, adminPort int, peers []string) (calls int, err error) {
	err = forwarded(ctx, kube, pod, adminPort, func(addr string) error {
		asker := &http.Client{
			Timeout: callTime,
			// The API server has seen to it that this is the pod; which
			// authority the Grid has is not for this role to read.
			Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}}, //nolint:gosec // see above
		}
		defer asker.CloseIdleConnections()
		for _, peer := range peers {
			if err := echo(ctx, asker, addr, peer, "from "+pod.Name+" to "+peer); err != nil {
				return fmt.Errorf("%s: %w", peer, err)
			}
			calls++
		}
		return nil
	})
	return calls, err
}

func echo(ctx context.Context, asker *http.Client, addr, peer, text string) error {
	target := "https://" + addr + adminapi.PathCall + "/" + url.PathEscape(peer) + "/echo?" + adminapi.ParamWait + "=true"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader([]byte(text)))
	if err != nil {
		return err
	}
	answer, err := asker.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(got))
	case string(got) != text:
		return fmt.Errorf("echo of %q is %q", text, got)
	}
	return nil
}

// forwarded forwards a local port to one of a pod while use runs.
func forwarded(ctx context.Context, kube *rest.Config, pod *corev1.Pod, port int, use func(addr string) error) error {
	dialer, err := podDialer(kube, pod)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ready, ended := make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer,
		[]string{"127.0.0.1"}, []string{"0:" + strconv.Itoa(port)}, ready, io.Discard, io.Discard)
	if err != nil {
		return fmt.Errorf("forward a port to pod %s: %w", pod.Name, err)
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return fmt.Errorf("forward a port to pod %s: %w", pod.Name, err)
	}
	defer func() {
		stop()
		<-ended //nolint:errcheck // it ends because it was stopped
	}()
	ports, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	return use("127.0.0.1:" + strconv.Itoa(int(ports[0].Local)))
}

// podDialer speaks to the API server as kubectl does: over a WebSocket, or over
// SPDY where something in between does not let that pass.
func podDialer(kube *rest.Config, pod *corev1.Pod) (httpstream.Dialer, error) {
	set, err := kubernetes.NewForConfig(kube)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	target := set.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(kube)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	older := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	newer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(target, kube)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return portforward.NewFallbackDialerForStreaming(newer, older, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}
