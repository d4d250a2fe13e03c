package peers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Save writes a signed list's document to a file, for [Load] after a restart.
// Whatever ends the process or the machine meanwhile, the file holds the old
// document or the new one, whole. It uses the file path + ".tmp" on the way,
// so calls for one path must not run at once.
func Save(path string, l List) error {
	if !l.Signed() {
		return errors.New("save peer list: it is not signed, so nothing could tell it from a forged one later")
	}
	tmp := path + ".tmp"
	if err := writeSynced(tmp, l.Raw()); err != nil {
		_ = os.Remove(tmp) // on a full disk it may be what fills it
		return fmt.Errorf("save peer list: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("save peer list: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("save peer list: %w", err)
	}
	return nil
}

// Load reads what [Save] wrote, and believes it no more than any other
// document. Without a file the error is fs.ErrNotExist.
func Load(path string, trust Trust) (List, error) {
	raw, err := readFile(path, MaxDocument)
	if err != nil {
		return List{}, fmt.Errorf("load peer list: %w", err)
	}
	l, err := Verify(raw, trust)
	if err != nil {
		return List{}, fmt.Errorf("load peer list: %s: %w", path, err)
	}
	return l, nil
}

// writeSynced writes a file whose content is on disk when it returns: renamed
// before that, an empty file could take the old one's place in a power cut.
func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// syncDir makes a rename in a directory last.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
