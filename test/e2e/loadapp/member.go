package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridpod"
	"github.com/gridmesh/gridmesh/test/e2e/ledger"
)

// The variables of a member.
const (
	ledgerEnv  = "LOAD_LEDGER"  // URL of the ledger; without it the member only serves
	callersEnv = "LOAD_CALLERS" // callers in this pod, default 32
	podsEnv    = "LOAD_PODS"    // in how many pods, those with the lowest ordinals, default 2
	longestEnv = "LOAD_LONGEST" // the longest that a handler takes, default 3s
)

// What a caller does when a call was not sent: another try, at another peer,
// until this long after the first.
const (
	retryAfter = 100 * time.Millisecond
	giveUp     = time.Minute
)

const work grid.HandlerID = "load.work"

// member is this pod.
type member struct {
	name    string
	ledger  string
	client  *http.Client
	longest time.Duration
	m       *grid.Manager
	running atomic.Int64  // handlers
	calls   atomic.Uint64 // made, for their ids
}

func runMember(ctx context.Context) error {
	pod, err := gridpod.FromDir("/etc/gridmesh")
	if err != nil {
		return err
	}
	me := &member{ledger: os.Getenv(ledgerEnv), client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	if me.name, err = os.Hostname(); err != nil {
		return err
	}
	if me.longest, err = time.ParseDuration(variable(longestEnv, "3s")); err != nil {
		return fmt.Errorf("%s: %w", longestEnv, err)
	}
	callers, err := me.callers()
	if err != nil {
		return err
	}
	// Not ctx: it ends with SIGTERM, and calls have to be able to end after that.
	if me.m, err = grid.NewManager(context.Background(), pod.Options()); err != nil {
		return err
	}
	if err := me.m.RegisterSingle(work, me.work); err != nil {
		return err
	}
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() { me.call(ctx) })
	}
	told := context.AfterFunc(ctx, func() {
		_ = me.note(ledger.Event{Kind: ledger.Stops, Pod: me.name, Running: int(me.running.Load())})
	})
	defer told()
	err = pod.ServeContext(ctx, me.m)
	calling.Wait()
	return err
}

func variable(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// callers is how many callers this pod has.
func (me *member) callers() (int, error) {
	callers, err := strconv.Atoi(variable(callersEnv, "32"))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", callersEnv, err)
	}
	pods, err := strconv.Atoi(variable(podsEnv, "2"))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", podsEnv, err)
	}
	ordinal, err := strconv.Atoi(me.name[strings.LastIndexByte(me.name, '-')+1:])
	if err != nil {
		return 0, fmt.Errorf("the pod's ordinal: %w", err)
	}
	if me.ledger == "" || ordinal >= pods {
		return 0, nil
	}
	return callers, nil
}

// work is the handler: it has the id of the call written down, takes the time
// that the caller wishes for, and answers with the id.
func (me *member) work(ctx context.Context, request []byte) ([]byte, error) {
	if len(request) < 8 {
		return nil, grid.NewError("load.bad", fmt.Sprintf("a request of %d bytes", len(request)))
	}
	id, takes := request[8:], time.Duration(binary.BigEndian.Uint64(request))
	me.running.Add(1)
	defer me.running.Add(-1)
	if err := me.note(ledger.Event{Kind: ledger.Runs, ID: string(id), Pod: me.name}); err != nil {
		return nil, err
	}
	select {
	case <-time.After(takes):
		return id, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// call makes one call after the other until ctx ends.
func (me *member) call(ctx context.Context) {
	for ctx.Err() == nil {
		id := fmt.Sprintf("%s/%s/%d", me.name, me.m.Stats().Instance[:8], me.calls.Add(1))
		if len(me.m.Connections()) == 0 || me.note(ledger.Event{Kind: ledger.Starts, ID: id}) != nil {
			pause(ctx) // no peers yet, no ledger yet, or no more calls wanted
			continue
		}
		end := ledger.Event{Kind: ledger.Ends, ID: id}
		end.Outcome, end.Retries, end.Text = me.once(id)
		for me.note(end) != nil {
			pause(context.Background())
		}
	}
}

// once makes one call, again and again while it was not sent. It ends by
// itself also after SIGTERM, when peers still answer.
func (me *member) once(id string) (outcome string, retries int, text string) {
	request := binary.BigEndian.AppendUint64(nil, uint64(rand.Int64N(int64(me.longest)+1)))
	request = append(request, id...)
	for began := time.Now(); ; retries++ {
		peers := me.m.Connections()
		if len(peers) == 0 {
			pause(context.Background())
			continue
		}
		reply, err := peers[rand.IntN(len(peers))].Request(context.Background(), work, request)
		switch {
		case err == nil && string(reply) == id:
			return ledger.Answered, retries, ""
		case err == nil:
			return ledger.Error, retries, "got the answer " + string(reply)
		case grid.OutcomeOf(err) == grid.Answered:
			return ledger.Error, retries, err.Error()
		case grid.OutcomeOf(err) == grid.MaybeProcessed:
			return ledger.Maybe, retries, err.Error()
		case time.Since(began) > giveUp:
			return ledger.NotSent, retries, err.Error()
		}
		pause(context.Background())
	}
}

// pause waits for a moment.
func pause(ctx context.Context) {
	select {
	case <-time.After(retryAfter):
	case <-ctx.Done():
	}
}

// note has the ledger write an event down. An error means that it did not, or
// does not want to.
func (me *member) note(e ledger.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, me.ledger+"/event", bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := me.client.Do(request)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection is used again
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ledger: %s", response.Status)
	}
	return nil
}
