package target

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

const (
	asideName  = "rejected.ndjson"
	asideBytes = 16 << 20 // more than anybody will read, less than a disk
)

// appendAside adds an entry to the file of those that were rejected.
func appendAside(dir string, data []byte) (name string, err error) {
	name = filepath.Join(dir, asideName)
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if info.Size()+int64(len(data)) > asideBytes {
		return "", fmt.Errorf("%s has %d bytes; look at it and remove it", name, info.Size())
	}
	if _, err := file.Write(append(slices.Clip(data), '\n')); err != nil {
		return "", err
	}
	return name, file.Sync()
}
