package target

import (
	"bytes"
	"time"
)

// timeKey stands before the time of an entry; entries have it near their
// beginning.
const timeKey = `"time":"`

// TimeOf gives the time of an entry, as it says itself; zero if it does not.
func TimeOf(data []byte) time.Time {
	_, rest, found := bytes.Cut(data[:min(len(data), 256)], []byte(timeKey))
	text, _, ended := bytes.Cut(rest, []byte(`"`))
	if !found || !ended {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return time.Time{}
	}
	return at
}

// IDOf gives the id of an entry as it stands in it; nothing if it has none.
func IDOf(data []byte) []byte {
	rest, found := bytes.CutPrefix(data, []byte(idKey))
	id, _, ended := bytes.Cut(rest, []byte(`"`))
	if !found || !ended {
		return nil
	}
	return id
}
