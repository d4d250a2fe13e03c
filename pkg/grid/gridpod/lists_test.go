package gridpod

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// What is wrong with a list that is pushed is said, and the last good one stays.
func TestPushedListsThatAreRefused(t *testing.T) {
	o := newOperator(t, true)
	pods := o.grid(2)
	a := pods[0]
	names := []string{pods[0].name(), pods[1].name()}
	second, third := o.sign(names...), o.sign(names...)
	if got := a.push(third); got.status != http.StatusOK {
		t.Fatalf("a newer list: %d: %s", got.status, got.body)
	}
	foreign := newOperator(t, false)
	foreign.epoch = 10
	otherMesh := newOperator(t, false)
	otherMesh.key, otherMesh.epoch = o.key, 10
	otherGrid := newOperator(t, false)
	otherGrid.key, otherGrid.epoch, otherGrid.file.Grid = o.key, 10, "shop/other"
	for _, tt := range []struct {
		name   string
		list   []byte
		status int
		want   string
	}{
		{"tampered with", bytes.Replace(third, third[len(third)-9:len(third)-8], []byte{third[len(third)-9] ^ 1}, 1), 403, "signature"},
		{"of another key", foreign.sign(names...), 403, "signature"},
		{"replayed", second, 409, "stale peer list: epoch 2, in use is 3"},
		{"of another mesh", otherMesh.sign(names...), 409, "peer list of another mesh"},
		{"of another grid", otherGrid.sign(names...), 403, `grid "shop/other"`},
	} {
		got := a.push(tt.list)
		var failure adminapi.Error
		if err := json.Unmarshal([]byte(got.body), &failure); err != nil || got.status != tt.status || !strings.Contains(failure.Message, tt.want) {
			t.Errorf("%s: status %d: %s", tt.name, got.status, got.body)
		}
		ack := a.ack()
		if ack.Epoch != 3 || !ack.Ready || ack.Links.Up != 1 || !strings.HasPrefix(ack.ListError, "pushed by 127.0.0.1:") || !strings.Contains(ack.ListError, tt.want) {
			t.Errorf("%s: %+v", tt.name, ack)
		}
	}
}

// A pod whose mount lags behind hears of the newest list from the peers that
// have it, whichever side dials.
func TestListComesFromAPeer(t *testing.T) {
	o := newOperator(t, true)
	pods := o.grid(2)
	lateDir, lateName := o.mount("web-2")
	names := []string{pods[0].name(), pods[1].name(), lateName}
	old, newest := o.sign(names...), o.sign(names...)
	for _, r := range pods {
		if got := r.push(newest); got.status != http.StatusOK {
			t.Fatalf("%d: %s", got.status, got.body)
		}
	}
	o.publish(old, lateDir)
	late := o.start(lateDir, lateName)
	eventually(t, "the newest list", func() bool {
		got, err := late.ask(http.MethodGet, adminapi.PathAck, "", "")
		return err == nil && strings.Contains(got.body, `"epoch": 3`)
	})
	// It is in use a moment before it is known where it came from.
	eventually(t, "a word on where it is from", func() bool { return late.ack().Source == adminapi.SourcePeer })
	late.waitReady()
	if ack := late.ack(); ack.Source != adminapi.SourcePeer || ack.Links.Up != 2 || ack.ListError != "" {
		t.Errorf("%+v", ack)
	}
	// The mount catches up, which is no news.
	o.publish(newest, lateDir)
	late.member.Reload()
	if ack := late.ack(); ack.Source != adminapi.SourcePeer || ack.Epoch != 3 {
		t.Errorf("%+v", ack)
	}
}

// One that was removed while it was away is told so by who refuses it, if it is
// the one of the two that dials: nobody dials a stranger.
func TestRemovalComesFromAPeer(t *testing.T) {
	o := newOperator(t, false)
	stayDir, stay := o.mount("web-0")
	port := 0
	for ports := 0; port == 0 && ports < 1000; ports++ { // names that differ in one number take turns by its parity
		if p := freePort(t); (p < portOf(t, stay)) == ((p^portOf(t, stay))&1 == 1) {
			port = p
		}
	}
	goneDir, gone := o.mountAt("web-0", port)
	o.publish(o.sign(stay, gone), goneDir)
	o.publish(o.sign(stay), stayDir)
	there := o.start(stayDir, stay)
	there.waitReady()
	removed := o.start(goneDir, gone)
	eventually(t, "the pod to hear that it was removed", func() bool {
		got, err := removed.ask(http.MethodGet, adminapi.PathAck, "", "")
		return err == nil && strings.Contains(got.body, `"removed": true`) && strings.Contains(got.body, `"source": "peer"`)
	})
	if ack := removed.ack(); ack.Epoch != 2 || ack.Source != adminapi.SourcePeer || ack.Ready || ack.Contains {
		t.Errorf("%+v", ack)
	}
	eventually(t, "the pod to have drained", func() bool { return removed.ack().Drained })
}

func portOf(t *testing.T, name string) int {
	t.Helper()
	_, text, _ := strings.Cut(name, ":")
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// A peer that hands over lists which nobody may believe changes nothing, and is
// told of.
func TestListsOfPeersThatAreRefused(t *testing.T) {
	foreign := func(o *operator) *operator {
		other := newOperator(o.t, false)
		other.key, other.mesh, other.ca, other.epoch = o.key, o.mesh, o.ca, 10
		return other
	}
	for _, tt := range []struct {
		name   string
		change func(*operator)
		want   string
	}{
		{"of another key", func(o *operator) { o.key = newOperator(t, false).key }, "peer list without a valid signature"},
		{"of another mesh", func(o *operator) { o.mesh = peers.NewMeshID() }, "peer list of another mesh"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOperator(t, true)
			goodDir, goodName := o.mount("web-0")
			badDir, badName := o.mount("web-1")
			o.publish(o.sign(goodName, badName), goodDir)

			// The other one believes another publisher, and proves to be a peer all the same.
			other := foreign(o)
			tt.change(other)
			keys, err := peers.MarshalPublicKeys(other.public())
			if err != nil {
				t.Fatal(err)
			}
			other.write(filepath.Join(badDir, "grid", peers.KeysFile), keys)
			other.publish(other.sign(goodName, badName), badDir)

			good, bad := o.start(goodDir, goodName), o.start(badDir, badName)
			eventually(t, "the list to be refused", func() bool {
				got, err := good.ask(http.MethodGet, adminapi.PathAck, "", "")
				return err == nil && strings.Contains(got.body, "handed over by a peer")
			})
			ack := good.ack()
			if ack.Epoch != 1 || ack.MeshID != o.mesh || ack.Source != adminapi.SourceSigned || !strings.Contains(ack.ListError, tt.want) {
				t.Errorf("%+v", ack)
			}
			if got := bad.ack(); got.Epoch != 11 {
				t.Errorf("the other one: %+v", got)
			}
			var status adminapi.Status
			if err := json.Unmarshal([]byte(good.get(adminapi.PathStatus).body), &status); err != nil || !strings.Contains(status.PeerList.LastError, tt.want) || status.PeerList.Refused == 0 {
				t.Errorf("status says %+v, %v", status.PeerList, err)
			}
			if reply, err := good.m.Connection(badName).With(grid.CallOptions{WaitForLink: true}).Request(t.Context(), "echo", []byte("x")); err != nil || string(reply) != "x" {
				t.Errorf("calls go on: %q, %v", reply, err)
			}

			// A good one clears it.
			o.publish(o.sign(goodName, badName), goodDir)
			good.member.Reload()
			eventually(t, "the good list", func() bool { ack := good.ack(); return ack.Epoch == 2 && ack.Source == adminapi.SourceSigned })
		})
	}
}
