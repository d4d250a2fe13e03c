package member

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// feed brings peer lists to the manager, from wherever the configuration says
// and from whoever pushes one. Whatever it refuses, the last good list stays.
type feed struct {
	self, grid string
	lists      Lists
	log        *slog.Logger
	m          atomic.Pointer[grid.Manager] // nil before Bind; the manager may call verifyOfPeer and hints before that

	saving sync.Mutex // one write of peers-save at a time; protects saved
	saved  peers.List // the newest that was written

	mu        sync.Mutex // protects what follows
	source    string
	epoch     uint64 // of the newest list that came from source, 0 if it has none
	refused   uint64
	lastError string // why the newest list is not in use; "" if it is
	pushed    pushRefusals
	again     func() // has the source read from the start; nil before run
	static    []string
}

func newFeed(config *Config, log *slog.Logger) *feed {
	return &feed{self: config.Name, grid: config.Grid, lists: config.Lists, log: log, source: adminapi.SourceNone}
}

// run applies what the configured source gives until ctx ends.
func (f *feed) run(ctx context.Context) {
	if f.lists.Save != "" {
		f.applySaved()
	}
	var source *peers.Poller
	from := adminapi.SourceFile
	switch {
	case f.lists.File != "":
		source = peers.WatchFile(f.lists.File, f.self)
	case f.lists.Dir != "":
		source, from = peers.WatchDir(f.lists.Dir, f.grid), adminapi.SourceSigned
	default:
		f.applyStatic(f.lists.Names)
		return // what follows comes by reload or by a push
	}
	source.Every = f.lists.Every
	for ctx.Err() == nil {
		round, end := context.WithCancel(ctx)
		f.mu.Lock()
		f.again = end
		f.mu.Unlock()
		for list, err := range source.Lists(round) {
			if err != nil {
				f.refuse(err)
			} else {
				_ = f.apply(list, from) // said where it is refused
			}
		}
		end()
	}
}

// reload has the source read again at once.
func (f *feed) reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.again != nil {
		f.again()
	}
}

// setStatic takes a changed list of the configuration over. Where the list
// comes from elsewhere, or has not changed, there is nothing to do: what was
// pushed since then stays.
func (f *feed) setStatic(names []string) {
	f.mu.Lock()
	changed := f.lists.File == "" && f.lists.Dir == "" && !slices.Equal(names, f.static)
	f.mu.Unlock()
	if changed {
		f.applyStatic(names)
	}
}

func (f *feed) applyStatic(names []string) {
	f.mu.Lock()
	f.static = names
	f.mu.Unlock()
	if len(names) == 0 {
		f.log.Warn("no peers are configured: this node is alone", "settings", "peers, peers-file or peers-dir")
		names = []string{f.self}
	}
	list, err := peers.NewList(names)
	if err != nil {
		f.refuse(err)
		return
	}
	_ = f.apply(list, adminapi.SourceStatic) // said where it is refused
}

// applySaved starts with the list of before, so that a node comes back while
// nothing that publishes lists is there.
func (f *feed) applySaved() {
	trust, err := f.trust()
	if err == nil {
		var list peers.List
		if list, err = peers.Load(f.lists.Save, trust); err == nil {
			_ = f.apply(list, adminapi.SourceSaved) // said where it is refused
			return
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn("saved peer list not used", "error", err)
	}
}

// apply makes a list the one in use, or says why not.
func (f *feed) apply(list peers.List, from string) error {
	before := f.m.Load().PeerList()
	if err := f.m.Load().SetPeerList(list); err != nil {
		if from == adminapi.SourceSigned && errors.Is(err, peers.ErrStale) {
			// A mounted folder comes after a push, by up to a minute.
			f.log.Debug("the folder has an older peer list than the one in use", "epoch", list.Epoch)
			return err
		}
		switch {
		case from != adminapi.SourceAdmin || !list.Signed():
			f.refuse(err)
		case errors.Is(err, peers.ErrEpochConflict):
			f.disagree(err) // refusePushed does the rest, as for all that anybody may bring
		}
		return err
	}
	if list.Epoch > 0 && list.Epoch == before.Epoch {
		f.taken("", list.Epoch) // it came by another road before
	} else {
		f.taken(from, list.Epoch)
	}
	if list.Signed() && from != adminapi.SourceSaved && list.Epoch != before.Epoch {
		f.save(list)
	}
	return nil
}

// taken notes that a list from there is in use; "": from where it was. Of two
// lists that come at once it may hear of the older one last.
func (f *feed) taken(from string, epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if epoch > 0 && epoch < f.epoch {
		return
	}
	f.lastError, f.epoch = "", epoch
	if from != "" {
		f.source = from
	}
}

// fetched is told of a signed list that a peer handed over and that is in use.
func (f *feed) fetched(list peers.List) {
	f.taken(adminapi.SourcePeer, list.Epoch)
	f.save(list)
}

func (f *feed) save(list peers.List) {
	if f.lists.Save == "" {
		return
	}
	f.saving.Lock()
	defer f.saving.Unlock()
	if list.MeshID == f.saved.MeshID && list.Epoch < f.saved.Epoch {
		return // a newer one came by another road meanwhile
	}
	f.saved = list
	if err := peers.Save(f.lists.Save, list); err != nil {
		f.log.Error("peer list not saved: a restart may begin with an older one", "error", err)
	}
}

// trust is whose signature counts, read afresh: keys are rotated.
func (f *feed) trust() (peers.Trust, error) { return peers.LoadTrust(f.lists.Dir, f.grid) }

// verify checks a signed list that came by another road than the folder.
func (f *feed) verify(raw []byte) (peers.List, error) {
	trust, err := f.trust()
	if err != nil {
		return peers.List{}, err
	}
	return peers.Verify(raw, trust)
}

// verifyOfPeer checks one that a peer handed over. The peer has proved to be
// one, so that what is wrong becomes the state of the list. A stale list is no
// news: it has crossed a newer one.
func (f *feed) verifyOfPeer(raw []byte) (peers.List, error) {
	list, err := f.verify(raw)
	if m := f.m.Load(); err == nil && m != nil {
		_, err = peers.Decide(m.PeerList(), list, f.self) // as the manager will, which tells nobody
	}
	if err != nil && !errors.Is(err, peers.ErrStale) {
		f.disagree(fmt.Errorf("handed over by a peer: %w", err))
	}
	return list, err
}

// hints are addresses of the list in use, by name.
func (f *feed) hints() map[string]string {
	if m := f.m.Load(); m != nil {
		return m.PeerList().Hints
	}
	return nil
}

// status says which list is in use.
func (f *feed) status(s *grid.Summary) adminapi.PeerList {
	list := f.m.Load().PeerList()
	f.mu.Lock()
	defer f.mu.Unlock()
	return adminapi.PeerList{
		Source: f.source, Epoch: list.Epoch, Names: len(list.Names), Applied: time.Now().Add(-s.ListAge),
		Contains: s.Listed, Removed: list.Epoch > 0 && !s.Listed,
		Refused: f.refused, LastError: f.lastError,
	}
}
